//! The attributes as types (RFC 8489 section 14, RFC 8656 section 18), grouped by the shape of their values.
//!
//! A type says what a value may look like, not what it means in a message. `Debug` shows no address, no identity and
//! no payload.

mod address;
mod error;
mod number;
mod opaque;
mod password;
mod text;

use thiserror::Error;

pub use address::{
    AlternateServer, Family, MappedAddress, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
pub use error::{AddressErrorCode, ErrorCode, Icmp, MAX_UNKNOWN, UnknownAttributes};
pub use number::{
    AdditionalAddressFamily, ChannelNumberAttribute, ConnectionId, DontFragment, EvenPort,
    Lifetime, RequestedAddressFamily, RequestedTransport,
};
pub use opaque::{Data, RawAttribute, ReservationToken, UserHash};
pub use password::{PasswordAlgorithm, PasswordAlgorithms};
pub use text::{AlternateDomain, Nonce, Realm, Software, Username};

use super::{AttributeType, BufferFull, TransactionId, Value};

/// An attribute that can be read from a message.
pub trait Attribute<'a>: Sized {
    /// Its number.
    const TYPE: AttributeType;

    /// Reads the value of the attribute; `id` is the transaction of the message it stands in.
    ///
    /// # Errors
    ///
    /// [`AttributeError`] where the value is malformed.
    fn decode(value: &'a [u8], id: TransactionId) -> Result<Self, AttributeError>;
}

/// An attribute that can be written into a message.
pub trait Encode {
    /// Its number.
    fn attribute_type(&self) -> AttributeType;

    /// Writes the value, without padding.
    ///
    /// # Errors
    ///
    /// [`BufferFull`] where [`Value::push`] says so.
    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull>;
}

/// Why the value of an attribute is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AttributeError {
    /// It has a length that the attribute cannot have.
    #[error("impossible length")]
    Length,
    /// It names an address family other than IPv4 and IPv6.
    #[error("unknown address family")]
    Family,
    /// It is no UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// It holds a number outside its range.
    #[error("number out of range")]
    Range,
}

/// The value as an array, where it has the length for it.
fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], AttributeError> {
    value.try_into().map_err(|_| AttributeError::Length)
}

#[cfg(test)]
mod tests;
