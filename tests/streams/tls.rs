//! TLS: both versions, what is around the handshake, and calls to everybody else.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::records::{HANDSHAKE, Records};
use crate::support::{BINDING, Carrier, Relay, channel_data, connect, is_closed};

// TL-01
#[test]
fn calls_are_held_over_either_version() {
    let relay = Relay::start();
    for (version, spoken) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut alice = relay.tls_party("a", &[version]);
        let mut bob = relay.tls_party("b", &[version]);
        assert_eq!(alice.carrier.conn.protocol_version(), Some(spoken));
        let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
        let (to_bob, to_alice) = (alice.bind(at_bob), bob.bind(at_alice));

        for data in [&b"hello"[..], b"", b"x", &[7; 1200], &[8; 60_000]] {
            alice.send(to_bob, data);
            assert_eq!(bob.hear().data, data);
            bob.send(to_alice, data);
            assert_eq!(alice.hear().data, data);
        }
        let open = relay.numbers().connections.open;
        assert!(open.iter().any(|c| c.reason == "tls" && c.count >= 2));
    }
}

/// RFC 8446 section 5.1: a message of the handshake may be cut into several records. Whoever leaves in the middle of
/// one, or goes on with nonsense, ends his own connection and nothing else.
#[test]
fn a_message_that_is_never_complete_harms_nobody() {
    const NONSENSE: [u8; 25] = {
        let mut record = [0; 25];
        [record[0], record[1], record[2], record[4]] = [23, 3, 3, 20];
        record
    };
    let relay = Relay::with(|config| config.runtime.workers = 1);
    for last in [&[][..], &NONSENSE] {
        let mut records = Records::connect(&relay, &TLS13);
        records.send(&BINDING).unwrap();
        records.receive().unwrap();

        // The first three bytes of a KeyUpdate message.
        let part = records.seal(HANDSHAKE, &[24, 0, 0]);
        records.socket.write_all(&part).unwrap();
        records.socket.write_all(last).unwrap();
        records.socket.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = records.socket.read_to_end(&mut rest);

        let mut next = relay.secure(relay.tls, &[&TLS13], &[]).unwrap();
        next.send(&BINDING).unwrap();
        next.receive().unwrap();
    }
}

#[test]
fn tls_tcp_and_udp_clients_talk_with_each_other() {
    let relay = Relay::start();
    let mut alice = relay.tls_party("a", &[&TLS13]);
    let mut bob = relay.tcp_party("b");
    let mut carol = relay.udp_party("c");
    let (at_alice, at_bob, at_carol) = (alice.allocate(), bob.allocate(), carol.allocate());
    let (alice_bob, alice_carol) = (alice.bind(at_bob), alice.bind(at_carol));
    let (bob_alice, bob_carol) = (bob.bind(at_alice), bob.bind(at_carol));
    let (carol_alice, carol_bob) = (carol.bind(at_alice), carol.bind(at_bob));

    alice.send(alice_bob, b"ab");
    assert_eq!(bob.hear().data, b"ab");
    alice.send(alice_carol, b"ac");
    assert_eq!(carol.hear().data, b"ac");
    bob.send(bob_alice, b"ba");
    assert_eq!(alice.hear().data, b"ba");
    bob.send(bob_carol, b"bc");
    assert_eq!(carol.hear().data, b"bc");
    carol.send(carol_alice, b"ca");
    assert_eq!(alice.hear().data, b"ca");
    carol.send(carol_bob, b"cb");
    assert_eq!(bob.hear().data, b"cb");
}

#[test]
fn much_data_in_one_piece_arrives_whole() {
    let relay = Relay::start();
    let mut alice = relay.tls_party("a", &[&TLS13]);
    let mut bob = relay.tls_party("b", &[&TLS13]);
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let to_bob = alice.bind(at_bob);
    bob.bind(at_alice);

    for round in 0..50_u8 {
        let mut segment = Vec::new();
        for number in 0..20_u8 {
            let data = [&[round, number][..], &[7; 1198]].concat();
            segment.extend(channel_data(to_bob, &data));
        }
        alice.carrier.write_all(&segment).unwrap();
        for number in 0..20 {
            assert_eq!(bob.hear().data[..2], [round, number]);
        }
    }
}

#[test]
fn one_port_serves_tls_and_plain_turn() {
    let relay = Relay::start();
    let mut plain = connect(relay.auto);
    let mut secured = relay.secure(relay.auto, &[&TLS13], &[]).unwrap();

    plain.send(&BINDING).unwrap();
    secured.send(&BINDING).unwrap();

    assert_eq!(plain.receive().unwrap()[..2], [1, 1]);
    assert_eq!(secured.receive().unwrap()[..2], [1, 1]);
    let mut neither = connect(relay.auto);
    neither.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(is_closed(&mut neither));
}

// TL-02
#[test]
fn the_names_of_turn_are_agreed_on_and_others_refused() {
    let relay = Relay::start();
    for name in [&b"stun.turn"[..], b"stun.nat-discovery"] {
        let secured = relay.secure(relay.tls, &[&TLS13], &[b"h2", name]).unwrap();
        assert_eq!(secured.conn.alpn_protocol(), Some(name));
    }
    let refused = relay.secure(relay.tls, &[&TLS13], &[b"h2"]);
    let alert = refused.map(|_| ()).unwrap_err().to_string();
    assert!(alert.contains("NoApplicationProtocol"), "{alert}");
}

#[test]
fn what_is_not_tls_is_closed() {
    let relay = Relay::start();
    for bytes in [&BINDING[..], b"GET / HTTP/1.1\r\n\r\n", &[22; 5], &[0; 64]] {
        let mut stream = connect(relay.tls);
        stream.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.unwrap_err().kind() == io::ErrorKind::ConnectionReset);
        // At most an alert.
        assert!(rest.is_empty() || rest[0] == 21, "{rest:?}");
    }
    relay.until("it is counted", |relay| relay.closed("tls") == 4);
}

#[test]
fn garbage_inside_tls_ends_the_connection_with_a_farewell() {
    let relay = Relay::start();
    let mut secured = relay.secure(relay.tls, &[&TLS13], &[]).unwrap();

    secured.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    secured.flush().unwrap();

    assert_eq!(secured.read(&mut [0; 8]).unwrap(), 0, "close_notify came");
    relay.until("it is counted", |relay| relay.closed("protocol") == 1);
}

#[test]
fn an_allocation_ends_with_the_farewell_of_its_client() {
    let relay = Relay::start();
    let mut alice = relay.tls_party("a", &[&TLS13]);
    alice.allocate();
    assert_eq!(relay.server.allocations(), 1);

    alice.carrier.conn.send_close_notify();
    alice.carrier.flush().unwrap();

    relay.until("the allocation is gone", |relay| {
        relay.server.allocations() == 0
    });
    assert_eq!(alice.carrier.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn clients_hear_a_farewell_when_the_daemon_stops() {
    let relay = Relay::start();
    let mut secured = relay.secure(relay.tls, &[&TLS12], &[]).unwrap();
    secured.send(&BINDING).unwrap();
    secured.receive().unwrap();

    relay.server.stop().unwrap();

    assert_eq!(secured.read(&mut [0; 8]).unwrap(), 0);
}

// B-19
#[test]
fn a_record_may_be_split_anywhere_while_data_flows_the_other_way() {
    let relay = Relay::start();
    for version in [&TLS12, &TLS13] {
        let mut alice = relay.tls_party("a", &[version]);
        let mut bob = relay.udp_party("b");
        let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
        let (to_bob, to_alice) = (alice.bind(at_bob), bob.bind(at_alice));
        let frame = channel_data(to_bob, b"data");
        let mut record = Vec::new();
        let mut split = 1;
        while record.is_empty() || split < record.len() {
            record.clear();
            alice.carrier.conn.writer().write_all(&frame).unwrap();
            alice.carrier.conn.write_tls(&mut record).unwrap();
            let (first, second) = record.split_at(split);

            alice.carrier.sock.write_all(first).unwrap();
            bob.send(to_alice, b"meanwhile");
            assert_eq!(alice.hear().data, b"meanwhile");
            alice.carrier.sock.write_all(second).unwrap();

            assert_eq!(bob.hear().data, b"data");
            split += 1;
        }
        assert!(split > 20, "a record of many bytes");
    }
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let relay = Relay::start();
    for version in [&TLS12, &TLS13] {
        let drip = Drip(connect(relay.tls));
        let mut secured = relay.secure_over(drip, &[version], &[]).unwrap();
        secured.send(&BINDING).unwrap();
        assert_eq!(secured.receive().unwrap()[8..20], BINDING[8..]);
    }
}

//
#[test]
fn keys_may_be_refreshed_in_the_middle_of_a_call() {
    let relay = Relay::start();
    let mut alice = relay.tls_party("a", &[&TLS13]);
    let mut bob = relay.tls_party("b", &[&TLS13]);
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let (to_bob, to_alice) = (alice.bind(at_bob), bob.bind(at_alice));

    for round in 0..20_u8 {
        alice.carrier.conn.refresh_traffic_keys().unwrap();
        alice.send(to_bob, &[round]);
        assert_eq!(bob.hear().data, [round]);
        bob.send(to_alice, &[round]);
        assert_eq!(alice.hear().data, [round]);
    }
}

//
#[test]
fn handshakes_that_never_end_are_in_nobodys_way() {
    let relay = Relay::with(|config| config.streams.connections_per_prefix = 1000);
    // The first half of a record of the handshake, and silence.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3, 7, 7, 7];
    let _halves: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = connect(relay.tls);
            stream.write_all(&hello).unwrap();
            stream
        })
        .collect();

    let mut alice = relay.tls_party("a", &[&TLS13]);
    let mut bob = relay.udp_party("b");
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let to_bob = alice.bind(at_bob);
    bob.bind(at_alice);
    alice.send(to_bob, b"through");
    assert_eq!(bob.hear().data, b"through");
}

/// A connection that carries one byte at a time.
struct Drip(TcpStream);

impl Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Drip {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(&buf[..buf.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
