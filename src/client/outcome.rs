//! What comes of requests and datagrams.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use crate::masked::Masked;
use crate::wire::{ChannelNumber, Icmp};

/// A client's number for one of its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Completed {
    /// Which one.
    pub request: RequestId,
    /// How.
    pub result: Result<Success, RequestError>,
}

/// What a request was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// The client's address as the server sees it.
    Reflexive(Masked<SocketAddr>),
    /// An allocation: see [`Client::allocation`](super::Client::allocation).
    Allocated,
    /// The allocation lives for so long from now on; zero: it is deleted.
    Refreshed(Duration),
    /// The permissions asked for.
    Permitted,
    /// The channel asked for.
    Bound(ChannelNumber),
}

/// Why a request could not be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// [`MAX_IN_FLIGHT`](super::MAX_IN_FLIGHT) requests wait for their responses.
    #[error("too many requests wait for their responses")]
    TooManyInFlight,
    /// All channel numbers are used up.
    #[error("all channel numbers are used up")]
    NoFreeChannel,
    /// No peer, or more than [`MAX_PEERS`](super::MAX_PEERS).
    #[error("a permission is asked for 1 to {} peers at a time", super::MAX_PEERS)]
    Peers,
    /// The request would not fit a datagram.
    #[error("the request does not fit a datagram")]
    TooLarge,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The server refused it, with an error code of RFC 8489 section 14.8 or RFC 8656 section 19. A wrong password is
    /// a 401.
    #[error("the server refused the request with {0}")]
    Refused(u16),
    /// No response came, however often the request was sent.
    #[error("the server did not answer")]
    TimedOut,
    /// Responses came, but none that the server can have made (RFC 8489 section 9.2.5).
    #[error("the responses were not protected by the password")]
    IntegrityViolated,
    /// A challenge whose nonce tells of password algorithms that were removed on the way (RFC 8489 section 9.2.5).
    #[error("the server's offer of password algorithms was removed on the way")]
    BidDown,
    /// No password algorithm on offer is known here.
    #[error("the server offers no known password algorithm")]
    NoSharedAlgorithm,
    /// The server challenged the same request again and again.
    #[error("the server challenged the request too often")]
    TooManyChallenges,
    /// A response that lacks what it must have, or has attributes that must be understood and are not.
    #[error("the response cannot be understood")]
    Malformed,
    /// With what the server asks for, the request does not fit a datagram.
    #[error("the request does not fit a datagram")]
    TooLarge,
}

/// What a datagram from the server was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Received<'d> {
    /// Application data.
    Data(PeerData<'d>),
    /// An ICMP error about data that was sent to a peer (RFC 8656 section 11.5).
    Icmp {
        /// The peer.
        peer: Masked<SocketAddr>,
        /// The error.
        icmp: Icmp,
    },
    /// The response that ends a request.
    Completed(Completed),
    /// A response that makes the client send its request again.
    Pending,
    /// Nothing for this client, or nothing that it may believe.
    Ignored,
}

/// Application data from a peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PeerData<'d> {
    /// Who sent it.
    pub peer: Masked<SocketAddr>,
    /// The channel that it came on; none where it came in a Data indication.
    pub channel: Option<ChannelNumber>,
    /// The data.
    pub payload: &'d [u8],
}

impl fmt::Debug for PeerData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerData")
            .field("channel", &self.channel)
            .field("len", &self.payload.len())
            .finish_non_exhaustive()
    }
}
