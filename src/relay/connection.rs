//! The peer connections of one TCP allocation (RFC 6062), from the attempt to the end.
//!
//! What happens to them stands elsewhere: `connect` opens them, `peer_connection` takes in those that peers open and
//! closes them all, `connection_bind` gives them to a client's data connection.

use std::net::SocketAddr;
use std::time::Duration;

use super::ConnectionToken;
use super::response::{Asked, Refusal, Response, Success};
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::{ConnectionId, Family, HmacKey, TransactionId};

/// How long an attempt may take: RFC 6062 section 5.2 wants 30 seconds at least.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an open connection waits for its ConnectionBind (RFC 6062 sections 5.2 and 5.3).
pub(super) const BIND_TIMEOUT: Duration = Duration::from_secs(30);

/// A TCP connection between a relayed address and a peer, or the attempt at one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) token: ConnectionToken,
    /// As advertised.
    pub(super) peer: Masked<SocketAddr>,
    pub(super) stage: Stage,
}

/// How far a peer connection has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// The shell is connecting, and a client waits for the outcome. Boxed: a key is large, and the stage does not last.
    Connecting(Box<Connect>),
    /// Open, and waits for the client's data connection.
    Pending {
        /// The Connect request that opened it, to tell its retransmission; none where the peer did.
        request: Option<TransactionId>,
        until: Tick,
    },
    /// Joined with the client's data connection.
    Bound,
}

/// A Connect request that is still to be answered.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) asked: Asked,
    /// Protects the answer.
    pub(super) key: HmacKey,
    pub(super) until: Tick,
}

impl Connect {
    /// The answer, once the outcome is known.
    pub(super) fn answered(self, outcome: Result<Success, Refusal>) -> Response {
        Response {
            asked: self.asked,
            outcome,
            key: Some(self.key),
        }
    }
}

impl Stage {
    pub(super) const fn is_pending(&self) -> bool {
        matches!(self, Self::Pending { .. })
    }
}

impl Connection {
    /// When it is closed unless it gets further.
    pub(super) fn deadline(&self) -> Option<Tick> {
        match &self.stage {
            Stage::Connecting(connect) => Some(connect.until),
            Stage::Pending { until, .. } => Some(*until),
            Stage::Bound => None,
        }
    }

    /// The family of both its ends.
    pub(super) fn family(&self) -> Family {
        Family::of(self.peer.reveal().ip())
    }

    /// Whether the Connect request `id` made it.
    pub(super) fn is_asked_by(&self, id: TransactionId) -> bool {
        match &self.stage {
            Stage::Connecting(connect) => connect.asked.id == id,
            Stage::Pending { request, .. } => *request == Some(id),
            Stage::Bound => false,
        }
    }
}

/// The peer connections of an allocation, in no order. At most `limits.peer_connections`, so that every look-up, which is
/// O(n), is a short one.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: Vec<Connection>,
    /// Those that peers opened in the second that is named first.
    announced: (u64, usize),
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.all.iter()
    }

    pub(super) fn push(&mut self, connection: Connection) {
        self.all.push(connection);
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.all
            .iter_mut()
            .find(|connection| connection.token.id == id)
    }

    /// Counts a connection that a peer opens against `limit` per second; whether the client may be told of it. A peer that
    /// comes and goes would fill the control connection otherwise.
    pub(super) fn admit(&mut self, now: Tick, limit: usize) -> bool {
        if self.announced.0 != now.as_secs() {
            self.announced = (now.as_secs(), 0);
        }
        self.announced.1 = self.announced.1.saturating_add(1);
        self.announced.1 <= limit
    }

    /// The connection with a peer.
    pub(super) fn with(&self, peer: SocketAddr) -> Option<&Connection> {
        self.iter()
            .find(|connection| connection.peer.reveal() == peer)
    }

    /// When the first of them has to be looked at.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.iter().filter_map(Connection::deadline).min()
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let at = self
            .iter()
            .position(|connection| connection.token.id == id)?;
        Some(self.all.swap_remove(at))
    }

    /// Takes out those that are over. Allocates only where there are any.
    pub(super) fn take(&mut self, is_over: impl Fn(&Connection) -> bool) -> Vec<Connection> {
        self.all
            .extract_if(.., |connection| is_over(connection))
            .collect()
    }
}
