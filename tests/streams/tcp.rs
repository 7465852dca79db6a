//! TCP: frames at any split, calls between all kinds of clients, ends of connections.

use std::io::{Read, Write};
use std::net::Shutdown;

use rustls::version::{TLS12, TLS13};

use crate::support::{
    BINDING, Carrier, Heard, NOW, Party, Relay, channel_data, connect, is_closed, padded,
};

#[test]
fn a_call_between_two_tcp_clients_carries_data_both_ways() {
    let relay = Relay::start();
    let (mut alice, mut bob) = (relay.tcp_party("a"), relay.tcp_party("b"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let (to_bob, to_alice) = (alice.bind(at_bob), bob.bind(at_alice));

    for data in [&b"hello"[..], b"", b"x", b"four", &[7; 1200], &[8; 60_000]] {
        alice.send(to_bob, data);
        let heard = Heard {
            from: at_alice,
            channel: Some(to_alice),
            data: data.to_vec(),
        };
        assert_eq!(bob.hear(), heard);
        bob.send(to_alice, data);
        assert_eq!(alice.hear().data, data);
    }
    let open = relay.numbers().connections.open;
    assert!(open.iter().any(|c| (c.reason, c.count) == ("tcp", 2)));
}

#[test]
fn a_tcp_client_talks_with_a_udp_client() {
    let relay = Relay::start();
    let (mut alice, mut bob) = (relay.tcp_party("a"), relay.udp_party("b"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let (to_bob, to_alice) = (alice.bind(at_bob), bob.bind(at_alice));

    alice.send(to_bob, b"over");
    assert_eq!(bob.hear().data, b"over");
    bob.send(to_alice, b"and out");
    assert_eq!(alice.hear().data, b"and out");
}

#[test]
fn calls_are_held_whichever_workers_their_parties_are_with() {
    let relay = Relay::with(|config| config.runtime.workers = 2);
    let mut parties: Vec<_> = ["a", "b", "c", "d", "e", "f"]
        .map(|name| relay.tcp_party(name))
        .into();
    let relayed: Vec<_> = parties.iter_mut().map(|party| party.allocate()).collect();
    for from in 0..parties.len() {
        for to in (0..parties.len()).filter(|to| *to != from) {
            parties[to].bind(relayed[from]);
            let channel = parties[from].bind(relayed[to]);
            parties[from].send(channel, &[7; 500]);
            assert_eq!(parties[to].hear().from, relayed[from]);
        }
    }
}

#[test]
fn indications_are_carried_as_well() {
    let relay = Relay::start();
    let (mut alice, mut bob) = (relay.tcp_party("a"), relay.tcp_party("b"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    alice.permit(at_bob);
    bob.permit(at_alice);

    for data in [&b"odd"[..], b"even"] {
        alice.indicate(at_bob, data);
        let heard = Heard {
            from: at_alice,
            channel: None,
            data: data.to_vec(),
        };
        assert_eq!(bob.hear(), heard);
    }
}

// B-19
#[test]
fn a_request_may_be_split_anywhere() {
    let relay = Relay::start();
    for split in 0..=BINDING.len() {
        let mut stream = connect(relay.tcp);
        let (first, second) = BINDING.split_at(split);
        stream.write_all(first).unwrap();
        if !first.is_empty() {
            relay.until("the first part is read", |relay| {
                let open = relay.numbers().connections.open;
                open.iter().any(|c| c.reason == "tcp" && c.count > 0)
            });
        }
        stream.write_all(second).unwrap();
        assert_eq!(stream.receive().unwrap()[8..20], BINDING[8..], "{split}");
        drop(stream);
        relay.until("the connection is gone", |relay| {
            let open = relay.numbers().connections.open;
            open.iter().all(|c| c.count == 0)
        });
    }
}

// B-19
#[test]
fn a_request_may_come_byte_by_byte() {
    let relay = Relay::start();
    let mut stream = connect(relay.tcp);
    for _ in 0..2 {
        for byte in BINDING {
            stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(stream.receive().unwrap()[8..20], BINDING[8..]);
    }
}

// B-19
#[test]
fn requests_in_one_segment_are_answered_in_their_order() {
    let relay = Relay::start();
    let mut stream = connect(relay.tcp);
    let mut requests = Vec::new();
    for number in 0..3 {
        let mut request = BINDING;
        request[19] = number;
        requests.extend(request);
    }

    stream.write_all(&requests).unwrap();

    for number in 0..3 {
        assert_eq!(stream.receive().unwrap()[19], number);
    }
}

// CD-06
#[test]
fn data_and_requests_in_one_segment_are_all_served() {
    let relay = Relay::start();
    let (mut alice, mut bob) = (relay.tcp_party("a"), relay.udp_party("b"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let to_bob = alice.bind(at_bob);
    bob.bind(at_alice);

    let mut segment = padded(&channel_data(to_bob, b"one"));
    segment.extend(BINDING);
    segment.extend(padded(&channel_data(to_bob, b"three")));
    alice.carrier.write_all(&segment).unwrap();

    assert_eq!(bob.hear().data, b"one");
    assert_eq!(bob.hear().data, b"three");
    assert_eq!(alice.carrier.receive().unwrap()[..2], [1, 1]);
}

// CD-06
#[test]
fn data_and_requests_may_be_split_anywhere_and_leave_padded_with_zeros() {
    let relay = Relay::start();
    let (mut alice, mut bob) = (relay.tcp_party("a"), relay.tcp_party("b"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let to_bob = alice.bind(at_bob);
    let to_alice = bob.bind(at_alice);
    // What stands in the padding is nobody's business.
    let mut segment = channel_data(to_bob, b"one");
    segment.push(0xEE);
    segment.extend(BINDING);
    segment.extend(channel_data(to_bob, b""));
    segment.extend(channel_data(to_bob, b"three"));
    segment.extend([0xEE; 3]);

    for split in 1..segment.len() {
        let (first, second) = segment.split_at(split);
        alice.carrier.write_all(first).unwrap();
        // A whole frame at the front tells that the first part was read.
        if split >= 8 {
            let one = padded(&channel_data(to_alice, b"one"));
            assert_eq!(bob.carrier.receive().unwrap(), one);
        }
        alice.carrier.write_all(second).unwrap();
        if split < 8 {
            bob.carrier.receive().unwrap();
        }
        for data in [&b""[..], b"three"] {
            let expected = padded(&channel_data(to_alice, data));
            assert_eq!(bob.carrier.receive().unwrap(), expected, "{split}");
        }
        assert_eq!(alice.carrier.receive().unwrap()[8..20], BINDING[8..]);
    }
    alice.send(to_bob, b"after");
    assert_eq!(bob.hear().data, b"after");
}

// CD-07
#[test]
fn a_client_that_omits_the_padding_is_closed_and_nobody_else() {
    let relay = Relay::start();
    let (mut alice, mut bob) = (relay.tcp_party("a"), relay.tcp_party("b"));
    let (_, at_bob) = (alice.allocate(), bob.allocate());
    let to_bob = alice.bind(at_bob);

    let mut frames = channel_data(to_bob, b"five!");
    frames.extend(channel_data(to_bob, &[0xEE; 7]));
    frames.extend([0xEE; 16]);
    alice.carrier.write_all(&frames).unwrap();

    assert!(is_closed(&mut alice.carrier));
    relay.until("it is counted", |relay| relay.closed("protocol") == 1);
    bob.carrier.write_all(&BINDING).unwrap();
    assert_eq!(bob.carrier.receive().unwrap()[..2], [1, 1]);
}

// CD-07
#[test]
fn a_frame_longer_than_a_datagram_is_taken_and_dropped() {
    let relay = Relay::start();
    let (mut alice, mut bob) = (relay.tcp_party("a"), relay.tcp_party("b"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let to_bob = alice.bind(at_bob);
    bob.bind(at_alice);

    alice.send(to_bob, &[7; 65_535]);
    alice.send(to_bob, b"after");

    assert_eq!(bob.hear().data, b"after");
}

// B-20
#[test]
fn what_is_not_turn_is_closed_without_a_word() {
    let relay = Relay::start();
    let mut no_cookie = BINDING;
    no_cookie[4] = 0;
    let not_turn: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\xF8\x01",
        &[0xFF; 20],
        &no_cookie,
    ];
    for bytes in not_turn {
        let mut stream = connect(relay.tcp);
        stream.write_all(bytes).unwrap();
        assert!(is_closed(&mut stream), "{bytes:?}");
    }
    assert_eq!(relay.closed("protocol"), not_turn.len() as u64);
}

// B-20, X-41
#[test]
fn a_stranger_cannot_announce_a_long_message() {
    let relay = Relay::start();
    let mut stream = connect(relay.tcp);

    stream.write_all(&[0, 1, 0xFF, 0xFC]).unwrap();

    assert!(is_closed(&mut stream));
    relay.until("it is counted", |relay| relay.closed("too_long") == 1);
}

// B-21
#[test]
fn a_request_before_a_half_close_is_answered() {
    let relay = Relay::start();
    let mut stream = connect(relay.tcp);

    stream.write_all(&BINDING).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();

    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[8..20], BINDING[8..]);
}

#[test]
fn an_allocation_ends_with_its_connection() {
    let relay = Relay::start();
    let mut alice = relay.tcp_party("a");
    alice.allocate();
    assert_eq!(relay.server.allocations(), 1);

    drop(alice);

    relay.until("the allocation is gone", |relay| {
        relay.server.allocations() == 0
    });
    relay.until("it is counted", |relay| relay.closed("left") == 1);
}

#[test]
fn an_allocation_ends_with_a_reset() {
    let relay = Relay::start();
    let mut alice = relay.tcp_party("a");
    alice.allocate();

    socket2::SockRef::from(&alice.carrier)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(alice);

    relay.until("the allocation is gone", |relay| {
        relay.server.allocations() == 0
    });
}

//
#[test]
fn a_client_that_does_not_read_delays_nobody_and_loses_only_media() {
    let relay = Relay::start();
    let alice = relay.tcp_party("a");
    nobody_waits_for(&relay, alice);
}

//
#[test]
fn a_client_that_does_not_read_delays_nobody_inside_tls_either() {
    for version in [&TLS12, &TLS13] {
        let relay = Relay::start();
        let alice = relay.tls_party("a", &[version]);
        nobody_waits_for(&relay, alice);
    }
}

fn nobody_waits_for(relay: &Relay, mut alice: Party<impl Carrier>) {
    let mut bob = relay.udp_party("b");
    let (mut carol, mut dave) = (relay.tcp_party("c"), relay.tcp_party("d"));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let (at_carol, at_dave) = (carol.allocate(), dave.allocate());
    alice.bind(at_bob);
    let to_alice = bob.bind(at_alice);
    let (to_dave, to_carol) = (carol.bind(at_dave), dave.bind(at_carol));

    // Alice reads nothing from here on; what Bob sends her fills every buffer on its way, and the other call goes on
    // between any two of his packets.
    let mut rounds = 0_u32;
    let dropped = || {
        let dropped = relay.numbers().connections.media_dropped;
        dropped.iter().map(|count| count.count).sum::<u64>()
    };
    while dropped() < 100 {
        for _ in 0..64 {
            bob.send(to_alice, &[7; 1200]);
        }
        carol.send(to_dave, &rounds.to_be_bytes());
        assert_eq!(dave.hear().data, rounds.to_be_bytes());
        dave.send(to_carol, &rounds.to_be_bytes());
        assert_eq!(carol.hear().data, rounds.to_be_bytes());
        rounds += 1;
    }

    // She reads again: whole frames, her answers among them.
    let request = alice
        .client
        .refresh(NOW, std::time::Duration::from_secs(600))
        .expect("room");
    let refreshed = alice.settle(request);
    assert!(refreshed.is_ok(), "{refreshed:?}");
}
