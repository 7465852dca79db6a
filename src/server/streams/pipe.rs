//! A connection as a pipe of plaintext, whatever is around it: nothing, TLS, a PROXY header in front.
//!
//! It knows no TURN. What the plaintext means is decided above: frames, or, once it is bound to a peer's connection,
//! just bytes.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::ServerConfig;

use super::tls::{HELD_MAX, Opened, SEAL_BUFFER, Tls};
use super::{CloseReason, Speaks};
use crate::config::{ListenTransport, Listener};
use crate::masked::Masked;
use crate::net::{Arrival, HEADROOM, TcpStream};
use crate::proxy::{self, Header};
use crate::wire::MAX_FRAME;

/// Bytes that one receive takes from a socket at most.
pub(super) const READ_MAX: usize = 64 * 1024;

/// The buffers that all connections of a worker receive into.
pub(super) struct Buffers {
    /// Bytes that are not plaintext yet, or not yet known to be.
    raw: Box<[u8]>,
    /// Plaintext, behind [`HEADROOM`] bytes.
    pub(super) plain: Box<[u8]>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        let raw = HELD_MAX + READ_MAX;
        Self {
            raw: vec![0; raw].into(),
            // Opening a record makes it smaller.
            plain: vec![0; HEADROOM + MAX_FRAME + raw].into(),
        }
    }
}

/// What a listener makes of its connections.
pub(in crate::server) struct Opening {
    /// What clients may speak.
    pub(in crate::server) listener: Listener,
    /// What TLS is spoken with.
    pub(in crate::server) tls: Arc<ServerConfig>,
}

/// A connection and what is around its plaintext.
pub(super) struct Pipe {
    socket: TcpStream,
    layer: Layer,
}

enum Layer {
    /// The upstream's header is yet to come, or the rest of it.
    Proxied(Arc<Opening>, Box<[u8]>),
    /// The client's first byte is yet to come.
    Opening(Arc<Opening>),
    /// Nothing.
    Plain,
    /// TLS.
    Tls(Box<Tls>),
}

/// What one receive brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// Bytes of plaintext.
    pub(super) plain: usize,
    /// Whether the client sends no more.
    pub(super) ended: bool,
    /// Whom the upstream says that it is from, when it says so.
    pub(super) origin: Option<Origin>,
}

/// Who is at the other end of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A client, and the address that it reached.
    Client(Masked<SocketAddr>, IpAddr),
    /// The upstream itself, or somebody that it cannot name.
    Upstream,
}

impl Pipe {
    pub(super) fn new(socket: TcpStream, opening: Arc<Opening>) -> Self {
        let layer = if opening.listener.proxy_protocol.is_empty() {
            Layer::Opening(opening)
        } else {
            Layer::Proxied(opening, Box::default())
        };
        Self { socket, layer }
    }

    /// What is spoken.
    pub(super) fn speaks(&self) -> Speaks {
        match self.layer {
            Layer::Proxied(..) | Layer::Opening(_) => Speaks::Unknown,
            Layer::Plain => Speaks::Tcp,
            Layer::Tls(_) => Speaks::Tls,
        }
    }

    /// Whether what arrives next may cost the work of a TLS handshake.
    pub(super) fn may_cost(&self) -> bool {
        match &self.layer {
            Layer::Proxied(opening, _) | Layer::Opening(opening) => {
                opening.listener.transport.speaks_tls()
            }
            Layer::Plain => false,
            Layer::Tls(tls) => tls.may_cost(),
        }
    }

    /// Receives once, at most `limit` bytes, and puts the plaintext behind the first `kept` bytes of
    /// [`Buffers::plain`]. Nothing that could be opened stays behind, so that the poller knows what there is to receive.
    pub(super) fn receive(
        &mut self,
        buffers: &mut Buffers,
        kept: usize,
        limit: usize,
    ) -> Result<Received, CloseReason> {
        let Buffers { raw, plain } = buffers;
        let plain = &mut plain[HEADROOM + kept..];
        let limit = limit.min(READ_MAX);
        // What was held stays where it is until more has come and was understood.
        let held: &[u8] = match &self.layer {
            Layer::Plain => {
                let arrival = receive(&self.socket, &mut plain[..limit])?;
                return Ok(match arrival {
                    Arrival::Bytes(plain) => Received {
                        plain,
                        ..Received::default()
                    },
                    Arrival::Nothing => Received::default(),
                    Arrival::End => Received::END,
                });
            }
            Layer::Proxied(_, held) => held,
            Layer::Opening(_) => &[],
            Layer::Tls(tls) => tls.held(),
        };
        let before = held.len();
        raw[..before].copy_from_slice(held);
        let arrived = match receive(&self.socket, &mut raw[before..][..limit])? {
            Arrival::Bytes(count) => count,
            Arrival::Nothing => return Ok(Received::default()),
            Arrival::End => return Ok(Received::END),
        };
        let (origin, raw) = self.read_header(&mut raw[..before + arrived])?;
        self.decide(raw)?;
        let opened = match &mut self.layer {
            Layer::Proxied(..) | Layer::Opening(_) => Opened::default(),
            Layer::Plain => {
                plain[..raw.len()].copy_from_slice(raw);
                Opened {
                    plain: raw.len(),
                    ended: false,
                }
            }
            Layer::Tls(tls) => {
                let opened = tls.open(raw, plain);
                // What the handshake has to say, or an alert.
                tls.send(&self.socket, &[], &mut [])?;
                opened?
            }
        };
        Ok(Received {
            plain: opened.plain,
            ended: opened.ended,
            origin,
        })
    }

    /// Sends as much of `parts` as the socket takes; returns how many of their bytes need not be offered again.
    pub(super) fn send(
        &mut self,
        parts: &[IoSlice<'_>],
        scratch: &mut [u8; SEAL_BUFFER],
    ) -> Result<usize, CloseReason> {
        match &mut self.layer {
            Layer::Proxied(..) | Layer::Opening(_) => Ok(0),
            Layer::Plain if parts.is_empty() => Ok(0),
            Layer::Plain => self.socket.send(parts).map_err(|_| CloseReason::Broken),
            Layer::Tls(tls) => tls.send(&self.socket, parts, scratch),
        }
    }

    /// Whether something that was accepted by [`Self::send`], or is the pipe's own, waits for the socket.
    pub(super) fn has_unsent(&self) -> bool {
        match &self.layer {
            Layer::Proxied(..) | Layer::Opening(_) | Layer::Plain => false,
            Layer::Tls(tls) => tls.has_unsent(),
        }
    }

    /// Tells the client that nothing more is sent, once all that was has left; false until then.
    pub(super) fn finish(&mut self) -> io::Result<bool> {
        self.close();
        if self.has_unsent() {
            return Ok(false);
        }
        self.socket.finish().map(|()| true)
    }

    /// Says farewell, as far as the socket takes it. To be dropped then.
    pub(super) fn close(&mut self) {
        if let Layer::Tls(tls) = &mut self.layer {
            tls.close(&self.socket);
        }
    }

    /// Reads the upstream's header, where one is expected; what follows it is the client's.
    fn read_header<'r>(
        &mut self,
        raw: &'r mut [u8],
    ) -> Result<(Option<Origin>, &'r mut [u8]), CloseReason> {
        let Layer::Proxied(opening, held) = &mut self.layer else {
            return Ok((None, raw));
        };
        let (origin, len) = match proxy::parse(raw).map_err(|_| CloseReason::Proxy)? {
            Header::NeedMore => {
                *held = (&*raw).into();
                return Ok((None, &mut []));
            }
            Header::Proxied {
                client,
                server,
                len,
            } => (Origin::Client(client, server.ip()), len),
            // Such as a look whether we are alive.
            Header::Local { len } => (Origin::Upstream, len),
        };
        self.layer = Layer::Opening(Arc::clone(opening));
        Ok((Some(origin), &mut raw[len..]))
    }

    /// Lets the first byte decide (RFC 8446 section 5.1: a handshake record begins with 22). Every message that can be
    /// a client's first is a STUN message, so ChannelData, or a word of HTTP that looks like it, is none.
    fn decide(&mut self, raw: &[u8]) -> Result<(), CloseReason> {
        let (Layer::Opening(opening), Some(first)) = (&self.layer, raw.first()) else {
            return Ok(());
        };
        let transport = opening.listener.transport;
        self.layer = match (transport, first) {
            (ListenTransport::Tls | ListenTransport::Auto, 22) => {
                Layer::Tls(Box::new(Tls::new(&opening.tls)?))
            }
            (ListenTransport::Tcp | ListenTransport::Auto, 0..=3) => Layer::Plain,
            (ListenTransport::Tls, _) => return Err(CloseReason::Tls),
            _ => return Err(CloseReason::Protocol),
        };
        Ok(())
    }
}

impl Received {
    const END: Self = Self {
        plain: 0,
        ended: true,
        origin: None,
    };
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn receive(socket: &TcpStream, buf: &mut [u8]) -> Result<Arrival, CloseReason> {
    socket.receive(buf).map_err(|_| CloseReason::Broken)
}
