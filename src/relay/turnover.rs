//! How many allocations of each identity ended lately.
//!
//! The port of an ended allocation rests: the quota no longer counts it, and the pool cannot give it out. Without a
//! bound on that, one identity that allocates and deletes over and over would soon have every port at rest, and
//! everybody else refused.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::tags::UserTag;
use crate::time::Tick;

/// The allocations that ended within the time that a port rests, over all workers.
pub(super) struct Turnover {
    rest: Duration,
    recent: Mutex<Recent>,
}

/// An entry for each allocation whose port still rests, so never more than there are ports.
struct Recent {
    /// Whose, and until when; first those that ended first.
    ended: VecDeque<(Tick, UserTag)>,
    /// How many of them are of each identity. No count is zero.
    counts: HashMap<UserTag, u32, FixedState>,
}

impl Turnover {
    /// How often an identity may use up all the allocations that it may have at once while a port rests: far more than
    /// renegotiations and lost networks need.
    pub(super) const TIMES: u32 = 8;

    /// Nothing has ended yet; ports rest for `rest`.
    pub(super) fn new(rest: Duration) -> Self {
        Self {
            rest,
            recent: Mutex::new(Recent {
                ended: VecDeque::new(),
                counts: HashMap::with_hasher(FixedState::default()),
            }),
        }
    }

    /// Whether `user`, who may have `limit` allocations at a time, may begin another one.
    pub(super) fn admits(&self, now: Tick, user: UserTag, limit: u32) -> bool {
        let mut recent = self.lock();
        recent.forget(now);
        let count = recent.counts.get(&user).copied().unwrap_or(0);
        count < limit.saturating_mul(Self::TIMES)
    }

    /// Counts an allocation of `user` that ended, its ports at rest.
    pub(super) fn ended(&self, now: Tick, user: UserTag) {
        let mut recent = self.lock();
        recent.forget(now);
        recent.ended.push_back((now.after(self.rest), user));
        *recent.counts.entry(user).or_insert(0) += 1;
    }

    /// How many allocations are counted.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().ended.len()
    }

    /// Nothing panics between the list and its counts, so that a poisoned lock guards sound ones.
    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    /// Leaves out the allocations whose ports have rested.
    fn forget(&mut self, now: Tick) {
        while let Some((until, user)) = self.ended.front().copied()
            && until <= now
        {
            self.ended.pop_front();
            if let Some(count) = self.counts.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&user);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: UserTag = UserTag(1);
    const BOB: UserTag = UserTag(2);
    const REST: Duration = Duration::from_secs(60);

    #[test]
    fn who_ends_too_many_waits_until_the_ports_have_rested() {
        let turnover = Turnover::new(REST);
        let start = Tick::from_millis(5_000);
        for second in 0..2 * u64::from(Turnover::TIMES) {
            let now = start.after(Duration::from_secs(second));
            assert!(turnover.admits(now, ALICE, 2));
            turnover.ended(now, ALICE);
        }

        let just_before = Tick::from_millis(start.after(REST).as_millis() - 1);

        assert!(!turnover.admits(just_before, ALICE, 2));
        assert!(turnover.admits(just_before, BOB, 2), "somebody else");
        assert!(turnover.admits(start.after(REST), ALICE, 2));
        assert!(turnover.admits(start.after(2 * REST), ALICE, 2));
        assert_eq!((turnover.len(), turnover.lock().counts.len()), (0, 0));
    }

    #[test]
    fn ports_that_do_not_rest_leave_nothing_behind() {
        let turnover = Turnover::new(Duration::ZERO);

        for _ in 0..1_000 {
            turnover.ended(Tick::ZERO, ALICE);
        }

        assert!(turnover.admits(Tick::ZERO, ALICE, 1));
        assert_eq!(turnover.len(), 0);
    }
}
