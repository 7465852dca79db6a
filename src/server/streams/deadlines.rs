//! When connections have to be looked at. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ConnectionId;
use crate::time::Tick;

/// Entries of connections that are gone which are always put up with.
const STALE: usize = 64;

/// Deadlines, earliest first. O(log n) to push and pop.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// One entry for each open connection, and stale ones of connections that are gone, fewer than the others and
    /// [`STALE`] together.
    heap: BinaryHeap<Reverse<(Tick, ConnectionId)>>,
}

impl Deadlines {
    pub(super) fn push(&mut self, at: Tick, id: ConnectionId) {
        self.heap.push(Reverse((at, id)));
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes an entry whose deadline has come.
    pub(super) fn pop_due(&mut self, now: Tick) -> Option<ConnectionId> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse((_, id))| id)
    }

    /// Forgets the entries of connections that are gone, where there are more of them than of the `open` ones: costs as
    /// much as was pushed since the last time.
    pub(super) fn sweep(&mut self, open: usize, is_open: impl Fn(ConnectionId) -> bool) {
        if self.heap.len() > 2 * open + STALE {
            self.heap.retain(|Reverse((_, id))| is_open(*id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
