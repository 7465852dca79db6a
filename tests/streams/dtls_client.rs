//! A client over DTLS, with OpenSSL.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslMethod, SslOptions, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use veilturn::config::{Config, ListenTransport, Listener};

use crate::support::{Carrier, NAME, PATIENCE, Relay};

/// OpenSSL sends again after a second: it is asked whether it has to far more often.
const TICK: Duration = Duration::from_millis(100);

/// A relay that listens for DTLS as well.
pub(crate) fn relay(change: impl FnOnce(&mut Config)) -> Relay {
    Relay::with(|config| {
        config.listeners.push(Listener {
            transport: ListenTransport::Dtls,
            ..config.listeners[0].clone()
        });
        change(config);
    })
}

/// Where it listens for DTLS.
pub(crate) fn address(relay: &Relay) -> SocketAddr {
    relay.server.listeners()[4]
}

/// A session, handshake done.
pub(crate) fn secure(relay: &Relay, socket: Socket) -> DtlsClient {
    let mut stream = client(relay, socket);
    finish(&mut stream);
    DtlsClient(stream)
}

/// Goes on with a handshake until it is done.
pub(crate) fn finish(stream: &mut SslStream<Socket>) {
    for _ in 0..patience() {
        match stream.connect() {
            Ok(()) => return,
            Err(error) => assert_eq!(error.code(), ErrorCode::WANT_READ, "{error:?}"),
        }
    }
    panic!("no handshake")
}

/// How often a client waits for a [`TICK`].
const fn patience() -> u128 {
    PATIENCE.as_millis() / TICK.as_millis()
}

/// A client that accepts the relay's certificate for the relay's name alone.
pub(crate) fn client(relay: &Relay, socket: Socket) -> SslStream<Socket> {
    let mut roots = X509StoreBuilder::new().expect("what a client needs");
    roots
        .add_cert(X509::from_der(&relay.root).expect("what a client needs"))
        .expect("what a client needs");
    let mut context = SslContext::builder(SslMethod::dtls_client()).expect("what a client needs");
    context
        .set_min_proto_version(Some(SslVersion::DTLS1_2))
        .expect("what a client needs");
    context.set_options(SslOptions::NO_QUERY_MTU);
    context.set_cert_store(roots.build());
    context.set_verify(SslVerifyMode::PEER);
    let mut ssl = Ssl::new(&context.build()).expect("what a client needs");
    ssl.set_connect_state();
    ssl.set_hostname(NAME).expect("what a client needs");
    ssl.param_mut().set_host(NAME).expect("what a client needs");
    ssl.set_mtu(1200).expect("what a client needs");
    SslStream::new(ssl, socket).expect("what a client needs")
}

/// A socket as OpenSSL's client wants it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) socket: UdpSocket,
    /// Datagrams that still pass before some are lost.
    pub(crate) pass: Rc<Cell<u32>>,
    /// Datagrams that are lost then.
    pub(crate) lose: Rc<Cell<u32>>,
    /// Whether protected records are left out of what is sent.
    pub(crate) withholds: bool,
}

impl Socket {
    pub(crate) fn new(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("what a client needs");
        socket.connect(to).expect("what a client needs");
        Self::over(socket)
    }

    pub(crate) fn over(socket: UdpSocket) -> Self {
        socket
            .set_read_timeout(Some(TICK))
            .expect("what a client needs");
        Self {
            socket,
            pass: Rc::default(),
            lose: Rc::default(),
            withholds: false,
        }
    }

    /// Waits for a datagram.
    pub(crate) fn receive(&self, out: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(PATIENCE))?;
        self.socket.recv(out)
    }
}

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.socket.recv(out)?;
            if self.pass.get() > 0 {
                self.pass.set(self.pass.get() - 1);
                return Ok(len);
            }
            if self.lose.get() == 0 {
                return Ok(len);
            }
            self.lose.set(self.lose.get() - 1);
        }
    }
}

impl Write for Socket {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        let len = if self.withholds {
            unprotected(datagram)
        } else {
            datagram.len()
        };
        self.socket.send(&datagram[..len])?;
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of the records before the first that is protected.
fn unprotected(datagram: &[u8]) -> usize {
    let mut len = 0;
    while let [_, _, _, 0, 0, _, _, _, _, _, _, high, low, ..] = datagram[len..] {
        len += 13 + usize::from(u16::from_be_bytes([high, low]));
    }
    len
}

/// Messages as records.
pub(crate) struct DtlsClient(pub(crate) SslStream<Socket>);

impl Carrier for DtlsClient {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.write_all(message)
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut message = vec![0; 16 * 1024];
        for _ in 0..patience() {
            match self.0.ssl_read(&mut message) {
                Ok(len) => {
                    message.truncate(len);
                    return Ok(message);
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => {}
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}
