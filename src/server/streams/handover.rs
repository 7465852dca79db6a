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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::config::StreamOptions;
    use crate::server::streams::Speaks;
    use crate::server::streams::tests::{BINDING, OPTIONS, World};

    #[test]
    fn a_connection_goes_on_where_it_is_taken_in_as_if_nothing_had_been_read() {
        let [mut here, mut there] = workers();
        let mut client = here.connect();
        client
            .write_all(&[&BINDING[..], &BINDING[..7]].concat())
            .unwrap();

        here.hand_over();
        let number = there.streams.take_handed(there.now).unwrap();
        client.write_all(&BINDING[7..]).unwrap();
        there.receive(number);
        there.streams.flush(there.now);

        assert_eq!((here.open(), there.open()), (0, 1));
        assert_eq!(there.heard, [BINDING, BINDING]);
        let mut answers = [0; 40];
        client.read_exact(&mut answers).unwrap();
        assert_eq!(answers, [BINDING, BINDING].concat()[..]);
        assert_eq!(here.counters.open[Speaks::Tcp as usize].value(), 0);
        assert_eq!(there.counters.open[Speaks::Tcp as usize].value(), 1);
    }

    #[test]
    fn whoever_comes_to_a_full_door_is_closed_and_counted() {
        let [mut here, mut there] = workers();
        let mut hand_over = || {
            let mut client = here.connect();
            client.write_all(&BINDING).unwrap();
            here.hand_over();
            client
        };
        let waiting: Vec<_> = (0..WAITING).map(|_| hand_over()).collect();

        let mut refused = hand_over();

        assert!(is_closed(&mut refused));
        assert_eq!(here.closed(CloseReason::Busy), 1);
        assert_eq!(here.open(), 0);
        assert_eq!(here.counters.open[Speaks::Tcp as usize].value(), 0);
        for _ in &waiting {
            let number = there.streams.take_handed(there.now).unwrap();
            there.receive(number);
        }
        assert_eq!(there.open(), WAITING);
        assert!(there.streams.take_handed(there.now).is_none());
        // There is a place again, of the worker and of the prefix.
        let _next = here.connect();
        assert_eq!(here.open(), 1);
        assert_eq!(here.closed(CloseReason::PrefixFull), 0);
    }

    #[test]
    fn more_than_may_travel_ends_the_connection() {
        for (behind, reason) in [
            (UNREAD_MAX, Some(CloseReason::TooLong)),
            (UNREAD_MAX - 20, None),
        ] {
            let [mut here, mut there] = workers();
            here.allocated = true;
            let mut client = here.connect();
            // The beginning of a message on a channel that is longer than all this.
            let mut unread = BINDING.to_vec();
            unread.extend([0x40, 0, 0xFF, 0xFF]);
            unread.resize(BINDING.len() + behind, 0);
            client.write_all(&unread).unwrap();

            here.hand_over();
            here.reap();

            assert_eq!(here.open(), 0);
            let taken = there.streams.take_handed(there.now);
            assert_eq!(taken.is_some(), reason.is_none());
            if let Some(reason) = reason {
                assert_eq!(here.closed(reason), 1);
                assert!(is_closed(&mut client));
            }
        }
    }

    impl World {
        /// Gives the connection that has something to read to the second worker.
        fn hand_over(&mut self) {
            let allocated = self.allocated;
            let mut inbound = self.streams.receive(0, |_| allocated).unwrap();
            assert!(inbound.next_frame().is_some());
            self.streams.hand_over(self.now, inbound, 1);
        }
    }

    /// Two workers and the ways between them.
    fn workers() -> [World; 2] {
        let options = StreamOptions {
            connections: WAITING + 1,
            connections_per_prefix: WAITING + 1,
            ..OPTIONS
        };
        let wakers = [Waker::new().unwrap(), Waker::new().unwrap()];
        let doors = Doors::between(&wakers);
        let workers: Vec<_> = doors
            .into_iter()
            .map(|doors| World::with(options, doors))
            .collect();
        workers.try_into().map_err(|_| ()).unwrap()
    }

    /// Whether nothing comes but the end; a reset where it had sent what nobody has read.
    fn is_closed(client: &mut TcpStream) -> bool {
        !client.read(&mut [0]).is_ok_and(|count| count > 0)
    }
}
