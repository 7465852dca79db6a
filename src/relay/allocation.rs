//! One allocation (RFC 8656 section 6): whose it is, what was granted, how much of its rates is used.

use std::hint::black_box;
use std::sync::Arc;

use super::connection::Connections;
use super::grants::Grants;
use super::inlet::Inlet;
use super::rate::RateLimiter;
use super::request::PeerTransport;
use super::response::Granted;
use super::route::Routes;
use super::tags::CallTag;
use super::{FiveTuple, UserTag};
use crate::auth::{BoundCredential, PeerScope};
use crate::time::{Tick, UnixTime};
use crate::wire::{Family, TransactionId};

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
    pub(super) transport: PeerTransport,
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
    /// What holds at this moment; changed by [`Self::change`] alone.
    pub(super) grants: Arc<Grants>,
    /// The way in to the client, for this worker and all others.
    pub(super) inlet: Arc<Inlet>,
    /// Where the client's packets went lately.
    pub(super) routes: Routes,
    /// Of a TCP allocation.
    pub(super) connections: Connections,
    pub(super) to_peers: Option<RateLimiter>,
    /// ICMP errors passed on in the second that is named first.
    pub(super) icmp: (u64, u32),
    /// Application bytes sent to peers; those for the client are counted by the inlet.
    pub(super) sent: u64,
}

impl Allocation {
    /// When it has to be looked at next: the first of its relayed addresses goes, or a connection that got no further.
    pub(super) fn deadline(&self) -> Option<Tick> {
        let relayed = self.grants.relayed.iter().map(|relayed| relayed.expires);
        relayed.chain(self.connections.deadline()).min()
    }

    /// Reads what a packet of the client needs of this, so that it lies in the caches.
    pub(super) fn touch(&self) {
        black_box(self.client);
        black_box(self.sent);
        black_box(self.to_peers);
        self.routes.touch();
    }

    /// Replaces what was granted, for all workers at once: the next packet anywhere meets the new grants.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Grants)) {
        let mut grants = Grants::clone(&self.grants);
        change(&mut grants);
        self.grants = Arc::new(grants);
        self.inlet.publish(Arc::clone(&self.grants));
        self.routes.clear();
    }

    /// Forgets permissions and channels that ran out, so that the limits count live ones.
    pub(super) fn prune(&mut self, now: Tick) {
        if self.grants.has_stale(now) {
            self.change(|grants| grants.prune(now));
        }
    }

    /// Application bytes relayed, both directions.
    pub(super) fn bytes(&self) -> u64 {
        self.sent + self.inlet.bytes()
    }

    /// Counts one ICMP error against `limit` per second; whether it may be passed on (RFC 8656 section 11.5).
    pub(super) fn admit_icmp(&mut self, now: Tick, limit: u32) -> bool {
        if self.icmp.0 != now.as_secs() {
            self.icmp = (now.as_secs(), 0);
        }
        self.icmp.1 = self.icmp.1.saturating_add(1);
        self.icmp.1 <= limit
    }
}
