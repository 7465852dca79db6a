//! Where the codecs are known to disagree, and who is right.

use super::vectors::hex;
use super::*;

#[test]
fn bytes_behind_the_header_length_are_attributes_to_stun_types() {
    let x1 = hex("000100002112a442000102030405060708090a0b001200080001a147e112a643");
    assert_eq!(Message::parse(&x1).err(), Some(ParseError::Length));
    let theirs = read_by_stun(&x1).expect("they ignore the tail");
    assert!(theirs.attributes.0.is_empty());
    let theirs = read_by_stun_types(&x1).expect("they accept it");
    assert!(theirs.has_attribute(turn_types::attribute::XorPeerAddress::TYPE));
}

#[test]
fn length_that_is_no_multiple_of_four_suffices_stun_types() {
    let x2 = hex("000100052112a442000102030405060708090a0b0006000141");
    assert_eq!(Message::parse(&x2).err(), Some(ParseError::Alignment));
    assert!(read_by_stun(&x2).is_none());
    let spare = [&*x2, &[0; 3]].concat();
    assert_eq!(Message::parse(&spare).err(), Some(ParseError::Alignment));
    assert!(read_by_stun_types(&spare).is_ok());
}

/// TURN does not permit truncation (RFC 8489 section 14.6 leaves it to the usage).
#[test]
fn truncated_sha256_suffices_stun_types() {
    for len in [16, 20, 24, 28] {
        let mut bytes = written(&Username("alice"));
        let length = u16::try_from(bytes.len() - 20 + 4 + len).expect("short");
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"key");
        let tag = ring::hmac::sign(&key, &bytes);
        bytes.extend_from_slice(&[0x00, 0x1C, 0x00, u8::try_from(len).expect("short")]);
        bytes.extend_from_slice(&tag.as_ref()[..len]);

        let ours = Message::parse(&bytes).expect("well-formed");
        assert!(
            ours.integrity()
                .is_some_and(|integrity| !integrity.is_full_length())
        );
        assert!(!ours.verify(&HmacKey::sha256(b"key")));
        let theirs = read_by_stun_types(&bytes).expect("well-formed");
        assert!(
            theirs
                .validate_integrity_with_key(&their_key("key"))
                .is_ok()
        );
    }
}

#[test]
fn attributes_behind_the_integrity_are_visible_to_stun() {
    let mut bytes = [hex(vectors::V4), hex("000d0004000000ff")].concat();
    let length = u16::try_from(bytes.len() - 20).expect("short");
    bytes[2..4].copy_from_slice(&length.to_be_bytes());

    let ours = Message::parse(&bytes).expect("well-formed");
    assert!(ours.verify(&HmacKey::sha1(&hex(vectors::V4_KEY))));
    assert_eq!(ours.get::<Lifetime>(), Ok(None));
    let theirs = read_by_stun_types(&bytes).expect("well-formed");
    assert!(!theirs.has_attribute(turn_types::attribute::Lifetime::TYPE));

    let mut theirs = read_by_stun(&bytes).expect("well-formed");
    let integrity = stun::integrity::MessageIntegrity(hex(vectors::V4_KEY));
    assert!(integrity.check(&mut theirs).is_ok(), "authentic, they say");
    let mut lifetime = turn_proto::lifetime::Lifetime::default();
    assert!(lifetime.get_from(&theirs).is_ok());
    assert_eq!(lifetime.0, Duration::from_secs(255));
}

/// RFC 5766 ended the range at 0x7FFF and RFC 8656 section 12 reserves what is above 0x4FFF; the rest was never a channel.
#[test]
fn channels_end_elsewhere() {
    for (number, ours, turn, turn_types) in [
        (0x3FFF_u16, false, false, false),
        (0x4000, true, true, true),
        (0x4FFF, true, true, true),
        (0x5000, true, true, true),
        (0x7FFF, true, true, true),
        (0x8000, false, false, true),
        (0xFFFE, false, false, true),
        (0xFFFF, false, false, false),
    ] {
        let [n0, n1] = number.to_be_bytes();
        let bytes = [n0, n1, 0, 0];
        assert_eq!(ChannelData::parse(&bytes).is_ok(), ours);
        let mut theirs = turn_proto::chandata::ChannelData {
            raw: bytes.to_vec(),
            ..Default::default()
        };
        assert_eq!(theirs.decode().is_ok(), turn);
        assert_eq!(
            turn_types::channel::ChannelData::parse(&bytes).is_ok(),
            turn_types
        );
    }
}

/// A draft before RFC 5389 had XOR-MAPPED-ADDRESS there; the number is unassigned and optional today.
#[test]
fn number_of_an_old_draft_is_xor_mapped_address_to_stun() {
    let address = addresses()[0];
    let mut bytes = written(&XorMappedAddress(address));
    bytes[20] = 0x80;
    let ours = Message::parse(&bytes).expect("well-formed");
    assert_eq!(ours.get::<XorMappedAddress>(), Ok(None));
    let mut theirs = stun::xoraddr::XorMappedAddress::default();
    assert!(
        theirs
            .get_from(&read_by_stun(&bytes).expect("well-formed"))
            .is_ok()
    );
    assert_eq!((theirs.ip, theirs.port), (address.ip(), address.port()));
}
