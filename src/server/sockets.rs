//! The relay sockets of one worker, and what the core asks of its host.

use std::net::SocketAddr;
use std::rc::Rc;

use tracing::{debug, info};

use super::clock::Clock;
use crate::net::{BindError, Interest, Poller, SocketOptions, UdpSocket};
use crate::ops::redact::Redactor;
use crate::relay::{Event, Host, OpenError, RelayToken, SocketId};

/// The open relay sockets, by number.
pub(super) struct RelaySockets {
    /// As many as were ever open at a time; bounded by `limits.allocations`, two each.
    slots: Vec<Option<RelaySocket>>,
    vacant: Vec<u32>,
    /// Closed by the core, but kept until what is queued on them has left.
    closed: Vec<u32>,
    poller: Rc<Poller>,
    options: SocketOptions,
    redactor: Redactor,
    clock: Clock,
}

/// A relay socket and the core's name for it.
pub(super) struct RelaySocket {
    pub(super) socket: UdpSocket,
    pub(super) token: RelayToken,
}

impl RelaySockets {
    pub(super) fn new(
        poller: Rc<Poller>,
        options: SocketOptions,
        redactor: Redactor,
        clock: Clock,
    ) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            closed: Vec::new(),
            poller,
            options,
            redactor,
            clock,
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&RelaySocket> {
        self.slots.get(number as usize)?.as_ref()
    }

    /// Closes the sockets that the core is done with. To be called after a flush: until then, a datagram that was
    /// queued on one of them must neither be lost nor leave from the number's next socket.
    pub(super) fn reap(&mut self) {
        for number in self.closed.drain(..) {
            self.slots[number as usize] = None;
            self.vacant.push(number);
        }
    }
}

impl Host for RelaySockets {
    fn open(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        let socket = UdpSocket::relay(local, &self.options)?;
        let number = self
            .vacant
            .last()
            .copied()
            .unwrap_or_else(|| u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        self.poller
            .add(&socket, Key::Relay(number).token(), Interest::READABLE)
            .map_err(|_| OpenError::Unavailable)?;
        if self.vacant.pop().is_none() {
            self.slots.push(None);
        }
        self.slots[number as usize] = Some(RelaySocket { socket, token });
        Ok(SocketId(number))
    }

    fn close(&mut self, SocketId(number): SocketId) {
        if let Some(closing) = self.get(number) {
            // What still arrives is nobody's; a socket that cannot be taken out goes when it is dropped.
            let _ = self.poller.remove(&closing.socket);
            self.closed.push(number);
        }
    }

    fn report(&mut self, event: Event<'_>) {
        let now = self.clock.now().tick;
        match event {
            Event::Allocated { client, user } => {
                let (client, user) = (
                    self.redactor.socket(client.client, now),
                    self.redactor.user(user, now),
                );
                info!(%client, %user, "allocation created");
            }
            Event::Ended {
                client,
                user,
                reason,
                lifetime,
                bytes,
            } => {
                let (client, user) = (
                    self.redactor.socket(client.client, now),
                    self.redactor.user(user, now),
                );
                info!(%client, %user, reason = reason.label(), seconds = lifetime.as_secs(), bytes, "allocation ended");
            }
            Event::PeerRefused { user, peer } => {
                let (peer, user) = (self.redactor.ip(peer, now), self.redactor.user(user, now));
                debug!(%peer, %user, "peer refused");
            }
        }
    }
}

impl From<BindError> for OpenError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::PortTaken => Self::PortTaken,
            BindError::Exhausted(_)
            | BindError::NoSuchAddress
            | BindError::Denied
            | BindError::Other(_) => Self::Unavailable,
        }
    }
}

/// What a worker waits for, as the poller names it; sockets have the same name in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A listener, by the number of its link.
    Listener(u32),
    /// A relay socket, by its number.
    Relay(u32),
    /// A listener for connections, by its number.
    Acceptor(u32),
    /// A connection, by its number.
    Stream(u32),
    /// The call of another thread.
    Waker,
}

impl Key {
    const LISTENER: u64 = 0;
    const RELAY: u64 = 1;
    const ACCEPTOR: u64 = 2;
    const STREAM: u64 = 3;
    const WAKER: u64 = 4;

    /// One word: what it is in the upper half, its number in the lower.
    pub(super) const fn token(self) -> u64 {
        match self {
            Self::Listener(number) => Self::LISTENER << 32 | number as u64,
            Self::Relay(number) => Self::RELAY << 32 | number as u64,
            Self::Acceptor(number) => Self::ACCEPTOR << 32 | number as u64,
            Self::Stream(number) => Self::STREAM << 32 | number as u64,
            Self::Waker => Self::WAKER << 32,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half of the word is the number"
    )]
    pub(super) const fn of(token: u64) -> Self {
        match token >> 32 {
            Self::LISTENER => Self::Listener(token as u32),
            Self::RELAY => Self::Relay(token as u32),
            Self::ACCEPTOR => Self::Acceptor(token as u32),
            Self::STREAM => Self::Stream(token as u32),
            _ => Self::Waker,
        }
    }
}
