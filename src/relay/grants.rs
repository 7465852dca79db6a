//! What a client was granted: relayed addresses, permissions and channels, each until some moment (RFC 8656 sections 7,
//! 9 and 12).
//!
//! A [`Grants`] does not change once it is published: a request or an expiry makes another one, which takes its place.
//! So a worker can act on the grants of an allocation that another worker owns. Expiry is a comparison with the clock at
//! the moment of use; entries that ran out are removed when the client next changes the table they stand in, so that a
//! table never holds more than its limit.

use std::net::{IpAddr, SocketAddr};

use super::allocation::PerFamily;
use super::deliver::{Delivery, Form};
use super::directory::{RelayDirectory, Tenant};
use super::host::SocketId;
use super::policy::PeerClass;
use super::small_map::SmallMap;
use super::tags::CallTag;
use super::{DropReason, FiveTuple};
use crate::auth::PeerScope;
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::{ChannelNumber, Family};

/// A relayed transport address and the socket behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relayed {
    /// As advertised to the client and seen by peers.
    pub(super) address: SocketAddr,
    pub(super) socket: SocketId,
    /// RFC 8656 section 8.2 lets the two families of a dual allocation be refreshed apart.
    pub(super) expires: Tick,
}

/// Leave to exchange data with one peer address, whatever its port (RFC 8656 section 9).
#[derive(Clone, Copy, Debug)]
pub(super) struct Permission {
    pub(super) expires: Tick,
    pub(super) class: PeerClass,
}

/// A channel number and the peer it stands for (RFC 8656 section 12).
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) peer: Masked<SocketAddr>,
    /// Whose the peer's address was when the channel was first bound, where it is a relayed one.
    pub(super) tenant: Option<Tenant>,
    pub(super) expires: Tick,
}

/// Everything that decides whether and how a datagram reaches a client, and where the client's own datagrams may go.
#[derive(Clone, Debug)]
pub(super) struct Grants {
    pub(super) client: FiveTuple,
    /// The worker that serves the client.
    pub(super) worker: usize,
    /// The narrower of the configured scope and the credential's.
    pub(super) scope: PeerScope,
    pub(super) call: CallTag,
    pub(super) relayed: PerFamily<Relayed>,
    /// By peer address. At most `limits.permissions`.
    pub(super) permissions: SmallMap<IpAddr, Permission>,
    /// By number. At most `limits.channels`; kept in step with `numbers`.
    pub(super) channels: SmallMap<ChannelNumber, Channel>,
    /// The same channels by peer.
    pub(super) numbers: SmallMap<SocketAddr, ChannelNumber>,
}

/// What becomes of the datagrams of one peer, as long as nothing changes and `until` has not come.
#[derive(Clone, Copy)]
pub(super) struct Ruling {
    pub(super) outcome: Result<Delivery, DropReason>,
    pub(super) until: Tick,
}

impl Grants {
    /// What becomes of a datagram from `peer`, as the world knows it, on the relayed address of `family`.
    ///
    /// The one place that decides it, be it for a datagram off the wire or for one that another client of this host sends.
    pub(super) fn rule(
        &self,
        family: Family,
        peer: SocketAddr,
        now: Tick,
        directory: &RelayDirectory,
    ) -> Ruling {
        let refuse = |reason, until| Ruling {
            outcome: Err(reason),
            until,
        };
        let live = |relayed: &&Relayed| relayed.expires > now;
        let Some(relayed) = self.relayed.of(family).filter(live) else {
            // Holds for this packet alone: the address may be another's by the next.
            return refuse(DropReason::NoAllocation, now);
        };
        let Some(permission) = self.permission(peer.ip(), now) else {
            return refuse(DropReason::NoPermission, relayed.expires);
        };
        let until = relayed.expires.min(permission.expires);
        if permission.class == PeerClass::Relayed && !directory.admits(self.scope, self.call, peer)
        {
            return refuse(DropReason::PeerDenied, until);
        }
        let (form, until) = match self.channel_to(peer, now) {
            Some((number, expires)) => (Form::Channel(number), until.min(expires)),
            None => (Form::Indication(Masked::new(peer)), until),
        };
        Ruling {
            outcome: Ok(Delivery {
                to: self.client,
                form,
            }),
            until,
        }
    }

    /// The live relayed address of a peer's family.
    pub(super) fn relayed_for(&self, peer: IpAddr, now: Tick) -> Option<&Relayed> {
        self.relayed
            .of(Family::of(peer))
            .filter(|relayed| relayed.expires > now)
    }

    /// The live permission for a peer.
    pub(super) fn permission(&self, peer: IpAddr, now: Tick) -> Option<Permission> {
        self.permissions
            .get(&peer)
            .copied()
            .filter(|permission| permission.expires > now)
    }

    /// The live channel with a number.
    pub(super) fn channel(&self, number: ChannelNumber, now: Tick) -> Option<Channel> {
        self.channels
            .get(&number)
            .copied()
            .filter(|channel| channel.expires > now)
    }

    /// The number of the live channel to a peer, and until when it is.
    pub(super) fn channel_to(&self, peer: SocketAddr, now: Tick) -> Option<(ChannelNumber, Tick)> {
        let number = *self.numbers.get(&peer)?;
        self.channel(number, now)
            .map(|channel| (number, channel.expires))
    }

    /// Installs or refreshes a permission.
    pub(super) fn permit(&mut self, peer: IpAddr, permission: Permission) {
        self.permissions.insert(peer, permission);
    }

    /// Binds or refreshes a channel.
    pub(super) fn bind(&mut self, number: ChannelNumber, channel: Channel) {
        self.channels.insert(number, channel);
        self.numbers.insert(channel.peer.reveal(), number);
        debug_assert_eq!(
            self.channels.len(),
            self.numbers.len(),
            "a channel has one number and one peer"
        );
    }

    /// Whether [`Self::prune`] would find something.
    pub(super) fn has_stale(&self, now: Tick) -> bool {
        let mut permissions = self.permissions.iter();
        let mut channels = self.channels.iter();
        permissions.any(|(_, permission)| permission.expires <= now)
            || channels.any(|(_, channel)| channel.expires <= now)
    }

    /// Forgets permissions and channels that ran out, so that the limits count live ones.
    pub(super) fn prune(&mut self, now: Tick) {
        self.permissions
            .retain(|_, permission| permission.expires > now);
        self.retain_channels(|channel| channel.expires > now);
    }

    /// Takes the relayed address of one family back, with what belongs to it.
    pub(super) fn revoke(&mut self, family: Family) {
        *self.relayed.slot(family) = None;
        self.permissions
            .retain(|peer, _| Family::of(*peer) != family);
        self.retain_channels(|channel| Family::of(channel.peer.reveal().ip()) != family);
    }

    /// Grants of nothing, to a client that is nowhere.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        let anywhere = SocketAddr::from(([0; 4], 0));
        Self {
            client: FiveTuple {
                client: Masked::new(anywhere),
                server: anywhere.ip(),
                link: super::Link {
                    id: 0,
                    transport: super::Transport::Udp,
                },
            },
            worker: 0,
            scope: PeerScope::Call,
            call: CallTag::NONE,
            relayed: PerFamily::default(),
            permissions: SmallMap::default(),
            channels: SmallMap::default(),
            numbers: SmallMap::default(),
        }
    }

    fn retain_channels(&mut self, keep: impl Fn(&Channel) -> bool) {
        self.channels.retain(|_, channel| keep(channel));
        let channels = &self.channels;
        self.numbers.retain(|_, number| channels.contains(number));
    }
}
