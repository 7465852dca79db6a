//! Where data must go.

use std::net::SocketAddr;

use super::super::seen::{Form, Seen};
use super::super::setup::Carriage;
use super::{Allocation, Direction, Shadow};
use crate::relay::DropReason;
use crate::relay::tests::world::{RELAY4, RELAY4_BIND, ip, local};
use crate::wire::Family;

const NANOS: u64 = 1_000_000_000;

impl Shadow {
    /// What becomes of a Send indication.
    pub(in super::super) fn send(
        &mut self,
        client: usize,
        peer: SocketAddr,
        data: Vec<u8>,
        dont_fragment: bool,
    ) -> Seen {
        let seen = self.try_send(client, peer, data, dont_fragment);
        self.count(seen)
    }

    /// What becomes of ChannelData.
    pub(in super::super) fn frame(&mut self, client: usize, number: u16, data: Vec<u8>) -> Seen {
        let seen = self.try_frame(client, number, data);
        self.count(seen)
    }

    /// What becomes of a datagram on a relay socket, where `from` is as the socket sees it.
    pub(in super::super) fn arrive(
        &mut self,
        socket: usize,
        from: SocketAddr,
        data: Vec<u8>,
    ) -> Seen {
        let seen = self.try_arrive(socket, from, data);
        self.count(seen)
    }

    /// What becomes of an ICMP error on a relay socket, where `peer` is as the socket sees it.
    pub(in super::super) fn icmp(
        &mut self,
        socket: usize,
        peer: SocketAddr,
        error: (u8, u8, u32),
    ) -> Seen {
        let seen = self.try_icmp(socket, peer, error);
        self.count(seen)
    }

    /// What becomes of data that leaves a relay socket for another one.
    ///
    /// The hairpin has to come to the same, so that it plays no role here, but for what it cannot reach: a stream of
    /// another worker.
    pub(in super::super) fn carry(&mut self, sent: Seen) -> Seen {
        let Seen::ToPeer { from, to, data, .. } = &sent else {
            return sent;
        };
        let socket = self.socket_at(*to);
        match socket.filter(|_| self.setup.carriage != Carriage::Nothing) {
            Some(socket) => self.arrive(socket, *from, data.clone()),
            None => sent,
        }
    }

    /// The peer that a client of this host was reached as, and the data that reached it.
    ///
    /// # Panics
    ///
    /// Where nobody was reached.
    pub(in super::super) fn sender_side(&self, seen: &Seen) -> (SocketAddr, Vec<u8>) {
        let Seen::ToClient { to, form, data } = seen else {
            panic!("no client is reached by {seen:?}")
        };
        let client = self.parties.iter().position(|party| party.at == *to);
        let allocation = &self.allocations[&client.expect("a client")];
        let peer = match form {
            Form::Indication(peer) => *peer,
            Form::Channel(number) => allocation.channels[number].0,
        };
        let family = Family::of(peer.ip());
        let ip = self.relay_ip(family).expect("the family is served");
        let port = allocation.relayed[&family].port;
        (SocketAddr::new(ip, port), data.clone())
    }

    /// Takes note of so many bytes that a client has sent.
    pub(in super::super) fn sent(&mut self, client: usize, bytes: u64) {
        let len = usize::try_from(bytes).expect("a datagram's bytes");
        let spent = self.spend(client, Direction::ToPeer, len);
        assert_eq!(spent, Ok(()), "only what the rate admits is sent");
        let (packets, total) = &mut self.counts.to_peers;
        (*packets, *total) = (*packets + 1, *total + bytes);
    }

    /// The relay socket that is bound to a local address.
    fn socket_at(&self, to: SocketAddr) -> Option<usize> {
        let family = Family::of(to.ip());
        let ip = self.relay_ip(family)?;
        let held = |allocation: &Allocation| allocation.relayed.get(&family).copied();
        let mut held = self.allocations.values().filter_map(held);
        held.find(|relayed| local(SocketAddr::new(ip, relayed.port)) == to)
            .map(|relayed| relayed.socket)
    }

    /// Counts a drop.
    pub(in super::super) fn count(&mut self, seen: Result<Seen, DropReason>) -> Seen {
        seen.unwrap_or_else(|reason| {
            self.counts.drops[reason as usize] += 1;
            Seen::Dropped(reason)
        })
    }

    fn try_send(
        &mut self,
        client: usize,
        peer: SocketAddr,
        data: Vec<u8>,
        dont_fragment: bool,
    ) -> Result<Seen, DropReason> {
        let allocation = self
            .allocations
            .get(&client)
            .ok_or(DropReason::NoAllocation)?;
        if !allocation.permits(peer.ip(), self.now) {
            return Err(DropReason::NoPermission);
        }
        if !self.may_reach(allocation, peer) {
            return Err(DropReason::PeerDenied);
        }
        let client_ip = self.parties[client].at.client.reveal().ip();
        let both_ipv4 = peer.is_ipv4() && client_ip.is_ipv4();
        self.relay_to(client, peer, data, dont_fragment && both_ipv4)
    }

    fn try_frame(&mut self, client: usize, number: u16, data: Vec<u8>) -> Result<Seen, DropReason> {
        if !(0x4000..=0x7FFF).contains(&number) {
            return Err(DropReason::Malformed);
        }
        let allocation = self
            .allocations
            .get(&client)
            .ok_or(DropReason::NoAllocation)?;
        let peer = allocation
            .peer_of(number, self.now)
            .ok_or(DropReason::NoChannel)?;
        if !allocation.permits(peer.ip(), self.now) {
            return Err(DropReason::NoPermission);
        }
        // A channel to a relayed address is one to whoever had it when it was bound.
        if self.tenant(peer) != allocation.tenant_of(number, self.now) {
            return Err(DropReason::PeerDenied);
        }
        self.relay_to(client, peer, data, false)
    }

    fn relay_to(
        &mut self,
        client: usize,
        peer: SocketAddr,
        data: Vec<u8>,
        dont_fragment: bool,
    ) -> Result<Seen, DropReason> {
        let family = Family::of(peer.ip());
        let relayed = self.allocations[&client]
            .live(family, self.now)
            .ok_or(DropReason::NoAllocation)?;
        self.spend(client, Direction::ToPeer, data.len())?;
        let (packets, bytes) = &mut self.counts.to_peers;
        (*packets, *bytes) = (*packets + 1, *bytes + data.len() as u64);
        let ip = self.relay_ip(family).expect("the family is served");
        Ok(Seen::ToPeer {
            from: local(SocketAddr::new(ip, relayed.port)),
            to: if self.relay_ip(family) == Some(peer.ip()) {
                local(peer)
            } else {
                peer
            },
            data,
            dont_fragment,
        })
    }

    fn try_arrive(
        &mut self,
        socket: usize,
        from: SocketAddr,
        data: Vec<u8>,
    ) -> Result<Seen, DropReason> {
        let (client, allocation) = self.behind(socket).ok_or(DropReason::NoAllocation)?;
        let peer = self.as_advertised(from);
        if !allocation.permits(peer.ip(), self.now) {
            return Err(DropReason::NoPermission);
        }
        if !self.is_within_reach(allocation, peer) {
            return Err(DropReason::PeerDenied);
        }
        let form = match allocation.channel_to(peer, self.now) {
            Some(number) => Form::Channel(number),
            None => Form::Indication(peer),
        };
        self.spend(client, Direction::ToClient, data.len())?;
        let (packets, bytes) = &mut self.counts.to_clients;
        (*packets, *bytes) = (*packets + 1, *bytes + data.len() as u64);
        Ok(Seen::ToClient {
            to: self.parties[client].at,
            form,
            data,
        })
    }

    fn try_icmp(
        &mut self,
        socket: usize,
        peer: SocketAddr,
        (kind, code, mtu): (u8, u8, u32),
    ) -> Result<Seen, DropReason> {
        let (client, allocation) = self.behind(socket).ok_or(DropReason::NoAllocation)?;
        let peer = self.as_advertised(peer);
        if !allocation.permits(peer.ip(), self.now) {
            return Err(DropReason::NoPermission);
        }
        let (is_passed, tells_mtu) = match self.sockets[socket].family {
            Family::V4 => (kind == 3 || kind == 11, kind == 3 && code == 4),
            Family::V6 => ((1..=3).contains(&kind), kind == 2),
        };
        if !is_passed {
            return Err(DropReason::IcmpIgnored);
        }
        let second = self.now / 1000;
        let limit = self.setup.options.limits.icmp_per_second;
        let allocation = self.allocations.get_mut(&client).expect("just seen");
        let passed = allocation.icmp.entry(second).or_default();
        if *passed >= limit {
            return Err(DropReason::IcmpIgnored);
        }
        *passed += 1;
        Ok(Seen::IcmpToClient {
            to: self.parties[client].at,
            peer,
            kind,
            code,
            data: if tells_mtu { mtu.to_be_bytes() } else { [0; 4] },
        })
    }

    /// Whose socket this is, where it is open and its relayed address has not expired.
    pub(in super::super) fn behind(&self, socket: usize) -> Option<(usize, &Allocation)> {
        let of = self.sockets.get(socket)?;
        let allocation = self.allocations.get(&of.client)?;
        allocation
            .live(of.family, self.now)
            .filter(|relayed| relayed.socket == socket)
            .map(|_| (of.client, allocation))
    }

    /// Uses up some of an allocation's rate, where it has one: 64 bytes at least, and what 64 KiB take (a second at
    /// least) in advance.
    fn spend(&mut self, client: usize, way: Direction, bytes: usize) -> Result<(), DropReason> {
        let now = self.now * 1_000_000;
        let configured = self.setup.options.limits.rate.map(|rate| rate.0.get());
        let allocation = self.allocations.get_mut(&client).expect("just seen");
        let claimed = allocation.credential.claims.rate;
        let Some(rate) = configured.into_iter().chain(claimed).min() else {
            return Ok(());
        };
        let takes = |bytes: u64| (bytes * NANOS).div_ceil(rate);
        let (backlog, since) = allocation.backlog.get(&way).copied().unwrap_or((0, now));
        let waiting = backlog.saturating_sub(now - since) + takes(bytes.max(64) as u64);
        if waiting > takes(64 * 1024).max(NANOS) {
            return Err(DropReason::OverRate);
        }
        allocation.backlog.insert(way, (waiting, now));
        Ok(())
    }

    /// A source address as the world knows it.
    pub(in super::super) fn as_advertised(&self, from: SocketAddr) -> SocketAddr {
        if from.ip() == ip(RELAY4_BIND) && self.serves(Family::V4) {
            SocketAddr::new(ip(RELAY4), from.port())
        } else {
            from
        }
    }
}
