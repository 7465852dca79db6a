//! What holds for any message and any bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// An attribute as it is put into a message.
#[derive(Clone, Debug)]
struct Put {
    kind: AttributeType,
    value: Vec<u8>,
}

/// A type that often repeats, and is often one that ends what is visible.
fn kind() -> impl Strategy<Value = AttributeType> {
    prop_oneof![
        4 => (0..8_u16).prop_map(AttributeType),
        2 => any::<u16>().prop_map(AttributeType),
        1 => Just(AttributeType::MESSAGE_INTEGRITY),
        1 => Just(AttributeType::MESSAGE_INTEGRITY_SHA256),
        1 => Just(AttributeType::FINGERPRINT),
    ]
}

fn puts() -> impl Strategy<Value = Vec<Put>> {
    let value = prop_oneof![
        vec(any::<u8>(), 0..9),
        vec(any::<u8>(), 20),
        vec(any::<u8>(), 32)
    ];
    vec(
        (kind(), value).prop_map(|(kind, value)| Put { kind, value }),
        0..12,
    )
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![
        Just(Class::Request),
        Just(Class::Indication),
        Just(Class::Success),
        Just(Class::Error)
    ]
}

fn method() -> impl Strategy<Value = Method> {
    (0..=0xFFF_u16).prop_map(|number| Method::new(number).expect("12 bits"))
}

fn written(puts: &[Put], class: Class, method: Method, id: TransactionId) -> Vec<u8> {
    let mut buf = vec![0xEE; 1024];
    let mut writer = Writer::new(&mut buf, class, method, id).expect("room");
    for Put { kind, value } in puts {
        writer
            .put(&RawAttribute { kind: *kind, value })
            .expect("room");
    }
    let len = writer.finish();
    buf.truncate(len);
    buf
}

fn key_for(hash: Hash, raw: &[u8]) -> HmacKey {
    match hash {
        Hash::Sha1 => HmacKey::sha1(raw),
        Hash::Sha256 => HmacKey::sha256(raw),
    }
}

/// What is to be seen of a message.
struct Model<'a> {
    visible: Vec<(AttributeType, &'a [u8])>,
    integrity: Option<Integrity>,
    fingerprint: bool,
}

/// The rules of RFC 8489 sections 14.5 to 14.7, told as a filter: which of the attributes are visible, and the first
/// of each sealing kind that counts.
fn model(puts: &[Put]) -> Model<'_> {
    let position = |kinds: &[AttributeType]| {
        puts.iter()
            .position(|put| kinds.contains(&put.kind))
            .unwrap_or(puts.len())
    };
    let end = position(&[AttributeType::FINGERPRINT]);
    let sha256 = position(&[AttributeType::MESSAGE_INTEGRITY_SHA256]).min(end);
    let sha1 = position(&[AttributeType::MESSAGE_INTEGRITY]).min(sha256);
    let visible = puts[..sha1]
        .iter()
        .map(|put| (put.kind, &*put.value))
        .collect();
    let integrity = if sha256 < end {
        Some((Hash::Sha256, sha256))
    } else if sha1 < sha256 {
        Some((Hash::Sha1, sha1))
    } else {
        None
    };
    let integrity = integrity.map(|(hash, at)| Integrity {
        hash,
        len: puts[at].value.len(),
    });
    Model {
        visible,
        integrity,
        fingerprint: end < puts.len(),
    }
}

/// Calls everything that reads a message.
fn read_all(message: &Message<'_>) {
    fn decode<'a, A: Attribute<'a>>(message: &Message<'a>) {
        let _ = message.get::<A>();
    }
    decode::<MappedAddress>(message);
    decode::<XorMappedAddress>(message);
    decode::<XorPeerAddress>(message);
    decode::<XorRelayedAddress>(message);
    decode::<AlternateServer>(message);
    decode::<Username<'_>>(message);
    decode::<UserHash<'_>>(message);
    decode::<Realm<'_>>(message);
    decode::<Nonce<'_>>(message);
    decode::<Software<'_>>(message);
    decode::<AlternateDomain<'_>>(message);
    decode::<ErrorCode<'_>>(message);
    decode::<AddressErrorCode<'_>>(message);
    decode::<UnknownAttributes>(message);
    decode::<Icmp>(message);
    decode::<Lifetime>(message);
    decode::<ChannelNumberAttribute>(message);
    decode::<RequestedTransport>(message);
    decode::<RequestedAddressFamily>(message);
    decode::<AdditionalAddressFamily>(message);
    decode::<EvenPort>(message);
    decode::<DontFragment>(message);
    decode::<ConnectionId>(message);
    decode::<ReservationToken>(message);
    decode::<Data<'_>>(message);
    decode::<PasswordAlgorithm<'_>>(message);
    if let Ok(Some(algorithms)) = message.get::<PasswordAlgorithms<'_>>() {
        assert!(algorithms.iter().count() <= message.bytes().len());
    }
    let _ = message.verify(&HmacKey::sha1(b"key"));
    let _ = message.verify(&HmacKey::sha256(b"key"));
    let _ = message.fingerprint();
    let _ = message.unknown_required(|_| false);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_by_the_rules_of_sealing(
        puts in puts(), class in class(), method in method(), id in any::<[u8; 12]>()
    ) {
        let bytes = written(&puts, class, method, TransactionId(id));
        let message = Message::parse(&bytes).expect("what the writer writes is a message");
        let Model { visible, integrity, fingerprint } = model(&puts);

        prop_assert_eq!((message.class(), message.method()), (class, method));
        prop_assert_eq!(message.transaction_id(), TransactionId(id));
        prop_assert_eq!(message.attributes().collect::<Vec<_>>(), &*visible);
        prop_assert_eq!(message.integrity(), integrity);
        prop_assert_eq!(message.fingerprint() != Fingerprint::Absent, fingerprint);
        for (kind, _) in &visible {
            let first = visible.iter().find(|(other, _)| other == kind).expect("it is there").1;
            prop_assert_eq!(message.raw(*kind), Some(first));
        }
    }

    #[test]
    fn sealed_messages_verify_with_their_key_and_no_other(
        puts in puts(), key in vec(any::<u8>(), 0..80), sha256 in any::<bool>()
    ) {
        let (hash, other) = if sha256 { (Hash::Sha256, Hash::Sha1) } else { (Hash::Sha1, Hash::Sha256) };
        let mut buf = [0xEE; 1024];
        let mut writer = Writer::new(&mut buf, Class::Success, Method::ALLOCATE, TransactionId([7; 12])).expect("room");
        for put in puts.iter().filter(|put| model(std::slice::from_ref(*put)).visible.len() == 1) {
            writer.put(&RawAttribute { kind: put.kind, value: &put.value }).expect("room");
        }
        writer.integrity(&key_for(hash, &key)).expect("room");
        writer.fingerprint().expect("room");
        let len = writer.finish();

        let message = Message::parse(&buf[..len]).expect("a message");
        prop_assert_eq!(message.fingerprint(), Fingerprint::Valid);
        prop_assert!(message.verify(&key_for(hash, &key)));
        prop_assert!(!message.verify(&key_for(other, &key)));
        let longer = [&*key, &[1]].concat();
        prop_assert!(!message.verify(&key_for(hash, &longer)));
    }

    #[test]
    fn no_bytes_panic_a_reader(mut bytes in vec(any::<u8>(), 0..256), likely in any::<bool>()) {
        if likely && bytes.len() >= 20 {
            let len = 20 + (bytes.len() - 20) / 4 * 4;
            bytes.truncate(len);
            bytes[0] &= 0x3F;
            bytes[2..4].copy_from_slice(&u16::try_from(len - 20).expect("short").to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        }
        let _ = ChannelData::parse(&bytes);
        if let Ok(message) = Message::parse(&bytes) {
            read_all(&message);
        }
    }

    #[test]
    fn no_garbled_message_panics_a_reader(
        puts in puts(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut bytes = written(&puts, Class::Request, Method::BINDING, TransactionId([7; 12]));
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        if let Ok(message) = Message::parse(&bytes) {
            read_all(&message);
        }
    }
}
