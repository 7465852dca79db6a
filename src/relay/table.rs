//! Where allocations live: a slab with generations, indexed by 5-tuple.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::allocation::Allocation;
use super::{FiveTuple, RelayToken};
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
    pub(super) const fn of(token: RelayToken) -> Self {
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

/// Where the allocation of a 5-tuple is.
///
/// The 5-tuple itself stands in the allocation alone, which a packet needs anyway: the index stays small enough for the
/// caches. The hash is kept so that the index can grow without a look at any allocation.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    index: u32,
}

/// All allocations of one worker. Look-up by 5-tuple is one hash, by id one index.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    /// Empty places, reused last-in first-out.
    vacant: Vec<u32>,
    /// Every tenant, by its 5-tuple. Only authenticated clients get in, so the keys are not a stranger's to choose.
    by_client: HashTable<Entry>,
    hasher: RandomState,
}

impl Table {
    /// How many clients' packets are read ahead at a time.
    const READ_AHEAD: usize = 64;

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
        debug_assert!(
            self.id_of(&allocation.client).is_none(),
            "one allocation per 5-tuple"
        );
        let entry = Entry {
            hash: self.hasher.hash_one(allocation.client),
            index: id.index,
        };
        self.by_client
            .insert_unique(entry.hash, entry, |entry| entry.hash);
        self.slots[id.index as usize].tenant = Some(Box::new(allocation));
        id
    }

    /// Moves an allocation out.
    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        let slot = self.slot_mut(id)?;
        let allocation = slot.tenant.take()?;
        slot.generation = (slot.generation + 1) & (u32::MAX >> 1);
        self.vacant.push(id.index);
        let hash = self.hasher.hash_one(allocation.client);
        let entry = self
            .by_client
            .find_entry(hash, |entry| entry.index == id.index);
        debug_assert!(entry.is_ok(), "every tenant is in the index");
        if let Ok(entry) = entry {
            entry.remove();
        }
        Some(allocation)
    }

    pub(super) fn id_of(&self, client: &FiveTuple) -> Option<AllocationId> {
        let hash = self.hasher.hash_one(client);
        let is_theirs = |entry: &Entry| {
            entry.hash == hash
                && self.slots[entry.index as usize]
                    .tenant
                    .as_ref()
                    .is_some_and(|allocation| allocation.client == *client)
        };
        let entry = self.by_client.find(hash, is_theirs)?;
        Some(AllocationId {
            index: entry.index,
            generation: self.slots[entry.index as usize].generation,
        })
    }

    /// Reads what the packets of some clients will need, of the first [`Self::READ_AHEAD`] of them.
    ///
    /// One step for all of them, then the next: the memory that one step needs of each is fetched at the same time,
    /// where a packet by itself waits at every step.
    pub(super) fn read_ahead(&self, clients: impl Iterator<Item = FiveTuple>) {
        let mut hashes = [0; Self::READ_AHEAD];
        let mut count = 0;
        for (hash, client) in hashes.iter_mut().zip(clients) {
            *hash = self.hasher.hash_one(client);
            count += 1;
        }
        let mut indexes = [None; Self::READ_AHEAD];
        for (index, hash) in indexes.iter_mut().zip(&hashes[..count]) {
            let entry = self.by_client.find(*hash, |entry| entry.hash == *hash);
            *index = entry.map(|entry| entry.index as usize);
        }
        let mut found = [None; Self::READ_AHEAD];
        for (allocation, index) in found.iter_mut().zip(&indexes[..count]) {
            *allocation = index.and_then(|index| self.slots[index].tenant.as_deref());
        }
        let found = || found[..count].iter().flatten();
        found().for_each(|allocation| allocation.touch());
        found().for_each(|allocation| allocation.routes.touch_receiver());
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

    /// The allocation that a relay socket was opened for.
    pub(super) fn of_token(&mut self, token: RelayToken) -> Option<&mut Allocation> {
        self.get_mut(AllocationId::of(token))
    }

    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// The ids of all allocations. For shutdown and tests: it visits every place.
    pub(super) fn ids(&self) -> Vec<AllocationId> {
        let id = |(index, slot): (u32, &Slot)| {
            slot.tenant.as_ref().map(|_| AllocationId {
                index,
                generation: slot.generation,
            })
        };
        (0..).zip(&self.slots).filter_map(id).collect()
    }

    fn slot_mut(&mut self, id: AllocationId) -> Option<&mut Slot> {
        self.slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.generation == id.generation)
    }
}
