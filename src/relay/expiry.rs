//! How allocations end: by their lifetime, by deletion, with their client's stream, or with the daemon.

use super::allocation::Allocation;
use super::shared::Shared;
use super::table::AllocationId;
use super::{EndReason, Event, FAMILIES, FiveTuple, Host, Relay};
use crate::time::{Now, Tick};

/// Stale timers that are always put up with; beyond, they may not outnumber the allocations.
pub(super) const STALE_TIMERS: usize = 64;

impl Relay {
    /// When [`Self::handle_timeout`] wants to be called next; ask again after every call that takes `now`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        self.timers.next()
    }

    /// Ends what has expired by `now`.
    pub fn handle_timeout(&mut self, now: Now, host: &mut impl Host) {
        while let Some((deadline, id)) = self.timers.pop_due(now.tick) {
            if let Some(allocation) = self
                .table
                .get_mut(id)
                .filter(|found| found.scheduled == Some(deadline))
            {
                allocation.scheduled = None;
                release_expired(allocation, now.tick, &self.shared, host);
                self.close_overdue(now, id, host);
                let Some(allocation) = self.table.get(id) else {
                    continue;
                };
                if allocation.grants.relayed.is_empty() {
                    let reason = why_expired(allocation, now, &self.shared);
                    self.end(now, id, reason, host);
                } else {
                    debug_assert!(
                        allocation.deadline() > Some(now.tick),
                        "what has expired is released"
                    );
                    self.schedule(id);
                }
            }
        }
    }

    /// Ends the allocation of a client whose stream closed.
    pub fn on_disconnect(&mut self, now: Now, client: &FiveTuple, host: &mut impl Host) {
        if let Some(id) = self.table.id_of(client) {
            self.end(now, id, EndReason::Disconnected, host);
        }
    }

    /// Ends every allocation: the daemon stops.
    pub fn shut_down(&mut self, now: Now, host: &mut impl Host) {
        for id in self.table.ids() {
            self.end(now, id, EndReason::Shutdown, host);
        }
    }

    /// Makes sure that an allocation is looked at when its first relayed address expires.
    pub(super) fn schedule(&mut self, id: AllocationId) {
        let Some(allocation) = self.table.get_mut(id) else {
            return;
        };
        let Some(deadline) = allocation.deadline() else {
            return;
        };
        if allocation
            .scheduled
            .is_some_and(|scheduled| scheduled <= deadline)
        {
            return;
        }
        allocation.scheduled = Some(deadline);
        self.timers.push(deadline, id);
        self.forget_stale_timers();
    }

    /// Ends an allocation: its connections and sockets close, its ports rest, its quota is free again.
    pub(super) fn end(
        &mut self,
        now: Now,
        id: AllocationId,
        reason: EndReason,
        host: &mut impl Host,
    ) {
        let Some(mut allocation) = self.table.remove(id) else {
            return;
        };
        // Before a port is given back: nothing may reach this client that is meant for the port's next owner.
        allocation.inlet.close();
        for connection in allocation.connections.take(|_| true) {
            self.close_connection(now, &allocation.client, connection, host);
        }
        for relayed in allocation.grants.relayed.iter() {
            self.shared
                .release(now.tick, allocation.transport, relayed.address);
            host.close(relayed.socket);
        }
        self.forget_stale_timers();
        self.shared.quotas.release(allocation.owner.user);
        self.shared.turnover.ended(now.tick, allocation.owner.user);
        self.counters.allocations.sub(1);
        self.counters.ended[reason as usize].add(1);
        host.report(Event::Ended {
            client: &allocation.client,
            user: allocation.owner.user,
            reason,
            lifetime: now.tick.since(allocation.created),
            bytes: allocation.bytes(),
        });
    }

    /// Sweeps the timers where most of them are stale, which costs as much as was put in since the last time.
    fn forget_stale_timers(&mut self) {
        if self.timers.len() <= 2 * self.table.len() + STALE_TIMERS {
            return;
        }
        let table = &self.table;
        self.timers.retain(|at, id| {
            table
                .get(id)
                .is_some_and(|found| found.scheduled == Some(at))
        });
    }
}

/// Closes the relayed addresses of an allocation that have expired by `now`, with what belongs to their family.
pub(super) fn release_expired(
    allocation: &mut Allocation,
    now: Tick,
    shared: &Shared,
    host: &mut impl Host,
) {
    for family in FAMILIES {
        let relayed = allocation.grants.relayed.of(family).copied();
        if let Some(relayed) = relayed.filter(|relayed| relayed.expires <= now) {
            allocation.change(|grants| grants.revoke(family));
            shared.release(now, allocation.transport, relayed.address);
            host.close(relayed.socket);
        }
    }
}

fn why_expired(allocation: &Allocation, now: Now, shared: &Shared) -> EndReason {
    if now.tick < allocation.ends {
        EndReason::Expired
    } else if now.tick.since(allocation.created) >= shared.options.lifetimes.session_max {
        EndReason::SessionLimit
    } else {
        EndReason::CredentialExpired
    }
}
