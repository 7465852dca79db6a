//! TLS: both versions, what is around the handshake, and calls to everybody else.

use std::io::{self, Read, Write};

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::support::{BINDING, Carrier, Relay, connect, is_closed};

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
            segment.extend(crate::support::channel_data(to_bob, &data));
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
