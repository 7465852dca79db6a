//! Usernames, claims and nonces: whatever they hold, they are read or refused, and nobody without a key is let in.

#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use veilturn::auth::{
    AuthOptions, Authenticator, Claims, DEFAULT_SEPARATOR, Login, Secret, StaticUser, TimeLimited,
};
use veilturn::time::{Now, Tick, UnixTime};
use veilturn::wire::{
    AttributeType, Class, HmacKey, Message, Method, Nonce, RawAttribute, Realm, TransactionId,
    Writer,
};
use zeroize::Zeroizing;

const REALM: &str = "example.org";
const ID: TransactionId = TransactionId([9; 12]);

/// Knows both kinds of credentials, so that both look-ups are reached.
static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| {
    let value = Zeroizing::new(b"a secret of the fuzzer".to_vec());
    let password = Zeroizing::new("a password of the fuzzer".to_owned());
    let options = AuthOptions {
        realm: REALM.to_owned(),
        secrets: vec![Secret::new("a", value).expect("a secret")],
        users: vec![StaticUser {
            name: "ren\u{e9}".to_owned(),
            login: Login::Password(password),
        }],
        nonce_lifetime: Duration::from_secs(600),
        max_ttl: Duration::from_secs(u64::MAX),
        leeway: Duration::ZERO,
        require_id: false,
        separator: DEFAULT_SEPARATOR,
        offer_md5: true,
    };
    Authenticator::new(options, &[7; 32]).expect("options")
});

fuzz_target!(|input: (&[u8], Option<&[u8]>)| {
    let (name, nonce) = input;
    if let Ok(text) = str::from_utf8(name) {
        read(text);
    }
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
    let now = Now {
        tick: Tick::from_millis(1),
        unix: UnixTime::from_secs(0),
    };
    let issued = issue(now, client);
    let mut request = [0; 4096];
    let Some(len) = write(&mut request, name, nonce.unwrap_or(issued.as_bytes())) else {
        return;
    };
    let request = Message::parse(&request[..len]).expect("the writer writes messages");
    let outcome = AUTHENTICATOR.authenticate(now, client, &request, None);
    assert!(outcome.is_err(), "let in without a key");
});

/// What is read can be written, and reads the same again.
fn read(text: &str) {
    let _ = TimeLimited::parse(text, DEFAULT_SEPARATOR);
    if let Ok(claims) = Claims::parse(text)
        && claims != Claims::default()
    {
        let id = claims
            .to_id()
            .expect("claims that were read can be written");
        assert_eq!(Claims::parse(&id), Ok(claims));
    }
}

/// The nonce that `client` is challenged with.
fn issue(now: Now, client: SocketAddr) -> String {
    let mut buf = [0; 548];
    let mut writer = Writer::new(&mut buf, Class::Error, Method::ALLOCATE, ID).expect("room");
    AUTHENTICATOR
        .challenge(now, client, &mut writer)
        .expect("room");
    let len = writer.finish();
    let challenge = Message::parse(&buf[..len]).expect("a message");
    let nonce: Nonce<'_> = challenge.get().expect("a good nonce").expect("a nonce");
    nonce.0.to_owned()
}

/// A request of that name with that nonce, made with a key that belongs to nobody; its length, where it fits.
fn write(buf: &mut [u8], name: &[u8], nonce: &[u8]) -> Option<usize> {
    let mut writer = Writer::new(buf, Class::Request, Method::ALLOCATE, ID).ok()?;
    let username = RawAttribute {
        kind: AttributeType::USERNAME,
        value: name,
    };
    writer.put(&username).ok()?;
    writer.put(&Realm(REALM)).ok()?;
    let nonce = RawAttribute {
        kind: AttributeType::NONCE,
        value: nonce,
    };
    writer.put(&nonce).ok()?;
    writer.integrity(&HmacKey::sha1(b"nobody's")).ok()?;
    Some(writer.finish())
}
