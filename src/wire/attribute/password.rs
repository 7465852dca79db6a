//! How a password becomes a key (RFC 8489 sections 14.11 and 14.12, registry in section 18.5).

use super::{Attribute, AttributeError, Encode};
use crate::wire::{AttributeType, BufferFull, TransactionId, Value};

/// The algorithm that a client chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PasswordAlgorithm<'a> {
    /// Its number.
    pub number: u16,
    /// Its parameters, as received; the algorithms registered so far have none.
    pub parameters: &'a [u8],
}

impl PasswordAlgorithm<'static> {
    /// MD5 over user, realm and password.
    pub const MD5: Self = Self {
        number: 1,
        parameters: &[],
    };
    /// SHA-256 over the same.
    pub const SHA256: Self = Self {
        number: 2,
        parameters: &[],
    };
}

impl<'a> PasswordAlgorithm<'a> {
    /// Reads the first algorithm of a list and returns what follows it.
    fn split_from(list: &'a [u8]) -> Result<(Self, &'a [u8]), AttributeError> {
        let (&[n0, n1, l0, l1], rest) = list.split_first_chunk().ok_or(AttributeError::Length)?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let algorithm = Self {
            number: u16::from_be_bytes([n0, n1]),
            parameters: rest.get(..len).ok_or(AttributeError::Length)?,
        };
        // The padding of the last one may be that of the attribute.
        Ok((
            algorithm,
            rest.get(len.next_multiple_of(4)..).unwrap_or_default(),
        ))
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithm<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHM;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        match Self::split_from(value)? {
            (algorithm, []) => Ok(algorithm),
            _ => Err(AttributeError::Length),
        }
    }
}

impl Encode for PasswordAlgorithm<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::PASSWORD_ALGORITHM
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        let len = u16::try_from(self.parameters.len()).map_err(|_| BufferFull)?;
        value.push(&self.number.to_be_bytes())?;
        value.push(&len.to_be_bytes())?;
        value.push(self.parameters)
    }
}

/// The algorithms that a server offers, best first, and that a client must send back unchanged.
///
/// Kept as the bytes of the value: two lists are equal where no byte was changed on the way, which is how a server
/// tells that nobody between made the client choose a weaker one (RFC 8489 section 9.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PasswordAlgorithms<'a>(&'a [u8]);

impl PasswordAlgorithms<'static> {
    /// SHA-256 alone.
    pub const SHA256: Self = Self(&[0, 2, 0, 0]);
    /// SHA-256, else MD5.
    pub const SHA256_MD5: Self = Self(&[0, 2, 0, 0, 0, 1, 0, 0]);
}

impl<'a> PasswordAlgorithms<'a> {
    /// The algorithms, in order.
    pub fn iter(&self) -> impl Iterator<Item = PasswordAlgorithm<'a>> + use<'a> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (algorithm, behind) = PasswordAlgorithm::split_from(rest).ok()?;
            rest = behind;
            Some(algorithm)
        })
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithms<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHMS;

    fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
        let mut rest = value;
        while !rest.is_empty() {
            (_, rest) = PasswordAlgorithm::split_from(rest)?;
        }
        Ok(Self(value))
    }
}

impl Encode for PasswordAlgorithms<'_> {
    fn attribute_type(&self) -> AttributeType {
        AttributeType::PASSWORD_ALGORITHMS
    }

    fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
        value.push(self.0)
    }
}
