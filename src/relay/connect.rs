//! Connect (RFC 6062 section 5.2): opens a TCP connection to a peer. The one request that is answered later, when its
//! connection is open or has failed.

use super::connection::{BIND_TIMEOUT, CONNECT_TIMEOUT, Connect, Connection, Stage};
use super::connection_ids::Place;
use super::request::{PeerTransport, Request, connect_peer};
use super::response::{Asked, Refusal, Response, Success};
use super::table::AllocationId;
use super::{ConnectFailed, ConnectionToken, Event, FiveTuple, Host, MIN_BUFFER, Relay};
use crate::masked::Masked;
use crate::time::Now;
use crate::wire::Family;

impl Relay {
    /// Starts to connect to a peer. Nothing is answered yet where that succeeds.
    ///
    /// No permission is asked for: RFC 6062 has them govern the connections that peers open. The peer policy is.
    pub(super) fn on_connect(
        &mut self,
        id: AllocationId,
        request: &Request<'_, '_>,
        host: &mut impl Host,
    ) -> Result<Option<Success>, Refusal> {
        let now = request.now.tick;
        let peer = connect_peer(request.message)?;
        let shared = &*self.shared;
        let allocation = self.table.get_mut(id).ok_or(Refusal::AllocationMismatch)?;
        if allocation.transport != PeerTransport::Tcp {
            return Err(Refusal::BadRequest);
        }
        if let Some(known) = allocation.connections.with(peer) {
            if !known.is_asked_by(request.message.transaction_id()) {
                return Err(Refusal::ConnectionExists);
            }
            let open = known.stage.is_pending();
            return Ok(open.then_some(Success::Connect(known.token.id)));
        }
        let relayed = *allocation
            .grants
            .relayed_for(peer.ip(), now)
            .ok_or(Refusal::PeerAddressFamilyMismatch)?;
        let owner = &allocation.owner;
        // A port that connects to itself meets itself.
        let judged = shared
            .judge_connection(owner, peer)
            .filter(|_| peer != relayed.address);
        judged.ok_or_else(|| {
            host.report(Event::PeerRefused {
                user: owner.user,
                peer: Masked::new(peer.ip()),
            });
            Refusal::Forbidden
        })?;
        if allocation.connections.len() >= shared.options.limits.peer_connections {
            return Err(Refusal::InsufficientCapacity);
        }
        // Of the codes there are, 486 alone speaks of what a user has used up: 447 would say something of the peer.
        if !shared.attempts.admit(now, owner.user) {
            return Err(Refusal::QuotaReached);
        }
        let place = Place {
            worker: self.worker,
            relay: id.token(Family::of(peer.ip())),
        };
        let token = shared
            .connection_ids
            .enter(place, &mut self.rng)
            .ok_or(Refusal::InsufficientCapacity)?;
        if let Err(ConnectFailed) = host.connect(token, relayed.socket, shared.policy.to_bind(peer))
        {
            shared.connection_ids.leave(token.id);
            return Err(Refusal::ConnectionFailed);
        }
        allocation.connections.push(Connection {
            token,
            peer: Masked::new(peer),
            stage: Stage::Connecting(Box::new(Connect {
                asked: Asked::of(request.message),
                key: request.who.response_key.clone(),
                until: now.after(CONNECT_TIMEOUT),
            })),
        });
        self.schedule(id);
        Ok(None)
    }

    /// Takes the outcome of [`Host::connect`] and answers the client. The shell reads nothing from an open connection
    /// until it is bound. An outcome that comes after [`Host::close_connection`] is ignored.
    pub fn on_connect_result(
        &mut self,
        now: Now,
        token: ConnectionToken,
        result: Result<(), ConnectFailed>,
        host: &mut impl Host,
    ) {
        // The shell may not have come round to the timers: an attempt must not succeed after its time.
        self.handle_timeout(now, host);
        let id = AllocationId::of(token.relay);
        let Some(allocation) = self.table.get_mut(id) else {
            return;
        };
        let client = allocation.client;
        let Some(connection) = allocation.connections.get_mut(token.id) else {
            return;
        };
        let Stage::Connecting(connect) = &connection.stage else {
            return;
        };
        if result.is_err() {
            self.on_connection_closed(now, token, host);
            return;
        }
        let pending = Stage::Pending {
            request: Some(connect.asked.id),
            until: now.tick.after(BIND_TIMEOUT),
        };
        if let Stage::Connecting(connect) = std::mem::replace(&mut connection.stage, pending) {
            let response = connect.answered(Ok(Success::Connect(token.id)));
            self.answer(now, &client, &response, host);
        }
    }

    /// Answers a Connect request.
    pub(super) fn answer(
        &self,
        now: Now,
        client: &FiveTuple,
        response: &Response,
        host: &mut impl Host,
    ) {
        let mut buf = [0; MIN_BUFFER];
        if let Some(span) = self.write(now, client, response, &mut buf) {
            host.tell(client, &buf[span.range()]);
        }
    }
}
