//! The certificates that TLS listeners serve, and their renewal under live connections.
//!
//! One `rustls` configuration is made at start and never again. What it asks at each handshake, for a certificate or
//! for a session ticket, it asks of a table that a renewal replaces as a whole: connections that live keep what they
//! have, and the next handshake meets the new certificate. The daemon decides when to look ([`Certificates::reload`]).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest::{Context, Digest, SHA256};
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, ServerConfig,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::dtls;
use crate::certificate::{Certificate, CertificateError, Identity};
use crate::config::{
    CertificateFiles, Disk, FileFault, Files, ListenTransport, Listener, TextFile, TlsOptions,
    TlsVersion,
};
use crate::ops::metrics::CertificateExpiry;
use crate::time::UnixTime;

/// The ALPN name of TURN (RFC 7443 section 4).
pub const ALPN_TURN: &[u8] = b"stun.turn";

/// The ALPN name of STUN for NAT discovery: Binding requests alone (RFC 7443 section 4).
pub const ALPN_NAT_DISCOVERY: &[u8] = b"stun.nat-discovery";

/// The certificates in service. Shared by all workers; a handshake reads them without a lock.
pub struct Certificates {
    files: Vec<CertificateFiles>,
    live: Arc<Live>,
    server_config: Arc<ServerConfig>,
    /// Whether a listener speaks DTLS, so that every certificate has to be good for that as well.
    speaks_dtls: bool,
}

/// Why a certificate cannot be taken into service.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// One of its files cannot be read.
    #[error("cannot read {}: {fault}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: FileFault,
    },
    /// One of its files is wrong.
    #[error("{}: {error}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// A listener is to speak DTLS, which was left out of this build.
    #[error("this build speaks no DTLS: it lacks the cargo feature `dtls`")]
    DtlsNotBuilt,
    /// DTLS cannot be set up at all.
    #[error("DTLS cannot be set up: OpenSSL refuses to work")]
    DtlsUnusable,
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// What a reload came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reload {
    /// The certificates that were replaced.
    pub renewed: Vec<CertificateExpiry>,
    /// What cannot be taken into service; what served before goes on.
    pub refused: Vec<LoadError>,
}

impl Certificates {
    /// Reads the certificates and sets up TLS with them, for these listeners; the first is for clients that ask for no
    /// name or for one that no certificate has.
    ///
    /// # Errors
    ///
    /// The first certificate that cannot be served, an expired one included.
    pub fn load(
        options: &TlsOptions,
        listeners: &[Listener],
        now: UnixTime,
    ) -> Result<Self, LoadError> {
        let mut listeners = listeners.iter();
        let speaks_dtls = listeners.any(|listener| listener.transport == ListenTransport::Dtls);
        let entries = options.certificates.iter();
        let entries = entries.map(|files| Source::read(files)?.certificate(speaks_dtls, now));
        let table = Table::new(entries.collect::<Result<_, _>>()?)?;
        let live = Arc::new(Live(ArcSwap::from_pointee(table)));
        Ok(Self {
            files: options.certificates.clone(),
            server_config: Arc::new(server_config(options.min_version, &live)?),
            speaks_dtls,
            live,
        })
    }

    /// The configuration for every TLS connection, made once: a reload changes what its handshakes are answered with.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server_config)
    }

    /// What every DTLS session is made with, where a listener speaks it: a reload changes what its handshakes are answered
    /// with. Cookies are made with `key`, which is as good as random.
    ///
    /// # Errors
    ///
    /// Where DTLS cannot be spoken.
    pub(super) fn dtls(&self, key: &[u8; 32]) -> Result<Option<dtls::Setup>, LoadError> {
        if !self.speaks_dtls {
            return Ok(None);
        }
        let live = Arc::clone(&self.live);
        dtls::Setup::new(key, move |host| live.0.load().named(host)?.identity.clone()).map(Some)
    }

    /// Looks at the files and takes into service what has changed there. Each certificate is renewed by itself: what is
    /// wrong with one keeps the old one of its place in service and does not hold up the others. A chain and a key that
    /// do not belong together, as between the two steps of a renewal, are such a fault, and the next look finds them
    /// whole.
    ///
    /// Session tickets issued before a renewal are worth nothing after it: every handshake from then on is made with
    /// the certificates in service.
    ///
    /// Reads files, so that it may block.
    pub fn reload(&self, now: UnixTime) -> Reload {
        let mut outcome = Reload::default();
        let mut entries = self.live.0.load().entries.clone();
        for (files, entry) in self.files.iter().zip(&mut entries) {
            match self.renewed(files, entry, now) {
                Ok(None) => {}
                Ok(Some(renewal)) => {
                    outcome.renewed.push(renewal.expiry());
                    *entry = renewal;
                }
                Err(error) => outcome.refused.push(error),
            }
        }
        if !outcome.renewed.is_empty() {
            match Table::new(entries) {
                Ok(table) => self.live.0.store(Arc::new(table)),
                Err(error) => {
                    outcome.renewed.clear();
                    outcome.refused.push(error.into());
                }
            }
        }
        outcome
    }

    /// Until when each certificate in service is good, in the order of the configuration.
    #[must_use]
    pub fn expires(&self) -> Vec<CertificateExpiry> {
        self.live
            .0
            .load()
            .entries
            .iter()
            .map(Entry::expiry)
            .collect()
    }

    /// The certificate of `files` where they have changed since `entry` was read.
    fn renewed(
        &self,
        files: &CertificateFiles,
        entry: &Entry,
        now: UnixTime,
    ) -> Result<Option<Entry>, LoadError> {
        let source = Source::read(files)?;
        if source.digest().as_ref() == entry.digest.as_ref() {
            return Ok(None);
        }
        let renewal = source.certificate(self.speaks_dtls, now)?;
        let from = renewal.certificate.not_before();
        if now < from {
            // The old one is better than one that no client accepts yet.
            return Err(files.refused(CertificateError::NotYetValid { from }));
        }
        Ok(Some(renewal))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.files).finish()
    }
}

fn server_config(least: TlsVersion, live: &Arc<Live>) -> Result<ServerConfig, rustls::Error> {
    let versions: &[_] = match least {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(live) as _);
    // RFC 7443 section 3: a client that offers none of these, but offers others, is refused; one that offers nothing is
    // served. So rustls does.
    config.alpn_protocols = vec![ALPN_TURN.to_vec(), ALPN_NAT_DISCOVERY.to_vec()];
    // A session is resumed from its ticket alone: strangers leave nothing behind here, however many they are.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(live) as _;
    Ok(config)
}

/// The text of a certificate's two files.
struct Source<'f> {
    files: &'f CertificateFiles,
    chain: TextFile,
    key: TextFile,
}

impl<'f> Source<'f> {
    fn read(files: &'f CertificateFiles) -> Result<Self, LoadError> {
        let here = Disk {
            base: PathBuf::new(),
        };
        let read = |path: &PathBuf| {
            let path = path.clone();
            here.read(&path)
                .map_err(|fault| LoadError::Unreadable { path, fault })
        };
        Ok(Self {
            files,
            chain: read(&files.chain)?,
            key: read(&files.key)?,
        })
    }

    fn certificate(&self, for_dtls: bool, now: UnixTime) -> Result<Entry, LoadError> {
        let (chain, key) = (&self.chain.text, &self.key.text);
        let refused = |error| self.files.refused(error);
        let certificate = Certificate::parse(chain, key, now).map_err(refused)?;
        let identity = for_dtls.then(|| Identity::parse(chain, key).map_err(refused));
        Ok(Entry {
            name: self.files.chain.display().to_string().into(),
            certificate: Arc::new(certificate),
            identity: identity.transpose()?,
            digest: self.digest(),
        })
    }

    /// What tells these texts from others, without keeping them.
    fn digest(&self) -> Digest {
        let mut digest = Context::new(&SHA256);
        digest.update(&self.chain.text.len().to_le_bytes());
        digest.update(self.chain.text.as_bytes());
        digest.update(self.key.text.as_bytes());
        digest.finish()
    }
}

impl CertificateFiles {
    fn refused(&self, error: CertificateError) -> LoadError {
        let path = if error.is_about_key() {
            &self.key
        } else {
            &self.chain
        };
        LoadError::Refused {
            path: path.clone(),
            error,
        }
    }
}

/// A certificate in service.
#[derive(Clone, Debug)]
struct Entry {
    name: Arc<str>,
    certificate: Arc<Certificate>,
    /// It for DTLS, where that is spoken.
    identity: Option<Identity>,
    digest: Digest,
}

impl Entry {
    fn expiry(&self) -> CertificateExpiry {
        CertificateExpiry {
            name: Arc::clone(&self.name),
            at: self.certificate.not_after(),
        }
    }
}

/// The certificates in service at one time, and the keys of the tickets that are issued meanwhile.
#[derive(Debug)]
struct Table {
    /// At least one, the default.
    entries: Vec<Entry>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Table {
    fn new(entries: Vec<Entry>) -> Result<Self, rustls::Error> {
        let tickets = Ticketer::new()?;
        Ok(Self { entries, tickets })
    }

    /// The first certificate for a host, or else the default.
    fn named(&self, host: Option<&str>) -> Option<&Entry> {
        let is_named = |entry: &&Entry| host.is_some_and(|host| entry.certificate.names(host));
        let mut entries = self.entries.iter();
        entries.find(is_named).or_else(|| self.entries.first())
    }

    /// The certificate for a host, or else the default; where there are several, the first that the client can verify,
    /// so that one of ECDSA can have one of RSA beside it.
    fn choose(&self, hello: &ClientHello<'_>) -> Option<&Entry> {
        let host = hello.server_name();
        let is_named = |entry: &&Entry| host.is_some_and(|host| entry.certificate.names(host));
        let is_verifiable = |entry: &&Entry| {
            let key = &entry.certificate.certified_key().key;
            key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let mut named = self.entries.iter().filter(is_named);
        named
            .find(is_verifiable)
            .or_else(|| self.entries.iter().find(is_named))
            .or_else(|| self.entries.first())
    }
}

/// The table in service, as `rustls` asks for it.
#[derive(Debug)]
struct Live(ArcSwap<Table>);

impl ResolvesServerCert for Live {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.0.load();
        let entry = table.choose(&hello)?;
        Some(Arc::clone(entry.certificate.certified_key()))
    }
}

impl ProducesTickets for Live {
    fn enabled(&self) -> bool {
        self.0.load().tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.load().tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.load().tickets.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.load().tickets.decrypt(cipher)
    }
}

#[cfg(test)]
pub(super) mod tests;
