//! How time passes, and what it ends.

use super::super::operation::Ending;
use super::{PortUse, Shadow};
use crate::relay::tests::world::EPOCH;
use crate::relay::{EndReason, OnExpiry};
use crate::wire::Family;

/// Milliseconds on the monotonic clock when a world begins.
pub(in super::super) const BEGINNING: u64 = 5_000;

/// How long a nonce is valid, in milliseconds.
const NONCE: u64 = 600_000;

impl Shadow {
    /// Lets time pass to `end`, with the timers served at the moment they are due.
    pub(in super::super) fn pass(&mut self, end: u64) {
        while self.now < end {
            let next = self.relayed_ends().into_iter().min();
            self.now = next.unwrap_or(end).clamp(self.now, end);
            self.serve(None);
        }
    }

    /// Ends what has expired, on one worker or on all.
    pub(in super::super) fn serve(&mut self, worker: Option<usize>) {
        let now = self.now;
        let clients: Vec<usize> = self.allocations.keys().copied().collect();
        for client in clients {
            if worker.is_some_and(|worker| worker != self.parties[client].worker) {
                continue;
            }
            for family in [Family::V4, Family::V6] {
                let allocation = &self.allocations[&client];
                if allocation
                    .relayed
                    .get(&family)
                    .is_some_and(|relayed| relayed.expires <= now)
                {
                    let reason = self.why_expired(client);
                    self.drop_family(client, family, reason);
                    if !self.allocations.contains_key(&client) {
                        break;
                    }
                }
            }
        }
    }

    /// Ends one relayed address and what belongs to its family; with the last one the allocation.
    pub(super) fn drop_family(&mut self, client: usize, family: Family, reason: EndReason) {
        let allocation = self
            .allocations
            .get_mut(&client)
            .expect("the caller looked");
        let gone = allocation.relayed.remove(&family);
        let is_other = |v6: bool| v6 != (family == Family::V6);
        allocation
            .permissions
            .retain(|peer, _| is_other(peer.is_ipv6()));
        allocation
            .channels
            .retain(|_, (peer, ..)| is_other(peer.is_ipv6()));
        let is_over = allocation.relayed.is_empty();
        if let Some(relayed) = gone {
            self.rest(family, relayed.port);
        }
        if is_over {
            let over = self.allocations.remove(&client);
            self.turn_over(over.expect("just seen").credential.id);
            self.counts.ended[reason as usize] += 1;
        }
    }

    /// Counts an allocation that ended, or never began, while its ports rest.
    pub(super) fn turn_over(&mut self, id: &'static str) {
        let rest = millis(self.setup.options.lifetimes.quarantine);
        self.recent.push((id, self.now + rest));
    }

    /// Ends an allocation.
    pub(in super::super) fn end(&mut self, client: usize, reason: EndReason) {
        for family in [Family::V4, Family::V6] {
            let found = self.allocations.get(&client);
            if found.is_some_and(|allocation| allocation.relayed.contains_key(&family)) {
                self.drop_family(client, family, reason);
            }
        }
    }

    /// Seconds on the wall clock.
    pub(in super::super) fn unix(&self) -> u64 {
        EPOCH + self.now / 1000 - BEGINNING / 1000
    }

    /// Whether a nonce that was issued at a moment is good.
    pub(in super::super) fn nonce_is_valid(&self, issued: Option<u64>) -> bool {
        issued.is_some_and(|issued| self.now <= issued + NONCE)
    }

    /// When a session that begins at this moment ends.
    pub(super) fn session_end(&self, credential: u64) -> u64 {
        let options = &self.setup.options;
        let longest = self.now + millis(options.lifetimes.session_max);
        if options.on_expiry == OnExpiry::Disconnect {
            // The last valid second counts whole.
            longest.min(self.now + credential.saturating_sub(self.unix()) * 1000 + 1000)
        } else {
            longest
        }
    }

    /// What a request for a lifetime gets: the seconds that are told, and the moment of expiry.
    pub(super) fn grant(&self, asked: Option<u32>, ends: u64) -> (u32, u64) {
        let lifetimes = &self.setup.options.lifetimes;
        let (least, most) = (
            lifetimes.allocation_default.as_secs(),
            lifetimes.allocation_max.as_secs(),
        );
        let wanted = u64::from(asked.unwrap_or(0)).max(least).min(most);
        let left = ends.saturating_sub(self.now);
        let seconds = wanted.min(left / 1000).max(1);
        let expires = (self.now + wanted * 1000).min(ends);
        (u32::try_from(seconds).expect("below the maximum"), expires)
    }

    /// When something ends, within the next quarter of an hour.
    pub(in super::super) fn ends(&self, of: Ending) -> Option<u64> {
        let mut ends = match of {
            Ending::Relayed => self.relayed_ends(),
            Ending::Permission => self.permission_ends(),
            Ending::Channel => self.channel_ends(),
            Ending::Any(_) => [
                self.relayed_ends(),
                self.permission_ends(),
                self.channel_ends(),
                self.other_ends(),
            ]
            .concat(),
        };
        ends.retain(|end| (self.now + 1..self.now + 900_000).contains(end));
        ends.sort_unstable();
        ends.dedup();
        match of {
            Ending::Any(nth) => ends.get(nth).or_else(|| ends.last()).copied(),
            Ending::Relayed | Ending::Permission | Ending::Channel => ends.first().copied(),
        }
    }

    fn relayed_ends(&self) -> Vec<u64> {
        let allocations = self.allocations.values();
        let relayed = allocations.flat_map(|allocation| allocation.relayed.values());
        relayed.map(|relayed| relayed.expires).collect()
    }

    fn permission_ends(&self) -> Vec<u64> {
        let allocations = self.allocations.values();
        let permissions = allocations.flat_map(|allocation| allocation.permissions.values());
        permissions.copied().collect()
    }

    fn channel_ends(&self) -> Vec<u64> {
        let allocations = self.allocations.values();
        let channels = allocations.flat_map(|allocation| allocation.channels.values());
        channels.map(|(_, expires, _)| *expires).collect()
    }

    fn other_ends(&self) -> Vec<u64> {
        let sessions = self.allocations.values().map(|allocation| allocation.ends);
        let credentials = self
            .credentials
            .iter()
            .map(|it| self.tick_of(it.expires + 1));
        let nonces = self.nonces.iter().flatten().map(|issued| issued + NONCE);
        let ports = self.ports.values().filter_map(|port| match port {
            PortUse::Live => None,
            PortUse::Reserved { until, .. } | PortUse::Resting { until } => Some(*until),
        });
        sessions
            .chain(credentials)
            .chain(nonces)
            .chain(ports)
            .collect()
    }

    fn why_expired(&self, client: usize) -> EndReason {
        let allocation = &self.allocations[&client];
        if self.now < allocation.ends {
            EndReason::Expired
        } else if self.now - allocation.created >= millis(self.setup.options.lifetimes.session_max)
        {
            EndReason::SessionLimit
        } else {
            EndReason::CredentialExpired
        }
    }

    fn tick_of(&self, unix: u64) -> u64 {
        (unix.saturating_sub(EPOCH)) * 1000 + BEGINNING
    }
}

pub(super) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("no configuration is that long")
}
