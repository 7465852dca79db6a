//! The sockets that clients reach: each configured address once for every worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use super::StartError;
use super::streams::{Acceptor, Opening};
use crate::config::{Config, ListenTransport, Listener};
use crate::net::{BindError, Offload, SocketOptions, TcpListener, UdpSocket};

/// What one worker listens with.
#[derive(Default)]
pub(super) struct WorkerListeners {
    /// By the number of their link.
    pub(super) datagrams: Vec<UdpSocket>,
    /// Those that speak DTLS.
    pub(super) dtls: Vec<UdpSocket>,
    pub(super) connections: Vec<Acceptor>,
}

/// Opens the listeners of all workers; tells where they are, in the order of the configuration. `tls` is what TLS is
/// spoken with.
///
/// # Errors
///
/// [`StartError::Listen`].
pub(super) fn listen(
    config: &Config,
    workers: usize,
    offload: Offload,
    tls: &Arc<ServerConfig>,
) -> Result<(Vec<SocketAddr>, Vec<WorkerListeners>), StartError> {
    let runtime = &config.runtime;
    let options = SocketOptions {
        recv_buffer: runtime.receive_buffer,
        send_buffer: runtime.send_buffer,
        offload,
    };
    let mut bound = Vec::new();
    let mut sockets: Vec<_> = (0..workers).map(|_| WorkerListeners::default()).collect();
    // Workers share a port, and with whoever else listens there they would share the clients as well. A socket that
    // shares with nobody tells.
    for listener in &config.listeners {
        let free = if listener.transport.is_stream() {
            TcpListener::check_free(listener.addr)
        } else {
            UdpSocket::relay(listener.addr, &options).map(|_| ())
        };
        free.map_err(|source| failed(listener, source))?;
    }
    for listener in &config.listeners {
        let opening = Arc::new(Opening {
            listener: listener.clone(),
            tls: Arc::clone(tls),
        });
        // The first worker's socket settles the port, where the configuration leaves it open.
        let mut addr = listener.addr;
        for worker in &mut sockets {
            let opened = match listener.transport {
                ListenTransport::Udp => receive_at(addr, &options, &mut worker.datagrams),
                ListenTransport::Dtls => receive_at(addr, &options, &mut worker.dtls),
                ListenTransport::Tcp | ListenTransport::Tls | ListenTransport::Auto => {
                    worker.accept_at(addr, config.streams.keepalive, &opening)
                }
            };
            addr = opened.map_err(|source| failed(listener, source))?;
        }
        bound.push(addr);
    }
    Ok((bound, sockets))
}

impl WorkerListeners {
    fn accept_at(
        &mut self,
        addr: SocketAddr,
        keepalive: Duration,
        opening: &Arc<Opening>,
    ) -> Result<SocketAddr, BindError> {
        let listener = TcpListener::listen(addr, keepalive)?;
        let bound = listener.local_addr();
        self.connections.push(Acceptor {
            listener,
            opening: Arc::clone(opening),
        });
        Ok(bound)
    }
}

fn receive_at(
    addr: SocketAddr,
    options: &SocketOptions,
    sockets: &mut Vec<UdpSocket>,
) -> Result<SocketAddr, BindError> {
    let socket = UdpSocket::listen(addr, options)?;
    let bound = socket.local_addr();
    sockets.push(socket);
    Ok(bound)
}

fn failed(listener: &Listener, source: BindError) -> StartError {
    StartError::Listen {
        addr: listener.addr,
        source,
    }
}
