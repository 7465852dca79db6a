//! What waits to be sent on one connection, and what is dropped when it waits too long. Pure.
//!
//! A client that reads slower than its peer sends must get fresh media instead of old: the oldest frames go first,
//! by number of bytes and by age. Answers are never dropped, and go in front of media.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Duration;

use crate::time::Tick;

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of media, to which each frame adds [`FRAME_OVERHEAD`].
    pub(super) media_bytes: usize,
    /// How old media may grow.
    pub(super) media_age: Duration,
}

/// Bytes that a frame of media is charged beside its own, so that empty ones are bounded as well.
const FRAME_OVERHEAD: usize = 16;

/// Bytes of answers that may wait, beside the frame of media that is being sent. An answer has at most 1280 bytes: a
/// client that leaves this many unread sends requests without reading.
pub(super) const ANSWERS_MAX: usize = 64 * 1024;

/// Slices of [`Backlog::parts`]: each of the two queues is a ring.
pub(super) const PARTS: usize = 4;

/// The queues of one connection. Costs the bytes that wait and sixteen for each frame of media.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// What must be sent: the rest of a frame that has begun to be, and answers.
    due: VecDeque<u8>,
    /// Whole frames of media.
    media: VecDeque<u8>,
    /// The frames in `media`, oldest first.
    frames: VecDeque<Frame>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    len: u32,
    queued: Tick,
}

impl Frame {
    const fn charge(self) -> usize {
        self.len as usize + FRAME_OVERHEAD
    }
}

/// How many frames of media were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Because too many bytes waited.
    pub(super) crowded: u64,
    /// Because they waited too long.
    pub(super) late: u64,
}

impl Backlog {
    /// Queues an answer; false where more answers wait than a client that reads would leave.
    #[must_use]
    pub(super) fn answer(&mut self, bytes: &[u8]) -> bool {
        self.due.extend(bytes);
        self.due.len() <= ANSWERS_MAX + crate::wire::MAX_FRAME
    }

    /// Queues a frame of media. The oldest make room for it, or it is dropped itself where it is larger than the bound.
    pub(super) fn media(&mut self, now: Tick, bytes: &[u8], bounds: &Bounds) -> Dropped {
        let mut dropped = self.expire(now, bounds);
        let frame = Frame {
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            queued: now,
        };
        if frame.charge() > bounds.media_bytes {
            dropped.crowded += 1;
            return dropped;
        }
        while self.media_charge() + frame.charge() > bounds.media_bytes && self.drop_oldest() {
            dropped.crowded += 1;
        }
        self.media.extend(bytes);
        self.frames.push_back(frame);
        dropped
    }

    /// Drops the media that has become too old. To be called before sending.
    pub(super) fn expire(&mut self, now: Tick, bounds: &Bounds) -> Dropped {
        let mut late = 0;
        while let Some(oldest) = self.frames.front()
            && now.since(oldest.queued) > bounds.media_age
        {
            self.drop_oldest();
            late += 1;
        }
        Dropped { crowded: 0, late }
    }

    /// What to send, in this order; some of the slices may be empty.
    pub(super) fn parts(&self) -> [IoSlice<'_>; PARTS] {
        let (due, more_due) = self.due.as_slices();
        let (media, more_media) = self.media.as_slices();
        [due, more_due, media, more_media].map(IoSlice::new)
    }

    /// Takes away the first `count` bytes of [`Self::parts`], which were sent. A frame of which only a part was sent
    /// can no longer be dropped.
    pub(super) fn sent(&mut self, count: usize) {
        let due = count.min(self.due.len());
        take_front(&mut self.due, due);
        let mut rest = count - due;
        while let Some(&Frame { len, .. }) = self.frames.front()
            && rest > 0
        {
            let len = len as usize;
            let sent = len.min(rest);
            self.frames.pop_front();
            // Everything in `due` was sent before a byte of this.
            self.due.extend(self.media.range(sent..len));
            take_front(&mut self.media, len);
            rest -= sent;
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.due.len() + self.media.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.media.is_empty()
    }

    /// Forgets everything, and gives back memory beyond `kept` bytes.
    pub(super) fn reset(&mut self, kept: usize) {
        self.due.clear();
        self.media.clear();
        self.frames.clear();
        self.due.shrink_to(kept / 16);
        self.media.shrink_to(kept);
        self.frames.shrink_to(kept / 256);
    }

    fn media_charge(&self) -> usize {
        self.media.len() + FRAME_OVERHEAD * self.frames.len()
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(frame) = self.frames.pop_front() else {
            return false;
        };
        take_front(&mut self.media, frame.len as usize);
        true
    }
}

/// Takes the first `count` bytes away. An empty ring begins at its start again, so that what comes next lies in one
/// piece.
fn take_front(ring: &mut VecDeque<u8>, count: usize) {
    if count == ring.len() {
        ring.clear();
    } else {
        ring.drain(..count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        media_bytes: 100 + 2 * FRAME_OVERHEAD,
        media_age: Duration::from_millis(500),
    };

    #[test]
    fn the_oldest_media_makes_room_for_the_newest() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.media(at(0), &[1; 50], &BOUNDS), Dropped::default());
        assert_eq!(backlog.media(at(1), &[2; 50], &BOUNDS), Dropped::default());

        let dropped = backlog.media(at(2), &[3; 40], &BOUNDS);

        assert_eq!(
            dropped,
            Dropped {
                crowded: 1,
                late: 0
            }
        );
        assert_eq!(content(&backlog), [vec![2; 50], vec![3; 40]].concat());
    }

    #[test]
    fn media_larger_than_the_bound_is_dropped_alone() {
        let mut backlog = Backlog::default();
        backlog.media(at(0), &[1; 10], &BOUNDS);

        let dropped = backlog.media(at(0), &[2; 200], &BOUNDS);

        assert_eq!(dropped.crowded, 1);
        assert_eq!(content(&backlog), [1; 10]);
    }

    #[test]
    fn media_that_is_late_is_dropped_before_it_is_sent() {
        let mut backlog = Backlog::default();
        backlog.media(at(0), b"old", &BOUNDS);
        backlog.media(at(400), b"new", &BOUNDS);
        assert_eq!(backlog.expire(at(500), &BOUNDS), Dropped::default());

        let dropped = backlog.expire(at(501), &BOUNDS);

        assert_eq!(
            dropped,
            Dropped {
                crowded: 0,
                late: 1
            }
        );
        assert_eq!(content(&backlog), b"new");
    }

    #[test]
    fn answers_go_first_and_are_never_dropped() {
        let mut backlog = Backlog::default();
        backlog.media(at(0), b"media", &BOUNDS);
        assert!(backlog.answer(b"answer"));

        backlog.expire(at(10_000), &BOUNDS);
        assert_eq!(content(&backlog), b"answer");

        backlog.media(at(10_000), b"media", &BOUNDS);
        assert_eq!(content(&backlog), b"answermedia");
    }

    #[test]
    fn a_frame_that_was_begun_is_finished_before_anything_else() {
        let mut backlog = Backlog::default();
        backlog.media(at(0), b"first", &BOUNDS);
        backlog.media(at(0), b"second", &BOUNDS);

        backlog.sent(2);
        assert!(backlog.answer(b"answer"));
        backlog.expire(at(10_000), &BOUNDS);

        assert_eq!(content(&backlog), b"rstanswer");
    }

    #[test]
    fn more_answers_than_the_bound_end_the_connection() {
        let mut backlog = Backlog::default();
        let answer = [0; 1024];
        let mut answers = 0;
        while backlog.answer(&answer) {
            answers += 1;
            assert!(answers < 1024, "answers without end");
        }
        assert!(answers >= ANSWERS_MAX / 1024);
    }

    #[test]
    fn empty_frames_are_bounded_as_well() {
        let mut backlog = Backlog::default();
        let mut dropped = 0;
        for _ in 0..1000 {
            dropped += backlog.media(at(0), &[], &BOUNDS).crowded;
        }
        let most = BOUNDS.media_bytes / FRAME_OVERHEAD;
        assert_eq!(dropped, 1000 - most as u64);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Answer(u8),
        Media(u8),
        Send(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..60_u8).prop_map(Step::Answer),
            (0..60_u8).prop_map(Step::Media),
            (0..120_usize).prop_map(Step::Send),
            (0..400_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        // Whatever is sent is a row of whole frames, each kind in its order, and only media is missing.
        #[test]
        fn the_stream_stays_a_row_of_whole_frames(steps in prop::collection::vec(step(), 0..60)) {
            let mut backlog = Backlog::default();
            let mut stream = Vec::new();
            let (mut now, mut serial) = (0, 0_u8);
            let (mut answers, mut media, mut dropped) = (Vec::new(), 0, 0);
            let count = |d: Dropped| usize::try_from(d.crowded + d.late).unwrap();
            for step in steps.into_iter().chain([Step::Send(usize::MAX)]) {
                match step {
                    Step::Answer(len) => {
                        serial = serial.wrapping_add(1);
                        answers.push(serial);
                        prop_assert!(backlog.answer(&frame(b'a', serial, len)));
                    }
                    Step::Media(len) => {
                        serial = serial.wrapping_add(1);
                        media += 1;
                        let frame = frame(b'm', serial, len);
                        dropped += count(backlog.media(at(now), &frame, &BOUNDS));
                    }
                    Step::Send(most) => {
                        dropped += count(backlog.expire(at(now), &BOUNDS));
                        let bytes = content(&backlog);
                        let sent = bytes.len().min(most);
                        stream.extend(&bytes[..sent]);
                        backlog.sent(sent);
                    }
                    Step::Wait(millis) => now += millis,
                }
                prop_assert!(backlog.media_charge() <= BOUNDS.media_bytes);
            }

            prop_assert!(backlog.is_empty());
            let frames = frames(&stream);
            let of = |kind| frames.iter().filter(move |f| f.0 == kind).map(|f| f.1);
            prop_assert_eq!(of(b'a').collect::<Vec<_>>(), answers);
            let sent: Vec<u8> = of(b'm').collect();
            prop_assert!(sent.is_sorted());
            prop_assert_eq!(sent.len() + dropped, media);
        }
    }

    /// A frame that tells its kind, its serial number and its length.
    fn frame(kind: u8, serial: u8, len: u8) -> Vec<u8> {
        let mut frame = vec![kind, serial, len];
        frame.extend(std::iter::repeat_n(serial, len.into()));
        frame
    }

    fn frames(mut stream: &[u8]) -> Vec<(u8, u8)> {
        let mut frames = Vec::new();
        while let [kind, serial, len, rest @ ..] = stream {
            let (body, rest) = rest.split_at((*len).into());
            assert!(body.iter().all(|byte| byte == serial), "a torn frame");
            frames.push((*kind, *serial));
            stream = rest;
        }
        assert!(stream.is_empty());
        frames
    }

    fn content(backlog: &Backlog) -> Vec<u8> {
        backlog
            .parts()
            .iter()
            .flat_map(|part| part.to_vec())
            .collect()
    }

    fn at(millis: u64) -> Tick {
        Tick::from_millis(millis)
    }
}
