//! ChannelData messages (RFC 8656 section 12.4): four bytes in front of the application data.

use std::fmt;

use super::ParseError;

/// The number of a channel, 0x4000 to 0x4FFF (RFC 8656 section 12).
///
/// The numbers above, up to 0x7FFF, are recognised as well: RFC 5766 gave them out, and whether a client of that time
/// is served is not for the codec to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The lowest number.
    pub const MIN: Self = Self(0x4000);
    /// The highest number.
    pub const MAX: Self = Self(0x4FFF);
    /// The highest number of RFC 5766.
    const LEGACY_MAX: Self = Self(0x7FFF);

    /// The channel of that number; `None` outside the range.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if Self::MIN.0 <= number && number <= Self::LEGACY_MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Whether RFC 8656 reserves the number.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.0 > Self::MAX.0
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// A ChannelData message, as a view of its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel it was sent on.
    pub channel: ChannelNumber,
    /// The application data: exactly as long as the header says.
    pub payload: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Bytes of the header.
    pub const HEADER_LEN: usize = 4;

    /// Reads the ChannelData message at the start of a datagram or frame.
    ///
    /// Bytes behind the claimed length are padding, whether the sender's or for a multiple of four, and never data
    /// (RFC 8656 section 12.5).
    ///
    /// # Errors
    ///
    /// [`ParseError::TooShort`] for less than a header, [`ParseError::Channel`] where it does not start with the number
    /// of a channel, [`ParseError::Length`] where there are fewer bytes than claimed.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let (&[c0, c1, l0, l1], rest) = datagram.split_first_chunk().ok_or(ParseError::TooShort)?;
        let channel =
            ChannelNumber::new(u16::from_be_bytes([c0, c1])).ok_or(ParseError::Channel)?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let payload = rest.get(..len).ok_or(ParseError::Length)?;
        Ok(Self { channel, payload })
    }
}

impl fmt::Debug for ChannelData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelData")
            .field("channel", &self.channel)
            .field("len", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Writes the header that goes in front of `len` bytes of application data.
#[inline]
pub const fn write_channel_header(
    header: &mut [u8; ChannelData::HEADER_LEN],
    channel: ChannelNumber,
    len: u16,
) {
    let ([c0, c1], [l0, l1]) = (channel.0.to_be_bytes(), len.to_be_bytes());
    *header = [c0, c1, l0, l1];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(number: u16) -> ChannelNumber {
        ChannelNumber::new(number).expect("a channel")
    }

    #[test]
    fn channels_are_those_of_rfc_5766_and_the_upper_ones_reserved() {
        for number in 0..=u16::MAX {
            let expected = (0x4000..=0x7FFF).contains(&number).then_some(number);
            let reserved = ChannelNumber::new(number).map(ChannelNumber::is_reserved);
            assert_eq!(reserved, expected.map(|number| number >= 0x5000));
            assert_eq!(
                ChannelNumber::new(number).map(ChannelNumber::number),
                expected
            );
        }
    }

    #[test]
    fn every_length_survives_header_and_padding() {
        let body = [0x55; 64];
        for len in 0..=body.len() {
            for trailing in 0..=8 {
                let mut header = [0; 4];
                write_channel_header(
                    &mut header,
                    channel(0x4FFF),
                    u16::try_from(len).expect("small"),
                );
                let mut datagram = [&header, &body[..len]].concat();
                datagram.extend(std::iter::repeat_n(0xEE, trailing));
                assert_eq!(
                    ChannelData::parse(&datagram),
                    Ok(ChannelData {
                        channel: channel(0x4FFF),
                        payload: &body[..len]
                    })
                );
            }
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let datagram = [0x40, 0x01, 0x00, 0x05, 1, 2, 3, 4, 5];
        for len in 0..datagram.len() {
            let expected = if len < 4 {
                ParseError::TooShort
            } else {
                ParseError::Length
            };
            assert_eq!(
                ChannelData::parse(&datagram[..len]),
                Err(expected),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn numbers_that_are_no_channels_are_refused() {
        for first in (0..0x40).chain(0x80..=0xFF) {
            assert_eq!(
                ChannelData::parse(&[first, 0, 0, 0]),
                Err(ParseError::Channel)
            );
        }
    }
}
