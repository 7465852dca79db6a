//! What becomes of a datagram: it belongs to a session, begins one, or is answered and forgotten.

use std::rc::Rc;

use openssl::ssl::{ErrorCode, SslStream};

use super::hello::{self, ClientHello};
use super::line::Wire;
use super::sieve::Sieve;
use super::{Dtls, LOOK, Session, SessionId};
use crate::relay::FiveTuple;
use crate::server::streams::{CloseReason, Speaks};
use crate::time::Tick;

impl Dtls {
    /// Leaves of a datagram what its client's session is to read, nothing where that is not for any.
    pub(super) fn sift(&mut self, now: Tick, from: FiveTuple, datagram: &mut Vec<u8>) {
        if self.admits(now, from, datagram)
            && let Some(session) = self.sessions.get_mut(&from)
        {
            let is_open = session.stream.ssl().is_init_finished();
            session.sieve.sift(is_open, datagram);
        } else {
            datagram.clear();
        }
    }

    /// Whether a datagram is for a session: one that it belongs to, or one that it begins.
    fn admits(&mut self, now: Tick, from: FiveTuple, datagram: &[u8]) -> bool {
        // RFC 7983 section 7: the bytes that a DTLS record may begin with.
        if !datagram.first().is_some_and(|b| (20..64).contains(b)) {
            return false;
        }
        let hello = ClientHello::parse(datagram);
        let current = self.sessions.get(&from);
        let Some(hello) = hello else {
            return current.is_some();
        };
        if current.is_some_and(|session| session.random == hello.random()) {
            return true;
        }
        if !self.setup.cookies.verify(now, &from, &hello) {
            if hello.is_first() {
                let cookie = self.setup.cookies.make(now, &from, &hello);
                let question = hello.verify_request(&cookie);
                self.line.borrow_mut().send(&from, &question);
            }
            return false;
        }
        if current.is_some() {
            // RFC 6347 section 4.2.8: the client has begun anew, and proven that it is reached. It repeats this
            // ClientHello, and finds the old session gone.
            self.end(&from, CloseReason::Left);
            return false;
        }
        if !hello.is_second() || self.handshakes == 0 {
            return false;
        }
        self.counters.accepted.add(1);
        let begun = self.begin(now, from, &hello);
        if let Err(reason) = begun {
            self.counters.closed[reason as usize].add(1);
        }
        begun.is_ok()
    }

    /// Makes a session for a client that has proven its address, up to where it waits for `hello`.
    fn begin(
        &mut self,
        now: Tick,
        from: FiveTuple,
        hello: &ClientHello<'_>,
    ) -> Result<(), CloseReason> {
        let mut ticket = self.admission.admit()?;
        ticket.count_for(from.client.reveal().ip())?;
        // Whoever is refused before costs nothing, and takes no other's turn.
        self.handshakes -= 1;
        let wire = Wire {
            line: Rc::clone(&self.line),
            to: None,
            // The library's first, number zero, is the one that is not sent.
            ahead: hello.sequence.saturating_sub(1),
        };
        let ssl = self.setup.session(hello.cookie);
        let mut stream = ssl
            .and_then(|ssl| SslStream::new(ssl, wire))
            .map_err(|_| CloseReason::Broken)?;
        // What it says to this, the client has heard.
        self.line.borrow_mut().show(hello::FIRST.to_vec());
        let waits = stream
            .do_handshake()
            .is_err_and(|error| error.code() == ErrorCode::WANT_READ);
        if !waits {
            return Err(CloseReason::Tls);
        }
        stream.get_mut().to = Some(from);
        let id = SessionId {
            serial: self.opened,
            client: from,
        };
        self.opened += 1;
        let session = Session {
            id,
            stream,
            sieve: Sieve::default(),
            random: hello.random(),
            opened: now,
            heard: None,
            ends: None,
            _ticket: ticket,
        };
        self.sessions.insert(from, session);
        self.deadlines.push(now.after(LOOK), id);
        self.counters.open[Speaks::Dtls as usize].add(1);
        Ok(())
    }
}
