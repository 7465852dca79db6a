//! ChannelBind (RFC 8656 section 12): a number for a peer, and what holds for how long.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Answer, Client};
use super::traffic::{
    Heard, OTHER4, PEER4, PEER4_NEXT, PEER6, State, caller, dual_caller, for_an_hour, heard_by,
    on_ipv6, peer_sends, state, to_peer,
};
use super::world::{Outcome, World, addr};
use crate::relay::DropReason;
use crate::wire::{
    AttributeType, ChannelNumber, ChannelNumberAttribute, Lifetime, Method, RawAttribute,
    XorPeerAddress,
};

const NO_CHANNEL: Outcome = Outcome::Dropped(DropReason::NoChannel);
const NO_PERMISSION: Outcome = Outcome::Dropped(DropReason::NoPermission);

/// Binds with a CHANNEL-NUMBER of any content.
fn bind_raw(world: &mut World, client: &mut Client, number: &[u8], peer: &str) -> Answer {
    client.ask(world, Method::CHANNEL_BIND, |writer| {
        let number = RawAttribute {
            kind: AttributeType::CHANNEL_NUMBER,
            value: number,
        };
        writer.put(&number).unwrap();
        writer.put(&XorPeerAddress(addr(peer))).unwrap();
    })
}

/// Asserts that `number` leads to `peer` and back.
#[track_caller]
fn assert_bound(world: &mut World, client: &Client, relayed: SocketAddr, number: u16, peer: &str) {
    let sent = client.send_on(world, number, b"ping");
    assert_eq!(sent, to_peer(relayed, peer, b"ping"));
    let came = peer_sends(world, peer, relayed, b"pong");
    let expected = Heard::OnChannel(number, b"pong".to_vec());
    assert_eq!(heard_by(client, came), expected);
}

// CB-01
#[test]
fn numbers_from_4000_to_4fff_are_channels_and_no_others() {
    for number in [0x4000, 0x4001, 0x4FFF] {
        let (mut world, mut alice, relayed) = caller();
        let answer = alice.bind(&mut world, number, addr(PEER4));
        assert_eq!(answer.code, 0, "{number:x}");
        assert!(answer.message().verify(&alice.key), "with integrity");
        assert_eq!(answer.message().attributes().count(), 0, "and nothing else");
        assert_bound(&mut world, &alice, relayed, number, PEER4);
    }
    let (mut world, mut alice, _) = caller();
    for number in [0, 0x3FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF_u16] {
        let [high, low] = number.to_be_bytes();
        let answer = bind_raw(&mut world, &mut alice, &[high, low, 0, 0], PEER4);
        assert_eq!(answer.code, 400, "{number:x}");
        assert!(answer.message().verify(&alice.key), "with integrity");
    }
}

// CB-02
#[test]
fn a_request_that_lacks_its_number_or_peer_is_a_bad_one() {
    let (mut world, mut alice, _) = caller();
    let before = state(&world, &alice);
    let number = ChannelNumberAttribute(ChannelNumber::MIN);
    let mut bind = |number: Option<ChannelNumberAttribute>, peer: Option<&str>| {
        let answer = alice.ask(&mut world, Method::CHANNEL_BIND, |writer| {
            if let Some(number) = number {
                writer.put(&number).unwrap();
            }
            if let Some(peer) = peer {
                writer.put(&XorPeerAddress(addr(peer))).unwrap();
            }
        });
        answer.code
    };

    assert_eq!(bind(None, Some(PEER4)), 400);
    assert_eq!(bind(Some(number), None), 400);
    assert_eq!(bind(None, None), 400);
    assert_eq!(state(&world, &alice), before);
}

// CB-02
#[test]
fn a_channel_number_has_four_bytes_of_which_the_last_two_mean_nothing() {
    let (mut world, mut alice, relayed) = caller();

    for value in [&[0x40, 1][..], &[0x40, 1, 0], &[0x40, 1, 0, 0, 0], &[]] {
        let answer = bind_raw(&mut world, &mut alice, value, PEER4);
        assert_eq!(answer.code, 400, "{value:?}");
    }
    let answer = bind_raw(&mut world, &mut alice, &[0x40, 1, 0xFF, 0xFF], PEER4);

    assert_eq!(answer.code, 0);
    assert_bound(&mut world, &alice, relayed, 0x4001, PEER4);
}

// CB-02
#[test]
fn a_malformed_peer_is_a_bad_request() {
    let (mut world, mut alice, _) = caller();

    let answer = alice.ask(&mut world, Method::CHANNEL_BIND, |writer| {
        let number = ChannelNumberAttribute(ChannelNumber::MIN);
        writer.put(&number).unwrap();
        let peer = RawAttribute {
            kind: AttributeType::XOR_PEER_ADDRESS,
            value: &[0, 1, 1, 1, 1, 1, 1],
        };
        writer.put(&peer).unwrap();
    });

    assert_eq!(answer.code, 400);
}

// CB-03
#[test]
fn a_number_has_one_peer_and_a_peer_one_number() {
    let (mut world, mut alice, relayed) = caller();
    let mut bind = |number, peer| alice.bind(&mut world, number, addr(peer)).code;

    assert_eq!(bind(0x4000, PEER4), 0);
    assert_eq!(bind(0x4000, PEER4), 0, "the same again refreshes");
    assert_eq!(bind(0x4000, OTHER4), 400, "a number that is taken");
    assert_eq!(bind(0x4000, PEER4_NEXT), 400, "a port is another peer");
    assert_eq!(bind(0x4001, PEER4), 400, "a peer that has a number");
    assert_eq!(bind(0x4001, PEER4_NEXT), 0, "another port of the address");

    assert_bound(&mut world, &alice, relayed, 0x4000, PEER4);
    assert_bound(&mut world, &alice, relayed, 0x4001, PEER4_NEXT);
}

// CB-04
#[test]
fn a_peer_of_the_wrong_family_or_a_denied_one_is_refused() {
    let (mut world, mut alice, _) = caller();
    let mut bob = world.client("bob");
    for_an_hour(&mut world, &mut bob, on_ipv6);

    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER6)).code, 443);
    assert_eq!(bob.bind(&mut world, 0x4000, addr(PEER4)).code, 443);
    assert_eq!(alice.bind(&mut world, 0x4000, addr("10.0.0.1:5")).code, 403);
    assert_eq!(alice.bind(&mut world, 0x4000, addr("24.9.0.1:0")).code, 400);
    let refused: std::net::IpAddr = "10.0.0.1".parse().unwrap();
    assert_eq!(world.hosts[0].refused, [refused]);
}

// CB-04
#[test]
fn only_the_allocations_own_user_may_bind() {
    let (mut world, alice, _) = caller();
    let before = state(&world, &alice);
    let mut mallory = world.client_at(alice.at.client.reveal(), "mallory");
    let mut homeless = world.client("alice");
    mallory.learn_nonce(&mut world);
    homeless.learn_nonce(&mut world);

    assert_eq!(mallory.bind(&mut world, 0x4000, addr(PEER4)).code, 441);
    assert_eq!(homeless.bind(&mut world, 0x4000, addr(PEER4)).code, 437);
    assert_eq!(state(&world, &alice), before);
}

// CB-04
#[test]
fn no_more_channels_are_bound_than_the_limit_until_some_run_out() {
    let peer = |port: u16| addr(&format!("24.9.0.1:{port}"));
    let (mut world, mut alice, _) = caller();
    for n in 0..6 {
        assert_eq!(alice.bind(&mut world, 0x4000 + n, peer(1 + n)).code, 0);
    }
    let full = state(&world, &alice);

    assert_eq!(alice.bind(&mut world, 0x4006, peer(7)).code, 508);
    assert_eq!(state(&world, &alice), full);
    assert_eq!(alice.bind(&mut world, 0x4005, peer(6)).code, 0, "a refresh");
    world.pass(Duration::from_millis(599_999));
    alice.learn_nonce(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4006, peer(7)).code, 508);
    world.pass(Duration::from_millis(1));
    assert_eq!(alice.bind(&mut world, 0x4006, peer(7)).code, 0);
}

// CB-04
#[test]
fn a_channel_whose_permission_has_no_room_is_refused() {
    let (mut world, mut alice, _) = caller();
    let eight: Vec<SocketAddr> = (1..=8).map(|n| addr(&format!("24.9.1.{n}:1"))).collect();
    assert_eq!(alice.permit(&mut world, &eight).code, 0);
    let full = state(&world, &alice);

    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 508);
    assert_eq!(state(&world, &alice), full);
    assert_eq!(alice.bind(&mut world, 0x4000, eight[3]).code, 0);
}

// CB-05
#[test]
fn binding_again_extends_the_channel_and_the_permission() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    world.pass_secs(250);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);

    world.pass_secs(299);
    assert_bound(&mut world, &alice, relayed, 0x4000, PEER4);
    world.pass_secs(2);
    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), NO_PERMISSION);
    alice.learn_nonce(&mut world);
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    assert_bound(&mut world, &alice, relayed, 0x4000, PEER4);
    world.pass_secs(250 + 599 - 551);
    assert_bound(&mut world, &alice, relayed, 0x4000, PEER4);
    world.pass_secs(1);
    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), NO_CHANNEL);
}

// CB-05
#[test]
fn a_channel_brings_its_permission_for_every_port_of_the_peer() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);

    let sent = alice.send(&mut world, addr(PEER4_NEXT), b"x");
    let came = peer_sends(&mut world, PEER4_NEXT, relayed, b"y");

    assert_eq!(sent, to_peer(relayed, PEER4_NEXT, b"x"));
    let expected = Heard::Indicated(addr(PEER4_NEXT), b"y".to_vec());
    assert_eq!(heard_by(&alice, came), expected);
}

// CB-06
#[test]
fn a_channel_without_a_live_permission_carries_nothing_either_way() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);

    world.pass_secs(299);
    assert_bound(&mut world, &alice, relayed, 0x4000, PEER4);
    world.pass_secs(2);

    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), NO_PERMISSION);
    let came = peer_sends(&mut world, PEER4, relayed, b"x");
    assert_eq!(came, NO_PERMISSION);
}

// CB-06
#[test]
fn a_channel_holds_for_600_seconds_to_the_millisecond_and_then_indications_take_over() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    world.pass_secs(400);
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);

    world.pass(Duration::from_millis(199_999));
    assert_bound(&mut world, &alice, relayed, 0x4000, PEER4);
    for late in [1, 1000] {
        world.pass(Duration::from_millis(late));

        assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), NO_CHANNEL);
        let came = peer_sends(&mut world, PEER4, relayed, b"y");
        let expected = Heard::Indicated(addr(PEER4), b"y".to_vec());
        assert_eq!(heard_by(&alice, came), expected);
    }
}

// CD-05
#[test]
fn data_in_either_direction_extends_neither_channel_nor_permission() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    let bound = state(&world, &alice);

    for _ in 0..29 {
        world.pass_secs(10);
        assert_bound(&mut world, &alice, relayed, 0x4000, PEER4);
    }

    assert_eq!(state(&world, &alice), bound);
    world.pass_secs(11);
    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), NO_PERMISSION);
}

// CB-07
#[test]
fn a_refused_bind_leaves_bindings_and_times_as_they_were() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER4_NEXT)).code, 0);
    world.pass_secs(100);
    let before: State = state(&world, &alice);

    for (number, peer, code) in [
        (0x4000, OTHER4, 400),
        (0x4000, PEER4_NEXT, 400),
        (0x4002, PEER4, 400),
        (0x4001, PEER4, 400),
        (0x4000, PEER6, 400),
        (0x4002, PEER6, 443),
        (0x4002, "10.0.0.1:7000", 403),
        (0x4002, "24.9.0.1:0", 400),
    ] {
        let answer = alice.bind(&mut world, number, addr(peer));
        assert_eq!(answer.code, code, "{number:x} for {peer}");
        assert_eq!(state(&world, &alice), before, "{number:x} for {peer}");
    }
    assert_bound(&mut world, &alice, relayed, 0x4000, PEER4);
}

// CB-07
#[test]
fn a_number_means_another_peer_in_another_allocation() {
    let (mut world, mut alice, at_alice) = caller();
    let mut bob = world.client("alice");
    let at_bob = bob.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    assert_eq!(bob.send_on(&mut world, 0x4000, b"x"), NO_CHANNEL);

    assert_eq!(bob.bind(&mut world, 0x4000, addr(OTHER4)).code, 0);

    assert_bound(&mut world, &alice, at_alice, 0x4000, PEER4);
    assert_bound(&mut world, &bob, at_bob, 0x4000, OTHER4);
}

// CB-08
#[test]
fn a_number_and_a_peer_are_free_again_when_their_channel_ran_out() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    world.pass(Duration::from_millis(599_999));
    alice.learn_nonce(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(OTHER4)).code, 400);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER4)).code, 400);

    world.pass(Duration::from_millis(1));

    assert_eq!(alice.bind(&mut world, 0x4000, addr(OTHER4)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER4)).code, 0);
    assert_bound(&mut world, &alice, relayed, 0x4000, OTHER4);
    assert_bound(&mut world, &alice, relayed, 0x4001, PEER4);
}

// CB-09
#[test]
fn a_request_that_is_sent_twice_is_answered_twice_alike() {
    let (mut world, mut alice, _) = caller();
    let request = alice.request(Method::CHANNEL_BIND, |writer| {
        let number = ChannelNumberAttribute(ChannelNumber::MIN);
        writer.put(&number).unwrap();
        writer.put(&XorPeerAddress(addr(PEER4))).unwrap();
    });

    let first = world.send(&alice.at, &request).reply();
    let once = state(&world, &alice);
    let second = world.send(&alice.at, &request).reply();

    assert_eq!(first, second);
    assert_eq!(state(&world, &alice), once);
}

// CB-10
#[test]
fn a_dual_allocation_has_one_range_of_numbers() {
    let (mut world, mut alice, [v4, v6]) = dual_caller();

    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER6)).code, 400);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER6)).code, 0);

    assert_bound(&mut world, &alice, v4, 0x4000, PEER4);
    assert_bound(&mut world, &alice, v6, 0x4001, PEER6);
}

// RF-06
#[test]
fn channels_of_a_family_go_with_its_relayed_address_and_their_numbers_are_free() {
    let (mut world, mut alice, [v4, _]) = dual_caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER6)).code, 0);

    let deleted = alice.ask(&mut world, Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
        on_ipv6(writer);
    });

    assert_eq!(deleted.code, 0);
    assert_eq!(alice.send_on(&mut world, 0x4001, b"x"), NO_CHANNEL);
    assert_bound(&mut world, &alice, v4, 0x4000, PEER4);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER4_NEXT)).code, 0);
    assert_bound(&mut world, &alice, v4, 0x4001, PEER4_NEXT);
}

//
#[test]
fn channels_do_not_outlive_their_allocation() {
    let (mut world, mut alice, _) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    assert_eq!(alice.refresh(&mut world, 0).code, 0);
    let gone = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(gone, Outcome::Dropped(DropReason::NoAllocation));

    for_an_hour(&mut world, &mut alice, |_| ());

    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), NO_CHANNEL);
}
