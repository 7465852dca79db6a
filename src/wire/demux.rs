//! What a datagram holds, told by its first byte (RFC 7983, RFC 8656 section 12).

/// The protocols that share the server's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Demux {
    /// A STUN message.
    Stun,
    /// A ChannelData message.
    ChannelData,
    /// A DTLS record.
    Dtls,
    /// Nothing that this server speaks.
    Unknown,
}

impl Demux {
    /// Tells the protocol from the first byte of a datagram or frame.
    #[must_use]
    pub const fn of(first_byte: u8) -> Self {
        match first_byte {
            0..=3 => Self::Stun,
            20..=63 => Self::Dtls,
            64..=127 => Self::ChannelData,
            4..=19 | 128..=255 => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_has_its_protocol() {
        for byte in 0..=u8::MAX {
            let expected = if byte < 4 {
                Demux::Stun
            } else if (20..64).contains(&byte) {
                Demux::Dtls
            } else if (64..128).contains(&byte) {
                Demux::ChannelData
            } else {
                Demux::Unknown
            };
            assert_eq!(Demux::of(byte), expected, "first byte {byte}");
        }
    }
}
