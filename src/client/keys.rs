//! A client's long-term keys (RFC 8489 section 9.2.2), and what it may send instead of its name (section 14.4).
//!
//! Derived apart from the server's, so that the two prove each other.

use md5::{Digest, Md5};
use ring::digest::{Context, SHA256};

use crate::auth::Credential;
use crate::wire::PasswordAlgorithm;

/// A password algorithm that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// The algorithm of an offer, if it is known.
    pub(super) fn of(offered: PasswordAlgorithm<'_>) -> Option<Self> {
        [Self::Sha256, Self::Md5]
            .into_iter()
            .find(|known| known.attribute() == offered)
    }

    pub(super) const fn attribute(self) -> PasswordAlgorithm<'static> {
        match self {
            Self::Md5 => PasswordAlgorithm::MD5,
            Self::Sha256 => PasswordAlgorithm::SHA256,
        }
    }

    /// Gives the key of a credential in a realm to `take`.
    pub(super) fn with_key<T>(
        self,
        credential: &Credential,
        realm: &str,
        take: impl FnOnce(&[u8]) -> T,
    ) -> T {
        let parts = [&credential.username, realm, &credential.password];
        match self {
            Self::Md5 => {
                let mut md5 = Md5::new();
                joined(&parts, |bytes| md5.update(bytes));
                take(&md5.finalize())
            }
            Self::Sha256 => take(sha256(&parts).as_ref()),
        }
    }
}

/// SHA-256 over name and realm.
pub(super) fn userhash(username: &str, realm: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(sha256(&[username, realm]).as_ref());
    hash
}

fn sha256(parts: &[&str]) -> ring::digest::Digest {
    let mut context = Context::new(&SHA256);
    joined(parts, |bytes| context.update(bytes));
    context.finish()
}

/// Feeds `parts` with a colon between each two.
fn joined(parts: &[&str], mut feed: impl FnMut(&[u8])) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            feed(b":");
        }
        feed(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::wire::vectors;

    #[test]
    fn published_vectors_give_the_published_keys() {
        let credential = Credential {
            username: vectors::USER.to_owned(),
            password: Zeroizing::new("TheMatrIX".to_owned()),
        };
        for (algorithm, key) in [
            (Algorithm::Md5, vectors::V4_KEY),
            (Algorithm::Sha256, vectors::V5_KEY),
        ] {
            algorithm.with_key(&credential, "example.org", |derived| {
                assert_eq!(derived, vectors::hex(key), "{algorithm:?}");
            });
        }
    }

    #[test]
    fn the_published_name_gives_the_published_hash() {
        let hash = userhash(vectors::USER, "example.org");
        assert_eq!(
            hash[..],
            vectors::hex("4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704")
        );
    }
}
