//! The relay sockets of one worker: those that carry datagrams, and those that peers connect to.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tracing::{debug, info};

use super::clock::Clock;
use crate::net::{
    AcceptError, Accepted, BindError, Interest, Poller, SocketOptions, TcpListener, UdpSocket,
};
use crate::ops::redact::Redactor;
use crate::relay::{Event, OpenError, RelayToken, SocketId};
use crate::time::Tick;

/// How long no connection is accepted at a relayed address after descriptors or memory ran out.
const PAUSE: Duration = Duration::from_millis(100);

/// The open relay sockets, by number.
pub(super) struct RelaySockets {
    /// As many as were ever open at a time; bounded by `limits.allocations`, two each.
    slots: Vec<Option<Slot>>,
    vacant: Vec<u32>,
    /// Closed by the core, but kept until what is queued on them has left.
    closed: Vec<u32>,
    /// Listeners that are not watched since descriptors or memory ran out, and until when.
    paused: Option<(Tick, Vec<u32>)>,
    poller: Rc<Poller>,
    options: SocketOptions,
    /// After how long a silence a peer's connection is probed.
    keepalive: Duration,
    redactor: Redactor,
    clock: Clock,
}

enum Slot {
    Datagrams(RelaySocket),
    Connections(TcpListener, RelayToken),
}

/// A relay socket and the core's name for it.
pub(super) struct RelaySocket {
    pub(super) socket: UdpSocket,
    pub(super) token: RelayToken,
}

impl RelaySockets {
    pub(super) fn new(
        poller: Rc<Poller>,
        (options, keepalive): (SocketOptions, Duration),
        redactor: Redactor,
        clock: Clock,
    ) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            closed: Vec::new(),
            paused: None,
            poller,
            options,
            keepalive,
            redactor,
            clock,
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&RelaySocket> {
        match self.slots.get(number as usize)?.as_ref()? {
            Slot::Datagrams(open) => Some(open),
            Slot::Connections(..) => None,
        }
    }

    /// Where a listening socket is bound.
    pub(super) fn listener_addr(&self, SocketId(number): SocketId) -> Option<SocketAddr> {
        match self.slots.get(number as usize)?.as_ref()? {
            Slot::Datagrams(_) => None,
            Slot::Connections(listener, _) => Some(listener.local_addr()),
        }
    }

    /// Takes a connection that a peer has opened, and whose relayed address it reached; `None` where none waits.
    ///
    /// # Errors
    ///
    /// [`AcceptError`]; what still waits is reported again.
    pub(super) fn accept(
        &mut self,
        now: Tick,
        number: u32,
    ) -> Result<Option<(Accepted, RelayToken)>, AcceptError> {
        let Some(Some(Slot::Connections(listener, token))) = self.slots.get(number as usize) else {
            return Ok(None);
        };
        match listener.accept() {
            Ok(accepted) => Ok(accepted.map(|accepted| (accepted, *token))),
            Err(AcceptError::Lost) => Err(AcceptError::Lost),
            Err(error @ (AcceptError::Exhausted(_) | AcceptError::Other(_))) => {
                // It stays readable, so that to ask again at once would be to ask for ever.
                let _ = self.poller.remove(listener);
                let (_, paused) = self
                    .paused
                    .get_or_insert_with(|| (now.after(PAUSE), Vec::new()));
                paused.push(number);
                Err(error)
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Tick> {
        self.paused.as_ref().map(|(until, _)| *until)
    }

    /// Goes on after a pause.
    pub(super) fn handle_timeout(&mut self, now: Tick) {
        let Some((_, paused)) = self.paused.take_if(|(until, _)| *until <= now) else {
            return;
        };
        for number in paused {
            if let Some(Some(Slot::Connections(listener, _))) = self.slots.get(number as usize) {
                let token = Key::PeerAcceptor(number).token();
                // The number may have another tenant, which is watched already.
                let _ = self.poller.add(listener, token, Interest::READABLE);
            }
        }
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

impl RelaySockets {
    /// Binds a socket for datagrams.
    pub(super) fn open(
        &mut self,
        local: SocketAddr,
        token: RelayToken,
    ) -> Result<SocketId, OpenError> {
        let socket = UdpSocket::relay(local, &self.options)?;
        let number = self.next();
        self.poller
            .add(&socket, Key::Relay(number).token(), Interest::READABLE)
            .map_err(|_| OpenError::Unavailable)?;
        self.insert(number, Slot::Datagrams(RelaySocket { socket, token }));
        Ok(SocketId(number))
    }

    /// Binds a socket for connections.
    pub(super) fn listen(
        &mut self,
        local: SocketAddr,
        token: RelayToken,
    ) -> Result<SocketId, OpenError> {
        let listener = TcpListener::relay(local, self.keepalive)?;
        let number = self.next();
        let key = Key::PeerAcceptor(number).token();
        self.poller
            .add(&listener, key, Interest::READABLE)
            .map_err(|_| OpenError::Unavailable)?;
        self.insert(number, Slot::Connections(listener, token));
        Ok(SocketId(number))
    }

    /// Closes a socket; what still arrives is nobody's.
    pub(super) fn close(&mut self, SocketId(number): SocketId) {
        // A socket that cannot be taken out goes when it is dropped.
        let _ = match self.slots.get(number as usize) {
            Some(Some(Slot::Datagrams(closing))) => self.poller.remove(&closing.socket),
            Some(Some(Slot::Connections(closing, _))) => self.poller.remove(closing),
            Some(None) | None => return,
        };
        self.closed.push(number);
    }

    /// The number that the next [`Self::insert`] is to have.
    fn next(&self) -> u32 {
        let new = || u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.vacant.last().copied().unwrap_or_else(new)
    }

    fn insert(&mut self, number: u32, slot: Slot) {
        if self.vacant.pop().is_none() {
            self.slots.push(None);
        }
        self.slots[number as usize] = Some(slot);
    }

    /// Logs what happened.
    pub(super) fn report(&mut self, event: Event<'_>) {
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
    /// A relay socket that peers connect to, by its number.
    PeerAcceptor(u32),
    /// A peer connection, by its number.
    Peer(u32),
    /// A client's connection that is joined with a peer's, by the number of the latter.
    Data(u32),
    /// A listener that speaks DTLS, by the number of its link.
    Dtls(u32),
    /// The call of another thread.
    Waker,
}

impl Key {
    const LISTENER: u64 = 0;
    const RELAY: u64 = 1;
    const ACCEPTOR: u64 = 2;
    const STREAM: u64 = 3;
    const PEER_ACCEPTOR: u64 = 4;
    const PEER: u64 = 5;
    const DATA: u64 = 6;
    const DTLS: u64 = 7;
    const WAKER: u64 = 8;

    /// One word: what it is in the upper half, its number in the lower.
    pub(super) const fn token(self) -> u64 {
        match self {
            Self::Listener(number) => Self::LISTENER << 32 | number as u64,
            Self::Relay(number) => Self::RELAY << 32 | number as u64,
            Self::Acceptor(number) => Self::ACCEPTOR << 32 | number as u64,
            Self::Stream(number) => Self::STREAM << 32 | number as u64,
            Self::PeerAcceptor(number) => Self::PEER_ACCEPTOR << 32 | number as u64,
            Self::Peer(number) => Self::PEER << 32 | number as u64,
            Self::Data(number) => Self::DATA << 32 | number as u64,
            Self::Dtls(number) => Self::DTLS << 32 | number as u64,
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
            Self::PEER_ACCEPTOR => Self::PeerAcceptor(token as u32),
            Self::PEER => Self::Peer(token as u32),
            Self::DATA => Self::Data(token as u32),
            Self::DTLS => Self::Dtls(token as u32),
            _ => Self::Waker,
        }
    }
}
