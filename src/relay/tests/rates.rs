//! Byte rates: the excess is dropped, each direction and each allocation by itself, and control goes on.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use super::client::Client;
use super::traffic::{OTHER4, PEER4, peer_sends};
use super::world::{Outcome, World, addr, options};
use crate::auth::{BitRate, Claims, PeerScope};
use crate::relay::rate::RateLimiter;
use crate::relay::{ByteRate, DropReason};

const OVER_RATE: Outcome = Outcome::Dropped(DropReason::OverRate);

/// Bytes of the datagrams here.
const SIZE: usize = 1000;

/// A world whose allocations may use `rate` bytes per second.
fn world(rate: Option<u64>) -> World {
    let mut limited = options();
    limited.limits.rate = rate.map(|rate| ByteRate(NonZeroU64::new(rate).unwrap()));
    World::with(limited)
}

/// A client with a channel to [`PEER4`], and its relayed address.
fn caller(world: &mut World, id: &str) -> (Client, SocketAddr) {
    let mut client = world.client(id);
    let relayed = client.allocate(world);
    assert_eq!(client.bind(world, 0x4000, addr(PEER4)).code, 0);
    (client, relayed)
}

/// An ID that claims `rate` bits per second.
fn claiming(rate: u64) -> String {
    let claims = Claims {
        rate: NonZeroU64::new(rate).map(BitRate::from_bits),
        ..Claims::default()
    };
    claims.to_id().unwrap()
}

/// How many of a hundred datagrams at one moment are relayed to the peer, on a channel and in indications in turn.
#[track_caller]
fn offer_to_peer(world: &mut World, client: &Client) -> usize {
    let relayed = (0..100).filter(|n| {
        let sent = if n % 2 == 0 {
            client.send_on(world, 0x4000, &[7; SIZE])
        } else {
            client.send(world, addr(PEER4), &[7; SIZE])
        };
        assert!(
            matches!(sent, OVER_RATE | Outcome::ToPeer { .. }),
            "{sent:?}"
        );
        sent != OVER_RATE
    });
    relayed.count()
}

/// How many of a hundred datagrams at one moment are relayed to the client.
#[track_caller]
fn offer_to_client(world: &mut World, relayed: SocketAddr) -> usize {
    let relayed = (0..100).filter(|n| {
        let peer = if n % 2 == 0 { PEER4 } else { "24.9.0.1:9" };
        let came = peer_sends(world, peer, relayed, &[7; SIZE]);
        assert!(
            matches!(came, OVER_RATE | Outcome::ToClient { .. }),
            "{came:?}"
        );
        came != OVER_RATE
    });
    relayed.count()
}

//
#[test]
fn the_excess_is_dropped_in_each_direction_by_itself() {
    // One second's worth may come at once, where that is more than the least burst.
    let mut world = world(Some(80_000));
    let (alice, relayed) = caller(&mut world, "alice");

    assert_eq!(offer_to_peer(&mut world, &alice), 80);
    assert_eq!(offer_to_client(&mut world, relayed), 80);
    assert_eq!(offer_to_peer(&mut world, &alice), 0);
    assert_eq!(offer_to_client(&mut world, relayed), 0);
    world.pass(Duration::from_millis(500));
    assert_eq!(offer_to_peer(&mut world, &alice), 40);
    assert_eq!(offer_to_client(&mut world, relayed), 40);

    let dropped = world.counters(0).drops[DropReason::OverRate as usize].value();
    assert_eq!(dropped, 600 - 240);
    assert_eq!(world.counters(0).to_peers.packets.value(), 120);
    assert_eq!(world.counters(0).to_clients.packets.value(), 120);
}

//
#[test]
fn one_allocations_excess_costs_no_other_anything() {
    let mut world = world(Some(80_000));
    let (alice, _) = caller(&mut world, "alice");
    let (bob, _) = caller(&mut world, "bob");
    let (also_alice, _) = caller(&mut world, "alice");

    for client in [alice, bob, also_alice] {
        assert_eq!(offer_to_peer(&mut world, &client), 80);
    }
}

//
#[test]
fn requests_are_answered_while_data_is_dropped() {
    let mut world = world(Some(1));
    let (mut alice, relayed) = caller(&mut world, "alice");
    offer_to_peer(&mut world, &alice);
    offer_to_client(&mut world, relayed);
    assert_eq!(alice.send_on(&mut world, 0x4000, &[7; SIZE]), OVER_RATE);

    assert_eq!(alice.permit(&mut world, &[addr(OTHER4)]).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(OTHER4)).code, 0);
    assert_eq!(alice.refresh(&mut world, 600).code, 0);
    let told = world.icmp(super::world::local(relayed), addr(PEER4), (3, 3, 0));
    assert!(matches!(told, Outcome::ToClient { .. }));
    assert_eq!(alice.refresh(&mut world, 0).code, 0);
}

//
#[test]
fn a_stranger_cannot_use_up_a_clients_rate() {
    let mut world = world(Some(80_000));
    let (alice, relayed) = caller(&mut world, "alice");
    let mut mallory = world.client(&World::party("8", "m", PeerScope::Call));
    let at_mallory = mallory.allocate(&mut world);

    for _ in 0..200 {
        let came = peer_sends(&mut world, "24.6.6.6:6", relayed, &[7; SIZE]);
        assert_eq!(came, Outcome::Dropped(DropReason::NoPermission));
        let sent = alice.send(&mut world, addr(OTHER4), &[7; SIZE]);
        assert_eq!(sent, Outcome::Dropped(DropReason::NoPermission));
        let sent = mallory.send(&mut world, at_mallory, &[7; SIZE]);
        assert_eq!(sent, Outcome::Dropped(DropReason::NoPermission));
    }

    assert_eq!(offer_to_client(&mut world, relayed), 80);
    assert_eq!(offer_to_peer(&mut world, &alice), 80);
}

//
#[test]
fn a_claim_narrows_the_configured_rate_and_cannot_widen_it() {
    let least = usize::try_from(RateLimiter::MIN_BURST).unwrap() / SIZE;
    for (configured, claimed, expected) in [
        (Some(80_000), Some(90 * 8_000), 80),
        (Some(90_000), Some(80 * 8_000), 80),
        (None, Some(80 * 8_000), 80),
        (Some(80_000), None, 80),
        (Some(80_000), Some(8), least),
        (None, None, 100),
    ] {
        let mut world = world(configured);
        let id = claimed.map_or_else(|| "opaque".to_owned(), claiming);
        let (alice, relayed) = caller(&mut world, &id);

        let to_peer = offer_to_peer(&mut world, &alice);
        let to_client = offer_to_client(&mut world, relayed);

        assert_eq!(to_peer, expected, "{configured:?} and {claimed:?}");
        assert_eq!(to_client, expected, "{configured:?} and {claimed:?}");
    }
}

#[test]
fn data_that_is_refused_for_its_size_is_neither_charged_nor_counted() {
    let mut world = world(Some(80_000));
    let (alice, _) = caller(&mut world, "alice");

    for _ in 0..5 {
        let sent = alice.send_on(&mut world, 0x4000, &[7; 65_535]);
        assert_eq!(sent, Outcome::Dropped(DropReason::TooLarge));
    }

    assert_eq!(offer_to_peer(&mut world, &alice), 80);
}
