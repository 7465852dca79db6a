//! The heartbeat of a worker: how the daemon knows that it still comes round.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Tick;

/// When a worker last came round. Clones are the same one.
#[derive(Clone)]
pub(super) struct Heart(Arc<AtomicU64>);

impl Heart {
    /// The longest that a worker waits between two beats.
    pub(super) const PERIOD: Duration = Duration::from_secs(5);

    /// How long a worker may not come round before it counts as stalled: no load takes it so long, and a machine that
    /// was suspended beats again long before anybody looks twice.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A heart that beat at `now`.
    pub(super) fn new(now: Tick) -> Self {
        Self(Arc::new(AtomicU64::new(now.as_millis())))
    }

    pub(super) fn beat(&self, now: Tick) {
        self.0.store(now.as_millis(), Ordering::Relaxed);
    }

    pub(super) fn is_stalled(&self, now: Tick) -> bool {
        let last = Tick::from_millis(self.0.load(Ordering::Relaxed));
        now.since(last) > Self::PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_stalls_when_it_has_not_beaten_for_too_long() {
        let start = Tick::from_millis(7_000);
        let heart = Heart::new(start);
        let late = start.after(Heart::PATIENCE);

        assert!(!heart.is_stalled(start));
        assert!(!heart.is_stalled(late));
        assert!(heart.is_stalled(late.after(Duration::from_millis(1))));

        heart.clone().beat(late);
        assert!(!heart.is_stalled(late.after(Heart::PERIOD)));
    }
}
