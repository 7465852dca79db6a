//! Which addresses a client may exchange data with, and which addresses may be clients.
//!
//! The relay stands inside a network that strangers are not to reach through it, so an address is refused unless there
//! is a reason to admit it. One longest-prefix match decides over three lists: the built-in table of special-purpose
//! space, the configured `allow` (which wins a tie with the table) and the configured `deny` (which wins every tie).
//! So `allow = ["10.1.0.0/16"]` opens that and nothing else of 10.0.0.0/8, and `allow = ["0.0.0.0/0"]` opens nothing
//! that the table holds. An IPv6 address that carries IPv4 addresses is admitted only if they are admitted as well. The
//! addresses that this relay advertises are outside all lists: nothing but live relayed addresses is reached there.
//!
//! Not decided here: which ports of this relay's own addresses are live, and in whose call they are. That is the
//! [`RelayDirectory`]'s, to be asked for every peer of the class [`PeerClass::Relayed`].

mod canonical;
mod prefixes;
mod special;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use thiserror::Error;

use self::canonical::{embedded_ipv4, is_6to4_or_teredo};
use self::prefixes::Prefixes;
use super::Transport;
use super::directory::RelayDirectory;
use super::options::{PeerOptions, RelayAddress};
use crate::auth::PeerScope;

/// What an admitted peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerClass {
    /// An address of this relay: the directory says whether the port is live and may be reached.
    Relayed,
    /// Another relay of the fleet.
    Fleet,
    /// Any other address, in the scope `public`.
    Public,
}

/// Why a peer is refused. To the client all of them look the same; a peer port of zero alone is a malformed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Denied {
    /// Port 0, which no datagram can be sent to.
    #[error("peer port zero")]
    PortZero,
    /// Multicast, broadcast or unspecified, whatever `allow` says.
    #[error("not a unicast address")]
    NotUnicast,
    /// In the built-in table.
    #[error("special-purpose address")]
    SpecialPurpose,
    /// The longest prefix that matches is one of `deny`.
    #[error("denied by configuration")]
    ByConfig,
    /// A listener, the metrics or the admin socket of this daemon, whatever `allow` says.
    #[error("socket of this daemon")]
    OwnSocket,
    /// An address of this machine.
    #[error("address of this machine")]
    OwnAddress,
    /// An IPv6 address that leads to a relay by way of a translator or a tunnel. Relays are reached by their own
    /// address, so that their ports can be checked.
    #[error("detour to a relay")]
    Detour,
    /// Admissible in a wider scope.
    #[error("outside the scope")]
    OutOfScope,
    /// A port of another relay that is none of its relayed addresses.
    #[error("not a relay port")]
    FleetPort,
    /// A port that the configuration refuses.
    #[error("denied port")]
    Port,
}

/// The peer policy, as configured. Immutable: a reload makes another.
///
/// A judgement scans the lists of one address family, longest prefix first: the built-in table has some forty rows,
/// the others are as long as their operator makes them. It runs once for each address of a request and each Send
/// indication; ChannelData is judged when its channel is bound.
pub(super) struct PeerPolicy {
    scope: PeerScope,
    /// The relay ports of this relay and, by convention, of every other of the fleet.
    ports: RangeInclusive<u16>,
    relays: Vec<RelayAddress>,
    special: Prefixes,
    allow: Prefixes,
    deny: Prefixes,
    fleet: Prefixes,
    deny_ports: Vec<RangeInclusive<u16>>,
    own_sockets: Vec<SocketAddr>,
    /// The addresses of this machine, both ends of `relays` included. Sorted.
    own_addresses: Vec<IpAddr>,
}

impl PeerPolicy {
    /// The policy of a relay that takes its relayed addresses from `relays` and `ports`.
    ///
    /// # Panics
    ///
    /// Where the built-in table does not parse, which a test rules out.
    #[must_use]
    pub(super) fn new(
        options: &PeerOptions,
        relays: &[RelayAddress],
        ports: &RangeInclusive<u16>,
    ) -> Self {
        let canonical =
            |socket: &SocketAddr| SocketAddr::new(socket.ip().to_canonical(), socket.port());
        let mut own_addresses: Vec<IpAddr> = relays
            .iter()
            .flat_map(|relay| [relay.bind, relay.advertise])
            .chain(options.own_addresses.iter().copied())
            .map(|ip| ip.to_canonical())
            .collect();
        own_addresses.sort_unstable();
        own_addresses.dedup();
        Self {
            scope: options.scope,
            ports: ports.clone(),
            relays: relays.to_vec(),
            special: special::prefixes(),
            allow: options.allow.iter().copied().collect(),
            deny: options.deny.iter().copied().collect(),
            fleet: options.fleet.iter().copied().collect(),
            deny_ports: options.deny_ports.clone(),
            own_sockets: options.own_sockets.iter().map(canonical).collect(),
            own_addresses,
        }
    }

    /// The scope that a credential of the scope `scope` has here: a credential can only narrow the configured one.
    /// This is the scope to ask the [`RelayDirectory`] with.
    #[must_use]
    pub(super) fn narrow(&self, scope: PeerScope) -> PeerScope {
        scope.min(self.scope)
    }

    /// Judges the peer address of a CreatePermission request, whose port means nothing (RFC 8656 section 10.2).
    ///
    /// # Errors
    ///
    /// [`Denied`]: the peer may not be reached at any port.
    pub(super) fn judge_ip(&self, scope: PeerScope, ip: IpAddr) -> Result<PeerClass, Denied> {
        if self.is_relay(ip) {
            return Ok(PeerClass::Relayed);
        }
        let class = self.screen(ip)?;
        for inner in embedded_ipv4(ip) {
            let inner = IpAddr::V4(inner);
            if self.is_relay(inner) || self.screen(inner)? == PeerClass::Fleet {
                return Err(Denied::Detour);
            }
        }
        let in_scope = match self.narrow(scope) {
            PeerScope::Call => false,
            PeerScope::Fleet => class == PeerClass::Fleet,
            PeerScope::Public => true,
        };
        if in_scope {
            Ok(class)
        } else {
            Err(Denied::OutOfScope)
        }
    }

    /// Judges the peer of a ChannelBind request or a Send indication. The port of a [`PeerClass::Relayed`] peer
    /// remains to be looked up in the [`RelayDirectory`].
    ///
    /// # Errors
    ///
    /// [`Denied`]: the peer may not be reached at this port.
    pub(super) fn judge(&self, scope: PeerScope, peer: SocketAddr) -> Result<PeerClass, Denied> {
        let (ip, port) = (peer.ip(), peer.port());
        if port == 0 {
            return Err(Denied::PortZero);
        }
        if self.is_own_socket(ip, port)
            || embedded_ipv4(ip).any(|inner| self.is_own_socket(IpAddr::V4(inner), port))
        {
            return Err(Denied::OwnSocket);
        }
        let class = self.judge_ip(scope, ip)?;
        match class {
            PeerClass::Fleet if !self.ports.contains(&port) => Err(Denied::FleetPort),
            PeerClass::Public if self.deny_ports.iter().any(|ports| ports.contains(&port)) => {
                Err(Denied::Port)
            }
            PeerClass::Relayed | PeerClass::Fleet | PeerClass::Public => Ok(class),
        }
    }

    /// Whether what comes from `source` over `transport` can be a client's. It cannot where nothing can be sent back or
    /// only to a group, where it comes out of this relay itself (a listener or a live relayed address), which would be
    /// a loop, or where it came through 6to4 or Teredo (RFC 8656 section 21.4). No stream comes out of a listener: who
    /// shares its address and port number has the port of another transport.
    #[must_use]
    pub(super) fn accepts_client(
        &self,
        source: SocketAddr,
        transport: Transport,
        directory: &RelayDirectory,
    ) -> bool {
        let (ip, port) = (source.ip().to_canonical(), source.port());
        let local = SocketAddr::new(ip, port);
        port != 0
            && is_unicast(ip)
            && !is_6to4_or_teredo(ip)
            && (transport.is_stream() || !self.is_own_socket(ip, port))
            && directory.owner(self.to_advertised(local)).is_none()
    }

    /// Where a datagram for `peer` is to be sent: a relayed address of this relay is reached at its local form, since
    /// the NAT in front need not send back what came from behind it. Any other address is left as it is.
    #[must_use]
    pub(super) fn to_bind(&self, peer: SocketAddr) -> SocketAddr {
        self.translate(peer, |relay| (relay.advertise, relay.bind))
    }

    /// Where a datagram from `source` came from, as the world knows it: a relayed address of this relay is shown in
    /// its advertised form. Any other address is left as it is.
    #[must_use]
    pub(super) fn to_advertised(&self, source: SocketAddr) -> SocketAddr {
        self.translate(source, |relay| (relay.bind, relay.advertise))
    }

    fn translate(
        &self,
        addr: SocketAddr,
        ends: impl Fn(&RelayAddress) -> (IpAddr, IpAddr),
    ) -> SocketAddr {
        self.relays
            .iter()
            .map(ends)
            .find(|(from, to)| *from == addr.ip() && !to.is_unspecified())
            .map_or(addr, |(_, to)| SocketAddr::new(to, addr.port()))
    }

    /// Judges an address by itself, apart from the scope and from what it carries.
    fn screen(&self, ip: IpAddr) -> Result<PeerClass, Denied> {
        if !is_unicast(ip) {
            return Err(Denied::NotUnicast);
        }
        let allow = self.allow.longest(ip);
        let fleet = self.fleet.longest(ip);
        let deny = self.deny.longest(ip);
        let admitted = allow.max(fleet);
        if deny.is_some() && deny >= admitted {
            return Err(Denied::ByConfig);
        }
        if self.special.longest(ip) > admitted {
            return Err(Denied::SpecialPurpose);
        }
        // Whoever allows a network does not mean this machine in it: that takes the address itself. Loopback is this
        // machine and nothing else, so that to allow it is to mean it.
        let meant = ip.is_loopback() || allow == Some(host_len(ip));
        if self.is_own(ip) && !meant {
            return Err(Denied::OwnAddress);
        }
        Ok(match fleet {
            Some(_) => PeerClass::Fleet,
            None => PeerClass::Public,
        })
    }

    /// Whether `ip` is one that relayed addresses are advertised with.
    fn is_relay(&self, ip: IpAddr) -> bool {
        self.relays.iter().any(|relay| relay.advertise == ip)
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        self.own_addresses.binary_search(&ip).is_ok()
    }

    /// Whether a datagram to this address may reach a socket of the daemon that is no relay socket.
    fn is_own_socket(&self, ip: IpAddr, port: u16) -> bool {
        let here = ip.is_loopback() || self.is_own(ip);
        let mut sockets = self
            .own_sockets
            .iter()
            .filter(|socket| socket.port() == port);
        sockets.any(|socket| {
            let bound = socket.ip();
            if bound.is_unspecified() {
                // A socket on [::] takes IPv4 as well, unless its owner saw to it that it does not.
                here && (bound.is_ipv6() || ip.is_ipv4())
            } else {
                bound == ip || self.may_lead_to(ip, bound)
            }
        })
    }

    /// Whether what is sent to the own address `ip` may arrive at the local address `bound`. Of a relay address it is
    /// known which local one it is; any other may be the outside of a NAT in front of any local one.
    fn may_lead_to(&self, ip: IpAddr, bound: IpAddr) -> bool {
        let mut relays = self.relays.iter().filter(|relay| relay.advertise == ip);
        match relays.next() {
            Some(relay) => relay.bind == bound || relay.bind.is_unspecified(),
            None => self.is_own(ip) && !ip.is_loopback(),
        }
    }
}

/// Whether an address names one host.
fn is_unicast(ip: IpAddr) -> bool {
    let broadcast = match ip {
        IpAddr::V4(ip) => ip.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    !broadcast && !ip.is_multicast() && !ip.is_unspecified()
}

/// The length, in bits, of the prefix that holds one address.
const fn host_len(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests;
