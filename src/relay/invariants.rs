//! What must hold between any two packets; swept by the tests after each one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::allocation::Allocation;
use super::expiry::STALE_TIMERS;
use super::route::Routes;
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
        let relayed = relays.iter().flat_map(Relay::each);
        let relayed = relayed.flat_map(|(_, allocation)| allocation.grants.relayed.iter());
        assert_eq!(
            self.directory.inlets(),
            relayed.count(),
            "the directory keeps the inlets of relayed addresses alone"
        );
    }

    /// Every port that is taken belongs to a relayed address or waits for its token, and no port to two.
    #[track_caller]
    fn assert_ports(&self, family: Family, relays: &[Relay]) {
        let relayed: Vec<_> = relays
            .iter()
            .flat_map(Relay::each)
            .filter_map(|(_, allocation)| allocation.grants.relayed.of(family))
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
            self.assert_shared(allocation);
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
            !allocation.grants.relayed.is_empty(),
            "an allocation has a relayed address"
        );
        for family in FAMILIES {
            let Some(relayed) = allocation.grants.relayed.of(family) else {
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

    /// Other workers see what the owner does, and routes are few.
    #[track_caller]
    fn assert_shared(&self, allocation: &Allocation) {
        let (_, shown) = allocation.inlet.grants().expect("the inlet is open");
        assert!(
            Arc::ptr_eq(&shown, &allocation.grants),
            "the grants that hold are published"
        );
        for relayed in allocation.grants.relayed.iter() {
            let directory = &self.shared.directory;
            let tenant = directory.tenant(relayed.address).expect("it is live");
            let inlet = directory.inlet(relayed.address, tenant);
            assert!(
                inlet.is_some_and(|inlet| Arc::ptr_eq(&inlet, &allocation.inlet)),
                "the directory leads to the allocation"
            );
        }
        assert!(
            allocation.routes.len() <= Routes::MAX,
            "no more routes than allowed"
        );
    }

    #[track_caller]
    fn assert_peers(&self, allocation: &Allocation) {
        let limits = &self.shared.options.limits;
        assert!(
            allocation.grants.permissions.len() <= limits.permissions,
            "no more permissions than allowed"
        );
        assert!(
            allocation.grants.channels.len() <= limits.channels,
            "no more channels than allowed"
        );
        for (peer, _) in allocation.grants.permissions.iter() {
            assert!(
                allocation.grants.relayed.of(Family::of(*peer)).is_some(),
                "a permission has a relayed address"
            );
        }
        assert_eq!(
            allocation.grants.channels.len(),
            allocation.grants.numbers.len(),
            "channels and their peers agree"
        );
        for (number, channel) in allocation.grants.channels.iter() {
            let peer = channel.peer.reveal();
            assert_eq!(
                allocation.grants.numbers.get(&peer),
                Some(number),
                "a channel is found by its peer"
            );
            assert!(
                allocation
                    .grants
                    .relayed
                    .of(Family::of(peer.ip()))
                    .is_some(),
                "a channel has a relayed address"
            );
        }
    }
}
