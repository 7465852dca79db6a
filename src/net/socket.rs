//! UDP sockets as the daemon needs them: the options are set once, and nothing of a received packet is taken over
//! into a sent one.
//!
//! The relay uses the "alternate behaviour" of RFC 8656 sections 13 to 15 for every header field: a fixed TTL, DSCP 0,
//! Not-ECT, no flow label. What a client sets would tell its peer about the client.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

use super::errors::{self, QueuedError};
use super::offload::Offload;
use super::sys;

/// What differs from socket to socket.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// The receive buffer to ask the kernel for, in bytes.
    pub recv_buffer: usize,
    /// The send buffer to ask the kernel for, in bytes.
    pub send_buffer: usize,
    /// Which offloads the socket may use.
    pub offload: Offload,
}

/// A non-blocking UDP socket, closed on exec.
pub struct UdpSocket {
    socket: Socket,
    /// Where the socket is bound, the port filled in.
    local: SocketAddr,
    /// Whether a run of datagrams may leave as one message that the kernel cuts.
    gso: AtomicBool,
}

impl UdpSocket {
    /// Opens a listener at `addr`, which may be a wildcard and may be shared with the listeners of other workers:
    /// the kernel keeps each client's 5-tuple with one of them. An IPv6 listener takes no IPv4.
    ///
    /// # Errors
    ///
    /// [`BindError`], one variant per cause.
    pub fn listen(addr: SocketAddr, options: &SocketOptions) -> Result<Self, BindError> {
        let socket = open(addr, options)?;
        socket.set_reuse_port(true)?;
        if addr.ip().is_unspecified() {
            // An answer is to leave from the address that the request hit, so the listener has to learn it.
            set(&socket, addr, PACKET_INFO, 1)?;
        }
        Self::bind(socket, addr, options)
    }

    /// Opens a relay socket at `addr`, whose port nobody else may hold. ICMP errors about what it sends are queued for
    /// [`Self::next_error`].
    ///
    /// # Errors
    ///
    /// [`BindError`], one variant per cause.
    pub fn relay(addr: SocketAddr, options: &SocketOptions) -> Result<Self, BindError> {
        let socket = open(addr, options)?;
        set(&socket, addr, RECV_ERRORS, 1)?;
        Self::bind(socket, addr, options)
    }

    /// Where the socket is bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The receive and the send buffer that the kernel granted, in bytes. Less than was asked for means that
    /// `net.core.rmem_max` or `net.core.wmem_max` is in the way.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn buffers(&self) -> io::Result<(usize, usize)> {
        // The kernel reports twice what it grants: its own bookkeeping is counted against the buffer (socket(7)).
        let recv = self.socket.recv_buffer_size()? / 2;
        let send = self.socket.send_buffer_size()? / 2;
        Ok((recv, send))
    }

    /// How many datagrams the kernel dropped because the receive buffer was full, modulo 2^32.
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn receive_drops(&self) -> io::Result<u32> {
        sys::dropped(self.as_fd())
    }

    /// Takes the oldest error out of a relay socket's error queue; `None` where there is no other.
    ///
    /// To be called until it returns `None` whenever the poller reports an error, and only then: it costs a system
    /// call.
    pub fn next_error(&self) -> Option<QueuedError> {
        let error = errors::next_error(self.as_fd());
        if error.is_none() {
            // An error that found no room in the queue is still pending on the socket, and would be reported for ever.
            let _ = self.socket.take_error();
        }
        error
    }

    /// Whether the socket is bound to every address of the machine, so that a sender has to name one.
    pub(super) const fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    /// Whether segmentation offload is in use.
    pub(super) fn gso(&self) -> bool {
        self.gso.load(Ordering::Relaxed)
    }

    /// Ends the use of segmentation offload: the way out of this host cannot do it.
    pub(super) fn disable_gso(&self) {
        self.gso.store(false, Ordering::Relaxed);
    }

    /// Sets whether what is sent from here on must not be fragmented. IPv6 routers never fragment and RFC 8656 section
    /// 13 has the request ignored there, so that it does nothing for IPv6.
    ///
    /// `PROBE` sets DF and compares with the MTU of the outgoing link only, as RFC 8656 section 14 has it: what routers
    /// said earlier, forged or not, decides nothing here, and what they say next is told.
    pub(super) fn set_dont_fragment(&self, on: bool) -> io::Result<()> {
        if self.local.is_ipv6() {
            return Ok(());
        }
        let mode = if on {
            libc::IP_PMTUDISC_PROBE
        } else {
            fragment(self.local)
        };
        set(&self.socket, self.local, MTU_DISCOVER, mode)
    }

    fn bind(socket: Socket, addr: SocketAddr, options: &SocketOptions) -> Result<Self, BindError> {
        socket.bind(&addr.into())?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or(BindError::NoSuchAddress)?;
        let gso = AtomicBool::new(options.offload.gso);
        Ok(Self { socket, local, gso })
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Why a socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else on this machine holds the port; another port may work.
    #[error("the port is taken")]
    PortTaken,
    /// Descriptors or memory ran out: no port will work at this moment.
    #[error(
        "descriptors or memory ran out (LimitNOFILE of the unit, or ulimit -n, sets how many descriptors there are)"
    )]
    Exhausted(#[source] io::Error),
    /// The address is not one of this machine's.
    #[error("the address is not one of this machine's")]
    NoSuchAddress,
    /// The process may not use the port.
    #[error(
        "the port needs a privilege (ports below 1024: CAP_NET_BIND_SERVICE, see systemd/ports-below-1024.conf)"
    )]
    Denied,
    /// Anything else.
    #[error("the socket could not be set up")]
    Other(#[source] io::Error),
}

impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EADDRINUSE) => Self::PortTaken,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                Self::Exhausted(error)
            }
            Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::ENODEV) => Self::NoSuchAddress,
            Some(libc::EACCES | libc::EPERM) => Self::Denied,
            _ => Self::Other(error),
        }
    }
}

/// Opens a socket of the family of `addr` with what all sockets have in common.
fn open(addr: SocketAddr, options: &SocketOptions) -> Result<Socket, BindError> {
    // socket2 opens sockets closed on exec.
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_unicast_hops_v6(TTL)?;
        socket.set_tclass_v6(0)?;
        let auto_flow_label = (libc::IPPROTO_IPV6, libc::IPV6_AUTOFLOWLABEL);
        sys::set_option(socket.as_fd(), auto_flow_label, 0)?;
    } else {
        socket.set_ttl_v4(TTL)?;
        socket.set_tos_v4(0)?;
    }
    set(&socket, addr, MTU_DISCOVER, fragment(addr))?;
    // Best effort: `UdpSocket::buffers` tells what was granted.
    let _ = socket.set_recv_buffer_size(options.recv_buffer);
    let _ = socket.set_send_buffer_size(options.send_buffer);
    if options.offload.gro {
        sys::set_option(socket.as_fd(), (libc::SOL_UDP, libc::UDP_GRO), 1)?;
    }
    Ok(socket)
}

/// Sets an option that has a name in both families.
fn set(socket: &Socket, addr: SocketAddr, option: PerFamily, value: i32) -> io::Result<()> {
    let name = if addr.is_ipv4() {
        (libc::IPPROTO_IP, option.v4)
    } else {
        (libc::IPPROTO_IPV6, option.v6)
    };
    sys::set_option(socket.as_fd(), name, value)
}

/// The mode in which what is sent may be fragmented.
///
/// IPv4: DF is clear in both modes, but in `DONT` the kernel keeps "fragmentation needed" to itself, which is the
/// answer to a datagram that was sent with DF set (RFC 8656 section 11.5 has it relayed); `OMIT` also ignores what it
/// says about the path, so that a forged one has no effect. IPv6 has no routers that fragment, so there the kernel has
/// to believe it and fragment by itself.
const fn fragment(addr: SocketAddr) -> i32 {
    match addr {
        SocketAddr::V4(_) => libc::IP_PMTUDISC_OMIT,
        SocketAddr::V6(_) => libc::IPV6_PMTUDISC_DONT,
    }
}

/// The TTL and hop limit of everything sent: the default of most systems, so that it says nothing.
const TTL: u32 = 64;

/// An option's names for IPv4 and IPv6.
#[derive(Clone, Copy)]
struct PerFamily {
    v4: i32,
    v6: i32,
}

const PACKET_INFO: PerFamily = PerFamily {
    v4: libc::IP_PKTINFO,
    v6: libc::IPV6_RECVPKTINFO,
};
const MTU_DISCOVER: PerFamily = PerFamily {
    v4: libc::IP_MTU_DISCOVER,
    v6: libc::IPV6_MTU_DISCOVER,
};
const RECV_ERRORS: PerFamily = PerFamily {
    v4: libc::IP_RECVERR,
    v6: libc::IPV6_RECVERR,
};

#[cfg(test)]
mod tests;
