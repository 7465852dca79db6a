//! What the core decided about one packet.

use std::net::SocketAddr;

use super::host::{ConnectionToken, SocketId};
use super::{FiveTuple, Span};
use crate::masked::Masked;
use crate::time::Tick;

/// What to do with a packet. The bytes to send, where there are any, already lie in the packet's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Answer the client that sent the packet: control traffic, not to be dropped in favour of media.
    Reply(Span),
    /// Send to a client: ChannelData or a Data indication.
    ToClient {
        /// The client that owns the relayed address.
        to: FiveTuple,
        /// The message, header included.
        span: Span,
    },
    /// Send from a relayed address to a peer.
    ToPeer {
        /// The relay socket to send from.
        from: SocketId,
        /// Where to, as the relay socket must address it.
        to: Masked<SocketAddr>,
        /// The application data.
        span: Span,
        /// Whether the datagram must not be fragmented (RFC 8656 section 18.9).
        dont_fragment: bool,
    },
    /// Send nothing: the answer comes by [`Host::tell`](super::Host::tell) when a connection is open or has failed.
    Later,
    /// Answer the client that sent the packet. From there on, its stream is the data connection of a peer connection
    /// (RFC 6062 section 5.4): every byte that follows the request on it goes to the peer, every byte from the peer,
    /// those included that came before, goes to the client behind the answer, and nothing of it comes to the core but
    /// `Relay::on_spliced` and, when one of the two closes, `Relay::on_connection_closed`.
    Splice {
        /// The answer.
        answer: Span,
        /// The peer connection.
        connection: ConnectionToken,
    },
    /// Nothing has happened yet: give the client's stream, this very packet first, to the relay of another worker.
    HandOver {
        /// Its number.
        worker: usize,
    },
    /// Send nothing.
    Drop(DropReason),
}

/// Which way bytes go through a bound connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the peer.
    ToPeer,
    /// From the peer to the client.
    ToClient,
}

/// Bytes of a bound connection that are asked about at a time, at most.
pub const MAX_CHUNK: usize = 64 * 1024;

/// Whether a chunk of a bound connection may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Pass it on: it is counted.
    Forward,
    /// The allocation's rate is used up: keep the chunk, read no more in this direction, and ask again at this moment.
    Wait(Tick),
    /// The connection is over.
    Closed,
}

/// Why a packet was dropped. One counter each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Neither a well-formed STUN message nor ChannelData.
    Malformed,
    /// A STUN message whose FINGERPRINT is wrong (RFC 8489 section 7).
    BadFingerprint,
    /// A method, class or combination that a server does not take from a client (RFC 8489 section 6.3).
    UnexpectedMessage,
    /// A Binding indication: it keeps a NAT binding alive and is never answered (RFC 8489 section 6.3.2).
    Keepalive,
    /// A source address that no client can have: port 0, multicast, broadcast, or the relay itself.
    BadSource,
    /// Challenges to this source's prefix exceed their budget.
    RateLimitedSource,
    /// Data or an indication from a 5-tuple without an allocation (RFC 8656 section 11.2).
    NoAllocation,
    /// ChannelData on a number that is not bound (RFC 8656 section 12.6).
    NoChannel,
    /// No live permission for the peer (RFC 8656 section 9).
    NoPermission,
    /// The peer policy does not allow the peer.
    PeerDenied,
    /// A Send indication that lacks XOR-PEER-ADDRESS or DATA, or cannot be carried out as asked.
    BadIndication,
    /// The allocation's or the identity's rate is used up.
    OverRate,
    /// More than a datagram holds: from a stream, or with the header that would have to be added.
    TooLarge,
    /// An ICMP error that is not passed on: its type, or too many (RFC 8656 section 11.5).
    IcmpIgnored,
    /// A peer's connection to a TCP relay that has as many as it may have, or had in this second.
    TooManyConnections,
}

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::BadFingerprint,
        Self::UnexpectedMessage,
        Self::Keepalive,
        Self::BadSource,
        Self::RateLimitedSource,
        Self::NoAllocation,
        Self::NoChannel,
        Self::NoPermission,
        Self::PeerDenied,
        Self::BadIndication,
        Self::OverRate,
        Self::TooLarge,
        Self::IcmpIgnored,
        Self::TooManyConnections,
    ];

    /// The value of the metric's `reason` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadFingerprint => "bad_fingerprint",
            Self::UnexpectedMessage => "unexpected_message",
            Self::Keepalive => "keepalive",
            Self::BadSource => "bad_source",
            Self::RateLimitedSource => "rate_limited_source",
            Self::NoAllocation => "no_allocation",
            Self::NoChannel => "no_channel",
            Self::NoPermission => "no_permission",
            Self::PeerDenied => "peer_denied",
            Self::BadIndication => "bad_indication",
            Self::OverRate => "over_rate",
            Self::TooLarge => "too_large",
            Self::IcmpIgnored => "icmp_ignored",
            Self::TooManyConnections => "too_many_connections",
        }
    }
}
