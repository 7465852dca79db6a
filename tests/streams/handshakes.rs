//! Handshakes: kinds of keys, suites, and what is not agreed to.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, HandshakeKind};
use veilturn::config::CertificateFiles;
use x509_cert::der::asn1::{AnyRef, OctetStringRef};
use x509_cert::der::{self, Decode, Reader, SliceReader};

use crate::records::{ALERT, HANDSHAKE, Records};
use crate::support::{BINDING, Carrier, NAME, Relay, connect, secure_with, tls_client};

/// Of 2048 bits, in PKCS#8.
const RSA_KEY: &str = include_str!("../vectors/rsa-2048-for-tests-only.pem");

// TL-01: the suite that RFC 8489 section 6.2.3 asks every server for.
#[test]
fn keys_of_every_kind_and_form_serve_both_versions() {
    let rsa = KeyPair::from_pem(RSA_KEY).unwrap();
    let ec = KeyPair::generate().unwrap();
    let (rsa_suite, ec_suite) = (
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    );
    for (key, label, suite) in [
        (&rsa, "PRIVATE KEY", rsa_suite),
        (&rsa, "RSA PRIVATE KEY", rsa_suite),
        (&ec, "PRIVATE KEY", ec_suite),
        (&ec, "EC PRIVATE KEY", ec_suite),
    ] {
        let relay = with_key(key, label);
        for (version, suite) in [
            (&TLS12, suite),
            (&TLS13, cipher_suite::TLS13_AES_128_GCM_SHA256),
        ] {
            let mut provider = default_provider();
            provider.cipher_suites = vec![suite];
            let client = Arc::new(tls_client(provider, &relay.root, &[version]));

            let mut secured = secure_with(connect(relay.tls), &client).unwrap();
            secured.send(&BINDING).unwrap();

            assert_eq!(secured.receive().unwrap()[8..20], BINDING[8..], "{label}");
            assert_eq!(secured.conn.negotiated_cipher_suite(), Some(suite));
        }
    }
}

// TL-01
#[test]
fn versions_before_1_2_are_refused() {
    const PROTOCOL_VERSION: [u8; 7] = [ALERT, 3, 3, 0, 2, 2, 70];
    let relay = Relay::start();
    for old in [[3, 0], [3, 1], [3, 2]] {
        let hello = client_hello(old);
        let len = u16::try_from(hello.len()).unwrap().to_be_bytes();
        let mut stream = connect(relay.tls);
        stream
            .write_all(&[&[HANDSHAKE, 3, 1, len[0], len[1]], &hello[..]].concat())
            .unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, PROTOCOL_VERSION);
    }
    relay.until("it is counted", |relay| relay.closed("tls") == 3);
}

// TL-01
#[test]
fn nothing_is_taken_before_the_handshake_is_done() {
    let relay = Relay::start();
    let mut client = tls_client(default_provider(), &relay.root, &[&TLS13]);
    client.enable_early_data = true;
    let client = Arc::new(client);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut secured = secure_with(connect(relay.tls), &client).unwrap();
        assert!(!secured.conn.is_early_data_accepted());
        // With the answer comes the ticket for the next one.
        secured.send(&BINDING).unwrap();
        secured.receive().unwrap();
        assert_eq!(secured.conn.handshake_kind(), Some(kind));
        let name = ServerName::try_from(NAME).unwrap();
        let mut next = ClientConnection::new(Arc::clone(&client), name).unwrap();
        assert!(next.early_data().is_none(), "the ticket is for none");
    }
}

/// Client-initiated renegotiation is refused, which is told, and the session goes on under its keys.
// TL-01
#[test]
fn a_session_of_tls_1_2_is_not_negotiated_anew() {
    let relay = Relay::start();
    let mut records = Records::connect(&relay, &TLS12);
    records.send(&BINDING).unwrap();
    assert_eq!(records.receive().unwrap()[8..20], BINDING[8..]);

    let hello = records.seal(HANDSHAKE, &client_hello([3, 3]));
    records.socket.write_all(&hello).unwrap();

    const NO_RENEGOTIATION: [u8; 2] = [1, 100];
    assert_eq!(records.open().unwrap(), (ALERT, NO_RENEGOTIATION.to_vec()));
    records.send(&BINDING).unwrap();
    assert_eq!(records.receive().unwrap()[8..20], BINDING[8..]);
}

/// A relay whose certificate has this key, in a file with that label.
fn with_key(key: &KeyPair, label: &str) -> Relay {
    let params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
    let issued = params.self_signed(key).expect("a certificate");
    let pkcs8 = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
    let der = match label {
        "PRIVATE KEY" => pkcs8.secret_der().to_vec(),
        _ => unwrapped(pkcs8.secret_der()).expect("PKCS#8"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let files = CertificateFiles {
        chain: folder.path().join("chain.pem"),
        key: folder.path().join("key.pem"),
    };
    fs::write(&files.chain, issued.pem()).expect("written");
    fs::write(&files.key, pem(label, &der)).expect("written");
    let mut relay = Relay::with(|config| config.tls.certificates = vec![files]);
    relay.root = issued.der().clone();
    relay
}

/// The key inside a PrivateKeyInfo (RFC 5208): behind a version and an algorithm, as PKCS#1 or SEC1 has it.
fn unwrapped(pkcs8: &[u8]) -> der::Result<Vec<u8>> {
    SliceReader::new(pkcs8)?.sequence(|parts| {
        u8::decode(parts)?;
        AnyRef::decode(parts)?;
        let key = <&OctetStringRef>::decode(parts)?.as_bytes().to_vec();
        while !parts.is_finished() {
            AnyRef::decode(parts)?;
        }
        Ok(key)
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// A ClientHello (RFC 5246 section 7.4.1.2) of a version, with one suite and one scheme of signatures.
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let random = [7; 32];
    let suites_and_compression = [0, 2, 0xC0, 0x2B, 1, 0];
    let schemes = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let session = [0];
    let body = [
        &version[..],
        &random,
        &session,
        &suites_and_compression,
        &schemes,
    ]
    .concat();
    let len = u8::try_from(body.len()).expect("a short one");
    [&[1, 0, 0, len], &body[..]].concat()
}
