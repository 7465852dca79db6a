//! `[auth]`: the secrets that credentials are minted with, and users with fixed credentials.

use std::collections::BTreeSet;
use std::time::Duration;

use zeroize::Zeroize;

use super::problem::Cause;
use super::section::{Found, Section};
use super::{Auth, Secret, SharedSecret, User, UserKey, defaults, secret};
use crate::relay::OnExpiry;

/// What the section says: some of it is for the core.
pub(super) struct AuthSection {
    pub(super) auth: Auth,
    pub(super) on_expiry: OnExpiry,
    pub(super) max_session: Duration,
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_, '_>) -> AuthSection {
    const HOUR: Duration = Duration::from_secs(3600);
    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
    let nonces = Duration::from_secs(10)..=HOUR;
    let spans = Duration::from_secs(60)..=MONTH;
    let secrets = secrets(section);
    let users = users(section);
    if secrets.is_empty() && users.is_empty() {
        section.report_self(Cause::Anonymous);
    }
    AuthSection {
        auth: Auth {
            secrets: secrets.into_iter().flatten().collect(),
            users: users.into_iter().flatten().collect(),
            nonce_lifetime: section
                .within("nonce_lifetime", defaults::NONCE_LIFETIME, nonces)
                .value,
            max_ttl: section
                .within("max_ttl", defaults::MAX_TTL, spans.clone())
                .value,
            require_id: section.or("require_id", defaults::REQUIRE_ID),
            offer_md5: section.or("offer_md5", defaults::OFFER_MD5),
        },
        on_expiry: section.or("on_expiry", defaults::ON_EXPIRY),
        max_session: section
            .within("max_session", defaults::MAX_SESSION, spans)
            .value,
    }
}

/// One element for each block; `None` where it is incomplete.
fn secrets(section: &mut Section<'_, '_>) -> Vec<Option<SharedSecret>> {
    /// A credential that does not name its secret is tried with each.
    const MOST: usize = 4;
    const MOST_ID_CHARS: usize = 32;
    let mut ids = BTreeSet::new();
    let mut number = 0;
    section.tables("secret", |section| {
        number += 1;
        if number > MOST {
            section.report_self(Cause::TooManySecrets { most: MOST });
        }
        let id = section.require::<String>("id", "the name of this secret, such as \"2026-11\"");
        if let Some(Found { at, value }) = &id {
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if value.is_empty() || value.len() > MOST_ID_CHARS || !value.chars().all(valid) {
                let most = MOST_ID_CHARS;
                section.report(at.clone(), "id", Cause::BadId { most });
            } else if !ids.insert(value.clone()) {
                section.report(at.clone(), "id", Cause::Duplicate);
            }
        }
        if !section.has("value") && !section.has("value_file") {
            let what =
                "value or value_file: the secret shared with the backend that mints credentials";
            section.report_self(Cause::Missing(what));
        }
        let value = section.secret("value", "value_file");
        if let Some(Found { at, value }) = &value
            && let Some(cause) = secret::shared_secret_weakness(value.reveal())
        {
            section.report(at.clone(), "value", cause);
        }
        Some(SharedSecret {
            id: id?.value,
            value: value?.value,
        })
    })
}

/// One element for each block; `None` where it is incomplete.
fn users(section: &mut Section<'_, '_>) -> Vec<Option<User>> {
    let mut names = BTreeSet::new();
    section.tables("user", |section| {
        let name = section.require::<String>("name", "the user's name");
        if let Some(Found { at, value }) = &name {
            if !is_user_name(value) {
                let most = MOST_NAME_BYTES;
                section.report(at.clone(), "name", Cause::BadUserName { most });
            } else if !names.insert(value.clone()) {
                section.report(at.clone(), "name", Cause::Duplicate);
            }
        }
        let key = user_key(section);
        Some(User {
            name: name?.value,
            key: key?,
        })
    })
}

/// RFC 8489 section 14.3 bounds the attribute.
const MOST_NAME_BYTES: usize = 508;

/// A name is not to be taken for a time-limited credential, `EXPIRY` or `EXPIRY:ID`.
fn is_user_name(name: &str) -> bool {
    let first = name.split(':').next().unwrap_or_default();
    let is_expiry = first.bytes().all(|byte| byte.is_ascii_digit());
    !is_expiry && name.len() <= MOST_NAME_BYTES && !name.contains(char::is_control)
}

fn user_key(section: &mut Section<'_, '_>) -> Option<UserKey> {
    let with_password = section.has("password") || section.has("password_file");
    let with_keys = ["md5_key", "md5_key_file", "sha256_key", "sha256_key_file"];
    let with_keys = with_keys.iter().any(|key| section.has(key));
    if with_password == with_keys {
        section.report_self(Cause::UserKey);
    }
    let password = section.secret("password", "password_file");
    let md5 = section.secret("md5_key", "md5_key_file");
    let sha256 = section.secret("sha256_key", "sha256_key_file");
    let md5 = md5.and_then(|found| stored_key(section, "md5_key", found));
    let sha256 = sha256.and_then(|found| stored_key(section, "sha256_key", found));
    if !with_password {
        return Some(UserKey::Stored { md5, sha256 });
    }
    let Found { at, value } = password?;
    if let Some(cause) = secret::password_weakness(value.reveal()) {
        section.report(at, "password", cause);
    }
    Some(UserKey::Password(value))
}

/// Hexadecimal digits as the bytes that they stand for.
fn stored_key<const N: usize>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    found: Found<Secret<String>>,
) -> Option<Secret<[u8; N]>>
where
    [u8; N]: Zeroize,
{
    let Found { at, value } = found;
    let bytes = hex::<N>(value.reveal());
    if bytes.is_none() {
        section.report(at, key, Cause::BadKey { digits: 2 * N });
    }
    bytes.map(Secret::new)
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}
