//! Requests as values: kept until they are answered, since a challenge has them written anew.

use std::net::SocketAddr;
use std::time::Duration;

use crate::wire::{
    AdditionalAddressFamily, AttributeType, BufferFull, ChannelNumber, ChannelNumberAttribute,
    DontFragment, EvenPort, Family, Lifetime, Method, RequestedAddressFamily, RequestedTransport,
    ReservationToken, Writer, XorPeerAddress,
};

/// What an allocation is to be like (RFC 8656 section 7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocateOptions {
    /// The families of its relayed addresses.
    pub families: Families,
    /// The port of its relayed address.
    pub port: Port,
    /// How long it is to live, in whole seconds; as long as the server likes where there is none.
    pub lifetime: Option<Duration>,
    /// Whether the server must be able to send unfragmented datagrams.
    pub dont_fragment: bool,
}

/// The families of the relayed addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// What the server gives without being told: IPv4.
    #[default]
    Unspecified,
    /// One of that family.
    One(Family),
    /// One of each.
    Both,
}

/// The port of the relayed address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Port {
    /// Any.
    #[default]
    Any,
    /// An even one.
    Even,
    /// An even one, with the next one reserved for a later allocation.
    EvenWithNext,
    /// The one that was reserved.
    Reserved(ReservationToken),
}

/// A request.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Binding,
    Allocate(AllocateOptions),
    /// Zero deletes.
    Refresh(Duration),
    /// 1 to [`MAX_PEERS`](super::MAX_PEERS).
    Permit(Box<[SocketAddr]>),
    Bind(ChannelNumber, SocketAddr),
}

impl Ask {
    pub(super) const fn method(&self) -> Method {
        match self {
            Self::Binding => Method::BINDING,
            Self::Allocate(_) => Method::ALLOCATE,
            Self::Refresh(_) => Method::REFRESH,
            Self::Permit(_) => Method::CREATE_PERMISSION,
            Self::Bind(..) => Method::CHANNEL_BIND,
        }
    }

    /// Whether the request carries a credential.
    pub(super) const fn is_authenticated(&self) -> bool {
        !matches!(self, Self::Binding)
    }

    /// Writes what the request says, without the credential.
    pub(super) fn write(&self, writer: &mut Writer<'_>) -> Result<(), BufferFull> {
        match self {
            Self::Binding => Ok(()),
            Self::Allocate(options) => options.write(writer),
            Self::Refresh(lifetime) => writer.put(&seconds(*lifetime)),
            Self::Permit(peers) => peers
                .iter()
                .try_for_each(|peer| writer.put(&XorPeerAddress(*peer))),
            Self::Bind(channel, peer) => {
                writer.put(&ChannelNumberAttribute(*channel))?;
                writer.put(&XorPeerAddress(*peer))
            }
        }
    }
}

impl AllocateOptions {
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), BufferFull> {
        writer.put(&RequestedTransport::UDP)?;
        match self.families {
            Families::Unspecified => {}
            Families::One(family) => writer.put(&RequestedAddressFamily(family))?,
            Families::Both => writer.put(&AdditionalAddressFamily(Family::V6))?,
        }
        match self.port {
            Port::Any => {}
            Port::Even => writer.put(&EvenPort { reserve: false })?,
            Port::EvenWithNext => writer.put(&EvenPort { reserve: true })?,
            Port::Reserved(token) => writer.put(&token)?,
        }
        if let Some(lifetime) = self.lifetime {
            writer.put(&seconds(lifetime))?;
        }
        if self.dont_fragment {
            writer.put(&DontFragment)?;
        }
        Ok(())
    }
}

/// Whether the client understands a comprehension-required attribute of a response or an indication.
pub(super) const fn is_understood(kind: AttributeType) -> bool {
    matches!(
        kind,
        AttributeType::MAPPED_ADDRESS
            | AttributeType::USERNAME
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
            | AttributeType::PASSWORD_ALGORITHM
            | AttributeType::USERHASH
            | AttributeType::XOR_MAPPED_ADDRESS
            | AttributeType::RESERVATION_TOKEN
    )
}

fn seconds(lifetime: Duration) -> Lifetime {
    Lifetime(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX))
}
