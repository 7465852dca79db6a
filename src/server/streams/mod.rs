//! The stream clients of one worker: TCP and TLS connections as state machines over non-blocking sockets. DTLS sessions
//! are theirs as well, as far as a worker can tell: they are bounded, timed and answered together with the connections.
//!
//! [`Streams`] is driven by the worker like the batch is: something is readable, [`Streams::receive`] hands out the
//! frames that are complete, the core gives a verdict on each, [`Streams::answer`] and [`Streams::relay`] queue what it
//! says, [`Streams::flush`] sends it with one call a connection. No task, no channel and no lock stands in between.
//!
//! A connection that is idle holds no buffer: what it receives into and what TLS records are sealed into belong to the
//! worker. One that is not read holds what [`StreamOptions::send_queue`] allows, and delays nobody.

mod acceptors;
mod admission;
mod backlog;
mod connection;
mod counters;
mod deadlines;
mod handover;
mod handshakes;
mod inbound;
mod outbound;
mod peers;
mod pipe;
mod splice;
mod tls;

use std::io;
use std::rc::Rc;
use std::sync::Arc;

pub(super) use self::acceptors::Acceptor;
use self::acceptors::{Acceptors, Outcome};
pub(super) use self::admission::Admission;
#[cfg(feature = "dtls")]
pub(super) use self::admission::Ticket;
use self::backlog::{Backlog, Bounds};
use self::connection::{Connection, ConnectionId, Connections};
pub(super) use self::counters::{CloseReason, Speaks, StreamCounters};
pub(super) use self::deadlines::Deadlines;
pub(super) use self::handover::{Doors, WAITING};
use self::handshakes::Handshakes;
#[cfg(feature = "dtls")]
pub(super) use self::handshakes::SHARE as HANDSHAKES;
use self::inbound::FrameBounds;
pub(super) use self::inbound::Inbound;
use self::peers::Peers;
pub(super) use self::peers::{PeerNews, Ready};
pub(super) use self::pipe::Opening;
use self::pipe::{Buffers, Pipe, READ_MAX};
use self::tls::SEAL_BUFFER;
use super::dtls::{Dtls, Setup};
use super::sockets::Key;
use crate::config::StreamOptions;
use crate::net::{Accepted, HEADROOM, Interest, Poller, UdpSocket};
use crate::relay::FiveTuple;
use crate::time::Tick;

/// Bytes that a client without an allocation is received from in one turn: a hundred requests, so that nobody can
/// keep the worker busy with a heap of them.
const STRANGER_READ: usize = 4 * 1024;

/// What the connections of a worker begin with.
pub(super) struct StreamStart {
    pub(super) options: StreamOptions,
    pub(super) acceptors: Vec<Acceptor>,
    pub(super) admission: Arc<Admission>,
    pub(super) counters: Arc<StreamCounters>,
    pub(super) doors: Doors,
    /// Where a listener speaks DTLS.
    pub(super) dtls: Option<DtlsStart>,
}

/// What the DTLS sessions of a worker begin with.
pub(super) struct DtlsStart {
    pub(super) setup: Setup,
    /// By the number of their link.
    pub(super) listeners: Arc<[UdpSocket]>,
}

/// The connections of one worker.
pub(super) struct Streams {
    options: StreamOptions,
    /// What may wait to be sent on each connection.
    bounds: Bounds,
    acceptors: Acceptors,
    /// Bounds [`Self::connections`], over all workers.
    admission: Arc<Admission>,
    counters: Arc<StreamCounters>,
    poller: Rc<Poller>,
    connections: Connections,
    /// The peers' connections of TCP relays.
    peers: Peers,
    /// The ways to the other workers.
    doors: Doors,
    deadlines: Deadlines<ConnectionId>,
    /// Where a listener speaks DTLS.
    dtls: Option<Dtls>,
    /// Connections with something to send that the socket is not known to refuse.
    dirty: Vec<u32>,
    /// Connections that are about to be closed.
    ending: Vec<u32>,
    /// Who waits to get on with a handshake. The poller does not watch them meanwhile.
    handshakes: Handshakes,
    /// What is received into; with [`Inbound`] while its frames are handed out.
    idle: Option<(Buffers, Box<[u8]>)>,
    /// What TLS records are sealed into.
    scratch: Box<[u8; SEAL_BUFFER]>,
    /// Queues for the next connections that need one.
    #[expect(clippy::vec_box, reason = "what is kept moves without a copy")]
    spare: Vec<Box<Backlog>>,
}

impl Streams {
    /// # Errors
    ///
    /// Where a listener cannot be watched.
    pub(super) fn new(start: StreamStart, poller: Rc<Poller>) -> io::Result<Self> {
        let options = start.options;
        let dtls = start.dtls.as_ref();
        let dtls = dtls.map(|dtls| Dtls::new(dtls, &start, &poller));
        Ok(Self {
            options,
            bounds: Bounds {
                media_bytes: options.send_queue,
                media_age: options.send_queue_age,
            },
            acceptors: Acceptors::new(start.acceptors, Rc::clone(&poller))?,
            admission: start.admission,
            counters: start.counters,
            poller,
            connections: Connections::default(),
            peers: Peers::default(),
            doors: start.doors,
            deadlines: Deadlines::default(),
            dtls: dtls.transpose()?,
            dirty: Vec::new(),
            ending: Vec::new(),
            handshakes: Handshakes::default(),
            idle: Some((Buffers::new(), Inbound::buffer())),
            scratch: Box::new([0; SEAL_BUFFER]),
            spare: Vec::new(),
        })
    }

    /// Takes the connections that wait at a listener.
    pub(super) fn accept(&mut self, now: Tick, listener: u32) {
        for taken in 0.. {
            match self.acceptors.accept(now, listener, taken) {
                Outcome::Accepted(accepted, opening) => {
                    self.counters.accepted.add(1);
                    if let Err(reason) = self.open(now, accepted, opening) {
                        self.counters.closed[reason as usize].add(1);
                    }
                }
                Outcome::Failed => self.counters.accept_errors.add(1),
                Outcome::Done => return,
            }
        }
    }

    /// Counts a connection that could not be taken elsewhere, at a relayed address.
    pub(super) fn count_failed_accept(&self) {
        self.counters.accept_errors.add(1);
    }

    /// Receives once from a connection. `None` where there is nothing to hand out; otherwise [`Self::finish`] is to be
    /// called with it when its frames were handed out. `allocated` says whether a client has an allocation.
    pub(super) fn receive(
        &mut self,
        number: u32,
        allocated: impl Fn(&FiveTuple) -> bool,
    ) -> Option<Inbound> {
        let connection = self.connections.get_mut(number)?;
        if connection.ends.is_some() {
            return None;
        }
        if connection.pipe.may_cost() && !self.handshakes.admit(connection.id) {
            // Until its turn comes it need not be reported. What is in the set can leave it.
            let _ = self.poller.remove(&connection.pipe);
            return None;
        }
        let (mut buffers, alone) = self.idle.take()?;
        let bounds = FrameBounds {
            first: connection.heard.is_none(),
            allocated: allocated(&connection.client),
        };
        let limit = if bounds.allocated {
            READ_MAX
        } else {
            STRANGER_READ
        };
        let kept = connection.partial.len();
        let before = connection.pipe.speaks();
        let received = connection.pipe.receive(&mut buffers, kept, limit);
        let after = connection.pipe.speaks();
        if before != after {
            self.counters.open[before as usize].sub(1);
            self.counters.open[after as usize].add(1);
        }
        let (plain, ends) = match received.and_then(|received| connection.settle(received)) {
            Ok(received) => (received.plain, received.ended.then_some(CloseReason::Left)),
            Err(reason) => (0, Some(reason)),
        };
        let partial = std::mem::take(&mut connection.partial);
        buffers.plain[HEADROOM..HEADROOM + kept].copy_from_slice(&partial);
        let inbound = Inbound {
            id: connection.id,
            from: connection.client,
            buffers,
            alone,
            last: HEADROOM,
            next: HEADROOM,
            end: HEADROOM + kept + plain,
            bounds,
            heard: false,
            ends,
        };
        self.watch(number);
        Some(inbound)
    }

    /// Takes back what [`Self::receive`] gave.
    pub(super) fn finish(&mut self, now: Tick, inbound: Inbound) {
        let number = inbound.id.slot;
        if let Some(connection) = self.connections.get_mut(number) {
            connection.partial = inbound.rest().into();
            if inbound.heard {
                connection.heard = Some(now);
            }
        }
        if let Some(reason) = inbound.ends {
            self.end(number, reason);
        }
        self.idle = Some((inbound.buffers, inbound.alone));
    }

    /// Whether handshakes wait for their turn.
    pub(super) fn has_put_off(&self) -> bool {
        self.handshakes.is_busy()
    }

    /// Closes one of the connections that have ended, and tells whose it was. To be called at the end of a turn, after
    /// [`Self::flush`], until there are none.
    pub(super) fn reap(&mut self) -> Option<FiveTuple> {
        while let Some(number) = self.ending.pop() {
            let Some(mut connection) = self.connections.remove(number) else {
                continue;
            };
            let reason = connection.ends.unwrap_or(CloseReason::Broken);
            self.counters.closed[reason as usize].add(1);
            self.counters.open[connection.pipe.speaks() as usize].sub(1);
            if reason != CloseReason::Broken {
                // The answer to what a client asked before it closed its half still reaches it.
                if let Some(backlog) = &connection.backlog {
                    let _ = connection.pipe.send(&backlog.parts(), &mut self.scratch);
                }
                connection.pipe.close();
            }
            if let Some(backlog) = connection.backlog.take() {
                self.recycle(backlog);
            }
            self.forget_stale();
            return Some(connection.client);
        }
        self.dtls.as_mut().and_then(Dtls::reap)
    }

    /// Says who may get on with a handshake in the next turn. To be called when [`Self::reap`] has nothing left.
    pub(super) fn end_turn(&mut self) {
        self.call_handshakes();
        if let Some(dtls) = &mut self.dtls {
            dtls.end_turn();
        }
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Tick> {
        let due = [
            self.deadlines.next(),
            self.acceptors.poll_timeout(),
            self.next_leave(),
            self.dtls.as_ref().and_then(Dtls::poll_timeout),
        ];
        due.into_iter().flatten().min()
    }

    /// Ends the connections that were silent for too long. `allocated` says whether a client has an allocation, whose
    /// own lifetime counts then.
    pub(super) fn handle_timeout(&mut self, now: Tick, allocated: impl Fn(&FiveTuple) -> bool) {
        self.acceptors.handle_timeout(now);
        while let Some(id) = self.deadlines.pop_due(now) {
            let found = self.connections.get_mut(id.slot);
            let Some(connection) = found.filter(|found| found.id == id) else {
                continue;
            };
            let Some(heard) = connection.heard else {
                self.end(id.slot, CloseReason::Handshake);
                continue;
            };
            let serves = allocated(&connection.client);
            let until = if serves { now } else { heard }.after(self.options.idle_timeout);
            if until > now {
                self.deadlines.push(until, id);
            } else {
                self.end(id.slot, CloseReason::Idle);
            }
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now, allocated);
        }
    }

    /// Ends every connection. [`Self::reap`] closes them.
    pub(super) fn shut_down(&mut self) {
        for number in self.connections.slots() {
            self.end(number, CloseReason::Stopping);
        }
        if let Some(dtls) = &mut self.dtls {
            dtls.shut_down();
        }
    }

    /// The sessions of DTLS, where a listener speaks it.
    pub(super) const fn dtls(&mut self) -> Option<&mut Dtls> {
        self.dtls.as_mut()
    }

    /// Opens a connection that was accepted, where there is room for it. The newest is the one that is refused: those
    /// who are in stay, and nobody can push them out.
    fn open(
        &mut self,
        now: Tick,
        accepted: Accepted,
        opening: Arc<Opening>,
    ) -> Result<(), CloseReason> {
        let Accepted {
            stream,
            peer,
            local,
        } = accepted;
        if !opening.listener.accepts(peer.ip()) {
            return Err(CloseReason::Proxy);
        }
        let mut ticket = self.admission.admit()?;
        if opening.listener.proxy_protocol.is_empty() {
            ticket.count_for(peer.ip())?;
        }
        let id = self.connections.next_id();
        let token = Key::Stream(id.slot).token();
        self.poller
            .add(&stream, token, Interest::READABLE)
            .map_err(|_| CloseReason::Broken)?;
        let pipe = Pipe::new(stream, opening);
        let connection = Connection::new(id, (peer, local), pipe, ticket);
        self.connections.insert(connection);
        self.counters.open[Speaks::Unknown as usize].add(1);
        self.deadlines
            .push(now.after(self.options.handshake_timeout), id);
        Ok(())
    }

    /// Has the poller report those whose handshakes are worked on in the next turn.
    fn call_handshakes(&mut self) {
        let connections = &self.connections;
        self.handshakes.begin_turn(|id| connections.is_open(id));
        while let Some(id) = self.handshakes.call(|id| self.connections.is_open(id)) {
            let Some(connection) = self.connections.get_mut(id.slot) else {
                continue;
            };
            let interest = Interest {
                readable: true,
                writable: connection.is_blocked,
            };
            let token = Key::Stream(id.slot).token();
            if self.poller.add(&connection.pipe, token, interest).is_err() {
                self.end(id.slot, CloseReason::Broken);
            }
        }
    }

    /// Forgets what was noted of connections that are gone.
    fn forget_stale(&mut self) {
        let connections = &self.connections;
        let open = connections.len();
        self.deadlines.sweep(open, |id| connections.is_open(id));
        self.handshakes.sweep(open, |id| connections.is_open(id));
    }

    /// Marks a connection as ended: the first reason counts.
    fn end(&mut self, number: u32, reason: CloseReason) {
        if let Some(connection) = self.connections.get_mut(number)
            && connection.ends.is_none()
        {
            connection.ends = Some(reason);
            self.ending.push(number);
        }
    }
}

#[cfg(test)]
mod tests;
