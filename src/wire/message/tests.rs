//! The rules on what counts in a message: order, duplicates, integrity, fingerprint.

use super::*;
use crate::wire::{Lifetime, RawAttribute, Realm, Software, Username, Writer};

const ID: TransactionId = TransactionId(*b"twelve bytes");

/// What is put into a message, in order.
enum Step<'a> {
    Lifetime(u32),
    Username(&'a str),
    Raw(AttributeType, &'a [u8]),
    Integrity(&'a HmacKey),
    Fingerprint,
}

fn message(steps: &[Step<'_>]) -> Vec<u8> {
    let mut buf = vec![0xEE; 1024];
    let mut writer = Writer::new(&mut buf, Class::Request, Method::REFRESH, ID).expect("room");
    for step in steps {
        match step {
            Step::Lifetime(seconds) => writer.put(&Lifetime(*seconds)),
            Step::Username(name) => writer.put(&Username(name)),
            Step::Raw(kind, value) => writer.put(&RawAttribute { kind: *kind, value }),
            Step::Integrity(key) => writer.integrity(key),
            Step::Fingerprint => writer.fingerprint(),
        }
        .expect("room");
    }
    let len = writer.finish();
    buf.truncate(len);
    buf
}

fn sha1() -> HmacKey {
    HmacKey::sha1(b"key")
}

fn sha256() -> HmacKey {
    HmacKey::sha256(b"key")
}

#[test]
fn first_of_duplicates_wins_even_where_it_is_malformed() {
    let bytes = message(&[
        Step::Username("alice"),
        Step::Lifetime(1),
        Step::Username("bob"),
        Step::Lifetime(2),
    ]);
    let parsed = Message::parse(&bytes).expect("a message");
    assert_eq!(parsed.get(), Ok(Some(Username("alice"))));
    assert_eq!(parsed.get(), Ok(Some(Lifetime(1))));

    let bytes = message(&[Step::Raw(AttributeType::LIFETIME, &[1]), Step::Lifetime(2)]);
    let parsed = Message::parse(&bytes).expect("a message");
    assert_eq!(parsed.get::<Lifetime>(), Err(AttributeError::Length));
    assert_eq!(parsed.get::<Realm<'_>>(), Ok(None));
}

#[test]
fn attributes_after_and_between_integrity_attributes_are_invisible() {
    let (sha1, sha256) = (sha1(), sha256());
    for (steps, deciding) in [
        (
            &[
                Step::Username("a"),
                Step::Integrity(&sha1),
                Step::Lifetime(0),
            ][..],
            &sha1,
        ),
        (
            &[
                Step::Username("a"),
                Step::Integrity(&sha256),
                Step::Lifetime(0),
            ],
            &sha256,
        ),
        (
            &[
                Step::Username("a"),
                Step::Integrity(&sha1),
                Step::Lifetime(0),
                Step::Integrity(&sha256),
                Step::Raw(AttributeType(0x7FFF), &[]),
                Step::Fingerprint,
            ],
            &sha256,
        ),
        // What is behind MESSAGE-INTEGRITY-SHA256 is ignored, MESSAGE-INTEGRITY too.
        (
            &[
                Step::Username("a"),
                Step::Integrity(&sha256),
                Step::Integrity(&sha1),
            ],
            &sha256,
        ),
    ] {
        let bytes = message(steps);
        let parsed = Message::parse(&bytes).expect("a message");
        assert_eq!(parsed.attributes().count(), 1);
        assert_eq!(parsed.get::<Lifetime>(), Ok(None));
        assert!(
            parsed
                .unknown_required(|kind| kind == AttributeType::USERNAME)
                .is_empty()
        );
        assert!(parsed.verify(deciding));
    }
}

#[test]
fn sha256_decides_where_both_are_there() {
    let (good1, good256) = (sha1(), sha256());
    let (bad1, bad256) = (HmacKey::sha1(b"other"), HmacKey::sha256(b"other"));
    for (first, second, accepted) in [
        (&good1, &good256, true),
        (&bad1, &good256, true),
        (&good1, &bad256, false),
    ] {
        let bytes = message(&[
            Step::Username("a"),
            Step::Integrity(first),
            Step::Integrity(second),
        ]);
        let parsed = Message::parse(&bytes).expect("a message");
        assert_eq!(
            parsed.integrity().map(|integrity| integrity.hash),
            Some(Hash::Sha256)
        );
        assert_eq!(parsed.verify(&good256), accepted);
        assert!(
            !parsed.verify(&good1),
            "the weaker attribute is never asked"
        );
    }
}

#[test]
fn integrity_of_another_length_is_there_but_never_verifies() {
    let whole = message(&[Step::Username("a"), Step::Integrity(&sha256())]);
    let tag = &whole[whole.len() - 32..];
    for (kind, hash, key) in [
        (AttributeType::MESSAGE_INTEGRITY, Hash::Sha1, sha1()),
        (
            AttributeType::MESSAGE_INTEGRITY_SHA256,
            Hash::Sha256,
            sha256(),
        ),
    ] {
        for len in (0..=36).filter(|len| *len != hash.tag_len()) {
            let value = [tag, tag].concat();
            let bytes = message(&[Step::Username("a"), Step::Raw(kind, &value[..len])]);
            let parsed = Message::parse(&bytes).expect("a message");
            let integrity = parsed.integrity().expect("there is one");
            assert_eq!((integrity.hash, integrity.len), (hash, len));
            assert!(!integrity.is_full_length());
            assert!(!parsed.verify(&key));
        }
    }
    let bytes = message(&[Step::Username("a")]);
    assert_eq!(Message::parse(&bytes).expect("a message").integrity(), None);
}

/// A tag over the length that the message has with the shortened attribute: what a sender that truncates would send.
#[test]
fn honestly_truncated_sha256_never_verifies() {
    for len in [16, 20, 24, 28] {
        let username = message(&[Step::Username("a")]);
        let mut covered = username.clone();
        let length = u16::try_from(covered.len() + 4 + len - 20).expect("short");
        covered[2..4].copy_from_slice(&length.to_be_bytes());
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"key");
        let tag = ring::hmac::sign(&key, &covered);
        let bytes = message(&[
            Step::Username("a"),
            Step::Raw(
                AttributeType::MESSAGE_INTEGRITY_SHA256,
                &tag.as_ref()[..len],
            ),
        ]);
        assert!(!Message::parse(&bytes).expect("a message").verify(&sha256()));
    }
}

#[test]
fn received_padding_may_be_anything_and_is_covered() {
    let key = sha1();
    let mut bytes = message(&[
        Step::Username("abcde"),
        Step::Integrity(&key),
        Step::Fingerprint,
    ]);
    bytes[20 + 4 + 5] = 0x20;
    let parsed = Message::parse(&bytes).expect("a message");
    assert_eq!(parsed.get(), Ok(Some(Username("abcde"))));
    assert!(!parsed.verify(&key));
    assert_eq!(parsed.fingerprint(), Fingerprint::Invalid);
}

#[test]
fn fingerprint_counts_only_where_it_is_right_and_last() {
    let right = message(&[Step::Username("a"), Step::Fingerprint]);
    let value = right[right.len() - 4..].to_vec();
    let fingerprint = AttributeType::FINGERPRINT;
    for (steps, expected, visible) in [
        (&[Step::Username("a")][..], Fingerprint::Absent, 1),
        (
            &[Step::Username("a"), Step::Fingerprint],
            Fingerprint::Valid,
            1,
        ),
        (&[Step::Fingerprint], Fingerprint::Valid, 0),
        (
            &[Step::Username("b"), Step::Raw(fingerprint, &value)],
            Fingerprint::Invalid,
            1,
        ),
        (
            &[Step::Username("a"), Step::Raw(fingerprint, &value[..3])],
            Fingerprint::Invalid,
            1,
        ),
        (
            &[Step::Username("a"), Step::Fingerprint, Step::Lifetime(0)],
            Fingerprint::Invalid,
            1,
        ),
        (
            &[Step::Fingerprint, Step::Username("a"), Step::Fingerprint],
            Fingerprint::Invalid,
            0,
        ),
    ] {
        let bytes = message(steps);
        let parsed = Message::parse(&bytes).expect("a message");
        assert_eq!(parsed.fingerprint(), expected);
        assert_eq!(parsed.attributes().count(), visible);
    }
}

/// A CRC that is right for where it stands: only its place is wrong.
#[test]
fn right_crc_in_the_middle_is_no_fingerprint() {
    let placeholder = Step::Raw(AttributeType::FINGERPRINT, &[0; 4]);
    let mut bytes = message(&[Step::Username("a"), placeholder, Step::Lifetime(0)]);
    let crc = crc32fast::hash(&bytes[..28]) ^ FINGERPRINT_XOR;
    bytes[32..36].copy_from_slice(&crc.to_be_bytes());
    let parsed = Message::parse(&bytes).expect("a message");
    assert_eq!(parsed.fingerprint(), Fingerprint::Invalid);
}

#[test]
fn integrity_behind_fingerprint_does_not_count() {
    let key = sha1();
    let bytes = message(&[
        Step::Username("a"),
        Step::Fingerprint,
        Step::Integrity(&key),
    ]);
    let parsed = Message::parse(&bytes).expect("a message");
    assert_eq!(parsed.integrity(), None);
    assert!(!parsed.verify(&key));
}

#[test]
fn unknown_types_are_listed_once_and_in_order() {
    let bytes = message(&[
        Step::Raw(AttributeType(0x07AD), &[]),
        Step::Username("a"),
        Step::Raw(AttributeType(0x8FFF), &[1]),
        Step::Raw(AttributeType(0x7FFF), &[1, 2]),
        Step::Raw(AttributeType(0x07AD), &[3]),
    ]);
    let parsed = Message::parse(&bytes).expect("a message");
    let unknown = parsed.unknown_required(|kind| kind == AttributeType::USERNAME);
    assert_eq!(*unknown, [0x07AD, 0x7FFF].map(AttributeType));

    let mut buf = [0; 64];
    let mut writer = Writer::new(&mut buf, Class::Error, Method::BINDING, ID).expect("room");
    writer.put(&unknown).expect("room");
    let len = writer.finish();
    assert_eq!(
        Message::parse(&buf[..len]).expect("a response").get(),
        Ok(Some(unknown))
    );
}

#[test]
fn debug_shows_no_attribute() {
    let bytes = message(&[Step::Username("alice")]);
    let shown = format!("{:?}", Message::parse(&bytes).expect("a message"));
    assert!(
        shown.starts_with("Message { class: Request, method: Method(4),"),
        "{shown}"
    );
    assert!(
        !shown.contains("alice") && shown.ends_with("len: 32, .. }"),
        "{shown}"
    );
}

#[test]
fn response_to_a_client_is_read_as_success_or_error() {
    let mut buf = [0; 64];
    for class in [Class::Success, Class::Error] {
        let mut writer = Writer::new(&mut buf, class, Method::ALLOCATE, ID).expect("room");
        writer.put(&Software("s")).expect("room");
        let len = writer.finish();
        let parsed = Message::parse(&buf[..len]).expect("a response");
        assert_eq!((parsed.class(), parsed.method()), (class, Method::ALLOCATE));
    }
}
