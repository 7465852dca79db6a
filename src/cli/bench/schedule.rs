//! The generator's clock, and when each frame is due by it: at fixed distances from the start, whatever happened to the
//! frames before it.

use std::time::{Duration, Instant};

use crate::time::Tick;

/// Frames at a steady rate, counted from the start of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Between two frames, in nanoseconds times 2^[`FRACTION`].
    step: u64,
    /// How many frames there are.
    frames: u64,
}

/// Bits behind the point of a step: over a day at a million frames per second, the last frame is off by a microsecond.
const FRACTION: u32 = 14;

/// The longest run, in nanoseconds: a day.
pub(super) const LONGEST: u64 = 86_400 * SECOND;

/// A second, in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

impl Schedule {
    /// `rate` datagrams per second for `span` nanoseconds, at most [`LONGEST`], in frames of `burst`; at least one frame.
    pub(super) fn new(rate: u64, burst: u64, span: u64) -> Self {
        let per_frame = (u128::from(burst.max(1) * SECOND) << FRACTION) / u128::from(rate.max(1));
        let step = u64::try_from(per_frame).unwrap_or(u64::MAX).max(1);
        let frames = (u128::from(span.min(LONGEST)) << FRACTION) / u128::from(step);
        Self {
            step,
            frames: u64::try_from(frames).unwrap_or(u64::MAX).max(1),
        }
    }

    /// How many frames there are in all.
    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    /// When the frame of that number is due, in nanoseconds after the start. The first is number 0.
    pub(super) const fn due(&self, frame: u64) -> u64 {
        let due = frame as u128 * self.step as u128;
        // At most the span, which fits.
        #[expect(clippy::cast_possible_truncation, reason = "at most a day")]
        {
            (due >> FRACTION) as u64
        }
    }
}

/// A monotonic clock, counted from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a generator measures time")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the origin.
    pub(super) fn nanos(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The same moment, for the protocol.
    pub(super) fn tick(self) -> Tick {
        tick(self.nanos())
    }
}

/// A moment of the generator's clock, for the protocol.
pub(super) fn tick(nanos: u64) -> Tick {
    Tick::ZERO.after(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_due_at_the_rate() {
        let audio = Schedule::new(50, 1, SECOND);
        let video = Schedule::new(750, 25, SECOND);

        assert_eq!((audio.frames(), video.frames()), (50, 30));
        let dues: Vec<u64> = (0..3).map(|frame| audio.due(frame) / 1_000_000).collect();
        assert_eq!(dues, [0, 20, 40]);
        assert_eq!(video.due(29), 29 * SECOND / 30);
    }

    #[test]
    fn a_day_of_frames_ends_with_the_day() {
        let schedule = Schedule::new(1_000_000, 1, LONGEST);
        let last = schedule.due(schedule.frames() - 1);
        assert!(LONGEST - last < 10_000, "{last}");
    }

    proptest! {
        #[test]
        fn there_is_always_a_frame_and_all_are_due_in_time(
            rate in 0..100_000_000_u64,
            burst in 0..1000_u64,
            span in 0..=2 * LONGEST,
        ) {
            let schedule = Schedule::new(rate, burst, span);
            prop_assert!(schedule.frames() >= 1);
            prop_assert_eq!(schedule.due(0), 0);
            prop_assert!(schedule.due(schedule.frames() - 1) <= span);
        }
    }
}
