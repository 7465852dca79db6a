//! The codec against two others: `stun`/`turn` 0.17 and `stun-types`/`turn-types`.
//!
//! Three encoders must write the same bytes, three decoders must read the same from them, and where bytes are garbled
//! they must agree on what is a message. Where they are known to disagree, a test says so and says who is right; such
//! a test fails as well when the other codec changes its mind.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use stun::message::{Getter as _, Setter};
use stun_types::attribute::{AttributeStaticType as _, AttributeWrite};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, MessageClass, MessageType, MessageWrite as _,
    MessageWriteExt as _, MessageWriteVec, ShortTermCredentials, StunParseError,
};
use turn::proto as turn_proto;
use veilturn::wire::*;

#[allow(dead_code, reason = "shared with the codec's own tests and benches")]
#[path = "../../src/wire/vectors.rs"]
mod vectors;

mod attributes;
mod disagreements;

const ID: TransactionId = TransactionId(*b"twelve bytes");

/// A message as plain parts, which every codec can write.
#[derive(Clone, Debug)]
struct Parts {
    class: Class,
    method: u16,
    id: [u8; 12],
    attributes: Vec<(u16, Vec<u8>)>,
    /// The key, and whether it is for SHA-256.
    key: Option<(String, bool)>,
    fingerprint: bool,
}

fn parts() -> impl Strategy<Value = Parts> {
    let class = prop_oneof![
        Just(Class::Request),
        Just(Class::Indication),
        Just(Class::Success),
        Just(Class::Error)
    ];
    // Not those that have methods of their own, nor 0x8020, which `stun` takes for XOR-MAPPED-ADDRESS.
    let kind = any::<u16>().prop_filter("an ordinary attribute", |kind| {
        ![0x0008, 0x001C, 0x8028, 0x8020].contains(kind)
    });
    let attributes = vec((kind, vec(any::<u8>(), 0..40)), 0..8);
    (
        class,
        0..=0xFFF_u16,
        any::<[u8; 12]>(),
        attributes,
        proptest::option::of((".{0,80}", any::<bool>())),
        any::<bool>(),
    )
        .prop_map(|(class, method, id, attributes, key, fingerprint)| Parts {
            class,
            method,
            id,
            attributes,
            key,
            fingerprint,
        })
}

impl Parts {
    fn hmac_key(&self) -> Option<HmacKey> {
        self.key.as_ref().map(|(raw, sha256)| {
            if *sha256 {
                HmacKey::sha256(raw.as_bytes())
            } else {
                HmacKey::sha1(raw.as_bytes())
            }
        })
    }

    fn written_by_veilturn(&self) -> Vec<u8> {
        let mut buf = vec![0xEE; 1024];
        let method = Method::new(self.method).expect("12 bits");
        let mut writer =
            Writer::new(&mut buf, self.class, method, TransactionId(self.id)).expect("room");
        for (kind, value) in &self.attributes {
            let kind = AttributeType(*kind);
            writer.put(&RawAttribute { kind, value }).expect("room");
        }
        if let Some(key) = self.hmac_key() {
            writer.integrity(&key).expect("room");
        }
        if self.fingerprint {
            writer.fingerprint().expect("room");
        }
        let len = writer.finish();
        buf.truncate(len);
        buf
    }

    /// `None` for SHA-256, which the codec does not have.
    fn written_by_stun(&self) -> Option<Vec<u8>> {
        let mut message = stun::message::Message::new();
        let [t0, t1] = self
            .message_type()
            .to_bytes()
            .try_into()
            .expect("two bytes");
        message.typ.read_value(u16::from_be_bytes([t0, t1]));
        message.transaction_id = stun::agent::TransactionId(self.id);
        message.write_header();
        for (kind, value) in &self.attributes {
            message.add(stun::attributes::AttrType(*kind), value);
        }
        match &self.key {
            Some((_, true)) => return None,
            Some((raw, false)) => stun::integrity::MessageIntegrity(raw.clone().into_bytes())
                .add_to(&mut message)
                .expect("integrity"),
            None => {}
        }
        if self.fingerprint {
            stun::fingerprint::FINGERPRINT
                .add_to(&mut message)
                .expect("fingerprint");
        }
        Some(message.raw)
    }

    fn written_by_stun_types(&self) -> Vec<u8> {
        let mut message = stun_types::message::Message::builder(
            self.message_type(),
            their_id(TransactionId(self.id)),
            MessageWriteVec::new(),
        );
        for (kind, value) in &self.attributes {
            message
                .add_attribute(&stun_types::attribute::RawAttribute::new(
                    (*kind).into(),
                    value,
                ))
                .expect("an attribute");
        }
        if let Some((raw, sha256)) = &self.key {
            let algorithm = if *sha256 {
                IntegrityAlgorithm::Sha256
            } else {
                IntegrityAlgorithm::Sha1
            };
            message
                .add_message_integrity_with_key(&their_key(raw), algorithm)
                .expect("integrity");
        }
        if self.fingerprint {
            message.add_fingerprint().expect("fingerprint");
        }
        message.finish()
    }

    fn message_type(&self) -> MessageType {
        let class = match self.class {
            Class::Request => MessageClass::Request,
            Class::Indication => MessageClass::Indication,
            Class::Success => MessageClass::Success,
            Class::Error => MessageClass::Error,
        };
        MessageType::from_class_method(class, stun_types::message::Method::new(self.method))
    }
}

fn their_key(raw: &str) -> IntegrityKey {
    ShortTermCredentials::new(raw.to_owned()).make_key()
}

fn their_id(id: TransactionId) -> stun_types::message::TransactionId {
    id.0.iter()
        .fold(0, |all, byte| all << 8 | u128::from(*byte))
        .into()
}

fn read_by_stun(bytes: &[u8]) -> Option<stun::message::Message> {
    let mut message = stun::message::Message::new();
    message.unmarshal_binary(bytes).is_ok().then_some(message)
}

fn read_by_stun_types(bytes: &[u8]) -> Result<stun_types::message::Message<'_>, StunParseError> {
    stun_types::message::Message::from_bytes(bytes)
}

/// Whether bytes have the form of exactly one datagram: what only this codec asks for.
fn is_exact(bytes: &[u8]) -> bool {
    bytes.len() >= 20
        && bytes[0] < 64
        && bytes.len().is_multiple_of(4)
        && usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) == bytes.len() - 20
}

proptest! {
    #[test]
    fn three_encoders_write_the_same_bytes(parts in parts()) {
        let bytes = parts.written_by_veilturn();
        if let Some(theirs) = parts.written_by_stun() {
            prop_assert_eq!(&bytes, &theirs);
        }
        prop_assert_eq!(&bytes, &parts.written_by_stun_types());
    }

    #[test]
    fn three_decoders_read_the_same(parts in parts()) {
        let bytes = parts.written_by_stun_types();
        let ours = Message::parse(&bytes).expect("a message");
        let attributes: Vec<_> = ours.attributes().map(|(kind, value)| (kind.0, value.to_vec())).collect();
        prop_assert_eq!(&attributes, &parts.attributes);
        prop_assert_eq!(ours.fingerprint() == Fingerprint::Valid, parts.fingerprint);

        let theirs = read_by_stun_types(&bytes).expect("a message");
        for (kind, _) in &parts.attributes {
            let first = theirs.raw_attribute((*kind).into()).expect("it is there");
            prop_assert_eq!(ours.raw(AttributeType(*kind)), Some(&*first.value));
        }
        if let Some(key) = parts.hmac_key() {
            let (raw, _) = parts.key.as_ref().expect("a key");
            let other = format!("{raw}!");
            prop_assert!(ours.verify(&key));
            prop_assert!(theirs.validate_integrity_with_key(&their_key(raw)).is_ok());
            prop_assert!(theirs.validate_integrity_with_key(&their_key(&other)).is_err());
        }

        let mut theirs = read_by_stun(&bytes).expect("a message");
        let seals = usize::from(parts.key.is_some()) + usize::from(parts.fingerprint);
        prop_assert_eq!(theirs.attributes.0.len(), parts.attributes.len() + seals);
        for ((kind, value), attribute) in parts.attributes.iter().zip(&theirs.attributes.0) {
            prop_assert_eq!((*kind, value), (attribute.typ.value(), &attribute.value));
        }
        prop_assert_eq!(stun::fingerprint::FINGERPRINT.check(&theirs).is_ok(), parts.fingerprint);
        if let Some((raw, false)) = parts.key {
            let integrity = stun::integrity::MessageIntegrity(raw.into_bytes());
            prop_assert!(integrity.check(&mut theirs).is_ok());
        }
    }

    #[test]
    fn garbled_messages_are_messages_to_all_or_none(
        parts in parts(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in 0..64_usize
    ) {
        let mut bytes = parts.written_by_veilturn();
        for (at, mask) in flips {
            // Mostly in the heads of the first attributes, where structure is.
            let at = at.index(bytes.len().min(40));
            bytes[at] ^= mask;
        }
        bytes.truncate(bytes.len().saturating_sub(cut.saturating_sub(60)));

        let ours = Message::parse(&bytes);
        prop_assert_eq!(ours.is_ok(), is_exact(&bytes) && read_by_stun(&bytes).is_some());
        let theirs = read_by_stun_types(&bytes);
        match ours {
            // They check the FINGERPRINT at once.
            Ok(message) if message.fingerprint() != Fingerprint::Invalid => prop_assert!(theirs.is_ok()),
            Ok(_) => {}
            // They do not look behind a seal.
            Err(_) => prop_assert!(theirs.is_err() || !is_exact(&bytes) || has_seal(&theirs.expect("checked"))),
        }
    }

    #[test]
    fn channel_data_is_the_same_to_all(
        channel in 0x4000..=0x4FFF_u16, payload in vec(any::<u8>(), 0..64), cut in 0..8_usize
    ) {
        let mut theirs = turn_proto::chandata::ChannelData {
            data: payload.clone(),
            number: turn_proto::channum::ChannelNumber(channel),
            raw: vec![],
        };
        theirs.encode();
        let mut header = [0; 4];
        let len = u16::try_from(payload.len()).expect("short");
        write_channel_header(&mut header, ChannelNumber::new(channel).expect("a channel"), len);
        prop_assert_eq!(&theirs.raw[..4], header);

        theirs.raw.truncate(theirs.raw.len() - cut.min(theirs.raw.len()));
        let bytes = theirs.raw.clone();
        let ours = ChannelData::parse(&bytes).ok();
        let third = turn_types::channel::ChannelData::parse(&bytes).ok();
        prop_assert_eq!(ours.is_some(), theirs.decode().is_ok());
        prop_assert_eq!(
            ours.map(|data| (data.channel.number(), data.payload)),
            third.as_ref().map(|data| (data.id(), data.data()))
        );
        if let Some(data) = ours {
            prop_assert_eq!(data.payload, &theirs.data);
        }
    }
}

fn has_seal(message: &stun_types::message::Message<'_>) -> bool {
    [0x0008, 0x001C, 0x8028]
        .iter()
        .any(|kind| message.has_attribute((*kind).into()))
}

fn written(attribute: &impl Encode) -> Vec<u8> {
    let mut buf = [0xEE; 1024];
    let mut writer = Writer::new(&mut buf, Class::Request, Method::ALLOCATE, ID).expect("room");
    writer.put(attribute).expect("room");
    let len = writer.finish();
    buf[..len].to_vec()
}

fn written_by_stun_types(attribute: &dyn AttributeWrite) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Request, turn_types::message::ALLOCATE);
    let mut message =
        stun_types::message::Message::builder(kind, their_id(ID), MessageWriteVec::new());
    message.add_attribute(attribute).expect("an attribute");
    message.finish()
}

fn written_by_stun(attribute: &dyn Setter) -> stun::message::Message {
    let mut message = stun::message::Message::new();
    message.typ.read_value(0x0003);
    message.transaction_id = stun::agent::TransactionId(ID.0);
    message.write_header();
    attribute.add_to(&mut message).expect("an attribute");
    message
}

fn addresses() -> [SocketAddr; 4] {
    [
        "192.0.2.1:32853",
        "255.255.255.255:0",
        "[2001:db8::1]:65535",
        "[::ffff:192.0.2.1]:1",
    ]
    .map(|address| address.parse().expect("an address"))
}
