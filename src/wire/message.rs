//! A checked, borrowed view of a STUN message.

use std::fmt;

use thiserror::Error;

use super::header::{COOKIE, HEADER_LEN, class_of, method_of};
use super::integrity::equal;
use super::trailer::{FINGERPRINT_XOR, Seal, Trailer};
use super::walk::Walk;
use super::{
    Attribute, AttributeError, AttributeType, Class, Hash, HmacKey, Method, TransactionId,
    UnknownAttributes,
};

/// Why bytes are no message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Fewer bytes than a header.
    #[error("shorter than a header")]
    TooShort,
    /// The first bits belong to another protocol.
    #[error("first bits of another protocol")]
    Protocol,
    /// A message without the magic cookie, as before RFC 5389.
    #[error("no magic cookie")]
    Cookie,
    /// The header's length is not that of the bytes behind it.
    #[error("header length does not match the bytes present")]
    Length,
    /// The header's length is not a multiple of four.
    #[error("header length is not a multiple of four")]
    Alignment,
    /// An attribute does not fit into the message.
    #[error("attribute overruns the message")]
    Attribute,
    /// A number outside the range of channels.
    #[error("not a channel number")]
    Channel,
}

/// A STUN message, as a view of its bytes.
///
/// Only attributes that count can be seen: those in front of the first integrity attribute and of FINGERPRINT. What
/// follows an integrity attribute was not covered by it and could have been added by anybody, so it is ignored
/// (RFC 8489 sections 14.5 and 14.6); integrity and fingerprint themselves have their own methods.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    message_type: u16,
    id: TransactionId,
    trailer: Trailer<'a>,
}

impl<'a> Message<'a> {
    /// Checks that `bytes` are one whole message and nothing else.
    ///
    /// # Errors
    ///
    /// [`ParseError`]: every reason but [`ParseError::Channel`].
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (header, body) = bytes
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(ParseError::TooShort)?;
        let (&[t0, t1, l0, l1, c0, c1, c2, c3], id) =
            header.split_first_chunk().ok_or(ParseError::TooShort)?;
        let id = id.try_into().map_err(|_| ParseError::TooShort)?;
        if t0 & 0b1100_0000 != 0 {
            return Err(ParseError::Protocol);
        }
        if [c0, c1, c2, c3] != COOKIE {
            return Err(ParseError::Cookie);
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if !length.is_multiple_of(4) {
            return Err(ParseError::Alignment);
        }
        if length != body.len() {
            return Err(ParseError::Length);
        }
        Ok(Self {
            bytes,
            message_type: u16::from_be_bytes([t0, t1]),
            id: TransactionId(id),
            trailer: Trailer::find(bytes, body)?,
        })
    }

    /// Request, indication or which kind of response.
    #[must_use]
    pub const fn class(&self) -> Class {
        class_of(self.message_type)
    }

    /// What the message is about.
    #[must_use]
    pub const fn method(&self) -> Method {
        method_of(self.message_type)
    }

    /// The transaction it belongs to.
    #[must_use]
    pub const fn transaction_id(&self) -> TransactionId {
        self.id
    }

    /// The whole message.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes that count, in order, with their values.
    #[inline]
    pub fn attributes(&self) -> impl Iterator<Item = (AttributeType, &'a [u8])> + Clone + use<'a> {
        Walk::new(self.trailer.visible)
    }

    /// The value of the first attribute of that type (RFC 8489 section 14: duplicates are ignored).
    #[inline]
    #[must_use]
    pub fn raw(&self, wanted: AttributeType) -> Option<&'a [u8]> {
        self.attributes()
            .find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// The first attribute of that type, decoded.
    ///
    /// # Errors
    ///
    /// [`AttributeError`] where it is there and malformed.
    #[inline]
    pub fn get<A: Attribute<'a>>(&self) -> Result<Option<A>, AttributeError> {
        self.raw(A::TYPE)
            .map(|value| A::decode(value, self.id))
            .transpose()
    }

    /// The attributes that must be understood and are not: each type once, in order of appearance, at most
    /// [`MAX_UNKNOWN`](super::MAX_UNKNOWN) of them (RFC 8489 section 6.3).
    ///
    /// The list is ready to be written into the 420 response.
    #[must_use]
    pub fn unknown_required(&self, known: impl Fn(AttributeType) -> bool) -> UnknownAttributes {
        self.attributes()
            .map(|(kind, _)| kind)
            .filter(|kind| kind.is_comprehension_required() && !known(*kind))
            .collect()
    }

    /// The integrity attribute that decides: MESSAGE-INTEGRITY-SHA256 where it is there, else MESSAGE-INTEGRITY.
    #[must_use]
    pub fn integrity(&self) -> Option<Integrity> {
        self.trailer.deciding().map(|(hash, seal)| Integrity {
            hash,
            len: seal.value.len(),
        })
    }

    /// Whether the integrity attribute that decides was made with `key`.
    ///
    /// False where there is none, where it is of the other hash, and where it is truncated, which TURN does not allow
    /// (RFC 8489 section 14.6). Takes the same time wherever a tag differs.
    #[must_use]
    pub fn verify(&self, key: &HmacKey) -> bool {
        let Some((hash, Seal { covered, value })) = self.trailer.deciding() else {
            return false;
        };
        if hash != key.hash() || value.len() != hash.tag_len() {
            return false;
        }
        key.tag(covered)
            .is_some_and(|tag| equal(tag.as_ref(), value))
    }

    /// Whether the message carries a FINGERPRINT, and whether it is right.
    ///
    /// One that is not the last attribute is invalid (RFC 8489 section 14.7).
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let Some(Seal { covered, value }) = self.trailer.fingerprint else {
            return Fingerprint::Absent;
        };
        // Being last makes the header's length the one that the CRC was computed with.
        let last = covered.len() + 4 + value.len() == self.bytes.len();
        let expected = (crc32fast::hash(covered) ^ FINGERPRINT_XOR).to_be_bytes();
        if last && value == expected {
            Fingerprint::Valid
        } else {
            Fingerprint::Invalid
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("class", &self.class())
            .field("method", &self.method())
            .field("id", &self.id)
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// An integrity attribute as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integrity {
    /// Which of the two attributes it is.
    pub hash: Hash,
    /// Bytes of its value.
    pub len: usize,
}

impl Integrity {
    /// Whether the value has all the bytes of a tag: anything else is malformed in TURN, or truncated.
    #[must_use]
    pub const fn is_full_length(self) -> bool {
        self.len == self.hash.tag_len()
    }
}

/// What the FINGERPRINT attribute says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fingerprint {
    /// There is none.
    Absent,
    /// It is the last attribute and right.
    Valid,
    /// It is wrong, malformed, or something follows it.
    Invalid,
}

#[cfg(test)]
mod tests;
