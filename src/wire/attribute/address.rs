//! Transport addresses, plain and obfuscated (RFC 8489 sections 14.1 and 14.2).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Attribute, AttributeError, Encode, exactly};
use crate::masked::Masked;
use crate::wire::header::COOKIE;
use crate::wire::{AttributeType, BufferFull, TransactionId, Value};

/// An address family, as numbered in RFC 8489 section 14.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    V4 = 1,
    /// IPv6.
    V6 = 2,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(super) const fn number(self) -> u8 {
        self as u8
    }

    pub(super) const fn from_number(number: u8) -> Result<Self, AttributeError> {
        match number {
            1 => Ok(Self::V4),
            2 => Ok(Self::V6),
            _ => Err(AttributeError::Family),
        }
    }
}

/// Defines an attribute that holds a transport address, XORed with what `$mask` makes of the transaction.
macro_rules! address {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $mask:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub SocketAddr);

        impl Attribute<'_> for $name {
            const TYPE: AttributeType = AttributeType::$kind;

            fn decode(value: &[u8], id: TransactionId) -> Result<Self, AttributeError> {
                decode(value, $mask(id)).map(Self)
            }
        }

        impl Encode for $name {
            fn attribute_type(&self) -> AttributeType {
                AttributeType::$kind
            }

            fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
                let mask = $mask(value.transaction_id());
                encode(self.0, mask, value)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&Masked::new(self.0)).finish()
            }
        }
    };
}

address! {
    /// Where a client without XOR-MAPPED-ADDRESS learns its address (RFC 8489 section 14.1).
    MappedAddress, MAPPED_ADDRESS, plain
}
address! {
    /// The client's address as the server sees it (RFC 8489 section 14.2).
    XorMappedAddress, XOR_MAPPED_ADDRESS, xor
}
address! {
    /// The peer that a request or data is about (RFC 8656 section 18.3).
    XorPeerAddress, XOR_PEER_ADDRESS, xor
}
address! {
    /// The address that the server allocated (RFC 8656 section 18.5).
    XorRelayedAddress, XOR_RELAYED_ADDRESS, xor
}
address! {
    /// The server to try instead (RFC 8489 section 14.15).
    AlternateServer, ALTERNATE_SERVER, plain
}

const fn plain(_: TransactionId) -> u128 {
    0
}

/// The cookie and the transaction, so that no middlebox recognises an address and rewrites it (RFC 8489 section 14.2).
/// A port and an IPv4 address are XORed with the start of it.
const fn xor(id: TransactionId) -> u128 {
    let [c0, c1, c2, c3] = COOKIE;
    let [i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11] = id.0;
    u128::from_be_bytes([
        c0, c1, c2, c3, i0, i1, i2, i3, i4, i5, i6, i7, i8, i9, i10, i11,
    ])
}

fn decode(value: &[u8], mask: u128) -> Result<SocketAddr, AttributeError> {
    let (&[_, family, p0, p1], ip) = value.split_first_chunk().ok_or(AttributeError::Length)?;
    let [m0, m1, m2, m3, ..] = mask.to_be_bytes();
    let port = u16::from_be_bytes([p0 ^ m0, p1 ^ m1]);
    let ip = match Family::from_number(family)? {
        Family::V4 => {
            let mask = u32::from_be_bytes([m0, m1, m2, m3]);
            Ipv4Addr::from_bits(u32::from_be_bytes(exactly(ip)?) ^ mask).into()
        }
        Family::V6 => Ipv6Addr::from_bits(u128::from_be_bytes(exactly(ip)?) ^ mask).into(),
    };
    Ok(SocketAddr::new(ip, port))
}

fn encode(address: SocketAddr, mask: u128, value: &mut Value<'_>) -> Result<(), BufferFull> {
    let [m0, m1, m2, m3, ..] = mask.to_be_bytes();
    let [p0, p1] = address.port().to_be_bytes();
    value.push(&[0, Family::of(address.ip()).number(), p0 ^ m0, p1 ^ m1])?;
    match address.ip() {
        IpAddr::V4(ip) => {
            let mask = u32::from_be_bytes([m0, m1, m2, m3]);
            value.push(&(ip.to_bits() ^ mask).to_be_bytes())
        }
        IpAddr::V6(ip) => value.push(&(ip.to_bits() ^ mask).to_be_bytes()),
    }
}
