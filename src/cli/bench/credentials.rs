//! Who the clients say they are.

use crate::auth::{Claims, Credential, CredentialError, Secret, mint};
use crate::time::UnixTime;

/// How long a credential is valid, in seconds.
const TTL: u64 = 6 * 3600;

/// Where credentials come from.
pub(super) enum Credentials {
    /// Everybody has the same.
    One(Credential),
    /// Each client has one of its own, minted with the server's secret.
    Minted {
        secret: Secret,
        expires: UnixTime,
        /// Whether they claim a call and a party.
        claims: bool,
    },
}

impl Credentials {
    /// Credentials minted with `secret` from `now` on.
    pub(super) const fn minted(secret: Secret, now: UnixTime, claims: bool) -> Self {
        Self::Minted {
            secret,
            expires: UnixTime::from_secs(now.as_secs() + TTL),
            claims,
        }
    }

    /// The credential of a client: clients `2 n` and `2 n + 1` are the parties of call `n`.
    ///
    /// # Errors
    ///
    /// [`CredentialError`].
    pub(super) fn of(&self, client: usize) -> Result<Credential, CredentialError> {
        let (secret, expires, claims) = match self {
            Self::One(credential) => return Ok(credential.clone()),
            Self::Minted {
                secret,
                expires,
                claims,
            } => (secret, *expires, *claims),
        };
        if !claims {
            return mint(secret, expires, Some(&format!("bench-{client}")));
        }
        let claims = Claims {
            call: Some(&format!("bench-{}", client / 2)),
            party: Some(["a", "b"][client % 2]),
            ..Claims::default()
        };
        mint(secret, expires, Some(&claims.to_id()?))
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::auth::TimeLimited;

    #[test]
    fn each_client_has_an_identity_and_each_two_a_call() {
        let minted = |claims, client| {
            let secret = Secret::new("s", Zeroizing::new(vec![7; 32])).unwrap();
            let credentials = Credentials::minted(secret, UnixTime::from_secs(1_000), claims);
            credentials.of(client).unwrap().username
        };

        assert_eq!(minted(false, 5), "22600:bench-5");
        let [a, b] = [4, 5].map(|client| minted(true, client));
        let [a, b] = [&a, &b].map(|name| TimeLimited::parse(name, ':').unwrap().claims);
        assert_eq!((a.call, a.party), (Some("bench-2"), Some("a")));
        assert_eq!((b.call, b.party), (Some("bench-2"), Some("b")));
    }
}
