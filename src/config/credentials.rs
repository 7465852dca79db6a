//! The configured credentials in the authentication layer's own terms.

use zeroize::Zeroizing;

use super::{Auth, Config, User, UserKey};
use crate::auth::{self, AuthOptions, Login, LongTermKeys, OptionsError, StaticUser};

impl Config {
    /// What authentication is told.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] where a secret or a user cannot be used; the checks of the configuration leave little to find.
    pub fn auth_options(&self) -> Result<AuthOptions, OptionsError> {
        let Auth {
            secrets,
            users,
            nonce_lifetime,
            max_ttl,
            require_id,
            offer_md5,
        } = &self.auth;
        let secrets = secrets.iter().map(|shared| {
            auth::Secret::new(
                &shared.id,
                Zeroizing::new(shared.value.reveal().as_bytes().to_vec()),
            )
        });
        Ok(AuthOptions {
            realm: self.realm.clone(),
            secrets: secrets.collect::<Result<_, _>>()?,
            users: users.iter().map(static_user).collect(),
            nonce_lifetime: *nonce_lifetime,
            max_ttl: *max_ttl,
            leeway: std::time::Duration::ZERO,
            require_id: *require_id,
            separator: auth::DEFAULT_SEPARATOR,
            offer_md5: *offer_md5,
        })
    }
}

fn static_user(user: &User) -> StaticUser {
    let login = match &user.key {
        UserKey::Password(password) => Login::Password(Zeroizing::new(password.reveal().clone())),
        UserKey::Stored { md5, sha256 } => Login::Keys(LongTermKeys::stored(
            md5.as_ref().map(|key| *key.reveal()),
            sha256.as_ref().map(|key| *key.reveal()),
        )),
    };
    StaticUser {
        name: user.name.clone(),
        login,
    }
}
