//! `[tls]`: the certificates of the listeners that speak TLS. Each is read and checked as it will be served.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::problem::{Cause, Location};
use super::section::{Found, Section};
use super::{CertificateFiles, ListenTransport, Listener, TextFile, TlsOptions, defaults};
use crate::certificate::{Certificate, Identity};

/// Certificates that may be configured; each is looked at in a handshake.
const MAX_CERTIFICATES: usize = 64;

/// Reads the section and holds it against the listeners, which need a certificate if one of them speaks TLS.
pub(super) fn read(section: &mut Section<'_, '_>, listeners: &[Found<Listener>]) -> TlsOptions {
    let min_version = section.or("min_version", defaults::MIN_TLS_VERSION);
    let is_dtls = |found: &Found<Listener>| found.value.transport == ListenTransport::Dtls;
    let certificates = certificates(section, listeners.iter().any(is_dtls));
    let speaks = |found: &&Found<Listener>| found.value.transport.speaks_tls();
    let mut speakers = listeners.iter().filter(speaks).peekable();
    if certificates.is_empty() {
        for Found { at, value } in speakers {
            let cause = Cause::CertificateNeeded(value.addr);
            section.report(at.clone(), "certificate", cause);
        }
    } else if speakers.peek().is_none() {
        section.report_self(Cause::CertificateUnused);
    }
    TlsOptions {
        certificates: certificates.into_iter().flatten().collect(),
        min_version,
    }
}

/// One element for each block; `None` where it is incomplete.
fn certificates(section: &mut Section<'_, '_>, speaks_dtls: bool) -> Vec<Option<CertificateFiles>> {
    let mut chains = BTreeSet::new();
    section.tables("certificate", |section| {
        let purpose =
            "the PEM file of the certificate and those that lead from it to its authority";
        let chain = section.file("chain_file", purpose);
        let key = section.file("key_file", "the PEM file of the certificate's private key");
        let (chain, key) = (chain?, key?);
        if chains.len() == MAX_CERTIFICATES {
            let most = MAX_CERTIFICATES;
            section.report_self(Cause::TooManyCertificates { most });
        }
        if !chains.insert(chain.path.clone()) {
            section.report(chain.at.clone(), "chain_file", Cause::Duplicate);
        }
        if key.text.open_to_all {
            let path = key.path.clone();
            section.report(key.at.clone(), "key_file", Cause::SecretFileOpen { path });
        }
        check(section, &chain, &key, speaks_dtls);
        Some(CertificateFiles {
            chain: chain.path,
            key: key.path,
        })
    })
}

/// Reports what is wrong with the two files together, at the key of the one that it is about.
fn check(section: &mut Section<'_, '_>, chain: &NamedFile, key: &NamedFile, speaks_dtls: bool) {
    let now = section.now();
    let (chain_text, key_text) = (&chain.text.text, &key.text.text);
    let checked = Certificate::parse(chain_text, key_text, now).and_then(|certificate| {
        if speaks_dtls {
            Identity::parse(chain_text, key_text)?;
        }
        Ok(certificate)
    });
    let faults = match checked {
        Ok(certificate) => certificate.doubts(now),
        Err(error) => vec![error],
    };
    for fault in faults {
        let (name, file) = if fault.is_about_key() {
            ("key_file", key)
        } else {
            ("chain_file", chain)
        };
        section.report(file.at.clone(), name, Cause::Certificate(fault));
    }
}

/// A file that a key names, read.
pub(super) struct NamedFile {
    /// Where it is named.
    pub(super) at: Location,
    /// Its path, as the process finds it.
    pub(super) path: PathBuf,
    pub(super) text: TextFile,
}
