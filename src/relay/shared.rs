//! What the relays of all workers share.
//!
//! Only the directory and the inlets it leads to are touched per packet, by atomics. The ports and the quotas are behind
//! locks that are taken when an allocation begins or ends, the inlets when a route is compiled.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::allocation::{Owner, PerFamily};
use super::attempts::Attempts;
use super::connection_ids::ConnectionIds;
use super::directory::RelayDirectory;
use super::policy::{PeerClass, PeerPolicy};
use super::ports::PortPool;
use super::quota::Quotas;
use super::request::{Parity, PeerTransport, Port};
use super::reservations::Reservations;
use super::tags::Tagger;
use super::turnover::Turnover;
use super::{Options, RelayAddress, UserTag};
use crate::auth::Authenticator;
use crate::time::Tick;
use crate::wire::{Family, ReservationToken};

/// Ports that may wait for their RESERVATION-TOKEN at a time, over all users.
const MAX_RESERVATIONS: usize = 1024;

/// The state that is common to all workers of a daemon.
pub struct Shared {
    pub(super) options: Options,
    pub(super) auth: Arc<Authenticator>,
    pub(super) policy: PeerPolicy,
    pub(super) tagger: Tagger,
    pub(super) directory: RelayDirectory,
    /// The relayed addresses that speak TCP with peers: a port number may be in use in both.
    tcp_directory: RelayDirectory,
    pub(super) connection_ids: ConnectionIds,
    pub(super) attempts: Attempts,
    pub(super) quotas: Quotas,
    pub(super) turnover: Turnover,
    ports: Mutex<Ports>,
    /// Whether new allocations are refused because the daemon is about to stop.
    draining: AtomicBool,
}

/// The ports of the relayed addresses.
struct Ports {
    pools: PerFamily<PortPool>,
    /// Those of TCP relays.
    tcp_pools: PerFamily<PortPool>,
    reservations: Reservations,
}

impl Shared {
    /// The shared state of a daemon whose keyed hashes follow from `seed`.
    #[must_use]
    pub fn new(options: Options, auth: Arc<Authenticator>, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let relays: Vec<RelayAddress> = options.ipv4.into_iter().chain(options.ipv6).collect();
        let pool = |_| PortPool::new(&options.ports, options.lifetimes.quarantine);
        let pools = |served: bool| PerFamily {
            v4: options.ipv4.filter(|_| served).map(pool),
            v6: options.ipv6.filter(|_| served).map(pool),
        };
        let tcp_relays = if options.tcp { &*relays } else { &[] };
        Self {
            policy: PeerPolicy::new(&options.peers, &relays, &options.ports),
            directory: RelayDirectory::new(&relays, &options.ports),
            tcp_directory: RelayDirectory::new(tcp_relays, &options.ports),
            connection_ids: ConnectionIds::new(options.limits.peer_connections_total),
            attempts: Attempts::new(options.limits.connects_per_second),
            tagger: Tagger::new(&key(&mut rng)),
            quotas: Quotas::new(options.limits.allocations),
            turnover: Turnover::new(options.lifetimes.quarantine),
            ports: Mutex::new(Ports {
                pools: pools(true),
                tcp_pools: pools(options.tcp),
                reservations: Reservations::new(MAX_RESERVATIONS, options.lifetimes.reservation),
            }),
            draining: AtomicBool::new(false),
            auth,
            options,
        }
    }

    /// Refuses new allocations from here on, with 508; those that live go on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new allocations are refused.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How many UDP ports of a family are taken, and how many there are.
    #[must_use]
    pub fn ports_in_use(&self, family: Family) -> Option<(usize, usize)> {
        let ports = self.lock();
        let pool = ports.pools.of(family)?;
        Some((pool.in_use(), pool.in_use() + pool.free() + pool.resting()))
    }

    /// How many UDP ports of a family are taken, free and resting, as of the last time that one was drawn.
    #[cfg(any(test, fuzzing))]
    pub(super) fn port_counts(&self, family: Family) -> Option<(usize, usize, usize)> {
        let ports = self.lock();
        let pool = ports.pools.of(family)?;
        Some((pool.in_use(), pool.free(), pool.resting()))
    }

    /// How many TCP ports of a family are taken.
    #[cfg(any(test, fuzzing))]
    pub(super) fn tcp_ports_in_use(&self, family: Family) -> usize {
        let ports = self.lock();
        ports.tcp_pools.of(family).map_or(0, PortPool::in_use)
    }

    /// How many ports of a family wait for their token.
    #[cfg(any(test, fuzzing))]
    pub(super) fn reserved_ports(&self, family: Family) -> usize {
        let ports = self.lock();
        let relayed = ports.reservations.relayed();
        relayed.filter(|it| Family::of(it.ip()) == family).count()
    }

    /// Whether relayed addresses of a family are to be had here.
    pub(super) const fn serves(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.options.ipv4.is_some(),
            Family::V6 => self.options.ipv6.is_some(),
        }
    }

    /// What kind of peer this is, port included, where an allocation may send to it at this moment.
    pub(super) fn judge(&self, owner: &Owner, peer: SocketAddr) -> Option<PeerClass> {
        let class = self.policy.judge(owner.scope, peer).ok()?;
        (class != PeerClass::Relayed || self.is_live(owner, peer)).then_some(class)
    }

    /// As [`Self::judge`] for the peer of a TCP relay: of this host's relayed addresses, those that speak TCP are meant.
    pub(super) fn judge_connection(&self, owner: &Owner, peer: SocketAddr) -> Option<PeerClass> {
        let class = self.policy.judge(owner.scope, peer).ok()?;
        let admitted =
            class != PeerClass::Relayed || self.tcp_directory.admits(owner.scope, owner.call, peer);
        admitted.then_some(class)
    }

    /// Where the relayed addresses of a transport are known.
    pub(super) const fn directory_of(&self, transport: PeerTransport) -> &RelayDirectory {
        match transport {
            PeerTransport::Udp => &self.directory,
            PeerTransport::Tcp => &self.tcp_directory,
        }
    }

    /// Whether a peer on one of this relay's addresses is a live allocation that the owner may reach.
    pub(super) fn is_live(&self, owner: &Owner, peer: SocketAddr) -> bool {
        self.directory.admits(owner.scope, owner.call, peer)
    }

    /// Draws a free relayed address; with [`Parity::EvenWithNext`], the next UDP port is taken as well.
    pub(super) fn draw(
        &self,
        now: Tick,
        family: Family,
        port: Port,
        rng: &mut ChaCha12Rng,
    ) -> Option<SocketAddr> {
        let relay = match family {
            Family::V4 => self.options.ipv4,
            Family::V6 => self.options.ipv6,
        }?;
        let mut ports = self.lock();
        ports.expire(now);
        let pool = ports.pools_of(port.transport()).slot(family).as_mut()?;
        let port = match port {
            Port::Udp(Parity::Any) | Port::Tcp => pool.take_any(now, rng),
            Port::Udp(Parity::Even) => pool.take_even(false, now, rng),
            Port::Udp(Parity::EvenWithNext) => pool.take_even(true, now, rng),
        }?;
        Some(SocketAddr::new(relay.advertise, port))
    }

    /// Gives a relayed address back: nobody is reached there any more, and its port rests.
    pub(super) fn release(&self, now: Tick, transport: PeerTransport, relayed: SocketAddr) {
        self.directory_of(transport).withdraw(relayed);
        let mut ports = self.lock();
        let pools = ports.pools_of(transport);
        if let Some(pool) = pools.slot(Family::of(relayed.ip())) {
            pool.release(relayed.port(), now);
        }
    }

    /// Keeps the port after `relayed` for its user, who gets the token to claim it with; gives it back where too many
    /// wait already.
    pub(super) fn reserve_next(
        &self,
        now: Tick,
        relayed: SocketAddr,
        user: UserTag,
        rng: &mut ChaCha12Rng,
    ) -> Option<ReservationToken> {
        let reserved = self
            .lock()
            .reservations
            .reserve(next(relayed), user, now, rng);
        if reserved.is_none() {
            self.release_next(now, relayed);
        }
        reserved
    }

    /// Gives the port after `relayed` back.
    pub(super) fn release_next(&self, now: Tick, relayed: SocketAddr) {
        self.release(now, PeerTransport::Udp, next(relayed));
    }

    /// The relayed address that a token stands for, if it is this user's. A token works once.
    pub(super) fn redeem(
        &self,
        now: Tick,
        token: ReservationToken,
        user: UserTag,
    ) -> Option<SocketAddr> {
        let mut ports = self.lock();
        ports.expire(now);
        ports.reservations.redeem(token, user, now)
    }

    fn lock(&self) -> MutexGuard<'_, Ports> {
        // A panic while the lock is held ends the process in a release build; in a test the state is still sound.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ports {
    const fn pools_of(&mut self, transport: PeerTransport) -> &mut PerFamily<PortPool> {
        match transport {
            PeerTransport::Udp => &mut self.pools,
            PeerTransport::Tcp => &mut self.tcp_pools,
        }
    }

    /// Returns the ports of reservations that nobody claimed in time.
    fn expire(&mut self, now: Tick) {
        while let Some(relayed) = self.reservations.pop_expired(now) {
            if let Some(pool) = self.pools.slot(Family::of(relayed.ip())) {
                pool.release(relayed.port(), now);
            }
        }
    }
}

/// The relayed address one port up: an even port is never the last one.
const fn next(mut relayed: SocketAddr) -> SocketAddr {
    relayed.set_port(relayed.port() + 1);
    relayed
}

fn key(rng: &mut ChaCha12Rng) -> [u8; 32] {
    let mut key = [0; 32];
    rng.fill_bytes(&mut key);
    key
}
