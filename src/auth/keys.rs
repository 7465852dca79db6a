//! Long-term keys (RFC 8489 section 9.2.2): what a username, a realm and a password become, and what a server may store
//! instead of the password.

use std::fmt;

use md5::{Digest, Md5};
use ring::digest::{Context, SHA256};
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use crate::wire::{Hash, HmacKey};

/// The keys of one credential, one for each password algorithm that it can be used with. Wiped on drop.
#[derive(Clone)]
pub struct LongTermKeys {
    md5: Option<Zeroizing<[u8; 16]>>,
    sha256: Option<Zeroizing<[u8; 32]>>,
}

impl LongTermKeys {
    /// Derives both keys. The texts are taken as they are: preparing them is the caller's work.
    #[must_use]
    pub fn derive(username: &str, realm: &str, password: &[u8]) -> Self {
        Self {
            md5: Some(md5_key(username, realm, password)),
            sha256: Some(sha256_key(username, realm, password)),
        }
    }

    /// Takes stored keys, so that a server need not know passwords (RFC 8656 section 6). A client that picks an
    /// algorithm whose key is not stored cannot authenticate.
    #[must_use]
    pub fn stored(md5: Option<[u8; 16]>, sha256: Option<[u8; 32]>) -> Self {
        Self {
            md5: md5.map(Zeroizing::new),
            sha256: sha256.map(Zeroizing::new),
        }
    }

    /// The HMAC key for integrity attributes with `hash`, where this credential has a key for `algorithm`.
    pub(super) fn hmac(&self, algorithm: Algorithm, hash: Hash) -> Option<HmacKey> {
        match algorithm {
            Algorithm::Md5 => self.md5.as_ref().map(|key| hmac_key(&key[..], hash)),
            Algorithm::Sha256 => self.sha256.as_ref().map(|key| hmac_key(&key[..], hash)),
        }
    }
}

impl fmt::Debug for LongTermKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LongTermKeys(..)")
    }
}

/// What a client sends instead of its name: SHA-256(username:realm) (RFC 8489 section 14.4).
pub(super) fn userhash(username: &str, realm: &str) -> [u8; 32] {
    sha256(&[username.as_bytes(), realm.as_bytes()])
}

fn hmac_key(key: &[u8], hash: Hash) -> HmacKey {
    match hash {
        Hash::Sha1 => HmacKey::sha1(key),
        Hash::Sha256 => HmacKey::sha256(key),
    }
}

fn md5_key(username: &str, realm: &str, password: &[u8]) -> Zeroizing<[u8; 16]> {
    let mut md5 = Md5::new();
    md5.update(username);
    md5.update(":");
    md5.update(realm);
    md5.update(":");
    md5.update(password);
    Zeroizing::new(md5.finalize().into())
}

fn sha256_key(username: &str, realm: &str, password: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(sha256(&[username.as_bytes(), realm.as_bytes(), password]))
}

/// SHA-256 of `parts` with a colon between each two.
fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            context.update(b":");
        }
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of RFC 5769 section 2.4 and RFC 8489 appendix B.1: "マトリックス".
    const MATRIX: &str = "\u{30de}\u{30c8}\u{30ea}\u{30c3}\u{30af}\u{30b9}";

    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn keys_of_a_plain_user_match_the_vectors() {
        let keys = LongTermKeys::derive("user", "realm", b"pass");
        assert_eq!(
            text(&keys.md5.unwrap()[..]),
            "8493fbc53ba582fb4c044c456bdc40eb"
        );
        assert_eq!(
            text(&keys.sha256.unwrap()[..]),
            "07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b"
        );
    }

    #[test]
    fn keys_of_the_published_messages_match_the_vectors() {
        let keys = LongTermKeys::derive(MATRIX, "example.org", b"TheMatrIX");
        assert_eq!(
            text(&keys.md5.unwrap()[..]),
            "e8ca7ad59d5eb0518e312911d2dab2a9"
        );
        assert_eq!(
            text(&keys.sha256.unwrap()[..]),
            "dd295a613b9058c3c23d6dc7165bda072304d989c9d0af3a8c7e184b4f9bb4a1"
        );
    }

    #[test]
    fn the_hash_of_a_name_matches_the_vector() {
        assert_eq!(
            text(&userhash(MATRIX, "example.org")),
            "4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704"
        );
    }

    #[test]
    fn an_algorithm_without_a_stored_key_gives_none() {
        let stored = LongTermKeys::stored(Some([7; 16]), None);
        assert!(stored.hmac(Algorithm::Md5, Hash::Sha1).is_some());
        assert!(stored.hmac(Algorithm::Sha256, Hash::Sha256).is_none());
    }

    #[test]
    fn debug_prints_no_key() {
        let printed = format!("{:?}", LongTermKeys::derive("user", "realm", b"pass"));
        assert_eq!(printed, "LongTermKeys(..)");
    }
}
