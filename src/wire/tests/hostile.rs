//! Every truncation, every single-bit flip and every wrong length of the published vectors.

use super::*;
use crate::wire::vectors::{V1, V2, V3};

/// The vectors and their keys.
fn vectors() -> [(Vec<u8>, HmacKey); 5] {
    [
        (hex(V1), short_term()),
        (hex(V2), short_term()),
        (hex(V3), short_term()),
        (hex(V4), v4_key()),
        (hex(V5), v5_key()),
    ]
}

/// What a receiver acts upon.
#[derive(Debug, PartialEq)]
struct Meaning {
    class: Class,
    method: Method,
    id: TransactionId,
    attributes: Vec<(AttributeType, Vec<u8>)>,
}

/// What a receiver takes `bytes` for, if it takes them at all: a message that is authentic and not garbled.
fn meaning(bytes: &[u8], key: &HmacKey) -> Option<Meaning> {
    let message = Message::parse(bytes).ok()?;
    if !message.verify(key) || message.fingerprint() == Fingerprint::Invalid {
        return None;
    }
    Some(Meaning {
        class: message.class(),
        method: message.method(),
        id: message.transaction_id(),
        attributes: message
            .attributes()
            .map(|(kind, value)| (kind, value.to_vec()))
            .collect(),
    })
}

/// Where the bytes end that an integrity attribute vouches for, itself included.
fn sealed_end(bytes: &[u8]) -> usize {
    let message = Message::parse(bytes).expect("a vector");
    let visible: usize = message
        .attributes()
        .map(|(_, value)| 4 + value.len().next_multiple_of(4))
        .sum();
    let integrity = message.integrity().expect("every vector has one");
    20 + visible + 4 + integrity.len
}

#[test]
fn no_flipped_bit_yields_an_authentic_message_of_another_meaning() {
    for (vector, key) in vectors() {
        let original = meaning(&vector, &key);
        assert!(original.is_some());
        let sealed_end = sealed_end(&vector);
        for bit in 0..vector.len() * 8 {
            let mut flipped = vector.clone();
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            let taken_for = meaning(&flipped, &key);
            if bit / 8 < sealed_end {
                assert_eq!(taken_for, None, "bit {bit} of byte {}", bit / 8);
            } else if taken_for.is_some() {
                assert_eq!(taken_for, original, "bit {bit} of byte {}", bit / 8);
            }
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for (vector, _) in vectors() {
        for len in 0..vector.len() {
            let expected = if len < 20 {
                ParseError::TooShort
            } else {
                ParseError::Length
            };
            assert_eq!(
                Message::parse(&vector[..len]).err(),
                Some(expected),
                "{len} bytes"
            );
        }
    }
}

#[test]
fn truncation_with_a_repaired_length_never_changes_the_meaning() {
    for (vector, key) in vectors() {
        let original = meaning(&vector, &key);
        let sealed_end = sealed_end(&vector);
        for len in 20..vector.len() {
            let taken_for = meaning(&extended(&vector[..len], &[]), &key);
            // What may go is a whole FINGERPRINT: it is not vouched for.
            let expected = if len == sealed_end { &original } else { &None };
            assert_eq!(&taken_for, expected, "{len} bytes");
        }
    }
}

#[test]
fn every_wrong_header_length_is_refused() {
    for (vector, _) in vectors() {
        for length in 0..=u16::MAX {
            let mut bytes = vector.clone();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            let parsed = Message::parse(&bytes).map(drop);
            let expected = if usize::from(length) == vector.len() - 20 {
                Ok(())
            } else if length % 4 != 0 {
                Err(ParseError::Alignment)
            } else {
                Err(ParseError::Length)
            };
            assert_eq!(parsed, expected, "{length}");
        }
    }
}

#[test]
fn every_wrong_attribute_length_is_refused_or_fails_integrity() {
    for (vector, key) in vectors() {
        let mut at = 20;
        while at < sealed_end(&vector) {
            let right = u16::from_be_bytes([vector[at + 2], vector[at + 3]]);
            for length in (0..=u16::MAX).filter(|length| *length != right) {
                let mut bytes = vector.clone();
                bytes[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
                assert_eq!(meaning(&bytes, &key), None, "length {length} at byte {at}");
            }
            at += 4 + usize::from(right).next_multiple_of(4);
        }
    }
}

#[test]
fn every_small_size_is_a_message_or_refused_by_alignment() {
    for body in 0..=256_u16 {
        // Zeros are attributes of type 0 without a value.
        let bytes = extended(&hex(V4)[..20], &vec![0; usize::from(body)]);
        let parsed = Message::parse(&bytes).map(|message| message.attributes().count());
        if body % 4 == 0 {
            assert_eq!(parsed, Ok(usize::from(body) / 4));
        } else {
            assert_eq!(parsed, Err(ParseError::Alignment));
        }
    }
}

#[test]
fn largest_message_is_read_to_its_end() {
    let mut value = vec![0x5A; 65_528];
    value[65_527] = 1;
    let bytes = extended(
        &hex(V4)[..20],
        &[&[0, 0x13, 0xFF, 0xF8][..], &value].concat(),
    );
    let message = Message::parse(&bytes).expect("65,552 bytes");
    assert_eq!(message.get(), Ok(Some(Data(&value))));
}

#[test]
fn other_protocols_and_wrong_cookies_are_refused() {
    let vector = hex(V4);
    for first in 4..=255 {
        let mut bytes = vector.clone();
        bytes[0] = first;
        let expected = (first >= 64).then_some(ParseError::Protocol);
        assert_eq!(Message::parse(&bytes).err(), expected, "first byte {first}");
    }
    for at in 4..8 {
        let mut bytes = vector.clone();
        bytes[at] ^= 1;
        assert_eq!(Message::parse(&bytes).err(), Some(ParseError::Cookie));
    }
}
