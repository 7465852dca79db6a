//! ChannelBind (RFC 8656 section 12.2): a channel number for a peer, and the permission that goes with it.

use super::grants::{Channel, Permission};
use super::policy::PeerClass;
use super::request::{ChannelBindRequest, PeerTransport};
use super::response::{Refusal, Success};
use super::table::AllocationId;
use super::{Event, Host, Relay};
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::Message;

impl Relay {
    /// Binds or refreshes a channel. A refused request leaves the old binding as it was.
    pub(super) fn on_channel_bind(
        &mut self,
        now: Tick,
        id: AllocationId,
        message: &Message<'_>,
        host: &mut impl Host,
    ) -> Result<Success, Refusal> {
        let ChannelBindRequest { number, peer } = ChannelBindRequest::parse(message)?;
        let address = peer.reveal();
        let shared = &*self.shared;
        let limits = &shared.options.limits;
        if number.is_reserved() && !shared.options.legacy_clients {
            return Err(Refusal::BadRequest);
        }
        let allocation = self.table.get_mut(id).ok_or(Refusal::AllocationMismatch)?;
        // RFC 6062 section 3: a TCP relay has neither channels nor indications.
        if allocation.transport == PeerTransport::Tcp {
            return Err(Refusal::BadRequest);
        }
        allocation.prune(now);
        let grants = &*allocation.grants;
        let bound = grants.channel(number, now);
        if bound.is_some_and(|channel| channel.peer != peer)
            || bound.is_none() && grants.numbers.contains(&address)
        {
            return Err(Refusal::BadRequest);
        }
        if grants.relayed_for(address.ip(), now).is_none() {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        let owner = &allocation.owner;
        // A channel does not pass to the next allocation on its peer's port.
        let tenant = shared.directory.tenant(address);
        let same_tenant = bound.is_none_or(|channel| channel.tenant == tenant);
        let class = shared
            .judge(owner, address)
            .filter(|class| same_tenant && tenant.is_some() == (*class == PeerClass::Relayed));
        let class = class.ok_or_else(|| {
            host.report(Event::PeerRefused {
                user: owner.user,
                peer: Masked::new(address.ip()),
            });
            Refusal::Forbidden
        })?;
        let new_permission = !grants.permissions.contains(&address.ip());
        if bound.is_none() && grants.channels.len() >= limits.channels
            || new_permission && grants.permissions.len() >= limits.permissions
        {
            return Err(Refusal::InsufficientCapacity);
        }
        let lifetimes = &shared.options.lifetimes;
        let permission = Permission {
            expires: now.after(lifetimes.permission),
            class,
        };
        let channel = Channel {
            peer,
            tenant,
            expires: now.after(lifetimes.channel),
        };
        allocation.change(|grants| {
            grants.permit(address.ip(), permission);
            grants.bind(number, channel);
        });
        self.counters.channels.add(1);
        self.counters.permissions.add(1);
        Ok(Success::ChannelBind)
    }
}
