//! Connections over pipes in memory, which may take and give only a few bytes at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use proptest::prelude::*;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::client::{Trust, tls_config};
use crate::wire::{ChannelData, MAX_FRAME};

const NAME: &str = "relay.example.org";

#[test]
fn messages_are_padded_on_the_way_out() {
    let (mut connection, far) = connected(usize::MAX);
    let stun = binding();

    assert!(connection.queue(&channel_data(b"abc")));
    assert!(connection.queue(&stun));
    assert!(connection.queue(&channel_data(b"abcd")));
    connection.send().unwrap();

    let expected = [
        &b"\x40\x00\x00\x03abc\0"[..],
        &stun,
        b"\x40\x00\x00\x04abcd",
    ]
    .concat();
    assert_eq!(far.drain(), expected);
    assert!(!connection.wants_send());
}

#[test]
fn what_finds_no_room_is_not_queued_at_all() {
    let (mut connection, far) = connected(0);
    let message = channel_data(&[7; 1021]);
    let room = QUEUE_MAX / message.len().next_multiple_of(4);

    for _ in 0..room {
        assert!(connection.queue(&message));
    }
    assert!(!connection.queue(&message));
    connection.send().unwrap();
    assert!(connection.wants_send());

    far.open(usize::MAX);
    connection.send().unwrap();
    assert_eq!(far.drain().len(), room * 1028);
}

#[test]
fn a_frame_that_waits_is_taken_before_more_is_received() {
    let (mut connection, far) = connected(usize::MAX);
    far.write(&[channel_data(b"abcd"), channel_data(b"efgh")].concat());
    assert!(connection.receive().unwrap());
    far.write(&binding());

    assert!(connection.receive().unwrap());
    assert_eq!(
        connection.next_frame().unwrap(),
        Some(&b"\x40\0\0\x04abcd"[..])
    );
    assert_eq!(
        connection.next_frame().unwrap(),
        Some(&b"\x40\0\0\x04efgh"[..])
    );
    assert_eq!(connection.next_frame().unwrap(), None);
    assert_eq!(frames(&mut connection), [binding()]);
}

#[test]
fn the_longest_frame_arrives() {
    let (mut connection, far) = connected(usize::MAX);
    let mut frame = binding();
    frame[2..4].copy_from_slice(&[0xFF, 0xFC]);
    frame.resize(MAX_FRAME, 0);
    far.write(&frame);

    assert_eq!(frames(&mut connection), [frame]);
}

#[test]
fn bytes_that_are_no_frame_and_the_end_of_the_stream_end_the_connection() {
    let (mut connection, far) = connected(usize::MAX);
    far.write(b"\x80 is nobody's first byte");
    assert!(connection.receive().unwrap());
    assert!(matches!(
        connection.next_frame(),
        Err(StreamError::Frame(FrameError::Protocol))
    ));

    let (mut connection, far) = connected(usize::MAX);
    far.close();
    assert!(matches!(connection.receive(), Err(StreamError::Closed)));
}

#[test]
fn over_tls_what_is_queued_before_the_handshake_arrives_after_it() {
    let server = Server::new();
    let trust = Trust::Authorities(vec![server.certificate.clone()]);
    let (mut connection, far) = server.meet(trust, NAME);
    let message = channel_data(&[5; 40_000]);

    assert!(connection.queue(&message));
    let echoed = echo(&mut connection, far, message.len()).unwrap();

    assert_eq!(echoed, [message]);
    assert!(!connection.wants_send());
}

#[test]
fn over_tls_a_server_of_another_name_or_authority_is_not_spoken_to() {
    let server = Server::new();
    let trusted = Trust::Authorities(vec![server.certificate.clone()]);
    let other = Trust::Authorities(vec![Server::new().certificate]);
    for (trust, name) in [(trusted, "other.example.org"), (other, NAME)] {
        let (mut connection, far) = server.meet(trust, name);
        assert!(connection.queue(&binding()));

        let error = echo(&mut connection, far, 20).unwrap_err();

        let StreamError::Tls(rustls::Error::InvalidCertificate(_)) = error else {
            panic!("{error:?}")
        };
    }
}

#[test]
fn over_tls_who_trusts_anybody_speaks_to_anybody() {
    let (mut connection, far) = Server::new().meet(Trust::Anybody, "other.example.org");
    assert!(connection.queue(&binding()));

    assert_eq!(echo(&mut connection, far, 20).unwrap(), [binding()]);
}

proptest! {
    #[test]
    fn whatever_the_stream_takes_and_gives_at_a_time_all_messages_arrive_whole(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..20),
        bytes in 1..3000_usize,
    ) {
        let (mut connection, far) = connected(bytes);
        let mut arrived = Vec::new();
        for payload in &messages {
            prop_assert!(connection.queue(&channel_data(payload)));
        }
        while connection.wants_send() {
            connection.send().unwrap();
            far.write(&far.drain());
            far.open(bytes);
            arrived.extend(frames(&mut connection));
        }

        let payloads: Vec<_> = arrived
            .iter()
            .map(|frame| ChannelData::parse(frame).unwrap().payload.to_vec())
            .collect();
        prop_assert_eq!(payloads, messages);
    }
}

/// All frames that have come.
fn frames(connection: &mut Connection<Pipe>) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        while let Some(frame) = connection.next_frame().unwrap() {
            frames.push(frame.to_vec());
        }
        if !connection.receive().unwrap() {
            return frames;
        }
    }
}

fn channel_data(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    [&[0x40, 0], &len.to_be_bytes()[..], payload].concat()
}

fn binding() -> Vec<u8> {
    b"\x00\x01\x00\x00\x21\x12\xA4\x42abcdefghijkl".to_vec()
}

/// A connection whose stream takes and gives at most so many bytes, and the stream's other end.
fn connected(bytes: usize) -> (Connection<Pipe>, Far) {
    let (near, far) = pipe();
    far.open(bytes);
    (Connection::plain(near), far)
}

fn pipe() -> (Pipe, Far) {
    let shared = Rc::new(RefCell::new(Shared::default()));
    (Pipe(Rc::clone(&shared)), Far(shared))
}

#[derive(Default)]
struct Shared {
    to_far: Vec<u8>,
    to_near: VecDeque<u8>,
    /// How many bytes are taken before the stream would block.
    room: usize,
    /// How many bytes a read gives at most.
    most: usize,
    closed: bool,
}

/// The end that a connection has.
struct Pipe(Rc<RefCell<Shared>>);

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.0.borrow_mut();
        if shared.to_near.is_empty() && !shared.closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = buf.len().min(shared.most);
        shared.to_near.read(&mut buf[..most])
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut shared = self.0.borrow_mut();
        let count = bytes.len().min(shared.room);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        shared.room -= count;
        shared.to_far.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end that the test has.
struct Far(Rc<RefCell<Shared>>);

impl Far {
    fn open(&self, bytes: usize) {
        let mut shared = self.0.borrow_mut();
        shared.room = bytes;
        shared.most = bytes;
    }

    fn close(&self) {
        self.0.borrow_mut().closed = true;
    }

    fn write(&self, bytes: &[u8]) {
        self.0.borrow_mut().to_near.extend(bytes);
    }

    fn drain(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().to_far)
    }
}

/// A server's certificate and key.
struct Server {
    certificate: CertificateDer<'static>,
    config: Arc<ServerConfig>,
}

impl Server {
    fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let certificate = cert.der().clone();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        Self {
            certificate,
            config: Arc::new(config),
        }
    }

    /// A client's connection to the server, and the server's end of it.
    fn meet(&self, trust: Trust, name: &'static str) -> (Connection<Pipe>, Peer) {
        let (near, far) = pipe();
        far.open(usize::MAX);
        let config = tls_config(trust).unwrap();
        let connection = Connection::tls(near, config, name.try_into().unwrap()).unwrap();
        let tls = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        (connection, Peer { tls, far })
    }
}

/// A server that sends back what it gets.
struct Peer {
    tls: ServerConnection,
    far: Far,
}

impl Peer {
    /// Takes what has come and answers.
    fn turn(&mut self) {
        let received = self.far.drain();
        let mut received = &received[..];
        while !received.is_empty() {
            self.tls.read_tls(&mut received).unwrap();
            // What the client did not like it says itself.
            let Ok(state) = self.tls.process_new_packets() else {
                break;
            };
            let mut bytes = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut bytes).unwrap();
            self.tls.writer().write_all(&bytes).unwrap();
        }
        let mut answer = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut answer).unwrap();
        }
        self.far.write(&answer);
    }
}

/// The frames that have come back, once there are `len` bytes of them.
fn echo(
    connection: &mut Connection<Pipe>,
    mut peer: Peer,
    len: usize,
) -> Result<Vec<Vec<u8>>, StreamError> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for _turn in 0..100 {
        connection.send()?;
        peer.turn();
        connection.receive()?;
        while let Some(frame) = connection.next_frame()? {
            frames.push(frame.to_vec());
        }
        if frames.concat().len() >= len {
            return Ok(frames);
        }
    }
    panic!("only {} frames came", frames.len());
}
