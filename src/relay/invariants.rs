//! What must hold between any two packets; swept by the tests after each one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::allocation::Allocation;
use super::connection_ids::Place;
use super::expiry::STALE_TIMERS;
use super::request::PeerTransport;
use super::route::Routes;
use super::table::AllocationId;
use super::{ConnectionToken, FAMILIES, Relay, Shared};
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
            self.assert_tcp_ports(family, relays);
        }
        for transport in [PeerTransport::Udp, PeerTransport::Tcp] {
            let known = FAMILIES.map(|family| relayed(transport, family, relays).len());
            assert_eq!(
                self.directory_of(transport).inlets(),
                known.iter().sum::<usize>(),
                "the directory keeps the inlets of relayed addresses alone"
            );
        }
        let connections: usize = relays
            .iter()
            .flat_map(Relay::each)
            .map(|(_, allocation)| allocation.connections.len())
            .sum();
        assert_eq!(
            self.connection_ids.len(),
            connections,
            "an id in use has a connection"
        );
        assert!(
            connections <= self.options.limits.peer_connections_total,
            "no more connections than allowed"
        );
    }

    /// As [`Self::assert_ports`] for TCP relays, which reserve none.
    #[track_caller]
    fn assert_tcp_ports(&self, family: Family, relays: &[Relay]) {
        let relayed = relayed(PeerTransport::Tcp, family, relays);
        let distinct: BTreeSet<_> = relayed.iter().collect();
        assert_eq!(distinct.len(), relayed.len(), "a TCP port has one owner");
        assert_eq!(
            self.tcp_ports_in_use(family),
            relayed.len(),
            "a taken TCP port is in use"
        );
    }

    /// Every port that is taken belongs to a relayed address or waits for its token, and no port to two.
    #[track_caller]
    fn assert_ports(&self, family: Family, relays: &[Relay]) {
        let relayed = relayed(PeerTransport::Udp, family, relays);
        let distinct: BTreeSet<_> = relayed.iter().collect();
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

/// The relayed addresses of a transport and a family, of all workers.
fn relayed(transport: PeerTransport, family: Family, relays: &[Relay]) -> Vec<SocketAddr> {
    relays
        .iter()
        .flat_map(Relay::each)
        .filter(|(_, allocation)| allocation.transport == transport)
        .filter_map(|(_, allocation)| allocation.grants.relayed.of(family))
        .map(|relayed| relayed.address)
        .collect()
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
            self.assert_connections(id, allocation);
        }
    }

    /// The peer connections and attempts that this worker knows of.
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnectionToken> {
        self.each()
            .flat_map(|(_, allocation)| allocation.connections.iter())
            .map(|connection| connection.token)
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
                self.shared
                    .directory_of(allocation.transport)
                    .owner(relayed.address),
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
            let directory = self.shared.directory_of(allocation.transport);
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

    #[track_caller]
    fn assert_connections(&self, id: AllocationId, allocation: &Allocation) {
        let connections = &allocation.connections;
        assert!(
            connections.len() <= self.shared.options.limits.peer_connections,
            "no more connections of an allocation than allowed"
        );
        assert!(
            connections.len() == 0 || allocation.transport == PeerTransport::Tcp,
            "UDP relays have no connections"
        );
        for connection in connections.iter() {
            let family = connection.family();
            assert!(
                allocation.grants.relayed.of(family).is_some(),
                "a connection has a relayed address"
            );
            let place = Place {
                worker: self.worker,
                relay: id.token(family),
            };
            assert_eq!(connection.token.relay, place.relay);
            assert_eq!(
                self.shared.connection_ids.find(connection.token.id),
                Some(place),
                "a connection is found by its id"
            );
        }
    }
}
