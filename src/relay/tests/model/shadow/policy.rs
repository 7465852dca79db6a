//! Which peers an allocation may reach: by construction of the address, not by prefix tables.

use std::net::{IpAddr, SocketAddr};

use super::super::setup::DENIED_PORT;
use super::{Allocation, Shadow};
use crate::auth::PeerScope;
use crate::relay::tests::world::{RELAY4, RELAY6, ip};
use crate::wire::Family;

/// What a peer address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OfThisRelay,
    Fleet,
    Public,
    Forbidden,
}

impl Shadow {
    /// Whether a permission for the address may be had.
    pub(in super::super) fn may_permit(&self, scope: PeerScope, peer: IpAddr) -> bool {
        match self.kind(peer) {
            Kind::OfThisRelay => true,
            Kind::Fleet => scope >= PeerScope::Fleet,
            Kind::Public => scope == PeerScope::Public,
            Kind::Forbidden => false,
        }
    }

    /// Whether data may be sent to the address and port.
    pub(super) fn may_reach(&self, allocation: &Allocation, peer: SocketAddr) -> bool {
        let by_port = match self.kind(peer.ip()) {
            Kind::OfThisRelay => self.is_reachable_relayed(allocation, peer),
            Kind::Fleet => self.setup.options.ports.contains(&peer.port()),
            Kind::Public => peer.port() != DENIED_PORT,
            Kind::Forbidden => false,
        };
        peer.port() != 0 && by_port && self.may_permit(allocation.scope, peer.ip())
    }

    /// Whether data may be exchanged with a permitted address: a relayed one must be somebody's who may be reached.
    pub(super) fn is_within_reach(&self, allocation: &Allocation, peer: SocketAddr) -> bool {
        self.kind(peer.ip()) != Kind::OfThisRelay || self.is_reachable_relayed(allocation, peer)
    }

    /// Who has a relayed address.
    pub(in super::super) fn owner(&self, relayed: SocketAddr) -> Option<&Allocation> {
        let family = Family::of(relayed.ip());
        self.allocations.values().find(|allocation| {
            self.relay_ip(family) == Some(relayed.ip())
                && allocation
                    .relayed
                    .get(&family)
                    .is_some_and(|held| held.port == relayed.port())
        })
    }

    /// The relay socket behind a relayed address.
    pub(super) fn tenant(&self, relayed: SocketAddr) -> Option<usize> {
        let held = &self.owner(relayed)?.relayed;
        held.get(&Family::of(relayed.ip())).map(|held| held.socket)
    }

    /// The address that relayed addresses of a family have.
    pub(in super::super) fn relay_ip(&self, family: Family) -> Option<IpAddr> {
        let relay = match family {
            Family::V4 => RELAY4,
            Family::V6 => RELAY6,
        };
        self.serves(family).then(|| ip(relay))
    }

    fn is_reachable_relayed(&self, allocation: &Allocation, peer: SocketAddr) -> bool {
        let Some(other) = self.owner(peer) else {
            return false;
        };
        let (mine, theirs) = (
            allocation.credential.claims.call,
            other.credential.claims.call,
        );
        allocation.scope > PeerScope::Call || mine.is_some() && mine == theirs
    }

    fn kind(&self, peer: IpAddr) -> Kind {
        if self.relay_ip(Family::of(peer)) == Some(peer) {
            return Kind::OfThisRelay;
        }
        match peer {
            IpAddr::V4(v4) => match v4.octets() {
                [8, 8, 0, _] | [192, 88, 1, 5] => Kind::Public,
                [50, ..] => Kind::Fleet,
                _ => Kind::Forbidden,
            },
            IpAddr::V6(v6) => match v6.segments() {
                [0x2607, 0xF8B0, ..] | [0x2600, 1, ..] => Kind::Public,
                _ => Kind::Forbidden,
            },
        }
    }
}
