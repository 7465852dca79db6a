//! A client of TCP relays (RFC 6062).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use md5::{Digest, Md5};
use veilturn::auth::{Credential, PeerScope};
use veilturn::wire::{
    Class, ConnectionId, ErrorCode, HmacKey, Message, Method, Nonce, Realm, RequestedTransport,
    TransactionId, Username, Writer, XorPeerAddress, XorRelayedAddress,
};

use crate::support::{Carrier, Relay};

/// Where peers are: not where the relay is, at which only relayed addresses are reached.
pub(crate) const PEER: &str = "127.0.0.2:0";

/// A client that speaks RFC 6062: one of its connections to the relay.
pub(crate) struct Turn<S> {
    credential: Credential,
    pub(crate) stream: S,
    terms: Option<(String, String)>,
    last: u8,
}

impl Turn<TcpStream> {
    /// A client that may reach any peer.
    pub(crate) fn over_tcp(relay: &Relay, name: &str, stream: TcpStream) -> Self {
        Self::new(relay.credential_within(PeerScope::Public, name), stream)
    }
}

impl<S: Read + Write> Turn<S> {
    pub(crate) fn new(credential: Credential, stream: S) -> Self {
        Self {
            credential,
            stream,
            terms: None,
            last: 0,
        }
    }

    /// Another connection of the same client, challenged already: a nonce is good on one connection.
    pub(crate) fn another<T: Read + Write>(&self, stream: T) -> Turn<T> {
        let mut another = Turn::new(self.credential.clone(), stream);
        another.learn();
        another
    }

    /// Has the relay challenge it.
    pub(crate) fn learn(&mut self) {
        let challenge = self.ask(Method::REFRESH, |_| {});
        assert_eq!(error(&challenge), Some(401));
        let message = Message::parse(&challenge).expect("what the test counts on");
        let realm = message
            .get::<Realm<'_>>()
            .expect("what the test counts on")
            .expect("a realm")
            .0;
        let nonce = message
            .get::<Nonce<'_>>()
            .expect("what the test counts on")
            .expect("a nonce")
            .0;
        self.terms = Some((realm.to_owned(), nonce.to_owned()));
    }

    pub(crate) fn allocate(&mut self) -> SocketAddr {
        self.learn();
        let answer = self.ask(Method::ALLOCATE, |writer| {
            writer
                .put(&RequestedTransport::TCP)
                .expect("what the test counts on");
        });
        assert_eq!(error(&answer), None);
        let relayed = Message::parse(&answer)
            .expect("what the test counts on")
            .get()
            .expect("what the test counts on");
        let XorRelayedAddress(relayed) = relayed.expect("an address");
        relayed
    }

    pub(crate) fn permit(&mut self, peer: SocketAddr) {
        let answer = self.ask(Method::CREATE_PERMISSION, |writer| {
            writer
                .put(&XorPeerAddress(peer))
                .expect("what the test counts on");
        });
        assert_eq!(error(&answer), None);
    }

    pub(crate) fn connect(&mut self, peer: SocketAddr) -> ConnectionId {
        let answer = self.ask(Method::CONNECT, |writer| {
            writer
                .put(&XorPeerAddress(peer))
                .expect("what the test counts on");
        });
        assert_eq!(error(&answer), None);
        let id = Message::parse(&answer)
            .expect("what the test counts on")
            .get()
            .expect("what the test counts on");
        id.expect("a connection's id")
    }

    /// Waits for a peer to connect.
    pub(crate) fn attempt(&mut self) -> (ConnectionId, SocketAddr) {
        let message = self.stream.receive().expect("what the test counts on");
        let message = Message::parse(&message).expect("what the test counts on");
        assert_eq!(message.method(), Method::CONNECTION_ATTEMPT);
        let XorPeerAddress(peer) = message
            .get()
            .expect("what the test counts on")
            .expect("a peer");
        (
            message
                .get()
                .expect("what the test counts on")
                .expect("an id"),
            peer,
        )
    }

    /// Makes it the data connection of a peer's.
    pub(crate) fn bind(mut self, id: ConnectionId) -> S {
        let answer = self.ask(Method::CONNECTION_BIND, |writer| {
            writer.put(&id).expect("what the test counts on");
        });
        assert_eq!(error(&answer), None);
        self.stream
    }

    pub(crate) fn ask(&mut self, method: Method, put: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let request = self.request(method, put);
        self.stream.send(&request).expect("what the test counts on");
        let answer: io::Result<Vec<u8>> = self.stream.receive();
        answer.expect("an answer")
    }

    pub(crate) fn request(&mut self, method: Method, put: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        self.last += 1;
        let id = TransactionId([self.last; 12]);
        let mut buf = vec![0; 1024];
        let mut writer =
            Writer::new(&mut buf, Class::Request, method, id).expect("what the test counts on");
        put(&mut writer);
        if let Some((realm, nonce)) = &self.terms {
            let Credential { username, password } = &self.credential;
            writer
                .put(&Username(username))
                .expect("what the test counts on");
            writer.put(&Realm(realm)).expect("what the test counts on");
            writer.put(&Nonce(nonce)).expect("what the test counts on");
            let key = Md5::digest(format!("{username}:{realm}:{}", **password));
            writer
                .integrity(&HmacKey::sha1(&key))
                .expect("what the test counts on");
        }
        let len = writer.finish();
        buf.truncate(len);
        buf
    }
}

pub(crate) fn error(answer: &[u8]) -> Option<u16> {
    let message = Message::parse(answer).expect("what the test counts on");
    let error = message
        .get::<ErrorCode<'_>>()
        .expect("what the test counts on");
    error.map(|error| error.code)
}

pub(crate) fn read(stream: &mut impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream
        .read_exact(&mut bytes)
        .expect("what the test counts on");
    bytes
}
