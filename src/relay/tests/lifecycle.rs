//! What an allocation takes and gives back: its 5-tuple, its quota, and its place in the tables (AL-03, AL-04, AL-06,
//! AL-19, AL-22, AL-24, X-40, X-50).

use std::time::Duration;

use super::client::{Answer, Client, message, put, udp, with};
use super::world::{Outcome, World, addr, five_tuple, local, options, small};
use crate::relay::{DropReason, EndReason, FiveTuple, Link, OnExpiry, Transport};
use crate::wire::{Class, Family, Method};

const PEER: &str = "8.8.8.8:5000";
const EVEN: (u16, &[u8]) = (0x0018, &[0]);
const EVEN_AND_NEXT: (u16, &[u8]) = (0x0018, &[0x80]);
const BOTH: (u16, &[u8]) = (0x8000, &[2, 0, 0, 0]);

/// AL-03, AL-19: with everything that an answer may hold.
#[test]
fn retransmission_gets_the_same_answer_and_costs_nothing() {
    for attribute in [EVEN_AND_NEXT, BOTH, (0x0017, &[2, 0, 0, 0])] {
        let mut world = World::new();
        let mut alice = world.ready("alice");
        let request = allocate_request(&mut alice, &[attribute]);
        let first = world.send(&alice.at, &request);
        let before = world.snapshot();

        for _ in 0..5 {
            world.pass_secs(8);
            assert_eq!(world.send(&alice.at, &request), first);
        }

        assert_eq!(world.snapshot(), before);
        let answer = Answer::of(first.reply(), &request, Some(&alice.key));
        assert_eq!((answer.code, world.relays[0].allocations()), (0, 1));
    }
}

/// AL-04, AL-19.
#[test]
fn second_allocation_on_a_5_tuple_is_refused() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    alice.allocate(&mut world);
    let mut mallory = Client::new(alice.at, &world.credential("mallory", 3600));
    mallory.learn_nonce(&mut world);
    mallory.last += 1_000;

    for client in [&mut alice, &mut mallory] {
        assert_eq!(client.refused(&mut world, Method::ALLOCATE, udp), 437);
    }
}

/// AL-06: the same transaction from somebody else is no retransmission, and does not spoil the real one.
#[test]
fn retransmission_is_recognised_by_its_user_too() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    let request = allocate_request(&mut alice, &[]);
    let first = world.send(&alice.at, &request);
    let mut mallory = Client::new(alice.at, &world.credential("mallory", 3600));
    mallory.learn_nonce(&mut world);
    mallory.last = alice.last;
    let same_id = mallory.repeat(Method::ALLOCATE, udp);

    let reply = world.send(&mallory.at, &same_id).reply();

    assert_eq!(Answer::of(reply, &same_id, Some(&mallory.key)).code, 437);
    assert_eq!(world.send(&alice.at, &request), first);
    assert_eq!(world.relays[0].allocations(), 1);
}

/// AL-24.
#[test]
fn late_duplicate_of_the_first_request_is_challenged_and_harms_nothing() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let first = message(Class::Request, Method::ALLOCATE, udp);
    let _ = world.send(&alice.at, &first).reply();
    alice.allocate(&mut world);
    let before = world.snapshot();

    let reply = world.send(&alice.at, &first).reply();

    assert_eq!(Answer::of(reply, &first, None).code, 401);
    assert_eq!(world.snapshot(), before);
}

/// OP-03, OP-04: behind one NAT and under one name, a port is all that tells two clients apart.
#[test]
fn clients_are_told_apart_by_their_ports() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    let relayed = alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, addr(PEER));
    let mut rebound = world.client_at(addr("24.0.0.2:9"), "alice");
    assert_eq!(
        rebound.at.client.reveal().ip(),
        alice.at.client.reveal().ip()
    );
    rebound.learn_nonce(&mut world);

    assert_eq!(rebound.refused(&mut world, Method::REFRESH, |_| ()), 437);
    let sent = rebound.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoAllocation));
    assert_ne!(rebound.allocate(&mut world), relayed);
    let sent = rebound.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoChannel));
    assert!(matches!(
        alice.send_on(&mut world, 0x4000, b"x"),
        Outcome::ToPeer { .. }
    ));
}

/// AL-19: what one identity may have; what is refused or repeated costs nothing.
#[test]
fn identity_has_so_many_allocations_and_no_more() {
    let mut options = options();
    options.limits.allocations_per_user = 2;
    let mut world = World::with(options);
    let mut clients: Vec<_> = (0..3).map(|_| world.ready("alice")).collect();
    for client in &mut clients[..2] {
        let request = allocate_request(client, &[]);
        for _ in 0..3 {
            assert!(matches!(
                world.send(&client.at, &request),
                Outcome::Reply(_)
            ));
            assert_eq!(client.refused(&mut world, Method::ALLOCATE, udp), 437);
        }
    }
    assert_eq!(clients[2].refused(&mut world, Method::ALLOCATE, udp), 486);
    world.client("bob").allocate(&mut world);

    clients[0].refresh(&mut world, 0);

    clients[2].allocate(&mut world);
    assert_eq!(clients[0].refused(&mut world, Method::ALLOCATE, udp), 486);
}

/// AL-19: a credential narrows the limit and never widens it.
#[test]
fn claim_narrows_the_quota() {
    let mut options = options();
    options.limits.allocations_per_user = 3;
    let mut world = World::with(options);
    for (claimed, granted) in [(1, 1), (2, 2), (3, 3), (100, 3)] {
        let id = World::bounded("7", claimed);
        for _ in 0..granted {
            world.client(&id).allocate(&mut world);
        }
        let mut late = world.ready(&id);
        assert_eq!(late.refused(&mut world, Method::ALLOCATE, udp), 486);
    }
}

/// the whole daemon's limit, over all workers; a user's own is named first.
#[test]
fn daemon_has_so_many_allocations_and_no_more() {
    let mut options = options();
    options.limits.allocations = 3;
    options.limits.allocations_per_user = 2;
    let mut world = World::of(options, 2, 7);
    let mut allocate_at = |worker: usize, id: &str| {
        let mut client = world.ready(id);
        let request = allocate_request(&mut client, &[]);
        let reply = world.send_to(worker, &client.at, &request).reply();
        Answer::of(reply, &request, Some(&client.key)).code
    };

    assert_eq!(allocate_at(0, "alice"), 0);
    assert_eq!(allocate_at(1, "alice"), 0);
    assert_eq!(allocate_at(0, "alice"), 486);
    assert_eq!(allocate_at(0, "bob"), 0);
    assert_eq!(allocate_at(1, "alice"), 486);
    assert_eq!(allocate_at(1, "bob"), 508);
    assert_eq!(world.shared.quotas.users(), 2);
}

/// AL-19, AL-22, X-40: on every way that an allocation ends, all that it took comes back, once.
#[test]
fn everything_comes_back_however_an_allocation_ends() {
    for reason in EndReason::ALL {
        for attribute in [BOTH, EVEN] {
            let mut options = options();
            options.limits.allocations_per_user = 1;
            options.lifetimes.session_max = Duration::from_secs(5_000);
            options.on_expiry = OnExpiry::Disconnect;
            let mut world = World::with(options);
            let valid = if reason == EndReason::SessionLimit {
                80_000
            } else {
                3_600
            };
            let mut alice = Client::new(
                five_tuple(addr("24.0.1.1:40000")),
                &world.credential("alice", valid),
            );
            let answer = alice.try_allocate(&mut world, put(&[attribute]));
            assert_eq!(answer.code, 0);
            let mut late = world.ready("alice");
            assert_eq!(late.refused(&mut world, Method::ALLOCATE, udp), 486);

            end(&mut world, &mut alice, reason);

            assert_eq!(world.hosts[0].ended, [reason]);
            assert_eq!((world.sockets(), world.relays[0].allocations()), (0, 0));
            assert_eq!((world.ports(Family::V4), world.ports(Family::V6)), (0, 0));
            let quotas = &world.shared.quotas;
            assert_eq!((quotas.total(), quotas.users()), (0, 0));
            let counters = world.counters(0);
            assert_eq!(counters.allocations.value(), 0);
            assert_eq!(counters.ended[reason as usize].value(), 1);
            for relayed in answer.all_relayed() {
                assert_eq!(world.shared.directory.owner(relayed), None);
            }
            world.client("alice").allocate(&mut world);
        }
    }
}

/// AL-22: of the client whose stream closed, and of nobody else.
#[test]
fn disconnect_ends_the_clients_allocation_alone() {
    let mut world = World::new();
    let (mut alice, mut bob) = (world.client("alice"), world.client("bob"));
    alice.allocate(&mut world);
    bob.allocate(&mut world);
    let udp_twin = FiveTuple {
        link: Link {
            id: 0,
            transport: Transport::Tcp,
        },
        ..bob.at
    };
    for gone in [udp_twin, alice.at, alice.at] {
        world.relays[0].on_disconnect(world.now, &gone, &mut world.hosts[0]);
    }

    assert_eq!(world.hosts[0].ended, [EndReason::Disconnected]);
    assert_eq!(alice.refresh(&mut world, 600).code, 437);
    assert_eq!(bob.refresh(&mut world, 600).code, 0);
}

/// the number that the shell keeps with a socket never leads to the next owner of the place.
#[test]
fn late_packet_for_an_ended_allocation_reaches_nobody() {
    let mut world = small(4);
    let mut tokens = Vec::new();
    for _ in 0..5 {
        let mut alice = world.client("alice");
        let relayed = local(alice.allocate(&mut world));
        alice.permit(&mut world, &[addr(PEER)]);
        let (worker, token) = world.socket(relayed).unwrap();
        let fresh = world.arrive_for(worker, token, addr(PEER), b"x");
        assert!(matches!(fresh, Outcome::ToClient { .. }));
        for old in &tokens {
            let late = world.arrive_for(worker, *old, addr(PEER), b"x");
            assert_eq!(late, Outcome::Dropped(DropReason::NoAllocation));
        }
        alice.refresh(&mut world, 0);
        let late = world.arrive_for(worker, token, addr(PEER), b"x");
        assert_eq!(late, Outcome::Dropped(DropReason::NoAllocation));
        tokens.push(token);
    }
}

/// timers of allocations that are gone go as well.
#[test]
fn ended_allocations_leave_no_timers_behind() {
    let mut options = options();
    options.limits.allocations = 1_000;
    options.limits.allocations_per_user = 1_000;
    options.ports = 50_000..=51_999;
    let mut world = World::with(options);
    let mut clients: Vec<_> = (0..300).map(|_| world.ready("alice")).collect();
    for client in &mut clients {
        client.allocate(&mut world);
    }
    for client in &mut clients {
        // Back and forth, so that one allocation has several timers.
        client.refresh(&mut world, 3600);
        client.refresh(&mut world, 600);
    }
    for client in &mut clients {
        assert_eq!(client.refresh(&mut world, 0).code, 0);
    }

    assert!(world.relays[0].timers.len() <= 65);
    world.pass_secs(3600);
    assert_eq!(world.relays[0].poll_timeout(), None);
}

/// OP-06: twice is once.
#[test]
fn shutdown_ends_everything_and_a_second_one_nothing() {
    let mut world = World::new();
    for _ in 0..3 {
        world.client("alice").allocate(&mut world);
    }

    for _ in 0..2 {
        world.relays[0].shut_down(world.now, &mut world.hosts[0]);
    }

    assert_eq!(world.hosts[0].ended, [EndReason::Shutdown; 3]);
    assert_eq!((world.sockets(), world.shared.quotas.total()), (0, 0));
}

fn allocate_request(client: &mut Client, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    client.request(Method::ALLOCATE, with(attributes))
}

/// Ends the client's allocation, the only one, in one of the ways that there are.
fn end(world: &mut World, client: &mut Client, reason: EndReason) {
    let now = world.now;
    let (relay, host) = (&mut world.relays[0], &mut world.hosts[0]);
    match reason {
        EndReason::Disconnected => relay.on_disconnect(now, &client.at, host),
        EndReason::Shutdown => relay.shut_down(now, host),
        EndReason::Deleted => assert_eq!(client.refresh(world, 0).code, 0),
        EndReason::Expired => world.pass_secs(600),
        EndReason::CredentialExpired => {
            world.pass_secs(500);
            assert_eq!(client.refresh(world, 3600).lifetime(), 3101);
            world.pass_secs(3101);
        }
        EndReason::SessionLimit => {
            world.pass_secs(500);
            assert_eq!(client.refresh(world, 3600).lifetime(), 3600);
            world.pass_secs(3_000);
            client.learn_nonce(world);
            assert_eq!(client.refresh(world, 3600).lifetime(), 1500);
            world.pass_secs(1500);
        }
    }
}
