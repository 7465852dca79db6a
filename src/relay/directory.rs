//! The relay directory: who is behind a relayed address of this host.
//!
//! The one structure that every worker reads while it forwards, and the place for whatever a worker must know of an
//! allocation that another worker owns. Who has a port is one atomic load; only an allocation's start and end write. The
//! way in to its client is behind a lock, for whoever compiles a route.
//! It knows addresses as they are advertised and has no opinion on any other address: that is the peer policy's.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::inlet::Inlet;
use super::options::RelayAddress;
use super::tags::CallTag;
use crate::auth::PeerScope;

/// From a relayed address, in its advertised form, to its owner. Eight bytes per port of the relay range and address,
/// and an entry for each that is live.
pub(super) struct RelayDirectory {
    /// One per relay address: at most one of each family.
    tables: Vec<Table>,
}

struct Table {
    ip: IpAddr,
    first: u16,
    /// By port less `first`: a [`Tenant`] each, or nobody.
    slots: Box<[AtomicU64]>,
    /// By port. Locked when an allocation starts or ends and when a route is compiled, which is not once for each packet
    /// but of a client that keeps changing between more peers than it has routes.
    inlets: RwLock<HashMap<u16, Entry, FixedState>>,
}

/// Who has a relayed address, and the way in to its client.
struct Entry {
    tenant: Tenant,
    inlet: Arc<Inlet>,
}

/// The allocation behind a relayed address: equal to another as long as it is the same one.
///
/// One word: the bits of the call's tag, and above them how many allocations had the port before, modulo 2^16. A port
/// rests after each (`lifetimes.quarantine`), so that the count takes weeks to come round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tenant(u64);

impl Table {
    /// Nothing panics while the lock is held, so that a poisoned one guards sound entries.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<u16, Entry, FixedState>> {
        self.inlets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<u16, Entry, FixedState>> {
        self.inlets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenant {
    const CALL: u64 = (1 << CallTag::BITS) - 1;

    /// The tenant that a slot's word stands for: nobody where it has no tag.
    fn of(word: u64) -> Option<Self> {
        (word & Self::CALL != 0).then_some(Self(word))
    }

    /// The word of the tenant after the one of `word`.
    const fn next(word: u64, call: CallTag) -> u64 {
        Self::vacated(word).wrapping_add(1 << CallTag::BITS) | call.to_bits()
    }

    /// The word of `word`'s slot when its tenant is gone.
    const fn vacated(word: u64) -> u64 {
        word & !Self::CALL
    }
}

impl RelayDirectory {
    /// An empty directory of the addresses that `relays` advertise, each with all of `ports`.
    #[must_use]
    pub(super) fn new(relays: &[RelayAddress], ports: &RangeInclusive<u16>) -> Self {
        let table = |relay: &RelayAddress| Table {
            ip: relay.advertise,
            first: *ports.start(),
            slots: ports.clone().map(|_| AtomicU64::new(0)).collect(),
            inlets: RwLock::default(),
        };
        Self {
            tables: relays.iter().map(table).collect(),
        }
    }

    /// Makes `relayed` known as live and `owner`'s. To be called once its socket is open, before the client hears of
    /// it. Has no effect where `relayed` is no address of this directory.
    pub(super) fn publish(&self, relayed: SocketAddr, owner: CallTag) {
        self.store(relayed, |word| Tenant::next(word, owner));
    }

    /// Shows the way in to the client behind the published address `relayed`.
    pub(super) fn lead(&self, relayed: SocketAddr, inlet: &Arc<Inlet>) {
        if let (Some(table), Some(tenant)) = (self.table(relayed), self.tenant(relayed)) {
            let inlet = Arc::clone(inlet);
            table
                .write()
                .insert(relayed.port(), Entry { tenant, inlet });
        }
    }

    /// Makes `relayed` unknown. To be called before its socket is closed, so that nobody is sent to the port's next
    /// owner.
    pub(super) fn withdraw(&self, relayed: SocketAddr) {
        // In this order: whoever sees the port vacant does not find the inlet of its last tenant.
        if let Some(table) = self.table(relayed) {
            table.write().remove(&relayed.port());
        }
        self.store(relayed, Tenant::vacated);
    }

    /// The way in to the client of `tenant`, where it still has `relayed`. Takes a lock.
    #[must_use]
    pub(super) fn inlet(&self, relayed: SocketAddr, tenant: Tenant) -> Option<Arc<Inlet>> {
        let inlets = self.table(relayed)?.read();
        let entry = inlets.get(&relayed.port())?;
        (entry.tenant == tenant).then(|| Arc::clone(&entry.inlet))
    }

    /// How many relayed addresses have an entry.
    #[cfg(any(test, fuzzing))]
    pub(super) fn inlets(&self) -> usize {
        self.tables.iter().map(|table| table.read().len()).sum()
    }

    /// The allocation that has `relayed`, where one does. An IPv6 scope or flow label plays no role.
    #[must_use]
    pub(super) fn tenant(&self, relayed: SocketAddr) -> Option<Tenant> {
        Tenant::of(self.slot(relayed)?.load(Ordering::Acquire))
    }

    /// The call of the allocation that has `relayed`, where one does.
    #[must_use]
    pub(super) fn owner(&self, relayed: SocketAddr) -> Option<CallTag> {
        let Tenant(word) = self.tenant(relayed)?;
        CallTag::from_bits(word & Tenant::CALL)
    }

    /// Whether an allocation of the call `mine` and the effective scope `scope` may exchange data with the relayed
    /// address `peer`: it is live and, in the scope `call`, of the same call.
    #[must_use]
    pub(super) fn admits(&self, scope: PeerScope, mine: CallTag, peer: SocketAddr) -> bool {
        let Some(theirs) = self.owner(peer) else {
            return false;
        };
        match scope {
            PeerScope::Call => mine.same_call(theirs),
            PeerScope::Fleet | PeerScope::Public => true,
        }
    }

    /// A port has one owner at a time, the only one that writes its slot.
    fn store(&self, relayed: SocketAddr, change: impl FnOnce(u64) -> u64) {
        let slot = self.slot(relayed);
        debug_assert!(
            slot.is_some(),
            "only relayed addresses of this host are published"
        );
        if let Some(slot) = slot {
            slot.store(change(slot.load(Ordering::Relaxed)), Ordering::Release);
        }
    }

    fn table(&self, relayed: SocketAddr) -> Option<&Table> {
        self.tables.iter().find(|table| table.ip == relayed.ip())
    }

    fn slot(&self, relayed: SocketAddr) -> Option<&AtomicU64> {
        let table = self.table(relayed)?;
        let index = relayed.port().checked_sub(table.first)?;
        table.slots.get(usize::from(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::grants::Grants;
    use crate::relay::tags::Tagger;

    const V4: &str = "192.0.2.1";
    const V6: &str = "2001:db8::1";

    #[test]
    fn a_published_address_has_its_owner_until_it_is_withdrawn() {
        let directory = directory(49152..=65535);
        let owner = call(b"a");

        assert_eq!(directory.owner(at(V4, 50000)), None);
        directory.publish(at(V4, 50000), owner);
        assert_eq!(directory.owner(at(V4, 50000)), Some(owner));
        assert_eq!(directory.owner(at(V4, 50001)), None);
        assert_eq!(directory.owner(at(V6, 50000)), None);
        directory.withdraw(at(V4, 50000));
        assert_eq!(directory.owner(at(V4, 50000)), None);
    }

    #[test]
    fn every_tenant_of_a_port_is_another_one() {
        let directory = directory(49152..=65535);
        let mut before = None;

        for _ in 0..100_000 {
            directory.publish(at(V4, 50000), call(b"a"));
            let tenant = directory.tenant(at(V4, 50000));
            assert_ne!(tenant, before);
            assert_eq!(directory.owner(at(V4, 50000)), Some(call(b"a")));
            directory.withdraw(at(V4, 50000));
            directory.withdraw(at(V4, 50000));
            assert_eq!(directory.tenant(at(V4, 50000)), None);
            before = tenant;
        }
    }

    #[test]
    fn an_inlet_is_found_for_its_own_tenant_alone_and_until_it_is_withdrawn() {
        let directory = directory(49152..=65535);
        let inlet = || Arc::new(Inlet::new(None, Arc::new(Grants::nobody())));
        let (first, second) = (inlet(), inlet());
        let found = |tenant| directory.inlet(at(V4, 50000), tenant);

        directory.publish(at(V4, 50000), call(b"a"));
        let before = directory.tenant(at(V4, 50000)).unwrap();
        assert!(found(before).is_none(), "not shown yet");
        directory.lead(at(V4, 50000), &first);
        assert!(found(before).is_some_and(|found| Arc::ptr_eq(&found, &first)));
        directory.withdraw(at(V4, 50000));
        assert!(found(before).is_none());
        directory.publish(at(V4, 50000), call(b"a"));
        directory.lead(at(V4, 50000), &second);

        let after = directory.tenant(at(V4, 50000)).unwrap();
        assert!(found(before).is_none(), "the next tenant's is not theirs");
        assert!(found(after).is_some_and(|found| Arc::ptr_eq(&found, &second)));
        assert_eq!(directory.inlets(), 1);
    }

    #[test]
    fn addresses_outside_the_relay_have_no_owner() {
        let directory = directory(49153..=49153);
        directory.publish(at(V4, 49153), call(b"a"));

        for port in [0, 1, 49152, 49154, u16::MAX] {
            assert_eq!(directory.owner(at(V4, port)), None, "port {port}");
        }
        assert_eq!(directory.owner(at("192.0.2.2", 49153)), None);
        assert_eq!(directory.owner(at("10.0.0.5", 49153)), None);
        assert_eq!(directory.owner(at("::ffff:192.0.2.1", 49153)), None);
    }

    #[test]
    fn every_port_of_the_widest_range_has_a_slot() {
        let directory = directory(0..=u16::MAX);

        for port in [0, 1, u16::MAX] {
            directory.publish(at(V6, port), CallTag::NONE);
            assert_eq!(directory.owner(at(V6, port)), Some(CallTag::NONE));
        }
    }

    #[test]
    fn an_ipv6_scope_does_not_hide_the_owner() {
        let directory = directory(49152..=65535);
        directory.publish(at(V6, 50000), call(b"a"));
        let IpAddr::V6(ip) = V6.parse().unwrap() else {
            panic!("an IPv6 literal")
        };

        let scoped = SocketAddr::V6(std::net::SocketAddrV6::new(ip, 50000, 7, 3));

        assert_eq!(directory.owner(scoped), Some(call(b"a")));
    }

    #[test]
    fn call_scope_admits_the_same_call_alone() {
        let directory = directory(49152..=65535);
        directory.publish(at(V4, 50000), call(b"a"));
        directory.publish(at(V4, 50001), CallTag::NONE);
        let admits = |mine, port| directory.admits(PeerScope::Call, mine, at(V4, port));

        assert!(admits(call(b"a"), 50000));
        assert!(!admits(call(b"b"), 50000), "another call");
        assert!(!admits(CallTag::NONE, 50000), "no call of mine");
        assert!(!admits(call(b"a"), 50001), "no call of theirs");
        assert!(
            !admits(CallTag::NONE, 50001),
            "two without a call are not in one"
        );
        assert!(!admits(call(b"a"), 50002), "nobody there");
    }

    #[test]
    fn wider_scopes_admit_every_live_address() {
        let directory = directory(49152..=65535);
        directory.publish(at(V4, 50000), call(b"a"));
        directory.publish(at(V4, 50001), CallTag::NONE);

        for scope in [PeerScope::Fleet, PeerScope::Public] {
            for mine in [call(b"a"), call(b"b"), CallTag::NONE] {
                assert!(directory.admits(scope, mine, at(V4, 50000)));
                assert!(directory.admits(scope, mine, at(V4, 50001)));
                assert!(!directory.admits(scope, mine, at(V4, 50002)));
            }
        }
    }

    fn directory(ports: RangeInclusive<u16>) -> RelayDirectory {
        let relays = [("10.0.0.5", V4), (V6, V6)].map(|(bind, advertise)| RelayAddress {
            bind: bind.parse().unwrap(),
            advertise: advertise.parse().unwrap(),
        });
        RelayDirectory::new(&relays, &ports)
    }

    fn call(name: &[u8]) -> CallTag {
        Tagger::new(&[7; 32]).call(name)
    }

    fn at(ip: &str, port: u16) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), port)
    }
}
