//! The keyed hash over a message (RFC 8489 sections 14.5 and 14.6).
//!
//! Where a key comes from (password, realm, algorithm) is the business of the layer above.

use std::fmt;
use std::hint::black_box;

use ring::hmac;

use super::header::{HEADER_LEN, with_length};

/// The hash that an integrity attribute is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// HMAC-SHA1, in MESSAGE-INTEGRITY.
    Sha1,
    /// HMAC-SHA256, in MESSAGE-INTEGRITY-SHA256.
    Sha256,
}

impl Hash {
    /// Bytes of the tag.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// A key that messages are signed and verified with, prepared for its hash.
///
/// Preparing costs two blocks of the hash, so a key that is used again is worth keeping.
#[derive(Clone)]
pub struct HmacKey {
    hash: Hash,
    key: hmac::Key,
}

impl HmacKey {
    /// Prepares a key for MESSAGE-INTEGRITY.
    #[must_use]
    pub fn sha1(raw: &[u8]) -> Self {
        Self {
            hash: Hash::Sha1,
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, raw),
        }
    }

    /// Prepares a key for MESSAGE-INTEGRITY-SHA256.
    #[must_use]
    pub fn sha256(raw: &[u8]) -> Self {
        Self {
            hash: Hash::Sha256,
            key: hmac::Key::new(hmac::HMAC_SHA256, raw),
        }
    }

    /// The hash that the key is for.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The tag over `covered`, a message up to its integrity attribute. The header's length is taken as if the message
    /// ended behind that attribute (RFC 8489 section 14.5). `None` where `covered` is no message.
    #[inline]
    pub(super) fn tag(&self, covered: &[u8]) -> Option<hmac::Tag> {
        let length = (covered.len() + 4 + self.hash.tag_len()).checked_sub(HEADER_LEN)?;
        let (header, attributes) = with_length(covered, u16::try_from(length).ok()?)?;
        if covered.starts_with(&header) {
            // Nothing follows the attribute: one piece is hashed faster than two.
            return Some(hmac::sign(&self.key, covered));
        }
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&header);
        context.update(attributes);
        Some(context.sign())
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacKey")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// Compares in a time that depends on the lengths alone.
#[inline]
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    // The black box wants the exact value, so the compiler cannot end the loop at the first difference.
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tells_every_single_difference() {
        let a = [0x5A; 20];
        assert!(equal(&a, &a));
        for at in 0..a.len() {
            let mut b = a;
            b[at] ^= 0x80;
            assert!(!equal(&a, &b), "byte {at}");
        }
        assert!(!equal(&a, &a[..19]));
        assert!(equal(&[], &[]));
    }

    #[test]
    fn debug_of_a_key_shows_no_key() {
        assert_eq!(
            format!("{:?}", HmacKey::sha1(b"north")),
            "HmacKey { hash: Sha1, .. }"
        );
    }
}
