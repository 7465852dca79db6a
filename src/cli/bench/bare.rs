//! The limit to compare a server with: a forwarder that knows nothing but where each flow goes. One `recvmmsg` and one
//! `sendmmsg` for up to 64 datagrams, on a thread of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread::{self, JoinHandle};

use super::BenchError;
use super::stamp::Stamp;
use crate::net::{
    self, Batch, Envelope, Events, Interest, Offload, Poller, SocketOptions, UdpSocket, Waker,
};

/// The name of its thread.
pub(super) const THREAD: &str = "bench-bare";

/// The token of the waker.
const STOP: u64 = u64::MAX;

/// The sockets of a forwarder that does not run yet: as a server has them, a listener and relay sockets.
pub(super) struct BareSockets {
    /// The first is the listener.
    sockets: Vec<UdpSocket>,
    offload: Offload,
}

/// A running forwarder. Dropping it stops it.
pub(super) struct Bare {
    waker: Waker,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// What becomes of a flow's datagrams.
#[derive(Clone, Copy)]
pub(super) struct Route {
    /// The socket that they leave from.
    pub(super) socket: usize,
    pub(super) to: SocketAddr,
}

impl BareSockets {
    /// Opens a listener on the loopback interface.
    pub(super) fn open(offload: Offload) -> Result<Self, BenchError> {
        let mut sockets = Self {
            sockets: Vec::new(),
            offload,
        };
        sockets.open_one()?;
        Ok(sockets)
    }

    /// Opens one more socket; its number.
    pub(super) fn open_one(&mut self) -> Result<usize, BenchError> {
        let options = SocketOptions {
            recv_buffer: 4 << 20,
            send_buffer: 4 << 20,
            offload: self.offload,
        };
        let socket = UdpSocket::listen((Ipv4Addr::LOCALHOST, 0).into(), &options);
        self.sockets.push(socket.map_err(BenchError::Socket)?);
        Ok(self.sockets.len() - 1)
    }

    /// Where a socket is; number 0 is the listener.
    pub(super) fn address(&self, socket: usize) -> SocketAddr {
        self.sockets[socket].local_addr()
    }

    /// Starts to forward, flow by flow, on the core of that number if there is one.
    pub(super) fn forward(
        self,
        routes: Vec<Route>,
        cpu: Option<usize>,
    ) -> Result<Bare, BenchError> {
        let waker = Waker::new().map_err(BenchError::Network)?;
        let poller = Poller::new().map_err(BenchError::Network)?;
        let added = poller.add(&waker, STOP, Interest::READABLE);
        added.map_err(BenchError::Network)?;
        for (token, socket) in (0..).zip(&self.sockets) {
            let added = poller.add(socket, token, Interest::READABLE);
            added.map_err(BenchError::Network)?;
        }
        let thread = thread::Builder::new().name(THREAD.to_owned());
        let spawned = thread.spawn(move || {
            if let Some(cpu) = cpu {
                net::stay_on_core(cpu)?;
            }
            forward(&poller, &self.sockets, &routes)
        });
        Ok(Bare {
            waker,
            thread: Some(spawned.map_err(BenchError::Network)?),
        })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // What it could not do any more shows as loss.
            let _ = thread.join();
        }
    }
}

fn forward(poller: &Poller, sockets: &[UdpSocket], routes: &[Route]) -> io::Result<()> {
    let mut events = Events::new(256);
    let mut batch = Batch::new(64);
    loop {
        poller.wait(&mut events, None)?;
        for event in events.iter() {
            if event.token == STOP {
                return Ok(());
            }
            let index = usize::try_from(event.token).unwrap_or(usize::MAX);
            let Some(socket) = sockets.get(index) else {
                continue;
            };
            batch.receive(socket, usize::MAX)?;
            while let Some(datagram) = batch.next_datagram(|_| false) {
                let span = datagram.start..datagram.start + datagram.len;
                let route =
                    Stamp::read(datagram.bytes()).and_then(|stamp| routes.get(stamp.flow as usize));
                if let Some(route) = route {
                    let envelope = Envelope {
                        socket: route.socket,
                        to: route.to,
                        source: None,
                        dont_fragment: false,
                    };
                    batch.send(envelope, span);
                }
            }
            // What does not fit is lost, and counted where it should have arrived.
            let _report = batch.flush(|socket: usize| sockets.get(socket));
        }
    }
}
