//! Strangers in great number: amplification and what a flood leaves behind (X-20 to X-22, LK-09).

use std::net::{Ipv4Addr, SocketAddr};

use super::client::{Answer, message, raw};
use super::world::{Outcome, REALM, World, addr, auth_options, five_tuple, options};
use crate::auth::Reject;
use crate::relay::{DropReason, Transport};
use crate::wire::{Class, HmacKey, Method, Nonce, Realm, RequestedTransport, Username, Writer};

const STRANGERS: [&str; 2] = ["24.0.0.9:40000", "[2600:2::9]:40000"];

/// X-20: the realm is one that a configuration is not warned about.
#[test]
fn challenge_is_at_most_three_times_the_smallest_request() {
    let mut world = World::new();
    let mut options = auth_options();
    // The configuration warns of a longer realm.
    options.realm = "r".repeat(30);
    world.reload_auth(options);
    let request = message(Class::Request, Method::ALLOCATE, |_| ());
    assert_eq!(request.len(), 20);
    for stranger in STRANGERS.map(addr) {
        let ratio = amplification(&mut world, stranger, &request, 401);

        assert!(ratio <= 3.0, "{ratio}");
    }
}

/// X-20.
#[test]
fn binding_is_no_amplifier() {
    let mut world = World::new();
    let request = message(Class::Request, Method::BINDING, |_| ());
    for stranger in STRANGERS.map(addr) {
        let ratio = amplification(&mut world, stranger, &request, 0);

        assert!(ratio <= 1.5, "{ratio}");
    }
}

/// X-20: for every number of unknown attributes, as small as they can be.
#[test]
fn list_of_unknown_attributes_is_no_amplifier() {
    let mut world = World::new();
    for count in 1..100 {
        let request = message(Class::Request, Method::BINDING, |writer| {
            for kind in 0..count {
                writer.put(&raw(0x7000 + kind, &[])).unwrap();
            }
        });
        let ratio = amplification(&mut world, addr(STRANGERS[0]), &request, 420);

        assert!(ratio <= 1.3, "{count}: {ratio}");
    }
}

/// X-20.
#[test]
fn bad_request_is_no_amplifier() {
    let mut world = World::new();
    let request = message(Class::Request, Method::ALLOCATE, |writer| {
        writer.put(&raw(0x0008, &[])).unwrap();
    });

    let ratio = amplification(&mut world, addr(STRANGERS[0]), &request, 400);

    assert!(ratio <= 1.3, "{ratio}");
}

/// X-20: a client's request earns less than itself; what a forger leaves out brings it no more than a first request.
#[test]
fn stale_nonce_is_no_amplifier() {
    let mut world = World::new();
    let alice = world.client("alice");
    let honest = message(Class::Request, Method::ALLOCATE, |writer| {
        writer.put(&RequestedTransport(17)).unwrap();
        writer.put(&Username(&alice.username)).unwrap();
        writer.put(&Realm(REALM)).unwrap();
        writer.put(&Nonce(&"n".repeat(36))).unwrap();
        writer.integrity(&alice.key).unwrap();
    });
    let forged = message(Class::Request, Method::ALLOCATE, |writer| {
        for kind in [0x0006, 0x0014, 0x0015, 0x0008] {
            writer.put(&raw(kind, &[])).unwrap();
        }
    });

    let honest = amplification(&mut world, addr(STRANGERS[0]), &honest, 438);
    let forged = amplification(&mut world, addr(STRANGERS[0]), &forged, 438);

    assert!(honest <= 1.0, "{honest}");
    assert!(forged <= 3.0, "{forged}");
}

/// X-21: five seconds' worth at once, then the rate; ports play no role, neighbours do not suffer.
#[test]
fn challenges_to_one_prefix_have_a_budget() {
    let mut world = World::with(sparing());
    for (mine, others) in [
        ("24.0.0.9", "24.0.0.10:40000"),
        ("[2600:2::9]", "[2600:2:0:1::9]:40000"),
    ] {
        let answered = |world: &mut World| {
            let ports = (1..=200).map(|port| addr(&format!("{mine}:{port}")));
            ports.filter(|from| is_answered(world, *from)).count()
        };

        assert_eq!(answered(&mut world), 50);
        world.pass_secs(1);
        assert_eq!(answered(&mut world), 10);
        assert!(is_answered(&mut world, addr(others)));
    }
    assert!(
        !is_answered(&mut world, addr("[2600:2::ffff]:1")),
        "one /64"
    );
}

/// X-21: every kind of refusal to a stranger costs the same budget, and Bindings have their own.
#[test]
fn every_answer_to_a_stranger_counts() {
    let from = five_tuple(addr(STRANGERS[0]));
    let challenge = message(Class::Request, Method::REFRESH, |_| ());
    let bad = message(Class::Request, Method::ALLOCATE, |writer| {
        writer.put(&raw(0x0008, &[])).unwrap();
    });
    let stale = message(Class::Request, Method::ALLOCATE, |writer| {
        for kind in [0x0006, 0x0014, 0x0015, 0x0008] {
            writer.put(&raw(kind, &[])).unwrap();
        }
    });
    let plain = message(Class::Request, Method::BINDING, |_| ());
    let unknown = message(Class::Request, Method::BINDING, |writer| {
        writer.put(&raw(0x7FFF, &[])).unwrap();
    });
    let mut world = World::with(sparing());
    let answered = |world: &mut World, requests: &[&Vec<u8>]| {
        let sent = requests.iter().cycle().take(60);
        sent.filter(|bytes| matches!(world.send(&from, bytes), Outcome::Reply(_)))
            .count()
    };

    assert_eq!(answered(&mut world, &[&challenge, &bad, &stale]), 50);
    assert_eq!(answered(&mut world, &[&plain, &unknown]), 25);
    world.pass_secs(1);
    assert_eq!(answered(&mut world, &[&challenge, &bad, &stale]), 10);
    assert_eq!(answered(&mut world, &[&plain, &unknown]), 5);

    let drops = &world.counters(0).drops;
    let limited = drops[DropReason::RateLimitedSource as usize].value();
    assert_eq!(limited, 4 * 60 - 50 - 25 - 10 - 5);
}

/// On a connection nobody asks in another's name, and an answer that is left out is not asked for again.
#[test]
fn answers_on_connections_cost_no_budget() {
    let mut world = World::with(sparing());
    let challenge = message(Class::Request, Method::ALLOCATE, |_| ());
    let binding = message(Class::Request, Method::BINDING, |_| ());
    for transport in [Transport::Tcp, Transport::Tls, Transport::Dtls] {
        let mut from = five_tuple(addr(STRANGERS[0]));
        from.link.transport = transport;
        for request in [&challenge, &binding].into_iter().cycle().take(200) {
            world.send(&from, request).reply();
        }
    }
    assert!(is_answered(&mut world, addr(STRANGERS[0])));
}

/// X-21: whoever has a valid nonce is not held up by the flood of others behind the same address.
#[test]
fn exhausted_budget_does_not_touch_authenticated_clients() {
    let mut world = World::with(sparing());
    let mut alice = world.client("alice");
    alice.learn_nonce(&mut world);
    let neighbour = SocketAddr::new(alice.at.client.reveal().ip(), 1);
    while is_answered(&mut world, neighbour) {}

    alice.allocate(&mut world);
    for _ in 0..100 {
        assert_eq!(alice.refresh(&mut world, 600).code, 0);
        assert_eq!(
            alice.refused(&mut world, Method::CREATE_PERMISSION, |_| ()),
            400
        );
    }
}

/// X-22, B-15: forged sources in great number, with everything that can be sent without a credential.
#[test]
fn flood_of_strangers_leaves_nothing_behind() {
    let mut world = World::new();
    let fresh = world.snapshot();
    let garbage = message(Class::Request, Method::ALLOCATE, |writer| {
        writer.put(&RequestedTransport(17)).unwrap();
        writer.put(&Username("1800000100:alice")).unwrap();
        writer.put(&Realm(REALM)).unwrap();
        writer
            .put(&Nonce("obMatJos2gAABAAAAAAAAAAAAAAAAAAAAAAA"))
            .unwrap();
        writer.integrity(&HmacKey::sha1(b"guess")).unwrap();
    });
    let packets = [
        message(Class::Request, Method::ALLOCATE, |_| ()),
        message(Class::Request, Method::BINDING, |_| ()),
        message(Class::Indication, Method::SEND, |_| ()),
        garbage,
    ];
    for number in 0..20_000 {
        let ip = Ipv4Addr::from_bits(0x1800_0000 + number);
        let from = SocketAddr::new(ip.into(), 1024 + u16::try_from(number % 60_000).unwrap());
        for packet in &packets {
            let _ = world.send(&five_tuple(from), packet);
        }
    }

    assert_eq!(world.snapshot(), fresh);
    let rejects = &world.counters(0).rejects;
    assert_eq!(rejects[Reject::MissingIntegrity as usize].value(), 20_000);
    assert_eq!(rejects[Reject::StaleNonce as usize].value(), 20_000);
    world
        .client_at(addr("25.0.0.1:40000"), "alice")
        .allocate(&mut world);
}

/// X-22: a valid nonce without a valid password is no more than a stranger's.
#[test]
fn guessed_passwords_leave_nothing_behind() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.learn_nonce(&mut world);
    alice.key = HmacKey::sha1(b"guess");
    let fresh = World::new().snapshot();
    for _ in 0..1_000 {
        let answer = alice.try_allocate(&mut world, |_| ());
        assert_eq!(answer.code, 401);
    }
    assert_eq!(world.snapshot(), fresh);
}

/// Answers to strangers that are few enough to be counted.
fn sparing() -> crate::relay::Options {
    let mut options = options();
    options.limits.challenges_per_second = 10;
    options.limits.bindings_per_second = 5;
    options
}

fn is_answered(world: &mut World, from: SocketAddr) -> bool {
    let request = message(Class::Request, Method::ALLOCATE, |_: &mut Writer<'_>| ());
    let outcome = world.send(&five_tuple(from), &request);
    if let Outcome::Reply(_) = outcome {
        return true;
    }
    assert_eq!(outcome, Outcome::Dropped(DropReason::RateLimitedSource));
    false
}

/// Bytes on the wire that one request earns, as a share of its own; the answer must have the code.
#[track_caller]
fn amplification(world: &mut World, from: SocketAddr, request: &[u8], code: u16) -> f64 {
    let headers = if from.is_ipv4() { 28 } else { 48 };
    let size = |bytes: &[u8]| f64::from(u32::try_from(headers + bytes.len()).unwrap());
    let answer = Answer::of(
        world.send(&five_tuple(from), request).reply(),
        request,
        None,
    );
    assert_eq!(answer.code, code);
    size(&answer.bytes) / size(request)
}
