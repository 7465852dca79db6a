//! Application data from a client to a peer: ChannelData (RFC 8656 section 12.6) and Send indications (section 11.2).
//!
//! A packet follows the route of what it names, a channel or a peer. Where there is none that holds, one is compiled,
//! which is where everything is checked that a later packet need not check again.

use std::net::SocketAddr;

use rand_chacha::ChaCha12Rng;

use super::allocation::Allocation;
use super::counters::Counters;
use super::directory::Tenant;
use super::grants::{Relayed, Ruling};
use super::policy::PeerClass;
use super::request::{PeerTransport, is_understood};
use super::route::{Hop, Receiver, Route, Way};
use super::shared::Shared;
use super::{DropReason, FiveTuple, MAX_DATAGRAM, Packet, Relay, Span, Transport, Verdict};
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::{
    ChannelData, ChannelNumber, Data, DontFragment, Family, Message, XorPeerAddress,
};

impl Relay {
    /// Relays ChannelData. It refreshes neither the channel nor the permission.
    pub(super) fn on_channel_data(
        &mut self,
        now: Tick,
        from: &FiveTuple,
        packet: &mut Packet<'_>,
    ) -> Result<Verdict, DropReason> {
        let frame = ChannelData::parse(packet.bytes()).map_err(|_| DropReason::Malformed)?;
        let number = frame.channel;
        let start = packet.span().start + ChannelData::HEADER_LEN;
        let datagram = Outgoing {
            span: Span {
                start,
                end: start + frame.payload.len(),
            },
            dont_fragment: false,
        };
        let allocation = self.table.of_client(from).ok_or(DropReason::NoAllocation)?;
        let way = Way::Channel(number);
        let place = match allocation.routes.find(way, now) {
            Some(place) => place,
            None => {
                let heading = on_channel(allocation, number, now, &self.shared)?;
                let route = compile(way, &heading, now, (&self.shared, self.worker))?;
                allocation.routes.keep(route)
            }
        };
        let tools = (&*self.counters, &mut self.ids);
        follow(allocation, place, now, (packet, &datagram), tools)
    }

    /// Relays the data of a Send indication.
    ///
    /// An indication may name any port of a permitted address, so that the whole policy is asked for each, ports
    /// included.
    pub(super) fn on_send(
        &mut self,
        now: Tick,
        from: &FiveTuple,
        send: Result<SendIndication, DropReason>,
        packet: &mut Packet<'_>,
    ) -> Result<Verdict, DropReason> {
        let allocation = self.table.of_client(from).ok_or(DropReason::NoAllocation)?;
        if allocation.transport == PeerTransport::Tcp {
            return Err(DropReason::BadIndication);
        }
        let SendIndication {
            peer,
            data,
            dont_fragment,
        } = send?;
        let start = packet.span().start;
        let datagram = Outgoing {
            span: Span {
                start: start + data.start,
                end: start + data.end,
            },
            // Between other families than IPv4 and IPv4 the wish has no meaning (RFC 8656 section 13).
            dont_fragment: dont_fragment && peer.is_ipv4() && from.client.reveal().is_ipv4(),
        };
        let way = Way::Peer(Masked::new(peer));
        let place = match allocation.routes.find(way, now) {
            Some(place) => place,
            None => {
                let heading = towards(allocation, peer, now, &self.shared)?;
                let route = compile(way, &heading, now, (&self.shared, self.worker))?;
                allocation.routes.keep(route)
            }
        };
        let tools = (&*self.counters, &mut self.ids);
        follow(allocation, place, now, (packet, &datagram), tools)
    }
}

/// What a Send indication asks for.
pub(super) struct SendIndication {
    peer: SocketAddr,
    /// Where the data lies in the message.
    data: Span,
    dont_fragment: bool,
}

impl SendIndication {
    /// Reads a Send indication.
    ///
    /// # Errors
    ///
    /// [`DropReason::BadIndication`].
    pub(super) fn parse(message: &Message<'_>) -> Result<Self, DropReason> {
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
        let start = offset_in(message.bytes(), data);
        Ok(Self {
            peer,
            data: Span {
                start,
                end: start + data.len(),
            },
            dont_fragment: dont_fragment.is_some(),
        })
    }
}

/// Application data on its way.
struct Outgoing {
    span: Span,
    dont_fragment: bool,
}

/// Where a client may send to.
struct Heading {
    peer: SocketAddr,
    /// Whose the peer's address is, where it is a relayed one of this host.
    tenant: Option<Tenant>,
    /// The client's own relayed address of that family.
    relayed: Relayed,
    /// Until when it may.
    until: Tick,
}

/// Where a channel leads.
fn on_channel(
    allocation: &Allocation,
    number: ChannelNumber,
    now: Tick,
    shared: &Shared,
) -> Result<Heading, DropReason> {
    let grants = &*allocation.grants;
    let channel = grants.channel(number, now).ok_or(DropReason::NoChannel)?;
    let peer = channel.peer.reveal();
    let permission = grants
        .permission(peer.ip(), now)
        .ok_or(DropReason::NoPermission)?;
    // The allocation behind a relayed address was judged when the channel was bound to it.
    if channel.tenant.is_some() && channel.tenant != shared.directory.tenant(peer) {
        return Err(DropReason::PeerDenied);
    }
    let relayed = *grants
        .relayed_for(peer.ip(), now)
        .ok_or(DropReason::NoAllocation)?;
    Ok(Heading {
        peer,
        tenant: channel.tenant,
        relayed,
        until: channel.expires.min(permission.expires).min(relayed.expires),
    })
}

/// The way to a peer that is named by its address.
fn towards(
    allocation: &Allocation,
    peer: SocketAddr,
    now: Tick,
    shared: &Shared,
) -> Result<Heading, DropReason> {
    let grants = &*allocation.grants;
    let permission = grants
        .permission(peer.ip(), now)
        .ok_or(DropReason::NoPermission)?;
    // Whose it is comes before the judgement: a tenant that is still there afterwards is the one that was judged. One
    // that came in between is met by the next packet.
    let tenant = shared.directory.tenant(peer);
    shared
        .judge(&allocation.owner, peer)
        .filter(|class| tenant.is_some() == (*class == PeerClass::Relayed))
        .ok_or(DropReason::PeerDenied)?;
    let relayed = *grants
        .relayed_for(peer.ip(), now)
        .ok_or(DropReason::NoAllocation)?;
    Ok(Heading {
        peer,
        tenant,
        relayed,
        until: permission.expires.min(relayed.expires),
    })
}

/// Makes a route of where a client of `worker` may send to.
fn compile(
    way: Way,
    heading: &Heading,
    now: Tick,
    (shared, worker): (&Shared, usize),
) -> Result<Route, DropReason> {
    let Heading {
        peer,
        tenant,
        relayed,
        until,
    } = *heading;
    let wire = |receiver| Route {
        way,
        hop: Hop::Wire {
            from: relayed.socket,
            to: Masked::new(shared.policy.to_bind(peer)),
            receiver,
        },
        until,
    };
    let Some(tenant) = tenant else {
        return Ok(wire(None));
    };
    // Whoever ended since the look at the directory is not reached any more.
    let inlet = shared
        .directory
        .inlet(peer, tenant)
        .ok_or(DropReason::PeerDenied)?;
    let (version, grants) = inlet.grants().ok_or(DropReason::PeerDenied)?;
    let receiver = Receiver { inlet, version };
    // Only its own worker can write to a stream or holds the keys of a session.
    let out_of_reach = grants.client.transport() != Transport::Udp && grants.worker != worker;
    if !shared.options.hairpin || out_of_reach {
        return Ok(wire(Some(receiver)));
    }
    let family = Family::of(peer.ip());
    let Ruling {
        outcome,
        until: ruled,
    } = grants.rule(family, relayed.address, now, &shared.directory);
    Ok(Route {
        way,
        hop: Hop::Hairpin { receiver, outcome },
        until: until.min(ruled),
    })
}

/// Sends a datagram along the route at a place, within the allocation's rate.
fn follow(
    allocation: &mut Allocation,
    place: usize,
    now: Tick,
    (packet, datagram): (&mut Packet<'_>, &Outgoing),
    (counters, ids): (&Counters, &mut ChaCha12Rng),
) -> Result<Verdict, DropReason> {
    let span = datagram.span;
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
    allocation.sent += span.len() as u64;
    counters.to_peers.count(span.len());
    match &allocation.routes.at(place).hop {
        Hop::Wire { from, to, .. } => Ok(Verdict::ToPeer {
            from: *from,
            to: *to,
            span,
            dont_fragment: datagram.dont_fragment,
        }),
        Hop::Hairpin { receiver, outcome } => {
            let delivery = outcome.as_ref().map_err(|reason| *reason)?;
            let verdict = delivery.deliver(&receiver.inlet, now, (packet, span), ids)?;
            counters.to_clients.count(span.len());
            Ok(verdict)
        }
    }
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
