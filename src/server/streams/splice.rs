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
        if direction == Direction::ToClient {
            // What the pipe itself has to say does not wait for leave.
            self.client.send(&[], tools.scratch)?;
        }
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

    /// Bytes that are held, both ways together.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.to_peer.held.len() + self.to_client.held.len()
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

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::net::TcpStream as StdStream;
    use std::sync::Arc;

    use super::*;
    use crate::net::TcpListener;
    use crate::server::streams::Admission;
    use crate::server::streams::tests::{OPTIONS, opening};

    /// A joined pair, the client and the peer at its ends, and what it is moved with.
    struct World {
        splice: Splice,
        ours: TcpStream,
        client: StdStream,
        peer: StdStream,
        buffers: Buffers,
        scratch: Box<[u8; SEAL_BUFFER]>,
        /// Bytes that may be passed on until a moment.
        allowed: (usize, Tick),
        now: Tick,
    }

    #[test]
    fn whoever_does_not_read_stops_the_other_side_and_costs_a_chunk() {
        for direction in [Direction::ToPeer, Direction::ToClient] {
            let mut world = World::new();
            let (mut from, mut to) = world.ends(direction);
            let mut written = Vec::new();

            // Until nothing moves any more: the sender's kernel is full, and so is all behind it.
            let mut round = 0_u8;
            let mut idle = 0;
            while idle < 100 {
                let block = vec![round; 10_000];
                let count = from.write(&block).or_else(would_block).unwrap();
                written.extend_from_slice(&block[..count]);
                world.advance(direction).unwrap();
                assert!(world.splice.held() <= CHUNK);
                idle = if count > 0 { 0 } else { idle + 1 };
                round = round.wrapping_add(1);
            }
            assert!(world.splice.held() > 0, "it was full");
            assert_eq!(world.interest(direction), (false, true));

            let mut heard = Vec::new();
            while heard.len() < written.len() {
                let mut buf = [0; 10_000];
                let count = to.read(&mut buf).or_else(would_block).unwrap();
                heard.extend_from_slice(&buf[..count]);
                world.advance(direction).unwrap();
            }
            assert!(heard == written);
            assert_eq!(world.splice.held(), 0);
            assert_eq!(world.interest(direction), (true, false));
        }
    }

    #[test]
    fn a_chunk_that_has_to_wait_is_kept_and_asked_about_in_time() {
        let mut world = World::new();
        let (mut from, mut to) = world.ends(Direction::ToPeer);
        let until = Tick::from_millis(500);
        world.allowed = (0, until);
        from.write_all(b"patience").unwrap();

        assert_eq!(world.settle(Direction::ToPeer), Some(until));
        assert_eq!(world.interest(Direction::ToPeer), (false, false));
        world.now = Tick::from_millis(499);
        assert_eq!(world.advance(Direction::ToPeer).unwrap(), None);
        assert_eq!(
            to.read(&mut [0]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );

        world.now = until;
        world.allowed.0 = 8;
        assert_eq!(world.advance(Direction::ToPeer).unwrap(), None);
        to.set_nonblocking(false).unwrap();
        let mut heard = [0; 8];
        to.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"patience");
        assert_eq!(world.allowed.0, 0, "each byte is asked about once");
    }

    #[test]
    fn leave_that_comes_at_once_is_waited_for_all_the_same() {
        let mut world = World::new();
        let (mut from, _to) = world.ends(Direction::ToClient);
        world.allowed = (0, world.now);
        from.write_all(b"x").unwrap();

        let until = world.settle(Direction::ToClient);

        assert_eq!(until, Some(world.now.after(SOON)));
    }

    impl World {
        fn new() -> Self {
            let (client, theirs) = connection();
            let (peer, ours) = connection();
            let ticket = Arc::new(Admission::new(&OPTIONS)).admit();
            let ends = (
                Pipe::new(theirs, opening()),
                ticket.map_err(|_| ()).unwrap(),
            );
            let now = Tick::from_millis(1);
            let mut world = Self {
                splice: Splice::new(now, ends, Vec::new(), (Vec::new(), false)),
                ours,
                client,
                peer,
                buffers: Buffers::new(),
                scratch: Box::new([0; SEAL_BUFFER]),
                allowed: (usize::MAX, now),
                now,
            };
            // The first byte tells what is spoken, as that of a request would have.
            world.client.write_all(&[1]).unwrap();
            while world.splice.to_peer.held.is_empty() && world.peer_heard() == 0 {
                world.advance(Direction::ToPeer).unwrap();
            }
            world
        }

        fn peer_heard(&mut self) -> usize {
            self.peer.read(&mut [0]).or_else(would_block).unwrap()
        }

        /// The sender and the receiver of a direction.
        fn ends(&self, direction: Direction) -> (StdStream, StdStream) {
            let (client, peer) = (&self.client, &self.peer);
            let ends = match direction {
                Direction::ToPeer => (client, peer),
                Direction::ToClient => (peer, client),
            };
            (ends.0.try_clone().unwrap(), ends.1.try_clone().unwrap())
        }

        fn advance(&mut self, direction: Direction) -> Result<Option<Tick>, CloseReason> {
            let (left, until) = &mut self.allowed;
            let mut tools = Tools {
                now: self.now,
                buffers: &mut self.buffers,
                scratch: &mut self.scratch,
                judge: |_, bytes: usize| {
                    if bytes > *left {
                        return Flow::Wait(*until);
                    }
                    *left -= bytes;
                    Flow::Forward
                },
            };
            self.splice.advance(&self.ours, direction, &mut tools)
        }

        /// Goes on until it is told to wait.
        fn settle(&mut self, direction: Direction) -> Option<Tick> {
            loop {
                let told = self.advance(direction).unwrap();
                if told.is_some() {
                    return told;
                }
            }
        }

        /// Whether the source is watched, and whether the destination.
        fn interest(&self, direction: Direction) -> (bool, bool) {
            let (client, peer) = (self.splice.client_interest(), self.splice.peer_interest());
            match direction {
                Direction::ToPeer => (client.readable, peer.writable),
                Direction::ToClient => (peer.readable, client.writable),
            }
        }
    }

    /// A connection: the other side's end, which never waits, and ours.
    fn connection() -> (StdStream, TcpStream) {
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = TcpListener::listen(any, OPTIONS.keepalive).unwrap();
        let theirs = StdStream::connect(listener.local_addr()).unwrap();
        let ours = loop {
            if let Some(accepted) = listener.accept().unwrap() {
                break accepted.stream;
            }
        };
        theirs.set_nonblocking(true).unwrap();
        (theirs, ours)
    }

    fn would_block(error: io::Error) -> io::Result<usize> {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Ok(0);
        }
        Err(error)
    }
}
