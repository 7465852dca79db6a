//! What the core asks of its host, on one worker: who carries it out.

use std::net::SocketAddr;

use super::sockets::RelaySockets;
use super::streams::Streams;
use crate::relay::{
    ConnectFailed, ConnectionToken, Event, FiveTuple, Host, OpenError, RelayToken, SocketId,
};
use crate::time::Tick;

/// A worker's sockets and streams, for the length of one call of the core.
pub(super) struct WorkerHost<'w> {
    now: Tick,
    sockets: &'w mut RelaySockets,
    streams: &'w mut Streams,
}

impl<'w> WorkerHost<'w> {
    pub(super) const fn new(
        now: Tick,
        sockets: &'w mut RelaySockets,
        streams: &'w mut Streams,
    ) -> Self {
        Self {
            now,
            sockets,
            streams,
        }
    }
}

impl Host for WorkerHost<'_> {
    fn open(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        self.sockets.open(local, token)
    }

    fn listen(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        self.sockets.listen(local, token)
    }

    fn close(&mut self, socket: SocketId) {
        self.sockets.close(socket);
    }

    fn connect(
        &mut self,
        connection: ConnectionToken,
        from: SocketId,
        to: SocketAddr,
    ) -> Result<(), ConnectFailed> {
        let from = self.sockets.listener_addr(from).ok_or(ConnectFailed)?;
        self.streams.connect(connection, from, to)
    }

    fn close_connection(&mut self, connection: ConnectionToken) {
        self.streams.close_peer(connection);
    }

    fn tell(&mut self, client: &FiveTuple, message: &[u8]) {
        self.streams.answer(self.now, client, message);
    }

    fn report(&mut self, event: Event<'_>) {
        self.sockets.report(event);
    }
}
