//! The published vectors and what must not pass for them.

use super::vectors::{
    SHORT_TERM_KEY, USER, V1, V2, V3, V4, V4_KEY, V4_NONCE, V5, V5_KEY, V5_NONCE, hex,
};
use super::*;

mod hostile;
mod properties;

fn short_term() -> HmacKey {
    HmacKey::sha1(SHORT_TERM_KEY)
}

fn v4_key() -> HmacKey {
    HmacKey::sha1(&hex(V4_KEY))
}

fn v5_key() -> HmacKey {
    HmacKey::sha256(&hex(V5_KEY))
}

/// `message` with `attribute` (whole, padded) behind it and counted into its length.
fn extended(message: &[u8], attribute: &[u8]) -> Vec<u8> {
    let mut bytes = [message, attribute].concat();
    let length = u16::try_from(bytes.len() - 20).expect("a short message");
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

#[test]
fn v1_request_with_short_term_credentials() {
    let bytes = hex(V1);
    let message = Message::parse(&bytes).expect("V-1");

    assert_eq!(
        (message.class(), message.method()),
        (Class::Request, Method::BINDING)
    );
    assert_eq!(message.bytes(), bytes);
    assert_eq!(message.get(), Ok(Some(Software("STUN test client"))));
    assert_eq!(message.get(), Ok(Some(Username("evtj:h6vY"))));
    assert_eq!(
        message.raw(AttributeType::PRIORITY),
        Some(&0x6E00_01FF_u32.to_be_bytes()[..])
    );
    let kinds: Vec<_> = message.attributes().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        [
            AttributeType::SOFTWARE,
            AttributeType::PRIORITY,
            AttributeType::ICE_CONTROLLED,
            AttributeType::USERNAME
        ]
    );
    assert!(message.verify(&short_term()));
    assert!(!message.verify(&v4_key()));
    assert_eq!(message.fingerprint(), Fingerprint::Valid);
}

#[test]
fn v2_and_v3_responses_with_either_address() {
    for (vector, address) in [
        (V2, "192.0.2.1:32853"),
        (V3, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
    ] {
        let bytes = hex(vector);
        let message = Message::parse(&bytes).expect("V-2 or V-3");

        assert_eq!(
            (message.class(), message.method()),
            (Class::Success, Method::BINDING)
        );
        assert_eq!(message.get(), Ok(Some(Software("test vector"))));
        let address = address.parse().expect("an address");
        assert_eq!(message.get(), Ok(Some(XorMappedAddress(address))));
        assert!(message.verify(&short_term()));
        assert_eq!(message.fingerprint(), Fingerprint::Valid);
    }
}

#[test]
fn v4_request_with_long_term_credentials() {
    let bytes = hex(V4);
    let message = Message::parse(&bytes).expect("V-4");

    assert_eq!(message.get(), Ok(Some(Username(USER))));
    assert_eq!(message.get(), Ok(Some(Nonce(V4_NONCE))));
    assert_eq!(message.get(), Ok(Some(Realm("example.org"))));
    assert_eq!(
        message.integrity(),
        Some(Integrity {
            hash: Hash::Sha1,
            len: 20
        })
    );
    assert!(message.verify(&v4_key()));
    assert_eq!(message.fingerprint(), Fingerprint::Absent);
}

#[test]
fn v5_request_with_sha256_and_a_hashed_user() {
    let bytes = hex(V5);
    let message = Message::parse(&bytes).expect("V-5");

    let hash = hex("4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704");
    let hash = hash.as_slice().try_into().expect("32 bytes");
    assert_eq!(message.get(), Ok(Some(UserHash(hash))));
    assert_eq!(message.get(), Ok(Some(Nonce(V5_NONCE))));
    assert_eq!(message.get(), Ok(Some(Realm("example.org"))));
    assert_eq!(message.get(), Ok(Some(PasswordAlgorithm::SHA256)));
    assert_eq!(
        message.integrity(),
        Some(Integrity {
            hash: Hash::Sha256,
            len: 32
        })
    );
    assert!(message.verify(&v5_key()));
    assert!(!message.verify(&HmacKey::sha1(&hex(V5_KEY))));
}

#[test]
fn v6_as_published_is_refused() {
    let v5 = hex(V5);
    let tag = hex("e4686c8f0edeb59013e07090010a93efccbccc544c0a45d9f830aa6d6f735a01");
    // V-5 without PASSWORD-ALGORITHM, with the published tag and the published, wrong length.
    let mut bytes = [&v5[..120], &v5[128..132], &tag].concat();
    bytes[2..4].copy_from_slice(&[0x00, 0x9C]);
    assert_eq!(bytes.len(), 156);
    assert_eq!(Message::parse(&bytes).err(), Some(ParseError::Length));

    bytes[2..4].copy_from_slice(&[0x00, 0x88]);
    let message = Message::parse(&bytes).expect("the length is right");
    assert!(message.integrity().is_some_and(Integrity::is_full_length));
    assert!(!message.verify(&v5_key()));
}

/// Messages that the writer must reproduce byte for byte; their padding is zero.
#[test]
fn v4_and_v5_are_what_the_writer_writes() {
    let mut buf = [0xEE; 256];
    for (vector, key) in [(V4, v4_key()), (V5, v5_key())] {
        let bytes = hex(vector);
        let message = Message::parse(&bytes).expect("V-4 or V-5");
        let mut writer = Writer::new(
            &mut buf,
            Class::Request,
            Method::BINDING,
            message.transaction_id(),
        )
        .expect("room");
        for (kind, value) in message.attributes() {
            writer.put(&RawAttribute { kind, value }).expect("room");
        }
        writer.integrity(&key).expect("room");
        let len = writer.finish();
        assert_eq!(buf[..len], bytes);
    }
}

#[test]
fn what_follows_message_integrity_is_invisible() {
    let lifetime = hex("000d0004000000ff");
    let bytes = extended(&hex(V4), &lifetime);
    let message = Message::parse(&bytes).expect("V-4 and LIFETIME");

    assert!(message.verify(&v4_key()));
    assert_eq!(message.get::<Lifetime>(), Ok(None));
    assert_eq!(message.raw(AttributeType::LIFETIME), None);
    assert_eq!(message.attributes().count(), 3);

    let unknown = extended(&bytes, &hex("7fff0000"));
    let message = Message::parse(&unknown).expect("V-4, LIFETIME and an unknown attribute");
    assert!(message.verify(&v4_key()));
    assert_eq!(
        *message.unknown_required(|_| false),
        [
            AttributeType::USERNAME,
            AttributeType::NONCE,
            AttributeType::REALM
        ]
    );
}

#[test]
fn second_message_integrity_is_ignored() {
    let v4 = hex(V4);
    let second = extended(&v4, &[&hex("00080014"), &[0x77; 20][..]].concat());
    assert!(
        Message::parse(&second)
            .expect("V-4 and MI")
            .verify(&v4_key())
    );

    // The wrong one first: the right one behind it does not help.
    let mut first = v4[..92].to_vec();
    first.extend_from_slice(&hex("00080014"));
    first.extend_from_slice(&[0x77; 20]);
    let first = extended(&first, &v4[92..]);
    assert!(!Message::parse(&first).expect("MI twice").verify(&v4_key()));
}

#[test]
fn x1_to_x3_are_refused() {
    let x1 = hex("000100002112a442000102030405060708090a0b001200080001a147e112a643");
    assert_eq!(Message::parse(&x1).err(), Some(ParseError::Length));
    let x2 = hex("000100052112a442000102030405060708090a0b0006000141");
    assert_eq!(Message::parse(&x2).err(), Some(ParseError::Alignment));
    let x3 = hex("000100082112a442000102030405060708090a0b0006ffff41000000");
    assert_eq!(Message::parse(&x3).err(), Some(ParseError::Attribute));
}

#[test]
fn x4_to_x7_as_channel_data() {
    let x4 = hex("4000000401020304aabbccdd");
    assert_eq!(
        ChannelData::parse(&x4).map(|data| (data.channel.number(), data.payload)),
        Ok((0x4000, &[1, 2, 3, 4][..]))
    );
    let x5 = hex("5000000401020304");
    let reserved = ChannelData::parse(&x5).map(|data| data.channel.is_reserved());
    assert_eq!(
        reserved,
        Ok(true),
        "recognised, so that whoever does not bind it drops it"
    );
    assert_eq!(
        ChannelData::parse(&hex("40000001")),
        Err(ParseError::Length)
    );
    let x7 = hex("40000000");
    assert_eq!(
        ChannelData::parse(&x7).map(|data| data.payload),
        Ok(&[][..])
    );
}

#[test]
fn x8_single_bytes_are_neither() {
    assert_eq!(Message::parse(&[]).err(), Some(ParseError::TooShort));
    assert_eq!(ChannelData::parse(&[]), Err(ParseError::TooShort));
    for byte in 0..=u8::MAX {
        assert_eq!(Message::parse(&[byte]).err(), Some(ParseError::TooShort));
        assert_eq!(ChannelData::parse(&[byte]), Err(ParseError::TooShort));
    }
}
