//! What an allocation takes and gives back: 5-tuples, ports, sockets, quotas and reservations (AL-03 to AL-06, AL-11 to
//! AL-19, AL-22, AL-24, X-40, X-50).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Answer, Client, message, raw};
use super::world::{
    Outcome, RELAY4, RELAY4_BIND, RELAY6, World, addr, five_tuple, ip, local, options,
};
use crate::auth::PeerScope;
use crate::relay::{DropReason, EndReason, FiveTuple, Link, OnExpiry, Options, Transport};
use crate::wire::{
    AddressErrorCode, AttributeType, Class, Family, Method, RequestedTransport, Writer,
};

const PEER: &str = "8.8.8.8:5000";
const EVEN: (u16, &[u8]) = (0x0018, &[0]);
const EVEN_AND_NEXT: (u16, &[u8]) = (0x0018, &[0x80]);
const BOTH: (u16, &[u8]) = (0x8000, &[2, 0, 0, 0]);

/// AL-03, AL-19: with everything that an answer may hold.
#[test]
fn retransmission_gets_the_same_answer_and_costs_nothing() {
    for attribute in [EVEN_AND_NEXT, BOTH, (0x0017, &[2, 0, 0, 0])] {
        let mut world = World::new();
        let mut alice = ready(&mut world, "alice");
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
    let mut alice = ready(&mut world, "alice");
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
    let mut alice = ready(&mut world, "alice");
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
    let mut alice = ready(&mut world, "alice");
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

/// AL-11: one family without a free port.
#[test]
fn family_without_a_port_is_named_beside_the_one_that_has() {
    for (missing, bind, other) in [
        (Family::V6, RELAY6, ip(RELAY4)),
        (Family::V4, RELAY4_BIND, ip(RELAY6)),
    ] {
        let mut world = small(2);
        world.hosts[0].taken = vec![at(bind, 50_000), at(bind, 50_001)];
        let mut alice = ready(&mut world, "alice");
        let request = allocate_request(&mut alice, &[BOTH]);

        let reply = world.send(&alice.at, &request);

        let answer = Answer::of(reply.clone().reply(), &request, Some(&alice.key));
        let [only] = answer.all_relayed()[..] else {
            panic!("one address")
        };
        assert_eq!(only.ip(), other);
        let error: AddressErrorCode<'_> = answer.message().get().unwrap().unwrap();
        assert_eq!((error.family, error.code), (missing, 508));
        assert_eq!((world.sockets(), world.ports(missing)), (1, 0));
        assert_eq!(world.send(&alice.at, &request), reply, "AL-03");
        assert_eq!(alice.refresh(&mut world, 0).code, 0);
        assert_eq!((world.sockets(), world.shared.quotas.total()), (0, 0));
    }
}

/// AL-11.
#[test]
fn nothing_is_kept_where_neither_family_has_a_port() {
    let mut world = World::new();
    let mut alice = ready(&mut world, "alice");
    world.hosts[0].exhausted = true;

    let code = alice.refused(&mut world, Method::ALLOCATE, with(&[BOTH]));

    assert_eq!(code, 508);
    world.hosts[0].exhausted = false;
    assert_eq!(
        alice
            .try_allocate(&mut world, with(&[BOTH]))
            .all_relayed()
            .len(),
        2
    );
}

/// AL-12: the pool does not shrink, however often.
#[test]
fn even_port_does_not_use_up_its_sibling() {
    let mut world = small(4);
    let mut alice = ready(&mut world, "alice");
    for _ in 0..16 {
        let answer = alice.try_allocate(&mut world, with(&[EVEN]));
        assert!(answer.relayed().port().is_multiple_of(2));
        assert_eq!(alice.refresh(&mut world, 0).code, 0);
    }

    let all: BTreeSet<_> = (0..4)
        .map(|_| world.client("bob").allocate(&mut world))
        .collect();
    assert_eq!(all.len(), 4);
}

/// AL-12: the even ports run out before the odd ones.
#[test]
fn odd_port_is_no_even_port() {
    let mut world = small(4);
    for _ in 0..2 {
        let mut client = world.client("alice");
        assert_eq!(client.try_allocate(&mut world, with(&[EVEN])).code, 0);
    }
    let mut late = ready(&mut world, "alice");

    assert_eq!(
        late.refused(&mut world, Method::ALLOCATE, with(&[EVEN])),
        508
    );
    assert!(!late.allocate(&mut world).port().is_multiple_of(2));
}

/// AL-13.
#[test]
fn reserved_port_is_for_the_bearer_of_its_token_once() {
    let mut world = small(4);
    let mut alice = world.client("alice");
    let answer = alice.try_allocate(&mut world, with(&[EVEN_AND_NEXT]));
    let (even, token) = (answer.relayed(), token(&answer));
    assert!(even.port().is_multiple_of(2));
    assert_eq!((world.sockets(), world.ports(Family::V4)), (1, 2));

    let others: BTreeSet<_> = (0..2)
        .map(|_| world.client("bob").allocate(&mut world).port() / 2)
        .collect();
    assert_eq!(others.len(), 1, "both ports of the other pair");
    assert_eq!(redeem(&mut world, "bob", &token).code, 508);
    let mut bob = ready(&mut world, "bob");
    assert_eq!(bob.refused(&mut world, Method::ALLOCATE, udp), 508);

    // The first of the two may be gone by then, and the transport another.
    assert_eq!(alice.refresh(&mut world, 0).code, 0);
    world.pass_secs(29);
    let mut second = Client::new(
        FiveTuple {
            link: Link {
                id: 7,
                transport: Transport::Tcp,
            },
            ..alice.at
        },
        &world.credential("alice", 3600),
    );
    let odd = second.try_allocate(&mut world, with(&[(0x0022, &token)]));
    assert_eq!(odd.relayed(), at(RELAY4, even.port() + 1));
    assert!(odd.values(AttributeType::RESERVATION_TOKEN).is_empty());
    assert_eq!(redeem(&mut world, "alice", &token).code, 508, "used");
}

/// AL-13: of the same relay address.
#[test]
fn reservation_is_of_the_family_that_was_asked_for() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let answer = alice.try_allocate(&mut world, with(&[EVEN_AND_NEXT, (0x0017, &[2, 0, 0, 0])]));

    let odd = redeem(&mut world, "alice", &token(&answer)).relayed();

    assert_eq!(odd, at(RELAY6, answer.relayed().port() + 1));
    assert_eq!((world.ports(Family::V4), world.ports(Family::V6)), (0, 2));
}

/// AL-13, AL-14: nobody came for thirty seconds.
#[test]
fn unused_reservation_expires_and_its_port_is_free_again() {
    let mut world = small(2);
    let mut alice = world.client("alice");
    let token = token(&alice.try_allocate(&mut world, with(&[EVEN_AND_NEXT])));
    let mut bob = ready(&mut world, "bob");
    world.pass_secs(29);
    assert_eq!(bob.refused(&mut world, Method::ALLOCATE, udp), 508);

    world.pass_secs(1);

    assert_eq!(redeem(&mut world, "alice", &token).code, 508);
    assert_eq!(bob.allocate(&mut world).port(), 50_001);
}

/// AL-14.
#[test]
fn token_that_nobody_issued_is_refused() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let token = token(&alice.try_allocate(&mut world, with(&[EVEN_AND_NEXT])));
    for bit in 0..64 {
        let mut forged = token;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(redeem(&mut world, "alice", &forged).code, 508);
    }
    assert_eq!(redeem(&mut world, "alice", &token).code, 0);
}

/// AL-14; and an identity has a bounded number of ports waiting.
#[test]
fn tokens_are_distinct_and_not_without_number() {
    let mut options = options();
    options.limits.allocations_per_user = 64;
    let mut world = World::with(options);
    let tokens: BTreeSet<_> = (0..16)
        .map(|_| {
            token(
                &world
                    .client("alice")
                    .try_allocate(&mut world, with(&[EVEN_AND_NEXT])),
            )
        })
        .collect();
    assert_eq!(tokens.len(), 16);
    let mut late = ready(&mut world, "alice");

    // The even port was open by then: it is closed and given back, and so is the next.
    assert_eq!(
        late.refused(&mut world, Method::ALLOCATE, with(&[EVEN_AND_NEXT])),
        508
    );
    assert_eq!(world.ports(Family::V4), 32);
    let mut bob = world.client("bob");
    assert_eq!(bob.try_allocate(&mut world, with(&[EVEN_AND_NEXT])).code, 0);
}

/// AL-13: another program took the port in between.
#[test]
fn reserved_port_that_cannot_be_opened_is_given_back() {
    let mut world = small(2);
    let mut alice = world.client("alice");
    let token = token(&alice.try_allocate(&mut world, with(&[EVEN_AND_NEXT])));
    world.hosts[0].taken = vec![at(RELAY4_BIND, 50_001)];

    assert_eq!(redeem(&mut world, "alice", &token).code, 508);

    assert_eq!(
        (world.ports(Family::V4), world.shared.quotas.total()),
        (1, 1)
    );
    world.hosts[0].taken.clear();
    assert_eq!(world.client("bob").allocate(&mut world).port(), 50_001);
}

/// AL-13: a range in which no even port has a successor.
#[test]
fn reservation_needs_a_pair() {
    let mut options = options();
    options.ports = 50_001..=50_002;
    let mut world = World::with(options);
    let mut alice = ready(&mut world, "alice");

    assert_eq!(
        alice.refused(&mut world, Method::ALLOCATE, with(&[EVEN_AND_NEXT])),
        508
    );
    assert_eq!(
        alice
            .try_allocate(&mut world, with(&[EVEN]))
            .relayed()
            .port(),
        50_002
    );
}

/// AL-16.
#[test]
fn exhausted_ports_are_told_and_come_back() {
    let mut world = small(3);
    let mut first = ready(&mut world, "alice");
    first.allocate(&mut world);
    world.client("alice").allocate(&mut world);
    world.client("alice").allocate(&mut world);
    let mut late = ready(&mut world, "bob");
    for _ in 0..3 {
        assert_eq!(late.refused(&mut world, Method::ALLOCATE, udp), 508);
    }

    first.refresh(&mut world, 0);

    late.allocate(&mut world);
}

/// AL-17, X-50: a used port rests, so that late packets find nobody.
#[test]
fn port_rests_before_it_is_given_out_again() {
    let mut options = options();
    options.ports = 50_000..=50_000;
    let mut world = World::with(options);
    let mut alice = ready(&mut world, "alice");
    let mut bob = ready(&mut world, "bob");
    let relayed = alice.allocate(&mut world);
    alice.refresh(&mut world, 0);

    world.pass_secs(59);
    assert_eq!(bob.refused(&mut world, Method::ALLOCATE, udp), 508);
    world.pass_secs(1);
    assert_eq!(bob.allocate(&mut world), relayed);
}

/// AL-17, AL-18: all of the range, each port once; the imaginary host checks that none is bound twice.
#[test]
fn every_port_of_the_range_is_given_out_once() {
    let mut options = options();
    options.ports = 50_007..=50_040;
    options.limits.allocations_per_user = 64;
    let mut world = World::with(options);

    let ports: Vec<_> = (0..34)
        .map(|_| world.client("alice").allocate(&mut world).port())
        .collect();

    let mut sorted = ports.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (50_007..=50_040).collect::<Vec<_>>());
    assert_ne!(sorted, ports, "in no order that a peer could guess");
}

/// Ports that other programs hold are passed over.
#[test]
fn port_that_is_taken_is_passed_over() {
    let mut world = held(50_000..=50_006);

    assert_eq!(world.client("alice").allocate(&mut world).port(), 50_007);
}

/// And rest before they are tried again.
#[test]
fn ports_that_are_all_taken_are_tried_again_later() {
    let mut world = held(50_000..=50_007);
    let mut alice = ready(&mut world, "alice");
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, udp), 508);
    world.hosts[0].taken.clear();
    world.pass_secs(59);
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, udp), 508);

    world.pass_secs(1);

    alice.allocate(&mut world);
}

/// The next port goes back with the even one that could not be opened.
#[test]
fn pair_of_which_the_first_is_taken_is_passed_over() {
    let mut world = small(4);
    world.hosts[0].taken = vec![at(RELAY4_BIND, 50_000)];
    for _ in 0..8 {
        let mut alice = world.client("alice");
        let answer = alice.try_allocate(&mut world, with(&[EVEN_AND_NEXT]));
        assert_eq!(answer.relayed().port(), 50_002);
        assert_eq!(world.ports(Family::V4), 2);
        alice.refresh(&mut world, 0);
        world.pass_secs(30);
    }
    world.hosts[0].taken.push(at(RELAY4_BIND, 50_002));
    let mut late = ready(&mut world, "alice");
    // Its last reservation is over, though nobody has asked since.
    assert_eq!(
        late.try_allocate(&mut world, with(&[EVEN_AND_NEXT])).code,
        508
    );
    assert_eq!(
        (world.ports(Family::V4), world.shared.quotas.total()),
        (0, 0)
    );
}

/// Where no port would work, one is tried and no more.
#[test]
fn machine_without_descriptors_is_not_tried_in_vain() {
    let mut options = options();
    options.ports = 50_000..=50_001;
    let mut world = World::with(options);
    let mut alice = ready(&mut world, "alice");
    world.hosts[0].exhausted = true;
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, udp), 508);

    world.hosts[0].exhausted = false;

    alice.allocate(&mut world);
}

/// AL-19: what one identity may have; what is refused or repeated costs nothing.
#[test]
fn identity_has_so_many_allocations_and_no_more() {
    let mut options = options();
    options.limits.allocations_per_user = 2;
    let mut world = World::with(options);
    let mut clients: Vec<_> = (0..3).map(|_| ready(&mut world, "alice")).collect();
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
        let mut late = ready(&mut world, &id);
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
        let mut client = ready(&mut world, id);
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
            let answer = alice.try_allocate(&mut world, with(&[attribute]));
            assert_eq!(answer.code, 0);
            let mut late = ready(&mut world, "alice");
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

/// nor does the permission of a party lead to whoever has the other's port next.
#[test]
fn next_owner_of_a_port_is_no_party_of_the_call() {
    let mut world = small(3);
    let party = |name| World::party("7", name, PeerScope::Call);
    let (mut alice, mut bob) = (world.client(&party("a")), world.client(&party("b")));
    let (at_alice, at_bob) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);
    assert!(matches!(
        alice.send_on(&mut world, 0x4000, b"x"),
        Outcome::ToPeer { .. }
    ));
    // One port stays out of reach, so that mallory gets bob's.
    world.client("other").allocate(&mut world);

    bob.refresh(&mut world, 0);
    let dead = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(dead, Outcome::Dropped(DropReason::PeerDenied));
    let mut mallory = world.client(&World::party("8", "m", PeerScope::Call));
    assert_eq!(mallory.allocate(&mut world), at_bob);

    let sent = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::PeerDenied));
    let heard = world.arrive(local(at_alice), local(at_bob), b"x");
    assert_eq!(heard, Some(Outcome::Dropped(DropReason::PeerDenied)));
}

/// timers of allocations that are gone go as well.
#[test]
fn ended_allocations_leave_no_timers_behind() {
    let mut options = options();
    options.limits.allocations = 1_000;
    options.limits.allocations_per_user = 1_000;
    options.ports = 50_000..=51_999;
    let mut world = World::with(options);
    let mut clients: Vec<_> = (0..300).map(|_| ready(&mut world, "alice")).collect();
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

/// A world of so many ports from 50,000 on, which do not rest.
fn small(ports: u16) -> World {
    let mut options: Options = options();
    options.ports = 50_000..=49_999 + ports;
    options.lifetimes.quarantine = Duration::ZERO;
    World::with(options)
}

/// A world of eight ports, some of which another program holds.
fn held(ports: std::ops::RangeInclusive<u16>) -> World {
    let mut options = options();
    options.ports = 50_000..=50_007;
    let mut world = World::with(options);
    world.hosts[0].taken = ports.map(|port| at(RELAY4_BIND, port)).collect();
    world
}

/// A client with a nonce.
fn ready(world: &mut World, id: &str) -> Client {
    let mut client = world.client(id);
    client.learn_nonce(world);
    client
}

fn udp(writer: &mut Writer<'_>) {
    writer.put(&RequestedTransport(17)).unwrap();
}

/// Puts attributes into an Allocate request for UDP.
fn with<'a>(attributes: &'a [(u16, &'a [u8])]) -> impl FnOnce(&mut Writer<'_>) + 'a {
    move |writer| {
        udp(writer);
        for (kind, value) in attributes {
            writer.put(&raw(*kind, value)).unwrap();
        }
    }
}

fn allocate_request(client: &mut Client, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    client.request(Method::ALLOCATE, with(attributes))
}

/// Brings a token on a new 5-tuple.
fn redeem(world: &mut World, id: &str, token: &[u8; 8]) -> Answer {
    world
        .client(id)
        .try_allocate(world, with(&[(0x0022, token)]))
}

#[track_caller]
fn token(answer: &Answer) -> [u8; 8] {
    assert_eq!(answer.code, 0);
    let tokens = answer.values(AttributeType::RESERVATION_TOKEN);
    tokens[0][..].try_into().unwrap()
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
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
