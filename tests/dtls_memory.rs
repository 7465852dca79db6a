//! What a session of DTLS costs: one that lies idle, and those of clients that want to be a burden. OpenSSL allocates by
//! itself, so this asks the C library.
#![cfg(feature = "dtls")]
#![expect(unsafe_code, reason = "the C library is asked what it has given out")]

#[path = "streams/dtls_client.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod dtls_client;
#[path = "streams/support.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod support;
use std::net::UdpSocket;
use std::sync::{Mutex, PoisonError};

use dtls_client::{DtlsClient, Socket};
use openssl::ssl::{ErrorCode, SslRef, SslStream};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac::{self, HMAC_SHA384};
use support::{BINDING, Carrier, Relay};

/// One test at a time, because it counts what the whole process allocates.
static ALONE: Mutex<()> = Mutex::new(());

/// Kinds of records.
const HANDSHAKE: u8 = 22;

#[test]
fn an_idle_session_is_bounded() {
    let each = cost(200, |relay| {
        let mut client = session(relay);
        client.send(&BINDING).expect("a relay that reads");
        client.receive().expect("an answer");
        socket(client.0.get_ref())
    });
    assert!(each < 96 * 1024, "{each} bytes");
}

#[test]
fn a_handshake_of_records_and_messages_to_come_is_bounded() {
    let each = cost(10, |relay| {
        let socket = Socket::new(dtls_client::address(relay));
        // It hears the question for its cookie, and nothing of what follows.
        socket.pass.set(1);
        socket.lose.set(u32::MAX);
        let mut client = dtls_client::client(relay, socket);
        let waits = client.connect().expect_err("a handshake without an answer");
        assert_eq!(waits.code(), ErrorCode::WANT_READ);
        let socket = self::socket(client.get_ref());
        let to_come = (0..120).map(|number| record(HANDSHAKE, 1, number, &[9; 48]));
        let begun = (2..14).map(|place| record(HANDSHAKE, 0, 40 + place, &piece(11, place)));
        hurl(&socket, &to_come.chain(begun).collect::<Vec<_>>());
        socket
    });
    assert!(each < 160 * 1024, "{each} bytes");
}

#[test]
fn a_handshake_of_sealed_pieces_is_bounded() {
    let each = cost(10, |relay| {
        let client = half_open(relay);
        let keys = Keys::of(client.ssl());
        let pieces = (3..14).map(|place| keys.seal(HANDSHAKE, place, &piece(20, place)));
        let socket = socket(client.get_ref());
        hurl(&socket, &pieces.collect::<Vec<_>>());
        socket
    });
    assert!(each < 400 * 1024, "{each} bytes");
}

#[test]
fn a_session_keeps_nothing_of_its_handshake() {
    let each = cost(3, |relay| {
        let mut client = half_open(relay);
        let keys = Keys::of(client.ssl());
        let socket = socket(client.get_ref());
        let piece = keys.seal(HANDSHAKE, 20, &piece(20, 4));
        socket.send(&piece).expect("a relay that reads");
        // It comes to its end when the client repeats itself.
        client.get_mut().withholds = false;
        dtls_client::finish(&mut client);
        socket
    });
    assert!(each < 96 * 1024, "{each} bytes");
}

#[test]
fn a_session_whose_client_shakes_hands_again_is_ended() {
    let each = cost(10, |relay| {
        let client = session(relay);
        let keys = Keys::of(client.0.ssl());
        let sealed = (4..14).map(|place| keys.seal(HANDSHAKE, 100 + place, &piece(1, place)));
        let to_come = (0..120).map(|number| record(HANDSHAKE, 2, number, &[9; 48]));
        let socket = socket(client.0.get_ref());
        let before = relay.closed("tls");
        hurl(&socket, &sealed.chain(to_come).collect::<Vec<_>>());
        relay.until("the session is ended", |relay| relay.closed("tls") > before);
        socket
    });
    assert!(each < 16 * 1024, "{each} bytes");
}

/// Bytes of heap that each of some clients costs, of whom nothing is left but the socket.
fn cost(clients: usize, make: impl Fn(&Relay) -> UdpSocket) -> usize {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let relay = dtls_client::relay(|config| config.streams.connections_per_prefix = 10_000);
    let mut probe = session(&relay);
    // What is made once is made before.
    let mut open = vec![make(&relay)];
    open.reserve(clients);
    let before = given_out();
    for _ in 0..clients {
        open.push(make(&relay));
        // It is answered after all that came before it.
        probe.send(&BINDING).expect("a relay that reads");
        probe.receive().expect("an answer");
    }
    given_out().saturating_sub(before) / clients
}

fn session(relay: &Relay) -> DtlsClient {
    dtls_client::secure(relay, Socket::new(dtls_client::address(relay)))
}

/// A client whose handshake lacks its end, which its socket withholds.
fn half_open(relay: &Relay) -> SslStream<Socket> {
    let mut socket = Socket::new(dtls_client::address(relay));
    socket.withholds = true;
    let mut client = dtls_client::client(relay, socket);
    let waits = client.connect().expect_err("a handshake without an end");
    assert_eq!(waits.code(), ErrorCode::WANT_READ);
    client
}

fn socket(socket: &Socket) -> UdpSocket {
    socket.socket.try_clone().expect("a socket")
}

/// Sends records in one datagram, as far as one takes them, and each by itself.
fn hurl(socket: &UdpSocket, records: &[Vec<u8>]) {
    let all = records.concat();
    socket
        .send(&all[..all.len().min(60_000)])
        .expect("a relay that reads");
    for record in records {
        socket.send(record).expect("a relay that reads");
    }
}

fn record(kind: u8, epoch: u8, number: u8, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(body.len()).expect("a short record");
    let mut out = vec![kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, number, 0, len];
    out.extend(body);
    out
}

/// The first byte of a message of 100,000.
fn piece(kind: u8, place: u8) -> [u8; 13] {
    [kind, 1, 0x86, 0xA0, 0, place, 0, 0, 0, 0, 0, 1, 0]
}

/// What a client protects its records with.
struct Keys {
    key: LessSafeKey,
    salt: [u8; 4],
}

impl Keys {
    /// RFC 5246 sections 5 and 6.3, for the cipher that OpenSSL likes best.
    fn of(ssl: &SslRef) -> Self {
        let cipher = ssl.current_cipher().map(|cipher| cipher.name());
        assert_eq!(cipher, Some("ECDHE-ECDSA-AES256-GCM-SHA384"));
        let (mut secret, mut seed) = ([0; 48], b"key expansion".to_vec());
        let session = ssl.session().expect("a session");
        session.master_key(&mut secret);
        let mut random = [0; 32];
        ssl.server_random(&mut random);
        seed.extend(random);
        ssl.client_random(&mut random);
        seed.extend(random);
        let secret = hmac::Key::new(HMAC_SHA384, &secret);
        let mut block = Vec::new();
        let mut turn = hmac::sign(&secret, &seed);
        // Two keys, two salts.
        while block.len() < 2 * 32 + 2 * 4 {
            let next = [turn.as_ref(), &seed].concat();
            block.extend(hmac::sign(&secret, &next).as_ref());
            turn = hmac::sign(&secret, turn.as_ref());
        }
        let key = UnboundKey::new(&AES_256_GCM, &block[..32]).expect("a key");
        let mut salt = [0; 4];
        salt.copy_from_slice(&block[64..68]);
        Self {
            key: LessSafeKey::new(key),
            salt,
        }
    }

    /// A protected record (RFC 5288 section 3).
    fn seal(&self, kind: u8, number: u8, plain: &[u8]) -> Vec<u8> {
        // Its own number is its nonce.
        let mut out = record(kind, 1, number, &[0; 8]);
        out.copy_within(3..11, 13);
        let nonce = [&self.salt[..], &out[3..11]].concat();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).expect("twelve bytes");
        let len = u8::try_from(plain.len()).expect("a short record");
        let associated = [&out[3..11], &[kind, 0xFE, 0xFD, 0, len]].concat();
        let mut text = plain.to_vec();
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(associated), &mut text)
            .expect("a short record");
        out[12] += u8::try_from(text.len()).expect("a short record");
        out.extend(text);
        out
    }
}

/// Bytes that are allocated and not freed.
fn given_out() -> usize {
    // SAFETY: it takes nothing, and locks what it reads.
    let all = unsafe { libc::mallinfo2() };
    all.uordblks + all.hblkhd
}
