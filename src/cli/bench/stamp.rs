//! What the generator writes at the start of every payload, to know it again.

/// The stamp of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Whose datagram it is: random for each process.
    pub(super) key: u32,
    /// The run within the process.
    pub(super) run: u16,
    /// The interval within the run.
    pub(super) interval: u16,
    /// The flow.
    pub(super) flow: u32,
    /// Its number within run and flow.
    pub(super) number: u32,
    /// When it was due, in nanoseconds of the generator's clock.
    pub(super) due: u64,
    /// When it was sent, in nanoseconds of the generator's clock.
    pub(super) sent: u64,
}

impl Stamp {
    /// Bytes of a stamp: the shortest payload.
    pub(super) const LEN: usize = 32;

    /// Writes it to the start of a payload.
    pub(super) fn write(&self, payload: &mut [u8; Self::LEN]) {
        payload[0..4].copy_from_slice(&self.key.to_be_bytes());
        payload[4..6].copy_from_slice(&self.run.to_be_bytes());
        payload[6..8].copy_from_slice(&self.interval.to_be_bytes());
        payload[8..12].copy_from_slice(&self.flow.to_be_bytes());
        payload[12..16].copy_from_slice(&self.number.to_be_bytes());
        payload[16..24].copy_from_slice(&self.due.to_be_bytes());
        payload[24..32].copy_from_slice(&self.sent.to_be_bytes());
    }

    /// Reads it from the start of a payload; `None` where that is too short.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = payload.first_chunk()?;
        let short = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(short(at)) << 32 | u64::from(short(at + 4));
        Some(Self {
            key: short(0),
            run: u16::from_be_bytes([bytes[4], bytes[5]]),
            interval: u16::from_be_bytes([bytes[6], bytes[7]]),
            flow: short(8),
            number: short(12),
            due: long(16),
            sent: long(24),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let stamp = Stamp {
            key: 0x0102_0304,
            run: 0x0506,
            interval: 0x0708,
            flow: 0x090A_0B0C,
            number: 0x0D0E_0F10,
            due: 0x1112_1314_1516_1718,
            sent: 0x191A_1B1C_1D1E_1F20,
        };
        let mut payload = [0; Stamp::LEN];

        stamp.write(&mut payload);

        let counted: Vec<u8> = (1..=32).collect();
        assert_eq!(payload[..], counted[..]);
        assert_eq!(Stamp::read(&payload), Some(stamp));
    }

    #[test]
    fn a_short_payload_has_none() {
        assert_eq!(Stamp::read(&[0; Stamp::LEN - 1]), None);
    }
}
