//! Static users: for those clients that no backend can mint credentials for.
//!
//! Names and passwords are prepared with the OpaqueString profile (RFC 8265 section 4.2, asked for by RFC 8489 section
//! 9.2.2) when they are loaded; a name on the wire is prepared when it is looked up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::credentials::MAX_USERNAME;
use super::keys::{LongTermKeys, userhash};

/// A user as configured.
#[derive(Clone, Debug)]
pub struct StaticUser {
    /// The name, at most [`MAX_USERNAME`] bytes.
    pub name: String,
    /// What proves it.
    pub login: Login,
}

/// What proves a static user's name.
#[derive(Clone)]
pub enum Login {
    /// A password; the keys are derived from it on load.
    Password(Zeroizing<String>),
    /// Stored keys, which were derived for this name and the configured realm.
    Keys(LongTermKeys),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Keys(_) => "Keys(..)",
        })
    }
}

/// Why static users are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UserError {
    /// The name cannot be prepared: it is empty or has a character that OpaqueString does not allow.
    #[error("user name {0:?} is empty or holds characters that a name may not have")]
    Name(String),
    /// The name is longer than a USERNAME may be.
    #[error("user name {0:?} is longer than {MAX_USERNAME} bytes")]
    TooLong(String),
    /// The password cannot be prepared.
    #[error("the password of user {0:?} is empty or holds characters that a password may not have")]
    Password(String),
    /// Two users have the same prepared name.
    #[error("user {0:?} is configured twice")]
    Duplicate(String),
}

/// A user, ready to be authenticated.
pub(super) struct User {
    /// The prepared name.
    pub(super) name: Box<str>,
    pub(super) keys: LongTermKeys,
}

/// The static users. Look-ups by name and by hash take constant time.
pub(super) struct Users {
    users: Vec<User>,
    by_name: HashMap<Box<str>, usize>,
    /// Empty unless USERHASH is offered.
    by_hash: HashMap<[u8; 32], usize>,
}

impl Users {
    /// Prepares `users` for `realm`; `anonymous` says whether they may present the hash of their name instead of it.
    pub(super) fn new(
        users: Vec<StaticUser>,
        realm: &str,
        anonymous: bool,
    ) -> Result<Self, UserError> {
        let mut table = Self {
            users: Vec::with_capacity(users.len()),
            by_name: HashMap::with_capacity(users.len()),
            by_hash: HashMap::new(),
        };
        for user in users {
            let user = User::prepare(user, realm)?;
            let index = table.users.len();
            if table.by_name.insert(user.name.clone(), index).is_some() {
                return Err(UserError::Duplicate(user.name.into()));
            }
            if anonymous {
                table.by_hash.insert(userhash(&user.name, realm), index);
            }
            table.users.push(user);
        }
        Ok(table)
    }

    /// The user whose name is `name`, in whatever Unicode spelling.
    pub(super) fn by_name(&self, name: &str) -> Option<&User> {
        if self.users.is_empty() || name.len() > MAX_USERNAME {
            return None;
        }
        let index = *self.by_name.get(&*opaque_string(name)?)?;
        self.users.get(index)
    }

    /// The user whose USERHASH is `hash`.
    pub(super) fn by_hash(&self, hash: &[u8]) -> Option<&User> {
        let index = *self.by_hash.get(hash)?;
        self.users.get(index)
    }
}

impl User {
    fn prepare(user: StaticUser, realm: &str) -> Result<Self, UserError> {
        let StaticUser { name, login } = user;
        let Some(prepared) = opaque_string(&name) else {
            return Err(UserError::Name(name));
        };
        if prepared.len() > MAX_USERNAME {
            return Err(UserError::TooLong(name));
        }
        let keys = match login {
            Login::Keys(keys) => keys,
            Login::Password(password) => match opaque_string(&password) {
                Some(password) => LongTermKeys::derive(&prepared, realm, password.as_bytes()),
                None => return Err(UserError::Password(name)),
            },
        };
        Ok(Self {
            name: prepared.into(),
            keys,
        })
    }
}

/// Prepares a name, a realm or a password; `None` where it is empty or not allowed.
pub(super) fn opaque_string(text: &str) -> Option<Cow<'_, str>> {
    // Printable ASCII stands for itself.
    if !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Some(Cow::Borrowed(text));
    }
    OpaqueString::enforce(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::algorithm::Algorithm;
    use crate::wire::Hash;

    fn with_password(name: &str, password: &str) -> StaticUser {
        StaticUser {
            name: name.to_owned(),
            login: Login::Password(Zeroizing::new(password.to_owned())),
        }
    }

    fn users(names: &[&str]) -> Result<Users, UserError> {
        let users = names
            .iter()
            .map(|name| with_password(name, "pass"))
            .collect();
        Users::new(users, "realm", true)
    }

    #[test]
    fn a_user_is_found_by_name_and_nobody_else_is() {
        let users = users(&["alice", "bob"]).unwrap();
        assert_eq!(&*users.by_name("bob").unwrap().name, "bob");
        for name in ["", "carol", "Bob", "bob ", "bob\0", "bob\t"] {
            assert!(users.by_name(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn a20_a_user_is_found_by_the_hash_of_its_name() {
        let users = users(&["alice", "bob"]).unwrap();
        assert_eq!(
            &*users.by_hash(&userhash("bob", "realm")).unwrap().name,
            "bob"
        );
        assert!(users.by_hash(&userhash("carol", "realm")).is_none());
        assert!(users.by_hash(&userhash("bob", "realm")[..31]).is_none());
        assert!(users.by_hash(b"").is_none());
    }

    #[test]
    fn a20_hashes_are_not_known_where_they_are_not_offered() {
        let users = Users::new(vec![with_password("bob", "pass")], "realm", false).unwrap();
        assert!(users.by_hash(&userhash("bob", "realm")).is_none());
    }

    #[test]
    fn a21_both_unicode_spellings_of_a_name_are_the_same_user() {
        let (composed, decomposed) = ("ren\u{e9}", "rene\u{301}");
        for configured in [composed, decomposed] {
            let users = users(&[configured]).unwrap();
            for presented in [composed, decomposed] {
                assert_eq!(&*users.by_name(presented).unwrap().name, composed);
            }
        }
        assert_eq!(
            users(&[composed, decomposed]).err(),
            Some(UserError::Duplicate(composed.to_owned()))
        );
    }

    #[test]
    fn a21_names_with_control_characters_are_refused() {
        for name in ["", "a\tb", "a\0", "a\u{7f}", "a\u{85}b"] {
            assert_eq!(
                users(&[name]).err(),
                Some(UserError::Name(name.to_owned())),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a21_names_up_to_508_bytes_are_users() {
        let longest = "a".repeat(MAX_USERNAME);
        assert!(users(&[&longest]).unwrap().by_name(&longest).is_some());
        let longer = "a".repeat(MAX_USERNAME + 1);
        assert_eq!(users(&[&longer]).err(), Some(UserError::TooLong(longer)));
    }

    #[test]
    fn an_unusable_password_is_refused_without_being_shown() {
        let error = Users::new(vec![with_password("bob", "se\u{7}cret")], "realm", true)
            .err()
            .unwrap();
        assert_eq!(error, UserError::Password("bob".to_owned()));
        assert!(!error.to_string().contains("cret"));
    }

    #[test]
    fn a27_stored_keys_stand_for_a_password() {
        let keys = LongTermKeys::stored(Some([7; 16]), None);
        let user = StaticUser {
            name: "user".into(),
            login: Login::Keys(keys),
        };
        let users = Users::new(vec![user], "realm", true).unwrap();
        let user = users.by_name("user").unwrap();
        assert!(user.keys.hmac(Algorithm::Md5, Hash::Sha1).is_some());
        assert!(user.keys.hmac(Algorithm::Sha256, Hash::Sha256).is_none());
    }

    #[test]
    fn debug_prints_no_password() {
        let printed = format!("{:?}", with_password("bob", "hunter2"));
        assert_eq!(
            printed,
            r#"StaticUser { name: "bob", login: Password(..) }"#
        );
    }

    proptest! {
        #[test]
        fn preparing_never_panics_and_never_gives_nothing(text in "\\PC{0,60}|[\u{30fb}\u{200c}\u{200d}\u{660}-\u{669}\u{6f0}-\u{6f9}\u{b7}l]{0,60}") {
            prop_assert!(opaque_string(&text).is_none_or(|prepared| !prepared.is_empty()));
        }

        #[test]
        fn the_short_way_for_ascii_gives_what_the_profile_gives(text in "[ -~]{1,60}") {
            prop_assert_eq!(opaque_string(&text), OpaqueString::enforce(&*text).ok());
        }
    }
}
