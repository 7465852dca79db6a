//! When allocations have to be looked at again.
//!
//! Refreshing an allocation does not touch the heap: an entry that comes up early is put back for the deadline that
//! holds then. Permissions and channels have no timers at all; their expiry is compared with the clock whenever they
//! are used.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::table::AllocationId;
use crate::time::Tick;

/// Deadlines, earliest first. O(log n) to push and pop.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// One valid entry per allocation, and stale ones: those of ended allocations, and those that an earlier deadline
    /// replaced. Their owner calls [`Self::retain`] before they outnumber the valid ones.
    heap: BinaryHeap<Reverse<(Tick, AllocationId)>>,
}

impl Timers {
    pub(super) fn push(&mut self, deadline: Tick, id: AllocationId) {
        self.heap.push(Reverse((deadline, id)));
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes an entry whose deadline has come.
    pub(super) fn pop_due(&mut self, now: Tick) -> Option<(Tick, AllocationId)> {
        self.next().filter(|deadline| *deadline <= now)?;
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Keeps the entries that are still wanted. O(n).
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(Tick, AllocationId) -> bool) {
        self.heap
            .retain(|Reverse((deadline, id))| wanted(*deadline, *id));
    }

    /// Whether there is such an entry.
    #[cfg(any(test, fuzzing))]
    pub(super) fn contains(&self, deadline: Tick, id: AllocationId) -> bool {
        self.heap
            .iter()
            .any(|Reverse(entry)| *entry == (deadline, id))
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}
