//! What is no message, or was one before somebody touched it: B-08 to B-11 and the vectors of the RFCs.

use super::client::{Answer, channel_data, message, raw};
use super::world::{Outcome, World, addr, five_tuple, options};
use crate::relay::{DropReason, FiveTuple};
use crate::wire::vectors::{V1, V2, V3, V4, V5, hex};
use crate::wire::{Class, Lifetime, Method, RequestedTransport, Username, XorPeerAddress};

const PEER: &str = "8.8.8.8:5000";

/// B-08: too short, of another protocol, longer than it is, of a length that no message has.
#[test]
fn bytes_that_are_no_message_are_dropped() {
    let mut world = World::new();
    let good = message(Class::Request, Method::BINDING, |writer| {
        writer.put(&Username("alice")).unwrap();
    });
    let with_length = |length: u8, extra: usize| {
        let mut bytes = good.clone();
        bytes[3] = length;
        bytes.resize(bytes.len() + extra, 0);
        bytes
    };
    let length = u8::try_from(good.len() - 20).unwrap();
    let cases = [
        vec![],
        good[..19].to_vec(),
        with_length(length + 4, 0),
        with_length(length - 4, 0),
        with_length(length + 1, 1),
        with_length(length + 2, 2),
        [&[0x80], &good[1..]].concat(),
        [&[0xC0], &good[1..]].concat(),
    ];
    for bytes in cases {
        assert_eq!(anonymous(&mut world, &bytes), DROPPED, "{bytes:02x?}");
    }
}

/// B-09, B-10: X-1 hides an attribute behind the length, X-2 lacks padding, X-3 overruns.
#[test]
fn vectors_x1_to_x3_are_dropped() {
    let mut world = World::new();
    for vector in [
        "000100002112a442000102030405060708090a0b001200080001a147e112a643",
        "000100052112a442000102030405060708090a0b0006000141",
        "000100082112a442000102030405060708090a0b0006ffff41000000",
    ] {
        assert_eq!(anonymous(&mut world, &hex(vector)), DROPPED, "{vector}");
    }
}

#[test]
fn vectors_x4_to_x7_carry_what_their_length_says() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, addr(PEER));
    let mut sent = |vector| world.send(&alice.at, &hex(vector));

    let four = sent("4000000401020304aabbccdd");
    let foreign = sent("5000000401020304");
    let short = sent("40000001");
    let empty = sent("40000000");

    let payload = |outcome| {
        let Outcome::ToPeer { data, .. } = outcome else {
            panic!("not relayed: {outcome:?}")
        };
        data
    };
    assert_eq!(payload(four), [1, 2, 3, 4]);
    assert_eq!(foreign, Outcome::Dropped(DropReason::NoChannel));
    assert_eq!(short, DROPPED);
    assert!(payload(empty).is_empty());
}

/// X-8; and without an allocation whole ChannelData goes nowhere either.
#[test]
fn single_bytes_and_channel_data_of_strangers_are_dropped() {
    let mut world = World::new();
    for byte in 0..=u8::MAX {
        assert_eq!(anonymous(&mut world, &[byte]), DROPPED);
    }
    let outcome = anonymous(&mut world, &channel_data(0x4000, b"data"));
    assert_eq!(outcome, Outcome::Dropped(DropReason::NoAllocation));
}

/// V-1, V-4 and V-5 are Binding requests, which nobody has to authenticate; V-2 and V-3 are responses. V-1 is padded
/// with spaces (B-11).
#[test]
fn vectors_are_answered_as_what_they_are() {
    let mut world = World::new();
    for (vector, answered) in [(V1, true), (V2, false), (V3, false), (V4, true), (V5, true)] {
        let request = hex(vector);
        let outcome = anonymous(&mut world, &request);

        if answered {
            assert_eq!(Answer::of(outcome.reply(), &request, None).code, 0);
        } else {
            assert_eq!(outcome, Outcome::Dropped(DropReason::UnexpectedMessage));
        }
    }
}

/// V-6: RFC 8489 appendix B.1 as it was published claims more bytes than it has.
#[test]
fn vector_v6_with_its_wrong_length_is_dropped() {
    let mut world = World::new();
    let mut published = hex(V5);
    // The published text lacks PASSWORD-ALGORITHM, eight bytes in front of the integrity.
    published.drain(120..128);
    published[3] = 0x9C;

    assert_eq!(published.len(), 156);
    assert_eq!(anonymous(&mut world, &published), DROPPED);
}

#[test]
fn every_truncation_of_the_vectors_is_dropped() {
    let mut world = World::new();
    for vector in [V1, V2, V3, V4, V5].map(hex) {
        for len in 0..vector.len() {
            assert_eq!(
                anonymous(&mut world, &vector[..len]),
                DROPPED,
                "{len} bytes"
            );
        }
    }
    assert_untouched(&world);
}

/// V-8: an altered vector is dropped or refused; it may still be a Binding request, which promises nothing.
#[test]
fn every_single_bit_flip_of_the_vectors_leaves_no_state() {
    let mut world = patient_world();
    for vector in [V1, V2, V3, V4, V5].map(hex) {
        for flipped in bit_flips(&vector) {
            if let Outcome::Reply(reply) = anonymous(&mut world, &flipped) {
                let answer = Answer::of(reply, &flipped, None);
                let binding = answer.message().method() == Method::BINDING;
                assert!(answer.code != 0 || binding, "{flipped:02x?}");
            }
        }
    }
    assert_untouched(&world);
}

/// V-8, with a request that would be granted.
#[test]
fn no_bit_of_an_authentic_request_can_be_changed() {
    let mut world = patient_world();
    let mut alice = world.client("alice");
    alice.learn_nonce(&mut world);
    let request = alice.request(Method::ALLOCATE, |writer| {
        writer.put(&RequestedTransport(17)).unwrap();
        writer.put(&Lifetime(700)).unwrap();
    });
    for flipped in bit_flips(&request) {
        if let Outcome::Reply(reply) = world.send(&alice.at, &flipped) {
            let answer = Answer::of(reply, &flipped, None);
            let binding = answer.message().method() == Method::BINDING;
            assert!(matches!(answer.code, 400 | 401 | 438) || binding);
        }
        assert_untouched(&world);
    }

    assert!(matches!(world.send(&alice.at, &request), Outcome::Reply(_)));
    assert_eq!(
        world.relays[0].allocations(),
        1,
        "the request itself is good"
    );
}

/// Cut short and with a length that fits: whatever is lost, nothing is granted.
#[test]
fn no_part_of_an_authentic_request_is_enough() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.learn_nonce(&mut world);
    let request = alice.request(Method::ALLOCATE, |writer| {
        writer.put(&RequestedTransport(17)).unwrap();
    });
    for len in (20..request.len()).step_by(4) {
        let mut part = request[..len].to_vec();
        part[3] = u8::try_from(len - 20).unwrap();

        let outcome = world.send(&alice.at, &part);

        if let Outcome::Reply(reply) = outcome {
            assert_eq!(Answer::of(reply, &part, None).code, 401);
        } else {
            assert_eq!(outcome, DROPPED);
        }
        assert_untouched(&world);
    }
}

/// B-11: what the padding holds is part of the message.
#[test]
fn padding_may_hold_anything_but_is_covered() {
    let mut world = World::new();
    let mut vector = hex(V1);
    let padding = 20 + 20 + 8 + 12 + 4 + 9;
    assert_eq!(vector[padding..padding + 3], *b"   ");

    vector[padding] = 0;

    let outcome = anonymous(&mut world, &vector);
    assert_eq!(outcome, Outcome::Dropped(DropReason::BadFingerprint));
}

/// X-3 and its like, authenticated: an allocation survives whatever its client sends.
#[test]
fn malformed_attributes_of_an_authenticated_client_change_nothing() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, addr(PEER));
    for (method, kind) in [
        (Method::REFRESH, 0x000D),
        (Method::REFRESH, 0x0017),
        (Method::CREATE_PERMISSION, 0x0012),
        (Method::CHANNEL_BIND, 0x0012),
        (Method::CHANNEL_BIND, 0x000C),
    ] {
        for len in [0, 1, 3, 5, 7, 9, 21] {
            let code = alice.refused(&mut world, method, |writer| {
                writer.put(&raw(kind, &vec![1; len])).unwrap();
                writer.put(&XorPeerAddress(addr(PEER))).unwrap();
            });
            assert_eq!(code, 400, "{method:?} {kind:#x} {len}");
        }
    }
}

const DROPPED: Outcome = Outcome::Dropped(DropReason::Malformed);

/// A world that answers challenges as fast as they are provoked.
fn patient_world() -> World {
    let mut options = options();
    options.limits.challenges_per_second = 1_000_000;
    options.limits.bindings_per_second = 1_000_000;
    World::with(options)
}

fn anonymous(world: &mut World, bytes: &[u8]) -> Outcome {
    let from: FiveTuple = five_tuple(addr("24.0.0.9:40000"));
    world.send(&from, bytes)
}

#[track_caller]
fn assert_untouched(world: &World) {
    assert_eq!(world.snapshot(), World::new().snapshot());
}

fn bit_flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}
