//! The call to stop, from the daemon to one worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::net::Waker;

/// Asks a worker to end every allocation and return. Clones are the same one.
///
/// Draining is not its business: a draining daemon serves, and the core itself refuses new allocations.
#[derive(Clone)]
pub(super) struct Stop {
    asked: Arc<AtomicBool>,
    waker: Waker,
}

impl Stop {
    /// A call that was not made yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            asked: Arc::default(),
            waker: Waker::new()?,
        })
    }

    /// Makes the call, for good.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// What the worker's poller is to watch.
    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }
}
