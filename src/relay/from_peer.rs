//! Application data from a peer to a client (RFC 8656 sections 11.3 and 12.7), and ICMP errors about what the client
//! sent (section 11.5).

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;

use super::policy::PeerClass;
use super::table::token_family;
use super::{
    DropReason, FiveTuple, IcmpError, MAX_DATAGRAM, Packet, Relay, RelayToken, Span, Transport,
    Verdict,
};
use crate::time::{Now, Tick};
use crate::wire::{
    BufferFull, ChannelData, ChannelNumber, Class, Family, Icmp, Method, TransactionId, Writer,
    XorPeerAddress, write_channel_header, write_data_indication,
};

impl Relay {
    /// Takes a datagram that arrived on the relay socket opened with `token`.
    pub fn on_peer(
        &mut self,
        now: Now,
        token: RelayToken,
        from: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> Verdict {
        let verdict = self
            .relay_to_client(now.tick, token, from, packet)
            .unwrap_or_else(Verdict::Drop);
        self.counters.verdict(&verdict);
        verdict
    }

    /// Takes an ICMP error that arrived on the relay socket opened with `token`. What the client is told about it is
    /// written to the start of `buf`, which holds `MIN_BUFFER` bytes at least.
    pub fn on_icmp(
        &mut self,
        now: Now,
        token: RelayToken,
        error: IcmpError,
        buf: &mut [u8],
    ) -> Verdict {
        let verdict = self
            .relay_icmp(now.tick, token, error, buf)
            .unwrap_or_else(Verdict::Drop);
        self.counters.verdict(&verdict);
        verdict
    }

    fn relay_to_client(
        &mut self,
        now: Tick,
        token: RelayToken,
        from: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> Result<Verdict, DropReason> {
        let peer = self.shared.policy.to_advertised(from);
        let allocation = self
            .table
            .of_live_token(token, now)
            .ok_or(DropReason::NoAllocation)?;
        let permission = allocation
            .permission(peer.ip(), now)
            .ok_or(DropReason::NoPermission)?;
        if permission.class == PeerClass::Relayed && !self.shared.is_live(&allocation.owner, peer) {
            return Err(DropReason::PeerDenied);
        }
        let data = packet.span();
        let to = allocation.client;
        if allocation
            .to_client
            .as_mut()
            .is_some_and(|rate| !rate.admit(now, data.len()))
        {
            return Err(DropReason::OverRate);
        }
        let span = match allocation.channel_to(peer, now) {
            Some(number) => wrap_in_channel(packet, number, &to),
            None => wrap_in_indication(packet, peer, TransactionId(random_id(&mut self.rng))),
        };
        let span = span
            .filter(|span| to.transport() != Transport::Udp || span.len() <= MAX_DATAGRAM)
            .ok_or(DropReason::TooLarge)?;
        allocation.bytes += data.len() as u64;
        self.counters.to_clients.count(data.len());
        Ok(Verdict::ToClient { to, span })
    }

    fn relay_icmp(
        &mut self,
        now: Tick,
        token: RelayToken,
        error: IcmpError,
        buf: &mut [u8],
    ) -> Result<Verdict, DropReason> {
        let peer = self.shared.policy.to_advertised(error.peer.reveal());
        let allocation = self
            .table
            .of_live_token(token, now)
            .ok_or(DropReason::NoAllocation)?;
        // The embedded destination must be permitted, not the router that sends the error.
        allocation
            .permission(peer.ip(), now)
            .ok_or(DropReason::NoPermission)?;
        let attribute =
            icmp_attribute(token_family(token), error).ok_or(DropReason::IcmpIgnored)?;
        if !allocation.admit_icmp(now, self.shared.options.limits.icmp_per_second) {
            return Err(DropReason::IcmpIgnored);
        }
        let id = TransactionId(random_id(&mut self.rng));
        let end =
            write_icmp_indication(buf, id, peer, attribute).map_err(|_| DropReason::TooLarge)?;
        Ok(Verdict::ToClient {
            to: allocation.client,
            span: Span { start: 0, end },
        })
    }
}

/// Writes the ChannelData header in front of the datagram, and on a stream the padding behind it (RFC 8656
/// section 12.5).
fn wrap_in_channel(
    packet: &mut Packet<'_>,
    number: ChannelNumber,
    client: &FiveTuple,
) -> Option<Span> {
    let data = packet.span();
    let start = data.start.checked_sub(ChannelData::HEADER_LEN)?;
    let len = u16::try_from(data.len()).ok()?;
    let buf = packet.buffer();
    write_channel_header(
        buf.get_mut(start..data.start)?.try_into().ok()?,
        number,
        len,
    );
    let end = match client.transport() {
        Transport::Udp => data.end,
        Transport::Tcp | Transport::Tls => data.start + data.len().next_multiple_of(4),
    };
    buf.get_mut(data.end..end)?.fill(0);
    Some(Span { start, end })
}

/// Writes the header of a Data indication in front of the datagram (RFC 8656 section 11.3).
fn wrap_in_indication(
    packet: &mut Packet<'_>,
    peer: SocketAddr,
    id: TransactionId,
) -> Option<Span> {
    let data = packet.span();
    let range = write_data_indication(packet.buffer(), data.range(), peer, id)?;
    Some(Span {
        start: range.start,
        end: range.end,
    })
}

/// The ICMP attribute for an error, where its type is one that is passed on (RFC 8656 section 11.5): destination
/// unreachable and time exceeded, and ICMPv6's packet too big. The data is the next hop's MTU where the error says it.
fn icmp_attribute(family: Family, error: IcmpError) -> Option<Icmp> {
    let IcmpError {
        kind, code, mtu, ..
    } = error;
    let (passed, tells_mtu) = match family {
        Family::V4 => (matches!(kind, 3 | 11), (kind, code) == (3, 4)),
        Family::V6 => (matches!(kind, 1..=3), kind == 2),
    };
    let data = if tells_mtu { mtu.to_be_bytes() } else { [0; 4] };
    passed.then_some(Icmp { kind, code, data })
}

fn write_icmp_indication(
    buf: &mut [u8],
    id: TransactionId,
    peer: SocketAddr,
    attribute: Icmp,
) -> Result<usize, BufferFull> {
    let mut writer = Writer::new(buf, Class::Indication, Method::DATA, id)?;
    writer.put(&XorPeerAddress(peer))?;
    writer.put(&attribute)?;
    Ok(writer.finish())
}

fn random_id(rng: &mut impl Rng) -> [u8; 12] {
    let mut id = [0; 12];
    rng.fill_bytes(&mut id);
    id
}
