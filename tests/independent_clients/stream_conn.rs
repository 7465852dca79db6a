//! A TCP stream in the form in which the `turn` crate takes its transport: as if it were a socket of datagrams.

use std::any::Any;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use webrtc_util::{Conn, Error};

/// A connection whose reads and writes are whole messages.
pub(crate) struct StreamConn {
    local: SocketAddr,
    remote: SocketAddr,
    /// With what has arrived of the next message.
    incoming: Mutex<(OwnedReadHalf, Vec<u8>)>,
    outgoing: Mutex<OwnedWriteHalf>,
}

impl StreamConn {
    pub(crate) async fn open(local: SocketAddr, remote: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(local).expect("loopback");
        let stream = socket.connect(remote).await.expect("a listener");
        let local = stream.local_addr().expect("bound");
        let (incoming, outgoing) = stream.into_split();
        Self {
            local,
            remote,
            incoming: Mutex::new((incoming, Vec::new())),
            outgoing: Mutex::new(outgoing),
        }
    }
}

#[async_trait]
impl Conn for StreamConn {
    async fn connect(&self, _to: SocketAddr) -> Result<(), Error> {
        Ok(())
    }

    async fn recv(&self, buf: &mut [u8]) -> Result<usize, Error> {
        let (length, _from) = self.recv_from(buf).await?;
        Ok(length)
    }

    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        let mut incoming = self.incoming.lock().await;
        let (stream, bytes) = &mut *incoming;
        loop {
            if let Some(length) = message(bytes) {
                buf[..length].copy_from_slice(&bytes[..length]);
                bytes.drain(..length);
                return Ok((length, self.remote));
            }
            if stream.read_buf(bytes).await? == 0 {
                return Err(Error::ErrUseClosedNetworkConn);
            }
        }
    }

    async fn send(&self, buf: &[u8]) -> Result<usize, Error> {
        self.send_to(buf, self.remote).await
    }

    async fn send_to(&self, buf: &[u8], target: SocketAddr) -> Result<usize, Error> {
        assert_eq!(target, self.remote, "there is nobody else on a stream");
        self.outgoing.lock().await.write_all(buf).await?;
        Ok(buf.len())
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        Some(self.remote)
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(self.outgoing.lock().await.shutdown().await?)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

/// The length of the first message, with its padding, if all of it is there.
fn message(bytes: &[u8]) -> Option<usize> {
    let &[first, _, l0, l1] = bytes.first_chunk()?;
    let body = usize::from(u16::from_be_bytes([l0, l1]));
    let length = match first {
        0..=3 => 20 + body,
        _ => 4 + body.next_multiple_of(4),
    };
    (length <= bytes.len()).then_some(length)
}
