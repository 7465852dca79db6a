//! What is known of a sender once its request is authenticated, and what an allocation keeps of it.

use std::fmt;

use super::claims::Claims;
use super::keys::LongTermKeys;
use crate::time::UnixTime;
use crate::wire::HmacKey;

/// A request whose sender is known.
pub struct Authenticated<'a> {
    /// The name that is authenticated: two requests come from one user if their names are equal.
    pub username: &'a str,
    /// What quotas and revocations are keyed on: the ID of a time-limited credential, so that a fresh expiry is no
    /// fresh identity. The whole name where there is no ID, and of a static user.
    pub identity: &'a str,
    /// What the credential claims; nothing, for a static user.
    pub claims: Claims<'a>,
    /// The last second in which the credential is valid; `None` for a static user.
    pub expires: Option<UnixTime>,
    /// The index of the secret that signed the credential, in the order of
    /// [`AuthOptions::secrets`](super::AuthOptions::secrets); `None` for a static user and where an allocation's bound
    /// credential was used.
    pub secret: Option<usize>,
    /// Signs every response to the request, errors included.
    pub response_key: HmacKey,
    pub(super) keys: LongTermKeys,
}

/// What an allocation keeps of the credential that made it, so that its later requests are authenticated by that alone:
/// a call survives the expiry of its credential and the removal of the secret.
#[derive(Clone)]
pub struct BoundCredential {
    username: Box<str>,
    /// Where the ID starts in the username.
    id_start: usize,
    expires: Option<UnixTime>,
    keys: LongTermKeys,
}

impl Authenticated<'_> {
    /// What an allocation keeps, if this request makes one.
    #[must_use]
    pub fn bind(&self) -> BoundCredential {
        BoundCredential {
            username: self.username.into(),
            // The identity is the name or ends it.
            id_start: self.username.len() - self.identity.len(),
            expires: self.expires,
            keys: self.keys.clone(),
        }
    }
}

impl fmt::Debug for Authenticated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("expires", &self.expires)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

impl BoundCredential {
    /// What a request that this credential proved says of its sender.
    pub(super) fn authenticated(&self, response_key: HmacKey) -> Authenticated<'_> {
        Authenticated {
            username: self.username(),
            identity: self.identity(),
            claims: self.claims(),
            expires: self.expires,
            secret: None,
            response_key,
            keys: self.keys.clone(),
        }
    }

    pub(super) const fn keys(&self) -> &LongTermKeys {
        &self.keys
    }

    /// The name: a request of another one is not this allocation's user's (RFC 8656 section 5: 441).
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// As [`Authenticated::identity`].
    #[must_use]
    pub fn identity(&self) -> &str {
        self.username.get(self.id_start..).unwrap_or_default()
    }

    /// As [`Authenticated::claims`].
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        match self.expires {
            Some(_) => {
                Claims::parse(self.identity()).expect("they were read before they were bound")
            }
            // A static user's name is no list of claims, whatever it looks like.
            None => Claims::default(),
        }
    }

    /// The last second in which the credential is valid; `None` for a static user.
    #[must_use]
    pub const fn expires(&self) -> Option<UnixTime> {
        self.expires
    }
}

impl fmt::Debug for BoundCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundCredential")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
