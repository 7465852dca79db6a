//! The PROXY protocol, versions 1 and 2: how an upstream tells whom a connection is from.
//!
//! A pure function over the first bytes of a connection. Whoever accepts it decides beforehand whether its source may
//! send a header at all, because everything in one can be made up. The specification is
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{self, FromStr};

use crate::masked::Masked;

/// The longest header that is taken, in bytes. One of version 2 may be longer by its own account; addresses and what
/// load balancers add to them are far from this.
pub const MAX_HEADER: usize = 2048;

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Header {
    /// Nothing yet; they may be the beginning of a header. Shorter than [`MAX_HEADER`].
    NeedMore,
    /// The connection is from `client`, which meant to reach `server`.
    Proxied {
        /// The client, as the upstream sees it.
        client: Masked<SocketAddr>,
        /// The address at which it reached the upstream.
        server: SocketAddr,
        /// The length of the header, in bytes; application data follows.
        len: usize,
    },
    /// The connection is the upstream's own, or the upstream cannot tell: it is from whom the socket says.
    Local {
        /// The length of the header, in bytes; application data follows.
        len: usize,
    },
}

/// Why a connection does not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It begins with something else.
    #[error("no PROXY header")]
    Missing,
    /// A line of version 1 that does not have the form.
    #[error("a malformed PROXY line")]
    BadLine,
    /// Longer than [`MAX_HEADER`], or a line longer than its version allows.
    #[error("a PROXY header that is too long")]
    TooLong,
    /// The signature of version 2, and another version behind it.
    #[error("a PROXY header of an unknown version")]
    UnknownVersion,
    /// Neither PROXY nor LOCAL.
    #[error("a PROXY header with an unknown command")]
    UnknownCommand,
    /// An address family or transport that is not assigned.
    #[error("a PROXY header with an unknown address family or transport")]
    UnknownFamily,
    /// Too short for the addresses of its family.
    #[error("a PROXY header that is shorter than its addresses")]
    TooShort,
}

/// Reads the header at the start of `bytes`, which are all that a connection has brought so far. Tells as early as
/// possible that there is none, so that nobody is waited for in vain.
///
/// # Errors
///
/// Why the connection has to be closed: section 2 of the specification lets nobody guess.
pub fn parse(bytes: &[u8]) -> Result<Header, ProxyError> {
    if begins(bytes, SIGNATURE_V2) {
        return parse_v2(bytes);
    }
    if begins(bytes, SIGNATURE_V1) {
        return parse_v1(bytes);
    }
    Err(ProxyError::Missing)
}

const SIGNATURE_V1: &[u8] = b"PROXY ";

/// Section 2.1: the longest line, its end included, in bytes.
const MAX_LINE: usize = 107;

/// Section 2.2.
const SIGNATURE_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Whether `bytes` are the signature, the beginning of it, or more than it.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.starts_with(signature) || signature.starts_with(bytes)
}

/// Section 2.1: one line of ASCII.
fn parse_v1(bytes: &[u8]) -> Result<Header, ProxyError> {
    let start = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = start.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_LINE {
            Ok(Header::NeedMore)
        } else {
            Err(ProxyError::TooLong)
        };
    };
    let line = start[..end]
        .strip_suffix(b"\r")
        .ok_or(ProxyError::BadLine)?;
    let line = line.strip_prefix(SIGNATURE_V1).ok_or(ProxyError::BadLine)?;
    let len = end + 1;
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Header::Local { len });
    }
    let line = str::from_utf8(line).map_err(|_| ProxyError::BadLine)?;
    let addresses = match line.split_once(' ') {
        Some(("TCP4", addresses)) => endpoints::<Ipv4Addr>(addresses),
        Some(("TCP6", addresses)) => endpoints::<Ipv6Addr>(addresses),
        _ => None,
    };
    let (client, server) = addresses.ok_or(ProxyError::BadLine)?;
    Ok(proxied(client, server, len))
}

/// Source and destination address, source and destination port, each behind exactly one space.
fn endpoints<A: FromStr + Into<IpAddr>>(text: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut fields = text.split(' ');
    let mut address = || fields.next()?.parse::<A>().ok().map(A::into);
    let (source, destination) = (address()?, address()?);
    let mut port = || fields.next().and_then(port);
    let source = SocketAddr::new(source, port()?);
    let destination = SocketAddr::new(destination, port()?);
    fields.next().is_none().then_some((source, destination))
}

/// A port in its only form: decimal, without a sign or a leading zero.
fn port(text: &str) -> Option<u16> {
    let port = text.parse::<u16>().ok()?;
    (text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'))).then_some(port)
}

/// Section 2.2: a fixed part, addresses, and behind them extensions that mean nothing here.
fn parse_v2(bytes: &[u8]) -> Result<Header, ProxyError> {
    const FIXED: usize = 16;
    let at = |place: usize| bytes.get(place).copied();
    let local = match at(12) {
        None => return Ok(Header::NeedMore),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(byte) if byte & 0xf0 == 0x20 => return Err(ProxyError::UnknownCommand),
        Some(_) => return Err(ProxyError::UnknownVersion),
    };
    let Some(family) = at(13) else {
        return Ok(Header::NeedMore);
    };
    let family = Family::of(family, local)?;
    let (Some(high), Some(low)) = (at(14), at(15)) else {
        return Ok(Header::NeedMore);
    };
    let body = usize::from(u16::from_be_bytes([high, low]));
    let len = FIXED + body;
    if len > MAX_HEADER {
        return Err(ProxyError::TooLong);
    }
    if body < family.addresses() {
        return Err(ProxyError::TooShort);
    }
    let Some(body) = bytes.get(FIXED..len) else {
        return Ok(Header::NeedMore);
    };
    let addresses = match family {
        Family::Ignored => return Ok(Header::Local { len }),
        Family::V4 => binary_endpoints::<4>(body),
        Family::V6 => binary_endpoints::<16>(body),
    };
    let (client, server) = addresses.ok_or(ProxyError::TooShort)?;
    Ok(proxied(client, server, len))
}

/// The addresses in a header of version 2.
#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
    /// There are none, or they are none of TCP: the socket's own hold.
    Ignored,
}

impl Family {
    /// The family and transport in a byte. Section 2.2: LOCAL has it ignored; what is assigned but not supported counts
    /// as unspecified; the rest is to be rejected.
    const fn of(byte: u8, local: bool) -> Result<Self, ProxyError> {
        match byte {
            _ if local => Ok(Self::Ignored),
            0x11 => Ok(Self::V4),
            0x21 => Ok(Self::V6),
            0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Ok(Self::Ignored),
            _ => Err(ProxyError::UnknownFamily),
        }
    }

    /// How many bytes the two addresses and ports have.
    const fn addresses(self) -> usize {
        match self {
            Self::V4 => 12,
            Self::V6 => 36,
            Self::Ignored => 0,
        }
    }
}

/// Source and destination address of `N` bytes each, source and destination port.
fn binary_endpoints<const N: usize>(body: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    let endpoint = |ip: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(*port))
    };
    Some((
        endpoint(source, source_port),
        endpoint(destination, destination_port),
    ))
}

/// One client is one address, however an upstream writes it.
fn proxied(client: SocketAddr, server: SocketAddr, len: usize) -> Header {
    let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    Header::Proxied {
        client: Masked::new(canonical(client)),
        server: canonical(server),
        len,
    }
}

#[cfg(test)]
mod tests;
