//! A relay on the loopback interface, and parties that reach it over streams or datagrams.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use tempfile::TempDir;

use veilturn::auth::{self, Claims, Credential, PeerScope, Secret};
use veilturn::client::{
    AllocateOptions, Client, ClientOptions, Received, RequestError, RequestId, Success,
};
use veilturn::config::{CertificateFiles, Config, ListenTransport, Listener};
use veilturn::ops::metrics::{Snapshot, Vitals as _};
use veilturn::server::Server;
use veilturn::time::{Tick, UnixTime};
use veilturn::wire::{ChannelNumber, Family};
use zeroize::Zeroizing;

/// How long anything may take before a test gives up: far longer than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A Binding request.
pub(crate) const BINDING: [u8; 20] = [
    0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];

/// The name in the relay's certificate.
pub(crate) const NAME: &str = "relay.example";

/// A connection inside TLS.
pub(crate) type Secured<S = TcpStream> = StreamOwned<ClientConnection, S>;

pub(crate) const SECRET: &str = "a secret of the tests alone, made of 44 bytes";

/// A relay that listens in every way there is.
pub(crate) struct Relay {
    pub(crate) server: Server,
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) auto: SocketAddr,
    /// What its certificate is checked against.
    pub(crate) root: CertificateDer<'static>,
    /// Where its certificate is.
    pub(crate) folder: TempDir,
}

impl Relay {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// A relay with one worker, so that its clients meet.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = issue(folder.path());
        let mut config = Config::dev(0, secret());
        config.tls.certificates = vec![CertificateFiles {
            chain: folder.path().join("chain.pem"),
            key: folder.path().join("key.pem"),
        }];
        let udp = config.listeners[0].clone();
        let other = |transport| Listener {
            transport,
            ..udp.clone()
        };
        config.listeners = vec![
            other(ListenTransport::Udp),
            other(ListenTransport::Tcp),
            other(ListenTransport::Tls),
            other(ListenTransport::Auto),
        ];
        config.runtime.workers = 1;
        change(&mut config);
        let server = Server::start(&config).expect("a relay on loopback");
        let &[udp, tcp, tls, auto, ..] = server.listeners() else {
            panic!("four listeners")
        };
        Self {
            server,
            udp,
            tcp,
            tls,
            auto,
            root,
            folder,
        }
    }

    /// A party of the call that all tests hold, over TCP.
    pub(crate) fn tcp_party(&self, name: &str) -> Party<TcpStream> {
        Party::new(self, name, connect(self.tcp))
    }

    /// A party of the call, over TLS of the versions `versions`.
    pub(crate) fn tls_party(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Party<Secured> {
        Party::new(
            self,
            name,
            self.secure(self.tls, versions, &[]).expect("TLS"),
        )
    }

    /// A TLS connection to one of its listeners, handshake done.
    pub(crate) fn secure(
        &self,
        to: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> io::Result<Secured> {
        self.secure_over(connect(to), versions, alpn)
    }

    /// A TLS connection over a stream, handshake done.
    pub(crate) fn secure_over<S: Read + Write>(
        &self,
        stream: S,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> io::Result<Secured<S>> {
        secure(stream, &self.root, versions, alpn)
    }

    /// A party of the call, over UDP.
    pub(crate) fn udp_party(&self, name: &str) -> Party<Datagrams> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect(self.udp).expect("a relay");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Party::new(self, name, Datagrams(socket))
    }

    fn credential(&self, party: &str) -> Credential {
        self.credential_within(PeerScope::Call, party)
    }

    /// The credential of a party of the call who may reach the peers of `scope`.
    pub(crate) fn credential_within(&self, scope: PeerScope, party: &str) -> Credential {
        credential(self.server.now().unix, scope, party)
    }

    pub(crate) fn numbers(&self) -> Snapshot {
        self.server.vitals().snapshot()
    }

    /// How many connections were closed for `reason`.
    pub(crate) fn closed(&self, reason: &str) -> u64 {
        let closed = self.numbers().connections.closed;
        let counts = closed.iter().filter(|count| count.reason == reason);
        counts.map(|count| count.count).sum()
    }

    /// Waits until something is so. It is for what the relay does by itself after a client has gone, of which no
    /// client can hear.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = self.server.now().tick;
        while !is_so(self) {
            assert!(
                self.server.now().tick.since(start) < PATIENCE,
                "never came true: {what}"
            );
            std::thread::yield_now();
        }
    }
}

/// Writes a new certificate, which is its own root, and its key.
pub(crate) fn issue(folder: &Path) -> CertificateDer<'static> {
    let issued = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]);
    let issued = issued.expect("a certificate");
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("a writable folder");
    };
    write("chain.pem", issued.cert.pem());
    write("key.pem", issued.signing_key.serialize_pem());
    issued.cert.der().clone()
}

/// A TLS connection over a stream to whom `root` vouches for, handshake done.
pub(crate) fn secure<S: Read + Write>(
    stream: S,
    root: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> io::Result<Secured<S>> {
    let mut config = tls_client(default_provider(), root, versions);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    secure_with(stream, &Arc::new(config))
}

/// What a client who believes `root` speaks TLS with.
pub(crate) fn tls_client(
    provider: CryptoProvider,
    root: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_protocol_versions(versions).expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    // For tests that make records of their own.
    config.enable_secret_extraction = true;
    config
}

/// A TLS connection over a stream, handshake done.
pub(crate) fn secure_with<S: Read + Write>(
    stream: S,
    config: &Arc<ClientConfig>,
) -> io::Result<Secured<S>> {
    let name = ServerName::try_from(NAME).expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
    let mut secured = Secured::new(session, stream);
    while secured.conn.is_handshaking() {
        secured.conn.complete_io(&mut secured.sock)?;
    }
    Ok(secured)
}

/// The credential of a party of the call who may reach the peers of `scope`.
pub(crate) fn credential(now: UnixTime, scope: PeerScope, party: &str) -> Credential {
    let claims = Claims {
        call: Some("call"),
        party: Some(party),
        peers: Some(scope),
        ..Claims::default()
    };
    let id = claims.to_id().expect("claims");
    let expires = UnixTime::from_secs(now.as_secs() + 3600);
    auth::mint(&secret(), expires, Some(&id)).expect("a credential")
}

pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Whether the other side has closed the connection: nothing comes but its end.
pub(crate) fn is_closed(stream: &mut impl Read) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// The way to the relay: messages, whatever carries them.
pub(crate) trait Carrier {
    fn send(&mut self, message: &[u8]) -> io::Result<()>;
    fn receive(&mut self) -> io::Result<Vec<u8>>;
}

impl<S: Read + Write> Carrier for S {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.write_all(&padded(message))?;
        self.flush()
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; 4];
        self.read_exact(&mut frame)?;
        let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
        let rest = match frame[0] {
            0..=3 => 16 + length,
            0x40..=0x4F => length.next_multiple_of(4),
            other => panic!("a frame begins with {other}"),
        };
        frame.resize(4 + rest, 0);
        self.read_exact(&mut frame[4..])?;
        Ok(frame)
    }
}

/// Messages as datagrams.
pub(crate) struct Datagrams(pub(crate) UdpSocket);

impl Carrier for Datagrams {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.send(message).map(|_| ())
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut buf = vec![0; 65_536];
        let len = self.0.recv(&mut buf)?;
        buf.truncate(len);
        Ok(buf)
    }
}

/// A message as it stands in a stream.
pub(crate) fn padded(message: &[u8]) -> Vec<u8> {
    let mut frame = message.to_vec();
    frame.resize(frame.len().next_multiple_of(4), 0);
    frame
}

/// A party to the call: a TURN client and its way to the relay.
pub(crate) struct Party<C> {
    pub(crate) client: Client,
    pub(crate) carrier: C,
}

/// What came from a peer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) from: SocketAddr,
    pub(crate) channel: Option<ChannelNumber>,
    pub(crate) data: Vec<u8>,
}

impl<C: Carrier> Party<C> {
    pub(crate) fn new(relay: &Relay, name: &str, carrier: C) -> Self {
        Self::with(relay.credential(name), name, carrier)
    }

    /// One with a credential; what it draws follows from its name.
    pub(crate) fn with(credential: Credential, name: &str, carrier: C) -> Self {
        let mut seed = [0; 32];
        for (byte, letter) in seed.iter_mut().zip(name.bytes()) {
            *byte = letter;
        }
        Self {
            client: Client::new(credential, ClientOptions::default(), seed),
            carrier,
        }
    }

    /// Allocates; the relayed address.
    pub(crate) fn allocate(&mut self) -> SocketAddr {
        let request = self.client.allocate(NOW, AllocateOptions::default());
        let ended = self.settle(request.expect("room"));
        assert_eq!(ended, Ok(Success::Allocated));
        self.relayed()
    }

    pub(crate) fn relayed(&self) -> SocketAddr {
        let allocation = self.client.allocation().expect("an allocation");
        allocation.relayed(Family::V4).expect("an IPv4 address")
    }

    pub(crate) fn bind(&mut self, peer: SocketAddr) -> ChannelNumber {
        let (request, channel) = self.client.bind(NOW, peer).expect("room");
        assert_eq!(self.settle(request), Ok(Success::Bound(channel)));
        channel
    }

    pub(crate) fn permit(&mut self, peer: SocketAddr) {
        let request = self.client.permit(NOW, &[peer]).expect("room");
        assert_eq!(self.settle(request), Ok(Success::Permitted));
    }

    /// Sends what the client has to send and hands it what comes, until a request has ended.
    pub(crate) fn settle(&mut self, request: RequestId) -> Result<Success, RequestError> {
        loop {
            while let Some(message) = self.client.poll_transmit() {
                self.carrier.send(message).expect("a relay that reads");
            }
            let message = self.carrier.receive().expect("an answer");
            if let Received::Completed(completed) = self.client.handle_datagram(NOW, &message)
                && completed.request == request
            {
                return completed.result;
            }
        }
    }

    pub(crate) fn send(&mut self, channel: ChannelNumber, data: &[u8]) {
        let message = channel_data(channel, data);
        self.carrier.send(&message).expect("a relay that reads");
    }

    pub(crate) fn indicate(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut message = vec![0; data.len() + 64];
        let len = self.client.send_indication(&mut message, peer, data);
        let len = len.expect("room");
        self.carrier
            .send(&message[..len])
            .expect("a relay that reads");
    }

    /// Waits for the next data of a peer.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            let message = self.carrier.receive().expect("data");
            if let Received::Data(data) = self.client.handle_datagram(NOW, &message) {
                return Heard {
                    from: data.peer.reveal(),
                    channel: data.channel,
                    data: data.payload.to_vec(),
                };
            }
        }
    }
}

/// A ChannelData message.
pub(crate) fn channel_data(channel: ChannelNumber, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).expect("at most what the header can say");
    let mut message = channel.number().to_be_bytes().to_vec();
    message.extend(len.to_be_bytes());
    message.extend(data);
    message
}

/// The clients' clock stands still: nothing is to be sent twice.
pub(crate) const NOW: Tick = Tick::ZERO;

fn secret() -> Secret {
    Secret::new("dev", Zeroizing::new(SECRET.as_bytes().to_vec())).expect("a well-formed secret")
}
