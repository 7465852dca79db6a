//! The listeners that a worker accepts connections from.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::pipe::Opening;
use crate::net::{AcceptError, Accepted, Interest, Poller, TcpListener};
use crate::server::sockets::Key;
use crate::time::Tick;

/// Connections that one listener may bring in one turn.
const SHARE: usize = 32;

/// How long nothing is accepted after descriptors or memory ran out. The listeners stay readable, so that to ask again
/// at once would be to ask for ever; what waits is kept by the kernel.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener and what it makes of its connections.
pub(in crate::server) struct Acceptor {
    pub(in crate::server) listener: TcpListener,
    pub(in crate::server) opening: Arc<Opening>,
}

/// The listeners of one worker.
pub(super) struct Acceptors {
    acceptors: Vec<Acceptor>,
    poller: Rc<Poller>,
    /// Until when nothing is accepted.
    paused: Option<Tick>,
}

/// What accepting brought.
pub(super) enum Outcome {
    /// A connection.
    Accepted(Accepted, Arc<Opening>),
    /// A connection that was lost, or none because something ran out.
    Failed,
    /// Nothing more waits.
    Done,
}

impl Acceptors {
    pub(super) fn new(acceptors: Vec<Acceptor>, poller: Rc<Poller>) -> io::Result<Self> {
        for (number, acceptor) in (0..).zip(&acceptors) {
            let token = Key::Acceptor(number).token();
            poller.add(&acceptor.listener, token, Interest::READABLE)?;
        }
        Ok(Self {
            acceptors,
            poller,
            paused: None,
        })
    }

    /// Takes what waits at a listener, one connection a call and up to its share of a turn: `taken` is how many were
    /// already taken.
    pub(super) fn accept(&mut self, now: Tick, number: u32, taken: usize) -> Outcome {
        let Some(acceptor) = self.acceptors.get(number as usize) else {
            return Outcome::Done;
        };
        if taken == SHARE || self.paused.is_some() {
            return Outcome::Done;
        }
        match acceptor.listener.accept() {
            Ok(Some(accepted)) => Outcome::Accepted(accepted, Arc::clone(&acceptor.opening)),
            Ok(None) => Outcome::Done,
            Err(AcceptError::Lost) => Outcome::Failed,
            Err(AcceptError::Exhausted(_) | AcceptError::Other(_)) => {
                self.paused = Some(now.after(PAUSE));
                self.watch(false);
                Outcome::Failed
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) const fn poll_timeout(&self) -> Option<Tick> {
        self.paused
    }

    /// Goes on after a pause.
    pub(super) fn handle_timeout(&mut self, now: Tick) {
        if self.paused.take_if(|until| *until <= now).is_some() {
            self.watch(true);
        }
    }

    fn watch(&self, readable: bool) {
        let interest = Interest {
            readable,
            writable: false,
        };
        for (number, acceptor) in (0..).zip(&self.acceptors) {
            // It fails only for a socket that is not in the set, and these never leave it.
            let token = Key::Acceptor(number).token();
            let _ = self.poller.modify(&acceptor.listener, token, interest);
        }
    }
}
