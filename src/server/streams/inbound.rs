//! The frames that one receive completed.

use super::pipe::Buffers;
use super::{CloseReason, ConnectionId};
use crate::net::HEADROOM;
use crate::relay::{FiveTuple, Packet, Relay};
use crate::wire::{Demux, MAX_FRAME, frame_len};

/// Bytes of the longest message of a client that has no allocation: requests are far shorter, and a stranger is not to
/// make the relay keep more.
const REQUEST_MAX: usize = 4 * 1024;

/// What arrived on one connection, to be handed out frame by frame.
pub(in crate::server) struct Inbound {
    pub(super) id: ConnectionId,
    /// Whom it is from.
    pub(in crate::server) from: FiveTuple,
    pub(super) buffers: Buffers,
    /// A buffer for a frame that may be answered: the answer is written over it, and may be longer.
    pub(super) alone: Box<[u8]>,
    /// Where the frame that was handed out last begins in the plaintext.
    pub(super) last: usize,
    /// Where the next frame begins.
    pub(super) next: usize,
    /// Where the plaintext ends.
    pub(super) end: usize,
    pub(super) bounds: FrameBounds,
    /// Whether a frame was handed out.
    pub(super) heard: bool,
    /// Why nothing more can come.
    pub(super) ends: Option<CloseReason>,
}

/// What a connection's next frame may be.
#[derive(Clone, Copy)]
pub(super) struct FrameBounds {
    /// Whether it is the first, which must be a STUN message: no channel is bound yet. It is how the first word of
    /// HTTP, which could be a channel's number, is told from TURN.
    pub(super) first: bool,
    /// Whether the client has an allocation, and so may send application data.
    pub(super) allocated: bool,
}

/// A frame, where it lies.
pub(in crate::server) struct Frame<'a> {
    buffer: &'a mut [u8],
    start: usize,
    len: usize,
}

impl Frame<'_> {
    /// It as the core takes it.
    pub(in crate::server) fn packet(&mut self) -> Packet<'_> {
        Packet::at(self.buffer, self.start, self.len)
    }

    /// The buffer it lies in, which a verdict's span names a part of.
    pub(in crate::server) const fn buffer(&self) -> &[u8] {
        self.buffer
    }
}

impl Inbound {
    /// The buffer of [`Self::alone`].
    pub(super) fn buffer() -> Box<[u8]> {
        vec![0; HEADROOM + MAX_FRAME].into()
    }

    /// Hands out the next frame that is complete; `None` where none is, or where what follows is no frame.
    pub(in crate::server) fn next_frame(&mut self) -> Option<Frame<'_>> {
        let stream = &self.buffers.plain[self.next..self.end];
        let len = match self.bounds.frame(stream) {
            Ok(Some(len)) if len <= stream.len() => len,
            Ok(_) => return None,
            Err(reason) => {
                self.next = self.end;
                self.ends = Some(reason);
                return None;
            }
        };
        let start = self.next;
        self.last = start;
        self.next += len;
        self.bounds.first = false;
        self.heard = true;
        if Relay::may_answer(&self.buffers.plain[start..start + len]) {
            let frame = &self.buffers.plain[start..start + len];
            self.alone[HEADROOM..HEADROOM + len].copy_from_slice(frame);
            return Some(Frame {
                buffer: &mut self.alone,
                start: HEADROOM,
                len,
            });
        }
        // Headers are written in front of it, over frames that were handed out before.
        Some(Frame {
            buffer: &mut self.buffers.plain,
            start,
            len,
        })
    }

    /// What is left: a part of a frame.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buffers.plain[self.next..self.end]
    }

    /// The request that was handed out last, and what is left behind it.
    pub(super) fn unanswered(&self) -> &[u8] {
        &self.buffers.plain[self.last..self.end]
    }
}

impl FrameBounds {
    /// How long the frame at the start of `stream` is, as soon as that can be told.
    fn frame(self, stream: &[u8]) -> Result<Option<usize>, CloseReason> {
        if self.first && stream.first().is_some_and(|b| Demux::of(*b) != Demux::Stun) {
            return Err(CloseReason::Protocol);
        }
        let len = frame_len(stream).map_err(|_| CloseReason::Protocol)?;
        if !self.allocated && len.is_some_and(|len| len > REQUEST_MAX) {
            return Err(CloseReason::TooLong);
        }
        Ok(len)
    }
}
