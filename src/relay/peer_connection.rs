//! Peer connections as they come, carry bytes and go (RFC 6062 sections 5.3 and 5.5).

use std::net::SocketAddr;

use super::connection::{BIND_TIMEOUT, Connection, Stage};
use super::connection_ids::Place;
use super::deliver::random_id;
use super::request::PeerTransport;
use super::response::Refusal;
use super::table::{AllocationId, token_family};
use super::{
    ConnectionToken, Direction, DropReason, FiveTuple, Flow, Host, MIN_BUFFER, Relay, RelayToken,
};
use crate::masked::Masked;
use crate::time::{Now, Tick};
use crate::wire::{BufferFull, Class, ConnectionId, Method, TransactionId, Writer, XorPeerAddress};

impl Relay {
    /// Takes a connection that a peer opened to the relayed address listening under `token`, and tells the client of it
    /// (ConnectionAttempt). The shell keeps it under the token returned and reads nothing from it until it is bound.
    ///
    /// # Errors
    ///
    /// Why the shell has to close it at once: without a permission, RFC 6062 section 5.3 wants just that.
    pub fn on_peer_connection(
        &mut self,
        now: Now,
        token: RelayToken,
        from: SocketAddr,
        host: &mut impl Host,
    ) -> Result<ConnectionToken, DropReason> {
        self.admit(now.tick, token, from, host)
            .inspect_err(|reason| self.counters.drops[*reason as usize].add(1))
    }

    fn admit(
        &mut self,
        now: Tick,
        relay: RelayToken,
        from: SocketAddr,
        host: &mut impl Host,
    ) -> Result<ConnectionToken, DropReason> {
        let shared = &*self.shared;
        let peer = shared.policy.to_advertised(from);
        let allocation = self.table.of_token(relay).ok_or(DropReason::NoAllocation)?;
        let directory = shared.directory_of(PeerTransport::Tcp);
        let ruling = allocation
            .grants
            .rule(token_family(relay), peer, now, directory);
        ruling.outcome?;
        let limit = shared.options.limits.peer_connections;
        if allocation.connections.len() >= limit || !allocation.connections.admit(now, limit) {
            return Err(DropReason::TooManyConnections);
        }
        let place = Place {
            worker: self.worker,
            relay,
        };
        let token = shared
            .connection_ids
            .enter(place, &mut self.rng)
            .ok_or(DropReason::TooManyConnections)?;
        allocation.connections.push(Connection {
            token,
            peer: Masked::new(peer),
            stage: Stage::Pending {
                request: None,
                until: now.after(BIND_TIMEOUT),
            },
        });
        let client = allocation.client;
        let transaction = TransactionId(random_id(&mut self.ids));
        let mut buf = [0; MIN_BUFFER];
        if let Ok(end) = write_attempt(&mut buf, transaction, token.id, peer) {
            host.tell(&client, &buf[..end]);
        }
        self.schedule(AllocationId::of(relay));
        Ok(token)
    }

    /// Takes note that a peer connection is over: the peer closed it, or the client's data connection closed. The shell
    /// has closed both by then, or will when what they still hold has left.
    pub fn on_connection_closed(&mut self, now: Now, token: ConnectionToken, host: &mut impl Host) {
        let Some(allocation) = self.table.get_mut(AllocationId::of(token.relay)) else {
            return;
        };
        let client = allocation.client;
        if let Some(connection) = allocation.connections.remove(token.id) {
            self.forget(now, &client, connection, host);
        }
    }

    /// Asks whether `bytes` of application data, at most [`MAX_CHUNK`](super::MAX_CHUNK), may be moved from one side of
    /// a bound connection to the other, and counts them where they may. To be asked once for each chunk before it is
    /// passed on, so that what is held back fills the kernel's buffers and slows the sender down.
    pub fn on_spliced(
        &mut self,
        now: Tick,
        token: ConnectionToken,
        direction: Direction,
        bytes: usize,
    ) -> Flow {
        let Some(allocation) = self.table.of_token(token.relay) else {
            return Flow::Closed;
        };
        let connection = allocation.connections.get_mut(token.id);
        let bound = connection.filter(|connection| matches!(connection.stage, Stage::Bound));
        let peer = bound.map(|connection| connection.peer.reveal());
        let relayed = peer.and_then(|peer| allocation.grants.relayed_for(peer.ip(), now));
        if relayed.is_none() {
            return Flow::Closed;
        }
        match direction {
            Direction::ToPeer => {
                if let Some(rate) = &mut allocation.to_peers
                    && !rate.admit(now, bytes)
                {
                    return Flow::Wait(rate.ready(bytes));
                }
                allocation.sent += bytes as u64;
                self.counters.to_peers.count(bytes);
            }
            Direction::ToClient => {
                if !allocation.inlet.admit(now, bytes) {
                    return Flow::Wait(allocation.inlet.ready(bytes));
                }
                allocation.inlet.count(bytes);
                self.counters.to_clients.count(bytes);
            }
        }
        Flow::Forward
    }

    /// Closes the connections of an allocation that have not got far enough by `now`, and those whose relayed address
    /// is gone.
    pub(super) fn close_overdue(&mut self, now: Now, id: AllocationId, host: &mut impl Host) {
        let Some(allocation) = self.table.get_mut(id) else {
            return;
        };
        let (client, relayed) = (allocation.client, allocation.grants.relayed);
        let over = allocation.connections.take(|connection| {
            let overdue = connection
                .deadline()
                .is_some_and(|deadline| deadline <= now.tick);
            overdue || relayed.of(connection.family()).is_none()
        });
        for connection in over {
            self.close_connection(now, &client, connection, host);
        }
    }

    /// Closes a connection that was taken out of its allocation.
    pub(super) fn close_connection(
        &self,
        now: Now,
        client: &FiveTuple,
        connection: Connection,
        host: &mut impl Host,
    ) {
        host.close_connection(connection.token);
        self.forget(now, client, connection, host);
    }

    /// Gives up a connection's id, and answers the client that still waits for it.
    fn forget(&self, now: Now, client: &FiveTuple, connection: Connection, host: &mut impl Host) {
        self.shared.connection_ids.leave(connection.token.id);
        if let Stage::Connecting(connect) = connection.stage {
            let response = connect.answered(Err(Refusal::ConnectionFailed));
            self.answer(now, client, &response, host);
        }
    }
}

/// Writes a ConnectionAttempt indication (RFC 6062 section 5.3).
fn write_attempt(
    buf: &mut [u8],
    transaction: TransactionId,
    id: ConnectionId,
    peer: SocketAddr,
) -> Result<usize, BufferFull> {
    let mut writer = Writer::new(
        buf,
        Class::Indication,
        Method::CONNECTION_ATTEMPT,
        transaction,
    )?;
    writer.put(&id)?;
    writer.put(&XorPeerAddress(peer))?;
    Ok(writer.finish())
}
