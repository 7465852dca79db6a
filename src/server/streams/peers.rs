//! The peer connections of TCP relays (RFC 6062): attempts, those that wait for their client, and those that are joined
//! with a client's data connection.
//!
//! The core decides about each of them and names it by a token; nothing here is decided but how bytes get through.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::connection::Connection;
use super::handover::UNREAD_MAX;
use super::pipe::Buffers;
use super::splice::{Splice, Tools};
use super::tls::SEAL_BUFFER;
use super::{CloseReason, ConnectionId, Deadlines, Inbound, Streams};
use crate::net::{Interest, Poller, TcpStream};
use crate::relay::{ConnectFailed, ConnectionToken, Direction, Flow};
use crate::server::sockets::Key;
use crate::time::Tick;

/// The peer connections of a worker: as many as the core lets there be.
#[derive(Default)]
pub(super) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    vacant: Vec<u32>,
    /// The places of those that are open, by what the core calls them.
    numbers: HashMap<ConnectionToken, u32>,
    /// When to ask for leave again: at most one entry for each direction of each, and stale ones.
    deadlines: Deadlines<ConnectionId>,
    opened: u32,
}

/// A peer connection. Not watched while it waits for its client, so that the kernel's buffer is all that it fills.
struct Peer {
    id: ConnectionId,
    token: ConnectionToken,
    socket: TcpStream,
    stage: Stage,
    /// What the poller watches of the peer's side and of the client's.
    watched: [Option<Interest>; 2],
}

enum Stage {
    Connecting,
    /// It waits for its client.
    Open,
    Joined(Splice),
}

/// What has become of a peer connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum PeerNews {
    /// It is open, or never will be.
    Connected(ConnectionToken, Result<(), ConnectFailed>),
    /// It has ended, and the client's connection with it.
    Over(ConnectionToken),
}

/// Which directions may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Ready {
    pub(in crate::server) to_peer: bool,
    pub(in crate::server) to_client: bool,
}

impl Ready {
    /// Both.
    pub(in crate::server) const BOTH: Self = Self {
        to_peer: true,
        to_client: true,
    };

    fn directions(self) -> impl Iterator<Item = Direction> {
        let to_peer = self.to_peer.then_some(Direction::ToPeer);
        let to_client = self.to_client.then_some(Direction::ToClient);
        to_peer.into_iter().chain(to_client)
    }
}

impl Streams {
    /// Begins to connect to a peer.
    pub(in crate::server) fn connect(
        &mut self,
        token: ConnectionToken,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<(), ConnectFailed> {
        let socket =
            TcpStream::connect(from, to, self.options.keepalive).map_err(|_| ConnectFailed)?;
        let number = self.peers.insert(token, socket, Stage::Connecting);
        self.counters.peers.add(1);
        if self.watch_peer(number).is_err() {
            self.drop_peer(number, CloseReason::Broken);
            return Err(ConnectFailed);
        }
        Ok(())
    }

    /// Keeps a connection that a peer has opened until its client comes for it.
    pub(in crate::server) fn park(&mut self, token: ConnectionToken, socket: TcpStream) {
        self.peers.insert(token, socket, Stage::Open);
        self.counters.peers.add(1);
    }

    /// Closes a peer connection, and the client's that is joined with it.
    pub(in crate::server) fn close_peer(&mut self, token: ConnectionToken) {
        if let Some(number) = self.peers.numbers.get(&token).copied() {
            self.drop_peer(number, CloseReason::Ended);
        }
    }

    /// Joins the connection that `inbound` came on with a peer's, instead of [`Self::finish`]: what it brings is the peer's
    /// from here on. Returns the number of the two; `None` where one of them is gone, and the other with it then.
    pub(in crate::server) fn splice(
        &mut self,
        now: Tick,
        inbound: Inbound,
        token: ConnectionToken,
        answer: &[u8],
    ) -> Option<u32> {
        let number = self.peers.numbers.get(&token).copied();
        let joinable = self.is_joinable(&inbound) && inbound.rest().len() <= UNREAD_MAX;
        let Some(number) = number.filter(|_| joinable) else {
            let slot = inbound.id.slot;
            self.finish(now, inbound);
            self.end(slot, CloseReason::Ended);
            self.close_peer(token);
            return None;
        };
        let mut connection = self.connections.remove(inbound.id.slot)?;
        // It is watched anew, as what it is now; where it was not watched, all the better.
        let _ = self.poller.remove(&connection.pipe);
        let mut unsent = self.take_unsent(&mut connection);
        unsent.extend_from_slice(answer);
        let unread = (inbound.rest().to_vec(), inbound.ends.is_some());
        self.idle = Some((inbound.buffers, inbound.alone));
        let Connection { pipe, ticket, .. } = *connection;
        self.forget_stale();
        let peer = self.peers.get_mut(number)?;
        peer.stage = Stage::Joined(Splice::new(now, (pipe, ticket), unsent, unread));
        Some(number)
    }

    /// Goes on with a peer connection, where `judge` lets it: one chunk in each direction that is ready.
    pub(in crate::server) fn serve_peer(
        &mut self,
        now: Tick,
        number: u32,
        ready: Ready,
        mut judge: impl FnMut(ConnectionToken, Direction, usize) -> Flow,
    ) -> Option<PeerNews> {
        let peer = self.peers.get_mut(number)?;
        let token = peer.token;
        match &mut peer.stage {
            Stage::Open => None,
            Stage::Connecting => {
                let outcome = match peer.socket.is_connected() {
                    Ok(false) => return None,
                    Ok(true) => {
                        peer.stage = Stage::Open;
                        self.watch_peer(number)
                    }
                    Err(_) => Err(CloseReason::Broken),
                };
                if let Err(reason) = outcome {
                    self.drop_peer(number, reason);
                }
                let outcome = outcome.map_err(|_| ConnectFailed);
                Some(PeerNews::Connected(token, outcome))
            }
            Stage::Joined(_) => {
                let (mut buffers, alone) = self.idle.take()?;
                let judge = |direction, bytes| judge(token, direction, bytes);
                let moved = self.move_bytes((now, number, ready), &mut buffers, judge);
                self.idle = Some((buffers, alone));
                let reason = moved.and_then(|()| self.watch_peer(number)).err()?;
                self.drop_peer(number, reason);
                Some(PeerNews::Over(token))
            }
        }
    }

    /// Takes the number of a peer connection that may ask for leave again.
    pub(in crate::server) fn next_waiting(&mut self, now: Tick) -> Option<u32> {
        while let Some(id) = self.peers.deadlines.pop_due(now) {
            if self.peers.is_open(id) {
                return Some(id.slot);
            }
        }
        None
    }

    /// When [`Self::next_waiting`] wants to be called.
    pub(super) fn next_leave(&self) -> Option<Tick> {
        self.peers.deadlines.next()
    }

    /// Whether a connection can be joined with another: nothing has ended it, or nothing but its client's last word.
    pub(super) fn is_joinable(&mut self, inbound: &Inbound) -> bool {
        let goes_on = matches!(inbound.ends, None | Some(CloseReason::Left));
        let connection = self.connections.get_mut(inbound.id.slot);
        goes_on && connection.is_some_and(|connection| connection.ends.is_none())
    }

    /// Empties the queue of a connection.
    pub(super) fn take_unsent(&mut self, connection: &mut Connection) -> Vec<u8> {
        let Some(backlog) = connection.backlog.take() else {
            return Vec::new();
        };
        let parts = backlog.parts();
        let unsent = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.recycle(backlog);
        unsent
    }

    fn move_bytes(
        &mut self,
        (now, number, ready): (Tick, u32, Ready),
        buffers: &mut Buffers,
        judge: impl FnMut(Direction, usize) -> Flow,
    ) -> Result<(), CloseReason> {
        let scratch: &mut [u8; SEAL_BUFFER] = &mut self.scratch;
        let mut tools = Tools {
            now,
            buffers,
            scratch,
            judge,
        };
        let peers = &mut self.peers;
        let found = peers.slots.get_mut(number as usize);
        let Some(peer) = found.and_then(Option::as_mut) else {
            return Ok(());
        };
        let Stage::Joined(splice) = &mut peer.stage else {
            return Ok(());
        };
        for direction in ready.directions() {
            if let Some(until) = splice.advance(&peer.socket, direction, &mut tools)? {
                peers.deadlines.push(until, peer.id);
            }
        }
        if splice.is_over() {
            return Err(CloseReason::Left);
        }
        Ok(())
    }

    /// Has the poller watch both sides of a peer connection for what they wait for. A side that waits for nothing is not
    /// watched at all: the poller would tell of its end for ever, while what was received from it is still being sent.
    fn watch_peer(&mut self, number: u32) -> Result<(), CloseReason> {
        let Some(peer) = self.peers.get_mut(number) else {
            return Ok(());
        };
        let (ours, theirs) = match &peer.stage {
            Stage::Connecting => (WRITABLE, NOTHING),
            Stage::Open => (NOTHING, NOTHING),
            Stage::Joined(splice) => (splice.peer_interest(), splice.client_interest()),
        };
        let [peer_watched, client_watched] = &mut peer.watched;
        let token = Key::Peer(number).token();
        watch(&self.poller, &peer.socket, token, (peer_watched, ours))?;
        if let Stage::Joined(splice) = &peer.stage {
            let token = Key::Data(number).token();
            watch(
                &self.poller,
                &splice.client,
                token,
                (client_watched, theirs),
            )?;
        }
        Ok(())
    }

    fn drop_peer(&mut self, number: u32, reason: CloseReason) {
        let Some(peer) = self.peers.remove(number) else {
            return;
        };
        self.counters.peers.sub(1);
        if let Stage::Joined(mut splice) = peer.stage {
            self.counters.closed[reason as usize].add(1);
            self.counters.open[splice.client.speaks() as usize].sub(1);
            splice.client.close();
        }
    }
}

impl Peers {
    fn insert(&mut self, token: ConnectionToken, socket: TcpStream, stage: Stage) -> u32 {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let id = ConnectionId {
            slot,
            serial: self.opened,
        };
        self.opened = self.opened.wrapping_add(1);
        self.numbers.insert(token, slot);
        self.slots[slot as usize] = Some(Box::new(Peer {
            id,
            token,
            socket,
            stage,
            watched: [None; 2],
        }));
        slot
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Peer> {
        self.slots.get_mut(number as usize)?.as_deref_mut()
    }

    fn remove(&mut self, number: u32) -> Option<Box<Peer>> {
        let peer = self.slots.get_mut(number as usize)?.take()?;
        self.numbers.remove(&peer.token);
        self.vacant.push(number);
        let (slots, directions) = (&self.slots, 2 * self.numbers.len());
        self.deadlines.sweep(directions, |id| is_open(slots, id));
        Some(peer)
    }

    fn is_open(&self, id: ConnectionId) -> bool {
        is_open(&self.slots, id)
    }
}

const NOTHING: Interest = Interest {
    readable: false,
    writable: false,
};

const WRITABLE: Interest = Interest {
    readable: false,
    writable: true,
};

fn is_open(slots: &[Option<Box<Peer>>], id: ConnectionId) -> bool {
    let slot = slots.get(id.slot as usize).and_then(Option::as_ref);
    slot.is_some_and(|peer| peer.id == id)
}

/// Has the poller watch a side for `interest` instead of what it watches it for.
fn watch(
    poller: &Poller,
    side: &impl AsFd,
    token: u64,
    (watched, interest): (&mut Option<Interest>, Interest),
) -> Result<(), CloseReason> {
    let interest = Some(interest).filter(|interest| *interest != NOTHING);
    let changed = match (*watched, interest) {
        (before, after) if before == after => return Ok(()),
        (None, Some(interest)) => poller.add(side, token, interest),
        (Some(_), Some(interest)) => poller.modify(side, token, interest),
        (_, None) => poller.remove(side),
    };
    *watched = interest;
    changed.map_err(|_| CloseReason::Broken)
}

#[cfg(test)]
mod tests;
