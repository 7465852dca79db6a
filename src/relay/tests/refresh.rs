//! Refresh: longer, shorter, gone (group RF).

use std::net::SocketAddr;

use super::client::{Answer, Client, message, raw};
use super::world::{Outcome, World, addr, local};
use crate::relay::{DropReason, EndReason};
use crate::wire::{Class, Family, Lifetime, Method};

const PEER: &str = "8.8.8.8:5000";
const PEER_V6: &str = "[2600:9::9]:5000";

/// RF-01.
#[test]
fn lifetime_is_the_default_or_what_is_asked_within_bounds() {
    for (asked, granted) in [
        (None, 600),
        (Some(1), 600),
        (Some(599), 600),
        (Some(601), 601),
        (Some(3600), 3600),
        (Some(3601), 3600),
        (Some(u32::MAX), 3600),
    ] {
        let (mut world, mut alice) = allocated();
        world.pass_secs(100);
        let answer = alice.ask(&mut world, Method::REFRESH, |writer| {
            if let Some(seconds) = asked {
                writer.put(&Lifetime(seconds)).unwrap();
            }
        });

        assert_eq!((answer.code, answer.lifetime()), (0, granted));
        assert_eq!(answer.attributes().len(), 2, "LIFETIME and integrity");
        world.pass_secs(u64::from(granted) - 1);
        assert_eq!(world.relays[0].allocations(), 1, "{asked:?}");
        world.pass_secs(1);
        assert_eq!(world.relays[0].allocations(), 0, "{asked:?}");
    }
}

/// RF-01: a shorter lifetime shortens.
#[test]
fn refresh_can_bring_the_end_forward() {
    let (mut world, mut alice) = allocated();
    assert_eq!(alice.refresh(&mut world, 3600).lifetime(), 3600);
    assert_eq!(alice.refresh(&mut world, 600).lifetime(), 600);

    world.pass_secs(600);

    assert_eq!(world.relays[0].allocations(), 0);
    assert_eq!(world.hosts[0].ended, [EndReason::Expired]);
}

/// RF-02.
#[test]
fn lifetime_of_zero_deletes_everything() {
    let (mut world, mut alice) = allocated();
    alice.bind(&mut world, 0x4000, addr(PEER));

    let answer = alice.refresh(&mut world, 0);

    assert_eq!((answer.code, answer.lifetime()), (0, 0));
    assert_eq!((world.sockets(), world.ports(Family::V4)), (0, 0));
    assert_eq!(world.shared.quotas.total(), 0);
    assert_eq!(world.hosts[0].ended, [EndReason::Deleted]);
    let sent = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoAllocation));
    let again = alice.repeat(Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
    });
    let reply = world.send(&alice.at, &again).reply();
    assert_eq!(Answer::of(reply, &again, Some(&alice.key)).code, 437);

    // What comes next on the 5-tuple starts from nothing.
    alice.allocate(&mut world);
    let sent = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoChannel));
    let sent = alice.send(&mut world, addr(PEER), b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoPermission));
}

/// RF-03.
#[test]
fn without_an_allocation_there_is_nothing_to_refresh() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.learn_nonce(&mut world);
    for lifetime in [0, 600] {
        let code = alice.refused(&mut world, Method::REFRESH, |writer| {
            writer.put(&Lifetime(lifetime)).unwrap();
        });
        assert_eq!(code, 437);
    }
}

/// RF-04.
#[test]
fn another_user_can_neither_extend_nor_delete() {
    let (mut world, alice) = allocated();
    let mut mallory = Client::new(alice.at, &world.credential("mallory", 3600));
    mallory.learn_nonce(&mut world);
    for lifetime in [0, 3600] {
        let code = mallory.refused(&mut world, Method::REFRESH, |writer| {
            writer.put(&Lifetime(lifetime)).unwrap();
        });
        assert_eq!(code, 441);
    }
}

/// RF-05.
#[test]
fn family_has_to_be_one_of_the_allocation() {
    let (mut world, mut alice) = allocated();
    let mut with = |family: u8, lifetime| {
        let answer = alice.ask(&mut world, Method::REFRESH, |writer| {
            writer.put(&raw(0x0017, &[family, 0, 0, 0])).unwrap();
            writer.put(&Lifetime(lifetime)).unwrap();
        });
        (answer.code, world.relays[0].allocations())
    };

    assert_eq!(with(2, 600), (443, 1));
    assert_eq!(with(2, 0), (443, 1));
    assert_eq!(with(1, 600), (0, 1));
    assert_eq!(with(0, 0), (400, 1));
    assert_eq!(with(3, 0), (400, 1));
    assert_eq!(with(1, 0), (0, 0), "its only family is all of it");
}

/// RF-06.
#[test]
fn one_family_of_two_can_be_deleted() {
    let (mut world, mut alice, [v4, v6]) = dual();
    alice.bind(&mut world, 0x4000, addr(PEER));
    alice.bind(&mut world, 0x4001, addr(PEER_V6));

    let deleted = refresh_family(&mut alice, &mut world, 2, 0);

    assert_eq!((deleted.code, deleted.lifetime()), (0, 0));
    assert_eq!((world.sockets(), world.ports(Family::V6)), (1, 0));
    assert_eq!(world.shared.quotas.total(), 1, "the allocation lives");
    assert!(world.arrive(v6, addr(PEER_V6), b"x").is_none());
    let gone = alice.send_on(&mut world, 0x4001, b"x");
    assert_eq!(gone, Outcome::Dropped(DropReason::NoChannel));
    assert_eq!(alice.permit(&mut world, &[addr(PEER_V6)]).code, 443);
    assert_eq!(refresh_family(&mut alice, &mut world, 2, 600).code, 443);
    assert!(matches!(
        alice.send_on(&mut world, 0x4000, b"x"),
        Outcome::ToPeer { .. }
    ));
    let heard = world.arrive(local(v4), addr(PEER), b"x");
    assert!(matches!(heard, Some(Outcome::ToClient { .. })));

    assert_eq!(refresh_family(&mut alice, &mut world, 1, 0).code, 0);
    assert_eq!(world.relays[0].allocations(), 0);
    assert_eq!((world.shared.quotas.total(), world.sockets()), (0, 0));
    assert_eq!(world.hosts[0].ended, [EndReason::Deleted], "once");
}

/// RF-06.
#[test]
fn without_a_family_both_are_refreshed_or_deleted() {
    let (mut world, mut alice, _) = dual();
    world.pass_secs(300);
    assert_eq!(alice.refresh(&mut world, 600).code, 0);
    world.pass_secs(599);
    assert_eq!(world.sockets(), 2);

    // Its nonce is stale by now.
    alice.learn_nonce(&mut world);
    assert_eq!(alice.refresh(&mut world, 0).code, 0);

    assert_eq!((world.sockets(), world.relays[0].allocations()), (0, 0));
}

/// RF-06: the family that nobody refreshes expires alone, and takes what belongs to it.
#[test]
fn families_of_one_allocation_expire_apart() {
    let (mut world, mut alice, [_, v6]) = dual();
    alice.bind(&mut world, 0x4001, addr(PEER_V6));
    world.pass_secs(400);
    assert_eq!(
        refresh_family(&mut alice, &mut world, 1, 600).lifetime(),
        600
    );
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER_V6)).code, 0);

    world.pass_secs(199);
    assert_eq!(world.sockets(), 2);
    world.pass_secs(1);

    assert_eq!((world.sockets(), world.ports(Family::V6)), (1, 0));
    assert!(world.arrive(v6, addr(PEER_V6), b"x").is_none());
    let gone = alice.send_on(&mut world, 0x4001, b"x");
    assert_eq!(gone, Outcome::Dropped(DropReason::NoChannel));
    world.pass_secs(400);
    assert_eq!((world.sockets(), world.relays[0].allocations()), (0, 0));
    assert_eq!(world.hosts[0].ended, [EndReason::Expired]);
}

/// RF-07.
#[test]
fn refresh_extends_neither_permissions_nor_channels() {
    let (mut world, mut alice) = allocated();
    alice.bind(&mut world, 0x4000, addr(PEER));
    world.pass_secs(299);
    assert_eq!(alice.refresh(&mut world, 3600).code, 0);
    assert!(matches!(
        alice.send(&mut world, addr(PEER), b"x"),
        Outcome::ToPeer { .. }
    ));

    world.pass_secs(1);
    let sent = alice.send(&mut world, addr(PEER), b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoPermission));

    world.pass_secs(299);
    assert_eq!(alice.refresh(&mut world, 3600).code, 0);
    assert_eq!(alice.permit(&mut world, &[addr(PEER)]).code, 0);
    assert!(matches!(
        alice.send_on(&mut world, 0x4000, b"x"),
        Outcome::ToPeer { .. }
    ));
    world.pass_secs(1);
    let sent = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoChannel));
}

/// RF-08.
#[test]
fn retransmitted_refresh_is_answered_alike() {
    let (mut world, mut alice) = allocated();
    let request = alice.request(Method::REFRESH, |writer| {
        writer.put(&Lifetime(1000)).unwrap();
    });

    let first = world.send(&alice.at, &request);
    let before = world.snapshot();

    assert_eq!(world.send(&alice.at, &request), first);
    assert_eq!(world.snapshot(), before);
}

/// RF-09.
#[test]
fn stranger_on_the_clients_address_is_challenged() {
    let (mut world, alice) = allocated();
    let before = world.snapshot();
    let request = message(Class::Request, Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
    });

    let answer = Answer::of(world.send(&alice.at, &request).reply(), &request, None);

    assert_eq!(answer.code, 401);
    assert_eq!(world.snapshot(), before);
}

fn allocated() -> (World, Client) {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    (world, alice)
}

/// A client with a relayed address of each family.
fn dual() -> (World, Client, [SocketAddr; 2]) {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let answer = alice.try_allocate(&mut world, |writer| {
        writer.put(&raw(0x8000, &[2, 0, 0, 0])).unwrap();
    });
    let relayed = answer.all_relayed().try_into().unwrap();
    (world, alice, relayed)
}

fn refresh_family(client: &mut Client, world: &mut World, family: u8, lifetime: u32) -> Answer {
    client.ask(world, Method::REFRESH, |writer| {
        writer.put(&raw(0x0017, &[family, 0, 0, 0])).unwrap();
        writer.put(&Lifetime(lifetime)).unwrap();
    })
}
