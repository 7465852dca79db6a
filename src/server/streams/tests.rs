//! The connections of a worker over real sockets, in virtual time, with a core that echoes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::*;
use crate::config::{ListenTransport, Listener};
use crate::net::{Events, TcpListener, Waker};

pub(super) const OPTIONS: StreamOptions = StreamOptions {
    connections: 10,
    connections_per_prefix: 10,
    keepalive: Duration::from_secs(60),
    handshake_timeout: Duration::from_secs(10),
    idle_timeout: Duration::from_secs(30),
    send_queue: 1 << 17,
    send_queue_age: Duration::from_millis(500),
};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const BINDING: [u8; 20] = [
    0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];

//
#[test]
fn a_connection_that_says_nothing_ends_in_time() {
    let mut world = World::new(OPTIONS);
    let mut client = world.connect();

    assert_eq!(world.streams.poll_timeout(), Some(seconds(10)));
    world.pass(seconds(9));
    assert_eq!(world.open(), 1);
    world.pass(seconds(10));

    assert_eq!(world.open(), 0);
    assert_eq!(world.closed(CloseReason::Handshake), 1);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

//
#[test]
fn a_message_that_never_ends_gains_no_time() {
    let mut world = World::new(OPTIONS);
    let mut client = world.connect();

    for (second, byte) in BINDING[..9].iter().enumerate() {
        world.pass(seconds(second as u64));
        client.write_all(&[*byte]).unwrap();
        world.turn();
    }
    world.pass(seconds(10));

    assert_eq!(world.closed(CloseReason::Handshake), 1);
}

#[test]
fn a_client_without_an_allocation_ends_when_it_falls_silent() {
    let mut world = World::new(OPTIONS);
    let mut client = world.connect();
    world.pass(seconds(5));
    client.write_all(&BINDING).unwrap();
    world.turn();
    assert_eq!(world.heard, [BINDING]);

    world.pass(seconds(10));
    world.pass(seconds(34));
    assert_eq!(world.open(), 1);
    world.pass(seconds(35));

    assert_eq!(world.closed(CloseReason::Idle), 1);
    assert_eq!(world.gone, 1, "the core hears of it");
}

//
#[test]
fn a_client_without_an_allocation_gains_no_time_by_parts_of_messages() {
    let mut world = World::new(OPTIONS);
    let mut client = world.greet();

    for (number, byte) in (1..).zip(&BINDING[..15]) {
        world.pass(seconds(2 * number - 1));
        client.write_all(&[*byte]).unwrap();
        world.turn();
    }
    assert_eq!(world.open(), 1);
    world.pass(seconds(30));

    assert_eq!(world.closed(CloseReason::Idle), 1);
}

//
#[test]
fn a_handshake_that_is_never_done_ends_in_time() {
    let mut world = World::new(OPTIONS);
    let mut client = world.connect();
    // The head of a ClientHello of 252 bytes.
    let hello = [22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3, 7, 7, 7];

    for (second, byte) in (0..).zip(hello.chunks(2)) {
        world.pass(seconds(second));
        client.write_all(byte).unwrap();
        world.turn();
    }
    world.pass(seconds(9));
    assert_eq!(world.open(), 1);
    world.pass(seconds(10));

    assert_eq!(world.closed(CloseReason::Handshake), 1);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

// B-21
#[test]
fn a_client_with_an_allocation_may_be_silent() {
    let mut world = World::new(OPTIONS);
    let mut client = world.connect();
    client.write_all(&BINDING).unwrap();
    world.turn();

    world.allocated = true;
    for minute in 1..60 {
        world.pass(seconds(60 * minute));
    }
    assert_eq!(world.open(), 1);

    world.allocated = false;
    world.pass(seconds(3600));
    world.pass(seconds(3630));
    assert_eq!(world.closed(CloseReason::Idle), 1);
}

#[test]
fn the_newest_connection_is_closed_when_all_places_are_taken() {
    let mut world = World::new(StreamOptions {
        connections: 2,
        ..OPTIONS
    });
    let (mut first, _second) = (world.connect(), world.connect());

    let mut third = world.connect();

    assert_eq!(third.read(&mut [0]).unwrap(), 0);
    assert_eq!(world.closed(CloseReason::Full), 1);
    first.write_all(&BINDING).unwrap();
    world.turn();
    assert_eq!(world.heard, [BINDING]);
}

#[test]
fn a_prefix_has_its_share_and_gets_it_back() {
    let mut world = World::new(StreamOptions {
        connections_per_prefix: 1,
        ..OPTIONS
    });
    let first = world.connect();
    let mut second = world.connect();
    assert_eq!(second.read(&mut [0]).unwrap(), 0);
    assert_eq!(world.closed(CloseReason::PrefixFull), 1);

    drop(first);
    world.turn();
    let _third = world.connect();

    assert_eq!(world.open(), 1);
}

#[test]
fn a_broken_connection_is_not_written_to() {
    let mut world = World::new(OPTIONS);
    let client = world.greet();
    let at = world.client();
    socket2::SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);

    world.streams.relay(world.now, &at, b"data");
    world.streams.flush(world.now);
    world.reap();

    assert_eq!(world.open(), 0);
    world.streams.relay(world.now, &at, b"data");
    world.streams.flush(world.now);
    assert!(world.streams.dirty.is_empty());
}

//
#[test]
fn media_that_a_client_does_not_read_is_dropped_by_age() {
    let mut world = World::new(OPTIONS);
    let mut client = world.greet();
    let at = world.client();
    while !world.connection().is_blocked {
        world.streams.relay(world.now, &at, &[1; 1000]);
        world.streams.flush(world.now);
    }
    world.streams.relay(world.now, &at, b"late");

    world.now = world.now.after(Duration::from_secs(1));
    world.streams.relay(world.now, &at, &[2; 1000]);
    world.streams.answer(world.now, &at, &[3; 1000]);

    assert_eq!(world.counters.media_dropped[1].value(), 1);
    let mut heard = world.drain(&mut client);
    assert!(world.connection().backlog.is_none(), "nothing waits");
    world.streams.shut_down();
    world.reap();
    client.read_to_end(&mut heard).unwrap();
    assert!(heard.ends_with(&[[3; 1000], [2; 1000]].concat()));
}

#[test]
fn a_client_that_asks_and_never_reads_is_closed() {
    let mut world = World::new(OPTIONS);
    let _client = world.greet();
    let at = world.client();

    while world.connection().ends.is_none() {
        world.streams.answer(world.now, &at, &[1; 1000]);
        world.streams.flush(world.now);
    }
    world.reap();

    assert_eq!(world.closed(CloseReason::Unread), 1);
}

#[test]
fn a_late_event_for_a_place_that_changed_hands_does_no_harm() {
    let mut world = World::new(OPTIONS);
    let first = world.connect();
    let slot = world.streams.connections.next_id().slot - 1;
    drop(first);
    world.turn();
    let _second = world.connect();

    assert!(
        world
            .streams
            .receive(slot, |_| false)
            .is_some_and(|mut inbound| {
                let silent = inbound.next_frame().is_none();
                world.streams.finish(world.now, inbound);
                silent
            })
    );
    world.streams.resume(world.now, slot);
    world.reap();
    assert_eq!(world.open(), 1);
}

// The poller names 16 at a time. X-41
#[test]
fn handshakes_are_worked_on_in_the_order_in_which_they_were_asked_for() {
    let options = StreamOptions {
        connections: 40,
        connections_per_prefix: 40,
        ..OPTIONS
    };
    let mut world = World::new(options);
    let hello = hello();
    let mut clients: Vec<_> = (0..40).map(|_| world.connect()).collect();
    for client in &mut clients {
        client.write_all(&hello).unwrap();
        client.set_nonblocking(true).unwrap();
    }

    let mut served = Vec::new();
    while served.len() < clients.len() {
        world.turn();
        let answered = |number: &usize| clients[*number].peek(&mut [0]).is_ok();
        let before = served.len();
        let new = (0..40).filter(|number| !served.contains(number));
        let new: Vec<_> = new.filter(answered).collect();
        served.extend(new);
        assert!(served.len() - before <= 2, "{served:?}");
    }

    assert!(served.is_sorted(), "{served:?}");
}

//
#[test]
fn who_waits_to_get_on_with_a_handshake_ends_in_time() {
    let mut world = World::new(OPTIONS);
    let hello = hello();
    let mut clients: Vec<_> = (0..10).map(|_| world.connect()).collect();
    for client in &mut clients {
        client.write_all(&hello).unwrap();
    }
    world.turn();

    world.pass(seconds(10));

    assert_eq!(world.closed(CloseReason::Handshake), 10);
    let mut late = world.connect();
    late.write_all(&hello).unwrap();
    world.turn();
    late.read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn every_connection_ends_when_the_daemon_stops() {
    let mut world = World::new(OPTIONS);
    let mut clients = [world.connect(), world.connect()];

    world.streams.shut_down();
    world.reap();

    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(world.closed(CloseReason::Stopping), 2);
    assert_eq!(world.gone, 2);
}

/// A worker's connections, and what came of them.
pub(super) struct World {
    pub(super) streams: Streams,
    pub(super) counters: Arc<StreamCounters>,
    poller: Rc<Poller>,
    events: Events,
    at: SocketAddr,
    pub(super) now: Tick,
    /// Whether clients have allocations.
    pub(super) allocated: bool,
    pub(super) heard: Vec<Vec<u8>>,
    gone: usize,
}

impl World {
    pub(super) fn new(options: StreamOptions) -> Self {
        let doors = Doors::between(&[Waker::new().unwrap()]);
        Self::with(options, doors.into_iter().next().unwrap())
    }

    /// A worker with these ways to the others.
    pub(super) fn with(options: StreamOptions, doors: Doors) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = TcpListener::listen(any, options.keepalive).unwrap();
        let at = listener.local_addr();
        let poller = Rc::new(Poller::new().unwrap());
        let counters = Arc::<StreamCounters>::default();
        let opening = opening();
        let start = StreamStart {
            options,
            acceptors: vec![Acceptor { listener, opening }],
            admission: Arc::new(Admission::new(&options)),
            counters: Arc::clone(&counters),
            doors,
            dtls: None,
        };
        Self {
            streams: Streams::new(start, Rc::clone(&poller)).unwrap(),
            counters,
            poller,
            events: Events::new(16),
            at,
            now: Tick::ZERO,
            allocated: false,
            heard: Vec::new(),
            gone: 0,
        }
    }

    /// A client whose connection has been accepted.
    pub(super) fn connect(&mut self) -> TcpStream {
        let client = TcpStream::connect(self.at).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        self.turn();
        client
    }

    /// A client that has sent a message and read the answer.
    fn greet(&mut self) -> TcpStream {
        let mut client = self.connect();
        client.write_all(&BINDING).unwrap();
        self.turn();
        client.read_exact(&mut [0; 20]).unwrap();
        client
    }

    /// Waits until something is ready, and serves it.
    fn turn(&mut self) {
        assert!(self.poller.wait(&mut self.events, Some(PATIENCE)).unwrap() > 0);
        let events = std::mem::take(&mut self.events);
        for event in events.iter() {
            match Key::of(event.token) {
                Key::Acceptor(number) => self.streams.accept(self.now, number),
                Key::Stream(number) => {
                    if event.writable {
                        self.streams.resume(self.now, number);
                    }
                    if event.readable {
                        self.receive(number);
                    }
                }
                other @ (Key::Listener(_)
                | Key::Relay(_)
                | Key::PeerAcceptor(_)
                | Key::Peer(_)
                | Key::Data(_)
                | Key::Dtls(_)
                | Key::Waker) => {
                    panic!("{other:?} is not watched")
                }
            }
        }
        self.events = events;
        self.streams.flush(self.now);
        self.reap();
    }

    pub(super) fn receive(&mut self, number: u32) {
        let Some(mut inbound) = self.streams.receive(number, |_| self.allocated) else {
            return;
        };
        let from = inbound.from;
        while let Some(mut frame) = inbound.next_frame() {
            let bytes = frame.packet().bytes().to_vec();
            self.streams.answer(self.now, &from, &bytes);
            self.heard.push(bytes);
        }
        self.streams.finish(self.now, inbound);
    }

    /// Moves the clock and serves the timers.
    fn pass(&mut self, to: Tick) {
        self.now = to;
        let allocated = self.allocated;
        self.streams.handle_timeout(to, |_| allocated);
        self.reap();
    }

    pub(super) fn reap(&mut self) {
        while self.streams.reap().is_some() {
            self.gone += 1;
        }
        self.streams.end_turn();
    }

    /// What a client reads until nothing waits for it any more.
    fn drain(&mut self, client: &mut TcpStream) -> Vec<u8> {
        client.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        while self.connection().is_blocked {
            let read = client.read_to_end(&mut heard);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            self.turn();
        }
        client.set_nonblocking(false).unwrap();
        heard
    }

    fn connection(&mut self) -> &mut Connection {
        self.streams.connections.get_mut(0).expect("a connection")
    }

    /// The only client.
    fn client(&mut self) -> FiveTuple {
        self.connection().client
    }

    pub(super) fn open(&self) -> usize {
        self.streams.connections.len()
    }

    pub(super) fn closed(&self, reason: CloseReason) -> u64 {
        self.counters.closed[reason as usize].value()
    }
}

fn seconds(count: u64) -> Tick {
    Tick::from_millis(count * 1000)
}

/// What a listener for plain TURN and TLS makes of its connections.
pub(super) fn opening() -> Arc<Opening> {
    Arc::new(Opening {
        listener: Listener {
            addr: "127.0.0.1:0".parse().unwrap(),
            transport: ListenTransport::Auto,
            proxy_protocol: Vec::new(),
        },
        tls: server_config(),
    })
}

/// What a client of TLS says first.
fn hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("relay.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// TLS with a certificate that nobody trusts.
fn server_config() -> Arc<ServerConfig> {
    let issued = rcgen::generate_simple_self_signed(vec!["relay.example".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key.into());
    Arc::new(config.unwrap())
}
