//! `[auth]`: the secrets that credentials are minted with, and users with fixed credentials.

use std::collections::BTreeSet;
use std::time::Duration;

use zeroize::Zeroizing;

use super::problem::Cause;
use super::section::{Found, Section};
use super::{defaults, secret};
use crate::auth::{
    AuthOptions, Login, LongTermKeys, MAX_NONCE_LIFETIME, MAX_SECRETS, MAX_USERNAME, Secret,
    SecretError, StaticUser,
};
use crate::relay::OnExpiry;

/// What the section says: some of it is for the core.
pub(super) struct AuthSection {
    pub(super) options: AuthOptions,
    pub(super) on_expiry: OnExpiry,
    pub(super) max_session: Duration,
}

/// Reads the section; the realm stands outside it.
pub(super) fn read(section: &mut Section<'_, '_>, realm: String) -> AuthSection {
    const MINUTE: Duration = Duration::from_secs(60);
    const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
    let nonces = Duration::from_secs(10)..=MAX_NONCE_LIFETIME;
    let leeways = Duration::ZERO..=MINUTE * 5;
    let spans = MINUTE..=MONTH;
    let secrets = secrets(section);
    let users = users(section);
    if secrets.is_empty() && users.is_empty() {
        section.report_self(Cause::Anonymous);
    }
    let nonce_lifetime = section.within("nonce_lifetime", defaults::NONCE_LIFETIME, nonces);
    let max_ttl = section.within("max_ttl", defaults::MAX_TTL, spans.clone());
    let leeway = section.within("leeway", defaults::LEEWAY, leeways);
    let max_session = section.within("max_session", defaults::MAX_SESSION, spans);
    AuthSection {
        options: AuthOptions {
            realm,
            secrets: secrets.into_iter().flatten().collect(),
            users: users.into_iter().flatten().collect(),
            nonce_lifetime: nonce_lifetime.value,
            max_ttl: max_ttl.value,
            leeway: leeway.value,
            require_id: section.or("require_id", defaults::REQUIRE_ID),
            separator: section.or("separator", defaults::SEPARATOR),
            offer_md5: section.or("offer_md5", defaults::OFFER_MD5),
        },
        on_expiry: section.or("on_expiry", defaults::ON_EXPIRY),
        max_session: max_session.value,
    }
}

/// One element for each block; `None` where it is incomplete.
fn secrets(section: &mut Section<'_, '_>) -> Vec<Option<Secret>> {
    let mut ids = BTreeSet::new();
    let mut number = 0;
    section.tables("secret", |section| {
        number += 1;
        if number > MAX_SECRETS {
            section.report_self(Cause::TooManySecrets { most: MAX_SECRETS });
        }
        let id = section.require::<String>("id", "the name of this secret, such as \"2026-11\"");
        if !section.has("value") && !section.has("value_file") {
            let purpose =
                "value or value_file: the secret shared with the backend that mints credentials";
            section.report_self(Cause::Missing(purpose));
        }
        let value = section.secret("value", "value_file");
        if let Some(Found { at, value }) = &value
            && let Some(cause) = secret::shared_secret_weakness(value)
        {
            section.report(at.clone(), "value", cause);
        }
        let Found { at, value: id } = id?;
        if !ids.insert(id.clone()) {
            section.report(at.clone(), "id", Cause::Duplicate);
        }
        let bytes = Zeroizing::new(value?.value.as_bytes().to_vec());
        match Secret::new(&id, bytes) {
            Ok(secret) => Some(secret),
            Err(SecretError::BadId(_)) => {
                section.report(at, "id", Cause::BadId);
                None
            }
            // An empty one was reported as too short.
            Err(SecretError::Empty(_) | SecretError::DuplicateId(_) | SecretError::TooMany(_)) => {
                None
            }
        }
    })
}

/// One element for each block; `None` where it is incomplete.
fn users(section: &mut Section<'_, '_>) -> Vec<Option<StaticUser>> {
    let mut names = BTreeSet::new();
    section.tables("user", |section| {
        let name = section.require::<String>("name", "the user's name");
        let login = login(section);
        let Found { at, value: name } = name?;
        if name.is_empty() || name.len() > MAX_USERNAME || name.contains(char::is_control) {
            section.report(at, "name", Cause::BadUserName { most: MAX_USERNAME });
        } else if !names.insert(name.clone()) {
            section.report(at, "name", Cause::Duplicate);
        }
        let login = login?;
        Some(StaticUser { name, login })
    })
}

fn login(section: &mut Section<'_, '_>) -> Option<Login> {
    let with_password = section.has("password") || section.has("password_file");
    let with_keys = ["md5_key", "md5_key_file", "sha256_key", "sha256_key_file"];
    let with_keys = with_keys.iter().any(|key| section.has(key));
    if with_password == with_keys {
        section.report_self(Cause::UserKey);
    }
    let password = section.secret("password", "password_file");
    let md5 = section.secret("md5_key", "md5_key_file");
    let sha256 = section.secret("sha256_key", "sha256_key_file");
    let md5 = md5.and_then(|found| stored_key(section, "md5_key", &found));
    let sha256 = sha256.and_then(|found| stored_key(section, "sha256_key", &found));
    if !with_password {
        return Some(Login::Keys(LongTermKeys::stored(md5, sha256)));
    }
    let Found { at, value } = password?;
    if let Some(cause) = secret::password_weakness(&value) {
        section.report(at, "password", cause);
    }
    Some(Login::Password(value))
}

/// Hexadecimal digits as the bytes that they stand for.
fn stored_key<const N: usize>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    found: &Found<Zeroizing<String>>,
) -> Option<[u8; N]> {
    let bytes = hex(&found.value);
    if bytes.is_none() {
        let at = found.at.clone();
        section.report(at, key, Cause::BadKey { digits: 2 * N });
    }
    bytes
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
