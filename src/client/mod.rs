//! A TURN client (RFC 8656), sans-IO: what the demo, load tests and the daemon's own tests speak with.
//!
//! A [`Client`] is one 5-tuple with one credential and at most one allocation. Its owner asks for something
//! ([`Client::allocate`], [`Client::permit`], [`Client::bind`], …), then moves datagrams and time: it sends what
//! [`Client::poll_transmit`] gives, hands what arrives to [`Client::handle_datagram`], and calls
//! [`Client::handle_timeout`] at [`Client::poll_timeout`]. Every request is [`Completed`] once. Application data is
//! wrapped by [`wrap`] or [`Client::send_indication`] and unwrapped by `handle_datagram`, without allocating. Over TCP
//! or TLS, a [`Connection`] carries the datagrams as frames of a byte stream.
//!
//! Requests are values in `ask`, their repetition is `transaction`, credentials and what is proven by them `session`;
//! what arrives is sorted in `receive`, and what the server granted is kept in `holdings`. Frames of streams are found
//! and filled up in `stream`, inside TLS as `tls` has it. Left out: sockets, clocks, the choice of a server
//! (ALTERNATE-SERVER is not followed), and the preparation of names and passwords outside ASCII.

#![forbid(unsafe_code)]

mod ask;
mod holdings;
mod keys;
mod outcome;
mod receive;
mod session;
mod stream;
mod tls;
mod transaction;

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub use self::ask::{AllocateOptions, Families, Port};
pub use self::holdings::Allocation;
pub use self::outcome::{
    Completed, PeerData, Received, RequestError, RequestId, StartError, Success,
};
pub use self::session::Dialect;
pub use self::stream::{Connection, StreamError};
pub use self::tls::{Trust, tls_config};

use self::ask::Ask;
use self::holdings::Holdings;
use self::session::Session;
use self::transaction::{Due, Transaction};
use crate::auth::Credential;
use crate::time::Tick;
use crate::wire::{
    BufferFull, ChannelData, ChannelNumber, Class, Data, Method, TransactionId, Writer,
    XorPeerAddress, write_channel_header,
};

/// Requests that may wait for their responses at a time.
pub const MAX_IN_FLIGHT: usize = 16;

/// Peers that one [`Client::permit`] may name: more would not fit a datagram that no network fragments.
pub const MAX_PEERS: usize = 32;

/// How often a request is sent again under another nonce or realm, before the server is taken for a broken one.
const MAX_CHALLENGES: u8 = 4;

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions {
    /// The generation of the protocol that it speaks.
    pub dialect: Dialect,
    /// Whether it refreshes its allocation, permissions and channels by itself. Such requests are [`Completed`] as any
    /// other.
    pub upkeep: bool,
    /// How long it waits before it sends a request for the second time (RFC 8489 section 6.2.1); doubles from there.
    /// Over a stream, where a request is sent once, the time after which it is given up follows from it.
    pub first_wait: Duration,
    /// What carries its requests.
    pub transport: Transport,
}

/// What carries the client's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// UDP, which may lose them.
    #[default]
    Datagrams,
    /// TCP or TLS.
    Stream,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            dialect: Dialect::Rfc5389,
            upkeep: false,
            first_wait: Duration::from_millis(500),
            transport: Transport::Datagrams,
        }
    }
}

/// A TURN client on one 5-tuple.
///
/// Cost per packet of application data: one index from a channel, a search through the permissions from a Data
/// indication.
pub struct Client {
    session: Session,
    options: ClientOptions,
    rng: ChaCha12Rng,
    /// At most [`MAX_IN_FLIGHT`].
    transactions: Vec<Transaction>,
    last: RequestId,
    holdings: Holdings,
}

impl Client {
    /// A client that has sent nothing. Its transaction ids follow from `seed`, which no other client may share.
    #[must_use]
    pub fn new(credential: Credential, options: ClientOptions, seed: [u8; 32]) -> Self {
        Self {
            session: Session::new(credential, options.dialect),
            holdings: Holdings::new(options.upkeep),
            options,
            rng: ChaCha12Rng::from_seed(seed),
            transactions: Vec::new(),
            last: RequestId::default(),
        }
    }

    /// Asks for the client's own address as the server sees it, without a credential (RFC 8489 section 12).
    ///
    /// # Errors
    ///
    /// [`StartError`]; so for every request below.
    pub fn binding(&mut self, now: Tick) -> Result<RequestId, StartError> {
        self.begin(now, Ask::Binding)
    }

    /// Asks for an allocation (RFC 8656 section 7).
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn allocate(
        &mut self,
        now: Tick,
        options: AllocateOptions,
    ) -> Result<RequestId, StartError> {
        self.begin(now, Ask::Allocate(options))
    }

    /// Asks that the allocation live for `lifetime` from now on, in whole seconds; zero deletes it (RFC 8656
    /// section 8).
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn refresh(&mut self, now: Tick, lifetime: Duration) -> Result<RequestId, StartError> {
        self.begin(now, Ask::Refresh(lifetime))
    }

    /// Asks for permission to exchange data with the IP addresses of `peers`, all or none (RFC 8656 section 10).
    ///
    /// # Errors
    ///
    /// [`StartError`]; there must be 1 to [`MAX_PEERS`] peers.
    pub fn permit(&mut self, now: Tick, peers: &[SocketAddr]) -> Result<RequestId, StartError> {
        if peers.is_empty() || peers.len() > MAX_PEERS {
            return Err(StartError::Peers);
        }
        self.begin(now, Ask::Permit(peers.into()))
    }

    /// Asks for a channel to `peer` and the permission that goes with it; for the second time, refreshes both
    /// (RFC 8656 section 12).
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn bind(
        &mut self,
        now: Tick,
        peer: SocketAddr,
    ) -> Result<(RequestId, ChannelNumber), StartError> {
        let channel = self
            .holdings
            .assign_channel(peer)
            .ok_or(StartError::NoFreeChannel)?;
        let request = self.begin(now, Ask::Bind(channel, peer))?;
        Ok((request, channel))
    }

    /// The next datagram to send to the server. To be called until it gives none, after everything that takes a `now`.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<&[u8]> {
        let transaction = self
            .transactions
            .iter_mut()
            .find(|sending| sending.unsent)?;
        transaction.unsent = false;
        Some(&transaction.bytes)
    }

    /// When to call [`Self::handle_timeout`]. To be asked after everything that takes a `now`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        let renewal = self.holdings.due().filter(|_| self.has_room());
        self.transactions
            .iter()
            .map(Transaction::due)
            .chain(renewal)
            .min()
    }

    /// Does what is due at `now`: sends a request again, gives one up, renews what would expire. To be called until it
    /// completes nothing.
    pub fn handle_timeout(&mut self, now: Tick) -> Option<Completed> {
        for index in (0..self.transactions.len()).rev() {
            match self.transactions[index].handle_timeout(now) {
                Due::Waits => {}
                Due::GivesUp(error) => return Some(self.complete(index, Err(error))),
            }
        }
        while self.has_room() {
            let ask = self.holdings.renewal(now)?;
            let request = self.next_request();
            match self.transaction(now, request, ask) {
                Ok(transaction) => self.transactions.push(transaction),
                Err(BufferFull) => {
                    let result = Err(RequestError::TooLarge);
                    return Some(Completed { request, result });
                }
            }
        }
        None
    }

    /// Writes a Send indication with `data` for `peer` to the start of `out`; how many bytes it takes (RFC 8656
    /// section 11.1).
    ///
    /// # Errors
    ///
    /// [`BufferFull`]; it takes up to 51 bytes more than the data.
    pub fn send_indication(
        &mut self,
        out: &mut [u8],
        peer: SocketAddr,
        data: &[u8],
    ) -> Result<usize, BufferFull> {
        let id = self.random_id();
        let mut writer = Writer::new(out, Class::Indication, Method::SEND, id)?;
        writer.put(&XorPeerAddress(peer))?;
        writer.put(&Data(data))?;
        Ok(writer.finish())
    }

    /// The allocation, if there is one. It may have expired: its owner knows what time it is.
    #[must_use]
    pub const fn allocation(&self) -> Option<&Allocation> {
        self.holdings.allocation()
    }

    fn begin(&mut self, now: Tick, ask: Ask) -> Result<RequestId, StartError> {
        if !self.has_room() {
            return Err(StartError::TooManyInFlight);
        }
        let request = self.next_request();
        let transaction = self
            .transaction(now, request, ask)
            .map_err(|BufferFull| StartError::TooLarge)?;
        self.transactions.push(transaction);
        Ok(request)
    }

    fn transaction(
        &mut self,
        now: Tick,
        request: RequestId,
        ask: Ask,
    ) -> Result<Transaction, BufferFull> {
        let id = self.random_id();
        let (bytes, key) = self.session.write(&ask, id)?;
        let ClientOptions {
            transport,
            first_wait,
            ..
        } = self.options;
        Ok(Transaction::new(
            (request, ask),
            id,
            (bytes, key),
            now,
            (transport, first_wait),
        ))
    }

    fn complete(&mut self, index: usize, result: Result<Success, RequestError>) -> Completed {
        let request = self.transactions.swap_remove(index).request;
        Completed { request, result }
    }

    fn next_request(&mut self) -> RequestId {
        self.last = self.last.next();
        self.last
    }

    fn random_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.rng.fill_bytes(&mut id);
        TransactionId(id)
    }

    const fn has_room(&self) -> bool {
        self.transactions.len() < MAX_IN_FLIGHT
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("in_flight", &self.transactions.len())
            .field("allocation", &self.allocation())
            .finish_non_exhaustive()
    }
}

/// Makes a ChannelData message of the application data that lies at `payload` in `buf`, by writing the header in front
/// of it (RFC 8656 section 12.5). Returns where the message lies then.
///
/// `None` where there are no [`ChannelData::HEADER_LEN`] bytes in front, or the length does not fit the header.
#[inline]
#[must_use]
pub fn wrap(channel: ChannelNumber, buf: &mut [u8], payload: Range<usize>) -> Option<Range<usize>> {
    let start = payload.start.checked_sub(ChannelData::HEADER_LEN)?;
    let len = u16::try_from(payload.end.checked_sub(payload.start)?).ok()?;
    if payload.end > buf.len() {
        return None;
    }
    let header = buf.get_mut(start..payload.start)?.first_chunk_mut()?;
    write_channel_header(header, channel, len);
    Some(start..payload.end)
}

#[cfg(test)]
mod tests;
