//! One allocation: its relayed addresses, permissions and channels (RFC 8656 section 6).
//!
//! Expiry is a comparison with the clock at the moment of use; entries that ran out are removed when the client next
//! changes the table they stand in, so that a table never holds more than its limit.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::directory::Tenant;
use super::host::SocketId;
use super::policy::PeerClass;
use super::rate::RateLimiter;
use super::response::Granted;
use super::small_map::SmallMap;
use super::tags::CallTag;
use super::{FiveTuple, UserTag};
use crate::auth::{BoundCredential, PeerScope};
use crate::masked::Masked;
use crate::time::{Tick, UnixTime};
use crate::wire::{ChannelNumber, Family, TransactionId};

/// One value for each address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerFamily<T> {
    pub(super) v4: Option<T>,
    pub(super) v6: Option<T>,
}

impl<T> Default for PerFamily<T> {
    fn default() -> Self {
        Self { v4: None, v6: None }
    }
}

impl<T> PerFamily<T> {
    pub(super) const fn of(&self, family: Family) -> Option<&T> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    pub(super) const fn slot(&mut self, family: Family) -> &mut Option<T> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    pub(super) fn map<U>(self, f: impl Fn(T) -> U) -> PerFamily<U> {
        PerFamily {
            v4: self.v4.map(&f),
            v6: self.v6.map(&f),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.v4.iter().chain(&self.v6)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.v4.iter_mut().chain(&mut self.v6)
    }
}

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

/// Who an allocation belongs to and what it may do.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// Shared with the request that it authenticates.
    pub(super) credential: Arc<BoundCredential>,
    pub(super) user: UserTag,
    pub(super) call: CallTag,
    /// The narrower of the configured scope and the credential's.
    pub(super) scope: PeerScope,
    /// When the credential ends; `None` for a static user.
    pub(super) expires: Option<UnixTime>,
}

/// One allocation.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: FiveTuple,
    pub(super) owner: Owner,
    /// The Allocate request that made it, to tell a retransmission (RFC 8656 section 7.2, step 2).
    pub(super) request: TransactionId,
    /// What that request was answered, to answer a retransmission alike.
    pub(super) granted: Granted,
    pub(super) created: Tick,
    /// The latest end that refreshing can reach.
    pub(super) ends: Tick,
    /// The deadline of its valid timer, if it has one.
    pub(super) scheduled: Option<Tick>,
    pub(super) relayed: PerFamily<Relayed>,
    /// By peer address. At most `limits.permissions`.
    pub(super) permissions: SmallMap<IpAddr, Permission>,
    /// By number. At most `limits.channels`; kept in step with `numbers`.
    pub(super) channels: SmallMap<ChannelNumber, Channel>,
    /// The same channels by peer.
    pub(super) numbers: SmallMap<SocketAddr, ChannelNumber>,
    pub(super) to_peers: Option<RateLimiter>,
    pub(super) to_client: Option<RateLimiter>,
    /// ICMP errors passed on in the second that is named first.
    pub(super) icmp: (u64, u32),
    /// Application bytes relayed, both directions.
    pub(super) bytes: u64,
}

impl Allocation {
    /// When it has to be looked at next: the first of its relayed addresses goes.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.relayed.iter().map(|relayed| relayed.expires).min()
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

    /// The number of the live channel to a peer.
    pub(super) fn channel_to(&self, peer: SocketAddr, now: Tick) -> Option<ChannelNumber> {
        let number = *self.numbers.get(&peer)?;
        self.channel(number, now).map(|_| number)
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

    /// Forgets permissions and channels that ran out, so that the limits count live ones.
    pub(super) fn prune(&mut self, now: Tick) {
        self.permissions
            .retain(|_, permission| permission.expires > now);
        self.retain_channels(|channel| channel.expires > now);
    }

    /// Forgets what belongs to one family, whose relayed address is gone.
    pub(super) fn forget(&mut self, family: Family) {
        self.permissions
            .retain(|peer, _| Family::of(*peer) != family);
        self.retain_channels(|channel| Family::of(channel.peer.reveal().ip()) != family);
    }

    /// Counts one ICMP error against `limit` per second; whether it may be passed on (RFC 8656 section 11.5).
    pub(super) fn admit_icmp(&mut self, now: Tick, limit: u32) -> bool {
        if self.icmp.0 != now.as_secs() {
            self.icmp = (now.as_secs(), 0);
        }
        self.icmp.1 = self.icmp.1.saturating_add(1);
        self.icmp.1 <= limit
    }

    fn retain_channels(&mut self, keep: impl Fn(&Channel) -> bool) {
        self.channels.retain(|_, channel| keep(channel));
        let channels = &self.channels;
        self.numbers.retain(|_, number| channels.contains(number));
    }
}
