//! What carries a party's messages to the relay: a UDP socket, or a connection over TCP with or without TLS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use crate::client::{Connection, StreamError, Transport};

/// How the parties reach the relay.
#[derive(Clone, Debug)]
pub(super) enum Road {
    Udp,
    Tcp,
    Tls(Arc<ClientConfig>),
}

impl Road {
    /// What it is to a client.
    pub(super) const fn transport(&self) -> Transport {
        match self {
            Self::Udp => Transport::Datagrams,
            Self::Tcp | Self::Tls(_) => Transport::Stream,
        }
    }
}

/// One party's way to the relay.
pub(super) enum Link {
    Udp(UdpSocket),
    Stream(Box<Connection<Stream>>),
}

impl Link {
    /// Opens a link from `ip` to the relay; where it begins.
    pub(super) async fn open(
        ip: IpAddr,
        relay: SocketAddr,
        road: &Road,
    ) -> Result<(SocketAddr, Self), StreamError> {
        let here = SocketAddr::new(ip, 0);
        if let Road::Udp = road {
            let socket = UdpSocket::bind(here).await?;
            socket.connect(relay).await?;
            return Ok((socket.local_addr()?, Self::Udp(socket)));
        }
        let socket = match ip {
            IpAddr::V4(_) => TcpSocket::new_v4(),
            IpAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.bind(here)?;
        let stream = socket.connect(relay).await?;
        stream.set_nodelay(true)?;
        let address = stream.local_addr()?;
        let stream = Stream(stream);
        let connection = match road {
            Road::Udp | Road::Tcp => Connection::plain(stream),
            Road::Tls(config) => Connection::tls(stream, Arc::clone(config), relay.ip().into())?,
        };
        Ok((address, Self::Stream(Box::new(connection))))
    }

    /// Sends a message, or drops it where the relay does not take it.
    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), StreamError> {
        match self {
            Self::Udp(socket) => {
                socket.send(message).await?;
                Ok(())
            }
            Self::Stream(connection) => {
                let _queued = connection.queue(message);
                connection.send()
            }
        }
    }

    /// Waits for a message; how many bytes of `buf` it takes. Loses none where it is not waited for to the end.
    pub(super) async fn receive(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        match self {
            Self::Udp(socket) => Ok(socket.recv(buf).await?),
            Self::Stream(connection) => loop {
                if let Some(frame) = connection.next_frame()? {
                    let len = frame.len().min(buf.len());
                    buf[..len].copy_from_slice(&frame[..len]);
                    return Ok(len);
                }
                let sending = connection.wants_send().then_some(Interest::WRITABLE);
                let interest = Interest::READABLE | sending.unwrap_or(Interest::READABLE);
                connection.stream().0.ready(interest).await?;
                connection.send()?;
                connection.receive()?;
            },
        }
    }
}

/// A TCP stream that never waits.
pub(super) struct Stream(TcpStream);

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
