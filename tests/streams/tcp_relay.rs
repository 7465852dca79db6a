//! TCP relays (RFC 6062): peers that are connected to and that connect, and what goes through.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use md5::{Digest, Md5};
use socket2::{Domain, Socket, Type};
use veilturn::auth::{Credential, PeerScope};
use veilturn::config::Config;
use veilturn::wire::{
    Class, ConnectionId, ErrorCode, HmacKey, Lifetime, Message, Method, Nonce, Realm,
    RequestedTransport, TransactionId, Username, Writer, XorPeerAddress, XorRelayedAddress,
};

use crate::support::{Carrier, PATIENCE, Relay, connect, is_closed};

/// Where peers are: not where the relay is, at which only relayed addresses are reached.
const PEER: &str = "127.0.0.2:0";

#[test]
fn a_client_connects_to_a_peer_and_talks_with_it() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    let relayed = alice.allocate();
    let listener = TcpListener::bind(PEER).unwrap();

    let id = alice.connect(listener.local_addr().unwrap());
    let (mut peer, from) = listener.accept().unwrap();
    // What the peer says before the client has come for it is not lost.
    peer.write_all(b"early ").unwrap();
    let mut data = alice.another(connect(relay.tcp)).bind(id);
    peer.write_all(b"bird").unwrap();

    assert_eq!(from, relayed);
    assert_eq!(read(&mut data, 10), b"early bird");
    data.write_all(b"worm").unwrap();
    assert_eq!(read(&mut peer, 4), b"worm");
    assert_eq!(relay.numbers().connections.peers, 1);
}

#[test]
fn a_peer_connects_to_a_client_and_talks_with_it() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    let relayed = alice.allocate();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let at: SocketAddr = PEER.parse().unwrap();
    socket.bind(&at.into()).unwrap();
    alice.permit(at);

    socket.connect(&relayed.into()).unwrap();
    let mut peer = TcpStream::from(socket);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.write_all(b"knock").unwrap();
    let (id, from) = alice.attempt();
    let mut data = alice.another(connect(relay.tcp)).bind(id);

    assert_eq!(from, peer.local_addr().unwrap());
    assert_eq!(read(&mut data, 5), b"knock");
    data.write_all(b"who is there").unwrap();
    assert_eq!(read(&mut peer, 12), b"who is there");
}

#[test]
fn a_peer_without_a_permission_is_closed() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    let relayed = alice.allocate();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let at: SocketAddr = PEER.parse().unwrap();
    socket.bind(&at.into()).unwrap();

    socket.connect(&relayed.into()).unwrap();

    assert!(is_closed(&mut TcpStream::from(socket)));
}

#[test]
fn a_peer_that_refuses_is_told() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    let gone = TcpListener::bind(PEER).unwrap().local_addr().unwrap();

    let answer = alice.ask(Method::CONNECT, |writer| {
        writer.put(&XorPeerAddress(gone)).unwrap();
    });

    assert_eq!(error(&answer), Some(447));
    assert_eq!(relay.numbers().connections.peers, 0);
}

#[test]
fn two_clients_of_a_call_are_connected_through_their_relays() {
    let relay = relay(1);
    let within = |name| relay.credential_within(PeerScope::Call, name);
    let mut alice = Turn::new(within("a"), connect(relay.tcp));
    let mut bob = Turn::new(within("b"), connect(relay.tcp));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    bob.permit(at_alice);

    let to_bob = alice.connect(at_bob);
    let (to_alice, from) = bob.attempt();
    let mut alice_data = alice.another(connect(relay.tcp)).bind(to_bob);
    let mut bob_data = bob.another(connect(relay.tcp)).bind(to_alice);

    assert_eq!(from, at_alice);
    alice_data.write_all(b"over").unwrap();
    assert_eq!(read(&mut bob_data, 4), b"over");
    bob_data.write_all(b"and out").unwrap();
    assert_eq!(read(&mut alice_data, 7), b"and out");
}

#[test]
fn nothing_is_lost_or_mixed_up_between_slow_readers() {
    let relay = relay(1);
    let (data, peer, _alice) = spliced(&relay);
    exchange(data, peer);
    relay.until("both are closed", |relay| {
        relay.numbers().connections.peers == 0
    });
}

#[test]
fn the_same_goes_for_tls() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let relay = relay(1);
        let secure = || relay.secure(relay.tls, &[version], &[]).unwrap();
        let mut alice = Turn::new(relay.credential_within(PeerScope::Public, "a"), secure());
        alice.allocate();
        let listener = TcpListener::bind(PEER).unwrap();
        let id = alice.connect(listener.local_addr().unwrap());
        let (peer, _) = listener.accept().unwrap();
        let mut data = alice.another(secure()).bind(id);

        // One direction after the other: the library's stream cannot be read and written at once.
        let (up, down) = (pattern(1), pattern(2));
        let mut far = peer.try_clone().unwrap();
        let (theirs, ours) = (down.clone(), up.clone());
        let peer = thread::spawn(move || {
            assert_eq!(read(&mut far, ours.len()), ours);
            far.write_all(&theirs).unwrap();
            far.shutdown(Shutdown::Write).unwrap();
            far
        });
        data.write_all(&up).unwrap();
        data.flush().unwrap();
        let mut heard = Vec::new();
        data.read_to_end(&mut heard).expect("a farewell");
        assert!(heard == down, "{} bytes", heard.len());

        // A half is open still.
        let mut far = peer.join().unwrap();
        data.write_all(b"last").unwrap();
        data.conn.send_close_notify();
        data.flush().unwrap();
        assert_eq!(read(&mut far, 4), b"last");
        assert!(is_closed(&mut far));
        relay.until("both are closed", |relay| {
            relay.numbers().connections.peers == 0
        });
    }
}

#[test]
fn a_half_that_is_closed_leaves_the_other_open() {
    let relay = relay(1);
    let (mut data, mut peer, _alice) = spliced(&relay);

    data.write_all(b"question").unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    peer.write_all(b"answer").unwrap();
    drop(peer);

    assert_eq!(heard, b"question");
    let mut heard = Vec::new();
    data.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"answer");
    relay.until("both are closed", |relay| {
        relay.numbers().connections.peers == 0
    });
}

#[test]
fn a_reset_of_one_side_closes_the_other() {
    let relay = relay(1);
    for client_resets in [true, false] {
        let (data, peer, _alice) = spliced(&relay);
        let (resets, mut hears) = if client_resets {
            (data, peer)
        } else {
            (peer, data)
        };
        socket2::SockRef::from(&resets)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(resets);
        assert!(is_closed(&mut hears));
    }
}

#[test]
fn the_end_of_an_allocation_closes_its_connections() {
    let relay = relay(1);
    let (mut data, mut peer, mut alice) = spliced(&relay);

    let answer = alice.ask(Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
    });

    assert_eq!(error(&answer), None);
    assert!(is_closed(&mut data));
    assert!(is_closed(&mut peer));
    assert_eq!(relay.numbers().connections.peers, 0);
    assert_eq!(relay.closed("peer_ended"), 1);
}

#[test]
fn the_end_of_a_control_connection_closes_the_others() {
    let relay = relay(1);
    let (mut data, mut peer, alice) = spliced(&relay);

    drop(alice);

    assert!(is_closed(&mut data));
    assert!(is_closed(&mut peer));
}

#[test]
fn bytes_behind_the_request_are_the_peers() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    let listener = TcpListener::bind(PEER).unwrap();
    let id = alice.connect(listener.local_addr().unwrap());
    let (mut peer, _) = listener.accept().unwrap();

    let mut another = alice.another(connect(relay.tcp));
    let mut request = another.request(Method::CONNECTION_BIND, |writer| {
        writer.put(&id).unwrap();
    });
    request.extend(b"GET / HTTP/1.1\r\n\r\n");
    another.stream.write_all(&request).unwrap();
    another.stream.shutdown(Shutdown::Write).unwrap();

    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(error(&another.stream.receive().unwrap()), None);
}

#[test]
fn a_rate_slows_a_connection_down_and_loses_nothing() {
    let relay = relay_with(1, |config| {
        let rate = std::num::NonZeroU64::new(4 << 20).unwrap();
        config.relay.limits.rate = Some(veilturn::relay::ByteRate(rate));
    });
    let (data, peer, _alice) = spliced(&relay);

    exchange(data, peer);

    let start = relay.numbers();
    assert_eq!(start.dropped.iter().sum::<u64>(), 0);
}

/// The kernel gives each connection to either worker: of so many, some have to be handed over.
#[test]
fn data_connections_reach_the_worker_of_their_allocation() {
    let relay = relay(2);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    for round in 0..24_u8 {
        let listener = TcpListener::bind(PEER).unwrap();
        let id = alice.connect(listener.local_addr().unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        let mut data = alice.another(connect(relay.tcp)).bind(id);
        data.write_all(&[round; 5]).unwrap();
        assert_eq!(read(&mut peer, 5), [round; 5]);
        peer.write_all(&[!round; 5]).unwrap();
        assert_eq!(read(&mut data, 5), [!round; 5]);
        // Over TLS, the session goes along.
        let listener = TcpListener::bind(PEER).unwrap();
        let id = alice.connect(listener.local_addr().unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        let secured = relay.secure(relay.tls, &[&rustls::version::TLS13], &[]);
        let mut data = alice.another(secured.unwrap()).bind(id);
        data.write_all(&[round; 5]).unwrap();
        assert_eq!(read(&mut peer, 5), [round; 5]);
    }
}

#[test]
fn an_id_that_is_nobodys_is_refused() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    let mut another = alice.another(connect(relay.tcp));

    let answer = another.ask(Method::CONNECTION_BIND, |writer| {
        writer.put(&ConnectionId(7)).unwrap();
    });

    assert_eq!(error(&answer), Some(400));
}

#[test]
fn tcp_relays_are_off_by_default() {
    let relay = Relay::start();
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.learn();

    let answer = alice.ask(Method::ALLOCATE, |writer| {
        writer.put(&RequestedTransport::TCP).unwrap();
    });

    assert_eq!(error(&answer), Some(442));
}

fn relay(workers: usize) -> Relay {
    relay_with(workers, |_| {})
}

fn relay_with(workers: usize, change: impl FnOnce(&mut Config)) -> Relay {
    Relay::with(|config| {
        config.runtime.workers = workers;
        config.relay.tcp = true;
        config.relay.limits.peer_connections = 64;
        config.relay.peers.scope = PeerScope::Public;
        change(config);
    })
}

/// A client's data connection, the peer that it is joined with, and the client.
fn spliced(relay: &Relay) -> (TcpStream, TcpStream, Turn<TcpStream>) {
    let mut alice = Turn::over_tcp(relay, "a", connect(relay.tcp));
    alice.allocate();
    let listener = TcpListener::bind(PEER).expect("what the test counts on");
    let id = alice.connect(listener.local_addr().expect("what the test counts on"));
    let (peer, _) = listener.accept().expect("what the test counts on");
    peer.set_read_timeout(Some(PATIENCE))
        .expect("what the test counts on");
    let data = alice.another(connect(relay.tcp)).bind(id);
    (data, peer, alice)
}

/// Has both sides send several megabytes at once, and read only after that, and checks what arrives.
fn exchange(data: TcpStream, peer: TcpStream) {
    let sides = [(data, 1, 2), (peer, 2, 1)].map(|(stream, says, hears)| {
        let mut reads = stream.try_clone().expect("what the test counts on");
        let mut writes = stream;
        let writer = thread::spawn(move || {
            writes
                .write_all(&pattern(says))
                .expect("what the test counts on");
            writes
                .shutdown(Shutdown::Write)
                .expect("what the test counts on");
        });
        let reader = thread::spawn(move || {
            let mut heard = Vec::<u8>::new();
            let mut buf = [0; 1000];
            loop {
                match reads.read(&mut buf).expect("what the test counts on") {
                    0 => break,
                    count => heard.extend(&buf[..count]),
                }
            }
            assert!(heard == pattern(hears), "{} bytes", heard.len());
        });
        [writer, reader]
    });
    for side in sides.into_iter().flatten() {
        side.join().expect("what the test counts on");
    }
}

/// Bytes that do not repeat in a chunk.
fn pattern(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..4 << 20).map(|_| next()).collect()
}

fn read(stream: &mut impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream
        .read_exact(&mut bytes)
        .expect("what the test counts on");
    bytes
}

/// A client that speaks RFC 6062: one of its connections to the relay.
struct Turn<S> {
    credential: Credential,
    stream: S,
    terms: Option<(String, String)>,
    last: u8,
}

impl Turn<TcpStream> {
    /// A client that may reach any peer.
    fn over_tcp(relay: &Relay, name: &str, stream: TcpStream) -> Self {
        Self::new(relay.credential_within(PeerScope::Public, name), stream)
    }
}

impl<S: Read + Write> Turn<S> {
    fn new(credential: Credential, stream: S) -> Self {
        Self {
            credential,
            stream,
            terms: None,
            last: 0,
        }
    }

    /// Another connection of the same client, challenged already: a nonce is good on one connection.
    fn another<T: Read + Write>(&self, stream: T) -> Turn<T> {
        let mut another = Turn::new(self.credential.clone(), stream);
        another.learn();
        another
    }

    /// Has the relay challenge it.
    fn learn(&mut self) {
        let challenge = self.ask(Method::REFRESH, |_| {});
        assert_eq!(error(&challenge), Some(401));
        let message = Message::parse(&challenge).expect("what the test counts on");
        let realm = message
            .get::<Realm<'_>>()
            .expect("what the test counts on")
            .expect("a realm")
            .0;
        let nonce = message
            .get::<Nonce<'_>>()
            .expect("what the test counts on")
            .expect("a nonce")
            .0;
        self.terms = Some((realm.to_owned(), nonce.to_owned()));
    }

    fn allocate(&mut self) -> SocketAddr {
        self.learn();
        let answer = self.ask(Method::ALLOCATE, |writer| {
            writer
                .put(&RequestedTransport::TCP)
                .expect("what the test counts on");
        });
        assert_eq!(error(&answer), None);
        let relayed = Message::parse(&answer)
            .expect("what the test counts on")
            .get()
            .expect("what the test counts on");
        let XorRelayedAddress(relayed) = relayed.expect("an address");
        relayed
    }

    fn permit(&mut self, peer: SocketAddr) {
        let answer = self.ask(Method::CREATE_PERMISSION, |writer| {
            writer
                .put(&XorPeerAddress(peer))
                .expect("what the test counts on");
        });
        assert_eq!(error(&answer), None);
    }

    fn connect(&mut self, peer: SocketAddr) -> ConnectionId {
        let answer = self.ask(Method::CONNECT, |writer| {
            writer
                .put(&XorPeerAddress(peer))
                .expect("what the test counts on");
        });
        assert_eq!(error(&answer), None);
        let id = Message::parse(&answer)
            .expect("what the test counts on")
            .get()
            .expect("what the test counts on");
        id.expect("a connection's id")
    }

    /// Waits for a peer to connect.
    fn attempt(&mut self) -> (ConnectionId, SocketAddr) {
        let message = self.stream.receive().expect("what the test counts on");
        let message = Message::parse(&message).expect("what the test counts on");
        assert_eq!(message.method(), Method::CONNECTION_ATTEMPT);
        let XorPeerAddress(peer) = message
            .get()
            .expect("what the test counts on")
            .expect("a peer");
        (
            message
                .get()
                .expect("what the test counts on")
                .expect("an id"),
            peer,
        )
    }

    /// Makes it the data connection of a peer's.
    fn bind(mut self, id: ConnectionId) -> S {
        let answer = self.ask(Method::CONNECTION_BIND, |writer| {
            writer.put(&id).expect("what the test counts on");
        });
        assert_eq!(error(&answer), None);
        self.stream
    }

    fn ask(&mut self, method: Method, put: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let request = self.request(method, put);
        self.stream.send(&request).expect("what the test counts on");
        let answer: io::Result<Vec<u8>> = self.stream.receive();
        answer.expect("an answer")
    }

    fn request(&mut self, method: Method, put: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        self.last += 1;
        let id = TransactionId([self.last; 12]);
        let mut buf = vec![0; 1024];
        let mut writer =
            Writer::new(&mut buf, Class::Request, method, id).expect("what the test counts on");
        put(&mut writer);
        if let Some((realm, nonce)) = &self.terms {
            let Credential { username, password } = &self.credential;
            writer
                .put(&Username(username))
                .expect("what the test counts on");
            writer.put(&Realm(realm)).expect("what the test counts on");
            writer.put(&Nonce(nonce)).expect("what the test counts on");
            let key = Md5::digest(format!("{username}:{realm}:{}", **password));
            writer
                .integrity(&HmacKey::sha1(&key))
                .expect("what the test counts on");
        }
        let len = writer.finish();
        buf.truncate(len);
        buf
    }
}

fn error(answer: &[u8]) -> Option<u16> {
    let message = Message::parse(answer).expect("what the test counts on");
    let error = message
        .get::<ErrorCode<'_>>()
        .expect("what the test counts on");
    error.map(|error| error.code)
}
