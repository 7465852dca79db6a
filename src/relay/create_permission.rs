//! CreatePermission (RFC 8656 section 10): leave to exchange data with peers, all of those named or none.

use std::net::SocketAddr;

use super::allocation::Allocation;
use super::grants::Permission;
use super::policy::PeerClass;
use super::request::permission_peers;
use super::response::{Refusal, Success};
use super::shared::Shared;
use super::small_map::SmallMap;
use super::table::AllocationId;
use super::{Event, Host, Relay};
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::Message;

impl Relay {
    /// Installs or refreshes a permission for each peer address that the request names.
    pub(super) fn on_create_permission(
        &mut self,
        now: Tick,
        id: AllocationId,
        message: &Message<'_>,
        host: &mut impl Host,
    ) -> Result<Success, Refusal> {
        let shared = &*self.shared;
        let limit = shared.options.limits.permissions;
        let allocation = self.table.get_mut(id).ok_or(Refusal::AllocationMismatch)?;
        allocation.prune(now);
        // Everything is judged before anything is installed, so that a refusal leaves nothing behind.
        let mut wanted = SmallMap::default();
        for peer in permission_peers(message) {
            let peer = peer?;
            wanted.insert(peer.ip(), classify(allocation, peer, now, shared, host)?);
            if wanted.len() > limit {
                return Err(Refusal::InsufficientCapacity);
            }
        }
        if wanted.len() == 0 {
            return Err(Refusal::BadRequest);
        }
        let held = &allocation.grants.permissions;
        let new = wanted
            .iter()
            .filter(|(peer, _)| !held.contains(peer))
            .count();
        if held.len() + new > limit {
            return Err(Refusal::InsufficientCapacity);
        }
        let expires = now.after(shared.options.lifetimes.permission);
        allocation.change(|grants| {
            for (peer, class) in wanted.iter() {
                let class = *class;
                grants.permit(*peer, Permission { expires, class });
            }
        });
        self.counters.permissions.add(wanted.len() as u64);
        Ok(Success::CreatePermission)
    }
}

/// What kind of peer this is, where the allocation may have a permission for it.
fn classify(
    allocation: &Allocation,
    peer: SocketAddr,
    now: Tick,
    shared: &Shared,
    host: &mut impl Host,
) -> Result<PeerClass, Refusal> {
    if allocation.grants.relayed_for(peer.ip(), now).is_none() {
        return Err(Refusal::PeerAddressFamilyMismatch);
    }
    shared
        .policy
        .judge_ip(allocation.owner.scope, peer.ip())
        .map_err(|_| {
            host.report(Event::PeerRefused {
                user: allocation.owner.user,
                peer: Masked::new(peer.ip()),
            });
            Refusal::Forbidden
        })
}
