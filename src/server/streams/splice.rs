//! A peer connection joined with the client's data connection (RFC 6062 section 5.4): bytes go from one to the other,
//! a chunk at a time, and whoever does not read slows the other side down.

use std::io::IoSlice;
use std::time::Duration;

use super::CloseReason;
use super::admission::Ticket;
use super::pipe::{Buffers, Pipe, READ_MAX};
use super::tls::{HELD_MAX, SEAL_BUFFER};
use crate::net::{Arrival, HEADROOM, Interest, TcpStream};
use crate::relay::{Direction, Flow, MAX_CHUNK};
use crate::time::Tick;

/// Bytes that are moved at a time at most. What TLS had of a record before comes on top of what is received.
const CHUNK: usize = READ_MAX - HELD_MAX;

/// The shortest time to wait for leave.
const SOON: Duration = Duration::from_millis(1);

const _: () = assert!(
    READ_MAX <= MAX_CHUNK,
    "the core is asked about a whole chunk"
);

/// The two connections. Costs, beside them, one chunk each way at most, and nothing while both sides read.
pub(super) struct Splice {
    pub(super) client: Pipe,
    /// The client's place among all connections.
    _ticket: Ticket,
    to_peer: Way,
    to_client: Way,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// What was received and is not sent yet. Nothing is received while there is any.
    held: Vec<u8>,
    /// How much of `held` was sent.
    sent: usize,
    /// When to ask for leave to send `held`; `None` where it was given.
    ask_at: Option<Tick>,
    /// Whether the source sends no more.
    ended: bool,
    /// Whether the destination was told so.
    finished: bool,
}

/// What bytes are moved with.
pub(super) struct Tools<'t, J> {
    pub(super) now: Tick,
    pub(super) buffers: &'t mut Buffers,
    pub(super) scratch: &'t mut [u8; SEAL_BUFFER],
    /// Whether a chunk may be passed on.
    pub(super) judge: J,
}

impl Splice {
    /// Joins a client's connection, which is first sent `answer` and has already brought `unread`; `ended` where nothing
    /// follows that.
    pub(super) fn new(
        now: Tick,
        (client, ticket): (Pipe, Ticket),
        answer: Vec<u8>,
        (unread, ended): (Vec<u8>, bool),
    ) -> Self {
        Self {
            client,
            _ticket: ticket,
            to_peer: Way {
                ask_at: (!unread.is_empty()).then_some(now),
                held: unread,
                ended,
                ..Way::default()
            },
            to_client: Way {
                held: answer,
                ..Way::default()
            },
        }
    }

    /// Moves what is held, and then a chunk, in one direction; returns when to go on where the core bids to wait.
    ///
    /// # Errors
    ///
    /// Why both connections are over.
    pub(super) fn advance(
        &mut self,
        peer: &TcpStream,
        direction: Direction,
        tools: &mut Tools<'_, impl FnMut(Direction, usize) -> Flow>,
    ) -> Result<Option<Tick>, CloseReason> {
        if let Some(until) = self.send_held(peer, direction, tools)? {
            return Ok(Some(until));
        }
        if self.is_clogged(direction) {
            return Ok(None);
        }
        if !self.way(direction).ended {
            let len = self.receive(peer, direction, tools)?;
            if len > 0 {
                let chunk = HEADROOM..HEADROOM + len;
                let (until, sent) = match tools.ask(direction, len)? {
                    Some(until) => (Some(until), 0),
                    None => {
                        let chunk = &tools.buffers.plain[chunk.clone()];
                        (None, self.send(peer, direction, chunk, tools.scratch)?)
                    }
                };
                let way = self.way(direction);
                way.held = tools.buffers.plain[chunk][sent..].to_vec();
                way.ask_at = until;
                if until.is_some() {
                    return Ok(until);
                }
            }
        }
        self.finish(peer, direction)?;
        Ok(None)
    }

    /// Whether both sides have said all.
    pub(super) const fn is_over(&self) -> bool {
        self.to_peer.finished && self.to_client.finished
    }

    /// What the client's side is to be watched for.
    pub(super) fn client_interest(&self) -> Interest {
        Interest {
            readable: self.to_peer.may_receive(),
            writable: self.to_client.may_send() || self.client.has_unsent(),
        }
    }

    /// What the peer's side is to be watched for.
    pub(super) fn peer_interest(&self) -> Interest {
        Interest {
            readable: self.to_client.may_receive() && !self.client.has_unsent(),
            writable: self.to_peer.may_send(),
        }
    }

    /// Sends what is held, where that may be; returns when to ask again where it may not.
    fn send_held(
        &mut self,
        peer: &TcpStream,
        direction: Direction,
        tools: &mut Tools<'_, impl FnMut(Direction, usize) -> Flow>,
    ) -> Result<Option<Tick>, CloseReason> {
        let way = self.way(direction);
        if let Some(ask_at) = way.ask_at {
            // Whoever is told to wait is told once.
            if tools.now < ask_at {
                return Ok(None);
            }
            way.ask_at = tools.ask(direction, way.held.len())?;
            if way.ask_at.is_some() {
                return Ok(way.ask_at);
            }
        }
        let held = std::mem::take(&mut way.held);
        let from = std::mem::take(&mut way.sent);
        let sent = from + self.send(peer, direction, &held[from..], tools.scratch)?;
        if sent < held.len() {
            let way = self.way(direction);
            way.held = held;
            way.sent = sent;
        }
        Ok(None)
    }

    /// Sends as much as the destination takes, and what was sealed for it before.
    fn send(
        &mut self,
        peer: &TcpStream,
        direction: Direction,
        bytes: &[u8],
        scratch: &mut [u8; SEAL_BUFFER],
    ) -> Result<usize, CloseReason> {
        let parts = [IoSlice::new(bytes)];
        let parts = if bytes.is_empty() { &[] } else { &parts[..] };
        match direction {
            Direction::ToPeer if bytes.is_empty() => Ok(0),
            Direction::ToPeer => peer.send(parts).map_err(|_| CloseReason::Broken),
            Direction::ToClient => self.client.send(parts, scratch),
        }
    }

    /// Receives a chunk, where there is one, into the buffer; returns its length.
    fn receive<J>(
        &mut self,
        peer: &TcpStream,
        direction: Direction,
        tools: &mut Tools<'_, J>,
    ) -> Result<usize, CloseReason> {
        match direction {
            Direction::ToPeer => {
                let received = self.client.receive(tools.buffers, 0, CHUNK)?;
                self.to_peer.ended |= received.ended;
                Ok(received.plain)
            }
            Direction::ToClient => {
                let room = &mut tools.buffers.plain[HEADROOM..HEADROOM + CHUNK];
                match peer.receive(room).map_err(|_| CloseReason::Broken)? {
                    Arrival::Bytes(count) => return Ok(count),
                    Arrival::Nothing => {}
                    Arrival::End => self.to_client.ended = true,
                }
                Ok(0)
            }
        }
    }

    /// Tells the destination that nothing more comes, once all has been sent that did.
    fn finish(&mut self, peer: &TcpStream, direction: Direction) -> Result<(), CloseReason> {
        let way = &*self.way(direction);
        if !way.ended || way.finished || !way.held.is_empty() {
            return Ok(());
        }
        let finished = match direction {
            Direction::ToPeer => peer.finish().map(|()| true),
            Direction::ToClient => self.client.finish(),
        };
        self.way(direction).finished = finished.map_err(|_| CloseReason::Broken)?;
        Ok(())
    }

    /// Whether the destination takes no more at the moment.
    fn is_clogged(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToPeer => !self.to_peer.held.is_empty(),
            Direction::ToClient => !self.to_client.held.is_empty() || self.client.has_unsent(),
        }
    }

    const fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::ToPeer => &mut self.to_peer,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

impl<J: FnMut(Direction, usize) -> Flow> Tools<'_, J> {
    /// Asks for leave to pass a chunk on; returns when to ask again where there is none yet.
    fn ask(&mut self, direction: Direction, bytes: usize) -> Result<Option<Tick>, CloseReason> {
        match (self.judge)(direction, bytes) {
            Flow::Forward => Ok(None),
            // Never at once: the worker would turn round and round.
            Flow::Wait(until) => Ok(Some(until.max(self.now.after(SOON)))),
            Flow::Closed => Err(CloseReason::Ended),
        }
    }
}

impl Way {
    fn may_receive(&self) -> bool {
        self.held.is_empty() && !self.ended
    }

    fn may_send(&self) -> bool {
        !self.held.is_empty() && self.ask_at.is_none()
    }
}
