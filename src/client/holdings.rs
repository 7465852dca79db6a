//! What the server granted, how long it lives, and when to renew it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::ask::Ask;
use super::outcome::Success;
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::{
    AddressErrorCode, Attribute, AttributeType, ChannelNumber, Family, Lifetime, Message,
    ReservationToken, XorMappedAddress, XorRelayedAddress,
};

/// How long a permission lives (RFC 8656 section 9).
const PERMISSION: Duration = Duration::from_secs(300);

/// How long before their end permissions are renewed; channels are renewed with the permissions that they imply.
const MARGIN: Duration = Duration::from_secs(60);

/// Different sets of peers whose permissions are remembered; beyond, the one that expires first is forgotten.
const MAX_PERMITS: usize = 64;

/// A granted allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// IPv4, IPv6.
    relayed: [Option<Masked<SocketAddr>>; 2],
    /// The client's own address as the server sees it.
    pub reflexive: Option<Masked<SocketAddr>>,
    /// When it ends, unless refreshed.
    pub expires: Tick,
    /// What a reserved port is claimed with.
    pub token: Option<ReservationToken>,
    /// The family that was asked for and not to be had, and the error code that says why.
    pub missing: Option<(Family, u16)>,
}

impl Allocation {
    /// The relayed address of a family.
    #[must_use]
    pub fn relayed(&self, family: Family) -> Option<SocketAddr> {
        self.relayed[slot(family)].map(Masked::reveal)
    }

    fn read(now: Tick, response: &Message<'_>) -> Option<(Self, Duration)> {
        let Lifetime(seconds) = response.get().ok()??;
        let lifetime = Duration::from_secs(seconds.into());
        let mut relayed = [None; 2];
        for (kind, value) in response.attributes() {
            if kind == AttributeType::XOR_RELAYED_ADDRESS {
                let XorRelayedAddress(address) =
                    XorRelayedAddress::decode(value, response.transaction_id()).ok()?;
                let first = &mut relayed[slot(Family::of(address.ip()))];
                *first = first.or(Some(Masked::new(address)));
            }
        }
        relayed.iter().flatten().next()?;
        let missing = response.get::<AddressErrorCode<'_>>().ok()?;
        let allocation = Self {
            relayed,
            reflexive: reflexive(response),
            expires: now.after(lifetime),
            token: response.get().ok()?,
            missing: missing.map(|missing| (missing.family, missing.code)),
        };
        Some((allocation, lifetime))
    }
}

/// Everything that the client holds. Bounded by the channel numbers there are and [`MAX_PERMITS`].
#[derive(Default)]
pub(super) struct Holdings {
    /// Whether anything is ever due for renewal.
    upkeep: bool,
    allocation: Option<Allocation>,
    /// When to refresh the allocation, and for how long.
    refresh: Option<(Tick, Duration)>,
    /// The peers of the channels, in the order of their numbers. A number keeps its peer for the allocation's life.
    channels: Vec<Channel>,
    permits: Vec<Permit>,
}

struct Channel {
    peer: SocketAddr,
    /// When the permission that goes with it ends; none before it is granted.
    permitted: Option<Tick>,
    renew: Option<Tick>,
}

/// The permissions of one request.
struct Permit {
    peers: Box<[SocketAddr]>,
    expires: Tick,
    renew: Option<Tick>,
}

impl Holdings {
    pub(super) fn new(upkeep: bool) -> Self {
        Self {
            upkeep,
            ..Self::default()
        }
    }

    pub(super) const fn allocation(&self) -> Option<&Allocation> {
        self.allocation.as_ref()
    }

    /// The channel of `peer`: the one that it has, else the next free one.
    pub(super) fn assign_channel(&mut self, peer: SocketAddr) -> Option<ChannelNumber> {
        let known = self
            .channels
            .iter()
            .position(|channel| channel.peer == peer);
        let index = known.unwrap_or(self.channels.len());
        let number = ChannelNumber::new(ChannelNumber::MIN.number() + u16::try_from(index).ok()?)
            .filter(|number| !number.is_reserved())?;
        if known.is_none() {
            self.channels.push(Channel {
                peer,
                permitted: None,
                renew: None,
            });
        }
        Some(number)
    }

    /// The peer that a channel was asked for.
    #[inline]
    pub(super) fn peer_of(&self, number: ChannelNumber) -> Option<SocketAddr> {
        let channel = self.channels.get(index(number));
        channel.map(|channel| channel.peer)
    }

    /// Whether data from `peer` is permitted, as far as the client knows.
    pub(super) fn permits(&self, peer: IpAddr, now: Tick) -> bool {
        let live = |permit: &Permit| permit.expires > now;
        self.permits
            .iter()
            .any(|permit| live(permit) && permit.peers.iter().any(|named| named.ip() == peer))
            || self.channels.iter().any(|channel| {
                channel.peer.ip() == peer && channel.permitted.is_some_and(|until| until > now)
            })
    }

    /// Takes over what a request was granted; `None` where the response lacks what it must say.
    pub(super) fn granted(
        &mut self,
        now: Tick,
        ask: &Ask,
        response: &Message<'_>,
    ) -> Option<Success> {
        match ask {
            Ask::Binding => reflexive(response).map(Success::Reflexive),
            Ask::Allocate(_) => {
                let (allocation, lifetime) = Allocation::read(now, response)?;
                *self = Self::new(self.upkeep);
                self.allocation = Some(allocation);
                self.renew_allocation(now, lifetime);
                Some(Success::Allocated)
            }
            Ask::Refresh(_) => {
                let Lifetime(seconds) = response.get().ok()??;
                let lifetime = Duration::from_secs(seconds.into());
                if lifetime.is_zero() {
                    *self = Self::new(self.upkeep);
                } else if let Some(allocation) = &mut self.allocation {
                    allocation.expires = now.after(lifetime);
                    self.renew_allocation(now, lifetime);
                }
                Some(Success::Refreshed(lifetime))
            }
            Ask::Permit(peers) => {
                self.permitted(now, peers);
                Some(Success::Permitted)
            }
            Ask::Bind(number, _) => {
                let renew = self.renewal_of_permission(now);
                if let Some(channel) = self.channels.get_mut(index(*number)) {
                    channel.permitted = Some(now.after(PERMISSION));
                    channel.renew = renew;
                }
                Some(Success::Bound(*number))
            }
        }
    }

    /// When [`Self::renewal`] has something.
    pub(super) fn due(&self) -> Option<Tick> {
        let refresh = self.refresh.map(|(due, _)| due);
        let permits = self.permits.iter().filter_map(|permit| permit.renew);
        let channels = self.channels.iter().filter_map(|channel| channel.renew);
        refresh.into_iter().chain(permits).chain(channels).min()
    }

    /// A request that renews what is due. What it renews is due no more, until it is granted anew.
    pub(super) fn renewal(&mut self, now: Tick) -> Option<Ask> {
        let is_due = |due: &mut Tick| *due <= now;
        if let Some((_, lifetime)) = self.refresh.take_if(|(due, _)| is_due(due)) {
            return Some(Ask::Refresh(lifetime));
        }
        for permit in &mut self.permits {
            if permit.renew.take_if(is_due).is_some() {
                return Some(Ask::Permit(permit.peers.clone()));
            }
        }
        for (index, channel) in (ChannelNumber::MIN.number()..).zip(&mut self.channels) {
            if channel.renew.take_if(is_due).is_some() {
                return Some(Ask::Bind(ChannelNumber::new(index)?, channel.peer));
            }
        }
        None
    }

    fn permitted(&mut self, now: Tick, peers: &[SocketAddr]) {
        self.permits
            .retain(|permit| permit.expires > now && *permit.peers != *peers);
        if self.permits.len() == MAX_PERMITS {
            // In the order of the requests, so the first expires first.
            self.permits.remove(0);
        }
        self.permits.push(Permit {
            peers: peers.into(),
            expires: now.after(PERMISSION),
            renew: self.renewal_of_permission(now),
        });
    }

    fn renew_allocation(&mut self, now: Tick, lifetime: Duration) {
        let early = MARGIN.min(lifetime / 2);
        self.refresh = self.upkeep.then(|| (now.after(lifetime - early), lifetime));
    }

    fn renewal_of_permission(&self, now: Tick) -> Option<Tick> {
        self.upkeep.then(|| now.after(PERMISSION - MARGIN))
    }
}

fn reflexive(response: &Message<'_>) -> Option<Masked<SocketAddr>> {
    let XorMappedAddress(address) = response.get().ok()??;
    Some(Masked::new(address))
}

fn index(number: ChannelNumber) -> usize {
    usize::from(number.number() - ChannelNumber::MIN.number())
}

const fn slot(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}
