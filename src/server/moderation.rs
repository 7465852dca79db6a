//! When a worker lets packets gather before it looks again.
//!
//! A wake-up costs a worker more than a packet does: the switch to its thread, three system calls, and the switch of
//! whoever waits for what it sends. Where packets come faster than that but not fast enough to queue, each would pay
//! for its own. So a worker that was woken a moment ago and found little waits a little, as network cards do with their
//! interrupts. A worker with a queue does not wait, and neither does one that is woken now and then, or one whose clients
//! wait for each other, so that nothing gathers.

use std::time::Duration;

use crate::time::Tick;

/// Decides about the pauses of one worker.
pub(super) struct Moderation {
    /// The millisecond of the last wake-up.
    tick: Tick,
    /// Whether it paused then.
    paused: bool,
    /// No pause before: the last one brought nothing.
    vain_until: Tick,
}

impl Moderation {
    /// How long packets gather at most: a hundredth of the time that a frame of speech covers.
    pub(super) const PAUSE: Duration = Duration::from_micros(200);

    /// Packets from which on a turn has found a queue. What moves bulk counts as one.
    pub(super) const QUEUE: usize = 32;

    /// How long to do without pauses after one in which nothing gathered.
    const RESPITE: Duration = Duration::from_millis(16);

    pub(super) const fn new(now: Tick) -> Self {
        Self {
            tick: now,
            paused: false,
            vain_until: now,
        }
    }

    /// Whether to pause after a turn that began at `now` and brought so many packets: it brought a few, and began in
    /// the same millisecond as the turn before; and where that one paused lately, more than one packet came of it.
    pub(super) fn pauses(&mut self, now: Tick, packets: usize) -> bool {
        let again = self.tick == now;
        self.tick = now;
        if self.paused && packets < 2 {
            self.vain_until = now.after(Self::RESPITE);
        }
        self.paused = again && now >= self.vain_until && (1..Self::QUEUE).contains(&packets);
        self.paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_pauses_when_it_is_woken_often_for_little() {
        let mut moderation = Moderation::new(Tick::ZERO);
        let at = Tick::from_millis;

        assert!(!moderation.pauses(at(5), 2), "the first in a while");
        assert!(moderation.pauses(at(5), 2));
        assert!(moderation.pauses(at(5), Moderation::QUEUE - 1));
        assert!(!moderation.pauses(at(5), Moderation::QUEUE), "a queue");
        assert!(!moderation.pauses(at(5), 0), "a timer");
        assert!(!moderation.pauses(at(6), 1), "the next millisecond");
        assert!(moderation.pauses(at(6), 1));
    }

    #[test]
    fn pauses_that_bring_nothing_cease_for_a_while() {
        let mut moderation = Moderation::new(Tick::ZERO);
        let at = Tick::from_millis;
        let _first = moderation.pauses(at(5), 1);
        assert!(moderation.pauses(at(5), 1), "to see what gathers");

        for millisecond in 5..21 {
            assert!(!moderation.pauses(at(millisecond), 1));
            assert!(!moderation.pauses(at(millisecond), 1));
        }

        assert!(!moderation.pauses(at(21), 1), "the first of a millisecond");
        assert!(moderation.pauses(at(21), 1), "once more");
    }
}
