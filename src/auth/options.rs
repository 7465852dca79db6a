//! What the configuration decides for authentication. Every default stands in `config::defaults`.

use std::time::Duration;

use thiserror::Error;

use super::secrets::{Secret, SecretError};
use super::users::{StaticUser, UserError, opaque_string};

/// The longest that a nonce may live (RFC 8656 section 5: it should expire at least once an hour).
pub const MAX_NONCE_LIFETIME: Duration = Duration::from_secs(3600);

/// Everything that authentication can be told.
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// The realm: the provider's domain name. Part of every long-term key, so changing it invalidates stored keys. Up
    /// to 32 bytes keep a challenge within three times the size of the smallest request that earns one.
    pub realm: String,
    /// The secrets of time-limited credentials, at most [`MAX_SECRETS`](super::MAX_SECRETS), in the order they are
    /// tried.
    pub secrets: Vec<Secret>,
    /// Users with a fixed name. A name that is configured here is never read as a time-limited credential.
    pub users: Vec<StaticUser>,
    /// How long a nonce is valid, at most [`MAX_NONCE_LIFETIME`].
    pub nonce_lifetime: Duration,
    /// How far away the expiry of a time-limited credential may be.
    pub max_ttl: Duration,
    /// By how much the minting backend's clock may differ, either way.
    pub leeway: Duration,
    /// Whether a time-limited credential must have an ID.
    pub require_id: bool,
    /// What stands between expiry and ID: one ASCII punctuation character, usually `:`.
    pub separator: char,
    /// Whether MD5 keys are accepted, which is all that clients of RFC 5389 know, browsers among them.
    pub offer_md5: bool,
}

/// Why options are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// Nobody could be authenticated: there is no anonymous relay.
    #[error("no secret and no static user is configured, so nobody could be let in")]
    NoCredentials,
    /// The realm cannot stand in a REALM attribute (RFC 8489 section 14.9).
    #[error("the realm must be 1 to 127 printable characters without `\"` and `\\`")]
    Realm,
    /// The lifetime of nonces is out of range.
    #[error("nonces must live for 1 second to {} seconds", MAX_NONCE_LIFETIME.as_secs())]
    NonceLifetime,
    /// The separator would be mistaken for a part of the expiry or the ID.
    #[error("the separator must be one ASCII punctuation character")]
    Separator,
    /// A secret is refused.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A static user is refused.
    #[error(transparent)]
    User(#[from] UserError),
}

impl AuthOptions {
    /// Checks what needs no other part, and prepares the realm.
    pub(super) fn check(&self) -> Result<Box<str>, OptionsError> {
        if self.secrets.is_empty() && self.users.is_empty() {
            return Err(OptionsError::NoCredentials);
        }
        if !(Duration::from_secs(1)..=MAX_NONCE_LIFETIME).contains(&self.nonce_lifetime) {
            return Err(OptionsError::NonceLifetime);
        }
        if !self.separator.is_ascii_punctuation() {
            return Err(OptionsError::Separator);
        }
        opaque_string(&self.realm)
            .filter(|realm| realm.chars().count() <= 127 && !realm.contains(['"', '\\']))
            .map(Into::into)
            .ok_or(OptionsError::Realm)
    }
}
