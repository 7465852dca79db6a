//! The generator's sockets: where its clients and its plain peer are on the network.
//!
//! On the loopback interface, where every address of 127.0.0.0/8 is this machine's, a few sockets serve any number of
//! clients, each with an address of its own: so a call into the kernel moves datagrams of many clients, and the
//! generator costs less than the server. Elsewhere each client has a socket of its own, and everywhere where it reaches
//! the server over a stream: `connections`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::BenchError;
use super::connections::Connections;
use super::road::Road;
use super::schedule::Clock;
use crate::net::{
    Batch, Envelope, Events, Interest, Offload, Poller, SendReport, SocketOptions, UdpSocket,
};

/// Sockets that serve all clients on the loopback interface.
const SHARED: usize = 4;

/// The address of the first client on the loopback interface; the others follow it.
const FIRST: u32 = u32::from_be_bytes([127, 64, 0, 1]);

/// Clients that there are addresses for on the loopback interface.
pub(super) const ADDRESSES: usize = 1 << 20;

/// The address of the plain peer on the loopback interface.
const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What is asked of the kernel for each socket, in bytes.
const BUFFER: usize = 4 << 20;

/// Datagrams queued before they are sent.
const QUEUED_MAX: usize = 256;

/// Bytes queued before they are sent: a batch takes a mebibyte.
const QUEUED_BYTES_MAX: usize = 512 << 10;

/// The token of the first connection, behind those of all sockets.
const CONNECTIONS: u64 = 1 << 32;

/// Sockets, and batches to send and receive with.
pub(super) struct Places {
    clock: Clock,
    server: SocketAddr,
    offload: Offload,
    /// Whether few sockets serve all clients.
    shares: bool,
    /// Those of the clients, then that of the plain peer.
    sockets: Vec<UdpSocket>,
    /// How many of them are clients'; none where these have connections.
    clients: usize,
    /// None where the clients have sockets.
    connections: Option<Connections>,
    poller: Poller,
    events: Events,
    inbox: Batch<()>,
    outbox: Batch<usize>,
    queued: usize,
    queued_bytes: usize,
    /// What became of all that was sent since it was last asked.
    report: SendReport,
}

/// Where one party is: what its datagrams leave from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Socket {
        index: usize,
        /// Its address, where it shares the socket.
        source: Option<IpAddr>,
    },
    /// The connection of the client of that number.
    Connection(usize),
}

/// A datagram that came.
pub(super) struct Arrival<'a> {
    /// The number of the client that it came to; `None` for the plain peer.
    pub(super) client: Option<usize>,
    pub(super) bytes: &'a [u8],
    /// Nanoseconds of the generator's clock.
    pub(super) nanos: u64,
}

impl Places {
    /// Opens sockets or connections for `clients` that talk to `server`.
    pub(super) fn open(
        clock: Clock,
        (server, road): (SocketAddr, &Road),
        clients: usize,
        offload: Offload,
    ) -> Result<Self, BenchError> {
        let mut places = Self {
            clock,
            server,
            offload,
            shares: matches!(server.ip(), IpAddr::V4(ip) if ip.is_loopback()),
            sockets: Vec::new(),
            clients: 0,
            connections: None,
            poller: Poller::new().map_err(BenchError::Network)?,
            events: Events::new(256),
            inbox: Batch::new(64),
            outbox: Batch::new(1),
            queued: 0,
            queued_bytes: 0,
            report: SendReport::default(),
        };
        if !matches!(road, Road::Udp) {
            let from = (0..clients).map(|number| places.beginning(number));
            let watch = (&places.poller, CONNECTIONS);
            places.connections = Connections::open(road, server, from, watch)?;
            return Ok(places);
        }
        let count = if places.shares {
            clients.min(SHARED)
        } else {
            clients
        };
        for _ in 0..count {
            places.open_socket(places.anywhere())?;
        }
        places.clients = count;
        Ok(places)
    }

    /// Opens the socket of the plain peer, behind those of the clients; where it is reached.
    pub(super) fn open_peer(
        &mut self,
        ip: Option<IpAddr>,
    ) -> Result<(Place, SocketAddr), BenchError> {
        let ip = match ip {
            Some(ip) => ip,
            None => self.own_address()?,
        };
        self.open_socket(SocketAddr::new(ip, 0))?;
        let socket = self.sockets.len() - 1;
        let place = Place::Socket {
            index: socket,
            source: None,
        };
        Ok((place, self.sockets[socket].local_addr()))
    }

    /// Where the client of that number is.
    pub(super) fn client(&self, number: usize) -> Place {
        if let Some(connections) = &self.connections {
            return Place::Connection(number % connections.len());
        }
        let source = self.shares.then(|| self.beginning(number).ip());
        Place::Socket {
            index: number % self.clients,
            source,
        }
    }

    /// The address of a client, as far as the generator knows it.
    pub(super) fn address(&self, place: Place) -> SocketAddr {
        match place {
            Place::Socket { index, source } => {
                let local = self.sockets[index].local_addr();
                SocketAddr::new(source.unwrap_or_else(|| local.ip()), local.port())
            }
            Place::Connection(number) => self.beginning(number),
        }
    }

    /// Gives the client of that number a 5-tuple that it has not had, where its number does not, or a new connection.
    pub(super) fn renew(&mut self, number: usize) -> Result<(), BenchError> {
        let from = self.beginning(number);
        if let Some(connections) = &mut self.connections {
            let slot = number % connections.len();
            return connections.renew(slot, from, (&self.poller, CONNECTIONS));
        }
        if self.shares {
            return Ok(());
        }
        let slot = number % self.clients;
        let socket = self.bind(self.anywhere())?;
        self.watch(&socket, slot)?;
        // The old one leaves the poller as it is closed.
        self.sockets[slot] = socket;
        Ok(())
    }

    /// Queues a datagram; sends what is queued where that is enough.
    pub(super) fn send(&mut self, from: Place, to: SocketAddr, bytes: &[u8]) {
        let (socket, source) = match (from, &mut self.connections) {
            (Place::Socket { index, source }, _) => (index, source),
            (Place::Connection(number), Some(connections)) => {
                connections.queue(number, bytes, (&self.poller, CONNECTIONS));
                return;
            }
            (Place::Connection(_), None) => return,
        };
        let envelope = Envelope {
            socket,
            to,
            source,
            dont_fragment: false,
        };
        self.outbox.send_copy(envelope, bytes);
        self.queued += 1;
        self.queued_bytes += bytes.len();
        if self.queued >= QUEUED_MAX || self.queued_bytes >= QUEUED_BYTES_MAX {
            self.flush();
        }
    }

    /// Sends what is queued.
    pub(super) fn flush(&mut self) {
        if self.queued > 0 {
            let sockets = &self.sockets;
            self.report += self.outbox.flush(|socket| sockets.get(socket));
            self.queued = 0;
            self.queued_bytes = 0;
        }
        if let Some(connections) = &mut self.connections {
            connections.flush((&self.poller, CONNECTIONS));
        }
    }

    /// How many datagrams the kernel, or a connection, did not take since this was last asked.
    pub(super) fn take_unsent(&mut self) -> u64 {
        let connections = self.connections.as_mut();
        std::mem::take(&mut self.report).dropped() + connections.map_or(0, Connections::take_unsent)
    }

    /// Waits for datagrams, at most so long, and hands out one batch of each socket and connection; how many came.
    pub(super) fn receive(
        &mut self,
        timeout: Duration,
        mut take: impl FnMut(Arrival<'_>),
    ) -> Result<usize, BenchError> {
        let waited = self.poller.wait(&mut self.events, Some(timeout));
        waited.map_err(BenchError::Network)?;
        let mut count = 0;
        for event in self.events.iter() {
            if let (Some(number), Some(connections)) =
                (event.token.checked_sub(CONNECTIONS), &mut self.connections)
            {
                let number = usize::try_from(number).unwrap_or(usize::MAX);
                let (watch, clock) = ((&self.poller, CONNECTIONS), self.clock);
                let mut nanos = None;
                count += connections.ready(number, watch, |bytes| {
                    take(Arrival {
                        client: Some(number),
                        bytes,
                        nanos: *nanos.get_or_insert_with(|| clock.nanos()),
                    });
                });
                continue;
            }
            let index = usize::try_from(event.token).unwrap_or(usize::MAX);
            let Some(socket) = self.sockets.get(index) else {
                continue;
            };
            let received = self.inbox.receive(socket, usize::MAX);
            received.map_err(BenchError::Network)?;
            let nanos = self.clock.nanos();
            let (shares, at_client) = (self.shares, index < self.clients);
            while let Some(datagram) = self.inbox.next_datagram(|_| false) {
                count += 1;
                let client = if shares {
                    offset(datagram.to)
                } else {
                    Some(index)
                };
                take(Arrival {
                    client: client.filter(|_| at_client),
                    bytes: datagram.bytes(),
                    nanos,
                });
            }
            let _nothing_queued = self.inbox.flush(|()| None);
        }
        let connections = self.connections.as_mut();
        match connections.and_then(Connections::take_failure) {
            Some(error) => Err(BenchError::Connection(error)),
            None => Ok(count),
        }
    }

    /// How many datagrams the kernel dropped because a buffer of the generator was full.
    pub(super) fn drops(&self) -> u64 {
        let drops = self.sockets.iter().map(UdpSocket::receive_drops);
        drops.flatten().map(u64::from).sum()
    }

    /// Where every client sends to.
    pub(super) const fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    fn open_socket(&mut self, at: SocketAddr) -> Result<(), BenchError> {
        let socket = self.bind(at)?;
        self.watch(&socket, self.sockets.len())?;
        self.sockets.push(socket);
        Ok(())
    }

    fn bind(&self, at: SocketAddr) -> Result<UdpSocket, BenchError> {
        let options = SocketOptions {
            recv_buffer: BUFFER,
            send_buffer: BUFFER,
            offload: self.offload,
        };
        UdpSocket::listen(at, &options).map_err(BenchError::Socket)
    }

    fn watch(&self, socket: &UdpSocket, index: usize) -> Result<(), BenchError> {
        let token = index as u64;
        let added = self.poller.add(socket, token, Interest::READABLE);
        added.map_err(BenchError::Network)
    }

    /// Where the client of that number begins what it sends: at an address of its own on the loopback interface.
    fn beginning(&self, number: usize) -> SocketAddr {
        if !self.shares {
            return self.anywhere();
        }
        let offset = u32::try_from(number % ADDRESSES).expect("less than 2^20");
        SocketAddr::new(Ipv4Addr::from(FIRST + offset).into(), 0)
    }

    const fn anywhere(&self) -> SocketAddr {
        match self.server {
            SocketAddr::V4(_) => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            SocketAddr::V6(_) => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        }
    }

    /// The address that this machine has towards the server.
    fn own_address(&self) -> Result<IpAddr, BenchError> {
        if self.shares {
            return Ok(PEER.into());
        }
        let probe = || {
            let socket = std::net::UdpSocket::bind(self.anywhere())?;
            socket.connect(self.server)?;
            socket.local_addr()
        };
        probe()
            .map(|address| address.ip())
            .map_err(BenchError::Network)
    }
}

/// The number of the client that has an address of its own on the loopback interface.
fn offset(ip: IpAddr) -> Option<usize> {
    match ip {
        IpAddr::V4(ip) => usize::try_from(u32::from(ip).checked_sub(FIRST)?).ok(),
        IpAddr::V6(_) => None,
    }
}
