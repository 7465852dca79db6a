//! TCP sockets as the daemon needs them: non-blocking, without delay, and given up when the other side is gone.

use std::io::{self, IoSlice, Read};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::socket::BindError;

/// A non-blocking TCP listener, closed on exec.
pub struct TcpListener {
    socket: Socket,
    /// Where the socket is bound, the port filled in.
    local: SocketAddr,
    /// After how long a silence a connection is probed.
    keepalive: Duration,
}

impl TcpListener {
    /// Opens a listener at `addr`, which may be shared with the listeners of other workers: the kernel gives each
    /// connection to one of them. An IPv6 listener takes no IPv4. After a silence as long as `keepalive`, a connection
    /// is probed, and given up when as much again has passed without an answer.
    ///
    /// # Errors
    ///
    /// [`BindError`], one variant per cause.
    pub fn listen(addr: SocketAddr, keepalive: Duration) -> Result<Self, BindError> {
        let socket = open(addr)?;
        socket.set_reuse_port(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Self::of(socket, keepalive)
    }

    /// Opens a listener at `addr` that nobody else may share, but whose port [`TcpStream::connect`] may connect from.
    ///
    /// # Errors
    ///
    /// [`BindError`], one variant per cause.
    pub fn relay(addr: SocketAddr, keepalive: Duration) -> Result<Self, BindError> {
        let socket = open(addr)?;
        socket.bind(&addr.into())?;
        socket.listen(RELAY_BACKLOG)?;
        // From here on, and not before: whoever listened there would have been shared with.
        socket.set_reuse_port(true)?;
        Self::of(socket, keepalive)
    }

    /// Checks that nobody listens at `addr` yet: listeners that share a port would share its clients as well.
    ///
    /// # Errors
    ///
    /// [`BindError::PortTaken`] where somebody does; the other variants as for [`Self::listen`].
    pub fn check_free(addr: SocketAddr) -> Result<(), BindError> {
        let socket = open(addr)?;
        socket.bind(&addr.into())?;
        socket.listen(1)?;
        Ok(())
    }

    /// Where the socket is bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes a connection that waits, and who is at its other end; `None` where none waits.
    ///
    /// # Errors
    ///
    /// [`AcceptError`].
    pub fn accept(&self) -> Result<Option<Accepted>, AcceptError> {
        let (socket, peer) = match self
            .socket
            .accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
        {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let peer = peer.as_socket().ok_or(AcceptError::Lost)?;
        Accepted::new(socket, peer, self.keepalive)
            .map(Some)
            .map_err(|_| AcceptError::Lost)
    }

    /// A listener of a socket that listens.
    fn of(socket: Socket, keepalive: Duration) -> Result<Self, BindError> {
        let local = socket.local_addr()?.as_socket();
        Ok(Self {
            socket,
            local: local.ok_or(BindError::NoSuchAddress)?,
            keepalive,
        })
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A connection that was taken from a listener. It has no `Debug`, which would show the client.
pub struct Accepted {
    /// It.
    pub stream: TcpStream,
    /// The address of the other end.
    pub peer: SocketAddr,
    /// The address of this machine that the other end reached.
    pub local: SocketAddr,
}

impl Accepted {
    fn new(socket: Socket, peer: SocketAddr, keepalive: Duration) -> io::Result<Self> {
        tune(&socket, keepalive)?;
        let local = socket.local_addr()?;
        let local = local.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let stream = TcpStream { socket };
        Ok(Self {
            stream,
            peer,
            local,
        })
    }
}

/// A connection: non-blocking, closed on exec.
pub struct TcpStream {
    socket: Socket,
}

impl TcpStream {
    /// Begins to connect from `from`, where a listener of [`TcpListener::relay`] may be, to `to`. It becomes writable when
    /// it is known what came of it, which [`Self::is_connected`] tells.
    ///
    /// # Errors
    ///
    /// What the kernel answers where it does not even begin.
    pub fn connect(from: SocketAddr, to: SocketAddr, keepalive: Duration) -> io::Result<Self> {
        let socket = open(from)?;
        socket.set_reuse_port(true)?;
        socket.bind(&from.into())?;
        tune(&socket, keepalive)?;
        begin(&socket, to)?;
        Ok(Self { socket })
    }

    /// Whether it is connected yet.
    ///
    /// # Errors
    ///
    /// Why it never will be.
    pub fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        Ok(self.socket.peer_addr().is_ok())
    }

    /// Tells the other side that nothing more is sent.
    ///
    /// # Errors
    ///
    /// What the kernel answers where the connection is over.
    pub fn finish(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }

    /// Receives into `buf`, which must not be empty.
    ///
    /// # Errors
    ///
    /// What the kernel answers where the connection is over: nothing comes any more.
    pub fn receive(&self, buf: &mut [u8]) -> io::Result<Arrival> {
        loop {
            match (&self.socket).read(buf) {
                Ok(0) => return Ok(Arrival::End),
                Ok(count) => return Ok(Arrival::Bytes(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Arrival::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends as much of `parts`, in their order, as the kernel takes; returns how many bytes that were. Zero where it
    /// takes none at the moment.
    ///
    /// # Errors
    ///
    /// What the kernel answers where the connection is over.
    pub fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match self
                .socket
                .send_vectored_with_flags(parts, libc::MSG_NOSIGNAL)
            {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// That many bytes, at least one.
    Bytes(usize),
    /// Nothing at the moment.
    Nothing,
    /// The other side sends no more.
    End,
}

/// Begins a connection from `from`, whose port may be zero, to `to`. What comes back does not wait: it takes bytes once it is
/// connected, and tells what was wrong where it never will be.
///
/// # Errors
///
/// What the kernel answers where it does not even begin: the address is not this machine's, say.
pub fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<net::TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&from.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    begin(&socket, to)?;
    Ok(socket.into())
}

/// Begins to connect a socket that does not wait.
fn begin(socket: &Socket, to: SocketAddr) -> io::Result<()> {
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        outcome => outcome,
    }
}

/// Why no connection could be taken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The connection ended before it was taken; others may wait behind it.
    #[error("the connection was lost before it was accepted")]
    Lost,
    /// Descriptors or memory ran out: to try again at once would fail again.
    #[error("descriptors or memory ran out")]
    Exhausted(#[source] io::Error),
    /// Anything else.
    #[error("the listener failed")]
    Other(#[source] io::Error),
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                Self::Exhausted(error)
            }
            // Linux reports what is wrong with the new connection as a failure of the call (accept(2)).
            Some(
                libc::EINTR
                | libc::ECONNABORTED
                | libc::EPERM
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT,
            ) => Self::Lost,
            _ => Self::Other(error),
        }
    }
}

/// Opens a socket of the family of `addr` with what all listeners have in common.
fn open(addr: SocketAddr) -> io::Result<Socket> {
    // socket2 opens sockets closed on exec.
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of an earlier process may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Sets up a connection.
fn tune(socket: &Socket, keepalive: Duration) -> io::Result<()> {
    // Frames are put together before they are written, so there is nothing for the kernel to wait for.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(keepalive)
            .with_interval(keepalive / KEEPALIVE_PROBES)
            .with_retries(KEEPALIVE_PROBES),
    )?;
    // The same patience for what was sent and is not acknowledged.
    socket.set_tcp_user_timeout(Some(2 * keepalive))?;
    socket.set_tcp_notsent_lowat(UNSENT_MAX)
}

/// Connections of peers that wait to be accepted at one relayed address.
const RELAY_BACKLOG: i32 = 32;

/// Connections that wait to be accepted by one worker. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Probes that a silent connection is sent.
const KEEPALIVE_PROBES: u32 = 4;

/// Bytes that the kernel takes beyond what it has sent. What it has taken can no longer be dropped for being late, so
/// it is little; what is on its way is not counted, so that it costs no throughput.
const UNSENT_MAX: u32 = 128 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream as Std;

    use super::*;
    use crate::net::{Events, Interest, Poller};

    const MINUTE: Duration = Duration::from_secs(60);
    const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

    #[test]
    fn a_connection_carries_bytes_both_ways_until_its_end() {
        for loopback in LOOPBACKS {
            let (mut client, server) = connect(loopback);
            let mut buf = [0; 8];
            assert_eq!(server.stream.receive(&mut buf).unwrap(), Arrival::Nothing);

            client.write_all(b"hello").unwrap();
            wait(&server.stream);
            assert_eq!(server.stream.receive(&mut buf).unwrap(), Arrival::Bytes(5));
            assert_eq!(&buf[..5], b"hello");
            let parts = [IoSlice::new(b"good"), IoSlice::new(b"bye")];
            assert_eq!(server.stream.send(&parts).unwrap(), 7);
            let mut heard = [0; 7];
            client.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"goodbye");

            client.shutdown(Shutdown::Write).unwrap();
            wait(&server.stream);
            assert_eq!(server.stream.receive(&mut buf).unwrap(), Arrival::End);
            assert_eq!(
                server.peer.ip().to_canonical(),
                client.local_addr().unwrap().ip()
            );
            assert_eq!(server.local, client.peer_addr().unwrap());
        }
    }

    #[test]
    fn a_full_connection_takes_nothing_and_does_not_wait() {
        let (_client, server) = connect(LOOPBACKS[0]);
        let block = [7; 1 << 16];

        let mut sent = 0;
        loop {
            match server.stream.send(&[IoSlice::new(&block)]).unwrap() {
                0 => break,
                count => sent += count,
            }
        }

        assert!(sent > 0);
    }

    #[test]
    fn a_connection_that_was_reset_fails() {
        let (client, server) = connect(LOOPBACKS[0]);
        socket2::SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(client);
        wait(&server.stream);

        assert!(server.stream.receive(&mut [0; 8]).is_err());
        assert!(server.stream.send(&[IoSlice::new(b"x")]).is_err());
    }

    #[test]
    fn workers_share_a_port_and_strangers_are_told() {
        let first = TcpListener::listen(LOOPBACKS[0].parse().unwrap(), MINUTE).unwrap();
        let taken = first.local_addr();

        let second = TcpListener::listen(taken, MINUTE);
        let stranger = TcpListener::check_free(taken);

        assert_eq!(second.unwrap().local_addr(), taken);
        assert!(matches!(stranger, Err(BindError::PortTaken)));
    }

    #[test]
    fn a_relayed_port_connects_while_it_listens_and_is_nobody_elses() {
        for loopback in LOOPBACKS {
            let relay = TcpListener::relay(loopback.parse().unwrap(), MINUTE).unwrap();
            let at = relay.local_addr();
            let peers = [(); 2].map(|()| net::TcpListener::bind(loopback).unwrap());

            let ours = peers
                .each_ref()
                .map(|peer| TcpStream::connect(at, peer.local_addr().unwrap(), MINUTE).unwrap());

            for (peer, ours) in peers.iter().zip(&ours) {
                assert_eq!(peer.accept().unwrap().1, at);
                assert!(ours.is_connected().unwrap());
            }
            Std::connect(at).unwrap();
            wait(&relay);
            assert!(relay.accept().unwrap().is_some());
            let second = TcpListener::relay(at, MINUTE);
            assert!(matches!(second, Err(BindError::PortTaken)));
        }
    }

    #[test]
    fn a_connection_that_is_refused_says_so() {
        let gone = net::TcpListener::bind(LOOPBACKS[0]).unwrap();
        let to = gone.local_addr().unwrap();
        drop(gone);

        let refused = TcpStream::connect(LOOPBACKS[0].parse().unwrap(), to, MINUTE).unwrap();

        let poller = Poller::new().unwrap();
        let interest = Interest {
            readable: false,
            writable: true,
        };
        poller.add(&refused, 0, interest).unwrap();
        let limit = Some(Duration::from_secs(10));
        assert_eq!(poller.wait(&mut Events::new(1), limit).unwrap(), 1);
        assert!(refused.is_connected().is_err());
    }

    #[test]
    fn a_connection_begins_where_it_was_told_to() {
        let listener = TcpListener::listen(LOOPBACKS[0].parse().unwrap(), MINUTE).unwrap();

        let client = super::connect("127.7.0.1:0".parse().unwrap(), listener.local_addr()).unwrap();

        wait(&listener);
        let server = listener.accept().unwrap().expect("a connection");
        assert_eq!(server.peer, client.local_addr().unwrap());
        assert_eq!(server.peer.ip().to_string(), "127.7.0.1");
    }

    #[test]
    fn every_failure_of_an_accept_has_its_kind() {
        let kind = |errno| AcceptError::from(io::Error::from_raw_os_error(errno));
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS] {
            assert!(matches!(kind(errno), AcceptError::Exhausted(_)), "{errno}");
        }
        for errno in [libc::ECONNABORTED, libc::EPROTO, libc::ENETDOWN] {
            assert!(matches!(kind(errno), AcceptError::Lost), "{errno}");
        }
        assert!(matches!(kind(libc::EBADF), AcceptError::Other(_)));
    }

    fn connect(loopback: &str) -> (Std, Accepted) {
        let listener = TcpListener::listen(loopback.parse().unwrap(), MINUTE).unwrap();
        assert!(listener.accept().unwrap().is_none());
        let client = Std::connect(listener.local_addr()).unwrap();
        wait(&listener);
        let server = listener.accept().unwrap().expect("a connection");
        (client, server)
    }

    fn wait(socket: &impl AsFd) {
        let poller = Poller::new().unwrap();
        poller.add(socket, 0, Interest::READABLE).unwrap();
        let limit = Some(Duration::from_secs(10));
        assert_eq!(poller.wait(&mut Events::new(1), limit).unwrap(), 1);
    }
}
