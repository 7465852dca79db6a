//! Refresh (RFC 8656 section 8): extends an allocation, or deletes it.

use super::expiry::release_expired;
use super::lifetime::{granted_lifetime, seconds};
use super::request::RefreshRequest;
use super::response::{Refusal, Success};
use super::table::AllocationId;
use super::{EndReason, Host, OnExpiry, Relay};
use crate::time::Now;
use crate::wire::{Family, Message};

impl Relay {
    /// Extends or deletes one relayed address or all of an allocation. Permissions and channels keep their own times.
    pub(super) fn on_refresh(
        &mut self,
        now: Now,
        id: AllocationId,
        message: &Message<'_>,
        host: &mut impl Host,
    ) -> Result<Success, Refusal> {
        let request = RefreshRequest::parse(message)?;
        let options = &self.shared.options;
        let allocation = self.table.get_mut(id).ok_or(Refusal::AllocationMismatch)?;
        if request
            .family
            .is_some_and(|family| allocation.grants.relayed.of(family).is_none())
        {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        if request.lifetime == Some(0) {
            self.delete(now, id, request.family, host);
            return Ok(Success::Refresh(0));
        }
        let expired = allocation
            .owner
            .expires
            .is_some_and(|expires| expires < now.unix);
        if expired && options.on_expiry != OnExpiry::Keep {
            return Err(Refusal::Unauthorized);
        }
        let lifetime = granted_lifetime(
            now.tick,
            request.lifetime,
            allocation.ends,
            &options.lifetimes,
        );
        allocation.change(|grants| {
            for relayed in grants.relayed.iter_mut() {
                if request
                    .family
                    .is_none_or(|family| family == Family::of(relayed.address.ip()))
                {
                    relayed.expires = now.tick.after(lifetime);
                }
            }
        });
        self.schedule(id);
        Ok(Success::Refresh(seconds(lifetime)))
    }

    /// Deletes one family's relayed address, or the allocation.
    fn delete(&mut self, now: Now, id: AllocationId, family: Option<Family>, host: &mut impl Host) {
        if let (Some(family), Some(allocation)) = (family, self.table.get_mut(id)) {
            allocation.change(|grants| {
                if let Some(relayed) = grants.relayed.slot(family) {
                    relayed.expires = now.tick;
                }
            });
            release_expired(allocation, now.tick, &self.shared, host);
            let remains = !allocation.grants.relayed.is_empty();
            self.close_overdue(now, id, host);
            if remains {
                return;
            }
        }
        self.end(now, id, EndReason::Deleted, host);
    }
}
