//! The connections of the generator's clients to a server that they reach over TCP or TLS: one for each client.
//!
//! What is queued for a client leaves with as few writes as the kernel lets it. Nothing waits for a connection: what one
//! has no room for is not sent, and counted.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use super::BenchError;
use super::road::Road;
use crate::client::{Connection, StreamError};
use crate::net::{self, Interest, Poller};

/// Connections, by the numbers of their clients. Each holds as much on its way out as [`Connection`] does.
pub(super) struct Connections {
    road: Road,
    server: SocketAddr,
    lines: Vec<Line>,
    /// Those that something was queued for since the last flush.
    busy: Vec<usize>,
    /// Messages that found no room since that was last asked.
    unsent: u64,
    /// What ended a connection first, until it is asked for.
    failure: Option<StreamError>,
}

struct Line {
    connection: Connection<TcpStream>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is to be sent.
    Idle,
    /// Something is to be sent.
    Busy,
    /// The kernel takes no more; it tells when it does.
    Waiting,
    /// It is over.
    Over,
}

impl Connections {
    /// Opens a connection to `server` from each of the addresses in `from`; the poller knows the first as `token`, the
    /// others by the following numbers. None where the road is no stream.
    pub(super) fn open(
        road: &Road,
        server: SocketAddr,
        from: impl Iterator<Item = SocketAddr>,
        watch: (&Poller, u64),
    ) -> Result<Option<Self>, BenchError> {
        let mut connections = Self {
            road: road.clone(),
            server,
            lines: Vec::new(),
            busy: Vec::new(),
            unsent: 0,
            failure: None,
        };
        for (number, from) in from.enumerate() {
            let Some(line) = connections.dial(number, from, watch)? else {
                return Ok(None);
            };
            connections.lines.push(line);
        }
        connections.busy.reserve(connections.lines.len());
        Ok(Some(connections))
    }

    /// Gives the client of that number a new connection in place of the one that it has.
    pub(super) fn renew(
        &mut self,
        number: usize,
        from: SocketAddr,
        watch: (&Poller, u64),
    ) -> Result<(), BenchError> {
        if let Some(line) = self.dial(number, from, watch)? {
            // The old one leaves the poller as it is closed.
            self.lines[number] = line;
            self.busy.retain(|busy| *busy != number);
        }
        Ok(())
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.lines.len()
    }

    /// Queues a message of a client; where there is no room, what was queued before is sent first.
    pub(super) fn queue(&mut self, number: usize, message: &[u8], watch: (&Poller, u64)) {
        let mut taken = self.lines[number].queue(message);
        if !taken && self.lines[number].state == State::Busy {
            self.send(number, watch);
            taken = self.lines[number].queue(message);
        }
        let line = &mut self.lines[number];
        if !taken {
            self.unsent += 1;
        } else if line.state == State::Idle {
            line.state = State::Busy;
            self.busy.push(number);
        }
    }

    /// Sends what is queued, as far as the kernel takes it.
    pub(super) fn flush(&mut self, (poller, token): (&Poller, u64)) {
        let mut busy = std::mem::take(&mut self.busy);
        for number in busy.drain(..) {
            if self.lines[number].state == State::Busy {
                self.send(number, (poller, token));
            }
        }
        self.busy = busy;
    }

    /// Does what a connection is ready for: receives once, hands out the messages that came whole, and sends what had to
    /// wait; how many messages came.
    pub(super) fn ready(
        &mut self,
        number: usize,
        (poller, token): (&Poller, u64),
        mut take: impl FnMut(&[u8]),
    ) -> usize {
        let Some(line) = self.lines.get_mut(number) else {
            return 0;
        };
        if line.state == State::Over {
            return 0;
        }
        let received = line.connection.receive();
        let mut count = 0;
        let frames = loop {
            match line.connection.next_frame() {
                Ok(Some(frame)) => {
                    count += 1;
                    take(frame);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = received.and(frames) {
            self.fail(number, poller, error);
        } else if line.state == State::Waiting || line.connection.wants_send() {
            self.send(number, (poller, token));
        }
        count
    }

    /// How many messages found no room since this was last asked.
    pub(super) const fn take_unsent(&mut self) -> u64 {
        std::mem::replace(&mut self.unsent, 0)
    }

    /// What ended a connection since this was last asked, the first of several.
    pub(super) const fn take_failure(&mut self) -> Option<StreamError> {
        self.failure.take()
    }

    /// Begins a connection; what is queued for it is sent once it is there. `None` where the road is no stream.
    fn dial(
        &self,
        number: usize,
        from: SocketAddr,
        (poller, token): (&Poller, u64),
    ) -> Result<Option<Line>, BenchError> {
        if matches!(self.road, Road::Udp) {
            return Ok(None);
        }
        let stream = net::connect(from, self.server).map_err(BenchError::Network)?;
        let token = token + number as u64;
        poller
            .add(&stream, token, Interest::READABLE)
            .map_err(BenchError::Network)?;
        let connection = match &self.road {
            Road::Tls(config, name) => Connection::tls(stream, Arc::clone(config), name.clone())
                .map_err(BenchError::Tls)?,
            Road::Udp | Road::Tcp => Connection::plain(stream),
        };
        Ok(Some(Line {
            connection,
            state: State::Idle,
        }))
    }

    fn send(&mut self, number: usize, (poller, token): (&Poller, u64)) {
        let line = &mut self.lines[number];
        if let Err(error) = line.connection.send() {
            self.fail(number, poller, error);
            return;
        }
        let state = if line.connection.wants_send() {
            State::Waiting
        } else {
            State::Idle
        };
        let writable = state == State::Waiting;
        if writable != (line.state == State::Waiting) {
            let interest = Interest {
                readable: true,
                writable,
            };
            let watched = poller.modify(line.connection.stream(), token + number as u64, interest);
            if let Err(error) = watched {
                self.fail(number, poller, error.into());
                return;
            }
        }
        self.lines[number].state = state;
    }

    fn fail(&mut self, number: usize, poller: &Poller, error: StreamError) {
        let line = &mut self.lines[number];
        line.state = State::Over;
        // What has left the poller already needs not leave it.
        let _ = poller.remove(line.connection.stream());
        self.failure.get_or_insert(error);
    }
}

impl Line {
    /// Queues a message; whether there was room for it.
    fn queue(&mut self, message: &[u8]) -> bool {
        self.state != State::Over && self.connection.queue(message)
    }
}
