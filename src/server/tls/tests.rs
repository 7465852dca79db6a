//! Handshakes in memory, against certificates in a folder.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;

use rcgen::{KeyPair, PKCS_ED25519};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{self, CertificateDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind,
    ProtocolVersion, ServerConnection, SignatureScheme,
};
use tempfile::TempDir;

use super::*;
use crate::certificate::testing::{Issued, NOW, params};

#[test]
fn certificate_follows_from_the_name_that_is_asked_for() {
    let first = Issued::to(&["relay.test"]);
    let second = Issued::to(&["*.turn.test", "other.test"]);
    let folder = Folder::with(&[&first, &second]);
    let certificates = folder.load();
    let shown = |host| folder.connect(&certificates, host).unwrap().shown();
    for host in [
        "relay.test",
        "unknown.test",
        "turn.test",
        "a.b.turn.test",
        "192.0.2.1",
    ] {
        assert_eq!(shown(host), first.leaf(), "{host}");
    }
    for host in ["a.turn.test", "A.TURN.test", "other.test"] {
        assert_eq!(shown(host), second.leaf(), "{host}");
    }
}

#[test]
fn client_is_shown_the_certificate_of_its_name_that_it_can_verify() {
    let modern = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let modern = Issued::of(&params(&["relay.test"]), &modern);
    let other = Issued::to(&["relay.test"]);
    let folder = Folder::with(&[&modern, &other]);
    let certificates = folder.load();
    for (scheme, issued) in [
        (SignatureScheme::ED25519, &modern),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &other),
    ] {
        let client = client(vec![scheme], &[&TLS13]);
        let connected = connect(&certificates, client, "relay.test").unwrap();
        assert_eq!(connected.shown(), issued.leaf(), "{scheme:?}");
    }
}

#[test]
fn application_protocol_has_to_be_ours_if_any_is_offered() {
    let folder = Folder::with(&[&Issued::to(&["relay.test"])]);
    let certificates = folder.load();
    let select = |offered: &[&[u8]]| {
        let mut client = any_client();
        client.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let connected = connect(&certificates, client, "relay.test")?;
        Ok(connected.server.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(select(&[]), Ok(None));
    for ours in [ALPN_TURN, ALPN_NAT_DISCOVERY] {
        assert_eq!(select(&[b"h2", ours]), Ok(Some(ours.to_vec())));
    }
    let refused = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(select(&[b"h2", b"http/1.1"]), Err(refused));
}

#[test]
fn versions_are_those_from_the_configured_one_on() {
    let folder = Folder::with(&[&Issued::to(&["relay.test"])]);
    let spoken = |least, offered| {
        let options = TlsOptions {
            min_version: least,
            ..folder.options.clone()
        };
        let certificates = Certificates::load(&options, &[], NOW).unwrap();
        let client = client(schemes(), &[offered]);
        let connected = connect(&certificates, client, "relay.test").ok()?;
        connected.server.protocol_version()
    };
    assert_eq!(
        spoken(TlsVersion::V1_2, &TLS12),
        Some(ProtocolVersion::TLSv1_2)
    );
    assert_eq!(
        spoken(TlsVersion::V1_2, &TLS13),
        Some(ProtocolVersion::TLSv1_3)
    );
    assert_eq!(spoken(TlsVersion::V1_3, &TLS12), None);
    assert_eq!(
        spoken(TlsVersion::V1_3, &TLS13),
        Some(ProtocolVersion::TLSv1_3)
    );
}

#[test]
fn renewal_is_for_new_connections_and_live_ones_go_on() {
    let (old, new) = (Issued::to(&["relay.test"]), Issued::to(&["relay.test"]));
    let folder = Folder::with(&[&old]);
    let certificates = folder.load();
    let mut live = folder.connect(&certificates, "relay.test").unwrap();
    let config = certificates.server_config();
    folder.write(0, &new);

    let outcome = certificates.reload(NOW);

    assert_eq!(outcome.renewed, certificates.expires());
    assert_eq!(outcome.refused, []);
    assert!(Arc::ptr_eq(&config, &certificates.server_config()));
    assert_eq!(live.echo(b"media"), b"media");
    let next = folder.connect(&certificates, "relay.test").unwrap();
    assert_eq!(next.shown(), new.leaf());
}

#[test]
fn files_that_say_the_same_are_no_renewal() {
    let issued = Issued::to(&["relay.test"]);
    let folder = Folder::with(&[&issued]);
    let certificates = folder.load();
    folder.write(0, &issued);
    assert_eq!(certificates.reload(NOW), Reload::default());
}

#[test]
fn swapped_symlink_to_a_folder_is_a_renewal() {
    let (old, new) = (Issued::to(&["relay.test"]), Issued::to(&["relay.test"]));
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, issued: &Issued| {
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tls.crt"), &issued.chain).unwrap();
        fs::write(folder.join("tls.key"), &issued.key).unwrap();
    };
    write("..2026_01", &old);
    write("..2026_02", &new);
    symlink("..2026_01", root.path().join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), root.path().join(name)).unwrap();
    }
    let files = CertificateFiles {
        chain: root.path().join("tls.crt"),
        key: root.path().join("tls.key"),
    };
    let certificates = Certificates::load(&options(vec![files]), &[], NOW).unwrap();

    symlink("..2026_02", root.path().join("..new")).unwrap();
    fs::rename(root.path().join("..new"), root.path().join("..data")).unwrap();
    let outcome = certificates.reload(NOW);

    assert_eq!(outcome.renewed.len(), 1, "{outcome:?}");
    let next = connect(&certificates, any_client(), "relay.test").unwrap();
    assert_eq!(next.shown(), new.leaf());
}

#[test]
fn half_written_pair_waits_for_its_other_half() {
    let (old, new) = (Issued::to(&["relay.test"]), Issued::to(&["relay.test"]));
    let folder = Folder::with(&[&old]);
    let certificates = folder.load();
    let shown = || folder.connect(&certificates, "relay.test").unwrap().shown();
    fs::write(folder.chain(0), &new.chain).unwrap();

    let half = certificates.reload(NOW);
    assert_eq!(half.renewed, []);
    assert_eq!(
        half.refused,
        [folder.refused(0, CertificateError::KeyMismatch)]
    );
    assert_eq!(shown(), old.leaf());

    fs::write(folder.key(0), &new.key).unwrap();
    let whole = certificates.reload(NOW);
    assert_eq!(whole.renewed.len(), 1);
    assert_eq!(whole.refused, []);
    assert_eq!(shown(), new.leaf());
}

#[test]
fn what_cannot_be_served_keeps_the_old_one_and_holds_up_no_other() {
    let (old, new) = (Issued::to(&["a.test"]), Issued::to(&["b.test"]));
    let folder = Folder::with(&[&old, &Issued::to(&["b.test"])]);
    let certificates = folder.load();
    let expired = Issued::between((2025, 1, 1), (2026, 1, 1));
    let early = Issued::between((2027, 1, 1), (2028, 1, 1));
    let at = UnixTime::from_secs(1_767_225_600);
    let from = UnixTime::from_secs(1_798_761_600);

    folder.write(0, &expired);
    folder.write(1, &new);
    let outcome = certificates.reload(NOW);
    assert_eq!(outcome.renewed, [certificates.expires()[1].clone()]);
    assert_eq!(
        outcome.refused,
        [folder.refused(0, CertificateError::Expired { at })]
    );

    folder.write(0, &early);
    let outcome = certificates.reload(NOW);
    assert_eq!(
        outcome.refused,
        [folder.refused(0, CertificateError::NotYetValid { from })]
    );

    fs::remove_file(folder.key(0)).unwrap();
    let unreadable = LoadError::Unreadable {
        path: folder.key(0),
        fault: FileFault::Missing,
    };
    assert_eq!(certificates.reload(NOW).refused, [unreadable]);

    let shown = |host| folder.connect(&certificates, host).unwrap().shown();
    assert_eq!(shown("a.test"), old.leaf());
    assert_eq!(shown("b.test"), new.leaf());
}

#[test]
fn certificate_that_waited_for_its_time_is_taken_when_it_comes() {
    let folder = Folder::with(&[&Issued::to(&["relay.test"])]);
    let certificates = folder.load();
    let early = Issued::between((2027, 1, 1), (2028, 1, 1));
    folder.write(0, &early);
    assert_eq!(certificates.reload(NOW).renewed, []);
    let later = UnixTime::from_secs(1_798_761_600);
    assert_eq!(certificates.reload(later).renewed.len(), 1);
}

#[test]
fn ticket_resumes_a_session_until_the_certificate_is_renewed() {
    for version in [&TLS12, &TLS13] {
        let (old, new) = (Issued::to(&["relay.test"]), Issued::to(&["relay.test"]));
        let folder = Folder::with(&[&old]);
        let certificates = folder.load();
        let client = Arc::new(client(schemes(), &[version]));
        let next = || {
            let mut connected = connect_shared(&certificates, &client, "relay.test").unwrap();
            // A ticket of TLS 1.3 comes with the data after the handshake.
            connected.echo(b"hello");
            (connected.server.handshake_kind(), connected.shown())
        };
        assert_eq!(
            next(),
            (Some(HandshakeKind::Full), old.leaf()),
            "{version:?}"
        );
        assert_eq!(
            next(),
            (Some(HandshakeKind::Resumed), old.leaf()),
            "{version:?}"
        );
        folder.write(0, &new);
        certificates.reload(NOW);
        assert_eq!(
            next(),
            (Some(HandshakeKind::Full), new.leaf()),
            "{version:?}"
        );
    }
}

#[test]
fn no_certificate_is_loaded_that_cannot_be_served() {
    let folder = Folder::with(&[
        &Issued::to(&["a.test"]),
        &Issued::between((2025, 1, 1), (2026, 1, 1)),
    ]);
    let at = UnixTime::from_secs(1_767_225_600);
    let error = Certificates::load(&folder.options, &[], NOW).unwrap_err();
    assert_eq!(error, folder.refused(1, CertificateError::Expired { at }));
    let early = Folder::with(&[&Issued::between((2027, 1, 1), (2028, 1, 1))]);
    assert!(
        Certificates::load(&early.options, &[], NOW).is_ok(),
        "a clock may be behind at start"
    );
}

#[test]
fn expiry_is_told_by_the_name_of_the_file() {
    let folder = Folder::with(&[&Issued::between((2026, 1, 1), (2027, 1, 1))]);
    let expected = CertificateExpiry {
        name: folder.chain(0).display().to_string().into(),
        at: UnixTime::from_secs(1_798_761_600),
    };
    assert_eq!(folder.load().expires(), [expected]);
}

/// Certificates in files, and the options that name them.
pub(in crate::server) struct Folder {
    root: TempDir,
    options: TlsOptions,
}

impl Folder {
    pub(in crate::server) fn with(issued: &[&Issued]) -> Self {
        let mut folder = Self {
            root: tempfile::tempdir().unwrap(),
            options: options(Vec::new()),
        };
        for (place, issued) in issued.iter().enumerate() {
            folder.write(place, issued);
            let (chain, key) = (folder.chain(place), folder.key(place));
            folder
                .options
                .certificates
                .push(CertificateFiles { chain, key });
        }
        folder
    }

    pub(in crate::server) fn load(&self) -> Certificates {
        self.load_for(&[]).unwrap()
    }

    pub(in crate::server) fn load_for(
        &self,
        listeners: &[Listener],
    ) -> Result<Certificates, LoadError> {
        Certificates::load(&self.options, listeners, NOW)
    }

    pub(in crate::server) fn write(&self, place: usize, issued: &Issued) {
        fs::write(self.chain(place), &issued.chain).unwrap();
        fs::write(self.key(place), &issued.key).unwrap();
    }

    fn chain(&self, place: usize) -> PathBuf {
        self.root.path().join(format!("{place}.pem"))
    }

    fn key(&self, place: usize) -> PathBuf {
        self.root.path().join(format!("{place}.key"))
    }

    pub(in crate::server) fn refused(&self, place: usize, error: CertificateError) -> LoadError {
        self.options.certificates[place].refused(error)
    }

    fn connect(&self, certificates: &Certificates, host: &str) -> Result<Connected, rustls::Error> {
        connect(certificates, any_client(), host)
    }
}

fn options(certificates: Vec<CertificateFiles>) -> TlsOptions {
    TlsOptions {
        certificates,
        min_version: TlsVersion::V1_2,
    }
}

/// Both ends of a connection.
struct Connected {
    client: ClientConnection,
    server: ServerConnection,
}

impl Connected {
    /// The certificate that the client was shown.
    fn shown(&self) -> CertificateDer<'static> {
        self.client.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    }

    /// Sends to the server and what it received back, and returns what arrived.
    fn echo(&mut self, data: &[u8]) -> Vec<u8> {
        let mut received = vec![0; data.len()];
        self.client.writer().write_all(data).unwrap();
        self.exchange().unwrap();
        self.server.reader().read_exact(&mut received).unwrap();
        self.server.writer().write_all(&received).unwrap();
        self.exchange().unwrap();
        self.client.reader().read_exact(&mut received).unwrap();
        received
    }

    /// Carries what either end has to say to the other, until both are silent. What ends the connection is told as the
    /// client learns it.
    fn exchange(&mut self) -> Result<(), rustls::Error> {
        loop {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            while self.client.wants_write() {
                self.client.write_tls(&mut there).unwrap();
            }
            let mut unread = &*there;
            while !unread.is_empty() {
                self.server.read_tls(&mut unread).unwrap();
                // An alert about it is on its way to the client.
                let _ = self.server.process_new_packets();
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut back).unwrap();
            }
            let mut unread = &*back;
            while !unread.is_empty() {
                self.client.read_tls(&mut unread).unwrap();
                self.client.process_new_packets()?;
            }
            if there.is_empty() && back.is_empty() {
                return Ok(());
            }
        }
    }
}

fn connect(
    certificates: &Certificates,
    client: ClientConfig,
    host: &str,
) -> Result<Connected, rustls::Error> {
    connect_shared(certificates, &Arc::new(client), host)
}

fn connect_shared(
    certificates: &Certificates,
    client: &Arc<ClientConfig>,
    host: &str,
) -> Result<Connected, rustls::Error> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut connected = Connected {
        client: ClientConnection::new(Arc::clone(client), host)?,
        server: ServerConnection::new(certificates.server_config())?,
    };
    connected.exchange()?;
    assert!(!connected.client.is_handshaking());
    Ok(connected)
}

fn any_client() -> ClientConfig {
    client(schemes(), &[&TLS12, &TLS13])
}

fn schemes() -> Vec<SignatureScheme> {
    let algorithms = default_provider().signature_verification_algorithms;
    algorithms.supported_schemes()
}

/// A client that takes any certificate whose key signs with one of `schemes`.
fn client(
    schemes: Vec<SignatureScheme>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(schemes)))
        .with_no_client_auth()
}

/// Believes every certificate, but not every signature.
#[derive(Debug)]
struct AnyCertificate(Vec<SignatureScheme>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
