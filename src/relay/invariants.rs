//! What must hold between any two packets; swept by the tests after each one.

use std::collections::BTreeSet;

use super::allocation::Allocation;
use super::expiry::STALE_TIMERS;
use super::table::AllocationId;
use super::{FAMILIES, Relay, Shared};
use crate::wire::Family;

impl Shared {
    /// Visits all state of a daemon whose workers are `relays`, and checks that its parts agree.
    ///
    /// # Panics
    ///
    /// Where they do not.
    #[track_caller]
    pub fn assert_invariants(&self, relays: &[Relay]) {
        for relay in relays {
            relay.assert_invariants();
        }
        let total: usize = relays.iter().map(Relay::allocations).sum();
        assert_eq!(self.quotas.total(), total, "the quota counts allocations");
        assert!(
            total <= self.options.limits.allocations,
            "no more allocations than allowed"
        );
        let users: BTreeSet<u64> = relays
            .iter()
            .flat_map(Relay::each)
            .map(|(_, allocation)| allocation.owner.user.0)
            .collect();
        assert_eq!(self.quotas.users(), users.len(), "the quota counts users");
        for family in FAMILIES {
            self.assert_ports(family, relays);
        }
    }

    /// Every port that is taken belongs to a relayed address or waits for its token, and no port to two.
    #[track_caller]
    fn assert_ports(&self, family: Family, relays: &[Relay]) {
        let relayed: Vec<_> = relays
            .iter()
            .flat_map(Relay::each)
            .filter_map(|(_, allocation)| allocation.relayed.of(family))
            .collect();
        let distinct: BTreeSet<_> = relayed.iter().map(|relayed| relayed.address).collect();
        assert_eq!(distinct.len(), relayed.len(), "a port has one owner");
        match self.port_counts(family) {
            Some((taken, _, _)) => assert_eq!(
                taken,
                relayed.len() + self.reserved_ports(family),
                "a taken port is in use"
            ),
            None => assert!(relayed.is_empty(), "a family that is not served"),
        }
    }
}

impl Relay {
    /// Visits all state of this worker and checks that its parts agree.
    ///
    /// # Panics
    ///
    /// Where they do not.
    #[track_caller]
    pub fn assert_invariants(&self) {
        assert_eq!(
            self.counters.allocations.value(),
            self.table.len() as u64,
            "the gauge counts the allocations"
        );
        assert!(
            self.timers.len() <= 2 * self.table.len() + STALE_TIMERS,
            "stale timers do not pile up"
        );
        for (id, allocation) in self.each() {
            assert_eq!(
                self.table.id_of(&allocation.client),
                Some(id),
                "an allocation is found by its client"
            );
            self.assert_timer(id, allocation);
            self.assert_relayed(allocation);
            self.assert_peers(allocation);
        }
    }

    fn each(&self) -> impl Iterator<Item = (AllocationId, &Allocation)> {
        self.table.ids().into_iter().map(|id| {
            let allocation = self.table.get(id).expect("an indexed allocation lives");
            (id, allocation)
        })
    }

    #[track_caller]
    fn assert_timer(&self, id: AllocationId, allocation: &Allocation) {
        let scheduled = allocation.scheduled.expect("an allocation has a timer");
        assert!(
            Some(scheduled) <= allocation.deadline(),
            "the timer comes in time"
        );
        assert!(
            self.timers.contains(scheduled, id),
            "the timer is in the heap"
        );
    }

    #[track_caller]
    fn assert_relayed(&self, allocation: &Allocation) {
        assert!(
            !allocation.relayed.is_empty(),
            "an allocation has a relayed address"
        );
        for family in FAMILIES {
            let Some(relayed) = allocation.relayed.of(family) else {
                continue;
            };
            assert_eq!(Family::of(relayed.address.ip()), family);
            assert!(relayed.expires <= allocation.ends, "a session has an end");
            assert_eq!(
                self.shared.directory.owner(relayed.address),
                Some(allocation.owner.call),
                "a relayed address is in the directory"
            );
        }
    }

    #[track_caller]
    fn assert_peers(&self, allocation: &Allocation) {
        let limits = &self.shared.options.limits;
        assert!(
            allocation.permissions.len() <= limits.permissions,
            "no more permissions than allowed"
        );
        assert!(
            allocation.channels.len() <= limits.channels,
            "no more channels than allowed"
        );
        for (peer, _) in allocation.permissions.iter() {
            assert!(
                allocation.relayed.of(Family::of(*peer)).is_some(),
                "a permission has a relayed address"
            );
        }
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
    }
}
