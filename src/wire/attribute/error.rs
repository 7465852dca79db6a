//! Attributes that say what went wrong: in a response (RFC 8489 sections 14.8 and 14.13, RFC 8656 section 18.12) or
//! on the way to a peer (RFC 8656 section 18.13).

use std::ops::Deref;

use super::text::phrase;
use super::{Attribute, AttributeError, Encode, Family, exactly};
use crate::wire::{AttributeType, BufferFull, TransactionId, Value};

/// Types that an [`UnknownAttributes`] holds at most: more would only make the answer to garbage longer.
pub const MAX_UNKNOWN: usize = 32;

/// Why a request was refused (RFC 8489 section 14.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode<'a> {
    /// 300 to 699.
    pub code: u16,
    /// For people.
    pub reason: &'a str,
}

impl<'a> Attribute<'a> for ErrorCode<'a> {
    const TYPE: AttributeType = AttributeType::ERROR_CODE;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let (&[_, _, class, number], reason) =
            value.split_first_chunk().ok_or(AttributeError::Length)?;
        Ok(Self {
            code: code(class, number)?,
            reason: phrase(reason)?,
        })
    }
}

impl Encode for ErrorCode<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::ERROR_CODE
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        let [class, number] = class_and_number(self.code);
        value.push(&[0, 0, class, number])?;
        value.push(self.reason.as_bytes())
    }
}

/// Why there is no relayed address of one family where two were asked for (RFC 8656 section 18.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressErrorCode<'a> {
    /// The family that is missing.
    pub family: Family,
    /// 300 to 699.
    pub code: u16,
    /// For people.
    pub reason: &'a str,
}

impl<'a> Attribute<'a> for AddressErrorCode<'a> {
    const TYPE: AttributeType = AttributeType::ADDRESS_ERROR_CODE;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let (&[family, _, class, number], reason) =
            value.split_first_chunk().ok_or(AttributeError::Length)?;
        Ok(Self {
            family: Family::from_number(family)?,
            code: code(class, number)?,
            reason: phrase(reason)?,
        })
    }
}

impl Encode for AddressErrorCode<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::ADDRESS_ERROR_CODE
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        let [class, number] = class_and_number(self.code);
        value.push(&[self.family.number(), 0, class, number])?;
        value.push(self.reason.as_bytes())
    }
}

/// The types that the sender of a 420 does not know: each once, at most [`MAX_UNKNOWN`], in the order of the request
/// (RFC 8489 section 14.13). What is collected or received beyond that is left out.
#[derive(Clone, Copy)]
pub struct UnknownAttributes {
    types: [AttributeType; MAX_UNKNOWN],
    /// At most [`MAX_UNKNOWN`].
    len: usize,
}

impl Deref for UnknownAttributes {
    type Target = [AttributeType];

    fn deref(&self) -> &[AttributeType] {
        self.types.get(..self.len).unwrap_or_default()
    }
}

impl FromIterator<AttributeType> for UnknownAttributes {
    fn from_iter<I: IntoIterator<Item = AttributeType>>(types: I) -> Self {
        let mut list = Self {
            types: [AttributeType(0); MAX_UNKNOWN],
            len: 0,
        };
        for kind in types {
            if list.contains(&kind) {
                continue;
            }
            let Some(free) = list.types.get_mut(list.len) else {
                break;
            };
            *free = kind;
            list.len += 1;
        }
        list
    }
}

impl Attribute<'_> for UnknownAttributes {
    const TYPE: AttributeType = AttributeType::UNKNOWN_ATTRIBUTES;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, AttributeError> {
        let (types, rest) = value.as_chunks();
        if !rest.is_empty() {
            return Err(AttributeError::Length);
        }
        Ok(types
            .iter()
            .map(|kind| AttributeType(u16::from_be_bytes(*kind)))
            .collect())
    }
}

impl Encode for UnknownAttributes {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::UNKNOWN_ATTRIBUTES
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        self.iter()
            .try_for_each(|kind| value.push(&kind.0.to_be_bytes()))
    }
}

impl PartialEq for UnknownAttributes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for UnknownAttributes {}

impl std::fmt::Debug for UnknownAttributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An ICMP error that the network answered with to data sent to a peer (RFC 8656 section 18.13).
///
/// The RFC draws type and code as 7 and 9 bits wide; they are copied from the ICMP header, where both have 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Icmp {
    /// The ICMP or ICMPv6 type.
    pub kind: u8,
    /// The code within the type.
    pub code: u8,
    /// The next hop's MTU for "packet too big" and its IPv4 equivalent, else zero.
    pub data: [u8; 4],
}

impl Attribute<'_> for Icmp {
    const TYPE: AttributeType = AttributeType::ICMP;

    fn decode(value: &[u8], _: TransactionId) -> Result<Self, AttributeError> {
        let [_, _, kind, code, data @ ..] = exactly::<8>(value)?;
        Ok(Self { kind, code, data })
    }
}

impl Encode for Icmp {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::ICMP
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        value.push(&[0, 0, self.kind, self.code])?;
        value.push(&self.data)
    }
}

/// Puts a code together from its hundreds digit, in the lower three bits of a byte, and the rest.
fn code(class: u8, number: u8) -> Result<u16, AttributeError> {
    let class = class & 0b111;
    if !(3..=6).contains(&class) || number > 99 {
        return Err(AttributeError::Range);
    }
    Ok(u16::from(class) * 100 + u16::from(number))
}

/// Takes a code apart into its hundreds digit and the rest.
const fn class_and_number(code: u16) -> [u8; 2] {
    let [_, class] = (code / 100).to_be_bytes();
    let [_, number] = (code % 100).to_be_bytes();
    [class, number]
}
