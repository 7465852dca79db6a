//! Whose TLS handshake is worked on: a few in a turn, in the order in which they asked. Pure.
//!
//! To take those that the poller happens to name first is no order: where more sockets are ready than it names at a
//! time, somebody may come last again and again.

use std::collections::VecDeque;

use super::ConnectionId;

/// Handshakes that are worked on in one turn. Each may cost a millisecond, which media would wait for.
pub(in crate::server) const SHARE: usize = 2;

/// Entries of connections that are gone which are always put up with.
const STALE: usize = 64;

/// The connections that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// One entry for each connection that waits, and stale ones of connections that are gone: no more than three
    /// times the open ones and [`STALE`]: some have come to wait since the last sweep.
    waiting: VecDeque<ConnectionId>,
    /// Whose turn it is. At most [`SHARE`].
    called: Vec<ConnectionId>,
    /// How many others got on in this turn.
    admitted: usize,
}

impl Handshakes {
    /// Whether a connection may get on. If not, it waits, and must not ask again before [`Self::call`] has named it.
    pub(super) fn admit(&mut self, id: ConnectionId) -> bool {
        if let Some(place) = self.called.iter().position(|called| *called == id) {
            self.called.swap_remove(place);
            self.admitted += 1;
            return true;
        }
        if self.waiting.is_empty() && self.called.len() + self.admitted < SHARE {
            self.admitted += 1;
            return true;
        }
        self.waiting.push_back(id);
        false
    }

    /// Whether somebody waits.
    pub(super) fn is_busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Begins a turn. Whose turn it was and who is gone gives way to another.
    pub(super) fn begin_turn(&mut self, is_open: impl Fn(ConnectionId) -> bool) {
        self.admitted = 0;
        self.called.retain(|id| is_open(*id));
    }

    /// Names the next whose turn it is, where there is room in this turn.
    pub(super) fn call(&mut self, is_open: impl Fn(ConnectionId) -> bool) -> Option<ConnectionId> {
        if self.called.len() == SHARE {
            return None;
        }
        loop {
            let id = self.waiting.pop_front()?;
            if is_open(id) {
                self.called.push(id);
                return Some(id);
            }
        }
    }

    /// Forgets those who are gone, where there are more of them than of the `open` connections: costs as much as has
    /// come to wait since the last time.
    pub(super) fn sweep(&mut self, open: usize, is_open: impl Fn(ConnectionId) -> bool) {
        if self.waiting.len() > 2 * open + STALE {
            self.waiting.retain(|id| is_open(*id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_get_on_in_their_order_and_few_in_a_turn() {
        let mut handshakes = Handshakes::default();
        let asked: Vec<u32> = (0..20).collect();
        let mut served: Vec<u32> = Vec::new();
        served.extend(asked.iter().filter(|slot| handshakes.admit(id(**slot))));
        assert_eq!(served, [0, 1]);

        // Somebody new asks in each turn, before those who wait.
        for newcomer in 20..29 {
            let called = turn(&mut handshakes, |_| true);
            assert!(!handshakes.admit(id(newcomer)), "others were there first");
            assert_eq!(called.len(), SHARE);
            served.extend(called.iter().filter(|slot| handshakes.admit(id(**slot))));
        }

        assert_eq!(served, asked);
    }

    #[test]
    fn who_is_called_and_does_not_come_keeps_a_place_until_it_is_gone() {
        let mut handshakes = Handshakes::default();
        for slot in 0..10 {
            handshakes.admit(id(slot));
        }
        assert_eq!(turn(&mut handshakes, |_| true), [2, 3]);
        assert!(handshakes.admit(id(2)));

        assert_eq!(turn(&mut handshakes, |_| true), [4]);
        let is_open = |of: ConnectionId| of.slot != 3;

        assert_eq!(turn(&mut handshakes, is_open), [5]);
    }

    #[test]
    fn who_is_gone_is_not_called() {
        let mut handshakes = Handshakes::default();
        for slot in 0..7 {
            handshakes.admit(id(slot));
        }

        let is_open = |of: ConnectionId| of.slot == 6;

        assert_eq!(turn(&mut handshakes, is_open), [6]);
    }

    #[test]
    fn those_who_come_and_go_leave_nothing_behind() {
        let mut handshakes = Handshakes::default();
        for slot in 0..10_000 {
            handshakes.admit(id(slot));
            handshakes.sweep(1, |open| open == id(slot));
            assert!(handshakes.waiting.len() <= 2 + STALE);
        }
    }

    fn turn(handshakes: &mut Handshakes, is_open: impl Fn(ConnectionId) -> bool) -> Vec<u32> {
        handshakes.begin_turn(&is_open);
        std::iter::from_fn(|| handshakes.call(&is_open))
            .map(|id| id.slot)
            .collect()
    }

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot, serial: slot }
    }
}
