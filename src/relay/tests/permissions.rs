//! CreatePermission (RFC 8656 sections 9 and 10): who may exchange data with a client, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::Client;
use super::traffic::{
    Heard, OTHER4, PEER4, PEER4_NEXT, PEER6, caller, dual_caller, for_an_hour, heard_by, on_ipv6,
    peer_sends, state, to_peer,
};
use super::world::{Outcome, World, addr};
use crate::relay::DropReason;
use crate::wire::{AttributeType, Lifetime, Method, RawAttribute, XorPeerAddress};

const NO_PERMISSION: Outcome = Outcome::Dropped(DropReason::NoPermission);

/// Whether data passes between a client and a peer; in both directions or in none.
#[track_caller]
fn passes(world: &mut World, client: &Client, relayed: SocketAddr, peer: &str) -> bool {
    let sent = client.send(world, addr(peer), b"ping");
    let came = peer_sends(world, peer, relayed, b"pong");
    if sent == NO_PERMISSION {
        assert_eq!(came, NO_PERMISSION, "one way alone");
        return false;
    }
    assert_eq!(sent, to_peer(relayed, peer, b"ping"));
    let expected = Heard::Indicated(addr(peer), b"pong".to_vec());
    assert_eq!(heard_by(client, came), expected);
    true
}

// CP-01
#[test]
fn a_peer_that_is_named_is_permitted() {
    let (mut world, mut alice, relayed) = caller();
    assert!(!passes(&mut world, &alice, relayed, PEER4));

    let answer = alice.permit(&mut world, &[addr(PEER4)]);

    assert_eq!(answer.code, 0);
    assert!(answer.message().verify(&alice.key), "with integrity");
    assert_eq!(answer.message().attributes().count(), 0, "and nothing else");
    assert!(passes(&mut world, &alice, relayed, PEER4));
}

// CP-02
#[test]
fn every_peer_of_a_request_is_permitted_in_any_order_and_with_any_port() {
    let peers = [
        "24.9.0.7:0",
        "24.9.0.3:65535",
        "24.9.0.5:1",
        "24.9.0.3:0",
        "24.9.0.1:80",
    ];
    let (mut world, mut alice, relayed) = caller();

    assert_eq!(alice.permit(&mut world, &peers.map(addr)).code, 0);

    for host in [7, 3, 5, 1] {
        let peer = format!("24.9.0.{host}:4000");
        assert!(passes(&mut world, &alice, relayed, &peer), "{peer}");
    }
    assert!(!passes(&mut world, &alice, relayed, OTHER4));
}

// CP-03
#[test]
fn a_request_without_a_peer_is_a_bad_one() {
    let (mut world, mut alice, _) = caller();

    let answer = alice.permit(&mut world, &[]);

    assert_eq!(answer.code, 400);
    assert!(answer.message().verify(&alice.key), "with integrity");
}

// CP-03
#[test]
fn a_malformed_peer_anywhere_makes_the_whole_request_bad() {
    let good = addr(PEER4);
    for value in [
        &[][..],
        &[0, 1, 0, 0],
        &[0, 1, 1, 1, 1, 1, 1],
        &[0, 3, 1, 1, 1, 1, 1, 1],
        &[0, 2, 1, 1, 1, 1, 1, 1],
        &[0, 1, 1, 1, 1, 1, 1, 1, 1],
        &[1; 20],
    ] {
        for first in [true, false] {
            let (mut world, mut alice, _) = caller();
            let before = state(&world, &alice);

            let answer = alice.ask(&mut world, Method::CREATE_PERMISSION, |writer| {
                let bad = RawAttribute {
                    kind: AttributeType::XOR_PEER_ADDRESS,
                    value,
                };
                if first {
                    writer.put(&bad).unwrap();
                }
                writer.put(&XorPeerAddress(good)).unwrap();
                if !first {
                    writer.put(&bad).unwrap();
                }
            });

            assert_eq!(answer.code, 400, "{value:?}");
            assert_eq!(state(&world, &alice), before, "nothing is installed");
        }
    }
}

// CP-04
#[test]
fn a_peer_of_a_family_without_a_relayed_address_is_refused() {
    let (mut world, mut alice, _) = caller();
    let mut bob = world.client("bob");
    for_an_hour(&mut world, &mut bob, on_ipv6);
    let nothing = state(&world, &alice);

    assert_eq!(alice.permit(&mut world, &[addr(PEER6)]).code, 443);
    let mixed = [addr(PEER4), addr(PEER6)];
    assert_eq!(alice.permit(&mut world, &mixed).code, 443);
    assert_eq!(bob.permit(&mut world, &[addr(PEER4)]).code, 443);
    assert_eq!(state(&world, &alice), nothing, "CP-05: nothing of the mix");
}

// CP-04
#[test]
fn a_dual_allocation_takes_peers_of_both_families_in_one_request() {
    let (mut world, mut alice, [v4, v6]) = dual_caller();

    let both = [addr(PEER4), addr(PEER6)];
    assert_eq!(alice.permit(&mut world, &both).code, 0);

    assert!(passes(&mut world, &alice, v4, PEER4));
    assert!(passes(&mut world, &alice, v6, PEER6));
}

// CP-05
#[test]
fn a_denied_peer_anywhere_leaves_all_as_it_was() {
    let (mut world, mut alice, _) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    world.pass_secs(10);
    let before = state(&world, &alice);
    let allowed = ["24.9.0.5:1", PEER4, "24.9.0.6:1"].map(addr);

    for position in 0..=allowed.len() {
        let mut peers = allowed.to_vec();
        peers.insert(position, addr("10.0.0.1:1"));

        assert_eq!(alice.permit(&mut world, &peers).code, 403);

        assert_eq!(state(&world, &alice), before, "denied at {position}");
    }
    assert_eq!(
        world.hosts[0].refused,
        ["10.0.0.1".parse::<std::net::IpAddr>().unwrap(); 4]
    );
}

// CP-06
#[test]
fn a_permission_is_for_an_address_and_every_port_of_it() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);

    for port in [1, 7000, 7001, 65_535] {
        let peer = format!("24.9.0.1:{port}");
        assert!(passes(&mut world, &alice, relayed, &peer), "{peer}");
    }
    assert!(!passes(&mut world, &alice, relayed, OTHER4));
    assert!(!passes(&mut world, &alice, relayed, "24.9.0.0:7000"));
}

// CP-07
#[test]
fn a_permission_holds_for_300_seconds_to_the_millisecond() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);

    world.pass_secs(299);
    assert!(passes(&mut world, &alice, relayed, PEER4));
    world.pass(Duration::from_millis(999));
    assert!(passes(&mut world, &alice, relayed, PEER4));
    world.pass(Duration::from_millis(1));
    assert!(!passes(&mut world, &alice, relayed, PEER4));
    world.pass_secs(1);
    assert!(!passes(&mut world, &alice, relayed, PEER4));
}

// CP-07
#[test]
fn a_permission_that_is_created_again_at_200_holds_until_500() {
    let (mut world, mut alice, relayed) = caller();
    let both = [addr(PEER4), addr(OTHER4)];
    assert_eq!(alice.permit(&mut world, &both).code, 0);
    world.pass_secs(200);
    assert_eq!(alice.permit(&mut world, &[addr(PEER4_NEXT)]).code, 0);

    world.pass_secs(101);
    assert!(passes(&mut world, &alice, relayed, PEER4), "at 301");
    assert!(!passes(&mut world, &alice, relayed, OTHER4), "not named");
    world.pass_secs(198);
    assert!(passes(&mut world, &alice, relayed, PEER4), "at 499");
    world.pass_secs(2);
    assert!(!passes(&mut world, &alice, relayed, PEER4), "at 501");
}

// CP-07, SD-05
#[test]
fn data_in_either_direction_extends_no_permission() {
    for (to_peer, to_client) in [(true, false), (false, true), (true, true)] {
        let (mut world, mut alice, relayed) = caller();
        assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);

        for _ in 0..30 {
            world.pass(Duration::from_millis(9_999));
            if to_peer {
                let sent = alice.send(&mut world, addr(PEER4), b"x");
                assert!(matches!(sent, Outcome::ToPeer { .. }));
            }
            if to_client {
                let came = peer_sends(&mut world, PEER4, relayed, b"x");
                assert!(matches!(came, Outcome::ToClient { .. }));
            }
        }
        world.pass(Duration::from_millis(30));

        assert!(!passes(&mut world, &alice, relayed, PEER4));
    }
}

// CP-07
#[test]
fn a_request_that_is_sent_twice_is_answered_twice_alike() {
    let (mut world, mut alice, _) = caller();
    let request = alice.request(Method::CREATE_PERMISSION, |writer| {
        writer.put(&XorPeerAddress(addr(PEER4))).unwrap();
    });

    let first = world.send(&alice.at, &request).reply();
    let once = state(&world, &alice);
    let second = world.send(&alice.at, &request).reply();

    assert_eq!(first, second);
    assert_eq!(state(&world, &alice), once);
}

// CP-08
#[test]
fn a_permission_is_good_for_one_allocation_of_a_user_alone() {
    let (mut world, mut alice, at_alice) = caller();
    let mut same_user = world.client("alice");
    let elsewhere = same_user.allocate(&mut world);

    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);

    assert!(passes(&mut world, &alice, at_alice, PEER4));
    assert!(!passes(&mut world, &same_user, elsewhere, PEER4));
}

// CP-09
#[test]
fn without_an_allocation_there_is_nothing_to_permit_for() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.learn_nonce(&mut world);

    let answer = alice.permit(&mut world, &[addr(PEER4)]);

    assert_eq!(answer.code, 437);
    assert!(answer.message().verify(&alice.key), "with integrity");
}

// CP-09
#[test]
fn another_users_credential_is_refused_and_changes_nothing() {
    let (mut world, alice, _) = caller();
    let before = state(&world, &alice);
    let mut mallory = world.client_at(alice.at.client.reveal(), "mallory");
    mallory.learn_nonce(&mut world);

    let answer = mallory.permit(&mut world, &[addr(PEER4)]);

    assert_eq!(answer.code, 441);
    assert_eq!(state(&world, &alice), before);
}

// CP-10
#[test]
fn no_more_addresses_are_permitted_than_the_limit() {
    let peers: Vec<SocketAddr> = (1..=9).map(|n| addr(&format!("24.9.0.{n}:1"))).collect();
    let (eight, ninth) = peers.split_at(8);
    let (mut world, mut alice, relayed) = caller();

    assert_eq!(alice.permit(&mut world, &peers).code, 508);
    assert!(!passes(&mut world, &alice, relayed, "24.9.0.1:1"), "none");
    assert_eq!(alice.permit(&mut world, eight).code, 0);
    world.pass_secs(100);
    let full = state(&world, &alice);

    assert_eq!(alice.permit(&mut world, ninth).code, 508);
    let mixed = [eight[0], ninth[0]];
    assert_eq!(alice.permit(&mut world, &mixed).code, 508);
    assert_eq!(state(&world, &alice), full, "the refused change nothing");
    assert_eq!(alice.permit(&mut world, eight).code, 0, "nothing new");
}

// CP-10
#[test]
fn the_limit_counts_addresses_and_not_ports() {
    let ports: Vec<SocketAddr> = (1..=20).map(|p| addr(&format!("24.9.0.1:{p}"))).collect();
    let (mut world, mut alice, _) = caller();

    assert_eq!(alice.permit(&mut world, &ports).code, 0);

    let others: Vec<SocketAddr> = (2..=8).map(|n| addr(&format!("24.9.0.{n}:1"))).collect();
    assert_eq!(alice.permit(&mut world, &others).code, 0);
    assert_eq!(alice.permit(&mut world, &[addr("24.9.0.9:1")]).code, 508);
}

// CP-10
#[test]
fn permissions_that_ran_out_make_room() {
    let eight: Vec<SocketAddr> = (1..=8).map(|n| addr(&format!("24.9.0.{n}:1"))).collect();
    let ninth = addr("24.9.0.9:1");
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &eight).code, 0);
    world.pass(Duration::from_millis(299_999));
    assert_eq!(alice.permit(&mut world, &[ninth]).code, 508);

    world.pass(Duration::from_millis(1));

    assert_eq!(alice.permit(&mut world, &[ninth]).code, 0);
    assert!(passes(&mut world, &alice, relayed, "24.9.0.9:1"));
    assert!(!passes(&mut world, &alice, relayed, "24.9.0.1:1"));
}

#[test]
fn refreshing_the_allocation_extends_no_permission() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    world.pass_secs(200);
    assert_eq!(alice.refresh(&mut world, 3600).code, 0);

    world.pass_secs(100);

    assert!(!passes(&mut world, &alice, relayed, PEER4));
}

//
#[test]
fn permissions_do_not_outlive_their_allocation() {
    let (mut world, mut alice, _) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    assert_eq!(alice.refresh(&mut world, 0).code, 0);

    let relayed = for_an_hour(&mut world, &mut alice, |_| ());

    assert!(!passes(&mut world, &alice, relayed, PEER4));
}

// RF-06
#[test]
fn permissions_of_a_family_go_with_its_relayed_address() {
    let (mut world, mut alice, [v4, v6]) = dual_caller();
    let both = [addr(PEER4), addr(PEER6)];
    assert_eq!(alice.permit(&mut world, &both).code, 0);

    let deleted = alice.ask(&mut world, Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
        on_ipv6(writer);
    });

    assert_eq!(deleted.code, 0);
    assert!(passes(&mut world, &alice, v4, PEER4));
    assert_eq!(alice.send(&mut world, addr(PEER6), b"x"), NO_PERMISSION);
    assert_eq!(
        world.arrive(v6, addr(PEER6), b"x"),
        None,
        "its socket is closed"
    );
    assert_eq!(alice.permit(&mut world, &both).code, 443);
}
