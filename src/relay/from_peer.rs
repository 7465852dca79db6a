//! Application data from a peer to a client (RFC 8656 sections 11.3 and 12.7), and ICMP errors about what the client
//! sent (section 11.5).

use std::net::SocketAddr;

use super::deliver::random_id;
use super::table::token_family;
use super::{DropReason, IcmpError, Packet, Relay, RelayToken, Span, Verdict};
use crate::time::{Now, Tick};
use crate::wire::{BufferFull, Class, Family, Icmp, Method, TransactionId, Writer, XorPeerAddress};

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
        let allocation = self.table.of_token(token).ok_or(DropReason::NoAllocation)?;
        let family = token_family(token);
        let ruling = allocation
            .grants
            .rule(family, peer, now, &self.shared.directory);
        let data = packet.span();
        let verdict =
            ruling
                .outcome?
                .deliver(&allocation.inlet, now, (packet, data), &mut self.ids)?;
        self.counters.to_clients.count(data.len());
        Ok(verdict)
    }

    fn relay_icmp(
        &mut self,
        now: Tick,
        token: RelayToken,
        error: IcmpError,
        buf: &mut [u8],
    ) -> Result<Verdict, DropReason> {
        let peer = self.shared.policy.to_advertised(error.peer.reveal());
        let allocation = self.table.of_token(token).ok_or(DropReason::NoAllocation)?;
        let family = token_family(token);
        let relayed = allocation.grants.relayed.of(family);
        relayed
            .filter(|relayed| relayed.expires > now)
            .ok_or(DropReason::NoAllocation)?;
        // The embedded destination must be permitted, not the router that sends the error.
        allocation
            .grants
            .permission(peer.ip(), now)
            .ok_or(DropReason::NoPermission)?;
        let attribute = icmp_attribute(family, error).ok_or(DropReason::IcmpIgnored)?;
        if !allocation.admit_icmp(now, self.shared.options.limits.icmp_per_second) {
            return Err(DropReason::IcmpIgnored);
        }
        let id = TransactionId(random_id(&mut self.ids));
        let end =
            write_icmp_indication(buf, id, peer, attribute).map_err(|_| DropReason::TooLarge)?;
        Ok(Verdict::ToClient {
            to: allocation.client,
            span: Span { start: 0, end },
        })
    }
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
