//! Writing a STUN message into a caller's slice.

use thiserror::Error;

use super::header::{HEADER_LEN, set_length, with_length, write_header};
use super::trailer::FINGERPRINT_XOR;
use super::{AttributeType, Class, Encode, Hash, HmacKey, Method, RawAttribute, TransactionId};

/// The message does not fit: into the slice, or into the 16 bits of its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no room for the message")]
pub struct BufferFull;

/// A message in the making. After every call it is a whole message of [`Self::len`] bytes.
///
/// Attributes go in front of [`Self::integrity`], and [`Self::fingerprint`] comes last: receivers ignore what is
/// written in another order.
pub struct Writer<'b> {
    buf: &'b mut [u8],
    /// Bytes written: a multiple of four, at least [`HEADER_LEN`], at most `buf.len()`.
    len: usize,
    id: TransactionId,
}

impl<'b> Writer<'b> {
    /// Starts a message at the start of `buf`.
    ///
    /// # Errors
    ///
    /// [`BufferFull`] where not even the header fits.
    pub fn new(
        buf: &'b mut [u8],
        class: Class,
        method: Method,
        id: TransactionId,
    ) -> Result<Self, BufferFull> {
        let header = buf.first_chunk_mut().ok_or(BufferFull)?;
        write_header(header, class, method, id);
        Ok(Self {
            buf,
            len: HEADER_LEN,
            id,
        })
    }

    /// Appends an attribute, padded with zeros.
    ///
    /// # Errors
    ///
    /// [`BufferFull`]; the message is as before then.
    #[inline]
    pub fn put(&mut self, attribute: &(impl Encode + ?Sized)) -> Result<(), BufferFull> {
        let mut value = Value {
            room: self.buf.get_mut(self.len + 4..).ok_or(BufferFull)?,
            len: 0,
            id: self.id,
        };
        attribute.encode(&mut value)?;
        let len = value.len;
        self.enclose(attribute.attribute_type(), len)
    }

    /// Appends the integrity attribute of the key's hash, over everything written so far
    /// (RFC 8489 sections 14.5 and 14.6).
    ///
    /// # Errors
    ///
    /// [`BufferFull`]; the message is as before then.
    pub fn integrity(&mut self, key: &HmacKey) -> Result<(), BufferFull> {
        let tag = key.tag(self.written()).ok_or(BufferFull)?;
        self.put(&RawAttribute {
            kind: match key.hash() {
                Hash::Sha1 => AttributeType::MESSAGE_INTEGRITY,
                Hash::Sha256 => AttributeType::MESSAGE_INTEGRITY_SHA256,
            },
            value: tag.as_ref(),
        })
    }

    /// Appends the FINGERPRINT over everything written so far (RFC 8489 section 14.7).
    ///
    /// # Errors
    ///
    /// [`BufferFull`]; the message is as before then.
    pub fn fingerprint(&mut self) -> Result<(), BufferFull> {
        // The CRC covers a header whose length includes the attribute itself.
        let length = u16::try_from(self.len - HEADER_LEN + 8).map_err(|_| BufferFull)?;
        let (header, attributes) = with_length(self.written(), length).ok_or(BufferFull)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header);
        crc.update(attributes);
        self.put(&RawAttribute {
            kind: AttributeType::FINGERPRINT,
            value: &(crc.finalize() ^ FINGERPRINT_XOR).to_be_bytes(),
        })
    }

    /// Bytes written so far.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a message is never empty: it has a header"
    )]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Ends the message and tells how many bytes it has.
    #[must_use]
    pub const fn finish(self) -> usize {
        self.len
    }

    /// Makes an attribute of the `len` bytes that lie where its value belongs: puts its type and length in front,
    /// zeros as padding behind, and counts it into the header's length.
    pub(super) fn enclose(&mut self, kind: AttributeType, len: usize) -> Result<(), BufferFull> {
        let value_len = u16::try_from(len).map_err(|_| BufferFull)?;
        let padded = len.next_multiple_of(4);
        let end = self.len + 4 + padded;
        let length = u16::try_from(end - HEADER_LEN).map_err(|_| BufferFull)?;

        let free = self.buf.get_mut(self.len..).ok_or(BufferFull)?;
        let (header, value) = free.split_first_chunk_mut().ok_or(BufferFull)?;
        value.get_mut(len..padded).ok_or(BufferFull)?.fill(0);
        let ([t0, t1], [l0, l1]) = (kind.0.to_be_bytes(), value_len.to_be_bytes());
        *header = [t0, t1, l0, l1];
        set_length(self.buf.first_chunk_mut().ok_or(BufferFull)?, length);
        self.len = end;
        Ok(())
    }

    fn written(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }
}

/// The value of an attribute in the making.
pub struct Value<'w> {
    room: &'w mut [u8],
    len: usize,
    id: TransactionId,
}

impl Value<'_> {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`BufferFull`]; the message will not have the attribute then.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BufferFull> {
        let free = self.room.get_mut(self.len..).ok_or(BufferFull)?;
        free.get_mut(..bytes.len())
            .ok_or(BufferFull)?
            .copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// The transaction of the message that the attribute becomes part of.
    #[must_use]
    pub const fn transaction_id(&self) -> TransactionId {
        self.id
    }
}

#[cfg(test)]
mod tests;
