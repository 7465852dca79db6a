//! The sending half: answers and media are queued for connections, and sent with one call a connection.

use super::backlog::{Backlog, Bounds, Dropped};
use super::{CloseReason, Streams};
use crate::net::Interest;
use crate::relay::{FiveTuple, Transport};
use crate::server::sockets::Key;
use crate::time::Tick;

/// Bytes that are collected for one connection before they are sent without waiting for the end of the turn.
const COLLECT_MAX: usize = 64 * 1024;

/// Queues that are kept for the next connection that needs one, and the bytes that each of them keeps.
const SPARE_BACKLOGS: usize = 64;
const SPARE_BYTES: usize = 2 * COLLECT_MAX;

impl Streams {
    /// Queues an answer.
    pub(in crate::server) fn answer(&mut self, now: Tick, to: &FiveTuple, bytes: &[u8]) {
        if to.transport() == Transport::Dtls {
            return self.seal(to, bytes);
        }
        self.queue(now, to, |backlog, _| {
            let fits = backlog.answer(bytes);
            (Dropped::default(), (!fits).then_some(CloseReason::Unread))
        });
    }

    /// Queues application data.
    pub(in crate::server) fn relay(&mut self, now: Tick, to: &FiveTuple, bytes: &[u8]) {
        if to.transport() == Transport::Dtls {
            return self.seal(to, bytes);
        }
        self.queue(now, to, |backlog, bounds| {
            (backlog.media(now, bytes, bounds), None)
        });
    }

    /// Goes on with a connection whose socket takes something again.
    pub(in crate::server) fn resume(&mut self, now: Tick, number: u32) {
        self.send(now, number);
    }

    /// Sends what was queued.
    pub(in crate::server) fn flush(&mut self, now: Tick) {
        if let Some(dtls) = &mut self.dtls {
            dtls.flush();
        }
        while let Some(number) = self.dirty.pop() {
            // What was collected may have been sent already.
            let found = self.connections.get_mut(number);
            if found.is_some_and(|connection| connection.is_dirty) {
                self.send(now, number);
            }
        }
    }

    /// Has the poller tell when a connection that waits for its socket may go on.
    pub(super) fn watch(&mut self, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else {
            return;
        };
        let waits =
            connection.pipe.has_unsent() || (connection.backlog.is_some() && !connection.is_dirty);
        if waits == connection.is_blocked {
            return;
        }
        connection.is_blocked = waits;
        let interest = Interest {
            readable: true,
            writable: waits,
        };
        let token = Key::Stream(number).token();
        let watched = self.poller.modify(&connection.pipe, token, interest);
        if watched.is_err() {
            self.end(number, CloseReason::Broken);
        }
    }

    /// Keeps a queue for the next connection that needs one.
    pub(super) fn recycle(&mut self, mut backlog: Box<Backlog>) {
        if self.spare.len() < SPARE_BACKLOGS {
            backlog.reset(SPARE_BYTES);
            self.spare.push(backlog);
        }
    }

    /// Queues what is for a session: like any datagram, it is gone where it cannot leave with the next flush.
    fn seal(&mut self, to: &FiveTuple, bytes: &[u8]) {
        if let Some(dtls) = &mut self.dtls {
            dtls.seal(to, bytes);
        }
    }

    fn queue(
        &mut self,
        now: Tick,
        to: &FiveTuple,
        put: impl FnOnce(&mut Backlog, &Bounds) -> (Dropped, Option<CloseReason>),
    ) {
        let Some(connection) = self.connections.of_client(to) else {
            return;
        };
        if connection.ends.is_some() {
            return;
        }
        let backlog = connection
            .backlog
            .get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        let (dropped, ends) = put(backlog, &self.bounds);
        self.counters.dropped(dropped);
        let is_much = backlog.len() >= COLLECT_MAX;
        let number = connection.id.slot;
        if !connection.is_blocked && !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(number);
        }
        if let Some(reason) = ends {
            self.end(number, reason);
        } else if is_much && connection.is_dirty {
            self.send(now, number);
        }
    }

    /// Sends what a connection has, as far as its socket takes it.
    fn send(&mut self, now: Tick, number: u32) {
        let Some(connection) = self.connections.get_mut(number) else {
            return;
        };
        connection.is_dirty = false;
        if connection.ends.is_some() {
            return;
        }
        let sent = match &mut connection.backlog {
            Some(backlog) => {
                self.counters.dropped(backlog.expire(now, &self.bounds));
                let sent = connection.pipe.send(&backlog.parts(), &mut self.scratch);
                sent.map(|count| backlog.sent(count))
            }
            None => connection.pipe.send(&[], &mut self.scratch).map(|_| ()),
        };
        if let Err(reason) = sent {
            return self.end(number, reason);
        }
        let emptied = connection.backlog.take_if(|backlog| backlog.is_empty());
        if let Some(backlog) = emptied {
            self.recycle(backlog);
        }
        self.watch(number);
    }
}
