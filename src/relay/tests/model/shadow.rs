//! The shadow: what a TURN server has to do, once more, in the plainest way.
//!
//! Ordered maps, absolute times in milliseconds, no index, no timer, no limit on cost; nothing of the relay's state is
//! looked at. Only what the relay is free to choose is taken from it, the drawn ports and the tokens, after a check that
//! the choice is a legal one.
//!
//! Two things here are the product's and not the RFC's: a lapsed reservation's port begins to rest when ports are next
//! looked at, and an allocation that has expired is gone for data at once and for everything else as soon as the shell
//! serves the timers or the same worker gets a request.

mod data;
mod policy;
mod ports;
mod requests;
mod time;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::seen::Reply;
use super::setup::{Claimed, PARTIES, Party, Setup, parties};
use crate::auth::PeerScope;
use crate::relay::{DropReason, EndReason, RelayToken};
use crate::wire::Family;

pub(super) use ports::{Attempts, PortUse};
pub(super) use requests::{Asked, Signature};
pub(super) use time::BEGINNING;

/// What a relay must be like.
pub(super) struct Shadow {
    pub(super) setup: Setup,
    pub(super) parties: [Party; PARTIES],
    /// Milliseconds on the monotonic clock.
    pub(super) now: u64,
    /// By client: a 5-tuple has one at most.
    pub(super) allocations: BTreeMap<usize, Allocation>,
    /// The ports that are not free.
    pub(super) ports: BTreeMap<(Family, u16), PortUse>,
    /// Every relay socket that was ever opened, in order.
    pub(super) sockets: Vec<Socket>,
    /// Whose allocations ended, and until when the ports of each rest.
    recent: Vec<(&'static str, u64)>,
    /// The credential that each client has.
    pub(super) credentials: Vec<Credential>,
    /// When each client's nonce was issued, if it has one.
    pub(super) nonces: [Option<u64>; PARTIES],
    /// The last relayed address of each client and family.
    pub(super) last: BTreeMap<(usize, Family), SocketAddr>,
    /// Every reservation token that was ever handed out, in order.
    pub(super) tokens: Vec<[u8; 8]>,
    pub(super) counts: Counts,
}

/// One allocation.
pub(super) struct Allocation {
    pub(super) credential: Credential,
    pub(super) scope: PeerScope,
    /// The transaction that made it.
    request: u64,
    /// The answer to that.
    answer: Reply,
    created: u64,
    /// When the session ends, however often it is refreshed.
    ends: u64,
    /// By family: the port, when it expires, and the index of its socket.
    pub(super) relayed: BTreeMap<Family, Relayed>,
    /// By address, when it expires.
    pub(super) permissions: BTreeMap<IpAddr, u64>,
    /// By number: the peer, when it expires, and the relay socket that was the peer's when it was bound, if any.
    pub(super) channels: BTreeMap<u16, (SocketAddr, u64, Option<usize>)>,
    /// ICMP errors passed on, by second.
    icmp: BTreeMap<u64, u32>,
    /// What the rate has admitted: nanoseconds of transmission that are not over yet, and as of when.
    backlog: BTreeMap<Direction, (u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relayed {
    pub(super) port: u16,
    pub(super) expires: u64,
    /// Index of the socket.
    pub(super) socket: usize,
}

/// A relay socket, and whose it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) worker: usize,
    pub(super) token: RelayToken,
    pub(super) family: Family,
    pub(super) client: usize,
}

/// A credential that was minted.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    pub(super) username: String,
    pub(super) id: &'static str,
    pub(super) claims: Claimed,
    /// The last second in which it is valid.
    pub(super) expires: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    ToPeer,
    ToClient,
}

/// What the relay's counters must say.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) allocated: u64,
    pub(super) ended: [u64; EndReason::ALL.len()],
    pub(super) drops: [u64; DropReason::ALL.len()],
    /// Datagrams and bytes.
    pub(super) to_peers: (u64, u64),
    pub(super) to_clients: (u64, u64),
    pub(super) permissions: u64,
    pub(super) channels: u64,
}

impl Shadow {
    pub(super) fn new(setup: &Setup, now: u64) -> Self {
        Self {
            parties: parties(setup.workers),
            setup: setup.clone(),
            now,
            allocations: BTreeMap::new(),
            ports: BTreeMap::new(),
            sockets: Vec::new(),
            recent: Vec::new(),
            credentials: Vec::new(),
            nonces: [None; PARTIES],
            last: BTreeMap::new(),
            tokens: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Whether relayed addresses of a family are to be had.
    pub(super) fn serves(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.setup.options.ipv4.is_some(),
            Family::V6 => self.setup.options.ipv6.is_some(),
        }
    }
}

impl Allocation {
    pub(super) fn permits(&self, peer: IpAddr, now: u64) -> bool {
        self.permissions
            .get(&peer)
            .is_some_and(|expires| *expires > now)
    }

    /// The number of the live channel to a peer.
    fn channel_to(&self, peer: SocketAddr, now: u64) -> Option<u16> {
        let mut channels = self.channels.iter();
        channels
            .find(|(_, (bound, expires, _))| *bound == peer && *expires > now)
            .map(|(number, _)| *number)
    }

    /// The peer of a live channel.
    pub(super) fn peer_of(&self, number: u16, now: u64) -> Option<SocketAddr> {
        self.channels
            .get(&number)
            .filter(|(_, expires, _)| *expires > now)
            .map(|(peer, ..)| *peer)
    }

    /// The relay socket that was the peer's when a live channel was bound.
    fn tenant_of(&self, number: u16, now: u64) -> Option<usize> {
        let channel = self.channels.get(&number);
        channel.filter(|(_, expires, _)| *expires > now)?.2
    }

    /// Whether there is a live relayed address of a peer's family.
    pub(super) fn reaches_family_of(&self, peer: SocketAddr, now: u64) -> bool {
        self.live(Family::of(peer.ip()), now).is_some()
    }

    /// The relayed address of a family, where it has not expired.
    fn live(&self, family: Family, now: u64) -> Option<Relayed> {
        self.relayed
            .get(&family)
            .copied()
            .filter(|relayed| relayed.expires > now)
    }
}
