//! The cases of groups A and R that concern authentication, as whole messages.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::auth::{Credential, Login, Secret, StaticUser, mint};
use crate::time::Tick;
use crate::wire::{Class, Method, PasswordAlgorithms, RawAttribute, TransactionId};

mod group_a;
mod group_r;
mod mixed;

thread_local! {
    static VERIFICATIONS: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn count_verification() {
    VERIFICATIONS.set(VERIFICATIONS.get() + 1);
}

/// How many integrity attributes `work` has computed.
fn verifications(work: impl FnOnce()) -> usize {
    let before = VERIFICATIONS.get();
    work();
    VERIFICATIONS.get() - before
}

const REALM: &str = "example.org";
const SEED: [u8; 32] = [7; 32];
const OFFER: &[u8] = &[0, 2, 0, 0, 0, 1, 0, 0];
const SHA256: &[u8] = &[0, 2, 0, 0];
const MD5: &[u8] = &[0, 1, 0, 0];
/// When the credentials of [`alice`] expire.
const EXPIRY: u64 = 1_700_000_000;

fn secret(id: &str, value: &str) -> Secret {
    Secret::new(id, Zeroizing::new(value.as_bytes().to_vec())).expect("a secret")
}

fn user(name: &str, password: &str) -> StaticUser {
    StaticUser {
        name: name.to_owned(),
        login: Login::Password(Zeroizing::new(password.to_owned())),
    }
}

fn options() -> AuthOptions {
    AuthOptions {
        realm: REALM.to_owned(),
        secrets: Vec::new(),
        users: Vec::new(),
        nonce_lifetime: Duration::from_secs(600),
        max_ttl: Duration::from_secs(86_400),
        leeway: Duration::ZERO,
        require_id: false,
        separator: ':',
        offer_md5: true,
    }
}

fn authenticator(options: AuthOptions) -> Authenticator {
    Authenticator::new(options, &SEED).expect("options")
}

fn with_secrets(secrets: &[(&str, &str)]) -> Authenticator {
    let secrets = secrets
        .iter()
        .map(|(id, value)| secret(id, value))
        .collect();
    authenticator(AuthOptions {
        secrets,
        ..options()
    })
}

fn with_users() -> Authenticator {
    let users = vec![user("bob", "pass"), user("ren\u{e9}", "pass")];
    authenticator(AuthOptions { users, ..options() })
}

fn alice() -> Credential {
    mint(
        &secret("a", "north"),
        UnixTime::from_secs(EXPIRY),
        Some("alice"),
    )
    .expect("a credential")
}

fn client() -> SocketAddr {
    "192.0.2.1:50000".parse().expect("an address")
}

/// A moment, in seconds of the wall clock; the monotonic one stands still.
fn at(unix: u64) -> Now {
    Now {
        tick: Tick::from_millis(1000),
        unix: UnixTime::from_secs(unix),
    }
}

/// A moment before the expiry of [`alice`]'s credential.
fn now() -> Now {
    at(EXPIRY - 60)
}

/// `now` with another monotonic clock.
fn tick(secs: u64) -> Now {
    Now {
        tick: Tick::from_millis(secs * 1000),
        ..now()
    }
}

fn nonce(authenticator: &Authenticator, now: Now) -> String {
    authenticator
        .nonces
        .issue(now.tick, client())
        .as_str()
        .to_owned()
}

/// An Allocate request, by the values of the attributes that authenticate it.
#[derive(Clone)]
struct Attempt {
    username: Option<Vec<u8>>,
    userhash: Option<Vec<u8>>,
    realm: Option<Vec<u8>>,
    nonce: Option<Vec<u8>>,
    list: Option<Vec<u8>>,
    chosen: Option<Vec<u8>>,
    seals: Vec<HmacKey>,
}

impl Attempt {
    /// What a client of RFC 5389 sends.
    fn md5(authenticator: &Authenticator, username: &str, password: &str) -> Self {
        Self {
            username: Some(username.into()),
            userhash: None,
            realm: Some(REALM.into()),
            nonce: Some(nonce(authenticator, now()).into()),
            list: None,
            chosen: None,
            seals: vec![key(username, password, Algorithm::Md5, Hash::Sha1)],
        }
    }

    /// What a client of RFC 8489 sends.
    fn sha256(authenticator: &Authenticator, username: &str, password: &str) -> Self {
        Self {
            list: Some(OFFER.into()),
            chosen: Some(SHA256.into()),
            seals: vec![key(username, password, Algorithm::Sha256, Hash::Sha256)],
            ..Self::md5(authenticator, username, password)
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut buf = [0; 2048];
        let id = TransactionId([9; 12]);
        let mut writer = Writer::new(&mut buf, Class::Request, Method::ALLOCATE, id).expect("room");
        for (kind, value) in [
            (AttributeType::USERNAME, &self.username),
            (AttributeType::USERHASH, &self.userhash),
            (AttributeType::REALM, &self.realm),
            (AttributeType::NONCE, &self.nonce),
            (AttributeType::PASSWORD_ALGORITHMS, &self.list),
            (AttributeType::PASSWORD_ALGORITHM, &self.chosen),
        ] {
            if let Some(value) = value {
                writer.put(&RawAttribute { kind, value }).expect("room");
            }
        }
        for key in &self.seals {
            writer.integrity(key).expect("room");
        }
        let len = writer.finish();
        buf[..len].to_vec()
    }

    /// The attempt's outcome: the name, or why not.
    fn outcome(&self, authenticator: &Authenticator, now: Now) -> Result<String, Reject> {
        outcome(authenticator, now, &self.bytes(), None)
    }
}

fn key(username: &str, password: &str, algorithm: Algorithm, hash: Hash) -> HmacKey {
    LongTermKeys::derive(username, REALM, password.as_bytes())
        .hmac(algorithm, hash)
        .expect("both keys")
}

fn outcome(
    authenticator: &Authenticator,
    now: Now,
    request: &[u8],
    bound: Option<&BoundCredential>,
) -> Result<String, Reject> {
    let request = Message::parse(request).expect("a message");
    let authenticated = authenticator.authenticate(now, client(), &request, bound)?;
    Ok(authenticated.username.to_owned())
}

fn response_hash(authenticator: &Authenticator, attempt: &Attempt) -> Hash {
    let bytes = attempt.bytes();
    let request = Message::parse(&bytes).expect("a message");
    let authenticated = authenticator.authenticate(now(), client(), &request, None);
    authenticated.expect("a good attempt").response_key.hash()
}

fn bind(authenticator: &Authenticator, attempt: &Attempt, now: Now) -> BoundCredential {
    let bytes = attempt.bytes();
    let request = Message::parse(&bytes).expect("a message");
    authenticator
        .authenticate(now, client(), &request, None)
        .expect("a good attempt")
        .bind()
}

/// A 401 response as it goes to a client, and the attributes behind its ERROR-CODE.
fn challenge(authenticator: &Authenticator) -> Vec<u8> {
    let mut buf = [0; 548];
    let mut writer = Writer::new(
        &mut buf,
        Class::Error,
        Method::ALLOCATE,
        TransactionId([9; 12]),
    )
    .expect("room");
    writer
        .put(&wire::ErrorCode {
            code: 401,
            reason: "",
        })
        .expect("room");
    authenticator
        .challenge(now(), client(), &mut writer)
        .expect("room");
    let len = writer.finish();
    buf[..len].to_vec()
}

/// Whether the nonces of `authenticator` say that USERHASH is understood.
fn offers_anonymity(authenticator: &Authenticator) -> bool {
    nonce(authenticator, now()).starts_with("obMatJos2wAAD")
}

#[test]
fn a_removed_user_keeps_its_allocation_by_name_and_by_hash() {
    let before = with_users();
    let plain = Attempt::sha256(&before, "bob", "pass");
    let hashed = Attempt {
        username: None,
        userhash: Some(keys::userhash("bob", REALM).into()),
        ..plain.clone()
    };
    let bound = bind(&before, &plain, now());
    let after = authenticator(AuthOptions {
        users: vec![user("eve", "pass")],
        ..options()
    });
    for attempt in [plain, hashed] {
        assert_eq!(attempt.outcome(&after, now()), Err(Reject::UnknownUser));
        let kept = outcome(&after, now(), &attempt.bytes(), Some(&bound));
        assert_eq!(kept.as_deref(), Ok("bob"));
    }
}

#[test]
fn a_password_may_change_in_the_middle_of_a_call() {
    let before = with_users();
    let old = Attempt::md5(&before, "bob", "pass");
    let bound = bind(&before, &old, now());
    let after = authenticator(AuthOptions {
        users: vec![user("bob", "fresh")],
        ..options()
    });
    let new = Attempt::md5(&after, "bob", "fresh");
    for attempt in [old, new] {
        let name = outcome(&after, now(), &attempt.bytes(), Some(&bound));
        assert_eq!(name.as_deref(), Ok("bob"));
    }
    let wrong = Attempt::md5(&after, "bob", "wrong").bytes();
    let reject = outcome(&after, now(), &wrong, Some(&bound));
    assert_eq!(reject, Err(Reject::BadIntegrity));
}

#[test]
fn another_user_on_an_allocation_is_itself() {
    let authenticator = with_users();
    let bound = bind(
        &authenticator,
        &Attempt::md5(&authenticator, "bob", "pass"),
        now(),
    );
    let other = Attempt::md5(&authenticator, "ren\u{e9}", "pass").bytes();
    let name = outcome(&authenticator, now(), &other, Some(&bound));
    assert_eq!(name.as_deref(), Ok("ren\u{e9}"));
}

#[test]
fn x20_a_challenge_is_at_most_three_times_the_smallest_request() {
    const HEADERS: usize = 20 + 8;
    let on_wire = |realm: &str| {
        let authenticator = authenticator(AuthOptions {
            realm: realm.to_owned(),
            secrets: vec![secret("a", "north")],
            ..options()
        });
        challenge(&authenticator).len() + HEADERS
    };
    let smallest = 20 + HEADERS;
    assert_eq!(on_wire("relay.example.org"), 132);
    assert!(on_wire("relay.example.org") <= 3 * smallest);
    assert!(on_wire(&"r".repeat(32)) <= 3 * smallest);
    assert!(on_wire(&"r".repeat(33)) > 3 * smallest);
}

#[test]
fn x30_every_refusal_costs_as_many_hmacs_as_a_wrong_password() {
    let authenticator = authenticator(AuthOptions {
        users: vec![user("bob", "pass")],
        secrets: vec![secret("a", "north")],
        ..options()
    });
    let cost = |username: &str, expected: Reject| {
        let plain = Attempt::md5(&authenticator, username, "wrong");
        let chosen = Attempt::sha256(&authenticator, username, "wrong");
        [plain, chosen].map(|attempt| {
            verifications(|| assert_eq!(attempt.outcome(&authenticator, now()), Err(expected)))
        })
    };
    let wrong_password = cost("bob", Reject::BadIntegrity);
    assert_eq!(wrong_password, [1, 1]);
    for (username, reject) in [
        ("eve", Reject::UnknownUser),
        ("", Reject::UnknownUser),
        ("1600000000:eve", Reject::Expired),
        ("1800000000:eve", Reject::TooLongLived),
        ("1700000000:v1;kid=z", Reject::UnknownKeyId),
        ("1700000000:v1;colour=red", Reject::UnknownClaim),
        ("1700000000:eve", Reject::BadIntegrity),
    ] {
        assert_eq!(cost(username, reject), wrong_password, "{username}");
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    let good = || AuthOptions {
        secrets: vec![secret("a", "north")],
        ..options()
    };
    let refusal = |options| Authenticator::new(options, &SEED).unwrap_err();
    assert_eq!(refusal(options()), OptionsError::NoCredentials);
    for realm in ["", "a\"b", "a\\b", "a\nb", &"a".repeat(128)] {
        assert_eq!(
            refusal(AuthOptions {
                realm: realm.to_owned(),
                ..good()
            }),
            OptionsError::Realm
        );
    }
    for secs in [0, 3601] {
        let nonce_lifetime = Duration::from_secs(secs);
        assert_eq!(
            refusal(AuthOptions {
                nonce_lifetime,
                ..good()
            }),
            OptionsError::NonceLifetime
        );
    }
    for separator in ['1', 'a', ' ', '\n', '·'] {
        assert_eq!(
            refusal(AuthOptions {
                separator,
                ..good()
            }),
            OptionsError::Separator
        );
    }
    let five = AuthOptions {
        secrets: ["a", "b", "c", "d", "e"].map(|id| secret(id, "s")).to_vec(),
        ..options()
    };
    assert_eq!(
        refusal(five),
        OptionsError::Secret(crate::auth::SecretError::TooMany(5))
    );
}

proptest! {
    #[test]
    fn any_changed_byte_of_an_authenticated_request_is_noticed(place: prop::sample::Index, change in 1u8..) {
        let authenticator = with_secrets(&[("a", "north")]);
        let mut request = Attempt::sha256(&authenticator, &alice().username, &alice().password).bytes();
        prop_assert!(outcome(&authenticator, now(), &request, None).is_ok());
        let place = place.index(request.len());
        request[place] ^= change;
        // A message that is none any more is not authenticated either.
        if let Ok(message) = Message::parse(&request) {
            prop_assert!(authenticator.authenticate(now(), client(), &message, None).is_err());
        }
    }

    #[test]
    fn any_name_is_refused_without_a_panic(name in prop::collection::vec(any::<u8>(), 0..800), text in "\\PC{0,200}") {
        let authenticator = with_users();
        let good = Attempt::md5(&authenticator, "eve", "pass");
        for username in [name, text.into_bytes()] {
            let attempt = Attempt { username: Some(username), ..good.clone() };
            prop_assert!(attempt.outcome(&authenticator, now()).is_err());
        }
    }
}

#[test]
fn the_offer_is_what_the_tests_take_it_for() {
    assert_eq!(Offer::Both.attribute(), PasswordAlgorithms::SHA256_MD5);
}
