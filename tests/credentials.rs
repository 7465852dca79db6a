//! Credentials as others make and use them: the published derivation vectors, and a client with another codec.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use stun_types::attribute::{
    Nonce, PasswordAlgorithm, PasswordAlgorithmValue, PasswordAlgorithms, Realm, Userhash, Username,
};
use stun_types::message::{
    IntegrityAlgorithm, LongTermCredentials, LongTermKeyCredentials, Message as TheirMessage,
    MessageIntegrityCredentials, MessageWrite, MessageWriteExt, MessageWriteVec,
    Method as TheirMethod,
};
use veilturn::auth::{AuthOptions, Authenticator, Login, Secret, StaticUser, mint};
use veilturn::time::{Now, Tick, UnixTime};
use veilturn::wire::{self, Class, ErrorCode, HmacKey, Message, Method, TransactionId, Writer};
use zeroize::Zeroizing;

#[derive(Deserialize)]
struct Vectors {
    credentials: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    secret: String,
    expires: u64,
    id: Option<String>,
    username: String,
    password: String,
    realm: String,
    md5_key: String,
    sha256_key: String,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("vectors/credentials.json");
    let vectors: Vectors = serde_json::from_str(text).expect("the vectors are JSON");
    assert!(!vectors.credentials.is_empty());
    vectors.credentials
}

fn secret(vector: &Vector) -> Secret {
    let value = Zeroizing::new(vector.secret.clone().into_bytes());
    Secret::new("2026-11", value).expect("a secret")
}

fn options(realm: &str) -> AuthOptions {
    AuthOptions {
        realm: realm.to_owned(),
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
    Authenticator::new(options, &[7; 32]).expect("options")
}

fn client() -> SocketAddr {
    "192.0.2.1:50000".parse().expect("an address")
}

fn now(unix: u64) -> Now {
    Now {
        tick: Tick::ZERO,
        unix: UnixTime::from_secs(unix),
    }
}

/// The 401 response that a client gets to its first request.
fn challenge(authenticator: &Authenticator, now: Now) -> Vec<u8> {
    let mut buf = [0; 548];
    let id = TransactionId([9; 12]);
    let mut writer = Writer::new(&mut buf, Class::Error, Method::ALLOCATE, id).expect("room");
    let error = ErrorCode {
        code: 401,
        reason: "",
    };
    writer.put(&error).expect("room");
    authenticator
        .challenge(now, client(), &mut writer)
        .expect("room");
    let len = writer.finish();
    buf[..len].to_vec()
}

/// An empty success response, signed as every response to an authenticated request is.
fn signed_response(key: &HmacKey) -> Vec<u8> {
    let mut buf = [0; 128];
    let id = TransactionId([9; 12]);
    let mut writer = Writer::new(&mut buf, Class::Success, Method::ALLOCATE, id).expect("room");
    writer.integrity(key).expect("room");
    let len = writer.finish();
    buf[..len].to_vec()
}

/// How the other client authenticates.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Md5,
    Sha256,
    Sha256AndUserhash,
}

/// Answers a challenge as the other client does, and checks the response as it does.
///
/// Gives the name that the server took the client for.
fn handshake(
    authenticator: &Authenticator,
    now: Now,
    (username, password): (&str, &str),
    style: Style,
) -> Option<String> {
    let challenge = challenge(authenticator, now);
    let challenge = TheirMessage::from_bytes(&challenge).expect("a challenge");
    let realm = challenge.attribute::<Realm>().expect("a realm");
    let nonce = challenge.attribute::<Nonce>().expect("a nonce");
    let offered = challenge
        .attribute::<PasswordAlgorithms>()
        .expect("algorithms");

    let method = TheirMethod::new(3);
    let mut request = TheirMessage::builder_request(method, MessageWriteVec::new());
    let hash = Userhash::new(Userhash::compute(username, realm.realm()));
    let name = Username::new(username).expect("a short name");
    if style == Style::Sha256AndUserhash {
        request.add_attribute(&hash).expect("a new attribute");
    } else {
        request.add_attribute(&name).expect("a new attribute");
    }
    request.add_attribute(&realm).expect("a new attribute");
    request.add_attribute(&nonce).expect("a new attribute");
    let chosen = PasswordAlgorithm::new(PasswordAlgorithmValue::SHA256);
    let algorithm = if style == Style::Md5 {
        IntegrityAlgorithm::Sha1
    } else {
        request.add_attribute(&offered).expect("a new attribute");
        request.add_attribute(&chosen).expect("a new attribute");
        IntegrityAlgorithm::Sha256
    };
    let credentials = LongTermCredentials::new(username.to_owned(), password.to_owned());
    let credentials: LongTermKeyCredentials = credentials.to_key(realm.realm().to_owned());
    let credentials = MessageIntegrityCredentials::from(credentials);
    request
        .add_message_integrity(&credentials, algorithm)
        .expect("the last attribute");
    let request = request.finish();

    let request = Message::parse(&request).expect("a message");
    let authenticated = authenticator
        .authenticate(now, client(), &request, None)
        .ok()?;
    let response = signed_response(&authenticated.response_key);
    let verified = TheirMessage::from_bytes(&response)
        .expect("a response")
        .validate_integrity(&credentials);
    assert_eq!(
        verified.ok(),
        Some(algorithm),
        "the client verifies the response"
    );
    Some(authenticated.username.to_owned())
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

#[test]
fn r01_minting_gives_what_the_vectors_say() {
    for vector in vectors() {
        let expires = UnixTime::from_secs(vector.expires);
        let credential = mint(&secret(&vector), expires, vector.id.as_deref()).expect(&vector.name);
        assert_eq!(credential.username, vector.username, "{}", vector.name);
        assert_eq!(*credential.password, vector.password, "{}", vector.name);
    }
}

#[test]
fn r01_the_keys_of_the_vectors_authenticate() {
    for vector in vectors() {
        let authenticator = authenticator(AuthOptions {
            secrets: vec![secret(&vector)],
            ..options(&vector.realm)
        });
        let now = now(vector.expires);
        let challenge = challenge(&authenticator, now);
        let challenge = Message::parse(&challenge).expect("a challenge");
        for (key, algorithm) in [
            (HmacKey::sha1(&hex(&vector.md5_key)), None),
            (
                HmacKey::sha256(&hex(&vector.sha256_key)),
                Some(wire::PasswordAlgorithm::SHA256),
            ),
        ] {
            let mut buf = [0; 1024];
            let id = TransactionId([9; 12]);
            let mut writer = Writer::new(&mut buf, Class::Request, Method::ALLOCATE, id).unwrap();
            writer.put(&wire::Username(&vector.username)).unwrap();
            let realm: wire::Realm<'_> = challenge.get().unwrap().unwrap();
            let nonce: wire::Nonce<'_> = challenge.get().unwrap().unwrap();
            let offered: wire::PasswordAlgorithms<'_> = challenge.get().unwrap().unwrap();
            writer.put(&realm).unwrap();
            writer.put(&nonce).unwrap();
            if let Some(algorithm) = algorithm {
                writer.put(&offered).unwrap();
                writer.put(&algorithm).unwrap();
            }
            writer.integrity(&key).unwrap();
            let len = writer.finish();
            let request = Message::parse(&buf[..len]).unwrap();
            let authenticated = authenticator
                .authenticate(now, client(), &request, None)
                .expect(&vector.name);
            assert_eq!(authenticated.username, vector.username);
            assert_eq!(authenticated.secret, Some(0));
        }
    }
}

#[test]
fn another_codecs_client_is_let_in_with_a_minted_credential() {
    for vector in vectors() {
        let authenticator = authenticator(AuthOptions {
            secrets: vec![secret(&vector)],
            ..options(&vector.realm)
        });
        let credential = (&*vector.username, &*vector.password);
        for style in [Style::Md5, Style::Sha256] {
            let name = handshake(&authenticator, now(vector.expires), credential, style);
            assert_eq!(
                name.as_deref(),
                Some(&*vector.username),
                "{} {style:?}",
                vector.name
            );
            let wrong = (&*vector.username, "wrong");
            assert_eq!(
                handshake(&authenticator, now(vector.expires), wrong, style),
                None
            );
        }
    }
}

#[test]
fn a20_another_codecs_client_is_let_in_by_the_hash_of_its_name() {
    let bob = StaticUser {
        name: "bob".to_owned(),
        login: Login::Password(Zeroizing::new("TheMatrIX".to_owned())),
    };
    let authenticator = authenticator(AuthOptions {
        users: vec![bob],
        ..options("example.org")
    });
    for style in [Style::Md5, Style::Sha256, Style::Sha256AndUserhash] {
        let name = handshake(&authenticator, now(0), ("bob", "TheMatrIX"), style);
        assert_eq!(name.as_deref(), Some("bob"), "{style:?}");
        let eve = handshake(&authenticator, now(0), ("eve", "TheMatrIX"), style);
        assert_eq!(eve, None, "{style:?}");
    }
}
