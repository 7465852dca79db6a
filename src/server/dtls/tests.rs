//! Handshakes and records over loopback sockets, in virtual time.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, UdpSocket as Std};

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{Ssl, SslContext, SslMethod};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use rcgen::{KeyPair, PKCS_ED25519};

use super::*;
use crate::certificate::CertificateError;
use crate::certificate::testing::{Issued, NOW, params};
use crate::config::{Config, ListenTransport, Listener};
use crate::net::{Offload, SocketOptions, UdpSocket, Waker};
use crate::server::streams::Doors;
use crate::server::tls::tests::Folder;
use crate::server::tls::{ALPN_NAT_DISCOVERY, ALPN_TURN, Certificates};

const START: Tick = Tick::from_millis(1000);

#[test]
fn certificate_follows_from_the_name_that_is_asked_for() {
    let first = Issued::to(&["relay.test"]);
    let second = Issued::to(&["*.turn.test"]);
    let folder = Folder::with(&[&first, &second]);
    let mut server = Server::new(&load(&folder), |_| {});
    // They stay, so that no client comes from another's port.
    let mut clients = Vec::new();
    for (host, issued) in [
        (None, &first),
        (Some("relay.test"), &first),
        (Some("unknown.test"), &first),
        (Some("a.turn.test"), &second),
    ] {
        let client = server.connect(host);
        assert_eq!(client.shown(), issued.leaf().to_vec(), "{host:?}");
        clients.push(client);
    }
}

#[test]
fn certificate_may_be_of_rsa() {
    let rsa = rsa("relay.test");
    let folder = Folder::with(&[&rsa]);
    let mut server = Server::new(&load(&folder), |_| {});

    let mut client = server.connect(Some("relay.test"));

    assert_eq!(client.shown(), rsa.leaf().to_vec());
    assert_eq!(server.echo(&mut client, b"media"), b"media");
}

#[test]
fn renewal_is_for_new_sessions_and_live_ones_go_on() {
    let (old, new) = (Issued::to(&["relay.test"]), Issued::to(&["relay.test"]));
    let folder = Folder::with(&[&old]);
    let certificates = load(&folder);
    let mut server = Server::new(&certificates, |_| {});
    let mut live = server.connect(None);
    folder.write(0, &new);

    assert_eq!(certificates.reload(NOW).renewed.len(), 1);

    assert_eq!(server.echo(&mut live, b"media"), b"media");
    assert_eq!(live.shown(), old.leaf().to_vec());
    assert_eq!(server.connect(None).shown(), new.leaf().to_vec());
}

#[test]
fn certificate_that_the_library_cannot_use_is_refused_where_it_is_needed() {
    let (good, other) = (Issued::to(&["relay.test"]), Issued::to(&["relay.test"]));
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let bad = Issued::of(&params(&["relay.test"]), &ed25519);
    let folder = Folder::with(&[&bad]);
    let refused = folder.load_for(&[listener()]).map(|_| ());
    let error = CertificateError::KeyNotForDtls;
    assert_eq!(refused, Err(folder.refused(0, error)));
    assert!(folder.load().dtls(&[7; 32]).unwrap().is_none());

    folder.write(0, &good);
    let certificates = load(&folder);
    let mut server = Server::new(&certificates, |_| {});
    folder.write(0, &bad);
    assert_eq!(certificates.reload(NOW).refused.len(), 1);
    assert_eq!(server.connect(None).shown(), good.leaf().to_vec());
    folder.write(0, &other);
    assert_eq!(certificates.reload(NOW).renewed.len(), 1);
}

#[test]
fn application_protocol_has_to_be_ours_if_any_is_offered() {
    let mut server = server(|_| {});
    let mut clients = Vec::new();
    for ours in [ALPN_TURN, ALPN_NAT_DISCOVERY] {
        let mut client = Client::new(&server, None, &[b"h2", ours]);
        assert!(server.shake_hands(&mut client));
        assert_eq!(client.0.ssl().selected_alpn_protocol(), Some(ours));
        clients.push(client);
    }
    let mut other = Client::new(&server, None, &[b"h2", b"http/1.1"]);
    assert!(!server.shake_hands(&mut other));
    assert_eq!(server.closed(CloseReason::Tls), 1);
}

#[test]
fn sessions_of_silent_clients_end_in_time() {
    let mut server = server(|_| {});
    let (handshake, idle) = (
        server.dtls.options.handshake_timeout,
        server.dtls.options.idle_timeout,
    );
    let _silent = server.connect(None);
    let mut half_open = Client::new(&server, None, &[]);
    // Until the server has answered the ClientHello with the cookie.
    for _ in 0..2 {
        assert!(!half_open.shakes_hands());
        server.serve();
    }
    let mut heard = server.connect(None);
    server.echo(&mut heard, b"a message");
    assert_eq!(server.open(), 3);

    server.pass(START.after(handshake / 2), false);
    assert_eq!(server.open(), 3);
    server.pass(START.after(handshake), false);
    assert_eq!(server.closed(CloseReason::Handshake), 2);
    assert_eq!(server.open(), 1);

    // Whoever has an allocation may be silent.
    server.pass(START.after(idle), true);
    assert_eq!(server.open(), 1);
    server.pass(START.after(idle * 2), false);
    assert_eq!(server.closed(CloseReason::Idle), 1);
    assert_eq!(server.open(), 0);
    assert_eq!(server.dtls.poll_timeout(), None, "nothing is left behind");
}

#[test]
fn many_clients_at_once_are_begun_with_a_few_at_a_time() {
    let mut server = server(|_| {});
    let mut clients: Vec<_> = (0..10).map(|_| Client::new(&server, None, &[])).collect();
    for client in &mut clients {
        assert!(!client.shakes_hands());
    }
    server.receive();
    server.dtls.flush();
    for client in &mut clients {
        assert!(!client.shakes_hands());
    }

    server.receive();

    assert_eq!(server.open(), HANDSHAKES as u64);
}

#[test]
fn those_who_are_refused_take_no_others_turn() {
    let mut server = server(|config| config.streams.connections_per_prefix = 1);
    let _first = server.connect(None);
    let mut refused: Vec<_> = (0..2 * HANDSHAKES)
        .map(|_| Client::new(&server, None, &[]))
        .collect();
    let elsewhere = Std::bind((Ipv4Addr::new(127, 9, 9, 9), 0)).unwrap();
    elsewhere.connect(server.at).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let mut honest = Client::over(&server, elsewhere, None, &[]);
    for client in &mut refused {
        assert!(!client.shakes_hands());
    }
    assert!(!honest.shakes_hands());
    server.serve();

    for client in &mut refused {
        assert!(!client.shakes_hands());
    }
    assert!(!honest.shakes_hands());
    server.serve();

    assert_eq!(server.open(), 2);
    assert_eq!(server.closed(CloseReason::PrefixFull), refused.len() as u64);
}

//
#[test]
fn sessions_of_one_prefix_are_bounded() {
    let mut server = server(|config| config.streams.connections_per_prefix = 2);
    let _two = [server.connect(None), server.connect(None)];
    let mut third = Client::new(&server, None, &[]);

    assert!(!server.shake_hands(&mut third));

    assert_eq!(server.open(), 2);
    assert!(server.closed(CloseReason::PrefixFull) > 0);
}

// RFC 6347 section 4.2.1: a client that had to repeat its first ClientHello has heard records of the server already.
#[test]
fn answers_bear_the_numbers_of_the_hellos() {
    let mut server = server(|_| {});
    let socket = Std::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(server.at).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut answer = [0; 2048];
    let mut ask = |sequence, message, cookie: &[u8]| {
        socket
            .send(&hello_of_1_0(sequence, message, cookie))
            .unwrap();
        server.serve();
        let len = socket.recv(&mut answer).unwrap();
        answer[..len].to_vec()
    };

    let question = ask(7, 0, &[]);
    let alert = ask(8, 1, &question[28..]);

    assert_eq!((question[0], question[10]), (22, 7));
    assert_eq!((alert[0], alert[10]), (21, 8), "its version is too old");
}

#[test]
fn records_in_one_datagram_are_all_opened() {
    let mut server = server(|_| {});
    let mut client = server.connect(None);
    client.0.get_mut().gathers = Some(Vec::new());
    for message in [b"one", b"two", b"six"] {
        client.0.ssl_write(message).unwrap();
    }
    let gathered = client.0.get_mut().gathers.take().unwrap();
    client.0.get_ref().socket.send(&gathered).unwrap();

    assert_eq!(server.receive(), ["one", "two", "six"].map(Vec::from));
}

// RFC 6347 section 4.1: what overtakes the messages before it is kept for later.
#[test]
fn records_of_a_handshake_may_come_in_any_order() {
    let mut server = server(|_| {});
    let mut client = Client::new(&server, None, &[]);
    for _ in 0..2 {
        assert!(!client.shakes_hands());
        server.serve();
    }
    client.0.get_mut().gathers = Some(Vec::new());
    assert!(!client.shakes_hands());
    let flight = client.0.get_mut().gathers.take().unwrap();
    let finished = flight.windows(5).position(|w| w == [22, 0xFE, 0xFD, 0, 1]);
    let (before, finished) = flight.split_at(finished.unwrap());

    for datagram in [finished, before] {
        client.0.get_ref().socket.send(datagram).unwrap();
        server.serve();
    }

    assert!(client.shakes_hands());
    assert_eq!(server.echo(&mut client, b"media"), b"media");
}

// D-01: anybody can put a record together, and some are an end to OpenSSL instead of a forgery.
#[test]
fn forged_records_of_any_length_end_no_session() {
    let mut server = server(|_| {});
    let mut client = server.connect(None);
    let socket = client.0.get_ref().socket.try_clone().unwrap();
    for kind in [20, 21, 22, 23, 24, 25, 63] {
        for epoch in 0..3 {
            for len in [0, 1, 7, 8, 15, 16, 23, 24, 25, 60] {
                // Its number is ahead of the client's: a lower one would be taken for a replay.
                let header = [kind, 0xFE, 0xFD, 0, epoch, 0, 1, 0, 0, 0, 0, 0, len];
                let record = [&header[..], &vec![1; len.into()]].concat();
                socket.send(&record).unwrap();
                server.serve();
                assert_eq!(server.open(), 1, "{kind} {epoch} {len}");
                server.echo(&mut client, b"still here");
            }
        }
    }
}

// D-01, D-02: neither junk nor forged records harm a session.
#[test]
fn what_others_send_in_the_name_of_a_client_does_not_end_its_session() {
    let mut server = server(|_| {});
    let mut client = server.connect(None);
    let socket = client.0.get_ref().socket.try_clone().unwrap();
    for first in 0..=255 {
        for len in [0, 1, 12, 13, 14, 40, 1200] {
            let mut junk = vec![first; len];
            // Records of both versions and epochs, of any kind.
            if let Some(header) = junk.get_mut(1..13) {
                header.copy_from_slice(&[0xFE, 0xFD, 0, first % 2, 0, 0, 0, 0, 0, 9, 0, 27]);
            }
            socket.send(&junk).unwrap();
        }
        assert_eq!(server.receive(), [[0; 0]; 0]);
    }
    let mut stranger = Client::over(&server, socket.try_clone().unwrap(), None, &[]);
    assert!(!stranger.shakes_hands(), "without a cookie");
    server.serve();

    assert_eq!(server.echo(&mut client, b"media"), b"media");
    assert_eq!(server.open(), 1);
}

#[test]
fn message_longer_than_a_record_is_dropped_and_counted() {
    let mut server = server(|_| {});
    let mut client = server.connect(None);
    let to = *server.dtls.sessions.keys().next().unwrap();

    server.dtls.seal(&to, &[0; RECORD + 1]);

    assert_eq!(server.dtls.counters.unsent.value(), 1);
    assert_eq!(server.echo(&mut client, b"media"), b"media");
}

#[test]
fn what_comes_for_a_session_that_has_ended_is_nobody_elses() {
    let mut server = server(|_| {});
    let [mut waiting, ended] = [(); 2].map(|()| {
        let mut client = Client::new(&server, None, &[]);
        for _ in 0..2 {
            assert!(!client.shakes_hands());
            server.serve();
        }
        client
    });
    // handshake_failure, in clear: the first ends the session, the second finds it ended.
    let alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 2, 40];
    for _ in 0..2 {
        ended.0.get_ref().socket.send(&alert).unwrap();
    }

    // A turn of a worker: the timers come between receiving and the end.
    assert_eq!(server.receive(), [[0; 0]; 0]);
    server.pass(server.now.after(LOOK), false);

    assert!(server.shake_hands(&mut waiting));
    assert_eq!(server.open(), 1);
}

#[test]
fn sessions_are_told_when_the_daemon_stops() {
    let mut server = server(|_| {});
    let mut client = server.connect(None);

    server.dtls.shut_down();
    server.serve();

    let told = client.0.ssl_read(&mut [0; 64]).unwrap_err();
    assert_eq!(told.code(), ErrorCode::ZERO_RETURN);
    assert_eq!(server.closed(CloseReason::Stopping), 1);
}

/// Sessions without a worker.
struct Server {
    dtls: Dtls,
    at: std::net::SocketAddr,
    now: Tick,
    buffer: Vec<u8>,
    /// Whom the last message came from.
    from: Option<FiveTuple>,
}

/// The certificates, for a listener that speaks DTLS.
fn load(folder: &Folder) -> Certificates {
    folder.load_for(&[listener()]).unwrap()
}

fn listener() -> Listener {
    Listener {
        addr: (Ipv4Addr::LOCALHOST, 0).into(),
        transport: ListenTransport::Dtls,
        proxy_protocol: Vec::new(),
    }
}

/// A server with a certificate.
fn server(change: impl FnOnce(&mut Config)) -> Server {
    Server::new(
        &load(&Folder::with(&[&Issued::to(&["relay.test"])])),
        change,
    )
}

impl Server {
    fn new(certificates: &Certificates, change: impl FnOnce(&mut Config)) -> Self {
        let secret = crate::auth::Secret::new("id", zeroize::Zeroizing::new(vec![7; 32]));
        let mut config = Config::dev(0, secret.unwrap());
        config.streams.handshake_timeout = Duration::from_secs(10);
        change(&mut config);
        let options = SocketOptions {
            recv_buffer: 1 << 18,
            send_buffer: 1 << 18,
            offload: Offload::NONE,
        };
        let listener = UdpSocket::listen((Ipv4Addr::LOCALHOST, 0).into(), &options).unwrap();
        let at = listener.local_addr();
        let start = StreamStart {
            options: config.streams,
            acceptors: Vec::new(),
            admission: Arc::new(Admission::new(&config.streams)),
            counters: Arc::default(),
            doors: Doors::between(&[Waker::new().unwrap()]).remove(0),
            dtls: None,
        };
        let dtls = DtlsStart {
            setup: certificates.dtls(&[7; 32]).unwrap().unwrap(),
            listeners: Arc::new([listener]),
        };
        Self {
            dtls: Dtls::new(&dtls, &start, &Poller::new().unwrap()).unwrap(),
            at,
            now: START,
            buffer: Vec::new(),
            from: None,
        }
    }

    /// A client, handshake done.
    fn connect(&mut self, host: Option<&str>) -> Client {
        let mut client = Client::new(self, host, &[]);
        assert!(self.shake_hands(&mut client), "a handshake");
        client
    }

    /// Whether a client comes to the end of its handshake, which takes three rounds.
    fn shake_hands(&mut self, client: &mut Client) -> bool {
        (0..4).any(|_| {
            let is_done = client.shakes_hands();
            self.serve();
            is_done
        })
    }

    /// Sends a message of the client back to it; what it hears.
    fn echo(&mut self, client: &mut Client, message: &[u8]) -> Vec<u8> {
        client.0.ssl_write(message).unwrap();
        assert_eq!(self.receive(), [message]);
        let from = self.from.unwrap();
        self.dtls.seal(&from, message);
        self.dtls.flush();
        let mut heard = vec![0; RECORD];
        let len = client.0.ssl_read(&mut heard).unwrap();
        heard.truncate(len);
        heard
    }

    /// One turn of a worker.
    fn serve(&mut self) {
        assert_eq!(self.receive(), [[0; 0]; 0], "no message");
        self.dtls.flush();
        while self.dtls.reap().is_some() {}
        self.dtls.end_turn();
    }

    /// Takes what came: the messages in it.
    fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        for _ in 0..8 {
            self.dtls.receive(0, 32);
            while let Some((from, packet)) = self.dtls.next_message(self.now, &mut self.buffer) {
                messages.push(packet.bytes().to_vec());
                self.from = Some(from);
            }
            self.dtls.flush();
        }
        messages
    }

    /// Lets time pass.
    fn pass(&mut self, now: Tick, allocated: bool) {
        self.now = now;
        self.dtls.handle_timeout(now, |_| allocated);
        while self.dtls.reap().is_some() {}
        self.dtls.end_turn();
    }

    fn open(&self) -> u64 {
        let open = self.dtls.counters.open[Speaks::Dtls as usize].value();
        assert_eq!(open, self.dtls.sessions.len() as u64);
        open
    }

    fn closed(&self, reason: CloseReason) -> u64 {
        self.dtls.counters.closed[reason as usize].value()
    }
}

/// A client that takes any certificate.
struct Client(SslStream<Socket>);

impl Client {
    fn new(server: &Server, host: Option<&str>, alpn: &[&[u8]]) -> Self {
        let socket = Std::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(server.at).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::over(server, socket, host, alpn)
    }

    fn over(_: &Server, socket: Std, host: Option<&str>, alpn: &[&[u8]]) -> Self {
        let context = SslContext::builder(SslMethod::dtls_client()).unwrap();
        let mut ssl = Ssl::new(&context.build()).unwrap();
        ssl.set_connect_state();
        ssl.set_mtu(1200).unwrap();
        if let Some(host) = host {
            ssl.set_hostname(host).unwrap();
        }
        let mut names = Vec::new();
        for name in alpn {
            names.push(u8::try_from(name.len()).unwrap());
            names.extend_from_slice(name);
        }
        if !names.is_empty() {
            ssl.set_alpn_protos(&names).unwrap();
        }
        let socket = Socket {
            socket,
            gathers: None,
        };
        Self(SslStream::new(ssl, socket).unwrap())
    }

    /// Goes on with the handshake; whether it is done.
    fn shakes_hands(&mut self) -> bool {
        self.0.connect().is_ok()
    }

    /// The certificate that it was shown.
    fn shown(&self) -> Vec<u8> {
        let shown = self.0.ssl().peer_certificate().unwrap();
        shown.to_der().unwrap()
    }
}

struct Socket {
    socket: Std,
    /// What is written while it is to gather.
    gathers: Option<Vec<u8>>,
}

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(out)
    }
}

impl Write for Socket {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        match &mut self.gathers {
            Some(gathered) => gathered.write(datagram),
            None => self.socket.send(datagram),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A ClientHello of DTLS 1.0.
fn hello_of_1_0(sequence: u8, message: u8, cookie: &[u8]) -> Vec<u8> {
    let mut hello = hello::FIRST.to_vec();
    hello[26] = 0xFF;
    hello[10] = sequence;
    hello[18] = message;
    let at = hello.len() - 7;
    let len = u8::try_from(cookie.len()).unwrap();
    hello[at] = len;
    hello.splice(at + 1..at + 1, cookie.iter().copied());
    for field in [12, 16, 24] {
        hello[field] += len;
    }
    hello
}

/// A certificate of RSA, self-signed, good for a century.
fn rsa(name: &str) -> Issued {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    let (from, until) = (Asn1Time::from_unix(0), Asn1Time::from_unix(4_000_000_000));
    builder.set_not_before(&from.unwrap()).unwrap();
    builder.set_not_after(&until.unwrap()).unwrap();
    let context = builder.x509v3_context(None, None);
    let names = SubjectAlternativeName::new().dns(name).build(&context);
    builder.append_extension(names.unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    Issued {
        chain: String::from_utf8(builder.build().to_pem().unwrap()).unwrap(),
        key: String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap(),
    }
}
