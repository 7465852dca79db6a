//! Connections that change their worker: the kernel gives a client's data connection to any of them, and only the one
//! with the client's allocation can join it with the peer's (RFC 6062 section 5.4).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::admission::Ticket;
use super::connection::Connection;
use super::pipe::Pipe;
use super::{CloseReason, Inbound, Streams};
use crate::net::{Interest, Waker};
use crate::relay::FiveTuple;
use crate::server::sockets::Key;
use crate::time::Tick;

/// Connections that may wait for one worker. It looks for them on every way round.
pub(in crate::server) const WAITING: usize = 256;

/// Bytes that may have arrived with and behind the request that makes a connection a data connection: its client is to
/// wait for the answer.
pub(super) const UNREAD_MAX: usize = 32 * 1024;

/// The ways from one worker to all, and its own entrance.
pub(in crate::server) struct Doors {
    all: Arc<[Door]>,
    entrance: Receiver<Handed>,
    waker: Waker,
}

struct Door {
    sender: SyncSender<Handed>,
    waker: Waker,
}

/// A connection on its way to another worker.
pub(super) struct Handed {
    pipe: Pipe,
    /// Who is at the other end; the link is another one over there.
    client: FiveTuple,
    ticket: Ticket,
    /// The request that is for the other worker, and what came behind it.
    unread: Box<[u8]>,
    /// Answers that have not left.
    unsent: Vec<u8>,
}

impl Doors {
    /// Those of as many workers as there are `wakers`, each of which wakes its worker.
    pub(in crate::server) fn between(wakers: &[Waker]) -> Vec<Self> {
        let (senders, entrances): (Vec<_>, Vec<_>) =
            wakers.iter().map(|_| sync_channel(WAITING)).unzip();
        let doors = senders.into_iter().zip(wakers).map(|(sender, waker)| Door {
            sender,
            waker: waker.clone(),
        });
        let all: Arc<[Door]> = doors.collect();
        let entrances = entrances.into_iter().zip(wakers);
        let own = entrances.map(|(entrance, waker)| Self {
            all: Arc::clone(&all),
            entrance,
            waker: waker.clone(),
        });
        own.collect()
    }
}

impl Streams {
    /// Gives the connection that `inbound` came on to another worker, instead of [`Self::finish`], as if the request that
    /// was handed out last had not been read.
    pub(in crate::server) fn hand_over(&mut self, now: Tick, inbound: Inbound, worker: usize) {
        if !self.is_joinable(&inbound) {
            return self.finish(now, inbound);
        }
        // Otherwise it could be made to grow on the way round and round.
        if inbound.unanswered().len() > UNREAD_MAX {
            let number = inbound.id.slot;
            self.finish(now, inbound);
            return self.end(number, CloseReason::TooLong);
        }
        let Some(mut connection) = self.connections.remove(inbound.id.slot) else {
            return self.finish(now, inbound);
        };
        // Not to be told of what happens to it any more.
        let _ = self.poller.remove(&connection.pipe);
        let unsent = self.take_unsent(&mut connection);
        let unread = inbound.unanswered().into();
        self.idle = Some((inbound.buffers, inbound.alone));
        let Connection {
            pipe,
            client,
            ticket,
            ..
        } = *connection;
        self.forget_stale();
        self.counters.open[pipe.speaks() as usize].sub(1);
        let handed = Handed {
            pipe,
            client,
            ticket,
            unread,
            unsent,
        };
        let door = self.doors.all.get(worker);
        if door.is_some_and(|door| door.sender.try_send(handed).is_ok()) {
            self.doors.all[worker].waker.wake();
        } else {
            self.counters.closed[CloseReason::Busy as usize].add(1);
        }
    }

    /// Hears the call of another thread.
    pub(in crate::server) fn hear(&self) {
        self.doors.waker.hear();
    }

    /// Takes in a connection that another worker has handed over; the number to receive from.
    pub(in crate::server) fn take_handed(&mut self, now: Tick) -> Option<u32> {
        loop {
            let handed = self.doors.entrance.try_recv().ok()?;
            let speaks = handed.pipe.speaks();
            match self.adopt(now, handed) {
                Ok(number) => {
                    self.counters.open[speaks as usize].add(1);
                    return Some(number);
                }
                Err(reason) => self.counters.closed[reason as usize].add(1),
            }
        }
    }

    fn adopt(&mut self, now: Tick, handed: Handed) -> Result<u32, CloseReason> {
        let id = self.connections.next_id();
        let token = Key::Stream(id.slot).token();
        self.poller
            .add(&handed.pipe, token, Interest::READABLE)
            .map_err(|_| CloseReason::Broken)?;
        let FiveTuple {
            client,
            server,
            link,
        } = handed.client;
        let ends = (client.reveal(), (server, 0).into());
        let mut connection = Connection::new(id, ends, handed.pipe, handed.ticket);
        connection.client.link.transport = link.transport;
        connection.partial = handed.unread;
        connection.heard = Some(now);
        let client = connection.client;
        self.connections.insert(connection);
        self.deadlines
            .push(now.after(self.options.idle_timeout), id);
        if !handed.unsent.is_empty() {
            self.answer(now, &client, &handed.unsent);
        }
        Ok(id.slot)
    }
}
