//! The DTLS clients of one worker (RFC 7350): sessions over the datagrams of listeners of their own.
//!
//! Built with the cargo feature `dtls`, on the OpenSSL of the system, which does the handshakes and the records. What
//! comes before is done here: a client leaves no trace until it has returned a cookie, and so proven its address
//! ([`hello`]). The library cannot begin where a cookie is already proven, but what came before does not matter: it is
//! shown a first ClientHello, asks for that very cookie, and then gets the real second one.
//!
//! [`Dtls`] is driven as [`super::streams`] is, which it belongs to: a listener is readable, [`Dtls::receive`] takes what
//! came, [`Dtls::next_message`] opens it, [`Dtls::seal`] queues what is for a client, [`Dtls::flush`] sends it. The
//! library reads a clock of its own, for retransmissions in a handshake alone.

mod arrivals;
mod hello;
mod line;
mod setup;
mod sieve;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::{ErrorCode, SslStream};

use self::line::{Line, Wire};
pub(super) use self::setup::Setup;
use self::sieve::Sieve;
use super::sockets::Key;
use super::streams::{
    Admission, CloseReason, Deadlines, DtlsStart, HANDSHAKES, Speaks, StreamCounters, StreamStart,
    Ticket,
};
use crate::config::StreamOptions;
use crate::net::{HEADROOM, Interest, Poller};
use crate::relay::{FiveTuple, Packet};
use crate::time::Tick;

/// Bytes of plaintext in a record at most (RFC 6347 section 4.1).
const RECORD: usize = 16 * 1024;

/// Bytes of the buffer that messages are opened into, with room to write headers and padding around one.
const BUFFER: usize = HEADROOM + RECORD + 64;

/// How often a handshake is looked at. The library retransmits a second after it has sent, or later.
const LOOK: Duration = Duration::from_millis(500);

/// The sessions of one worker. There are as many as [`Admission`] lets in, together with all connections.
pub(super) struct Dtls {
    setup: Setup,
    options: StreamOptions,
    admission: Arc<Admission>,
    counters: Arc<StreamCounters>,
    sessions: HashMap<FiveTuple, Session>,
    /// When sessions are looked at.
    deadlines: Deadlines<SessionId>,
    /// Sessions that are about to be removed. No longer than `sessions`.
    ending: Vec<FiveTuple>,
    /// How many sessions were opened.
    opened: u64,
    /// Handshakes that may still be begun in this turn. The client of another repeats its ClientHello.
    handshakes: usize,
    line: Rc<RefCell<Line>>,
    /// The session whose datagram may hold more messages.
    reading: Option<FiveTuple>,
}

/// One client's session. It costs some seventy KiB, most of them buffers that the library keeps for DTLS, whether it
/// uses them or not.
struct Session {
    id: SessionId,
    stream: SslStream<Wire>,
    sieve: Sieve,
    /// The random of its ClientHello.
    random: [u8; 32],
    opened: Tick,
    /// When a message came last; `None` before the first.
    heard: Option<Tick>,
    /// Why it is about to be removed.
    ends: Option<CloseReason>,
    /// Its place among all connections.
    _ticket: Ticket,
}

/// Which of a client's successive sessions is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SessionId {
    serial: u64,
    client: FiveTuple,
}

impl Dtls {
    /// # Errors
    ///
    /// Where a listener cannot be watched.
    pub(super) fn new(dtls: &DtlsStart, start: &StreamStart, poller: &Poller) -> io::Result<Self> {
        for (number, listener) in (0..).zip(&*dtls.listeners) {
            poller.add(listener, Key::Dtls(number).token(), Interest::READABLE)?;
        }
        Ok(Self {
            setup: dtls.setup.clone(),
            options: start.options,
            admission: Arc::clone(&start.admission),
            counters: Arc::clone(&start.counters),
            sessions: HashMap::new(),
            deadlines: Deadlines::default(),
            ending: Vec::new(),
            opened: 0,
            handshakes: HANDSHAKES,
            line: Rc::new(RefCell::new(Line::new(Arc::clone(&dtls.listeners)))),
            reading: None,
        })
    }

    /// How many listeners speak DTLS; they are numbered from zero.
    pub(super) fn listeners(&self) -> usize {
        self.line.borrow().listeners()
    }

    /// Receives at most `limit` messages from a listener. What came is to be opened by [`Self::next_message`] before
    /// anything else is received.
    pub(super) fn receive(&mut self, listener: u32, limit: usize) {
        self.line.borrow_mut().receive(listener, limit);
    }

    /// Opens the next message that came into `buffer`, which it sizes; tells whose it is.
    pub(super) fn next_message<'b>(
        &mut self,
        now: Tick,
        buffer: &'b mut Vec<u8>,
    ) -> Option<(FiveTuple, Packet<'b>)> {
        buffer.resize(BUFFER, 0);
        loop {
            if let Some(from) = self.reading {
                if let Some(len) = self.open(now, from, &mut buffer[HEADROOM..HEADROOM + RECORD]) {
                    return Some((from, Packet::new(buffer, len)));
                }
                self.reading = None;
            }
            let (from, mut datagram) = self.line.borrow_mut().next_datagram()?;
            self.sift(now, from, &mut datagram);
            self.reading = (!datagram.is_empty()).then_some(from);
            self.line.borrow_mut().show(datagram);
        }
    }

    /// Seals a message for a client and queues it; drops and counts it where the client has no session, or the message is
    /// longer than a record.
    pub(super) fn seal(&mut self, to: &FiveTuple, message: &[u8]) {
        let found = self.sessions.get_mut(to);
        let fits = message.len() <= RECORD;
        let Some(session) = found.filter(|session| fits && session.is_open()) else {
            return self.counters.unsent.add(1);
        };
        if session.stream.ssl_write(message).is_err() {
            self.end(to, CloseReason::Broken);
        }
    }

    /// Sends what is queued.
    pub(super) fn flush(&mut self) {
        let mut line = self.line.borrow_mut();
        line.flush();
        self.counters.unsent.add(line.take_unsent());
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Tick> {
        self.deadlines.next()
    }

    /// Lets handshakes retransmit, and ends the sessions that were silent for too long. `allocated` says whether a
    /// client has an allocation, whose own lifetime counts then.
    pub(super) fn handle_timeout(&mut self, now: Tick, allocated: impl Fn(&FiveTuple) -> bool) {
        while let Some(id) = self.deadlines.pop_due(now) {
            let found = self.sessions.get_mut(&id.client);
            let Some(session) = found.filter(|session| session.id == id) else {
                continue;
            };
            let (until, silent) = match session.heard {
                None => {
                    let until = session.opened.after(self.options.handshake_timeout);
                    (until, CloseReason::Handshake)
                }
                Some(heard) => {
                    let since = if allocated(&id.client) { now } else { heard };
                    (since.after(self.options.idle_timeout), CloseReason::Idle)
                }
            };
            if until <= now {
                self.end(&id.client, silent);
            } else if session.stream.ssl().is_init_finished() {
                self.deadlines.push(until, id);
            } else {
                // It waits for its client, or sends again what the client did not answer in time. A handshake that
                // fails here ends with its timeout.
                let _ = session.stream.do_handshake();
                self.deadlines.push(until.min(now.after(LOOK)), id);
            }
        }
    }

    /// Ends every session. [`Self::reap`] removes them.
    pub(super) fn shut_down(&mut self) {
        let clients: Vec<FiveTuple> = self.sessions.keys().copied().collect();
        for client in clients {
            self.end(&client, CloseReason::Stopping);
        }
    }

    /// Removes one of the sessions that have ended, and tells whose it was. To be called at the end of a turn, until
    /// there are none.
    pub(super) fn reap(&mut self) -> Option<FiveTuple> {
        while let Some(client) = self.ending.pop() {
            let Some(mut session) = self.sessions.remove(&client) else {
                continue;
            };
            let reason = session.ends.unwrap_or(CloseReason::Broken);
            if session.stream.ssl().is_init_finished()
                && !matches!(reason, CloseReason::Tls | CloseReason::Broken)
            {
                // Best effort: close_notify is never repeated.
                let _ = session.stream.shutdown();
            }
            self.counters.closed[reason as usize].add(1);
            self.counters.open[Speaks::Dtls as usize].sub(1);
            let sessions = &self.sessions;
            self.deadlines.sweep(sessions.len(), |id| {
                sessions
                    .get(&id.client)
                    .is_some_and(|session| session.id == id)
            });
            return Some(client);
        }
        None
    }

    /// Sends what ended sessions had to say, and lets handshakes begin again.
    pub(super) fn end_turn(&mut self) {
        self.flush();
        self.handshakes = HANDSHAKES;
    }

    /// Opens what a client's session finds on the line: at most one record of application data. Returns its length.
    fn open(&mut self, now: Tick, from: FiveTuple, plain: &mut [u8]) -> Option<usize> {
        let found = self.sessions.get_mut(&from);
        let session = found.filter(|session| session.ends.is_none())?;
        let was_open = session.is_open();
        match session.stream.ssl_read(plain) {
            Ok(len) => {
                session.heard = Some(now);
                Some(len)
            }
            Err(error) => {
                // A client that shakes hands again is not answered, but the library waits for the rest of what it began.
                let begins_anew = was_open && !session.is_open();
                match error.code() {
                    _ if begins_anew => self.end(&from, CloseReason::Tls),
                    ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => {}
                    ErrorCode::ZERO_RETURN => self.end(&from, CloseReason::Left),
                    _ => self.end(&from, CloseReason::Tls),
                }
                None
            }
        }
    }

    /// Marks a session as ended: the first reason counts.
    fn end(&mut self, client: &FiveTuple, reason: CloseReason) {
        if let Some(session) = self.sessions.get_mut(client)
            && session.ends.is_none()
        {
            session.ends = Some(reason);
            self.ending.push(*client);
        }
    }
}

impl Session {
    /// Whether messages can be sealed for its client.
    fn is_open(&self) -> bool {
        self.ends.is_none() && self.stream.ssl().is_init_finished()
    }
}

#[cfg(test)]
mod tests;
