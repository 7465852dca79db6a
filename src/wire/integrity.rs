//! The keyed hash over a message (RFC 8489 sections 14.5 and 14.6).
//!
//! Where a key comes from (password, realm, algorithm) is the business of the layer above.

use std::fmt;
use std::hint::black_box;

use hmac::digest::Output;
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

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

/// A key that messages are signed and verified with, prepared for its hash. Wiped on drop.
///
/// Preparing costs two blocks of the hash, so a key that is used again is worth keeping.
#[derive(Clone)]
pub struct HmacKey(State);

/// The hash after the padded key; each message starts from a copy.
#[derive(Clone)]
enum State {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
}

impl HmacKey {
    /// Prepares a key for MESSAGE-INTEGRITY.
    #[must_use]
    pub fn sha1(raw: &[u8]) -> Self {
        Self(State::Sha1(prepared(raw)))
    }

    /// Prepares a key for MESSAGE-INTEGRITY-SHA256.
    #[must_use]
    pub fn sha256(raw: &[u8]) -> Self {
        Self(State::Sha256(prepared(raw)))
    }

    /// The hash that the key is for.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        match self.0 {
            State::Sha1(_) => Hash::Sha1,
            State::Sha256(_) => Hash::Sha256,
        }
    }

    /// The tag over `covered`, a message up to its integrity attribute. The header's length is taken as if the message
    /// ended behind that attribute (RFC 8489 section 14.5). `None` where `covered` is no message.
    #[inline]
    pub(super) fn tag(&self, covered: &[u8]) -> Option<Tag> {
        let length = (covered.len() + 4 + self.hash().tag_len()).checked_sub(HEADER_LEN)?;
        let (header, attributes) = with_length(covered, u16::try_from(length).ok()?)?;
        // Where nothing follows the attribute, one piece is hashed faster than two.
        let parts: [&[u8]; 2] = if covered.starts_with(&header) {
            [covered, &[]]
        } else {
            [&header, attributes]
        };
        Some(match &self.0 {
            State::Sha1(state) => Tag::Sha1(sign(state, parts)),
            State::Sha256(state) => Tag::Sha256(sign(state, parts)),
        })
    }
}

/// What a key makes of a message.
pub(super) enum Tag {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl AsRef<[u8]> for Tag {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Sha1(tag) => tag,
            Self::Sha256(tag) => tag,
        }
    }
}

fn prepared<D: EagerHash>(raw: &[u8]) -> Hmac<D> {
    Hmac::new_from_slice(raw).expect("HMAC takes keys of every length")
}

fn sign<M: Mac + Clone, T: From<Output<M>>>(state: &M, parts: [&[u8]; 2]) -> T {
    let mut context = state.clone();
    for part in parts {
        context.update(part);
    }
    context.finalize().into_bytes().into()
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacKey")
            .field("hash", &self.hash())
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
    use zeroize::ZeroizeOnDrop;

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
    fn a_key_is_small_and_wiped_and_goes_between_threads() {
        fn assert<T: Clone + Send + Sync>() {}
        fn wiped<T: ZeroizeOnDrop>() {}
        assert::<HmacKey>();
        // `Hmac` has no marker of its own; it consists of these hashes' states and buffer, which wipe themselves.
        wiped::<Sha1>();
        wiped::<Sha256>();
        let size = size_of::<HmacKey>();
        assert!(size <= 160, "{size} bytes");
    }

    #[test]
    fn debug_of_a_key_shows_no_key() {
        assert_eq!(
            format!("{:?}", HmacKey::sha1(b"north")),
            "HmacKey { hash: Sha1, .. }"
        );
    }
}
