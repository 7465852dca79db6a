//! What the core asks of the world around it: relay sockets and an ear for events.
//!
//! The calls are synchronous and report their outcome at once, so that success is never promised to a client before it
//! is true. The shell binds real sockets; tests bind imaginary ones and inject failures.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;

use super::{FiveTuple, UserTag};
use crate::masked::Masked;
use crate::wire::ConnectionId;

/// The shell's number for an open relay socket, handed back with every verdict that sends from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId(pub u32);

/// The core's number for a relayed address, handed back by the shell with every packet that arrives on its socket.
///
/// It names a slot and the slot's generation, so that a late packet for an ended allocation meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayToken(pub u64);

/// The core's name for a peer connection of a TCP relay (RFC 6062), good from the attempt to the end. A late report
/// about an ended one meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionToken {
    /// The relayed address that it belongs to.
    pub relay: RelayToken,
    /// What the client calls it.
    pub id: ConnectionId,
}

/// A peer could not be connected to: it refused, did not answer, or this machine is short of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the peer could not be connected to")]
pub struct ConnectFailed;

/// Why a relay socket could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Somebody else on this machine holds the port; another port may work.
    PortTaken,
    /// No descriptors, memory or address: no port will work now.
    Unavailable,
}

/// An ICMP error about a datagram that left a relay socket.
#[derive(Clone, Copy, Debug)]
pub struct IcmpError {
    /// The destination of the datagram in question, as embedded in the error.
    pub peer: Masked<SocketAddr>,
    /// The ICMP type, of the relay socket's address family.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// The next hop's MTU in bytes, where the error tells one; 0 elsewhere.
    pub mtu: u32,
}

/// The world around the core.
///
/// The methods that have a body serve TCP relays (RFC 6062): a host whose `Options::tcp` is off is never asked for them.
pub trait Host {
    /// Binds a relay socket to `local`. Packets that arrive on it are to be given to `Relay::on_peer` with `token`.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing is open then.
    fn open(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError>;

    /// Binds a relay socket to `local` that listens for TCP connections. Those that peers open are to be given to
    /// `Relay::on_peer_connection` with `token`. The port is to be shared with [`Self::connect`] (SO_REUSEADDR).
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing is open then.
    fn listen(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        let _ = (local, token);
        Err(OpenError::Unavailable)
    }

    /// Closes a relay socket; packets and connections that still arrive for it are dropped.
    fn close(&mut self, socket: SocketId);

    /// Starts to connect from the local address of the listening socket `from` to `to`. The outcome is to be given to
    /// `Relay::on_connect_result`, later and once; the core gives up by itself where none comes.
    ///
    /// # Errors
    ///
    /// [`ConnectFailed`] where the attempt could not even start; there is no other outcome then.
    fn connect(
        &mut self,
        connection: ConnectionToken,
        from: SocketId,
        to: SocketAddr,
    ) -> Result<(), ConnectFailed> {
        let _ = (connection, from, to);
        Err(ConnectFailed)
    }

    /// Gives up an attempt to connect, or closes a peer connection and the client's data connection that is joined with
    /// it. Nothing more is to be reported about it.
    fn close_connection(&mut self, connection: ConnectionToken) {
        let _ = connection;
    }

    /// Sends a message to a client on its control connection, behind what is queued there: control traffic, not to be
    /// dropped in favour of media. Where the client is gone, nothing happens.
    fn tell(&mut self, client: &FiveTuple, message: &[u8]) {
        let _ = (client, message);
    }

    /// Hears of something that a log or an audit may want to know.
    fn report(&mut self, event: Event<'_>);
}

/// Something that happened to an allocation.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An allocation was created.
    Allocated {
        /// Whose client.
        client: &'a FiveTuple,
        /// The identity in the credential, as a tag that cannot be turned back.
        user: UserTag,
    },
    /// An allocation ended.
    Ended {
        /// Whose client.
        client: &'a FiveTuple,
        /// The identity in the credential.
        user: UserTag,
        /// Why.
        reason: EndReason,
        /// How long it lived.
        lifetime: Duration,
        /// Application bytes relayed, both directions together.
        bytes: u64,
    },
    /// A peer was refused by policy.
    PeerRefused {
        /// Who asked.
        user: UserTag,
        /// The address asked for.
        peer: Masked<IpAddr>,
    },
}

/// Why an allocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EndReason {
    /// The client deleted it: Refresh with LIFETIME 0.
    Deleted,
    /// Its lifetime ran out.
    Expired,
    /// The credential expired and the configuration says that ends the session.
    CredentialExpired,
    /// The configured longest session was reached.
    SessionLimit,
    /// The client's stream closed.
    Disconnected,
    /// The daemon shuts down.
    Shutdown,
}

impl EndReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 6] = [
        Self::Deleted,
        Self::Expired,
        Self::CredentialExpired,
        Self::SessionLimit,
        Self::Disconnected,
        Self::Shutdown,
    ];

    /// The value of the metric's `reason` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
            Self::CredentialExpired => "credential_expired",
            Self::SessionLimit => "session_limit",
            Self::Disconnected => "disconnected",
            Self::Shutdown => "shutdown",
        }
    }
}
