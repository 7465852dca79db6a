//! Identities and calls as keyed hashes, so that the relay's tables hold neither a name nor a call id.
//!
//! One [`Tagger`] is made at start from a random key and shared by every worker: within the process equal identities
//! have equal tags; outside it a tag means nothing and cannot be turned back.

use std::num::NonZeroU64;

use ring::hmac;

/// An identity as a keyed hash: equal for equal identities, meaningless outside this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserTag(pub u64);

/// The `call` claim as a keyed hash of [`CallTag::BITS`] bits, or [`CallTag::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CallTag(NonZeroU64);

impl CallTag {
    /// The tag of an allocation whose credential names no call. It equals itself, but two parties without a call are
    /// not in the same one: compare with [`Self::same_call`].
    pub(super) const NONE: Self = Self(NonZeroU64::MIN);

    /// How many bits a tag has, the lowest of its word: the directory keeps something else in the others.
    pub(super) const BITS: u32 = 48;

    /// Whether both are in one and the same call.
    #[must_use]
    pub(super) fn same_call(self, other: Self) -> bool {
        self == other && self != Self::NONE
    }

    /// The tag as a number, to be stored in a word where zero stands for "nobody".
    pub(super) const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The inverse of [`Self::to_bits`].
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        NonZeroU64::new(bits).map(Self)
    }
}

/// Makes tags under one key.
pub(super) struct Tagger {
    key: hmac::Key,
}

impl Tagger {
    /// A tagger whose `key` is random, kept nowhere else and never reused after a restart.
    #[must_use]
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// The tag of the identity in a credential: the id alone, without the expiry that stands before it in a username.
    #[must_use]
    pub(super) fn user(&self, identity: &[u8]) -> UserTag {
        UserTag(self.digest(b"user", identity))
    }

    /// The tag of a `call` claim. An empty claim names no call.
    #[must_use]
    pub(super) fn call(&self, call: &[u8]) -> CallTag {
        if call.is_empty() {
            return CallTag::NONE;
        }
        // Zero means "nobody" and one means "no call".
        let digest = self.digest(b"call", call) >> (u64::BITS - CallTag::BITS);
        CallTag::from_bits(digest.max(2)).unwrap_or(CallTag::NONE)
    }

    /// The first 64 bits of HMAC-SHA-256 over `kind` (four bytes, so that the split is unambiguous) and `name`.
    fn digest(&self, kind: &[u8; 4], name: &[u8]) -> u64 {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(kind);
        context.update(name);
        let digest = context.sign();
        digest
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |tag, byte| tag << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_under_one_key_get_equal_tags() {
        let (one, two) = (Tagger::new(&[7; 32]), Tagger::new(&[7; 32]));

        assert_eq!(one.user(b"alice"), two.user(b"alice"));
        assert_eq!(one.call(b"9f2c"), two.call(b"9f2c"));
        assert_ne!(one.user(b"alice"), one.user(b"bob"));
        assert_ne!(one.call(b"9f2c"), one.call(b"9f2d"));
    }

    #[test]
    fn another_key_gives_other_tags() {
        let (one, two) = (Tagger::new(&[7; 32]), Tagger::new(&[8; 32]));

        assert_ne!(one.user(b"alice"), two.user(b"alice"));
        assert_ne!(one.call(b"9f2c"), two.call(b"9f2c"));
    }

    #[test]
    fn a_user_and_a_call_of_one_name_are_unrelated() {
        let tagger = Tagger::new(&[7; 32]);

        assert_ne!(tagger.user(b"x").0, tagger.call(b"x").to_bits());
    }

    #[test]
    fn parties_without_a_call_share_none() {
        let tagger = Tagger::new(&[7; 32]);
        let call = tagger.call(b"9f2c");

        assert_eq!(tagger.call(b""), CallTag::NONE);
        assert!(!CallTag::NONE.same_call(CallTag::NONE));
        assert!(!call.same_call(CallTag::NONE));
        assert!(call.same_call(call));
    }

    #[test]
    fn tags_are_never_the_reserved_words() {
        let tagger = Tagger::new(&[7; 32]);

        for call in 0..1_000_u32 {
            let bits = tagger.call(&call.to_be_bytes()).to_bits();
            assert!((2..1 << CallTag::BITS).contains(&bits));
        }
        assert_eq!(CallTag::from_bits(0), None);
        assert_eq!(CallTag::from_bits(1), Some(CallTag::NONE));
    }
}
