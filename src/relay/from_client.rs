//! Application data from a client to a peer: ChannelData (RFC 8656 section 12.6) and Send indications (section 11.2).

use std::net::SocketAddr;

use super::allocation::Allocation;
use super::request::is_understood;
use super::shared::Shared;
use super::{DropReason, FiveTuple, MAX_DATAGRAM, Packet, Relay, Span, Verdict};
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::{ChannelData, Data, DontFragment, Message, XorPeerAddress};

impl Relay {
    /// Relays ChannelData. It refreshes neither the channel nor the permission.
    pub(super) fn on_channel_data(
        &mut self,
        now: Tick,
        from: &FiveTuple,
        packet: &Packet<'_>,
    ) -> Result<Verdict, DropReason> {
        let frame = ChannelData::parse(packet.bytes()).map_err(|_| DropReason::Malformed)?;
        let start = packet.span().start + ChannelData::HEADER_LEN;
        let span = Span {
            start,
            end: start + frame.payload.len(),
        };
        let allocation = self.table.of_client(from).ok_or(DropReason::NoAllocation)?;
        let channel = allocation
            .channel(frame.channel, now)
            .ok_or(DropReason::NoChannel)?;
        let peer = channel.peer.reveal();
        if allocation.permission(peer.ip(), now).is_none() {
            return Err(DropReason::NoPermission);
        }
        // The allocation behind a relayed address was judged when the channel was bound to it.
        if channel.tenant.is_some() && channel.tenant != self.shared.directory.tenant(peer) {
            return Err(DropReason::PeerDenied);
        }
        let datagram = Outgoing {
            to: peer,
            span,
            dont_fragment: false,
        };
        let verdict = to_peer(allocation, datagram, now, &self.shared)?;
        self.counters.to_peers.count(span.len());
        Ok(verdict)
    }

    /// Relays the data of a Send indication that starts `start` bytes into its buffer.
    ///
    /// The whole policy is asked again each time, ports included: an indication may name any port of a permitted
    /// address.
    pub(super) fn on_send(
        &mut self,
        now: Tick,
        from: &FiveTuple,
        message: &Message<'_>,
        start: usize,
    ) -> Result<Verdict, DropReason> {
        let allocation = self.table.of_client(from).ok_or(DropReason::NoAllocation)?;
        if !message.unknown_required(is_understood).is_empty() {
            return Err(DropReason::BadIndication);
        }
        let Ok(Some(XorPeerAddress(peer))) = message.get() else {
            return Err(DropReason::BadIndication);
        };
        let Ok(Some(Data(data))) = message.get() else {
            return Err(DropReason::BadIndication);
        };
        let Ok(dont_fragment) = message.get::<DontFragment>() else {
            return Err(DropReason::BadIndication);
        };
        if allocation.permission(peer.ip(), now).is_none() {
            return Err(DropReason::NoPermission);
        }
        self.shared
            .judge(&allocation.owner, peer)
            .ok_or(DropReason::PeerDenied)?;
        let start = start + offset_in(message.bytes(), data);
        let span = Span {
            start,
            end: start + data.len(),
        };
        let datagram = Outgoing {
            to: peer,
            span,
            // Between other families than IPv4 and IPv4 the wish has no meaning (RFC 8656 section 13).
            dont_fragment: dont_fragment.is_some()
                && peer.is_ipv4()
                && from.client.reveal().is_ipv4(),
        };
        let verdict = to_peer(allocation, datagram, now, &self.shared)?;
        self.counters.to_peers.count(span.len());
        Ok(verdict)
    }
}

/// A datagram for a peer.
struct Outgoing {
    to: SocketAddr,
    span: Span,
    dont_fragment: bool,
}

/// Sends a datagram from the relayed address of the peer's family, within the allocation's rate.
fn to_peer(
    allocation: &mut Allocation,
    Outgoing {
        to,
        span,
        dont_fragment,
    }: Outgoing,
    now: Tick,
    shared: &Shared,
) -> Result<Verdict, DropReason> {
    let relayed = *allocation
        .relayed_for(to.ip(), now)
        .ok_or(DropReason::NoAllocation)?;
    // A stream can bring more than a datagram holds.
    if span.len() > MAX_DATAGRAM {
        return Err(DropReason::TooLarge);
    }
    if allocation
        .to_peers
        .as_mut()
        .is_some_and(|rate| !rate.admit(now, span.len()))
    {
        return Err(DropReason::OverRate);
    }
    allocation.bytes += span.len() as u64;
    Ok(Verdict::ToPeer {
        from: relayed.socket,
        to: Masked::new(shared.policy.to_bind(to)),
        span,
        dont_fragment,
    })
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    let offset = part.as_ptr().addr() - whole.as_ptr().addr();
    debug_assert!(
        offset + part.len() <= whole.len(),
        "an attribute's value lies within its message"
    );
    offset
}
