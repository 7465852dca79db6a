//! When connections have to be looked at. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Tick;

/// Entries of connections that are gone which are always put up with.
const STALE: usize = 64;

/// Deadlines, earliest first, of what `I` names. O(log n) to push and pop.
#[derive(Debug)]
pub(in crate::server) struct Deadlines<I> {
    /// One entry for each open connection, and stale ones of connections that are gone, fewer than the others and
    /// [`STALE`] together.
    heap: BinaryHeap<Reverse<(Tick, I)>>,
}

impl<I: Copy + Ord> Deadlines<I> {
    pub(in crate::server) fn push(&mut self, at: Tick, id: I) {
        self.heap.push(Reverse((at, id)));
    }

    /// The earliest.
    pub(in crate::server) fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes an entry whose deadline has come.
    pub(in crate::server) fn pop_due(&mut self, now: Tick) -> Option<I> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse((_, id))| id)
    }

    /// Forgets the entries of connections that are gone, where there are more of them than of the `open` ones: costs as
    /// much as was pushed since the last time.
    pub(in crate::server) fn sweep(&mut self, open: usize, is_open: impl Fn(I) -> bool) {
        if self.heap.len() > 2 * open + STALE {
            self.heap.retain(|Reverse((_, id))| is_open(*id));
        }
    }
}

impl<I: Ord> Default for Deadlines<I> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::streams::ConnectionId;

    #[test]
    fn deadlines_come_in_their_order_and_not_before() {
        let mut deadlines = Deadlines::default();
        for (at, slot) in [(30, 0), (10, 1), (20, 2)] {
            deadlines.push(Tick::from_millis(at), id(slot));
        }

        assert_eq!(deadlines.next(), Some(Tick::from_millis(10)));
        assert_eq!(deadlines.pop_due(Tick::from_millis(9)), None);
        assert_eq!(deadlines.pop_due(Tick::from_millis(20)), Some(id(1)));
        assert_eq!(deadlines.pop_due(Tick::from_millis(20)), Some(id(2)));
        assert_eq!(deadlines.pop_due(Tick::from_millis(20)), None);
    }

    #[test]
    fn connections_that_come_and_go_leave_nothing_behind() {
        let mut deadlines = Deadlines::default();
        for slot in 0..10_000 {
            deadlines.push(Tick::from_millis(u64::from(slot)), id(slot));
            deadlines.sweep(1, |open| open == id(slot));
            assert!(deadlines.heap.len() <= 2 + STALE);
        }
    }

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot, serial: slot }
    }
}
