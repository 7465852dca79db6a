//! What must hold between any two packets; swept by the tests after each one.

use super::Relay;
use crate::wire::Family;

impl Relay {
    /// Visits all state and checks that its parts agree.
    ///
    /// # Panics
    ///
    /// Where they do not.
    pub fn assert_invariants(&self) {
        let limits = &self.shared.options.limits;
        assert_eq!(
            self.counters.allocations.value(),
            self.table.len() as u64,
            "the gauge counts the allocations"
        );
        assert!(
            self.table.len() <= limits.allocations,
            "no more allocations than allowed"
        );
        assert!(
            self.timers.len() <= 2 * self.table.len() + 65,
            "stale timers do not pile up"
        );
        for id in self.table.ids() {
            let allocation = self.table.get(id).expect("an indexed allocation lives");
            assert_eq!(
                self.table.id_of(&allocation.client),
                Some(id),
                "an allocation is found by its client"
            );
            assert!(
                !allocation.relayed.is_empty(),
                "an allocation has a relayed address"
            );
            assert!(allocation.scheduled.is_some(), "an allocation has a timer");
            assert!(
                allocation.scheduled <= allocation.deadline(),
                "the timer comes in time"
            );
            assert!(
                allocation.permissions.len() <= limits.permissions,
                "no more permissions than allowed"
            );
            assert!(
                allocation.channels.len() <= limits.channels,
                "no more channels than allowed"
            );
            assert_eq!(
                allocation.channels.len(),
                allocation.numbers.len(),
                "channels and their peers agree"
            );
            for (number, channel) in allocation.channels.iter() {
                let peer = channel.peer.reveal();
                assert_eq!(
                    allocation.numbers.get(&peer),
                    Some(number),
                    "a channel is found by its peer"
                );
                assert!(
                    allocation.relayed.of(Family::of(peer.ip())).is_some(),
                    "a channel has a relayed address"
                );
            }
            for relayed in allocation.relayed.iter() {
                assert!(relayed.expires <= allocation.ends, "a session has an end");
                let owner = self.shared.directory.owner(relayed.address);
                assert_eq!(
                    owner,
                    Some(allocation.owner.call),
                    "a relayed address is in the directory"
                );
            }
        }
    }
}
