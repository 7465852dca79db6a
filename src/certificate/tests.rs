//! What is accepted and what is refused. RSA keys cannot be made here: `tests/interop/keys.py` shows that they are
//! taken, and keys of OpenSSL's making in every form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use x509_cert::der::asn1::{AnyRef, OctetStringRef};

use super::testing::{Issued, NOW, params};
use super::*;

#[test]
fn every_kind_of_key_is_taken_with_its_certificate() {
    for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let issued = Issued::of(&params(&["relay.test"]), &key);
        assert!(parse(&issued.chain, &issued.key).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn key_is_taken_in_the_form_of_sec1_and_behind_its_parameters() {
    let issued = Issued::to(&["relay.test"]);
    let pkcs8 = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    // PrivateKeyInfo (RFC 5208): a version, an algorithm, and the key as SEC1 has it.
    let parts = SliceReader::new(pkcs8.secret_der())
        .unwrap()
        .sequence(|parts| {
            u8::decode(parts)?;
            AnyRef::decode(parts)?;
            let key = <&OctetStringRef>::decode(parts)?.as_bytes().to_vec();
            while !parts.is_finished() {
                AnyRef::decode(parts)?;
            }
            Ok::<_, der::Error>(key)
        });
    let pem = |label: &str, der: &[u8]| {
        let body = STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let parameters = pem("EC PARAMETERS", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
    let key = parameters + &pem("EC PRIVATE KEY", &parts.unwrap());
    assert!(parse(&issued.chain, &key).is_ok());
}

#[test]
fn validity_is_that_of_the_leaf() {
    let issued = Issued::between((2026, 1, 1), (2027, 1, 1));
    let certificate = parse(&issued.chain, &issued.key).unwrap();
    assert_eq!(certificate.not_before(), UnixTime::from_secs(1_767_225_600));
    assert_eq!(certificate.not_after(), UnixTime::from_secs(1_798_761_600));
    assert_eq!(certificate.doubts(NOW), []);
}

#[test]
fn names_are_those_of_the_leaf_and_a_wildcard_is_one_label() {
    let issued = Issued::to(&["Relay.test", "*.turn.test", "192.0.2.1"]);
    let certificate = parse(&issued.chain, &issued.key).unwrap();
    for host in ["relay.test", "RELAY.test", "a.turn.test", "*.turn.test"] {
        assert!(certificate.names(host), "{host}");
    }
    for host in [
        "turn.test",
        "a.b.turn.test",
        "a.relay.test",
        "test",
        "",
        ".",
        "192.0.2.1",
    ] {
        assert!(!certificate.names(host), "{host}");
    }
}

#[test]
fn chain_may_hold_more_than_the_leaf_and_text_between() {
    let (issued, issuer) = Issued::with_issuer();
    let chain = format!("subject=relay\n{}issuer:\n{issuer}\n", issued.chain);
    let certificate = parse(&chain, &issued.key).unwrap();
    assert_eq!(certificate.certified_key().cert.len(), 2);
    assert_eq!(certificate.doubts(NOW), []);
}

#[test]
fn key_may_stand_behind_other_blocks_as_in_a_combined_file() {
    let issued = Issued::to(&["relay.test"]);
    let both = format!("{}{}", issued.chain, issued.key);
    assert!(parse(&both, &both).is_ok());
}

#[test]
fn each_fault_is_told_by_its_own_name() {
    let good = Issued::to(&["relay.test"]);
    let other = Issued::to(&["relay.test"]);
    let (issued, issuer) = Issued::with_issuer();
    let expired = Issued::between((2025, 1, 1), (2026, 11, 20));
    let at = UnixTime::from_secs(1_795_132_800);
    let damaged = |pem: &str| pem.replacen("-----\nM", "-----\n!", 1);
    let no_x509 = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let backwards = format!("{issuer}{}", issued.chain);
    let cases = [
        ("", &*good.key, CertificateError::NoCertificate),
        ("\u{30}\u{82}", &good.key, CertificateError::NoCertificate),
        (&good.key, &good.key, CertificateError::NoCertificate),
        (
            &damaged(&good.chain),
            &good.key,
            CertificateError::ChainDamaged,
        ),
        (no_x509, &good.key, CertificateError::LeafUndecodable),
        (&good.chain, "", CertificateError::NoKey),
        (&good.chain, &good.chain, CertificateError::NoKey),
        (
            &good.chain,
            &damaged(&good.key),
            CertificateError::KeyDamaged,
        ),
        (&good.chain, encrypted, CertificateError::KeyEncrypted),
        (&good.chain, no_key, CertificateError::KeyUnsupported),
        (&good.chain, &other.key, CertificateError::KeyMismatch),
        (
            &backwards,
            &issued.key,
            CertificateError::LeafNotFirst { number: 2 },
        ),
        (
            &expired.chain,
            &expired.key,
            CertificateError::Expired { at },
        ),
        (
            &Issued::chain_for(&SmallRsa::new()),
            &good.key,
            CertificateError::Weak { bits: 1024 },
        ),
    ];
    for (chain, key, expected) in cases {
        assert_eq!(parse(chain, key).map(|_| ()), Err(expected));
    }
}

#[test]
fn certificate_is_good_to_its_last_second() {
    let issued = Issued::between((2025, 1, 1), (2026, 11, 21));
    let at = |now| Certificate::parse(&issued.chain, &issued.key, now).map(|_| ());
    assert_eq!(at(NOW), Ok(()));
    let later = UnixTime::from_secs(NOW.as_secs() + 1);
    assert_eq!(at(later), Err(CertificateError::Expired { at: NOW }));
}

#[test]
fn what_is_questionable_is_told_and_served() {
    let early = Issued::between((2026, 11, 22), (2027, 1, 1));
    let from = UnixTime::from_secs(NOW.as_secs() + 24 * 3600);
    let (alone, _) = Issued::with_issuer();
    let nameless = Issued::to(&[]);
    let cases = [
        (early, CertificateError::NotYetValid { from }),
        (alone, CertificateError::IssuerMissing),
        (nameless, CertificateError::Nameless),
    ];
    for (issued, expected) in cases {
        let certificate = parse(&issued.chain, &issued.key).unwrap();
        assert!(expected.is_doubt());
        assert_eq!(certificate.doubts(NOW), [expected]);
    }
}

#[test]
fn date_is_told_as_a_date() {
    let at = UnixTime::from_secs(NOW.as_secs());
    let told = CertificateError::Expired { at }.to_string();
    assert_eq!(told, "expired on 2026-11-21T00:00:00Z");
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(chain in ".{0,200}", key in ".{0,200}") {
        let _ = parse(&chain, &key);
    }

    #[test]
    fn any_bytes_in_a_block_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let body = STANDARD.encode(bytes);
        let pem = |label: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
            let _ = parse(&pem("CERTIFICATE"), &pem(label));
            let _ = read_key(&pem(label));
        }
    }
}

#[test]
fn damage_to_any_byte_of_a_certificate_is_read_without_panic() {
    let issued = Issued::to(&["relay.test", "*.relay.test"]);
    let leaf = issued.leaf();
    for place in 0..leaf.len() {
        let mut bytes = leaf.to_vec();
        bytes[place] ^= 0x55;
        let body = STANDARD.encode(bytes);
        let chain = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let _ = parse(&chain, &issued.key);
    }
}

/// A public key of RSA that is too short; nobody has the private one.
struct SmallRsa(Vec<u8>);

impl SmallRsa {
    fn new() -> Self {
        // SEQUENCE { INTEGER of 129 bytes, the first of them zero; INTEGER 65537 }
        let mut der = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
        der.extend([0xd5; 128]);
        der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
        Self(der)
    }
}

impl rcgen::PublicKeyData for SmallRsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

fn parse(chain: &str, key: &str) -> Result<Certificate, CertificateError> {
    Certificate::parse(chain, key, NOW)
}
