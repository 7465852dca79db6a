//! Ports: which are given out, which are reserved, and what happens where there is none (AL-11 to AL-14, AL-16 to
//! AL-18, X-50).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::client::{Answer, Client, put, udp, with};
use super::world::{Outcome, RELAY4, RELAY4_BIND, RELAY6, World, ip, local, options, small};
use crate::auth::PeerScope;
use crate::relay::{DropReason, FiveTuple, Link, Transport};
use crate::wire::{AddressErrorCode, AttributeType, Family, Method, Writer};

const EVEN: (u16, &[u8]) = (0x0018, &[0]);
const EVEN_AND_NEXT: (u16, &[u8]) = (0x0018, &[0x80]);
const BOTH: (u16, &[u8]) = (0x8000, &[2, 0, 0, 0]);

/// AL-11: one family without a free port.
#[test]
fn family_without_a_port_is_named_beside_the_one_that_has() {
    for (missing, bind, other) in [
        (Family::V6, RELAY6, ip(RELAY4)),
        (Family::V4, RELAY4_BIND, ip(RELAY6)),
    ] {
        let mut world = small(2);
        world.hosts[0].taken = vec![at(bind, 50_000), at(bind, 50_001)];
        let mut alice = world.ready("alice");
        let request = alice.request(Method::ALLOCATE, with(&[BOTH]));

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
    let mut alice = world.ready("alice");
    world.hosts[0].exhausted = true;

    let code = alice.refused(&mut world, Method::ALLOCATE, with(&[BOTH]));

    assert_eq!(code, 508);
    world.hosts[0].exhausted = false;
    assert_eq!(
        alice
            .try_allocate(&mut world, put(&[BOTH]))
            .all_relayed()
            .len(),
        2
    );
}

/// AL-12: the pool does not shrink, however often.
#[test]
fn even_port_does_not_use_up_its_sibling() {
    let mut world = small(4);
    let mut alice = world.ready("alice");
    for _ in 0..16 {
        let answer = alice.try_allocate(&mut world, put(&[EVEN]));
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
        assert_eq!(client.try_allocate(&mut world, put(&[EVEN])).code, 0);
    }
    let mut late = world.ready("alice");

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
    let answer = alice.try_allocate(&mut world, put(&[EVEN_AND_NEXT]));
    let (even, token) = (answer.relayed(), token(&answer));
    assert!(even.port().is_multiple_of(2));
    assert_eq!((world.sockets(), world.ports(Family::V4)), (1, 2));

    let others: BTreeSet<_> = (0..2)
        .map(|_| world.client("bob").allocate(&mut world).port() / 2)
        .collect();
    assert_eq!(others.len(), 1, "both ports of the other pair");
    assert_eq!(redeem(&mut world, "bob", &token).code, 508);
    let mut bob = world.ready("bob");
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
    let odd = second.try_allocate(&mut world, put(&[(0x0022, &token)]));
    assert_eq!(odd.relayed(), at(RELAY4, even.port() + 1));
    assert!(odd.values(AttributeType::RESERVATION_TOKEN).is_empty());
    assert_eq!(redeem(&mut world, "alice", &token).code, 508, "used");
}

/// AL-13: of the same relay address.
#[test]
fn reservation_is_of_the_family_that_was_asked_for() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let answer = alice.try_allocate(&mut world, put(&[EVEN_AND_NEXT, (0x0017, &[2, 0, 0, 0])]));

    let odd = redeem(&mut world, "alice", &token(&answer)).relayed();

    assert_eq!(odd, at(RELAY6, answer.relayed().port() + 1));
    assert_eq!((world.ports(Family::V4), world.ports(Family::V6)), (0, 2));
}

/// AL-13, AL-14: nobody came for thirty seconds.
#[test]
fn unused_reservation_expires_and_its_port_is_free_again() {
    let mut world = small(2);
    let mut alice = world.client("alice");
    let token = token(&alice.try_allocate(&mut world, put(&[EVEN_AND_NEXT])));
    let mut bob = world.ready("bob");
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
    let token = token(&alice.try_allocate(&mut world, put(&[EVEN_AND_NEXT])));
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
                    .try_allocate(&mut world, put(&[EVEN_AND_NEXT])),
            )
        })
        .collect();
    assert_eq!(tokens.len(), 16);
    let mut late = world.ready("alice");

    // The even port was open by then: it is closed and given back, and so is the next.
    assert_eq!(
        late.refused(&mut world, Method::ALLOCATE, with(&[EVEN_AND_NEXT])),
        508
    );
    assert_eq!(world.ports(Family::V4), 32);
    let mut bob = world.client("bob");
    assert_eq!(bob.try_allocate(&mut world, put(&[EVEN_AND_NEXT])).code, 0);
}

/// AL-13: another program took the port in between.
#[test]
fn reserved_port_that_cannot_be_opened_is_given_back() {
    let mut world = small(2);
    let mut alice = world.client("alice");
    let token = token(&alice.try_allocate(&mut world, put(&[EVEN_AND_NEXT])));
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
    let mut alice = world.ready("alice");

    assert_eq!(
        alice.refused(&mut world, Method::ALLOCATE, with(&[EVEN_AND_NEXT])),
        508
    );
    assert_eq!(
        alice
            .try_allocate(&mut world, put(&[EVEN]))
            .relayed()
            .port(),
        50_002
    );
}

/// AL-16.
#[test]
fn exhausted_ports_are_told_and_come_back() {
    let mut world = small(3);
    let mut first = world.ready("alice");
    first.allocate(&mut world);
    world.client("alice").allocate(&mut world);
    world.client("alice").allocate(&mut world);
    let mut late = world.ready("bob");
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
    let mut alice = world.ready("alice");
    let mut bob = world.ready("bob");
    let relayed = alice.allocate(&mut world);
    alice.refresh(&mut world, 0);

    world.pass_secs(59);
    assert_eq!(bob.refused(&mut world, Method::ALLOCATE, udp), 508);
    world.pass_secs(1);
    assert_eq!(bob.allocate(&mut world), relayed);
}

/// resting ports are nobody's, so whoever makes many of them is held up before the others are.
#[test]
fn user_who_allocates_and_deletes_over_and_over_leaves_ports_to_others() {
    for (fill, free) in [(plain as fn(&mut Writer<'_>), 92), (even_and_next, 84)] {
        let mut options = options();
        options.limits.allocations_per_user = 1;
        let mut world = World::with(options);
        for _ in 0..8 {
            let mut alice = world.ready("alice");
            assert_eq!(alice.try_allocate(&mut world, fill).code, 0);
            assert_eq!(alice.refresh(&mut world, 0).code, 0);
        }

        let mut alice = world.ready("alice");

        assert_eq!(alice.try_allocate(&mut world, fill).code, 486);
        let (_, left, _) = world.shared.port_counts(Family::V4).unwrap();
        assert_eq!(left, free);
        world.client("bob").allocate(&mut world);
        world.pass_secs(60);
        alice.allocate(&mut world);
    }
}

/// nor do requests that are refused because too many ports are reserved already.
#[test]
fn refused_reservations_leave_ports_to_others() {
    let mut options = options();
    options.limits.allocations_per_user = 3;
    let mut world = World::with(options);
    let codes: Vec<u16> = (0..100)
        .map(|_| {
            let mut alice = world.ready("alice");
            let code = alice.try_allocate(&mut world, even_and_next).code;
            if code == 0 {
                alice.refresh(&mut world, 0);
            }
            code
        })
        .collect();

    assert_eq!(codes[..16], [0; 16]);
    assert_eq!(codes[16..24], [508; 8]);
    assert_eq!(codes[24..], [486; 76]);
}

const fn plain(_: &mut Writer<'_>) {}

fn even_and_next(writer: &mut Writer<'_>) {
    put(&[EVEN_AND_NEXT])(writer);
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
    let mut alice = world.ready("alice");
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
        let answer = alice.try_allocate(&mut world, put(&[EVEN_AND_NEXT]));
        assert_eq!(answer.relayed().port(), 50_002);
        assert_eq!(world.ports(Family::V4), 2);
        alice.refresh(&mut world, 0);
        world.pass_secs(30);
    }
    world.hosts[0].taken.push(at(RELAY4_BIND, 50_002));
    let mut late = world.ready("alice");
    // Its last reservation is over, though nobody has asked since.
    assert_eq!(
        late.try_allocate(&mut world, put(&[EVEN_AND_NEXT])).code,
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
    let mut alice = world.ready("alice");
    world.hosts[0].exhausted = true;
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, udp), 508);

    world.hosts[0].exhausted = false;

    alice.allocate(&mut world);
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

/// A world of eight ports, some of which another program holds.
fn held(ports: std::ops::RangeInclusive<u16>) -> World {
    let mut options = options();
    options.ports = 50_000..=50_007;
    let mut world = World::with(options);
    world.hosts[0].taken = ports.map(|port| at(RELAY4_BIND, port)).collect();
    world
}

/// Brings a token on a new 5-tuple.
fn redeem(world: &mut World, id: &str, token: &[u8; 8]) -> Answer {
    world
        .client(id)
        .try_allocate(world, put(&[(0x0022, token)]))
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
