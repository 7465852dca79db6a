//! Attributes whose bytes mean nothing here (RFC 8656 sections 18.4 and 18.10, RFC 8489 section 14.4).

use std::fmt;

use super::{Attribute, AttributeError, Encode, exactly};
use crate::masked::Masked;
use crate::wire::{AttributeType, BufferFull, TransactionId, Value};

/// The application data of an indication (RFC 8656 section 18.4). `Debug` shows its length alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Data<'a>(pub &'a [u8]);

impl<'a> Attribute<'a> for Data<'a> {
    const TYPE: AttributeType = AttributeType::DATA;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        Ok(Self(value))
    }
}

impl Encode for Data<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::DATA
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        value.push(self.0)
    }
}

impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.0.len())
    }
}

/// A hash in place of the user's name (RFC 8489 section 14.4). `Debug` hides it: it stays the same for the same user.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserHash<'a>(pub &'a [u8; 32]);

impl<'a> Attribute<'a> for UserHash<'a> {
    const TYPE: AttributeType = AttributeType::USERHASH;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        value
            .try_into()
            .map(Self)
            .map_err(|_| AttributeError::Length)
    }
}

impl Encode for UserHash<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::USERHASH
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        value.push(self.0)
    }
}

impl fmt::Debug for UserHash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserHash")
            .field(&Masked::new(self.0))
            .finish()
    }
}

/// Redeems a reserved port (RFC 8656 section 18.10). `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

impl Attribute<'_> for ReservationToken {
    const TYPE: AttributeType = AttributeType::RESERVATION_TOKEN;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, AttributeError> {
        exactly(value).map(Self)
    }
}

impl Encode for ReservationToken {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::RESERVATION_TOKEN
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        value.push(&self.0)
    }
}

impl fmt::Debug for ReservationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReservationToken")
            .field(&Masked::new(self.0))
            .finish()
    }
}

/// An attribute by number and value, for what has no type of its own or must be echoed as received.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawAttribute<'a> {
    /// Its number.
    pub kind: AttributeType,
    /// Its value, without padding.
    pub value: &'a [u8],
}

impl Encode for RawAttribute<'_> {
    fn attribute_type(&self) -> AttributeType {
        self.kind
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        value.push(self.value)
    }
}

impl fmt::Debug for RawAttribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAttribute")
            .field("kind", &self.kind)
            .field("len", &self.value.len())
            .finish_non_exhaustive()
    }
}
