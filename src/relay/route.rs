//! Routes: where what a client sends goes, decided once and followed by every packet after.
//!
//! A route is a value. `from_client` compiles it from the grants of the sender and, where the peer is a relayed address
//! of this host, from those of the receiver; it holds until the first deadline involved, and as long as neither side's
//! grants change. The sender's routes are forgotten when its grants change; the receiver's change is seen by the version
//! of its [`Inlet`].

use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::DropReason;
use super::deliver::Delivery;
use super::host::SocketId;
use super::inlet::Inlet;
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::ChannelNumber;

/// What a client names when it sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// A channel.
    Channel(ChannelNumber),
    /// The peer of a Send indication.
    Peer(Masked<SocketAddr>),
}

/// Where it goes.
pub(super) enum Hop {
    /// Out of a relay socket, to the peer as that socket addresses it.
    Wire {
        from: SocketId,
        to: Masked<SocketAddr>,
        /// Where the peer is a relayed address of this host.
        receiver: Option<Receiver>,
    },
    /// To a client of this host without leaving it, as if it had come in at the relayed address it is sent to.
    Hairpin {
        receiver: Receiver,
        outcome: Result<Delivery, DropReason>,
    },
}

/// The allocation behind a relayed address, and the version of its grants that a route was compiled from.
pub(super) struct Receiver {
    pub(super) inlet: Arc<Inlet>,
    pub(super) version: u64,
}

/// A compiled route.
pub(super) struct Route {
    pub(super) way: Way,
    pub(super) hop: Hop,
    /// The last millisecond in which it holds is the one before.
    pub(super) until: Tick,
}

impl Route {
    fn holds(&self, now: Tick) -> bool {
        let unchanged = |receiver: &Receiver| receiver.inlet.version() == receiver.version;
        now < self.until && self.receiver().is_none_or(unchanged)
    }

    const fn receiver(&self) -> Option<&Receiver> {
        match &self.hop {
            Hop::Wire { receiver, .. } => receiver.as_ref(),
            Hop::Hairpin { receiver, .. } => Some(receiver),
        }
    }
}

/// The routes that one allocation has used last. The first one, the only one of most calls, lies in the allocation.
#[derive(Default)]
pub(super) struct Routes {
    /// One for each way; at most [`Self::MAX`].
    entries: SmallVec<[Route; 1]>,
    /// The entry that makes room for the next one where there are too many.
    oldest: usize,
}

impl Routes {
    /// Routes kept at a time. Whoever sends on more ways in turn has them compiled again and again, which costs about as
    /// much as a Send indication's look at the policy.
    pub(super) const MAX: usize = 16;

    /// The place of the route of a way, where there is one that holds.
    pub(super) fn find(&self, way: Way, now: Tick) -> Option<usize> {
        let at = self.position(way)?;
        self.entries[at].holds(now).then_some(at)
    }

    /// Keeps a route, in place of an older one of the same way; its place.
    pub(super) fn keep(&mut self, route: Route) -> usize {
        let at = match self.position(route.way) {
            Some(at) => at,
            None if self.entries.len() < Self::MAX => {
                self.entries.push(route);
                return self.entries.len() - 1;
            }
            None => {
                let at = self.oldest;
                self.oldest = (at + 1) % Self::MAX;
                at
            }
        };
        self.entries[at] = route;
        at
    }

    /// The route at a place given by [`Self::find`] or [`Self::keep`] just before.
    pub(super) fn at(&self, place: usize) -> &Route {
        &self.entries[place]
    }

    /// Reads the first route, so that it lies in the caches.
    pub(super) fn touch(&self) {
        if let Some(Route { way, hop, until }) = self.entries.first() {
            black_box((way, until));
            black_box((*way, *until));
            if let Hop::Hairpin { outcome, .. } = hop {
                let _ = black_box(*outcome);
            }
        }
    }

    /// Reads what the first route leads to.
    pub(super) fn touch_receiver(&self) {
        let first = self.entries.first();
        if let Some(receiver) = first.and_then(Route::receiver) {
            black_box(receiver.inlet.version());
            black_box(receiver.inlet.bytes());
        }
    }

    /// Forgets every route.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.oldest = 0;
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn position(&self, way: Way) -> Option<usize> {
        self.entries.iter().position(|route| route.way == way)
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Routes({} entries)", self.entries.len())
    }
}
