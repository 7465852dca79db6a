//! DTLS, with OpenSSL's client: the cookie exchange, calls to everybody else, sessions that end and begin anew.

use std::io;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

use openssl::ssl::ErrorCode;

use crate::dtls_client::{DtlsClient, Socket, address, client, relay, secure};
use crate::support::{BINDING, Carrier, Datagrams, Party, Relay, channel_data};

// CD-08
#[test]
fn calls_are_held() {
    let relay = relay(|_| {});
    let (mut alice, mut bob) = (party(&relay, "a"), party(&relay, "b"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let (to_bob, to_alice) = (alice.bind(at_bob), bob.bind(at_alice));

    for data in [&b"hello"[..], b"", b"x", &[7; 1200], &[8; 16_000]] {
        alice.send(to_bob, data);
        assert_eq!(bob.hear().data, data);
        bob.send(to_alice, data);
        assert_eq!(alice.hear().data, data);
    }
    alice.indicate(at_bob, b"indicated");
    assert_eq!(bob.hear().data, b"indicated");
    assert_eq!(open(&relay), 2);
}

#[test]
fn dtls_udp_and_tcp_clients_talk_with_each_other() {
    let relay = relay(|_| {});
    let mut alice = party(&relay, "a");
    let mut bob = relay.tcp_party("b");
    let mut carol = relay.udp_party("c");
    let (at_alice, at_bob, at_carol) = (alice.allocate(), bob.allocate(), carol.allocate());
    let (alice_bob, alice_carol) = (alice.bind(at_bob), alice.bind(at_carol));
    let (bob_alice, carol_alice) = (bob.bind(at_alice), carol.bind(at_alice));

    alice.send(alice_bob, b"ab");
    assert_eq!(bob.hear().data, b"ab");
    alice.send(alice_carol, b"ac");
    assert_eq!(carol.hear().data, b"ac");
    bob.send(bob_alice, b"ba");
    assert_eq!(alice.hear().data, b"ba");
    carol.send(carol_alice, b"ca");
    assert_eq!(alice.hear().data, b"ca");
}

// CD-08: a record is a datagram, of which what lies behind the message is not looked at.
#[test]
fn what_follows_a_message_in_its_record_is_ignored() {
    let relay = relay(|_| {});
    let (mut alice, mut bob) = (party(&relay, "a"), party(&relay, "b"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let (to_bob, _) = (alice.bind(at_bob), bob.bind(at_alice));

    let two = [channel_data(to_bob, b"one."), channel_data(to_bob, b"two.")].concat();
    alice.carrier.send(&two).unwrap();
    alice.send(to_bob, b"three");

    assert_eq!(bob.hear().data, b"one.");
    assert_eq!(bob.hear().data, b"three");
}

#[test]
fn clients_of_several_workers_talk_with_each_other_and_with_those_of_udp_and_tcp() {
    let relay = relay(|config| config.runtime.workers = 2);
    let mut parties: Vec<_> = (0..9)
        .map(|number| Party::new(&relay, &format!("party{number}"), Way::of(number, &relay)))
        .collect();
    let addresses: Vec<_> = parties.iter_mut().map(Party::allocate).collect();
    // Nine clients are all with one of two workers once in 256 runs: then this is a call within one, as above.
    for from in 0..parties.len() {
        for to in (0..parties.len()).filter(|to| *to != from) {
            parties[from].permit(addresses[to]);
        }
    }
    for from in 0..parties.len() {
        for to in (0..parties.len()).filter(|to| *to != from) {
            let data = [b'0' + u8::try_from(from).unwrap()];
            parties[from].indicate(addresses[to], &data);
            let heard = parties[to].hear();
            assert_eq!((heard.from, &heard.data[..]), (addresses[from], &data[..]));
        }
    }
}

// D-02
#[test]
fn strangers_leave_nothing_behind_and_gain_nothing() {
    let relay = relay(|_| {});
    let hello = first_hello();
    // Each from an address and a port of its own.
    for stranger in 0..10_000_u16 {
        let [high, low] = stranger.to_be_bytes();
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 1, high, low), 0)).unwrap();
        socket.connect(address(&relay)).unwrap();
        let stranger = Socket::over(socket);
        stranger.socket.send(&hello).unwrap();
        let mut answer = [0; 2048];
        let len = stranger.receive(&mut answer).unwrap();
        // A HelloVerifyRequest.
        assert_eq!((answer[0], answer[13]), (22, 3));
        assert!(len <= hello.len());
    }
    assert_eq!(relay.numbers().connections.accepted, 0);
    assert_eq!(open(&relay), 0);
}

// D-01, D-02
#[test]
fn what_is_not_a_hello_is_not_answered() {
    let relay = relay(|_| {});
    let stranger = Socket::new(address(&relay));
    let mut forged = first_hello();
    // Another kind of message, a record of data, one with an epoch, a piece, and what is no record at all.
    for (at, byte) in [(13, 2), (0, 23), (4, 1), (21, 1), (0, 200)] {
        let before = std::mem::replace(&mut forged[at], byte);
        stranger.socket.send(&forged).unwrap();
        forged[at] = before;
    }
    stranger.socket.send(&BINDING).unwrap();
    stranger.socket.send(&forged).unwrap();

    let mut answer = [0; 2048];
    let len = stranger.receive(&mut answer).unwrap();
    assert_eq!((answer[0], answer[13]), (22, 3), "the answer to the last");
    assert!(len <= forged.len());
    stranger.socket.set_nonblocking(true).unwrap();
    assert!(stranger.socket.recv(&mut answer).is_err());
}

#[test]
fn an_allocation_ends_with_its_session() {
    let relay = relay(|_| {});
    let mut alice = party(&relay, "a");
    alice.allocate();
    assert_eq!(relay.server.allocations(), 1);

    alice.carrier.0.shutdown().unwrap();

    relay.until("the allocation has ended", |relay| {
        relay.server.allocations() == 0 && relay.closed("left") == 1
    });
    assert_eq!(open(&relay), 0);
}

// RFC 6347 section 4.2.8
#[test]
fn a_client_that_begins_anew_from_its_port_is_served() {
    let relay = relay(|_| {});
    let mut alice = party(&relay, "a");
    alice.allocate();
    let same = alice.carrier.0.get_ref().socket.try_clone().unwrap();

    let mut reborn = Party::new(&relay, "a", secure(&relay, Socket::over(same)));
    reborn.allocate();

    assert_eq!(open(&relay), 1);
    assert_eq!(relay.server.allocations(), 1);
}

#[test]
fn a_handshake_outlives_lost_datagrams() {
    let relay = relay(|_| {});
    let socket = Socket::new(address(&relay));
    // The HelloVerifyRequest comes, what follows it is lost.
    socket.pass.set(1);
    socket.lose.set(2);

    let mut alice = Party::new(&relay, "a", secure(&relay, socket));

    alice.allocate();
}

#[test]
fn sessions_without_a_message_and_those_beyond_the_bound_are_ended() {
    let relay = relay(|config| {
        config.streams.connections_per_prefix = 1;
        config.streams.handshake_timeout = Duration::from_millis(100);
    });
    let _silent = secure(&relay, Socket::new(address(&relay)));
    relay.until("the silent one is gone", |relay| {
        relay.closed("handshake_timeout") == 1 && open(relay) == 0
    });

    let mut alice = party(&relay, "a");
    alice.allocate();
    let second = Socket::new(address(&relay));
    let mut second = client(&relay, second);
    while relay.closed("prefix_full") == 0 {
        let refused = second.connect().expect_err("no room");
        assert_eq!(refused.code(), ErrorCode::WANT_READ);
    }
}

/// One way to the relay of several.
enum Way {
    Dtls(DtlsClient),
    Udp(Datagrams),
    Tcp(TcpStream),
}

impl Way {
    fn of(number: usize, relay: &Relay) -> Self {
        match number % 3 {
            0 => Self::Udp(relay.udp_party("x").carrier),
            1 => Self::Tcp(relay.tcp_party("x").carrier),
            _ => Self::Dtls(party(relay, "x").carrier),
        }
    }
}

impl Carrier for Way {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Dtls(carrier) => carrier.send(message),
            Self::Udp(carrier) => carrier.send(message),
            Self::Tcp(carrier) => carrier.send(message),
        }
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Dtls(carrier) => carrier.receive(),
            Self::Udp(carrier) => carrier.receive(),
            Self::Tcp(carrier) => carrier.receive(),
        }
    }
}

/// How many sessions are open.
fn open(relay: &Relay) -> u64 {
    let open = relay.numbers().connections.open;
    let counts = open.iter().filter(|count| count.reason == "dtls");
    counts.map(|count| count.count).sum()
}

fn party(relay: &Relay, name: &str) -> Party<DtlsClient> {
    Party::new(relay, name, secure(relay, Socket::new(address(relay))))
}

/// The first ClientHello of a client that offers nothing.
fn first_hello() -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend([5; 32]);
    body.extend([0, 0, 0, 2, 0xC0, 0x2F, 1, 0]);
    let len = u8::try_from(body.len()).expect("what a client needs");
    let mut hello = vec![22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, len + 12];
    hello.extend([1, 0, 0, len, 0, 0, 0, 0, 0, 0, 0, len]);
    hello.extend(body);
    hello
}
