//! How fast each identity may have the relay open connections to peers.
//!
//! An attempt that fails gives its place back, so that the number of connections at a time does not bound how many a
//! client can ask for: without a pace, the relay would knock at as many doors as requests can be sent.

use std::sync::{Mutex, PoisonError};

use super::rate::{Gcra, Pace};
use super::tags::UserTag;
use crate::time::Tick;

/// Attempts per second by identity, over all workers.
///
/// A fixed table, 32 KiB: identities that meet in a cell share its pace. Nothing ends with an allocation, so that a new
/// one gains no attempts. Touched by Connect requests alone.
pub(super) struct Attempts {
    pace: Pace,
    cells: Mutex<Box<[Gcra]>>,
}

impl Attempts {
    /// The number of cells, a power of two.
    const CELLS: usize = 1 << Self::INDEX_BITS;

    const INDEX_BITS: u32 = 12;

    /// Seconds' worth of attempts that may be made at once: applications open some connections together.
    pub(super) const BURST: u32 = 5;

    /// `attempts` per second and identity.
    pub(super) fn new(attempts: u32) -> Self {
        Self {
            pace: Pace::per_second(attempts, Self::BURST),
            cells: Mutex::new(vec![Gcra::default(); Self::CELLS].into()),
        }
    }

    /// Counts one attempt of `user`, where the pace still allows it. A refused one costs nothing.
    #[must_use]
    pub(super) fn admit(&self, now: Tick, UserTag(tag): UserTag) -> bool {
        // A tag is a keyed hash: any of its bits will do.
        let index = usize::try_from(tag >> (u64::BITS - Self::INDEX_BITS));
        // One word changes at a time, so that a poisoned lock guards sound ones.
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells[index.expect("an index has few bits")].admit(now, self.pace)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_identity_has_its_burst_and_then_its_pace_whatever_others_do() {
        let attempts = Attempts::new(2);
        let made = |user, secs| {
            let now = Tick::ZERO.after(Duration::from_secs(secs));
            (0..100).filter(|_| attempts.admit(now, user)).count()
        };
        let (alice, bob) = (UserTag(1 << 60), UserTag(2 << 60));

        assert_eq!(made(alice, 0), 10);
        assert_eq!(made(alice, 1), 2);
        assert_eq!(made(bob, 1), 10);
        assert_eq!(made(alice, 2), 2);
        assert_eq!(made(alice, 1_000), 10);
    }

    #[test]
    fn every_tag_has_a_cell() {
        let attempts = Attempts::new(1);
        for tag in [0, 1, u64::MAX] {
            let _ = attempts.admit(Tick::ZERO, UserTag(tag));
        }
    }
}
