//! Binding, and what is answered at all (group B).

use std::net::SocketAddr;

use super::client::{Answer, message, raw};
use super::world::{Outcome, World, addr, five_tuple, options};
use crate::relay::{DropReason, FiveTuple};
use crate::wire::{
    AttributeType, Class, Demux, Message, Method, Software, TransactionId, UnknownAttributes,
    Writer, XorMappedAddress, XorPeerAddress,
};

const V4: &str = "24.0.0.9:40000";
const V6: &str = "[2600:2::9]:40000";

/// B-00, B-01: and nobody is asked who they are.
#[test]
fn client_of_either_family_is_told_its_own_address_and_nothing_else() {
    let mut world = World::new();
    for client in [V4, V6].map(addr) {
        let answer = bind(&mut world, client, |_| ());

        assert_eq!(answer.code, 0);
        assert_eq!(mapped(&answer), client);
        assert_eq!(answer.attributes().len(), 1);
    }
}

/// B-01: a socket for both families shows IPv4 clients by mapped addresses.
#[test]
fn ipv4_client_of_an_ipv6_socket_is_told_its_ipv4_address() {
    let mut world = World::new();

    let answer = bind(&mut world, addr("[::ffff:24.0.0.9]:40000"), |_| ());

    assert_eq!(mapped(&answer), addr(V4));
}

/// B-02, by hand.
#[test]
fn ipv6_address_is_masked_with_cookie_and_transaction() {
    let mut world = World::new();
    let client = addr(V6);
    for id in [[0; 12], [0xC3; 12]] {
        let mut buf = [0; 20];
        let binding = Method::BINDING;
        Writer::new(&mut buf, Class::Request, binding, TransactionId(id)).unwrap();

        let answer = Answer::of(world.send(&five_tuple(client), &buf).reply(), &buf, None);

        let mask = [&[0x21, 0x12, 0xA4, 0x42][..], &id].concat();
        let value = &answer.values(AttributeType::XOR_MAPPED_ADDRESS)[0];
        let plain: Vec<u8> = value[4..].iter().zip(&mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(value[..2], [0, 2]);
        assert_eq!(value[2..4], (40_000_u16 ^ 0x2112).to_be_bytes());
        let SocketAddr::V6(client) = client else {
            unreachable!("written as IPv6")
        };
        assert_eq!(plain, client.ip().octets());
    }
}

/// B-03: padding is checked of every answer.
#[test]
fn attributes_that_must_be_understood_and_are_not_are_listed_in_order() {
    let mut world = World::new();

    let answer = bind(&mut world, addr(V4), |writer| {
        for kind in [0x7FFF, 0x8FFF, 0x07AD, 0x0005] {
            writer.put(&raw(kind, b"x")).unwrap();
        }
    });

    assert_eq!(answer.code, 420);
    assert_eq!(unknown(&answer), [0x7FFF, 0x07AD, 0x0005]);
}

/// B-03.
#[test]
fn attributes_that_need_not_be_understood_are_ignored() {
    let mut world = World::new();

    let answer = bind(&mut world, addr(V4), |writer| {
        for kind in [0x8FFF, 0xC057, 0x802E] {
            writer.put(&raw(kind, &[])).unwrap();
        }
    });

    assert_eq!(answer.code, 0);
}

/// B-04.
#[test]
fn list_of_unknown_attributes_names_each_once_and_is_cut_short() {
    let mut world = World::new();

    let twice = bind(&mut world, addr(V4), |writer| {
        for kind in [0x7001, 0x7002, 0x7001] {
            writer.put(&raw(kind, &[])).unwrap();
        }
    });
    let request = message(Class::Request, Method::BINDING, |writer| {
        for kind in 0x7000..0x7000 + 250 {
            writer.put(&raw(kind, &[])).unwrap();
        }
    });
    let from = five_tuple(addr(V4));
    let many = Answer::of(world.send(&from, &request).reply(), &request, None);

    assert_eq!(unknown(&twice), [0x7001, 0x7002]);
    let first: Vec<u16> = (0x7000..0x7000 + 32).collect();
    assert_eq!(unknown(&many), first);
    assert!(many.bytes.len() <= request.len());
}

/// B-05.
#[test]
fn known_attributes_without_a_meaning_for_binding_are_ignored() {
    let mut world = World::new();

    let answer = bind(&mut world, addr(V4), |writer| {
        for kind in [0x000D, 0x0024, 0x0025, 0x8029, 0x802A, 0x0019] {
            writer.put(&raw(kind, b"any")).unwrap();
        }
        writer.put(&XorPeerAddress(addr("8.8.8.8:53"))).unwrap();
    });

    assert_eq!(answer.code, 0);
}

/// B-05, ND-03, OA-01: what is not implemented is not pretended.
#[test]
fn attributes_of_features_that_are_absent_are_unknown() {
    let mut world = World::new();
    for kind in [0x0003, 0x0026, 0x0027, 0x001B] {
        let answer = bind(&mut world, addr(V4), |writer| {
            writer.put(&raw(kind, &[0; 4])).unwrap();
        });

        assert_eq!((answer.code, unknown(&answer)), (420, vec![kind]));
    }
}

/// B-06.
#[test]
fn binding_indication_is_never_answered() {
    let mut world = World::new();
    let from = five_tuple(addr(V4));
    for kind in [0x8FFF, 0x7FFF] {
        let indication = message(Class::Indication, Method::BINDING, |writer| {
            writer.put(&raw(kind, &[])).unwrap();
        });

        let outcome = world.send(&from, &indication);

        assert_eq!(outcome, Outcome::Dropped(DropReason::Keepalive));
    }
}

/// B-07: all methods in all classes, from a client that has an allocation.
#[test]
fn what_a_client_cannot_ask_of_a_server_is_dropped() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    let before = world.snapshot();
    for method in (0..=0xFFF).filter_map(Method::new) {
        for class in [
            Class::Request,
            Class::Indication,
            Class::Success,
            Class::Error,
        ] {
            let expected = match (class, method.number()) {
                (Class::Request, 1 | 3 | 4 | 8 | 9) => None,
                (Class::Indication, 1) => Some(DropReason::Keepalive),
                (Class::Indication, 6) => Some(DropReason::BadIndication),
                // The first byte is that of another protocol (RFC 7983).
                (_, 0x100..) => Some(DropReason::Malformed),
                _ => Some(DropReason::UnexpectedMessage),
            };
            let sent = message(class, method, |_| ());

            let outcome = world.send(&alice.at, &sent);

            match (expected, outcome) {
                (None, Outcome::Reply(_)) => (),
                (None, outcome) => panic!("{method:?}: {outcome:?}"),
                (Some(reason), outcome) => assert_eq!(outcome, Outcome::Dropped(reason)),
            }
        }
    }
    assert_eq!(world.snapshot(), before);
}

/// B-12, B-14.
#[test]
fn answer_has_a_fingerprint_where_the_request_has() {
    let mut world = World::new();

    let with = bind(&mut world, addr(V4), |writer| writer.fingerprint().unwrap());
    let without = bind(&mut world, addr(V4), |_| ());
    let refused = bind(&mut world, addr(V4), |writer| {
        writer.put(&raw(0x7FFF, &[])).unwrap();
        writer.fingerprint().unwrap();
    });

    assert_eq!((with.code, refused.code), (0, 420));
    assert_eq!(with.values(AttributeType::FINGERPRINT).len(), 1);
    assert_eq!(without.values(AttributeType::FINGERPRINT).len(), 0);
}

/// B-14: and behind the integrity of an authenticated answer.
#[test]
fn authenticated_answer_ends_in_the_fingerprint_too() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    let mut request = alice.request(Method::REFRESH, |_| ());
    seal(&mut request);

    let answer = Answer::of(
        world.send(&alice.at, &request).reply(),
        &request,
        Some(&alice.key),
    );

    assert_eq!(answer.code, 0);
    let last = answer.attributes().pop().unwrap();
    assert_eq!(last.0, AttributeType::FINGERPRINT);
}

/// B-12, B-13.
#[test]
fn message_with_a_wrong_fingerprint_is_dropped() {
    let mut world = World::new();
    let from = five_tuple(addr(V4));
    let sealed = |after: bool| {
        message(Class::Request, Method::BINDING, |writer| {
            writer.fingerprint().unwrap();
            if after {
                writer.put(&Software("x")).unwrap();
            }
        })
    };
    let mut wrong = sealed(false);
    *wrong.last_mut().unwrap() ^= 1;

    for bytes in [wrong, sealed(true)] {
        let outcome = world.send(&from, &bytes);
        assert_eq!(outcome, Outcome::Dropped(DropReason::BadFingerprint));
    }
}

/// B-15.
#[test]
fn retransmission_gets_the_same_answer() {
    let mut world = World::new();
    let request = message(Class::Request, Method::BINDING, |_| ());
    let from = five_tuple(addr(V4));

    let first = world.send(&from, &request);
    world.pass_secs(1);

    assert_eq!(world.send(&from, &request), first);
}

/// B-16, B-17: without the cookie it is a message of RFC 3489, which is not served.
#[test]
fn message_without_the_cookie_is_dropped() {
    let mut world = World::new();
    let from = five_tuple(addr(V4));
    for method in [Method::BINDING, Method::ALLOCATE, Method::REFRESH] {
        for byte in 4..8 {
            let mut request = message(Class::Request, method, |_| ());
            request[byte] ^= 0x10;

            let outcome = world.send(&from, &request);

            assert_eq!(outcome, Outcome::Dropped(DropReason::Malformed));
        }
    }
}

/// B-23: the name of the software is for those who may be here; reason phrases are checked of every answer (B-22).
#[test]
fn software_is_named_to_authenticated_clients_alone() {
    let mut options = options();
    options.software = Some("veilturn".to_owned());
    let mut world = World::with(options);
    let mut alice = world.client("alice");
    let software = |answer: &Answer| answer.values(AttributeType::SOFTWARE);

    let binding = bind(&mut world, addr(V4), |_| ());
    let challenge = alice.ask(&mut world, Method::ALLOCATE, |_| ());
    let granted = alice.try_allocate(&mut world, |_| ());
    let refused = alice.try_allocate(&mut world, |_| ());

    assert_eq!((challenge.code, granted.code, refused.code), (401, 0, 437));
    assert!(software(&binding).is_empty() && software(&challenge).is_empty());
    assert_eq!(software(&granted), [b"veilturn"]);
    assert_eq!(software(&refused), [b"veilturn"]);
    let mut quiet = World::new();
    let mut bob = quiet.client("bob");
    assert!(software(&bob.try_allocate(&mut quiet, |_| ())).is_empty());
}

/// B-24, X-52 (a).
#[test]
fn source_that_no_client_can_have_is_not_answered() {
    let mut world = World::new();
    let relayed = world.client("alice").allocate(&mut world);
    let at_bind = SocketAddr::new("10.0.0.5".parse().unwrap(), relayed.port());
    let sources = [
        "24.0.0.9:0",
        "192.88.1.1:3478",
        "224.0.0.1:40000",
        "255.255.255.255:40000",
        "0.0.0.0:40000",
        "[ff02::1]:40000",
        "[::]:40000",
    ];
    for source in sources.map(addr).into_iter().chain([relayed, at_bind]) {
        for method in [Method::BINDING, Method::ALLOCATE, Method::REFRESH] {
            let request = message(Class::Request, method, |_| ());

            let outcome = world.send(&five_tuple(source), &request);

            let expected = Outcome::Dropped(DropReason::BadSource);
            assert_eq!(outcome, expected, "{method:?} from {source}");
        }
    }
}

/// X-52 (a): a relay port that nobody has is an address like any other.
#[test]
fn free_relay_port_is_no_forbidden_source() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let relayed = alice.allocate(&mut world);
    alice.refresh(&mut world, 0);

    let answer = bind(&mut world, relayed, |_| ());

    assert_eq!(answer.code, 0);
}

/// LK-05: with Binding turned off, nobody learns an address without a credential, and calls work as before.
#[test]
fn binding_is_silent_where_it_is_turned_off() {
    let mut options = options();
    options.binding = false;
    let mut world = World::with(options);
    let mut alice = world.client("alice");
    let request = message(Class::Request, Method::BINDING, |_| ());

    let outcome = world.send(&alice.at, &request);
    let allocated = alice.try_allocate(&mut world, |_| ());

    assert_eq!(outcome, Outcome::Dropped(DropReason::UnexpectedMessage));
    assert_eq!(mapped(&allocated), alice.at.client.reveal());
}

/// LK-05: two clients at once, each hears of itself.
#[test]
fn nobody_is_told_the_address_of_another() {
    let mut world = World::new();
    let (mut alice, mut bob) = (world.client("alice"), world.client("bob"));

    for client in [&mut alice, &mut bob] {
        let answer = client.try_allocate(&mut world, |_| ());
        assert_eq!(mapped(&answer), client.at.client.reveal());
        assert_eq!(answer.values(AttributeType::XOR_MAPPED_ADDRESS).len(), 1);
    }
}

/// D-01: every first byte, alone and in front of what would be a message otherwise.
#[test]
fn first_byte_decides_the_protocol() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    let before = world.snapshot();
    let mut message = message(Class::Request, Method::BINDING, |writer| {
        writer.put(&raw(0x8FFF, &[0; 60])).unwrap();
    });
    message[1] = 0;
    for first in 0..=u8::MAX {
        message[0] = first;
        for bytes in [&message[..1], &message] {
            let whole = bytes.len() > 1;
            let expected = match Demux::of(first) {
                Demux::Stun if whole => DropReason::UnexpectedMessage,
                Demux::ChannelData if whole => DropReason::NoChannel,
                Demux::Stun | Demux::ChannelData | Demux::Dtls | Demux::Unknown => {
                    DropReason::Malformed
                }
            };

            let outcome = world.send(&alice.at, bytes);

            assert_eq!(outcome, Outcome::Dropped(expected), "{first:#x}");
        }
    }
    assert_eq!(world.snapshot(), before);
}

fn bind(world: &mut World, client: SocketAddr, fill: impl FnOnce(&mut Writer<'_>)) -> Answer {
    let request = message(Class::Request, Method::BINDING, fill);
    let from: FiveTuple = five_tuple(client);
    Answer::of(world.send(&from, &request).reply(), &request, None)
}

fn mapped(answer: &Answer) -> SocketAddr {
    let mapped: Option<XorMappedAddress> = answer.message().get().unwrap();
    mapped.expect("an XOR-MAPPED-ADDRESS").0
}

fn unknown(answer: &Answer) -> Vec<u16> {
    let list: UnknownAttributes = answer.message().get().unwrap().unwrap();
    list.iter().map(|kind| kind.0).collect()
}

/// Appends a FINGERPRINT to a finished message.
fn seal(bytes: &mut Vec<u8>) {
    let message = Message::parse(bytes).unwrap();
    let (class, method, id) = (message.class(), message.method(), message.transaction_id());
    let attributes = bytes[20..].to_vec();
    let mut buf = vec![0; bytes.len() + 8];
    let mut writer = Writer::new(&mut buf, class, method, id).unwrap();
    let mut rest = &attributes[..];
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let kind = u16::from_be_bytes([head[0], head[1]]);
        writer.put(&raw(kind, &tail[..len])).unwrap();
        rest = &tail[len.next_multiple_of(4)..];
    }
    writer.fingerprint().unwrap();
    *bytes = buf;
}
