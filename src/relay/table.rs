//! Where allocations live: a slab with generations, indexed by 5-tuple.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::allocation::Allocation;
use super::{FiveTuple, RelayToken};
use crate::time::Tick;
use crate::wire::Family;

/// An allocation's place in the slab, and which of its successive tenants is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AllocationId {
    index: u32,
    generation: u32,
}

impl AllocationId {
    /// The token for the relay socket of one family: index, generation and family in one word.
    pub(super) const fn token(self, family: Family) -> RelayToken {
        let family = match family {
            Family::V4 => 0,
            Family::V6 => 1,
        };
        RelayToken((self.index as u64) << 32 | (self.generation as u64) << 1 | family)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of the word, as packed above"
    )]
    const fn of(token: RelayToken) -> Self {
        Self {
            index: (token.0 >> 32) as u32,
            generation: (token.0 as u32) >> 1,
        }
    }
}

/// The family whose relay socket a token was given to.
pub(super) const fn token_family(token: RelayToken) -> Family {
    if token.0 & 1 == 0 {
        Family::V4
    } else {
        Family::V6
    }
}

/// A place in the slab.
#[derive(Debug)]
struct Slot {
    /// Counts the tenants, modulo 2^31, so that an id outlives its allocation without harm.
    generation: u32,
    /// Boxed: the slab grows without moving allocations, and an empty place costs two words.
    tenant: Option<Box<Allocation>>,
}

/// All allocations of one worker. Look-up by 5-tuple is one hash, by id one index.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    /// Empty places, reused last-in first-out.
    vacant: Vec<u32>,
    /// Every tenant's 5-tuple. Only authenticated clients get in, so the keys are not a stranger's to choose.
    by_client: HashMap<FiveTuple, AllocationId, RandomState>,
}

impl Table {
    /// The id that the next [`Self::insert`] will give: relay sockets are opened for it before it exists.
    pub(super) fn next_id(&self) -> AllocationId {
        match self.vacant.last() {
            Some(&index) => AllocationId {
                index,
                generation: self.slots[index as usize].generation,
            },
            None => AllocationId {
                index: u32::try_from(self.slots.len())
                    .expect("`limits.allocations` is far below 2^32"),
                generation: 0,
            },
        }
    }

    /// Moves an allocation in; its 5-tuple must be free.
    pub(super) fn insert(&mut self, allocation: Allocation) -> AllocationId {
        let id = self.next_id();
        if self.vacant.pop().is_none() {
            self.slots.push(Slot {
                generation: 0,
                tenant: None,
            });
        }
        let previous = self.by_client.insert(allocation.client, id);
        debug_assert!(previous.is_none(), "one allocation per 5-tuple");
        self.slots[id.index as usize].tenant = Some(Box::new(allocation));
        id
    }

    /// Moves an allocation out.
    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let slot = self.slot_mut(id)?;
        let allocation = slot.tenant.take()?;
        slot.generation = (slot.generation + 1) & (u32::MAX >> 1);
        self.vacant.push(id.index);
        self.by_client.remove(&allocation.client);
        Some(allocation)
    }

    pub(super) fn id_of(&self, client: &FiveTuple) -> Option<AllocationId> {
        self.by_client.get(client).copied()
    }

    pub(super) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        let slot = self
            .slots
            .get(id.index as usize)
            .filter(|slot| slot.generation == id.generation)?;
        slot.tenant.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        self.slot_mut(id)?.tenant.as_deref_mut()
    }

    /// The allocation of a client.
    pub(super) fn of_client(&mut self, client: &FiveTuple) -> Option<&mut Allocation> {
        let id = self.id_of(client)?;
        self.get_mut(id)
    }

    /// The allocation that a relay socket was opened for, if its relayed address lives at `now`.
    pub(super) fn of_live_token(
        &mut self,
        token: RelayToken,
        now: Tick,
    ) -> Option<&mut Allocation> {
        self.get_mut(AllocationId::of(token)).filter(|allocation| {
            let relayed = allocation.relayed.of(token_family(token));
            relayed.is_some_and(|relayed| relayed.expires > now)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// The ids of all allocations. For shutdown and tests: it visits every place.
    pub(super) fn ids(&self) -> Vec<AllocationId> {
        self.by_client.values().copied().collect()
    }

    fn slot_mut(&mut self, id: AllocationId) -> Option<&mut Slot> {
        self.slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.generation == id.generation)
    }
}
