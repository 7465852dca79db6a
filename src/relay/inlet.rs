//! The way in to an allocation's client, shared by its owner and by every worker whose clients send to it.
//!
//! What changes with each datagram is atomic: the rate that is used up, the bytes. What changes with a request or an
//! expiry is a snapshot behind a lock that nobody takes per packet: whoever compiled a route from it compares the
//! version, which is one load.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ByteRate;
use super::grants::Grants;
use super::rate::SharedLimiter;
use crate::time::Tick;

/// What workers share of one allocation.
pub(super) struct Inlet {
    /// Counts the changes of `grants`.
    version: AtomicU64,
    /// Bytes of application data that reached the client.
    bytes: AtomicU64,
    limiter: Option<SharedLimiter>,
    /// `None` when the allocation has ended: a route may keep its inlet a little longer.
    grants: Mutex<Option<Arc<Grants>>>,
}

// What `ARCHITECTURE.md` says of its size, with the two counts in front of it on the heap.
const _: () = assert!(size_of::<Inlet>() + 16 == 64);

impl Inlet {
    /// The way in to a client that may be sent `rate`.
    pub(super) fn new(rate: Option<ByteRate>, grants: Arc<Grants>) -> Self {
        Self {
            version: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            limiter: rate.map(SharedLimiter::new),
            grants: Mutex::new(Some(grants)),
        }
    }

    /// Makes `grants` what holds: every route compiled before is void from here on.
    pub(super) fn publish(&self, grants: Arc<Grants>) {
        self.replace(Some(grants));
    }

    /// Lets nothing in any more.
    pub(super) fn close(&self) {
        self.replace(None);
    }

    /// Which grants hold. A worker that has learned of a change by whatever way sees its version here.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The grants that hold and their version, unless the allocation has ended. Takes the lock.
    pub(super) fn grants(&self) -> Option<(u64, Arc<Grants>)> {
        let grants = self.lock();
        let held = Arc::clone(grants.as_ref()?);
        Some((self.version.load(Ordering::Relaxed), held))
    }

    /// Charges a datagram of `bytes`, where the client's rate still allows it.
    pub(super) fn admit(&self, now: Tick, bytes: usize) -> bool {
        self.limiter
            .as_ref()
            .is_none_or(|limiter| limiter.admit(now, bytes))
    }

    /// When `bytes` that were refused would be admitted.
    pub(super) fn ready(&self, bytes: usize) -> Tick {
        let limiter = self.limiter.as_ref();
        limiter.map_or(Tick::ZERO, |limiter| limiter.ready(bytes))
    }

    /// Counts bytes that reached the client. What another worker counts while the allocation ends may come too late
    /// for the report of its end.
    pub(super) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The bytes counted.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn replace(&self, grants: Option<Arc<Grants>>) {
        let mut held = self.lock();
        let before = std::mem::replace(&mut *held, grants);
        self.version.fetch_add(1, Ordering::Release);
        drop(held);
        drop(before);
    }

    /// Nothing panics while the lock is held, so that a poisoned one guards sound grants.
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Grants>>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet")
            .field("version", &self.version)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
