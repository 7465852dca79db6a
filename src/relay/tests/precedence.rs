//! Requests with several faults: which of them is named (group PR), and that every refusal is protected. That a
//! refusal changes nothing (PR-07) is checked wherever one is provoked by `Client::refused`.

use super::client::{Answer, Client, raw, udp};
use super::world::{Outcome, RELAY4, World, addr, options};
use crate::relay::{DropReason, Options};
use crate::wire::{
    AttributeType, ChannelNumber, ChannelNumberAttribute, HmacKey, Lifetime, Method,
    RequestedTransport, Writer, XorPeerAddress,
};

const PEER: &str = "8.8.8.8:5000";
const DENIED: &str = "10.0.0.1:5000";
const DENIED_V6: &str = "[fd00::1]:5000";

/// A-22, LK-09: every code that an authenticated client can get; each answer is checked to be under its key, and holds
/// nothing but the code, the same for the same code.
#[test]
fn every_refusal_after_authentication_is_protected_and_says_the_code_alone() {
    let mut world = World::with(Options {
        ipv6: None,
        ..options()
    });
    let mut alice = world.ready("alice");
    let mut seen = Vec::new();
    let mut ask = |client: &mut Client, world: &mut World, method, fill: fn(&mut Writer<'_>)| {
        let answer = client.ask(world, method, fill);
        let kinds: Vec<_> = answer.attributes().iter().map(|(kind, _)| *kind).collect();
        let mut expected = vec![AttributeType::ERROR_CODE, AttributeType::MESSAGE_INTEGRITY];
        if answer.code == 420 {
            expected.insert(1, AttributeType::UNKNOWN_ATTRIBUTES);
        }
        assert_eq!(kinds, expected);
        assert_eq!(answer.values(AttributeType::ERROR_CODE)[0].len(), 4);
        seen.push(answer.code);
    };

    ask(&mut alice, &mut world, Method::ALLOCATE, |_| ());
    ask(&mut alice, &mut world, Method::ALLOCATE, unknown);
    ask(&mut alice, &mut world, Method::ALLOCATE, |writer| {
        writer.put(&RequestedTransport(6)).unwrap();
    });
    ask(&mut alice, &mut world, Method::ALLOCATE, |writer| {
        udp(writer);
        writer.put(&raw(0x0017, &[2, 0, 0, 0])).unwrap();
    });
    ask(&mut alice, &mut world, Method::ALLOCATE, |writer| {
        udp(writer);
        writer.put(&raw(0x0022, &[0; 8])).unwrap();
    });
    ask(&mut alice, &mut world, Method::REFRESH, |_| ());
    for _ in 0..8 {
        world.client("greedy").allocate(&mut world);
    }
    let mut greedy = world.ready("greedy");
    ask(&mut greedy, &mut world, Method::ALLOCATE, udp);
    alice.allocate(&mut world);
    ask(
        &mut alice,
        &mut world,
        Method::CREATE_PERMISSION,
        |writer| peer(writer, DENIED),
    );
    ask(
        &mut alice,
        &mut world,
        Method::CREATE_PERMISSION,
        |writer| peer(writer, DENIED_V6),
    );
    let mut mallory = other_user(&mut world, &alice);
    ask(&mut mallory, &mut world, Method::CHANNEL_BIND, |_| ());

    assert_eq!(seen, [400, 420, 442, 440, 508, 437, 486, 403, 443, 441]);
}

/// LK-09: whatever the reason, a refused peer earns the same bytes.
#[test]
fn refusals_of_peers_differ_in_nothing() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    let own_listener = "192.88.1.1:3478";
    let dead_relay_port = &format!("{RELAY4}:50000");
    let lengths = [
        DENIED,
        "169.254.169.254:80",
        own_listener,
        dead_relay_port,
        "127.0.0.1:1",
    ]
    .map(|denied| {
        let answer = alice.bind(&mut world, 0x4000, addr(denied));
        assert_eq!(answer.code, 403, "{denied}");
        let mut attributes = answer.attributes();
        attributes.pop();
        attributes
    });

    assert!(lengths.iter().all(|attributes| *attributes == lengths[0]));
}

/// PR-01: framing, then credentials, then everything else.
#[test]
fn credentials_come_before_everything_that_they_protect() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    for method in [
        Method::ALLOCATE,
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
    ] {
        let mut wrong = Client::new(alice.at, &world.credential("bob", 3600));
        assert_eq!(wrong.refused(&mut world, method, unknown), 401);
        wrong.nonce = "stale".to_owned();
        assert_eq!(wrong.refused(&mut world, method, unknown), 438);
        wrong.nonce.clone_from(&alice.nonce);
        wrong.key = HmacKey::sha1(b"guess");
        assert_eq!(wrong.refused(&mut world, method, unknown), 401);
        let sealed = {
            let mut bytes = alice.request(method, unknown);
            bytes.extend([0x80, 0x28, 0, 4, 0, 0, 0, 0]);
            let length = u16::try_from(bytes.len() - 20).unwrap().to_be_bytes();
            bytes[2..4].copy_from_slice(&length);
            bytes
        };
        let outcome = world.send(&alice.at, &sealed);
        assert_eq!(outcome, Outcome::Dropped(DropReason::BadFingerprint));
    }
}

/// PR-01: 420 before 437 and 441.
#[test]
fn unknown_attributes_come_before_the_allocation() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    assert_eq!(alice.refused(&mut world, Method::REFRESH, unknown), 420);
    assert_eq!(
        alice.refused(&mut world, Method::CHANNEL_BIND, unknown),
        420
    );
    alice.allocate(&mut world);
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, unknown), 420);
    let mut mallory = other_user(&mut world, &alice);
    assert_eq!(mallory.refused(&mut world, Method::REFRESH, unknown), 420);
}

/// PR-01, PR-02: 437 before what the request says.
#[test]
fn allocation_comes_before_what_the_request_says() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    let bad_lifetime: fn(&mut Writer<'_>) = |writer| writer.put(&raw(0x000D, &[0])).unwrap();
    let nothing: fn(&mut Writer<'_>) = |_| ();
    for method in [
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
    ] {
        assert_eq!(alice.refused(&mut world, method, bad_lifetime), 437);
    }
    alice.allocate(&mut world);
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, nothing), 437);
    assert_eq!(
        alice.refused(&mut world, Method::ALLOCATE, bad_lifetime),
        437
    );
}

/// PR-01: 441 before what the request says.
#[test]
fn owner_comes_before_what_the_request_says() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    let mut mallory = other_user(&mut world, &alice);
    let bad: fn(&mut Writer<'_>) = |writer| writer.put(&raw(0x000D, &[0])).unwrap();
    for method in [
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
    ] {
        assert_eq!(mallory.refused(&mut world, method, bad), 441);
    }
    let denied: fn(&mut Writer<'_>) = |writer| peer(writer, DENIED);
    assert_eq!(
        mallory.refused(&mut world, Method::CREATE_PERMISSION, denied),
        441
    );
    assert_eq!(
        mallory.refused(&mut world, Method::ALLOCATE, udp),
        437,
        "AL-04"
    );
}

/// PR-03.
#[test]
fn transport_comes_before_reservations() {
    let mut world = World::new();
    let mut alice = world.ready("alice");

    let code = alice.refused(&mut world, Method::ALLOCATE, |writer| {
        writer.put(&raw(0x0018, &[0x80])).unwrap();
        writer.put(&raw(0x0022, &[0; 8])).unwrap();
        writer.put(&RequestedTransport(1)).unwrap();
    });

    assert_eq!(code, 442);
}

/// PR-01: 440 before 486, since no quota would help.
#[test]
fn family_comes_before_the_quota() {
    let mut options = options();
    options.ipv6 = None;
    options.limits.allocations_per_user = 0;
    let mut world = World::with(options);
    let mut alice = world.ready("alice");

    let code = alice.refused(&mut world, Method::ALLOCATE, |writer| {
        udp(writer);
        writer.put(&raw(0x0017, &[2, 0, 0, 0])).unwrap();
    });

    assert_eq!(code, 440);
}

/// PR-06: no socket is opened either, as `refused` checks.
#[test]
fn bad_request_comes_before_the_quota() {
    let mut options = options();
    options.limits.allocations_per_user = 0;
    let mut world = World::with(options);
    let mut alice = world.ready("alice");

    let bad = alice.refused(&mut world, Method::ALLOCATE, |writer| {
        udp(writer);
        writer.put(&raw(0x000D, &[0])).unwrap();
    });

    assert_eq!(bad, 400);
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, udp), 486);
}

/// PR-01, PR-04, PR-05: 400, then 443, then 403, then 508.
#[test]
fn faults_of_peers_are_named_in_order() {
    let mut options = options();
    options.limits.permissions = 1;
    options.limits.channels = 1;
    let mut world = World::with(options);
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER)).code, 0);
    let mut permit =
        |fill: fn(&mut Writer<'_>)| alice.refused(&mut world, Method::CREATE_PERMISSION, fill);

    assert_eq!(permit(|writer| peer(writer, DENIED_V6)), 443);
    assert_eq!(permit(|writer| peer(writer, DENIED)), 403);
    assert_eq!(permit(|writer| peer(writer, "9.9.9.9:5000")), 508);
    let mixed = permit(|writer| {
        peer(writer, DENIED);
        peer(writer, DENIED_V6);
    });
    assert!(matches!(mixed, 403 | 443));

    let mut bind =
        |fill: fn(&mut Writer<'_>)| alice.refused(&mut world, Method::CHANNEL_BIND, fill);
    assert_eq!(
        bind(|writer| {
            writer.put(&raw(0x000C, &[0x50, 0, 0, 0])).unwrap();
            peer(writer, DENIED_V6);
        }),
        400
    );
    assert_eq!(bind(|writer| channel(writer, "10.0.0.1:0")), 400);
    assert_eq!(bind(|writer| channel(writer, DENIED_V6)), 443);
    assert_eq!(bind(|writer| channel(writer, DENIED)), 403);
    assert_eq!(bind(|writer| channel(writer, "9.9.9.9:5000")), 508);
}

/// PR-01: a Refresh that is both malformed and for a family that the allocation does not have.
#[test]
fn malformed_lifetime_comes_before_the_family() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    let wrong_family: fn(&mut Writer<'_>) =
        |writer| writer.put(&raw(0x0017, &[2, 0, 0, 0])).unwrap();

    let both = alice.refused(&mut world, Method::REFRESH, |writer| {
        wrong_family(writer);
        writer.put(&raw(0x000D, &[0])).unwrap();
    });

    assert_eq!(both, 400);
    assert_eq!(
        alice.refused(&mut world, Method::REFRESH, wrong_family),
        443
    );
    let zero: Answer = alice.ask(&mut world, Method::REFRESH, |writer| {
        wrong_family(writer);
        writer.put(&Lifetime(0)).unwrap();
    });
    assert_eq!((zero.code, world.relays[0].allocations()), (443, 1));
}

fn unknown(writer: &mut Writer<'_>) {
    writer.put(&raw(0x7FFF, &[])).unwrap();
}

fn peer(writer: &mut Writer<'_>, peer: &str) {
    writer.put(&XorPeerAddress(addr(peer))).unwrap();
}

fn channel(writer: &mut Writer<'_>, to: &str) {
    let number = ChannelNumber::new(0x4001).unwrap();
    writer.put(&ChannelNumberAttribute(number)).unwrap();
    peer(writer, to);
}

/// Somebody else with good credentials on a client's 5-tuple.
fn other_user(world: &mut World, client: &Client) -> Client {
    let mut other = Client::new(client.at, &world.credential("mallory", 3600));
    other.learn_nonce(world);
    // Not to be taken for a retransmission of the client's requests.
    other.last += 1_000;
    other
}
