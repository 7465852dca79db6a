//! How many allocations there are, in total and per identity.
//!
//! Shared by all workers and touched when an allocation starts or ends, never per packet. The relay acquires a unit
//! before it opens a socket and releases it when the allocation ends, for whatever reason.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use thiserror::Error;

use super::tags::UserTag;

/// Why an allocation may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum QuotaExceeded {
    /// The identity has as many as it may: 486 (RFC 8656 section 7.2).
    #[error("the identity has reached its allocations")]
    User,
    /// The daemon has as many as it may: 508 (RFC 8656 section 7.2).
    #[error("the daemon has reached its allocations")]
    Total,
}

/// Counts of live allocations. Holds one entry per identity that has one, so never more than `total_limit`.
pub(super) struct Quotas {
    total_limit: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// The sum of `users`.
    total: usize,
    /// No count is zero. A tag is a keyed hash, so the map's hasher need not be.
    users: HashMap<UserTag, u32, FixedState>,
}

impl Quotas {
    /// No allocation yet, and at most `total_limit` at a time.
    #[must_use]
    pub(super) fn new(total_limit: usize) -> Self {
        Self {
            total_limit,
            counts: Mutex::default(),
        }
    }

    /// Counts one more allocation of `user`, who may have `user_limit` at a time.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`]; nothing is counted then. The identity's own limit is named first: it says more to the client.
    pub(super) fn acquire(&self, user: UserTag, user_limit: u32) -> Result<(), QuotaExceeded> {
        let mut counts = self.lock();
        let count = counts.users.get(&user).copied().unwrap_or(0);
        if count >= user_limit {
            return Err(QuotaExceeded::User);
        }
        if counts.total >= self.total_limit {
            return Err(QuotaExceeded::Total);
        }
        counts.users.insert(user, count + 1);
        counts.total += 1;
        Ok(())
    }

    /// Counts one allocation of `user` less: once for each successful [`Self::acquire`].
    pub(super) fn release(&self, user: UserTag) {
        let mut counts = self.lock();
        let Some(count) = counts.users.get_mut(&user) else {
            debug_assert!(false, "released what was not acquired");
            return;
        };
        *count -= 1;
        if *count == 0 {
            counts.users.remove(&user);
        }
        counts.total -= 1;
    }

    /// How many allocations there are.
    #[cfg(any(test, fuzzing))]
    pub(super) fn total(&self) -> usize {
        self.lock().total
    }

    /// How many identities have an allocation.
    #[cfg(any(test, fuzzing))]
    pub(super) fn users(&self) -> usize {
        self.lock().users.len()
    }

    /// Nothing panics between a count and its total, so that a poisoned lock guards sound counts.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const ALICE: UserTag = UserTag(1);
    const BOB: UserTag = UserTag(2);

    #[test]
    fn a_user_at_the_limit_is_refused_until_one_ends() {
        let quotas = Quotas::new(10);
        assert_eq!(quotas.acquire(ALICE, 2), Ok(()));
        assert_eq!(quotas.acquire(ALICE, 2), Ok(()));

        assert_eq!(quotas.acquire(ALICE, 2), Err(QuotaExceeded::User));
        assert_eq!(quotas.acquire(BOB, 2), Ok(()));
        quotas.release(ALICE);

        assert_eq!(quotas.acquire(ALICE, 2), Ok(()));
    }

    #[test]
    fn a_full_daemon_refuses_everybody_until_one_ends() {
        let quotas = Quotas::new(1);
        assert_eq!(quotas.acquire(ALICE, 2), Ok(()));

        assert_eq!(quotas.acquire(BOB, 2), Err(QuotaExceeded::Total));
        quotas.release(ALICE);

        assert_eq!(quotas.acquire(BOB, 2), Ok(()));
    }

    #[test]
    fn a_limit_of_none_admits_none() {
        assert_eq!(Quotas::new(1).acquire(ALICE, 0), Err(QuotaExceeded::User));
        assert_eq!(Quotas::new(0).acquire(ALICE, 1), Err(QuotaExceeded::Total));
    }

    #[test]
    fn a_narrowed_limit_counts_what_is_already_there() {
        let quotas = Quotas::new(10);
        for _ in 0..4 {
            assert_eq!(quotas.acquire(ALICE, 4), Ok(()));
        }

        assert_eq!(quotas.acquire(ALICE, 2), Err(QuotaExceeded::User));
    }

    #[test]
    fn workers_together_never_exceed_a_limit() {
        let quotas = Quotas::new(100);

        let granted: usize = std::thread::scope(|scope| {
            let worker = || {
                (0..100)
                    .filter(|_| quotas.acquire(ALICE, 150).is_ok())
                    .count()
            };
            let workers = [(); 4].map(|()| scope.spawn(worker));
            workers.map(|worker| worker.join().unwrap()).iter().sum()
        });

        assert_eq!(granted, 100);
        assert_eq!(quotas.total(), 100);
    }

    proptest! {
        #[test]
        fn counts_follow_a_plain_model(
            ops in prop::collection::vec((any::<bool>(), 0..4_u64, 0..4_u32), 0..300),
            total_limit in 0..8_usize,
        ) {
            let quotas = Quotas::new(total_limit);
            let mut model: BTreeMap<u64, u32> = BTreeMap::new();
            for (acquire, user, limit) in ops {
                let total = model.values().sum::<u32>() as usize;
                let count = model.get(&user).copied().unwrap_or(0);
                if acquire {
                    let expected = if count >= limit {
                        Err(QuotaExceeded::User)
                    } else if total >= total_limit {
                        Err(QuotaExceeded::Total)
                    } else {
                        model.insert(user, count + 1);
                        Ok(())
                    };
                    prop_assert_eq!(quotas.acquire(UserTag(user), limit), expected);
                } else if count > 0 {
                    quotas.release(UserTag(user));
                    model.insert(user, count - 1);
                }
                model.retain(|_, count| *count > 0);
                prop_assert_eq!(quotas.total(), model.values().sum::<u32>() as usize);
                prop_assert_eq!(quotas.users(), model.len());
            }
        }
    }
}
