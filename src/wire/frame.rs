//! Frames in a byte stream: where the next one ends (RFC 8489 section 6.2.2, RFC 8656 section 12.5).
//!
//! TCP keeps no boundaries, so a stream is a row of STUN messages, whose headers tell their length, and ChannelData
//! messages, which are padded to four bytes. Bytes that cannot begin a frame end the stream: where the next frame would
//! begin is anybody's guess from there on.

use thiserror::Error;

use super::header::{COOKIE, HEADER_LEN};
use super::{ChannelData, Demux};

/// Bytes of the longest frame: a STUN message whose length is the largest multiple of four in 16 bits.
pub const MAX_FRAME: usize = HEADER_LEN + 0xFFFC;

/// Why the bytes of a stream are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first byte is neither that of a STUN message nor that of ChannelData.
    #[error("first byte of another protocol")]
    Protocol,
    /// A STUN message without the magic cookie.
    #[error("no magic cookie")]
    Cookie,
    /// A STUN message whose length is not a multiple of four.
    #[error("header length is not a multiple of four")]
    Alignment,
}

/// How many bytes the frame at the start of `stream` takes, padding included: between 4 and [`MAX_FRAME`], which may be
/// more than have arrived. `None` where too few have arrived to tell.
///
/// # Errors
///
/// [`FrameError`], as soon as the first byte that shows it has arrived.
#[inline]
pub fn frame_len(stream: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(first) = stream.first() else {
        return Ok(None);
    };
    match Demux::of(*first) {
        Demux::Stun => stun_len(stream),
        Demux::ChannelData => Ok(channel_data_len(stream)),
        Demux::Dtls | Demux::Unknown => Err(FrameError::Protocol),
    }
}

fn stun_len(stream: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(body) = length_at_2(stream) else {
        return Ok(None);
    };
    if !body.is_multiple_of(4) {
        return Err(FrameError::Alignment);
    }
    let mut cookie = stream.iter().skip(4).zip(COOKIE);
    if cookie.any(|(byte, expected)| *byte != expected) {
        return Err(FrameError::Cookie);
    }
    Ok(Some(HEADER_LEN + body))
}

/// RFC 8656 section 12.5: over a stream, ChannelData is padded to four bytes, which its length does not count.
fn channel_data_len(stream: &[u8]) -> Option<usize> {
    length_at_2(stream).map(|payload| ChannelData::HEADER_LEN + payload.next_multiple_of(4))
}

/// The length field, which both kinds of frame have in the same place.
fn length_at_2(stream: &[u8]) -> Option<usize> {
    let &[_, _, l0, l1] = stream.first_chunk()?;
    Some(usize::from(u16::from_be_bytes([l0, l1])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Class, Message, Method, TransactionId, Writer};

    // B-19, CD-06
    proptest! {
        #[test]
        fn frames_are_found_at_every_split(frames in prop::collection::vec(frame(), 1..6)) {
            let stream = frames.concat();

            let mut found = Vec::new();
            let mut at = 0;
            for arrived in 0..=stream.len() {
                // One more byte each time: the frames must come out one by one, each with its last byte.
                while let Some(len) = frame_len(&stream[at..arrived])? {
                    if at + len > arrived {
                        break;
                    }
                    prop_assert_eq!(at + len, arrived, "a frame comes with its last byte");
                    found.push(stream[at..at + len].to_vec());
                    at += len;
                }
            }

            prop_assert_eq!(found, frames);
        }

        #[test]
        fn no_bytes_panic_or_announce_more_than_the_bound(
            bytes in prop::collection::vec(any::<u8>(), 0..32),
        ) {
            if let Ok(Some(len)) = frame_len(&bytes) {
                prop_assert!((4..=MAX_FRAME).contains(&len));
                prop_assert!(len.is_multiple_of(4));
            }
        }

        #[test]
        fn what_is_wrong_stays_wrong_as_more_arrives(
            bytes in prop::collection::vec(any::<u8>(), 0..32),
        ) {
            for len in 0..bytes.len() {
                if frame_len(&bytes[..len]).is_err() {
                    prop_assert!(frame_len(&bytes).is_err());
                }
            }
        }
    }

    // CD-07
    #[test]
    fn the_longest_frames_of_either_kind_fit_the_bound() {
        assert_eq!(frame_len(&[0, 1, 0xFF, 0xFC]), Ok(Some(MAX_FRAME)));
        assert_eq!(frame_len(&[0x40, 0, 0xFF, 0xFF]), Ok(Some(4 + 65_536)));
        const { assert!(4 + 65_536 <= MAX_FRAME) };
    }

    #[test]
    fn an_empty_channel_data_message_is_its_header() {
        assert_eq!(frame_len(&[0x40, 0, 0, 0]), Ok(Some(4)));
    }

    // B-20
    #[test]
    fn a_first_byte_of_another_protocol_is_told_at_once() {
        for byte in 0..=u8::MAX {
            let begins_a_frame = byte < 4 || (64..128).contains(&byte);
            let expected = if begins_a_frame {
                Ok(None)
            } else {
                Err(FrameError::Protocol)
            };
            assert_eq!(frame_len(&[byte]), expected, "first byte {byte}");
        }
    }

    // B-20
    #[test]
    fn a_wrong_cookie_is_told_by_its_first_wrong_byte() {
        let header = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        for wrong in 4..8 {
            let mut bytes = header;
            bytes[wrong] ^= 1;
            assert_eq!(frame_len(&bytes[..wrong]), Ok(Some(20)));
            assert_eq!(frame_len(&bytes[..=wrong]), Err(FrameError::Cookie));
        }
    }

    #[test]
    fn a_stun_length_that_is_no_multiple_of_four_is_refused() {
        for odd in [1, 2, 3, 5, 0xFF] {
            assert_eq!(frame_len(&[0, 1, 0, odd]), Err(FrameError::Alignment));
        }
    }

    /// A STUN message or padded ChannelData.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let channel_data = (0x40..0x50_u8, prop::collection::vec(any::<u8>(), 0..20));
        let channel_data = channel_data.prop_map(|(channel, data)| {
            let len = u8::try_from(data.len()).expect("short");
            let mut frame = vec![channel, 7, 0, len];
            frame.extend(data);
            frame.resize(frame.len().next_multiple_of(4), 0xEE);
            frame
        });
        let stun = (0..3_usize).prop_map(|attributes| {
            let mut buf = [0; 64];
            let id = TransactionId([7; 12]);
            let mut writer = Writer::new(&mut buf, Class::Request, Method::BINDING, id)
                .expect("room for a header");
            for _ in 0..attributes {
                writer.put(&crate::wire::Lifetime(600)).expect("room");
            }
            let len = writer.finish();
            assert!(Message::parse(&buf[..len]).is_ok());
            buf[..len].to_vec()
        });
        prop_oneof![channel_data, stun]
    }
}
