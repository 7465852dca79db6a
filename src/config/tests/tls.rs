//! `[tls]`: certificates as an operator gets them wrong.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A document whose second listener speaks TLS.
fn document() -> String {
    MINIMAL.to_owned()
        + r#"
[[listen]]
addr = "192.0.2.1:443"
transport = "auto"
[[tls.certificate]]
chain_file = "chain"
key_file = "key"
"#
}

#[test]
fn certificate_that_is_good_is_served_from_where_it_was_checked() {
    let issued = Issued::to(&["relay.test"]);
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
        path
    };
    let (chain, key) = (
        write("chain", &issued.chain, 0o644),
        write("key", &issued.key, 0o600),
    );
    let path = write("veilturn.toml", &document(), 0o600);

    let loaded = load(&path, [], NOW).expect("valid");
    assert_eq!(loaded.report.problems, []);
    assert_eq!(
        loaded.config.tls.certificates,
        [CertificateFiles {
            chain,
            key: key.clone()
        }]
    );

    write("key", &issued.key, 0o644);
    let loaded = load(&path, [], NOW).expect("valid");
    let causes: Vec<_> = loaded
        .report
        .problems
        .into_iter()
        .map(|p| p.cause)
        .collect();
    assert_eq!(causes, [Cause::SecretFileOpen { path: key }]);
}

#[test]
fn fault_is_told_at_the_key_of_its_file() {
    let issued = Issued::to(&["relay.test"]);
    let expired = Issued::between((2025, 1, 1), (2026, 1, 1));
    let other = Issued::to(&["relay.test"]);
    let cases = [
        (
            shelf(&expired.chain, &expired.key),
            "veilturn.toml:17:14: error: tls.certificate[0].chain_file: expired on 2026-01-01T00:00:00Z",
        ),
        (
            shelf(&issued.chain, &other.key),
            "veilturn.toml:18:12: error: tls.certificate[0].key_file: the private key does not belong to the \
             certificate",
        ),
        (
            shelf("not PEM", &issued.key),
            "veilturn.toml:17:14: error: tls.certificate[0].chain_file: holds no certificate in PEM form \
             (-----BEGIN CERTIFICATE-----)",
        ),
        (
            Shelf(vec![("key", issued.key.clone())]),
            "veilturn.toml:17:14: error: tls.certificate[0].chain_file: cannot read chain: no such file",
        ),
        (
            Shelf(vec![("chain", issued.chain.clone())]),
            "veilturn.toml:18:12: error: tls.certificate[0].key_file: cannot read key: no such file",
        ),
    ];
    for (files, expected) in cases {
        assert_eq!(found(&document(), &files), expected);
    }
}

// rcgen writes the newer of the two forms that a key of Ed25519 has.
#[cfg(feature = "dtls")]
#[test]
fn certificate_has_to_be_good_for_dtls_where_that_is_spoken() {
    use rcgen::{KeyPair, PKCS_ED25519};

    use crate::certificate::testing::params;

    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let ed25519 = Issued::of(&params(&["relay.test"]), &key);
    let good = Issued::to(&["relay.test"]);
    let document = document().replace("auto", "dtls");

    let found = found(&document, &shelf(&ed25519.chain, &ed25519.key));
    let place = "veilturn.toml:18:12: error: tls.certificate[0].key_file: ";
    assert!(
        found.starts_with(place) && found.contains("openssl genpkey"),
        "{found}"
    );
    assert!(read_with(&document, &[], &shelf(&good.chain, &good.key)).is_ok());
    let tls = self::document();
    assert!(read_with(&tls, &[], &shelf(&ed25519.chain, &ed25519.key)).is_ok());
}

#[test]
fn doubt_about_a_certificate_is_a_warning() {
    let early = Issued::between((2026, 11, 22), (2027, 1, 1));
    let files = shelf(&early.chain, &early.key);
    let loaded = read_with(&document(), &[], &files).expect("it can be served");
    assert_eq!(
        loaded.report.to_string(),
        "veilturn.toml:17:14: warning: tls.certificate[0].chain_file: is not valid before 2026-11-22T00:00:00Z"
    );
    assert_eq!(loaded.config.tls.certificates.len(), 1);
}

#[test]
fn certificate_without_its_key_is_incomplete() {
    let issued = Issued::to(&["relay.test"]);
    let files = shelf(&issued.chain, &issued.key);
    assert_eq!(
        found(&document().replace("key_file = \"key\"\n", ""), &files),
        "veilturn.toml:16:1: error: tls.certificate[0].key_file: missing: the PEM file of the certificate's private key"
    );
}

#[test]
fn same_chain_twice_and_certificates_that_nobody_serves_are_told() {
    let issued = Issued::to(&["relay.test"]);
    let files = shelf(&issued.chain, &issued.key);
    let block = "[[tls.certificate]]\nchain_file = \"chain\"\nkey_file = \"key\"\n";
    assert_eq!(
        found(&(document() + block), &files),
        "veilturn.toml:20:14: error: tls.certificate[1].chain_file: is given twice"
    );
    let unused = document().replace("\"auto\"", "\"tcp\"");
    let told = found(&unused, &files);
    assert!(
        told.contains("warning: tls: no listener speaks TLS"),
        "{told}"
    );
}

#[test]
fn sixty_fifth_certificate_is_one_too_many() {
    let issued = Issued::to(&["relay.test"]);
    let mut files = shelf(&issued.chain, &issued.key);
    let mut text = document();
    for number in 1..=64 {
        let name: &'static str = format!("chain{number}").leak();
        files.0.push((name, issued.chain.clone()));
        text += &format!("[[tls.certificate]]\nchain_file = \"{name}\"\nkey_file = \"key\"\n");
    }
    let told = found(&text, &files);
    assert!(
        told.contains("tls.certificate[64]: at most 64 certificates"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn no_finding_holds_a_private_key() {
    let issued = Issued::to(&["relay.test"]);
    let swapped = shelf(&issued.key, &issued.chain);
    let told = found(&document(), &swapped);
    let body = issued.key.lines().nth(1).expect("a line of base64");
    assert!(!told.contains(body), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

fn shelf(chain: &str, key: &str) -> Shelf {
    Shelf(vec![("chain", chain.to_owned()), ("key", key.to_owned())])
}

fn found(text: &str, files: &Shelf) -> String {
    read_with(text, &[], files)
        .map_or_else(|report| report, |loaded| loaded.report)
        .to_string()
}
