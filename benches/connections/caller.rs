//! A client that comes, allocates, and maybe stays: over UDP, TCP, or TLS.

use std::io;
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use socket2::SockRef;
use veilturn::client::{
    AllocateOptions, Client, ClientOptions, Connection, Received, StreamError, Transport,
};
use veilturn::net;
use veilturn::time::Tick;

use super::daemon::{Daemon, PATIENCE, address};

/// How a client reaches the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Udp,
    Tcp,
    Tls12,
    Tls13,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Its own address.
    Binding,
    /// An allocation.
    Allocation,
}

/// Clients that reach the daemon in one way.
pub(crate) struct Callers<'d> {
    daemon: &'d Daemon,
    way: Way,
    config: Arc<ClientConfig>,
}

impl Way {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }
}

impl<'d> Callers<'d> {
    pub(crate) fn new(daemon: &'d Daemon, way: Way) -> Self {
        let version = if way == Way::Tls12 { &TLS12 } else { &TLS13 };
        Self {
            daemon,
            way,
            config: daemon.client_config(version),
        }
    }

    /// Has the client of that number get an allocation and leave; how long it took from its first packet, or its
    /// connecting, to the answer.
    pub(crate) fn come_and_go(&self, number: u64) -> io::Result<Duration> {
        let mut client = self.client(number);
        let start = Instant::now();
        if self.way == Way::Udp {
            let mut socket = UdpSocket::bind(address(number))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(self.daemon.udp)?;
            ask(&mut client, Wish::Allocation);
            settle(&mut client, &mut socket)?;
            let took = start.elapsed();
            let asked = client.refresh(Tick::ZERO, Duration::ZERO);
            asked.expect("an allocation that it has");
            settle(&mut client, &mut socket)?;
            return Ok(took);
        }
        let mut stream = self.connect(number)?;
        ask(&mut client, Wish::Allocation);
        settle(&mut client, &mut stream)?;
        let took = start.elapsed();
        // Otherwise the machine fills with connections that wait for late packets.
        SockRef::from(stream.stream()).set_linger(Some(Duration::ZERO))?;
        Ok(took)
    }

    /// Has the client of that number ask for something over a connection, which then lies idle. What is left of the
    /// client is its socket.
    pub(crate) fn stay(&self, number: u64, wish: Wish) -> io::Result<TcpStream> {
        let mut client = self.client(number);
        let mut stream = self.connect(number)?;
        ask(&mut client, wish);
        settle(&mut client, &mut stream)?;
        stream.stream().try_clone()
    }

    fn client(&self, number: u64) -> Client {
        let options = ClientOptions {
            transport: match self.way {
                Way::Udp => Transport::Datagrams,
                Way::Tcp | Way::Tls12 | Way::Tls13 => Transport::Stream,
            },
            ..ClientOptions::default()
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        Client::new(self.daemon.credential(number), options, seed)
    }

    fn connect(&self, number: u64) -> io::Result<Connection<TcpStream>> {
        let to = match self.way {
            Way::Udp => self.daemon.udp,
            Way::Tcp => self.daemon.tcp,
            Way::Tls12 | Way::Tls13 => self.daemon.tls,
        };
        let stream = net::connect(address(number), to)?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(match self.way {
            Way::Udp | Way::Tcp => Connection::plain(stream),
            Way::Tls12 | Way::Tls13 => {
                let tls = Connection::tls(stream, Arc::clone(&self.config), Daemon::name());
                tls.map_err(io::Error::other)?
            }
        })
    }
}

/// What carries messages.
trait Carrier {
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// Waits, and hands on what came, which may be nothing yet.
    fn receive(&mut self, take: impl FnMut(&[u8])) -> io::Result<()>;
}

impl Carrier for UdpSocket {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        Self::send(self, message).map(|_| ())
    }

    fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut buf = [0; 2048];
        let len = self.recv(&mut buf)?;
        take(&buf[..len]);
        Ok(())
    }
}

impl Carrier for Connection<TcpStream> {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let queued = self.queue(message);
        assert!(queued, "one request fits");
        Self::send(self).map_err(broken)
    }

    fn receive(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        if !Self::receive(self).map_err(broken)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.wants_send() {
            Self::send(self).map_err(broken)?;
        }
        while let Some(frame) = self.next_frame().map_err(broken)? {
            take(frame);
        }
        Ok(())
    }
}

fn broken(error: StreamError) -> io::Error {
    io::Error::other(error)
}

fn ask(client: &mut Client, wish: Wish) {
    let asked = match wish {
        Wish::Binding => client.binding(Tick::ZERO),
        Wish::Allocation => client.allocate(Tick::ZERO, AllocateOptions::default()),
    };
    asked.expect("a first request");
}

/// Moves messages until the request is answered. The client's clock stands still: nothing is sent twice.
fn settle(client: &mut Client, carrier: &mut impl Carrier) -> io::Result<()> {
    loop {
        while let Some(request) = client.poll_transmit() {
            carrier.send(request)?;
        }
        let mut outcome = None;
        carrier.receive(|message| {
            if let Received::Completed(completed) = client.handle_datagram(Tick::ZERO, message) {
                outcome = Some(completed.result);
            }
        })?;
        if let Some(result) = outcome {
            return result.map(|_| ()).map_err(io::Error::other);
        }
    }
}
