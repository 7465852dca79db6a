//! The Data indication (RFC 8656 section 11.3), written around a payload where it lies.

use std::net::SocketAddr;
use std::ops::Range;

use super::header::HEADER_LEN;
use super::{AttributeType, Class, Method, TransactionId, Writer, XorPeerAddress};

/// Bytes of a Data indication in front of its payload: header, XOR-PEER-ADDRESS, and the head of DATA.
#[must_use]
pub const fn data_indication_overhead(peer: SocketAddr) -> usize {
    let address = match peer {
        SocketAddr::V4(_) => 8,
        SocketAddr::V6(_) => 20,
    };
    HEADER_LEN + 4 + address + 4
}

/// Writes the headers of a Data indication in front of the payload that lies at `payload` in `buf`, and zeros as
/// padding behind it. Returns where the message lies then.
///
/// `None` where there is no room for [`data_indication_overhead`] in front or up to 3 bytes behind, or where the
/// length does not fit the header; the payload is untouched in any case.
#[must_use]
pub fn write_data_indication(
    buf: &mut [u8],
    payload: Range<usize>,
    peer: SocketAddr,
    id: TransactionId,
) -> Option<Range<usize>> {
    let len = payload.end.checked_sub(payload.start)?;
    let start = payload.start.checked_sub(data_indication_overhead(peer))?;
    let mut writer =
        Writer::new(buf.get_mut(start..)?, Class::Indication, Method::DATA, id).ok()?;
    writer.put(&XorPeerAddress(peer)).ok()?;
    writer.enclose(AttributeType::DATA, len).ok()?;
    Some(start..start + writer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Data, Message};

    const V4: &str = "192.0.2.1:32853";
    const V6: &str = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
    const ID: TransactionId = TransactionId(*b"twelve bytes");

    #[test]
    fn every_payload_length_is_wrapped_where_it_lies() {
        for peer in [V4, V6].map(|text| text.parse().expect("an address")) {
            let start = data_indication_overhead(peer) + 5;
            for len in 0..=64 {
                let mut buf = [0xAA; 256];
                let body = [0x55; 64];
                buf[start..start + len].copy_from_slice(&body[..len]);

                let at = write_data_indication(&mut buf, start..start + len, peer, ID)
                    .expect("there is room");

                assert_eq!(at, 5..start + len.next_multiple_of(4));
                let message = Message::parse(&buf[at.clone()]).expect("a message");
                assert_eq!(
                    (message.class(), message.method()),
                    (Class::Indication, Method::DATA)
                );
                assert_eq!(message.transaction_id(), ID);
                assert_eq!(message.get(), Ok(Some(XorPeerAddress(peer))));
                assert_eq!(message.get(), Ok(Some(Data(&body[..len]))));
                assert_eq!(message.attributes().count(), 2);
                assert!(
                    buf[start + len..at.end].iter().all(|byte| *byte == 0),
                    "padding"
                );
                assert!(
                    buf[..5]
                        .iter()
                        .chain(&buf[at.end..])
                        .all(|byte| *byte == 0xAA)
                );
            }
        }
    }

    #[test]
    fn lack_of_room_leaves_the_payload_alone() {
        let peer = V4.parse().expect("an address");
        let mut buf = [0xAA; 39];
        for (payload, fits) in [
            (36..36, true),
            (35..36, false),
            (36..37, false),
            (36..40, false),
            (Range { start: 39, end: 36 }, false),
            (usize::MAX - 1..usize::MAX, false),
            (0..0, false),
        ] {
            let before = buf.get(payload.clone()).map(<[u8]>::to_vec);
            let written = write_data_indication(&mut buf, payload.clone(), peer, ID);
            assert_eq!(written.is_some(), fits, "{payload:?}");
            assert_eq!(buf.get(payload).map(<[u8]>::to_vec), before);
        }
    }

    #[test]
    fn payload_is_limited_by_the_length_field() {
        let peer = V4.parse().expect("an address");
        let mut buf = vec![0; 70_000];
        // 65,532 is the largest length that is a multiple of four.
        let largest = 65_532 - 16;
        assert!(write_data_indication(&mut buf, 36..36 + largest, peer, ID).is_some());
        assert!(write_data_indication(&mut buf, 36..36 + largest + 1, peer, ID).is_none());
        assert!(write_data_indication(&mut buf, 36..36 + 65_536, peer, ID).is_none());
    }
}
