//! A datagram inside the buffer it was received into, with room around it for the headers that relaying adds.

use std::ops::Range;

/// Free bytes that every buffer keeps in front of a received datagram: the largest header that the core writes there
/// is that of a Data indication from an IPv6 peer (20 + 24 + 4 bytes), rounded up to a cache line.
pub const HEADROOM: usize = 64;

/// Bytes that a buffer holds at least, headroom included: enough for the largest response
/// (RFC 8489 section 6.1 bounds it by the minimum IPv6 MTU).
pub const MIN_BUFFER: usize = HEADROOM + 1280;

/// Bytes that a UDP datagram holds at most, on IPv4: IPv6 has room for 20 more, which no path can be counted on to carry.
pub const MAX_DATAGRAM: usize = 65_507;

/// A part of a packet's buffer, in bytes from the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes' indices.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// How many bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether there are none: a zero-length datagram is still a datagram.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One received datagram (or one frame of a stream) and the buffer it lies in.
///
/// Verdicts name parts of this buffer: headers are written in front of the payload, a response over the request. Up to
/// three bytes of padding are written behind the payload; where the buffer ends there, the datagram is too large.
pub struct Packet<'a> {
    /// At least [`MIN_BUFFER`] bytes.
    buf: &'a mut [u8],
    /// Starts at [`HEADROOM`] or later, ends within `buf`.
    datagram: Span,
}

impl<'a> Packet<'a> {
    /// The datagram of `len` bytes that starts [`HEADROOM`] bytes into `buf`.
    ///
    /// # Panics
    ///
    /// Where `buf` is smaller than [`MIN_BUFFER`] or does not hold the datagram: the shell sizes its buffers.
    pub fn new(buf: &'a mut [u8], len: usize) -> Self {
        Self::at(buf, HEADROOM, len)
    }

    /// The datagram of `len` bytes that starts `start` bytes into `buf`.
    ///
    /// # Panics
    ///
    /// As [`Self::new`], and where `start` leaves less than [`HEADROOM`].
    pub fn at(buf: &'a mut [u8], start: usize, len: usize) -> Self {
        assert!(
            start >= HEADROOM && buf.len() >= MIN_BUFFER && start + len <= buf.len(),
            "the shell's buffer is too small"
        );
        Self {
            buf,
            datagram: Span {
                start,
                end: start + len,
            },
        }
    }

    /// The datagram as it was received.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.datagram.range()]
    }

    /// Where the datagram lies in the buffer.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.datagram
    }

    /// The whole buffer, to write a header or a response into.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.buf
    }
}
