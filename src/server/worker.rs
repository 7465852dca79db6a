//! One worker: a thread that owns its listeners, its relay sockets and its share of the allocations.
//!
//! The thread waits in one place, for readiness, timers and the call to stop; between two waits everything is a plain
//! function call: receive a batch, ask the core about each datagram, send what it says.

mod connections;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use super::clock::Clock;
use super::heart::Heart;
use super::host::WorkerHost;
use super::moderation::Moderation;
use super::sockets::{Key, RelaySockets};
use super::stop::Stop;
use super::streams::{Ready, Streams};
use crate::masked::Masked;
use crate::net::{
    self, Batch, Datagram, Envelope, Events, Interest, Poller, QueuedError, UdpSocket,
};
use crate::relay::{
    Counter, FiveTuple, HEADROOM, IcmpError, Link, MIN_BUFFER, Packet, Relay, SocketId, Span,
    Transport, Verdict,
};
use crate::time::Now;

const _: () = assert!(
    HEADROOM == net::HEADROOM,
    "the core writes headers where the batch leaves room"
);

/// Messages in a batch.
const BATCH: usize = 64;

/// Messages that one socket may bring in one turn, and that all listeners together may bring in one batch: half of it,
/// so that a bulk flow cannot starve the others.
const SHARE: usize = BATCH / 2;

/// Bytes that connections may bring into a batch before it is sent, and what each datagram is charged beside its own:
/// so the batch is sent before it holds more datagrams or bytes than it takes.
const COPIED_MAX: usize = 256 * 1024;
const COPY_OVERHEAD: usize = 256;

/// Sockets that are looked at in one turn.
const SOCKETS: usize = 256;

/// A worker's state. Made on the thread that runs it.
pub(super) struct Worker {
    clock: Clock,
    relay: Relay,
    /// By the number of their link.
    listeners: Arc<[UdpSocket]>,
    sockets: RelaySockets,
    streams: Streams,
    poller: Rc<Poller>,
    events: Events,
    batch: Batch<Key>,
    /// Datagrams from connections in the batch, which has no room for any number of them.
    copied: usize,
    /// Datagrams that were not sent, for whatever reason.
    unsent: Arc<Counter>,
    /// Where what came over DTLS is opened.
    opened: Vec<u8>,
    /// Where an ICMP error's indication is written.
    scratch: Box<[u8; MIN_BUFFER]>,
}

impl Worker {
    pub(super) fn new(
        clock: Clock,
        relay: Relay,
        listeners: Arc<[UdpSocket]>,
        (poller, sockets, streams): (Rc<Poller>, RelaySockets, Streams),
        unsent: Arc<Counter>,
    ) -> io::Result<Self> {
        for (number, listener) in (0..).zip(&*listeners) {
            poller.add(listener, Key::Listener(number).token(), Interest::READABLE)?;
        }
        Ok(Self {
            clock,
            relay,
            listeners,
            sockets,
            streams,
            poller,
            events: Events::new(SOCKETS),
            batch: Batch::new(BATCH),
            copied: 0,
            unsent,
            opened: Vec::new(),
            scratch: Box::new([0; MIN_BUFFER]),
        })
    }

    /// Serves until the daemon stops.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses to say which sockets are readable: nothing can be served then.
    #[expect(
        clippy::disallowed_methods,
        reason = "a pause while packets gather in the kernel's queues"
    )]
    pub(super) fn run(mut self, stop: &Stop, heart: &Heart) -> io::Result<()> {
        self.poller
            .add(stop.waker(), Key::Waker.token(), Interest::READABLE)?;
        let mut now = self.clock.now();
        let mut moderation = Moderation::new(now.tick);
        while !stop.is_asked() {
            let due = [
                self.relay.poll_timeout(),
                self.streams.poll_timeout(),
                self.sockets.poll_timeout(),
            ];
            let due = due.into_iter().flatten().min();
            let patience = due.map_or(Heart::PERIOD, |due| due.since(now.tick).min(Heart::PERIOD));
            self.poller.wait(&mut self.events, Some(patience))?;
            now = self.clock.now();
            heart.beat(now.tick);
            let packets = self.turn(now);
            // Timers are served on every way round, so that no load can keep an allocation alive.
            self.handle_timeout(now);
            self.reap(now);
            if moderation.pauses(now.tick, packets) {
                thread::sleep(Moderation::PAUSE);
            }
        }
        let now = self.clock.now();
        let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
        self.relay.shut_down(now, &mut host);
        self.streams.shut_down();
        self.reap(now);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Now) {
        let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
        self.relay.handle_timeout(now, &mut host);
        self.sockets.handle_timeout(now.tick);
        self.streams
            .handle_timeout(now.tick, |client| self.relay.serves(client));
        while let Some(number) = self.streams.next_waiting(now.tick) {
            self.serve_peer(now, number, Ready::BOTH);
        }
        // What the timers brought about, such as the answer to an attempt that has failed.
        self.streams.flush(now.tick);
    }

    /// Closes what has ended, after what was queued on it has left. That is the end of a turn.
    fn reap(&mut self, now: Now) {
        while let Some(client) = self.streams.reap() {
            let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
            self.relay.on_disconnect(now, &client, &mut host);
        }
        self.streams.end_turn();
        self.sockets.reap();
    }

    /// Serves each socket that is ready once; returns how many datagrams and frames that brought.
    fn turn(&mut self, now: Now) -> usize {
        let events = std::mem::take(&mut self.events);
        // One that is alone has nobody to share with.
        let share = if events.len() == 1 { BATCH } else { SHARE };
        let mut packets = 0;
        for event in events.iter() {
            match Key::of(event.token) {
                key @ (Key::Listener(_) | Key::Relay(_)) => {
                    if event.error {
                        self.hear_errors(now, key);
                    }
                    if event.readable {
                        if self.batch.is_full() {
                            self.make_room(now);
                        }
                        packets += self.receive(now, key, share);
                    }
                }
                Key::Acceptor(number) => self.streams.accept(now.tick, number),
                Key::Stream(number) => {
                    if event.writable {
                        self.streams.resume(now.tick, number);
                    }
                    // What is wrong with a connection is told by the next receive.
                    if event.readable || event.error || event.closed {
                        packets += self.receive_stream(now, number);
                    }
                }
                Key::PeerAcceptor(number) => self.accept_peers(now, number),
                Key::Peer(number) => {
                    let over = event.error || event.closed;
                    let ready = Ready {
                        to_peer: event.writable || over,
                        to_client: event.readable || over,
                    };
                    self.serve_peer(now, number, ready);
                    packets += Moderation::QUEUE;
                }
                Key::Data(number) => {
                    let over = event.error || event.closed;
                    let ready = Ready {
                        to_peer: event.readable || over,
                        to_client: event.writable || over,
                    };
                    self.serve_peer(now, number, ready);
                    packets += Moderation::QUEUE;
                }
                Key::Dtls(number) => packets += self.receive_dtls(now, number, share),
                Key::Waker => self.take_handed(now),
            }
        }
        self.events = events;
        self.flush(now);
        if self.streams.has_put_off() {
            packets += Moderation::QUEUE;
        }
        packets
    }

    /// Sends what is queued and begins the next batch with the listeners' share: a listener is one of many sockets to the
    /// poller, but what all clients send comes through it. Otherwise whoever keeps many relay sockets busy, be it by
    /// sending to ports at random, would silence the clients.
    fn make_room(&mut self, now: Now) {
        self.flush(now);
        let share = (SHARE / self.listeners.len().max(1)).max(1);
        for number in (0..).take(self.listeners.len()) {
            self.receive(now, Key::Listener(number), share);
        }
        let dtls_listeners = self.streams.dtls().map_or(0, |dtls| dtls.listeners());
        for number in (0..).take(dtls_listeners) {
            self.receive_dtls(now, number, share);
        }
        if self.batch.is_full() {
            self.flush(now);
        }
    }

    /// Takes at most `limit` messages from one socket, as far as the batch has room; returns how many datagrams
    /// they were.
    fn receive(&mut self, now: Now, key: Key, limit: usize) -> usize {
        let Some(socket) = socket(&self.listeners, &self.sockets, key) else {
            return 0;
        };
        // What is wrong with one socket is no reason to end the calls on all others: it was told and is over, or the
        // poller reports it again.
        if self.batch.receive(socket, limit).is_err() {
            return 0;
        }
        if let Key::Listener(number) = key {
            let senders = self.batch.senders();
            let clients = senders.map(|(from, to)| five_tuple(from, to, number));
            self.relay.read_ahead(clients);
        }
        // What a peer sends is never answered, so its buffer needs no more than the headroom.
        let is_peer = matches!(key, Key::Relay(_));
        let isolate = |bytes: &[u8]| !is_peer && Relay::may_answer(bytes);
        let mut datagrams = 0;
        while let Some(mut datagram) = self.batch.next_datagram(isolate) {
            datagrams += 1;
            match key {
                Key::Listener(number) => {
                    let from = five_tuple(datagram.from, datagram.to, number);
                    let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
                    let verdict =
                        self.relay
                            .on_client(now, &from, &mut packet(&mut datagram), &mut host);
                    if let Some((to, span)) = to_stream(&verdict) {
                        let bytes = &datagram.buffer[span.range()];
                        self.streams.relay(now.tick, to, bytes);
                    } else {
                        execute(&mut self.batch, verdict, Some(&from));
                    }
                }
                Key::Relay(number) => {
                    let Some(token) = self.sockets.get(number).map(|open| open.token) else {
                        break;
                    };
                    let verdict =
                        self.relay
                            .on_peer(now, token, datagram.from, &mut packet(&mut datagram));
                    if let Some((to, span)) = to_stream(&verdict) {
                        let bytes = &datagram.buffer[span.range()];
                        self.streams.relay(now.tick, to, bytes);
                    } else {
                        execute(&mut self.batch, verdict, None);
                    }
                }
                // These bring no datagrams.
                Key::Acceptor(_)
                | Key::Stream(_)
                | Key::PeerAcceptor(_)
                | Key::Peer(_)
                | Key::Data(_)
                | Key::Dtls(_)
                | Key::Waker => break,
            }
        }
        datagrams
    }

    /// Queues what is for a client and lies outside the batch.
    fn deliver(&mut self, now: Now, to: &FiveTuple, bytes: &[u8]) {
        match to.transport() {
            Transport::Udp => self.copy(now, to_client(to), bytes),
            Transport::Tcp | Transport::Tls | Transport::Dtls => {
                self.streams.relay(now.tick, to, bytes);
            }
        }
    }

    /// Queues a datagram that lies outside the batch.
    fn copy(&mut self, now: Now, envelope: Envelope<Key>, bytes: &[u8]) {
        self.batch.send_copy(envelope, bytes);
        self.copied += bytes.len() + COPY_OVERHEAD;
        if self.copied > COPIED_MAX {
            self.flush(now);
        }
    }

    /// Takes in a socket's errors, which would be reported for ever otherwise, and tells clients of the ICMP errors that
    /// came back for what they sent.
    fn hear_errors(&mut self, now: Now, key: Key) {
        for _ in 0..SHARE {
            let failed = socket(&self.listeners, &self.sockets, key);
            let Some(error) = failed.and_then(UdpSocket::next_error) else {
                return;
            };
            let Key::Relay(number) = key else { continue };
            let Some(token) = self.sockets.get(number).map(|open| open.token) else {
                return;
            };
            let verdict = self
                .relay
                .on_icmp(now, token, icmp_error(error), &mut *self.scratch);
            if let Verdict::ToClient { to, span } = verdict {
                let scratch = *self.scratch;
                self.deliver(now, &to, &scratch[span.range()]);
            }
        }
    }

    /// Sends what is queued.
    fn flush(&mut self, now: Now) {
        let (listeners, sockets) = (&self.listeners, &self.sockets);
        let report = self.batch.flush(|key| socket(listeners, sockets, key));
        self.unsent.add(report.dropped());
        self.copied = 0;
        self.streams.flush(now.tick);
    }
}

/// Queues what the core decided about the datagram handed out last.
fn execute(batch: &mut Batch<Key>, verdict: Verdict, asked_by: Option<&FiveTuple>) {
    match verdict {
        Verdict::Reply(span) => {
            if let Some(client) = asked_by {
                batch.send(to_client(client), span.range());
            }
        }
        Verdict::ToClient { to, span } => batch.send(to_client(&to), span.range()),
        Verdict::ToPeer {
            from,
            to,
            span,
            dont_fragment,
        } => batch.send(to_peer(from, to, dont_fragment), span.range()),
        // The last three only streams bring about.
        Verdict::Drop(_) | Verdict::Later | Verdict::Splice { .. } | Verdict::HandOver { .. } => {}
    }
}

/// Where a verdict sends to a client that is reached by a connection or a session.
fn to_stream(verdict: &Verdict) -> Option<(&FiveTuple, Span)> {
    let Verdict::ToClient { to, span } = verdict else {
        return None;
    };
    (to.transport() != Transport::Udp).then_some((to, *span))
}

/// The way to a peer: out of the relayed address.
fn to_peer(from: SocketId, to: Masked<SocketAddr>, dont_fragment: bool) -> Envelope<Key> {
    Envelope {
        socket: Key::Relay(from.0),
        to: to.reveal(),
        source: None,
        dont_fragment,
    }
}

/// The way back to a client: out of the listener that it reached, from the address that it reached.
fn to_client(client: &FiveTuple) -> Envelope<Key> {
    Envelope {
        socket: Key::Listener(client.link.id),
        to: client.client.reveal(),
        source: Some(client.server),
        dont_fragment: false,
    }
}

fn socket<'s>(
    listeners: &'s [UdpSocket],
    sockets: &'s RelaySockets,
    key: Key,
) -> Option<&'s UdpSocket> {
    match key {
        Key::Listener(number) => listeners.get(number as usize),
        Key::Relay(number) => sockets.get(number).map(|open| &open.socket),
        Key::Acceptor(_)
        | Key::Stream(_)
        | Key::PeerAcceptor(_)
        | Key::Peer(_)
        | Key::Data(_)
        | Key::Dtls(_)
        | Key::Waker => None,
    }
}

fn packet<'d>(datagram: &'d mut Datagram<'_>) -> Packet<'d> {
    Packet::at(datagram.buffer, datagram.start, datagram.len)
}

fn five_tuple(from: SocketAddr, to: IpAddr, listener: u32) -> FiveTuple {
    FiveTuple {
        client: Masked::new(from),
        server: to,
        link: Link {
            id: listener,
            transport: Transport::Udp,
        },
    }
}

/// An error as the core knows it. A datagram that this host itself could not send unfragmented is told to the client
/// like a router's answer (RFC 8656 section 11.5): fragmentation needed, or ICMPv6's packet too big.
fn icmp_error(error: QueuedError) -> IcmpError {
    match error {
        QueuedError::Icmp(icmp) => IcmpError {
            peer: Masked::new(icmp.peer.0),
            kind: icmp.kind,
            code: icmp.code,
            mtu: icmp.mtu,
        },
        QueuedError::TooBig { peer, mtu } => {
            let (kind, code) = if peer.0.is_ipv4() { (3, 4) } else { (2, 0) };
            IcmpError {
                peer: Masked::new(peer.0),
                kind,
                code,
                mtu,
            }
        }
    }
}

#[cfg(test)]
mod tests;
