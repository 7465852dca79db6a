//! What attributes look like on the wire, and which values are none.

use std::fmt::Debug;

use super::*;
use crate::wire::{ChannelNumber, Class, Message, Method, Writer};

const ID: TransactionId = TransactionId(*b"twelve bytes");

/// The attribute as it lies in a message, head and padding included.
fn written(attribute: &impl Encode) -> Vec<u8> {
    let mut buf = [0xEE; 2048];
    let mut writer = Writer::new(&mut buf, Class::Request, Method::BINDING, ID).expect("room");
    writer.put(attribute).expect("room");
    let len = writer.finish();
    assert_eq!(
        Message::parse(&buf[..len])
            .expect("a message")
            .attributes()
            .count(),
        1
    );
    buf[20..len].to_vec()
}

/// Checks that `attribute` has `value` on the wire and comes back from it.
fn assert_codec<'a, A: Attribute<'a> + Encode + PartialEq + Debug>(attribute: A, value: &'a [u8]) {
    let [t0, t1] = A::TYPE.0.to_be_bytes();
    let [l0, l1] = u16::try_from(value.len()).expect("short").to_be_bytes();
    let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
    assert_eq!(
        written(&attribute),
        [&[t0, t1, l0, l1], value, &padding].concat()
    );
    assert_eq!(A::decode(value, ID), Ok(attribute));
}

fn assert_refused<'a, A: Attribute<'a> + PartialEq + Debug>(
    value: &'a [u8],
    error: AttributeError,
) {
    assert_eq!(A::decode(value, ID), Err(error), "{value:?}");
}

/// Refuses every length but `len`.
fn assert_only_length<A: for<'a> Attribute<'a> + PartialEq + Debug>(len: usize) {
    for other in (0..=len + 5).filter(|other| *other != len) {
        assert_refused::<A>(&vec![1; other], AttributeError::Length);
    }
}

fn channel(number: u16) -> ChannelNumberAttribute {
    ChannelNumberAttribute(ChannelNumber::new(number).expect("a channel"))
}

#[test]
fn addresses_on_the_wire() {
    let v4 = "192.0.2.1:32853".parse().expect("an address");
    let plain = [0, 1, 0x80, 0x55, 192, 0, 2, 1];
    let xored = [0, 1, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43];
    assert_codec(MappedAddress(v4), &plain);
    assert_codec(AlternateServer(v4), &plain);
    assert_codec(XorMappedAddress(v4), &xored);
    assert_codec(XorPeerAddress(v4), &xored);
    assert_codec(XorRelayedAddress(v4), &xored);

    let v6 = "[2001:db8::1]:32853".parse().expect("an address");
    let mut plain = [0; 20];
    plain[..8].copy_from_slice(&[0, 2, 0x80, 0x55, 0x20, 0x01, 0x0D, 0xB8]);
    plain[19] = 1;
    assert_codec(MappedAddress(v6), &plain);
    let mut xored = plain;
    for (byte, mask) in xored[2..].iter_mut().zip([0x21, 0x12]) {
        *byte ^= mask;
    }
    for (byte, mask) in xored[4..]
        .iter_mut()
        .zip([&[0x21, 0x12, 0xA4, 0x42], &ID.0[..]].concat())
    {
        *byte ^= mask;
    }
    assert_codec(XorPeerAddress(v6), &xored);
}

#[test]
fn ipv6_address_is_bound_to_its_transaction() {
    let peer = XorPeerAddress("[2001:db8::1]:1".parse().expect("an address"));
    let value = &written(&peer)[4..];
    assert_ne!(
        XorPeerAddress::decode(value, TransactionId([0; 12])),
        Ok(peer)
    );
}

#[test]
fn malformed_addresses_are_refused() {
    for len in (0..32).filter(|len| *len != 8) {
        let mut value = vec![0; len.max(4)];
        value[1] = 1;
        assert_refused::<XorPeerAddress>(&value[..len], AttributeError::Length);
    }
    for len in (0..32).filter(|len| *len != 20) {
        let mut value = vec![0; len.max(4)];
        value[1] = 2;
        assert_refused::<XorPeerAddress>(&value[..len], AttributeError::Length);
    }
    for family in [0, 3, 4, 255] {
        assert_refused::<XorPeerAddress>(&[0, family, 0, 1, 1, 1, 1, 1], AttributeError::Family);
    }
}

#[test]
fn first_byte_of_an_address_means_nothing() {
    assert_eq!(
        MappedAddress::decode(&[0xFF, 1, 0, 1, 192, 0, 2, 1], ID),
        Ok(MappedAddress("192.0.2.1:1".parse().expect("an address")))
    );
}

#[test]
fn numbers_on_the_wire() {
    assert_codec(Lifetime(600), &[0, 0, 2, 88]);
    assert_codec(channel(0x4001), &[0x40, 0x01, 0, 0]);
    assert_codec(RequestedTransport(17), &[17, 0, 0, 0]);
    assert_codec(RequestedAddressFamily(Family::V6), &[2, 0, 0, 0]);
    assert_codec(AdditionalAddressFamily(Family::V6), &[2, 0, 0, 0]);
    assert_codec(EvenPort { reserve: true }, &[0x80]);
    assert_codec(EvenPort { reserve: false }, &[0]);
    assert_codec(DontFragment, &[]);
    assert_codec(ConnectionId(0x0102_0304), &[1, 2, 3, 4]);
    assert_codec(ReservationToken(*b"reserved"), b"reserved");
    assert_codec(
        Icmp {
            kind: 3,
            code: 4,
            data: [0, 0, 5, 0xDC],
        },
        &[0, 0, 3, 4, 0, 0, 5, 0xDC],
    );
}

#[test]
fn reserved_bits_mean_nothing() {
    assert_eq!(
        RequestedTransport::decode(&[17, 1, 2, 3], ID),
        Ok(RequestedTransport(17))
    );
    assert_eq!(
        ChannelNumberAttribute::decode(&[0x40, 0, 0xFF, 0xFF], ID),
        Ok(channel(0x4000))
    );
    assert_eq!(
        RequestedAddressFamily::decode(&[1, 9, 9, 9], ID),
        Ok(RequestedAddressFamily(Family::V4))
    );
    assert_eq!(
        EvenPort::decode(&[0x7F], ID),
        Ok(EvenPort { reserve: false })
    );
    assert_eq!(
        EvenPort::decode(&[0xFF], ID),
        Ok(EvenPort { reserve: true })
    );
    assert_eq!(
        Icmp::decode(&[9, 9, 3, 255, 0, 0, 0, 0], ID),
        Ok(Icmp {
            kind: 3,
            code: 255,
            data: [0; 4]
        })
    );
}

#[test]
fn values_of_another_length_are_refused() {
    assert_only_length::<Lifetime>(4);
    assert_only_length::<ChannelNumberAttribute>(4);
    assert_only_length::<RequestedTransport>(4);
    assert_only_length::<RequestedAddressFamily>(4);
    assert_only_length::<AdditionalAddressFamily>(4);
    assert_only_length::<EvenPort>(1);
    assert_only_length::<DontFragment>(0);
    assert_only_length::<ConnectionId>(4);
    assert_only_length::<ReservationToken>(8);
    assert_only_length::<Icmp>(8);
    for len in (0..40).filter(|len| *len != 32) {
        assert_refused::<UserHash<'_>>(&vec![1; len], AttributeError::Length);
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    for number in [0, 0x3FFF, 0x8000, 0xFFFF_u16] {
        let [n0, n1] = number.to_be_bytes();
        assert_refused::<ChannelNumberAttribute>(&[n0, n1, 0, 0], AttributeError::Range);
    }
    for family in [0, 3, 255] {
        assert_refused::<RequestedAddressFamily>(&[family, 0, 0, 0], AttributeError::Family);
        assert_refused::<AdditionalAddressFamily>(&[family, 0, 0, 0], AttributeError::Family);
    }
}

#[test]
fn text_on_the_wire() {
    assert_codec(Username("1764000000:v1;call=a"), b"1764000000:v1;call=a");
    assert_codec(Realm("example.org"), b"example.org");
    assert_codec(Nonce("obMatJos2wAAD"), b"obMatJos2wAAD");
    assert_codec(Software("\u{DC}"), "\u{DC}".as_bytes());
    assert_codec(AlternateDomain("relay.example.org"), b"relay.example.org");
    assert_codec(Username(""), b"");
    assert_codec(UserHash(&[7; 32]), &[7; 32]);
    assert_codec(Data(&[1, 2, 3]), &[1, 2, 3]);
    assert_codec(Data(&[]), &[]);
}

#[test]
fn text_has_a_longest_length_and_an_encoding() {
    let long = "x".repeat(764);
    assert_codec(Username(&long[..763]), &long.as_bytes()[..763]);
    assert_refused::<Username<'_>>(long.as_bytes(), AttributeError::Length);
    assert_refused::<Realm<'_>>(long.as_bytes(), AttributeError::Length);
    assert_refused::<Nonce<'_>>(long.as_bytes(), AttributeError::Length);
    assert_refused::<Software<'_>>(long.as_bytes(), AttributeError::Length);
    assert_codec(AlternateDomain(&long[..255]), &long.as_bytes()[..255]);
    assert_refused::<AlternateDomain<'_>>(&long.as_bytes()[..256], AttributeError::Length);
    assert_refused::<Nonce<'_>>(&[0xC3], AttributeError::Utf8);
    assert_refused::<Username<'_>>(&[0xED, 0xA0, 0x80], AttributeError::Utf8);
}

#[test]
fn errors_on_the_wire() {
    for code in 300..700 {
        let digits = [
            u8::try_from(code / 100).expect("3 to 6"),
            u8::try_from(code % 100).expect("two digits"),
        ];
        let value = [&[0, 0], &digits[..], b"why"].concat();
        assert_codec(
            ErrorCode {
                code,
                reason: "why",
            },
            &value,
        );
        let value = [&[2, 0], &digits[..]].concat();
        let family = Family::V6;
        assert_codec(
            AddressErrorCode {
                family,
                code,
                reason: "",
            },
            &value,
        );
    }
}

#[test]
fn malformed_errors_are_refused() {
    for len in 0..4 {
        assert_refused::<ErrorCode<'_>>(&[0, 0, 4, 0][..len], AttributeError::Length);
        assert_refused::<AddressErrorCode<'_>>(&[1, 0, 4, 0][..len], AttributeError::Length);
    }
    for class in [0, 1, 2, 7, 8] {
        assert_refused::<ErrorCode<'_>>(&[0, 0, class, 0], AttributeError::Range);
        assert_refused::<AddressErrorCode<'_>>(&[1, 0, class, 0], AttributeError::Range);
    }
    assert_refused::<ErrorCode<'_>>(&[0, 0, 4, 100], AttributeError::Range);
    assert_refused::<ErrorCode<'_>>(&[0, 0, 4, 0, 0xFF], AttributeError::Utf8);
    assert_refused::<AddressErrorCode<'_>>(&[3, 0, 4, 40], AttributeError::Family);
    // Reserved bits around the class.
    assert_eq!(
        ErrorCode::decode(&[0xFF, 0xFF, 0xFC, 20], ID),
        Ok(ErrorCode {
            code: 420,
            reason: ""
        })
    );
}

#[test]
fn unknown_attributes_on_the_wire() {
    let list: UnknownAttributes = [0x07AD, 0x7FFF].map(AttributeType).into_iter().collect();
    assert_codec(list, &[0x07, 0xAD, 0x7F, 0xFF]);
    let odd: UnknownAttributes = [AttributeType(0x07AD)].into_iter().collect();
    assert_codec(odd, &[0x07, 0xAD]);
    assert_refused::<UnknownAttributes>(&[0x07, 0xAD, 0x7F], AttributeError::Length);
}

#[test]
fn unknown_attributes_hold_each_type_once_and_no_more_than_their_room() {
    let many: UnknownAttributes = (0..200)
        .flat_map(|n| [AttributeType(n), AttributeType(n / 2)])
        .collect();
    let expected: Vec<_> = (0..32).map(AttributeType).collect();
    assert_eq!(*many, *expected);
}

#[test]
fn password_algorithms_on_the_wire() {
    assert_codec(PasswordAlgorithm::SHA256, &[0, 2, 0, 0]);
    assert_codec(PasswordAlgorithm::MD5, &[0, 1, 0, 0]);
    assert_codec(
        PasswordAlgorithm {
            number: 9,
            parameters: b"salt!",
        },
        b"\0\x09\0\x05salt!",
    );
    assert_codec(PasswordAlgorithms::SHA256, &[0, 2, 0, 0]);
    assert_codec(PasswordAlgorithms::SHA256_MD5, &[0, 2, 0, 0, 0, 1, 0, 0]);
    let both: Vec<_> = PasswordAlgorithms::SHA256_MD5.iter().collect();
    assert_eq!(both, [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5]);
}

#[test]
fn changed_list_of_password_algorithms_is_another_list() {
    let offered = PasswordAlgorithms::SHA256_MD5;
    for changed in [
        &[0, 1, 0, 0, 0, 2, 0, 0][..],
        &[0, 1, 0, 0],
        &[0, 2, 0, 0],
        &[0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0],
        &[0, 2, 0, 1, 7, 0, 0, 0, 0, 1, 0, 0],
        &[],
    ] {
        assert_ne!(PasswordAlgorithms::decode(changed, ID), Ok(offered));
    }
    let parameters =
        PasswordAlgorithms::decode(&[0, 2, 0, 1, 7, 0, 0, 0, 0, 1, 0, 1, 8], ID).expect("a list");
    let list: Vec<_> = parameters
        .iter()
        .map(|algorithm| (algorithm.number, algorithm.parameters))
        .collect();
    assert_eq!(list, [(2, &[7][..]), (1, &[8])]);
}

#[test]
fn malformed_password_algorithms_are_refused() {
    for value in [&[0][..], &[0, 2, 0], &[0, 2, 0, 1], &[0, 2, 255, 255, 0]] {
        assert_refused::<PasswordAlgorithm<'_>>(value, AttributeError::Length);
        assert_refused::<PasswordAlgorithms<'_>>(value, AttributeError::Length);
    }
    assert_refused::<PasswordAlgorithm<'_>>(&[], AttributeError::Length);
    assert_refused::<PasswordAlgorithm<'_>>(&[0, 2, 0, 0, 0, 1, 0, 0], AttributeError::Length);
    assert_refused::<PasswordAlgorithms<'_>>(&[0, 2, 0, 0, 0], AttributeError::Length);
}

#[test]
fn debug_shows_no_address_identity_or_payload() {
    let address = "192.0.2.1:32853".parse().expect("an address");
    assert_eq!(
        format!("{:?}", XorPeerAddress(address)),
        "XorPeerAddress(<masked>)"
    );
    assert_eq!(
        format!("{:?}", MappedAddress(address)),
        "MappedAddress(<masked>)"
    );
    assert_eq!(format!("{:?}", Username("alice")), "Username(<masked>)");
    assert_eq!(format!("{:?}", Nonce("f//499k")), "Nonce(<masked>)");
    assert_eq!(format!("{:?}", UserHash(&[7; 32])), "UserHash(<masked>)");
    assert_eq!(
        format!("{:?}", ReservationToken([7; 8])),
        "ReservationToken(<masked>)"
    );
    assert_eq!(format!("{:?}", Data(b"hello")), "Data(5 bytes)");
    assert_eq!(
        format!("{:?}", Realm("example.org")),
        "Realm(\"example.org\")"
    );
}
