//! What a client asks for, past all syntax: bad requests do not get beyond these types.

use std::net::SocketAddr;

use super::options::Options;
use super::response::Refusal;
use super::{FiveTuple, Transport};
use crate::auth::Authenticated;
use crate::masked::Masked;
use crate::time::Now;
use crate::wire::{
    AdditionalAddressFamily, Attribute, AttributeType, ChannelNumber, ChannelNumberAttribute,
    ConnectionId, DontFragment, EvenPort, Family, Lifetime, Message, RequestedAddressFamily,
    RequestedTransport, ReservationToken, XorPeerAddress,
};

/// What ADDITIONAL-ADDRESS-FAMILY was numbered in the drafts of RFC 8656; coturn's client still says so.
const DRAFT_ADDITIONAL_ADDRESS_FAMILY: AttributeType = AttributeType(0x8032);

/// Whether the server understands a comprehension-required attribute. Understood is not the same as used: an
/// attribute that has no meaning for a method is ignored there (RFC 8489 section 6.3.1).
pub(super) const fn is_understood(kind: AttributeType) -> bool {
    matches!(
        kind,
        AttributeType::MAPPED_ADDRESS
            | AttributeType::USERNAME
            | AttributeType::MESSAGE_INTEGRITY
            | AttributeType::ERROR_CODE
            | AttributeType::UNKNOWN_ATTRIBUTES
            | AttributeType::CHANNEL_NUMBER
            | AttributeType::LIFETIME
            | AttributeType::XOR_PEER_ADDRESS
            | AttributeType::DATA
            | AttributeType::REALM
            | AttributeType::NONCE
            | AttributeType::XOR_RELAYED_ADDRESS
            | AttributeType::REQUESTED_ADDRESS_FAMILY
            | AttributeType::EVEN_PORT
            | AttributeType::REQUESTED_TRANSPORT
            | AttributeType::DONT_FRAGMENT
            | AttributeType::MESSAGE_INTEGRITY_SHA256
            | AttributeType::PASSWORD_ALGORITHM
            | AttributeType::USERHASH
            | AttributeType::XOR_MAPPED_ADDRESS
            | AttributeType::CONNECTION_ID
            | AttributeType::RESERVATION_TOKEN
            | AttributeType::PRIORITY
            | AttributeType::USE_CANDIDATE
    )
}

/// An authenticated request: what it says, who sent it, from where and when.
pub(super) struct Request<'r, 'm> {
    pub(super) now: Now,
    pub(super) from: &'r FiveTuple,
    pub(super) message: &'r Message<'m>,
    pub(super) who: &'r Authenticated<'m>,
}

/// What a relayed address speaks with peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerTransport {
    Udp,
    /// RFC 6062.
    Tcp,
}

/// An Allocate request (RFC 8656 section 7.1, RFC 6062 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AllocateRequest {
    pub(super) transport: PeerTransport,
    pub(super) addresses: Addresses,
    /// The lifetime asked for, in seconds.
    pub(super) lifetime: Option<u32>,
}

/// Which relayed addresses an Allocate request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// One, of a family.
    One(Family, Port),
    /// One of each family; either may fail.
    Both(Port),
    /// The one that an earlier allocation reserved.
    Reserved(ReservationToken),
}

/// Which port a relayed address is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Udp(Parity),
    Tcp,
}

impl Port {
    pub(super) const fn transport(self) -> PeerTransport {
        match self {
            Self::Udp(_) => PeerTransport::Udp,
            Self::Tcp => PeerTransport::Tcp,
        }
    }
}

/// What the port of a relayed address has to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parity {
    Any,
    Even,
    /// Even, and the next higher port kept for a later request.
    EvenWithNext,
}

impl AllocateRequest {
    /// Reads the request of a client that came by `way`; the checks stand in the order of RFC 8656 section 7.2, steps 3
    /// to 9.
    pub(super) fn parse(
        message: &Message<'_>,
        way: Transport,
        options: &Options,
    ) -> Result<Self, Refusal> {
        let transport = match attribute(message)?.ok_or(Refusal::BadRequest)? {
            RequestedTransport::UDP => PeerTransport::Udp,
            RequestedTransport::TCP if options.tcp => PeerTransport::Tcp,
            _ => return Err(Refusal::UnsupportedTransport),
        };
        let token: Option<ReservationToken> = attribute(message)?;
        let even: Option<EvenPort> = attribute(message)?;
        let requested = attribute(message)?.map(|RequestedAddressFamily(family)| family);
        let additional = additional_family(message, options.legacy_clients)?;
        let lifetime = attribute(message)?.map(|Lifetime(seconds)| seconds);
        let parity = match even {
            None => Parity::Any,
            Some(EvenPort { reserve: false }) => Parity::Even,
            Some(EvenPort { reserve: true }) => Parity::EvenWithNext,
        };
        let port = match transport {
            PeerTransport::Udp => Port::Udp(parity),
            PeerTransport::Tcp => {
                let dont_fragment: Option<DontFragment> = attribute(message)?;
                // RFC 6062 section 5.1: over streams alone, and nothing of what only datagrams need.
                let meant_for_udp = dont_fragment.is_some() || even.is_some() || token.is_some();
                if !way.is_stream() || meant_for_udp {
                    return Err(Refusal::BadRequest);
                }
                Port::Tcp
            }
        };
        let addresses = match (token, requested, additional) {
            (Some(token), None, None) if even.is_none() => Addresses::Reserved(token),
            (None, None, Some(Family::V6)) if parity != Parity::EvenWithNext => {
                Addresses::Both(port)
            }
            // Without a family, IPv4 whatever the client's own (RFC 8656 section 7.2, step 7).
            (None, family, None) => Addresses::One(family.unwrap_or(Family::V4), port),
            _ => return Err(Refusal::BadRequest),
        };
        Ok(Self {
            transport,
            addresses,
            lifetime,
        })
    }
}

/// A Refresh request (RFC 8656 section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RefreshRequest {
    /// Seconds; 0 deletes.
    pub(super) lifetime: Option<u32>,
    /// The one family to refresh; both without.
    pub(super) family: Option<Family>,
}

impl RefreshRequest {
    pub(super) fn parse(message: &Message<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            lifetime: attribute(message)?.map(|Lifetime(seconds)| seconds),
            family: attribute(message)?.map(|RequestedAddressFamily(family)| family),
        })
    }
}

/// The peers of a CreatePermission request: at least one, each well-formed (RFC 8656 section 10.1).
pub(super) fn permission_peers<'a>(
    message: &Message<'a>,
) -> impl Iterator<Item = Result<SocketAddr, Refusal>> + use<'a> {
    let id = message.transaction_id();
    message
        .attributes()
        .filter(|(kind, _)| *kind == AttributeType::XOR_PEER_ADDRESS)
        .map(move |(_, value)| {
            XorPeerAddress::decode(value, id)
                .map(|XorPeerAddress(peer)| peer)
                .map_err(|_| Refusal::BadRequest)
        })
}

/// A ChannelBind request (RFC 8656 section 12.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct ChannelBindRequest {
    pub(super) number: ChannelNumber,
    pub(super) peer: Masked<SocketAddr>,
}

impl ChannelBindRequest {
    pub(super) fn parse(message: &Message<'_>) -> Result<Self, Refusal> {
        let ChannelNumberAttribute(number) = attribute(message)?.ok_or(Refusal::BadRequest)?;
        let XorPeerAddress(peer) = attribute(message)?.ok_or(Refusal::BadRequest)?;
        if peer.port() == 0 {
            return Err(Refusal::BadRequest);
        }
        Ok(Self {
            number,
            peer: Masked::new(peer),
        })
    }
}

/// The peer of a Connect request (RFC 6062 section 4.3).
pub(super) fn connect_peer(message: &Message<'_>) -> Result<SocketAddr, Refusal> {
    let XorPeerAddress(peer) = attribute(message)?.ok_or(Refusal::BadRequest)?;
    if peer.port() == 0 {
        return Err(Refusal::BadRequest);
    }
    Ok(peer)
}

/// The connection of a ConnectionBind request (RFC 6062 section 4.3).
pub(super) fn connection_id(message: &Message<'_>) -> Result<ConnectionId, Refusal> {
    attribute(message)?.ok_or(Refusal::BadRequest)
}

/// The second family that a client asks for.
fn additional_family(message: &Message<'_>, legacy: bool) -> Result<Option<Family>, Refusal> {
    if let Some(AdditionalAddressFamily(family)) = attribute(message)? {
        return Ok(Some(family));
    }
    let Some(draft) = message
        .raw(DRAFT_ADDITIONAL_ADDRESS_FAMILY)
        .filter(|_| legacy)
    else {
        return Ok(None);
    };
    let decoded = AdditionalAddressFamily::decode(draft, message.transaction_id());
    decoded
        .map(|AdditionalAddressFamily(family)| Some(family))
        .map_err(|_| Refusal::BadRequest)
}

/// An attribute, where a malformed one makes the request bad.
fn attribute<'a, A: Attribute<'a>>(message: &Message<'a>) -> Result<Option<A>, Refusal> {
    message.get().map_err(|_| Refusal::BadRequest)
}
