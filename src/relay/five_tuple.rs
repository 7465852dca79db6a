//! Where a client is, as RFC 8656 section 2 identifies it: the 5-tuple.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use crate::masked::Masked;

/// The transport between a client and the server (RFC 8656 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams; ChannelData need not be padded.
    Udp,
    /// A byte stream; ChannelData is padded to four bytes.
    Tcp,
    /// A byte stream inside TLS.
    Tls,
    /// Datagrams inside DTLS (RFC 7350): framed as [`Self::Udp`], but reached through a session that one worker holds.
    Dtls,
}

impl Transport {
    /// Whether it is a byte stream.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}

/// The way in that a client took: a listening UDP socket or one accepted stream.
///
/// Numbered by the shell, opaque to the core. A stream's link is unique among the live ones, so that an answer finds
/// its connection without a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The shell's number for the socket.
    pub id: u32,
    /// What the socket speaks.
    pub transport: Transport,
}

/// A client's 5-tuple: its address and port, the server address it reached, and the [`Link`], which stands for the
/// server's port and the transport.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FiveTuple {
    /// The client as the server sees it: its server-reflexive transport address.
    pub client: Masked<SocketAddr>,
    /// The server address that the client sent to; answers leave from it.
    pub server: IpAddr,
    /// The socket that the client reached.
    pub link: Link,
}

impl FiveTuple {
    /// The transport of the client's leg.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.link.transport
    }
}

impl Hash for FiveTuple {
    /// Feeds whole words: this runs once per client packet.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let client = self.client.reveal();
        match client.ip() {
            IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
        }
        state.write_u64(u64::from(client.port()) << 32 | u64::from(self.link.id));
        match self.server {
            IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
        }
    }
}

impl fmt::Debug for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FiveTuple({:?} via {:?})", self.client, self.link)
    }
}
