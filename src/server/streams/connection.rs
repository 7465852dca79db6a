//! One client's connection, and the table that all of a worker's are kept in.

use std::net::SocketAddr;

use super::admission::Ticket;
use super::backlog::Backlog;
use super::pipe::{Origin, Pipe, Received};
use super::{CloseReason, Speaks};
use crate::masked::Masked;
use crate::relay::{FiveTuple, Link, Transport};
use crate::time::Tick;

/// Where the numbers of connections begin among the numbers of links: those of UDP listeners are below.
const FIRST_LINK: u32 = 1 << 16;

/// A connection. Costs what its pipe costs, what waits in it (nothing in one that is idle), and two hundred bytes.
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) pipe: Pipe,
    /// Who the core takes its messages from. The transport is settled with the first byte.
    pub(super) client: FiveTuple,
    /// What has arrived of a frame that is not complete.
    pub(super) partial: Box<[u8]>,
    /// What waits to be sent, where something does.
    pub(super) backlog: Option<Box<Backlog>>,
    /// When a message came last; `None` before the first.
    pub(super) heard: Option<Tick>,
    /// Whether it is in the list of those to flush.
    pub(super) is_dirty: bool,
    /// Whether the socket takes no more, and the poller is to tell when it does.
    pub(super) is_blocked: bool,
    /// Why it is about to be closed. Nothing is received any more, and nothing queued.
    pub(super) ends: Option<CloseReason>,
    /// Its place among all connections.
    pub(super) ticket: Ticket,
}

impl Connection {
    /// The connection of a client at `peer` who reached us at `local`.
    pub(super) fn new(
        id: ConnectionId,
        (peer, local): (SocketAddr, SocketAddr),
        pipe: Pipe,
        ticket: Ticket,
    ) -> Self {
        let link = Link {
            id: FIRST_LINK + id.slot,
            transport: Transport::Tcp,
        };
        Self {
            id,
            pipe,
            client: FiveTuple {
                client: Masked::new(peer),
                server: local.ip(),
                link,
            },
            partial: Box::default(),
            backlog: None,
            heard: None,
            is_dirty: false,
            is_blocked: false,
            ends: None,
            ticket,
        }
    }

    /// Takes note of who the client is and what it speaks, as soon as that is known.
    pub(super) fn settle(&mut self, received: Received) -> Result<Received, CloseReason> {
        if self.pipe.speaks() == Speaks::Tls {
            self.client.link.transport = Transport::Tls;
        }
        let Some(origin) = received.origin else {
            return Ok(received);
        };
        if let Origin::Client(client, server) = origin {
            self.client.client = client;
            self.client.server = server;
        }
        // What an upstream opens for itself is bounded as well: it counts for the prefix of its own address.
        self.ticket.count_for(self.client.client.reveal().ip())?;
        Ok(received)
    }
}

/// A connection's place, and which of its successive tenants is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId {
    /// The number of its place.
    pub(super) slot: u32,
    /// How many connections were opened before it, modulo 2^32.
    pub(super) serial: u32,
}

/// The open connections of a worker. It has as many places as were ever taken at a time.
#[derive(Default)]
pub(super) struct Connections {
    slots: Vec<Option<Box<Connection>>>,
    vacant: Vec<u32>,
    opened: u32,
}

impl Connections {
    /// The id that the next [`Self::insert`] is to have.
    pub(super) fn next_id(&self) -> ConnectionId {
        let new = || u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        ConnectionId {
            slot: self.vacant.last().copied().unwrap_or_else(new),
            serial: self.opened,
        }
    }

    pub(super) fn insert(&mut self, connection: Connection) {
        debug_assert_eq!(connection.id, self.next_id(), "a place of its own");
        let slot = connection.id.slot as usize;
        if self.vacant.pop().is_none() {
            self.slots.push(None);
        }
        self.opened = self.opened.wrapping_add(1);
        self.slots[slot] = Some(Box::new(connection));
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Box<Connection>> {
        let connection = self.slots.get_mut(slot as usize)?.take()?;
        self.vacant.push(slot);
        Some(connection)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Connection> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    /// The connection that a client is reached by.
    pub(super) fn of_client(&mut self, client: &FiveTuple) -> Option<&mut Connection> {
        self.get_mut(client.link.id.checked_sub(FIRST_LINK)?)
            .filter(|connection| connection.client == *client)
    }

    pub(super) fn is_open(&self, id: ConnectionId) -> bool {
        let slot = self.slots.get(id.slot as usize).and_then(Option::as_ref);
        slot.is_some_and(|connection| connection.id == id)
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// The places that may be taken.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> + use<> {
        (0..).take(self.slots.len())
    }
}
