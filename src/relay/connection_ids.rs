//! The CONNECTION-IDs of all workers: which are in use, and where their connections are.
//!
//! Shared, because a client's data connection reaches whichever worker the kernel picks, not the one that its
//! allocation lives on. Touched when a peer connection begins, is bound or ends, never per byte.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rand_chacha::rand_core::Rng;

use super::{ConnectionToken, RelayToken};
use crate::wire::ConnectionId;

/// Where a peer connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The worker of its allocation.
    pub(super) worker: usize,
    /// Its relayed address, as that worker knows it.
    pub(super) relay: RelayToken,
}

/// The ids in use. At most `limit`.
pub(super) struct ConnectionIds {
    limit: usize,
    /// The keys are drawn here, so that nobody else chooses where they fall.
    places: Mutex<HashMap<u32, Place, FixedState>>,
}

impl ConnectionIds {
    /// No connection yet, and at most `limit` at a time.
    #[must_use]
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            places: Mutex::default(),
        }
    }

    /// Draws an id for a new connection; `None` where there are as many as there may be. An id cannot be foreseen, and is
    /// unique among the live ones: with 2^32 of them a collision is rare, and three in a row are taken for the limit.
    pub(super) fn enter(&self, place: Place, rng: &mut impl Rng) -> Option<ConnectionToken> {
        const DRAWS: usize = 3;
        let mut places = self.lock();
        if places.len() >= self.limit {
            return None;
        }
        let id = (0..DRAWS)
            .map(|_| rng.next_u32())
            .find(|id| !places.contains_key(id))?;
        places.insert(id, place);
        Some(ConnectionToken {
            relay: place.relay,
            id: ConnectionId(id),
        })
    }

    /// Where the connection of an id is.
    pub(super) fn find(&self, ConnectionId(id): ConnectionId) -> Option<Place> {
        self.lock().get(&id).copied()
    }

    /// Forgets a connection that is over.
    pub(super) fn leave(&self, ConnectionId(id): ConnectionId) {
        let left = self.lock().remove(&id);
        debug_assert!(left.is_some(), "a connection ends once");
    }

    /// How many there are.
    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// One step changes the map, so that a poisoned lock guards a sound one.
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Place, FixedState>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const PLACE: Place = Place {
        worker: 3,
        relay: RelayToken(7),
    };

    /// TC-09.
    #[test]
    fn ids_are_spread_over_all_numbers_and_none_is_given_twice() {
        const COUNT: usize = 10_000;
        let ids = ConnectionIds::new(COUNT);
        let mut rng = ChaCha12Rng::from_seed([7; 32]);

        let drawn: BTreeSet<u32> = (0..COUNT)
            .map(|_| ids.enter(PLACE, &mut rng).unwrap().id.0)
            .collect();

        assert_eq!(drawn.len(), COUNT);
        for bit in 0..u32::BITS {
            let set = drawn.iter().filter(|id| *id >> bit & 1 == 1).count();
            assert!(
                (4_700..5_300).contains(&set),
                "bit {bit} is set {set} times"
            );
        }
    }

    #[test]
    fn limit_counts_the_live_ones() {
        let ids = ConnectionIds::new(2);
        let mut rng = ChaCha12Rng::from_seed([7; 32]);
        let first = ids.enter(PLACE, &mut rng).unwrap();
        ids.enter(PLACE, &mut rng).unwrap();
        assert_eq!(ids.enter(PLACE, &mut rng), None);

        ids.leave(first.id);

        assert_eq!(ids.find(first.id), None);
        let next = ids.enter(PLACE, &mut rng).unwrap();
        assert_eq!(ids.find(next.id), Some(PLACE));
        assert_eq!(ids.len(), 2);
    }

    /// A generator that says the same for a while.
    #[test]
    fn id_in_use_is_drawn_again() {
        let ids = ConnectionIds::new(9);
        let same = || ChaCha12Rng::from_seed([7; 32]);
        let first = ids.enter(PLACE, &mut same()).unwrap();

        let second = ids.enter(PLACE, &mut same()).unwrap();

        assert_ne!(first.id, second.id);
    }
}
