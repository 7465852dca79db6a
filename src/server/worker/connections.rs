//! The half of a worker that serves connections: clients on streams, those with sessions of DTLS, and the peers of TCP
//! relays.

use super::{Worker, to_peer};
use crate::relay::{ConnectionToken, FiveTuple, Verdict};
use crate::server::host::WorkerHost;
use crate::server::streams::{Inbound, PeerNews, Ready, WAITING};
use crate::time::Now;

/// Connections of peers that are taken from one relayed address in one turn.
const PEERS_SHARE: usize = 8;

impl Worker {
    /// Takes what arrived on a connection; returns how many frames that were.
    pub(super) fn receive_stream(&mut self, now: Now, number: u32) -> usize {
        let relay = &self.relay;
        let Some(mut inbound) = self.streams.receive(number, |client| relay.serves(client)) else {
            return 0;
        };
        let from = inbound.from;
        let mut frames = 0;
        while let Some(mut frame) = inbound.next_frame() {
            frames += 1;
            let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
            let verdict = self
                .relay
                .on_client(now, &from, &mut frame.packet(), &mut host);
            match verdict {
                Verdict::Splice { answer, connection } => {
                    // An answer to ConnectionBind is short, and these are rare.
                    let answer = frame.buffer()[answer.range()].to_vec();
                    self.splice(now, inbound, connection, &answer);
                    return frames;
                }
                Verdict::HandOver { worker } => {
                    self.streams.hand_over(now.tick, inbound, worker);
                    return frames;
                }
                Verdict::Reply(_)
                | Verdict::ToClient { .. }
                | Verdict::ToPeer { .. }
                | Verdict::Drop(_)
                | Verdict::Later => self.execute_copy(now, verdict, &from, frame.buffer()),
            }
        }
        self.streams.finish(now.tick, inbound);
        frames
    }

    /// Takes at most `limit` messages from a listener that speaks DTLS; returns how many were opened.
    pub(super) fn receive_dtls(&mut self, now: Now, number: u32, limit: usize) -> usize {
        if let Some(dtls) = self.streams.dtls() {
            dtls.receive(number, limit);
        }
        let mut opened = std::mem::take(&mut self.opened);
        let mut messages = 0;
        while let Some(dtls) = self.streams.dtls()
            && let Some((from, mut packet)) = dtls.next_message(now.tick, &mut opened)
        {
            messages += 1;
            let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
            let verdict = self.relay.on_client(now, &from, &mut packet, &mut host);
            self.execute_copy(now, verdict, &from, &opened);
        }
        self.opened = opened;
        messages
    }

    /// Queues what the core decided about a message in `buffer`, which lies outside the batch.
    fn execute_copy(&mut self, now: Now, verdict: Verdict, asked_by: &FiveTuple, buffer: &[u8]) {
        match verdict {
            Verdict::Reply(span) => {
                self.streams
                    .answer(now.tick, asked_by, &buffer[span.range()]);
            }
            Verdict::ToClient { to, span } => self.deliver(now, &to, &buffer[span.range()]),
            Verdict::ToPeer {
                from,
                to,
                span,
                dont_fragment,
            } => self.copy(now, to_peer(from, to, dont_fragment), &buffer[span.range()]),
            // The last two only connections bring about.
            Verdict::Drop(_)
            | Verdict::Later
            | Verdict::Splice { .. }
            | Verdict::HandOver { .. } => {}
        }
    }

    /// Joins a client's connection with a peer's.
    fn splice(&mut self, now: Now, inbound: Inbound, token: ConnectionToken, answer: &[u8]) {
        match self.streams.splice(now.tick, inbound, token, answer) {
            Some(number) => self.serve_peer(now, number, Ready::BOTH),
            None => {
                let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
                self.relay.on_connection_closed(now, token, &mut host);
            }
        }
    }

    /// Goes on with a peer connection, and tells the core what became of it.
    pub(super) fn serve_peer(&mut self, now: Now, number: u32, ready: Ready) {
        let relay = &mut self.relay;
        let news = self
            .streams
            .serve_peer(now.tick, number, ready, |token, direction, bytes| {
                relay.on_spliced(now.tick, token, direction, bytes)
            });
        let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
        match news {
            Some(PeerNews::Connected(token, outcome)) => {
                self.relay.on_connect_result(now, token, outcome, &mut host);
            }
            Some(PeerNews::Over(token)) => self.relay.on_connection_closed(now, token, &mut host),
            None => {}
        }
    }

    /// Takes the connections that peers have opened to a relayed address.
    pub(super) fn accept_peers(&mut self, now: Now, number: u32) {
        for _ in 0..PEERS_SHARE {
            let (accepted, token) = match self.sockets.accept(now.tick, number) {
                Ok(Some(accepted)) => accepted,
                Ok(None) => return,
                Err(_) => return self.streams.count_failed_accept(),
            };
            let mut host = WorkerHost::new(now.tick, &mut self.sockets, &mut self.streams);
            let admitted = self
                .relay
                .on_peer_connection(now, token, accepted.peer, &mut host);
            if let Ok(connection) = admitted {
                self.streams.park(connection, accepted.stream);
            }
        }
    }

    /// Takes in the connections that other workers have handed over.
    pub(super) fn take_handed(&mut self, now: Now) {
        self.streams.hear();
        for _ in 0..WAITING {
            let Some(number) = self.streams.take_handed(now.tick) else {
                return;
            };
            self.receive_stream(now, number);
        }
    }
}
