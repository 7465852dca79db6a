//! Send and Data indications (RFC 8656 section 11).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::client::{id, send_indication};
use super::traffic::{
    Heard, OTHER4, PEER4, PEER4_NEXT, PEER6, SIZES, both_for_an_hour, caller, dual_caller,
    for_an_hour, heard_by, on_ipv6, peer_sends, state, to_peer,
};
use super::world::{Outcome, World, addr, local, options};
use crate::relay::{DropReason, Options, Transport};
use crate::wire::{
    AttributeType, Class, Data, DontFragment, Lifetime, Message, Method, RawAttribute, Writer,
    XorPeerAddress,
};

const BAD: Outcome = Outcome::Dropped(DropReason::BadIndication);

/// Bytes that differ from their neighbours, so that a shift or a cut shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

fn indication(fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = vec![0; 2048];
    let mut writer = Writer::new(&mut buf, Class::Indication, Method::SEND, id(1)).unwrap();
    fill(&mut writer);
    let len = writer.finish();
    buf.truncate(len);
    buf
}

// SD-01, SD-02, SD-09
#[test]
fn data_of_every_size_leaves_from_the_relayed_address_exactly_as_it_was_sent() {
    let (mut world, mut alice, [v4, v6]) = dual_caller();
    let both = [addr(PEER4), addr(PEER6)];
    assert_eq!(alice.permit(&mut world, &both).code, 0);

    for size in SIZES {
        let data = pattern(size);
        for (relayed, peer) in [(v4, PEER4), (v6, PEER6)] {
            if size == 65_507 && relayed == v6 {
                continue; // The length field of an indication ends just below.
            }
            let sent = alice.send(&mut world, addr(peer), &data);
            assert_eq!(sent, to_peer(relayed, peer, &data), "{size} bytes");
        }
    }
}

// SD-08, SD-09
#[test]
fn data_of_every_size_is_indicated_with_its_source_and_zero_padding() {
    let (mut world, mut alice, [v4, v6]) = dual_caller();
    alice.at.link.transport = Transport::Udp;
    let both = [addr(PEER4), addr(PEER6)];
    assert_eq!(alice.permit(&mut world, &both).code, 0);

    for size in SIZES {
        let data = pattern(size);
        for (relayed, peer) in [(v4, PEER4), (v6, PEER6)] {
            let came = peer_sends(&mut world, peer, relayed, &data);
            if size == 65_507 {
                let whole = Outcome::Dropped(DropReason::TooLarge);
                assert_eq!(came, whole, "no datagram holds that and a header");
            } else {
                let expected = Heard::Indicated(addr(peer), data.clone());
                assert_eq!(heard_by(&alice, came), expected, "{size} bytes");
            }
        }
    }
}

// SD-09
#[test]
fn a_stream_carries_the_largest_datagram_in_an_indication() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut world = World::new();
        let mut alice = world.client("alice");
        alice.at.link.transport = transport;
        let relayed = alice.allocate(&mut world);
        assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
        let data = pattern(65_507);

        let came = peer_sends(&mut world, PEER4, relayed, &data);

        let expected = Heard::Indicated(addr(PEER4), data);
        assert_eq!(heard_by(&alice, came), expected);
    }
}

// SD-09
#[test]
fn data_that_no_datagram_holds_is_dropped_whole() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);

    let sent = alice.send(&mut world, addr(PEER4), &pattern(65_508));

    assert_eq!(sent, Outcome::Dropped(DropReason::TooLarge));
    let largest = pattern(65_507);
    let sent = alice.send(&mut world, addr(PEER4), &largest);
    assert_eq!(sent, to_peer(relayed, PEER4, &largest));
}

// SD-03
#[test]
fn an_indication_that_lacks_or_garbles_a_part_is_dropped() {
    let (mut world, mut alice, _) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    let peer = XorPeerAddress(addr(PEER4));
    let data = Data(b"x");
    let raw = |kind, value| RawAttribute { kind, value };

    let without_data = indication(|writer| writer.put(&peer).unwrap());
    let without_peer = indication(|writer| writer.put(&data).unwrap());
    let empty = indication(|_| ());
    for bytes in [without_data, without_peer, empty] {
        assert_eq!(world.send(&alice.at, &bytes), BAD);
    }
    for value in [
        &[][..],
        &[0, 1, 1, 1, 1, 1, 1],
        &[0, 3, 1, 1, 1, 1, 1, 1],
        &[0, 2, 1, 1, 1, 1, 1, 1],
    ] {
        let bytes = indication(|writer| {
            let peer = raw(AttributeType::XOR_PEER_ADDRESS, value);
            writer.put(&peer).unwrap();
            writer.put(&data).unwrap();
        });
        assert_eq!(world.send(&alice.at, &bytes), BAD, "{value:?}");
    }
    let bytes = send_indication(addr(PEER4), b"x", |writer| {
        let fragment = raw(AttributeType::DONT_FRAGMENT, &[0]);
        writer.put(&fragment).unwrap();
    });
    assert_eq!(world.send(&alice.at, &bytes), BAD, "never ignored");
}

// SD-03
#[test]
fn an_attribute_that_must_be_understood_and_is_not_stops_the_data() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    let mut send_with = |kind: u16| {
        let bytes = send_indication(addr(PEER4), b"x", |writer| {
            let attribute = RawAttribute {
                kind: AttributeType(kind),
                value: b"?",
            };
            writer.put(&attribute).unwrap();
        });
        world.send(&alice.at, &bytes)
    };

    assert_eq!(send_with(0x7FFF), BAD);
    assert_eq!(send_with(0x07AD), BAD);
    assert_eq!(send_with(0xC057), to_peer(relayed, PEER4, b"x"), "optional");
}

// SD-03
#[test]
fn an_indication_without_permission_or_allocation_is_dropped_without_an_answer() {
    let (mut world, alice, _) = caller();
    let stranger = world.client("stranger");

    let sent = alice.send(&mut world, addr(PEER4), b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoPermission));
    let sent = stranger.send(&mut world, addr(PEER4), b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoAllocation));
    let sent = alice.send(&mut world, addr(PEER6), b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoPermission));
}

// SD-04
#[test]
fn of_two_peers_or_two_data_the_first_counts() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    let mut send = |first: &str, second: &str| {
        let bytes = indication(|writer| {
            writer.put(&XorPeerAddress(addr(first))).unwrap();
            writer.put(&XorPeerAddress(addr(second))).unwrap();
            writer.put(&Data(b"first")).unwrap();
            writer.put(&Data(b"second")).unwrap();
        });
        world.send(&alice.at, &bytes)
    };

    assert_eq!(send(PEER4, PEER4_NEXT), to_peer(relayed, PEER4, b"first"));
    assert_eq!(send(PEER4, OTHER4), to_peer(relayed, PEER4, b"first"));
    let unpermitted = Outcome::Dropped(DropReason::NoPermission);
    assert_eq!(send(OTHER4, PEER4), unpermitted);
}

// SD-06, X-15
#[test]
fn a_denied_port_is_not_reached_whatever_is_permitted() {
    let mut denying = options();
    denying.peers.deny_ports = vec![53..=53, 1900..=1901];
    let mut world = World::with(denying);
    let mut alice = world.client("alice");
    let relayed = alice.allocate(&mut world);
    let peer = |port: u16| format!("24.9.0.1:{port}");

    let permitted = [53, 80].map(|port| addr(&peer(port)));
    assert_eq!(alice.permit(&mut world, &permitted).code, 0, "by address");

    let denied = Outcome::Dropped(DropReason::PeerDenied);
    for port in [0, 53, 1900, 1901] {
        let sent = alice.send(&mut world, addr(&peer(port)), b"x");
        assert_eq!(sent, denied, "{port}");
    }
    for port in [53, 1900, 1901] {
        let answer = alice.bind(&mut world, 0x4000, addr(&peer(port)));
        assert_eq!(answer.code, 403, "{port}");
    }
    for port in [52, 54, 1899, 1902] {
        let sent = alice.send(&mut world, addr(&peer(port)), b"x");
        assert_eq!(sent, to_peer(relayed, &peer(port), b"x"));
    }
}

// SD-07
#[test]
fn a_wish_against_fragments_is_passed_on_between_ipv4_and_ipv4_and_ignored_elsewhere() {
    let wish = |writer: &mut Writer<'_>| writer.put(&DontFragment).unwrap();
    for (client, peer, honoured) in [
        ("24.0.7.7:5000", PEER4, true),
        ("24.0.7.7:5000", PEER6, false),
        ("[2600:7::7]:5000", PEER4, false),
        ("[2600:7::7]:5000", PEER6, false),
    ] {
        let mut world = World::new();
        let mut alice = world.client_at(addr(client), "alice");
        let relayed = both_for_an_hour(&mut world, &mut alice);
        assert_eq!(alice.permit(&mut world, &[addr(peer)]).code, 0);
        let from = relayed[usize::from(addr(peer).is_ipv6())];

        let sent = world.send(&alice.at, &send_indication(addr(peer), b"x", wish));

        let expected = Outcome::ToPeer {
            from: local(from),
            to: addr(peer),
            data: b"x".to_vec(),
            dont_fragment: honoured,
        };
        assert_eq!(sent, expected, "{client} to {peer}");
        let sent = alice.send(&mut world, addr(peer), b"x");
        assert_eq!(sent, to_peer(from, peer, b"x"), "nobody asked");
    }
}

// SD-08
#[test]
fn the_exact_address_of_a_channel_is_heard_on_it_and_no_other() {
    let (mut world, mut alice, relayed) = caller();
    let permitted = [addr(PEER4), addr(OTHER4)];
    assert_eq!(alice.permit(&mut world, &permitted).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER4)).code, 0);
    let mut hear = |peer: &str| {
        let came = peer_sends(&mut world, peer, relayed, b"y");
        heard_by(&alice, came)
    };

    assert_eq!(hear(PEER4), Heard::OnChannel(0x4001, b"y".to_vec()));
    for peer in [PEER4_NEXT, OTHER4, "24.9.0.1:6999"] {
        let expected = Heard::Indicated(addr(peer), b"y".to_vec());
        assert_eq!(hear(peer), expected);
    }
}

// SD-08
#[test]
fn a_client_with_a_channel_may_still_send_indications() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER4)).code, 0);

    let sent = alice.send(&mut world, addr(PEER4), b"x");

    assert_eq!(sent, to_peer(relayed, PEER4, b"x"));
}

// B-23
#[test]
fn indications_carry_no_software_and_no_two_the_same_transaction() {
    let mut world = World::with(Options {
        software: Some("veilturn".to_owned()),
        ..options()
    });
    let mut alice = world.client("alice");
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    let mut seen = BTreeSet::new();

    for _ in 0..100 {
        let came = peer_sends(&mut world, PEER4, relayed, b"y");
        let Outcome::ToClient { ref bytes, .. } = came else {
            panic!("{came:?}")
        };
        seen.insert(Message::parse(bytes).unwrap().transaction_id().0);
        heard_by(&alice, came);
    }

    assert_eq!(seen.len(), 100);
}

#[test]
fn a_client_on_one_family_relays_on_the_other() {
    let mut world = World::new();
    let mut on_six = world.client_at(addr("[2600:7::7]:5000"), "alice");
    let mut on_four = world.client_at(addr("24.0.7.7:5000"), "bob");
    let v4: SocketAddr = on_six.allocate(&mut world);
    let v6 = for_an_hour(&mut world, &mut on_four, on_ipv6);
    assert_eq!(on_six.permit(&mut world, &[addr(PEER4)]).code, 0);
    assert_eq!(on_four.permit(&mut world, &[addr(PEER6)]).code, 0);

    let sent = on_six.send(&mut world, addr(PEER4), b"x");
    assert_eq!(sent, to_peer(v4, PEER4, b"x"));
    let sent = on_four.send(&mut world, addr(PEER6), b"x");
    assert_eq!(sent, to_peer(v6, PEER6, b"x"));
    let came = peer_sends(&mut world, PEER4, v4, b"y");
    let expected = Heard::Indicated(addr(PEER4), b"y".to_vec());
    assert_eq!(heard_by(&on_six, came), expected);
    let came = peer_sends(&mut world, PEER6, v6, b"y");
    let expected = Heard::Indicated(addr(PEER6), b"y".to_vec());
    assert_eq!(heard_by(&on_four, came), expected);
}

// AL-21
#[test]
fn at_the_end_of_its_lifetime_an_allocation_relays_nothing_more_either_way() {
    let (mut world, mut alice, relayed) = caller();
    world.pass_secs(3500);
    alice.learn_nonce(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    world.pass(Duration::from_millis(99_999));
    let sent = alice.send(&mut world, addr(PEER4), b"x");
    assert_eq!(sent, to_peer(relayed, PEER4, b"x"));
    let came = peer_sends(&mut world, PEER4, relayed, b"x");
    assert!(matches!(came, Outcome::ToClient { .. }));

    // The timer has not been served yet.
    world.now.tick = world.now.tick.after(Duration::from_millis(1));

    let ended = Outcome::Dropped(DropReason::NoAllocation);
    assert_eq!(alice.send(&mut world, addr(PEER4), b"x"), ended);
    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), ended);
    assert_eq!(peer_sends(&mut world, PEER4, relayed, b"x"), ended);
}

// SD-05
#[test]
fn indications_change_nothing_in_the_allocation() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    let before = state(&world, &alice);
    world.pass_secs(100);

    let _ = alice.send(&mut world, addr(PEER4), b"x");
    let _ = alice.send(&mut world, addr(OTHER4), b"x");
    let _ = peer_sends(&mut world, PEER4, relayed, b"x");

    assert_eq!(state(&world, &alice), before);
    let lifetime = indication(|writer| {
        writer.put(&XorPeerAddress(addr(PEER4))).unwrap();
        writer.put(&Lifetime(0)).unwrap();
        writer.put(&Data(b"x")).unwrap();
    });
    let sent = world.send(&alice.at, &lifetime);
    assert_eq!(sent, to_peer(relayed, PEER4, b"x"));
    assert_eq!(state(&world, &alice), before);
}
