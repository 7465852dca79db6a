//! Whether a world and its shadow agree: on everything that can be looked at from outside, and on the live permissions
//! and channels, so that a wrong one is found before a packet happens to need it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::driver::Driver;
use super::shadow::PortUse;
use crate::relay::tags::CallTag;
use crate::relay::tests::world::local;
use crate::relay::{Counters, DropReason, EndReason};
use crate::time::Tick;
use crate::wire::Family;

impl Driver {
    /// Compares.
    ///
    /// # Panics
    ///
    /// Where they do not.
    pub(super) fn compare(&self) {
        self.world.assert_invariants();
        self.compare_sockets();
        self.compare_allocations();
        self.compare_directory();
        self.compare_quotas();
        self.compare_ports();
        self.compare_counters();
    }

    fn compare_sockets(&self) {
        for (worker, host) in self.world.hosts.iter().enumerate() {
            let open: BTreeSet<SocketAddr> = host.open.values().map(|(local, _)| *local).collect();
            let live: BTreeSet<SocketAddr> = self
                .relayed()
                .filter(|(client, _)| self.shadow.parties[*client].worker == worker)
                .map(|(_, address)| local(address))
                .collect();
            assert_eq!(open, live, "the open sockets of worker {worker}");
        }
    }

    fn compare_allocations(&self) {
        let now = self.world.now.tick;
        for (client, shadow) in &self.shadow.allocations {
            let party = self.shadow.parties[*client];
            let table = &self.world.relays[party.worker].table;
            let id = table.id_of(&party.at).expect("the 5-tuple is known");
            let allocation = table.get(id).expect("it lives");
            let relayed = allocation
                .grants
                .relayed
                .iter()
                .map(|it| (it.address, it.expires));
            let expected = shadow.relayed.iter().map(|(family, it)| {
                let ip = self.shadow.relay_ip(*family).expect("it is served");
                (SocketAddr::new(ip, it.port), Tick::from_millis(it.expires))
            });
            assert!(relayed.eq(expected), "relayed addresses of client {client}");
            let permissions = allocation.grants.permissions.iter();
            let permissions = permissions.map(|(peer, it)| (*peer, it.expires));
            let expected = shadow.permissions.iter();
            let expected = expected.map(|(peer, expires)| (*peer, Tick::from_millis(*expires)));
            assert!(
                permissions
                    .filter(|(_, expires)| *expires > now)
                    .eq(expected.filter(|(_, expires)| *expires > now)),
                "permissions of client {client}"
            );
            let channels = allocation.grants.channels.iter();
            let channels = channels.map(|(n, it)| (n.number(), it.peer.reveal(), it.expires));
            let expected = shadow.channels.iter();
            let expected = expected.map(|(n, (peer, it, _))| (*n, *peer, Tick::from_millis(*it)));
            assert!(
                channels
                    .filter(|(_, _, expires)| *expires > now)
                    .eq(expected.filter(|(_, _, expires)| *expires > now)),
                "channels of client {client}"
            );
        }
    }

    fn compare_directory(&self) {
        let shared = &self.world.shared;
        let calls: BTreeMap<SocketAddr, CallTag> = self
            .relayed()
            .map(|(client, address)| {
                let call = self.shadow.allocations[&client].credential.claims.call;
                let tag = call.map_or(CallTag::NONE, |call| shared.tagger.call(call.as_bytes()));
                (address, tag)
            })
            .collect();
        for family in [Family::V4, Family::V6] {
            let Some(ip) = self.shadow.relay_ip(family) else {
                continue;
            };
            for port in self.shadow.setup.options.ports.clone() {
                let address = SocketAddr::new(ip, port);
                assert_eq!(
                    shared.directory.owner(address),
                    calls.get(&address).copied(),
                    "who is at {address}"
                );
            }
        }
    }

    fn compare_quotas(&self) {
        let quotas = &self.world.shared.quotas;
        let allocations = &self.shadow.allocations;
        let users: BTreeSet<&str> = allocations
            .values()
            .map(|allocation| allocation.credential.id)
            .collect();
        assert_eq!(quotas.total(), allocations.len(), "counted allocations");
        assert_eq!(quotas.users(), users.len(), "counted identities");
        for (worker, relay) in self.world.relays.iter().enumerate() {
            let own = allocations
                .keys()
                .filter(|client| self.shadow.parties[**client].worker == worker)
                .count();
            assert_eq!(relay.allocations(), own, "allocations of worker {worker}");
        }
    }

    fn compare_ports(&self) {
        for family in [Family::V4, Family::V6] {
            let Some((in_use, free, resting)) = self.world.shared.port_counts(family) else {
                assert!(!self.shadow.serves(family));
                continue;
            };
            let used = self
                .shadow
                .ports
                .iter()
                .filter(|((of, _), _)| *of == family);
            let (still, busy): (Vec<_>, Vec<_>) =
                used.partition(|(_, used)| matches!(used, PortUse::Resting { .. }));
            assert_eq!((in_use, resting), (busy.len(), still.len()), "{family:?}");
            let all = self.shadow.setup.options.ports.len();
            assert_eq!(in_use + free + resting, all, "every {family:?} port");
        }
    }

    fn compare_counters(&self) {
        let all: Vec<_> = (0..self.world.relays.len())
            .map(|worker| self.world.counters(worker))
            .collect();
        let sum =
            |count: &dyn Fn(&Counters) -> u64| all.iter().map(|counters| count(counters)).sum();
        let is = |what: &str, count: &dyn Fn(&Counters) -> u64, expected: u64| {
            let counted: u64 = sum(count);
            assert_eq!(counted, expected, "{what}");
        };
        let counts = &self.shadow.counts;
        is("allocated", &|c| c.allocated.value(), counts.allocated);
        is(
            "permissions",
            &|c| c.permissions.value(),
            counts.permissions,
        );
        is("channels", &|c| c.channels.value(), counts.channels);
        is("sent", &|c| c.to_peers.packets.value(), counts.to_peers.0);
        is(
            "sent bytes",
            &|c| c.to_peers.bytes.value(),
            counts.to_peers.1,
        );
        let (heard, bytes) = counts.to_clients;
        is("heard", &|c| c.to_clients.packets.value(), heard);
        is("heard bytes", &|c| c.to_clients.bytes.value(), bytes);
        for reason in EndReason::ALL {
            let at = reason as usize;
            is(reason.label(), &|c| c.ended[at].value(), counts.ended[at]);
        }
        for reason in DropReason::ALL {
            let at = reason as usize;
            is(reason.label(), &|c| c.drops[at].value(), counts.drops[at]);
        }
    }

    /// Every relayed address that there is, and whose.
    fn relayed(&self) -> impl Iterator<Item = (usize, SocketAddr)> {
        let shadow = &self.shadow;
        shadow.allocations.iter().flat_map(|(client, allocation)| {
            allocation.relayed.iter().map(|(family, relayed)| {
                let ip = shadow.relay_ip(*family).expect("the family is served");
                (*client, SocketAddr::new(ip, relayed.port))
            })
        })
    }
}
