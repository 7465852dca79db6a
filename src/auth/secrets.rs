//! The secrets that time-limited credentials are signed with.
//!
//! Several are active at once, so that a backend can be moved from one to the next while both are valid. A secret's
//! bytes live only until its HMAC key is computed; nothing here prints one.

use std::fmt;

use ring::hmac;
use thiserror::Error;
use zeroize::Zeroizing;

use super::claims::is_safe_value;

/// How many secrets may be active at once: an unsuccessful attempt costs a derivation for each.
pub const MAX_SECRETS: usize = 4;

/// A secret and the id that a credential's `kid` claim picks it by.
///
/// Any length is accepted but zero: how long a secret must be is the configuration's to say.
#[derive(Clone)]
pub struct Secret {
    id: Box<str>,
    key: hmac::Key,
}

/// Why secrets are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// The id could not stand in a `kid` claim.
    #[error("secret id `{0}` is empty or has a character outside A-Z a-z 0-9 - . _ ~ : @ + / ! $")]
    BadId(String),
    /// The secret has no bytes.
    #[error("secret `{0}` is empty")]
    Empty(String),
    /// Two secrets share an id.
    #[error("two secrets have the id `{0}`")]
    DuplicateId(String),
    /// More secrets than may be active at once.
    #[error("{0} secrets are active, at most {MAX_SECRETS} may be")]
    TooMany(usize),
}

impl Secret {
    /// Takes a secret's bytes as they are; they are wiped on return.
    ///
    /// # Errors
    ///
    /// [`SecretError::BadId`] and [`SecretError::Empty`].
    pub fn new(id: &str, value: Zeroizing<Vec<u8>>) -> Result<Self, SecretError> {
        Self::from_bytes(id, &value)
    }

    /// Takes the content of a secret file, without the line ends that editors and `echo` put there.
    ///
    /// # Errors
    ///
    /// As [`Secret::new`].
    pub fn from_file_content(id: &str, content: Zeroizing<Vec<u8>>) -> Result<Self, SecretError> {
        let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n');
        let len = content.iter().rposition(is_text).map_or(0, |last| last + 1);
        Self::from_bytes(id, &content[..len])
    }

    /// What a `kid` claim calls the secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key of HMAC-SHA1 over usernames.
    pub(super) const fn key(&self) -> &hmac::Key {
        &self.key
    }

    fn from_bytes(id: &str, value: &[u8]) -> Result<Self, SecretError> {
        if !is_safe_value(id) {
            return Err(SecretError::BadId(id.to_owned()));
        }
        if value.is_empty() {
            return Err(SecretError::Empty(id.to_owned()));
        }
        Ok(Self {
            id: id.into(),
            key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, value),
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The active secrets, in the order they are tried.
#[derive(Clone, Debug)]
pub(super) struct Secrets(Vec<Secret>);

impl Secrets {
    /// Takes the active secrets.
    pub(super) fn new(secrets: Vec<Secret>) -> Result<Self, SecretError> {
        if secrets.len() > MAX_SECRETS {
            return Err(SecretError::TooMany(secrets.len()));
        }
        for (i, secret) in secrets.iter().enumerate() {
            if secrets[..i].iter().any(|earlier| earlier.id == secret.id) {
                return Err(SecretError::DuplicateId(secret.id.to_string()));
            }
        }
        Ok(Self(secrets))
    }

    /// The secrets that may have signed a credential, each with its index: the one that `kid` names, or all.
    pub(super) fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = (usize, &Secret)> {
        self.0
            .iter()
            .enumerate()
            .filter(move |(_, secret)| kid.is_none_or(|kid| *secret.id == *kid))
    }

    pub(super) fn as_slice(&self) -> &[Secret] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(id: &str, value: &[u8]) -> Result<Secret, SecretError> {
        Secret::new(id, Zeroizing::new(value.to_vec()))
    }

    fn tag(secret: &Secret) -> Vec<u8> {
        hmac::sign(secret.key(), b"x").as_ref().to_vec()
    }

    #[test]
    fn an_empty_secret_or_a_bad_id_is_refused() {
        assert_eq!(
            secret("a", b"").unwrap_err(),
            SecretError::Empty("a".into())
        );
        assert_eq!(
            secret("", b"x").unwrap_err(),
            SecretError::BadId(String::new())
        );
        assert_eq!(
            secret("a;b", b"x").unwrap_err(),
            SecretError::BadId("a;b".into())
        );
    }

    #[test]
    fn the_line_ends_of_a_file_are_not_part_of_the_secret() {
        let from_file =
            |content: &[u8]| Secret::from_file_content("a", Zeroizing::new(content.to_vec()));
        let plain = tag(&secret("a", b"north").unwrap());
        for content in [&b"north"[..], b"north\n", b"north\r\n", b"north\n\n"] {
            assert_eq!(tag(&from_file(content).unwrap()), plain);
        }
        for other in [&b"\nnorth"[..], b"north \n", b"no\nrth"] {
            assert_ne!(tag(&from_file(other).unwrap()), plain);
        }
        let none = from_file(b"\r\n").unwrap_err();
        assert_eq!(none, SecretError::Empty("a".into()));
    }

    #[test]
    fn at_most_four_with_distinct_ids_are_active() {
        let named = |ids: &[&str]| {
            ids.iter()
                .map(|id| secret(id, b"s").unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            Secrets::new(named(&["a", "b", "c", "d"]))
                .unwrap()
                .as_slice()
                .len(),
            4
        );
        assert_eq!(
            Secrets::new(named(&["a", "b", "c", "d", "e"])).unwrap_err(),
            SecretError::TooMany(5)
        );
        assert_eq!(
            Secrets::new(named(&["a", "b", "a"])).unwrap_err(),
            SecretError::DuplicateId("a".into())
        );
    }

    #[test]
    fn a_key_id_picks_one_secret_and_without_it_all_are_tried() {
        let secrets =
            Secrets::new(vec![secret("a", b"1").unwrap(), secret("b", b"2").unwrap()]).unwrap();
        let indices = |kid| secrets.candidates(kid).map(|(i, _)| i).collect::<Vec<_>>();
        assert_eq!(indices(None), [0, 1]);
        assert_eq!(indices(Some("b")), [1]);
        assert!(indices(Some("c")).is_empty());
    }

    #[test]
    fn debug_prints_the_id_alone() {
        let printed = format!("{:?}", secret("2026-11", b"north by northwest").unwrap());
        assert_eq!(printed, r#"Secret { id: "2026-11", .. }"#);
    }
}
