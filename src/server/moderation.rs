//! When a worker lets packets gather before it looks again.
//!
//! A wake-up costs a worker more than a packet does: the switch to its thread, three system calls, and the switch of
//! whoever waits for what it sends. Where packets come faster than that but not fast enough to queue, each would pay
//! for its own. So a worker that was woken a moment ago and found little waits a little, as network cards do with their
//! interrupts. A worker with a queue does not wait, and neither does one that is woken now and then.

use std::time::Duration;

use crate::time::Tick;

/// Decides about the pauses of one worker.
pub(super) struct Moderation {
    /// The millisecond of the last wake-up.
    tick: Tick,
}

impl Moderation {
    /// How long packets gather at most: a hundredth of the time that a frame of speech covers.
    pub(super) const PAUSE: Duration = Duration::from_micros(200);

    /// Packets from which on a turn has found a queue. What moves bulk counts as one.
    pub(super) const QUEUE: usize = 32;

    pub(super) const fn new(now: Tick) -> Self {
        Self { tick: now }
    }

    /// Whether to pause after a turn that began at `now` and brought so many packets: it brought a few, and began in
    /// the same millisecond as the turn before.
    pub(super) fn pauses(&mut self, now: Tick, packets: usize) -> bool {
        let again = self.tick == now;
        self.tick = now;
        again && (1..Self::QUEUE).contains(&packets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_pauses_when_it_is_woken_often_for_little() {
        let mut moderation = Moderation::new(Tick::ZERO);
        let at = Tick::from_millis;

        assert!(!moderation.pauses(at(5), 1), "the first in a while");
        assert!(moderation.pauses(at(5), 1));
        assert!(moderation.pauses(at(5), Moderation::QUEUE - 1));
        assert!(!moderation.pauses(at(5), Moderation::QUEUE), "a queue");
        assert!(!moderation.pauses(at(5), 0), "a timer");
        assert!(!moderation.pauses(at(6), 1), "the next millisecond");
        assert!(moderation.pauses(at(6), 1));
    }
}
