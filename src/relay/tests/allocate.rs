//! Allocate: what may be asked for and what is granted (group AL).

use std::net::SocketAddr;

use super::client::{Answer, Client, put, raw, udp};
use super::world::{Outcome, RELAY4, RELAY6, World, addr, five_tuple, ip, options};
use crate::relay::{DropReason, FiveTuple, Link, Options, Transport};
use crate::wire::{AddressErrorCode, AttributeType, Family, Lifetime, Method};

/// AL-01.
#[test]
fn allocation_is_granted_with_address_lifetime_and_the_clients_own_address() {
    let mut world = World::new();
    let mut alice = world.client("alice");

    let answer = alice.try_allocate(&mut world, |_| ());

    let relayed = answer.relayed();
    assert_eq!(relayed.ip(), ip(RELAY4), "as the world sees it");
    assert!((50_000..=50_099).contains(&relayed.port()), "AL-17");
    assert_eq!(answer.lifetime(), 600);
    let kinds: Vec<_> = answer.attributes().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            AttributeType::XOR_RELAYED_ADDRESS,
            AttributeType::LIFETIME,
            AttributeType::XOR_MAPPED_ADDRESS,
            AttributeType::MESSAGE_INTEGRITY,
        ]
    );
}

/// AL-02.
#[test]
fn transport_has_to_be_udp() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    let cases: [(&[u8], u16); 7] = [
        (&[], 400),
        (&[17], 400),
        (&[17, 0, 0, 0, 0], 400),
        (&[0, 0, 0, 0], 442),
        (&[1, 0, 0, 0], 442),
        (&[132, 0, 0, 0], 442),
        (&[255, 17, 17, 17], 442),
    ];
    for (value, code) in cases {
        let refused = alice.refused(&mut world, Method::ALLOCATE, |writer| {
            writer.put(&raw(0x0019, value)).unwrap();
        });
        assert_eq!(refused, code, "{value:?}");
    }
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, |_| ()), 400);
    let reserved = alice.ask(&mut world, Method::ALLOCATE, |writer| {
        writer.put(&raw(0x0019, &[17, 0xFF, 0xFF, 0xFF])).unwrap();
    });
    assert_eq!(reserved.code, 0);
}

/// AL-05.
#[test]
fn another_listener_or_transport_is_another_allocation() {
    let mut world = World::new();
    let client = addr("24.0.0.9:40000");
    let there = five_tuple(client);
    let link = |id, transport| FiveTuple {
        link: Link { id, transport },
        ..there
    };
    let places = [
        there,
        FiveTuple {
            server: ip("192.88.1.2"),
            ..there
        },
        link(1, Transport::Udp),
        link(0, Transport::Tcp),
        link(0, Transport::Tls),
        link(0, Transport::Dtls),
        five_tuple(addr("24.0.0.9:40001")),
    ];
    let credential = world.credential("alice", 3600);
    let mut relayed: Vec<_> = places
        .map(|place| Client::new(place, &credential).allocate(&mut world))
        .to_vec();

    relayed.sort_unstable();
    relayed.dedup();
    assert_eq!((relayed.len(), world.relays[0].allocations()), (7, 7));
}

/// AL-07.
#[test]
fn lifetime_is_kept_within_its_bounds() {
    for (asked, granted) in [
        (None, 600),
        (Some(0), 600),
        (Some(1), 600),
        (Some(599), 600),
        (Some(600), 600),
        (Some(601), 601),
        (Some(3600), 3600),
        (Some(3601), 3600),
        (Some(u32::MAX), 3600),
    ] {
        let mut world = World::new();
        let mut alice = world.client("alice");
        let answer = alice.try_allocate(&mut world, |writer| {
            if let Some(seconds) = asked {
                writer.put(&Lifetime(seconds)).unwrap();
            }
        });

        assert_eq!(answer.lifetime(), granted, "{asked:?}");
        // It is what the timer does.
        world.pass_secs(u64::from(granted) - 1);
        assert_eq!(world.relays[0].allocations(), 1, "{asked:?}");
        world.pass_secs(1);
        assert_eq!(world.relays[0].allocations(), 0, "{asked:?}");
    }
}

/// AL-07, AL-08, AL-10, AL-12, AL-14: lengths that the attributes cannot have.
#[test]
fn malformed_attributes_are_bad_requests() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    let cases: [(u16, &[u8]); 11] = [
        (0x000D, &[0, 0, 2]),
        (0x000D, &[0; 8]),
        (0x0017, &[1]),
        (0x0017, &[1, 0, 0, 0, 0]),
        (0x0017, &[0, 0, 0, 0]),
        (0x0017, &[3, 0, 0, 0]),
        (0x8000, &[2]),
        (0x8000, &[3, 0, 0, 0]),
        (0x0018, &[]),
        (0x0018, &[0x80, 0]),
        (0x0022, &[0; 7]),
    ];
    for (kind, value) in cases {
        assert_eq!(
            refused(&mut alice, &mut world, &[(kind, value)]),
            400,
            "{kind:#x}"
        );
    }
}

/// AL-08, AL-09.
#[test]
fn family_is_the_requested_one_and_ipv4_without() {
    let mut world = World::new();
    let cases: [(Option<&[u8]>, &str); 4] = [
        (None, RELAY4),
        (Some(&[1, 0, 0, 0]), RELAY4),
        (Some(&[2, 0, 0, 0]), RELAY6),
        (Some(&[2, 0xFF, 0xFF, 0xFF]), RELAY6),
    ];
    for client in ["24.0.0.9", "[2600:2::9]"] {
        for (port, (family, relay)) in (40_000..).zip(cases) {
            let mut client = world.client_at(addr(&format!("{client}:{port}")), "alice");
            let answer = client.try_allocate(&mut world, |writer| {
                if let Some(value) = family {
                    writer.put(&raw(0x0017, value)).unwrap();
                }
            });

            assert_eq!(answer.relayed().ip(), ip(relay));
            assert_eq!(answer.all_relayed().len(), 1);
        }
    }
}

/// AL-08, AL-09.
#[test]
fn family_that_is_not_served_is_refused() {
    let mut only_v4 = World::with(Options {
        ipv6: None,
        ..options()
    });
    let mut alice = only_v4.ready("alice");
    assert_eq!(
        refused(&mut alice, &mut only_v4, &[(0x0017, &[2, 0, 0, 0])]),
        440
    );
    assert_eq!(
        refused(
            &mut alice,
            &mut only_v4,
            &[(0x0017, &[2, 0, 0, 0]), (0x0018, &[0x80])]
        ),
        440
    );

    let mut only_v6 = World::with(Options {
        ipv4: None,
        ..options()
    });
    let mut bob = only_v6.client_at(addr("[2600:2::9]:40000"), "bob");
    bob.learn_nonce(&mut only_v6);
    assert_eq!(refused(&mut bob, &mut only_v6, &[]), 440);
    assert_eq!(
        refused(&mut bob, &mut only_v6, &[(0x0017, &[1, 0, 0, 0])]),
        440
    );
}

/// AL-10: in either order.
#[test]
fn attributes_that_contradict_each_other_are_bad_requests() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    let family: (u16, &[u8]) = (0x0017, &[1, 0, 0, 0]);
    let additional: (u16, &[u8]) = (0x8000, &[2, 0, 0, 0]);
    let token: (u16, &[u8]) = (0x0022, &[7; 8]);
    let even: (u16, &[u8]) = (0x0018, &[0]);
    let even_and_next: (u16, &[u8]) = (0x0018, &[0x80]);
    for (one, two) in [
        (family, additional),
        ((0x0017, &[2, 0, 0, 0]), additional),
        (additional, token),
        (family, token),
        (even, token),
        (even_and_next, token),
        (even_and_next, additional),
    ] {
        assert_eq!(refused(&mut alice, &mut world, &[one, two]), 400);
        assert_eq!(refused(&mut alice, &mut world, &[two, one]), 400);
    }
    assert_eq!(
        refused(&mut alice, &mut world, &[(0x8000, &[1, 0, 0, 0])]),
        400
    );
    let allowed = alice.try_allocate(&mut world, put(&[even, additional]));
    let ports: Vec<_> = allowed
        .all_relayed()
        .iter()
        .map(|at| at.port() % 2)
        .collect();
    assert_eq!(ports, [0, 0]);
}

/// AL-11.
#[test]
fn additional_family_gives_one_address_of_each() {
    let mut world = World::new();
    let mut alice = world.client("alice");

    let answer = alice.try_allocate(&mut world, put(&[BOTH]));

    let ips: Vec<_> = answer.all_relayed().iter().map(SocketAddr::ip).collect();
    assert_eq!(ips, [ip(RELAY4), ip(RELAY6)]);
    assert!(answer.values(AttributeType::ADDRESS_ERROR_CODE).is_empty());
    assert_eq!((world.sockets(), world.shared.quotas.total()), (2, 1));
}

/// AL-11.
#[test]
fn family_that_is_not_served_is_named_beside_the_one_that_is() {
    for (family, missing) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        let mut options = options();
        match missing {
            Family::V4 => options.ipv4 = None,
            Family::V6 => options.ipv6 = None,
        }
        let mut world = World::with(options);
        let mut alice = world.client("alice");

        let answer = alice.try_allocate(&mut world, put(&[BOTH]));

        let [only] = answer.all_relayed()[..] else {
            panic!("one address")
        };
        assert_eq!(Family::of(only.ip()), family);
        assert_eq!(address_error(&answer), (missing, 440));
    }
}

/// AL-12.
#[test]
fn even_port_without_reservation_is_even_and_nothing_more() {
    let mut world = World::new();
    for value in [0, 0x7F] {
        let mut alice = world.client("alice");
        let answer = alice.try_allocate(&mut world, put(&[(0x0018, &[value])]));

        assert!(answer.relayed().port().is_multiple_of(2));
        assert!(answer.values(AttributeType::RESERVATION_TOKEN).is_empty());
    }
    assert_eq!(world.ports(Family::V4), 2, "no sibling is held");
}

/// AL-15, AL-23.
#[test]
fn attributes_that_are_known_or_optional_do_not_hinder() {
    let mut world = World::new();
    let mut alice = world.client("alice");

    let answer = alice.try_allocate(&mut world, |writer| {
        let extra: [(u16, &[u8]); 7] = [
            (0x001A, &[]),
            (0xC057, &[1, 2, 3, 4]),
            (0xC070, &[]),
            (0x8025, &[0; 4]),
            (0x8030, &[]),
            (0x000C, &[0x40, 0, 0, 0]),
            (0x0012, b"nonsense"),
        ];
        put(&extra)(writer);
    });

    assert_eq!(answer.code, 0);
}

/// AL-20: no client of an automatic tunnel.
#[test]
fn client_behind_6to4_or_teredo_is_not_answered() {
    let mut world = World::new();
    for client in ["[2002:1800:9::1]:40000", "[2001:0:1::1]:40000"] {
        let mut client = world.client_at(addr(client), "alice");
        let request = client.request(Method::ALLOCATE, |_| ());

        let outcome = world.send(&client.at, &request);

        assert_eq!(outcome, Outcome::Dropped(DropReason::BadSource));
    }
}

const BOTH: (u16, &[u8]) = (0x8000, &[2, 0, 0, 0]);

/// The code of a refused Allocate request for UDP with these attributes.
#[track_caller]
fn refused(client: &mut Client, world: &mut World, attributes: &[(u16, &[u8])]) -> u16 {
    client.refused(world, Method::ALLOCATE, |writer| {
        put(attributes)(writer);
        udp(writer);
    })
}

fn address_error(answer: &Answer) -> (Family, u16) {
    let error: AddressErrorCode<'_> = answer.message().get().unwrap().unwrap();
    assert_eq!(error.reason, "");
    (error.family, error.code)
}
