//! Allocate (RFC 8656 section 7): gives a client a relayed address, or one of each family.

use std::net::SocketAddr;
use std::sync::Arc;

use super::allocation::{Allocation, Owner, PerFamily};
use super::connection::Connections;
use super::grants::{Grants, Relayed};
use super::inlet::Inlet;
use super::lifetime::{granted_lifetime, session_end};
use super::rate::RateLimiter;
use super::request::{Addresses, AllocateRequest, Parity, PeerTransport, Port, Request};
use super::response::{Granted, Refusal, Success};
use super::route::Routes;
use super::shared::Shared;
use super::small_map::SmallMap;
use super::table::AllocationId;
use super::tags::CallTag;
use super::{ByteRate, Event, FAMILIES, Host, OpenError, Relay, SocketId, UserTag};
use crate::auth::Authenticated;
use crate::time::Tick;
use crate::wire::{Family, ReservationToken};

/// Ports that are tried where other programs on this machine hold the first ones drawn.
const PORT_ATTEMPTS: usize = 16;

/// A relay socket that was opened for an allocation to be.
#[derive(Clone, Copy)]
struct Opened {
    address: SocketAddr,
    socket: SocketId,
}

/// The relayed addresses of an allocation to be.
#[derive(Default)]
struct Relays {
    opened: PerFamily<Opened>,
    token: Option<ReservationToken>,
    failed: Option<(Family, u16)>,
}

impl Relays {
    fn one(opened: Opened) -> Self {
        let mut relays = Self::default();
        *relays.opened.slot(Family::of(opened.address.ip())) = Some(opened);
        relays
    }
}

impl Relay {
    /// Answers an Allocate request on a 5-tuple that has an allocation: a retransmission gets the same answer again,
    /// anything else is refused (RFC 8656 section 7.2, step 2).
    pub(super) fn repeat_allocate(
        &self,
        id: AllocationId,
        request: &Request<'_, '_>,
    ) -> Result<Success, Refusal> {
        let allocation = self.table.get(id).ok_or(Refusal::AllocationMismatch)?;
        let same_request = allocation.request == request.message.transaction_id();
        if same_request && allocation.owner.credential.username() == request.who.username {
            Ok(Success::Allocate(allocation.granted))
        } else {
            Err(Refusal::AllocationMismatch)
        }
    }

    /// Creates an allocation on a free 5-tuple.
    pub(super) fn on_allocate(
        &mut self,
        request: &Request<'_, '_>,
        host: &mut impl Host,
    ) -> Result<Success, Refusal> {
        let options = &self.shared.options;
        let asked = AllocateRequest::parse(request.message, request.from.transport(), options)?;
        if let Addresses::One(family, _) = asked.addresses {
            self.check_family(family)?;
        }
        if self.shared.is_draining() {
            return Err(Refusal::InsufficientCapacity);
        }
        let owner = self.owner(request.who);
        let user = owner.user;
        let limit = options.limits.allocations_per_user;
        let limit = request
            .who
            .claims
            .alloc
            .map_or(limit, |claimed| claimed.get().min(limit));
        if !self.shared.turnover.admits(request.now.tick, user, limit) {
            return Err(Refusal::QuotaReached);
        }
        self.shared.quotas.acquire(user, limit)?;
        let relays = self
            .open(request.now.tick, asked.addresses, user, host)
            .inspect_err(|_| self.shared.quotas.release(user))?;
        let allocation = self.assemble(request, owner, &asked, &relays);
        let granted = allocation.granted;
        host.report(Event::Allocated {
            client: request.from,
            user,
        });
        self.settle(allocation);
        Ok(Success::Allocate(granted))
    }

    /// What an allocation keeps of the credential that makes it.
    fn owner(&self, who: &Authenticated<'_>) -> Owner {
        let Shared {
            options,
            policy,
            tagger,
            ..
        } = &*self.shared;
        Owner {
            credential: Arc::new(who.bind()),
            user: tagger.user(who.identity.as_bytes()),
            call: who
                .claims
                .call
                .map_or(CallTag::NONE, |call| tagger.call(call.as_bytes())),
            scope: policy.narrow(who.claims.peers.unwrap_or(options.peers.scope)),
            expires: who.expires,
        }
    }

    /// Opens the relay sockets of the next allocation.
    fn open(
        &mut self,
        now: Tick,
        wanted: Addresses,
        user: UserTag,
        host: &mut impl Host,
    ) -> Result<Relays, Refusal> {
        match wanted {
            Addresses::One(family, port) => {
                let opened = self.open_drawn(now, family, port, host)?;
                let mut relays = Relays::one(opened);
                if port == Port::Udp(Parity::EvenWithNext) {
                    match self
                        .shared
                        .reserve_next(now, opened.address, user, &mut self.rng)
                    {
                        Some(token) => relays.token = Some(token),
                        None => {
                            self.close(now, opened, host);
                            self.shared.turnover.ended(now, user);
                            return Err(Refusal::InsufficientCapacity);
                        }
                    }
                }
                Ok(relays)
            }
            Addresses::Both(port) => self.open_both(now, port, host),
            Addresses::Reserved(token) => {
                let address = self
                    .shared
                    .redeem(now, token, user)
                    .ok_or(Refusal::InsufficientCapacity)?;
                self.open_at(now, PeerTransport::Udp, address, host)
                    .map(Relays::one)
                    .map_err(|_| Refusal::InsufficientCapacity)
            }
        }
    }

    /// Opens one relayed address of each family; one alone will do (RFC 8656 section 7.2, step 9).
    fn open_both(
        &mut self,
        now: Tick,
        port: Port,
        host: &mut impl Host,
    ) -> Result<Relays, Refusal> {
        let mut relays = Relays::default();
        for family in FAMILIES {
            let opened = self
                .check_family(family)
                .and_then(|()| self.open_drawn(now, family, port, host));
            match opened {
                Ok(opened) => *relays.opened.slot(family) = Some(opened),
                Err(_) if relays.failed.is_some() => return Err(Refusal::InsufficientCapacity),
                Err(refusal) => relays.failed = Some((family, refusal.code())),
            }
        }
        Ok(relays)
    }

    /// Whether relayed addresses of a family are to be had here (RFC 8656 section 7.2, step 7).
    fn check_family(&self, family: Family) -> Result<(), Refusal> {
        if self.shared.serves(family) {
            Ok(())
        } else {
            Err(Refusal::AddressFamilyNotSupported)
        }
    }

    /// Opens a relay socket on a port drawn at random.
    fn open_drawn(
        &mut self,
        now: Tick,
        family: Family,
        port: Port,
        host: &mut impl Host,
    ) -> Result<Opened, Refusal> {
        for _ in 0..PORT_ATTEMPTS {
            let Some(address) = self.shared.draw(now, family, port, &mut self.rng) else {
                break;
            };
            match self.open_at(now, port.transport(), address, host) {
                Ok(opened) => return Ok(opened),
                Err(error) => {
                    if port == Port::Udp(Parity::EvenWithNext) {
                        self.shared.release_next(now, address);
                    }
                    if error == OpenError::Unavailable {
                        break;
                    }
                }
            }
        }
        Err(Refusal::InsufficientCapacity)
    }

    /// Opens the relay socket for a drawn address; the port rests where that fails.
    fn open_at(
        &self,
        now: Tick,
        transport: PeerTransport,
        address: SocketAddr,
        host: &mut impl Host,
    ) -> Result<Opened, OpenError> {
        let token = self.table.next_id().token(Family::of(address.ip()));
        let local = self.shared.policy.to_bind(address);
        let opened = match transport {
            PeerTransport::Udp => host.open(local, token),
            PeerTransport::Tcp => host.listen(local, token),
        };
        match opened {
            Ok(socket) => Ok(Opened { address, socket }),
            Err(error) => {
                self.shared.release(now, transport, address);
                Err(error)
            }
        }
    }

    /// Undoes [`Self::open_at`] on UDP.
    fn close(&self, now: Tick, opened: Opened, host: &mut impl Host) {
        host.close(opened.socket);
        self.shared.release(now, PeerTransport::Udp, opened.address);
    }

    fn assemble(
        &self,
        request: &Request<'_, '_>,
        owner: Owner,
        asked: &AllocateRequest,
        relays: &Relays,
    ) -> Allocation {
        let Request {
            now,
            from,
            message,
            who,
        } = *request;
        let options = &self.shared.options;
        let ends = session_end(now, who.expires, options);
        let lifetime = granted_lifetime(now.tick, asked.lifetime, ends, &options.lifetimes);
        let expires = now.tick.after(lifetime);
        let relayed = relays.opened.map(|Opened { address, socket }| Relayed {
            address,
            socket,
            expires,
        });
        let rate = narrower(
            options.limits.rate,
            who.claims.rate.map(|rate| ByteRate(rate.bytes())),
        );
        let grants = Arc::new(Grants {
            client: *from,
            worker: self.worker,
            scope: owner.scope,
            call: owner.call,
            relayed,
            permissions: SmallMap::default(),
            channels: SmallMap::default(),
            numbers: SmallMap::default(),
        });
        Allocation {
            client: *from,
            transport: asked.transport,
            owner,
            request: message.transaction_id(),
            granted: Granted {
                relayed: [
                    relayed.v4.map(|v4| v4.address),
                    relayed.v6.map(|v6| v6.address),
                ],
                lifetime: super::lifetime::seconds(lifetime),
                token: relays.token,
                failed: relays.failed,
            },
            created: now.tick,
            ends,
            scheduled: None,
            inlet: Arc::new(Inlet::new(rate, Arc::clone(&grants))),
            grants,
            routes: Routes::default(),
            connections: Connections::default(),
            to_peers: rate.map(RateLimiter::new),
            icmp: (0, 0),
            sent: 0,
        }
    }

    /// Moves an allocation into the table and makes its relayed addresses known.
    fn settle(&mut self, allocation: Allocation) {
        let Allocation {
            owner,
            grants,
            inlet,
            transport,
            ..
        } = &allocation;
        let directory = self.shared.directory_of(*transport);
        for relayed in grants.relayed.iter() {
            directory.publish(relayed.address, owner.call);
            directory.lead(relayed.address, inlet);
        }
        let id = self.table.insert(allocation);
        self.schedule(id);
        self.counters.allocations.add(1);
        self.counters.allocated.add(1);
    }
}

/// The lower of two rates, where no rate is no bound.
fn narrower(configured: Option<ByteRate>, claimed: Option<ByteRate>) -> Option<ByteRate> {
    match (configured, claimed) {
        (Some(configured), Some(claimed)) => Some(configured.min(claimed)),
        (configured, claimed) => configured.or(claimed),
    }
}
