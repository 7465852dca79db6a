//! Time-limited credentials, the form that every TURN ecosystem knows: username `EXPIRY:ID`, password
//! `base64(HMAC-SHA1(secret, username))` (draft-uberti-behave-turn-rest-00).
//!
//! Here they are taken apart and made; which secret signed one, and whether it is accepted, is the
//! [`Authenticator`](super::Authenticator)'s to say.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use thiserror::Error;
use zeroize::Zeroizing;

use super::claims::{ClaimError, Claims};
use super::number::parse_digits;
use super::secrets::Secret;
use crate::time::UnixTime;

/// The longest username, in bytes (RFC 8489 section 14.3: less than 509).
pub const MAX_USERNAME: usize = 508;

/// What stands between expiry and ID unless configured otherwise.
pub const DEFAULT_SEPARATOR: char = ':';

/// Length of every time-limited password: 20 bytes in base64.
const PASSWORD_LEN: usize = 28;

/// A username of the form `EXPIRY:ID`, taken apart. Nothing is proven by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimited<'a> {
    /// The last second in which the credential is valid.
    pub expires: UnixTime,
    /// Everything behind the first separator, where there is anything: what quotas and revocations are keyed on.
    pub id: Option<&'a str>,
    /// What the ID claims.
    pub claims: Claims<'a>,
}

/// Why a username is not a time-limited credential's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// It does not begin with an expiry in decimal digits, or holds a control character.
    #[error("the username is not `EXPIRY:ID`, or holds control characters")]
    Malformed,
    /// It is longer than [`MAX_USERNAME`].
    #[error("the username is longer than {MAX_USERNAME} bytes")]
    TooLong,
    /// Its ID is a list of claims that cannot be accepted.
    #[error(transparent)]
    Claims(#[from] ClaimError),
}

impl<'a> TimeLimited<'a> {
    /// Takes `username` apart at the first `separator`: an ID may hold more of them, as Matrix ids do.
    ///
    /// # Errors
    ///
    /// [`CredentialError`] where it has another form.
    pub fn parse(username: &'a str, separator: char) -> Result<Self, CredentialError> {
        if username.len() > MAX_USERNAME {
            return Err(CredentialError::TooLong);
        }
        let (expiry, id) = match username.split_once(separator) {
            Some((expiry, id)) => (expiry, Some(id).filter(|id| !id.is_empty())),
            None => (username, None),
        };
        let expires = parse_digits(expiry).ok_or(CredentialError::Malformed)?;
        let id_text = id.unwrap_or_default();
        if id_text.contains(char::is_control) {
            return Err(CredentialError::Malformed);
        }
        Ok(Self {
            expires: UnixTime::from_secs(expires),
            id,
            claims: Claims::parse(id_text)?,
        })
    }
}

/// How long credentials may live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    /// The furthest future expiry.
    pub(super) max_ttl: Duration,
    /// By how much the backend's clock may differ from ours, either way.
    pub(super) leeway: Duration,
}

/// Why a credential is not valid at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValidityError {
    /// Its expiry has passed.
    Expired,
    /// Its expiry is further away than any should be.
    TooLongLived,
}

impl Validity {
    /// Whether a credential that expires at `expires` is valid at `now`. The expiry is its last valid second.
    pub(super) fn check(self, now: UnixTime, expires: UnixTime) -> Result<(), ValidityError> {
        if now.since(expires) > self.leeway {
            return Err(ValidityError::Expired);
        }
        if expires.since(now) > self.max_ttl.saturating_add(self.leeway) {
            return Err(ValidityError::TooLongLived);
        }
        Ok(())
    }
}

/// A minted credential.
#[derive(Clone)]
pub struct Credential {
    /// What goes into USERNAME.
    pub username: String,
    /// The password, wiped on drop.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Mints the credential that lets `id` (or nobody in particular) in until `expires`.
///
/// # Errors
///
/// [`CredentialError`] where no relay would read the username back as it is meant.
pub fn mint(
    secret: &Secret,
    expires: UnixTime,
    id: Option<&str>,
) -> Result<Credential, CredentialError> {
    let username = match id {
        Some(id) => format!("{}{DEFAULT_SEPARATOR}{id}", expires.as_secs()),
        None => expires.as_secs().to_string(),
    };
    let read = TimeLimited::parse(&username, DEFAULT_SEPARATOR)?;
    if (read.expires, read.id) != (expires, id) {
        return Err(CredentialError::Malformed);
    }
    let password = password(secret.key(), &username);
    let password = str::from_utf8(&password[..]).expect("base64 is ASCII");
    Ok(Credential {
        password: Zeroizing::new(password.to_owned()),
        username,
    })
}

/// The password that belongs to `username`, as text in base64.
pub(super) fn password(secret: &hmac::Key, username: &str) -> Zeroizing<[u8; PASSWORD_LEN]> {
    let tag = hmac::sign(secret, username.as_bytes());
    let mut text = Zeroizing::new([0; PASSWORD_LEN]);
    STANDARD
        .encode_slice(tag.as_ref(), &mut text[..])
        .expect("20 bytes are 28 characters");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret() -> Secret {
        Secret::new("a", Zeroizing::new(b"north".to_vec())).expect("a secret")
    }

    fn parse(username: &str) -> Result<TimeLimited<'_>, CredentialError> {
        TimeLimited::parse(username, DEFAULT_SEPARATOR)
    }

    fn secs(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn r01_the_derivation_matches_the_vector() {
        let credential = mint(&secret(), secs(1_700_000_000), Some("alice")).unwrap();
        assert_eq!(credential.username, "1700000000:alice");
        assert_eq!(*credential.password, "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
    }

    #[test]
    fn r02_the_expiry_is_the_last_valid_second() {
        let validity = Validity {
            max_ttl: Duration::from_secs(86_400),
            leeway: Duration::ZERO,
        };
        let now = secs(1_000_000);
        assert_eq!(validity.check(now, secs(1_000_000)), Ok(()));
        assert_eq!(
            validity.check(now, secs(999_999)),
            Err(ValidityError::Expired)
        );
        assert_eq!(validity.check(now, secs(0)), Err(ValidityError::Expired));
        assert_eq!(validity.check(now, secs(1_086_400)), Ok(()));
        assert_eq!(
            validity.check(now, secs(1_086_401)),
            Err(ValidityError::TooLongLived)
        );
        assert_eq!(
            validity.check(now, secs(u64::MAX)),
            Err(ValidityError::TooLongLived)
        );
    }

    #[test]
    fn a_leeway_widens_both_ends() {
        let validity = Validity {
            max_ttl: Duration::from_secs(60),
            leeway: Duration::from_secs(5),
        };
        let now = secs(1_000);
        assert_eq!(validity.check(now, secs(995)), Ok(()));
        assert_eq!(validity.check(now, secs(994)), Err(ValidityError::Expired));
        assert_eq!(validity.check(now, secs(1_065)), Ok(()));
        assert_eq!(
            validity.check(now, secs(1_066)),
            Err(ValidityError::TooLongLived)
        );
    }

    #[test]
    fn r03_an_expiry_alone_has_no_id() {
        for username in ["1700000000", "1700000000:"] {
            let read = parse(username).unwrap();
            assert_eq!((read.expires, read.id), (secs(1_700_000_000), None));
        }
    }

    #[test]
    fn r04_anything_but_decimal_digits_first_is_malformed() {
        let too_many_digits = "1".repeat(20);
        for username in [
            "",
            ":",
            "abc",
            "abc:123",
            "12x:a",
            "-1:a",
            "+9:a",
            " 9999999999:a",
            "9999999999 :a",
            "0x7f:a",
            "1e12:a",
            "9999999999.5:a",
            "1_000:a",
            ":a",
            &too_many_digits,
            "18446744073709551615:a",
            "1700\u{0}000000:a",
            "1700000000:a\0b",
            "1700000000:a\nb",
            "1700000000:a\u{85}",
            "\u{661}\u{667}\u{660}\u{660}:a",
        ] {
            assert_eq!(
                parse(username),
                Err(CredentialError::Malformed),
                "{username:?}"
            );
        }
    }

    #[test]
    fn r05_the_id_is_everything_behind_the_first_separator() {
        assert_eq!(parse("1700000000:a:b:c").unwrap().id, Some("a:b:c"));
        assert_eq!(parse("1700000000::a").unwrap().id, Some(":a"));
    }

    #[test]
    fn r05_another_separator_can_be_configured() {
        let read = TimeLimited::parse("1700000000|a:b|c", '|').unwrap();
        assert_eq!(read.id, Some("a:b|c"));
        assert_eq!(
            TimeLimited::parse("1700000000:a", '|'),
            Err(CredentialError::Malformed)
        );
    }

    #[test]
    fn a21_508_bytes_are_a_username_and_509_are_not() {
        let longest = format!("1700000000:{}", "a".repeat(MAX_USERNAME - 11));
        assert!(parse(&longest).is_ok());
        assert_eq!(parse(&format!("{longest}a")), Err(CredentialError::TooLong));
    }

    #[test]
    fn claims_of_the_id_are_read_and_bad_ones_refused() {
        assert_eq!(
            parse("1700000000:v1;call=x").unwrap().claims.call,
            Some("x")
        );
        assert_eq!(
            parse("1700000000:v1;colour=x"),
            Err(CredentialError::Claims(ClaimError::UnknownClaim))
        );
    }

    #[test]
    fn what_no_relay_would_accept_is_not_minted() {
        let refusal = |id| mint(&secret(), secs(1_700_000_000), Some(id)).unwrap_err();
        assert_eq!(refusal(""), CredentialError::Malformed);
        assert_eq!(refusal("a\tb"), CredentialError::Malformed);
        assert_eq!(
            refusal("v2;a=b"),
            CredentialError::Claims(ClaimError::UnknownVersion)
        );
        assert_eq!(refusal(&"a".repeat(498)), CredentialError::TooLong);
        let beyond_reading = mint(&secret(), secs(u64::MAX), Some("a")).unwrap_err();
        assert_eq!(beyond_reading, CredentialError::Malformed);
    }

    #[test]
    fn debug_prints_no_password() {
        let credential = mint(&secret(), secs(1_700_000_000), Some("alice")).unwrap();
        assert_eq!(
            format!("{credential:?}"),
            r#"Credential { username: "1700000000:alice", .. }"#
        );
    }

    proptest! {
        #[test]
        fn parsing_what_was_minted_gives_it_back(expiry in 0u64..10_000_000_000, id in "[^\\p{Cc}]{1,100}") {
            // An ID that happens to look like a list of claims is another test's.
            prop_assume!(!id.starts_with('v'));
            let credential = mint(&secret(), secs(expiry), Some(&id)).expect("a plain id");
            let read = parse(&credential.username).expect("what was minted");
            prop_assert_eq!((read.expires, read.id), (secs(expiry), Some(&*id)));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(username in "\\PC{0,600}", digits in "[0-9]{0,25}", separator: char) {
            let _ = TimeLimited::parse(&username, separator);
            let _ = TimeLimited::parse(&format!("{digits}{separator}{username}"), separator);
        }
    }
}
