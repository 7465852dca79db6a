//! Attributes that hold a number or a flag (RFC 8656 section 18, RFC 6062 section 6.2).
//!
//! Reserved bits are written as zero and may be anything when received.

use super::{Attribute, AttributeError, Encode, Family, exactly};
use crate::wire::{AttributeType, BufferFull, ChannelNumber, TransactionId, Value};

/// How many seconds an allocation lives (RFC 8656 section 18.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime(pub u32);

/// The channel that a request is about (RFC 8656 section 18.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelNumberAttribute(pub ChannelNumber);

/// What the relay is to speak with peers, as an IP protocol number (RFC 8656 section 18.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// UDP.
    pub const UDP: Self = Self(17);

    /// TCP, RFC 6062 section 5.1.
    pub const TCP: Self = Self(6);
}

/// The family that the relayed address is to have (RFC 8656 section 18.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestedAddressFamily(pub Family);

/// The family of a second relayed address (RFC 8656 section 18.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdditionalAddressFamily(pub Family);

/// Asks for an even relay port (RFC 8656 section 18.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvenPort {
    /// Whether the next higher port is to be reserved as well.
    pub reserve: bool,
}

/// Asks that data be sent to the peer unfragmented (RFC 8656 section 18.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DontFragment;

/// A peer connection of a TCP allocation (RFC 6062 section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// Ties a type to its number, to the bytes of its value, and back.
macro_rules! codec {
    ($name:ident, $kind:ident, $decode:expr, $encode:expr) => {
        impl Attribute<'_> for $name {
            const TYPE: AttributeType = AttributeType::$kind;

            fn decode(value: &[u8], _: TransactionId) -> Result<Self, AttributeError> {
                exactly(value).and_then($decode)
            }
        }

        impl Encode for $name {
            fn attribute_type(&self) -> AttributeType {
                AttributeType::$kind
            }

            fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
                let encode: fn(&Self) -> _ = $encode;
                value.push(&encode(self))
            }
        }
    };
}

codec!(
    Lifetime,
    LIFETIME,
    |bytes| Ok(Self(u32::from_be_bytes(bytes))),
    |Self(seconds)| seconds.to_be_bytes()
);
codec!(
    ChannelNumberAttribute,
    CHANNEL_NUMBER,
    |[n0, n1, _, _]| {
        ChannelNumber::new(u16::from_be_bytes([n0, n1]))
            .map(Self)
            .ok_or(AttributeError::Range)
    },
    |Self(channel)| {
        let [n0, n1] = channel.number().to_be_bytes();
        [n0, n1, 0, 0]
    }
);
codec!(
    RequestedTransport,
    REQUESTED_TRANSPORT,
    |[protocol, _, _, _]| Ok(Self(protocol)),
    |Self(protocol)| [*protocol, 0, 0, 0]
);
codec!(
    RequestedAddressFamily,
    REQUESTED_ADDRESS_FAMILY,
    |[family, _, _, _]| Family::from_number(family).map(Self),
    |Self(family)| [family.number(), 0, 0, 0]
);
codec!(
    AdditionalAddressFamily,
    ADDITIONAL_ADDRESS_FAMILY,
    |[family, _, _, _]| Family::from_number(family).map(Self),
    |Self(family)| [family.number(), 0, 0, 0]
);
codec!(
    EvenPort,
    EVEN_PORT,
    |[flags]| Ok(Self {
        reserve: flags & 0x80 != 0
    }),
    |even| [u8::from(even.reserve) << 7]
);
codec!(DontFragment, DONT_FRAGMENT, |[]| Ok(Self), |Self| []);
codec!(
    ConnectionId,
    CONNECTION_ID,
    |bytes| Ok(Self(u32::from_be_bytes(bytes))),
    |Self(id)| id.to_be_bytes()
);
