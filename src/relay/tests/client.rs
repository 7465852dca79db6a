//! A client: it knows its credential and the server's nonce, and writes requests as clients do.

use std::net::SocketAddr;

use md5::{Digest, Md5};

use super::world::{Outcome, REALM, World};
use crate::auth::Credential;
use crate::relay::FiveTuple;
use crate::wire::{
    ChannelNumber, ChannelNumberAttribute, Class, Data, ErrorCode, HmacKey, Lifetime, Message,
    Method, Nonce, Realm, RequestedTransport, TransactionId, Username, Writer, XorPeerAddress,
    XorRelayedAddress, write_channel_header,
};

/// One client on one 5-tuple.
pub(super) struct Client {
    pub(super) at: FiveTuple,
    pub(super) username: String,
    pub(super) key: HmacKey,
    pub(super) nonce: String,
    /// The transaction id of the last request.
    pub(super) last: u64,
}

impl Client {
    pub(super) fn new(at: FiveTuple, credential: &Credential) -> Self {
        let long_term = format!("{}:{REALM}:{}", credential.username, *credential.password);
        Self {
            at,
            username: credential.username.clone(),
            key: HmacKey::sha1(&Md5::digest(long_term)),
            nonce: String::new(),
            last: u64::from(at.client.reveal().port()) << 32,
        }
    }

    /// A request with the attributes that `fill` puts, authenticated where there is a nonce, under a new id.
    pub(super) fn request(
        &mut self,
        method: Method,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Vec<u8> {
        self.last += 1;
        self.repeat(method, fill)
    }

    /// The same under the id of the last request.
    pub(super) fn repeat(&self, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut buf = vec![0; 2048];
        let mut writer = Writer::new(&mut buf, Class::Request, method, id(self.last)).unwrap();
        fill(&mut writer);
        if !self.nonce.is_empty() {
            writer.put(&Username(&self.username)).unwrap();
            writer.put(&Realm(REALM)).unwrap();
            writer.put(&Nonce(&self.nonce)).unwrap();
            writer.integrity(&self.key).unwrap();
        }
        let len = writer.finish();
        buf.truncate(len);
        buf
    }

    /// Sends a request to the first worker; its answer.
    pub(super) fn ask(
        &mut self,
        world: &mut World,
        method: Method,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Answer {
        let request = self.request(method, fill);
        Answer::of(
            world.send(&self.at, &request).reply(),
            &request,
            Some(&self.key),
        )
    }

    /// Takes a nonce from a challenge.
    pub(super) fn learn_nonce(&mut self, world: &mut World) {
        self.nonce.clear();
        let answer = self.ask(world, Method::ALLOCATE, |_| ());
        assert_eq!(answer.code, 401);
        self.nonce = answer
            .message()
            .get::<Nonce<'_>>()
            .unwrap()
            .unwrap()
            .0
            .to_owned();
    }

    /// Allocates an IPv4 relayed address on UDP; panics where that is refused.
    #[track_caller]
    pub(super) fn allocate(&mut self, world: &mut World) -> SocketAddr {
        self.try_allocate(world, |_| ()).relayed()
    }

    /// Asks for an allocation with more attributes than REQUESTED-TRANSPORT.
    pub(super) fn try_allocate(
        &mut self,
        world: &mut World,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Answer {
        if self.nonce.is_empty() {
            self.learn_nonce(world);
        }
        self.ask(world, Method::ALLOCATE, |writer| {
            writer.put(&RequestedTransport(17)).unwrap();
            fill(writer);
        })
    }

    pub(super) fn refresh(&mut self, world: &mut World, lifetime: u32) -> Answer {
        self.ask(world, Method::REFRESH, |writer| {
            writer.put(&Lifetime(lifetime)).unwrap()
        })
    }

    pub(super) fn permit(&mut self, world: &mut World, peers: &[SocketAddr]) -> Answer {
        self.ask(world, Method::CREATE_PERMISSION, |writer| {
            for peer in peers {
                writer.put(&XorPeerAddress(*peer)).unwrap();
            }
        })
    }

    pub(super) fn bind(&mut self, world: &mut World, number: u16, peer: SocketAddr) -> Answer {
        self.ask(world, Method::CHANNEL_BIND, |writer| {
            writer
                .put(&ChannelNumberAttribute(ChannelNumber::new(number).unwrap()))
                .unwrap();
            writer.put(&XorPeerAddress(peer)).unwrap();
        })
    }

    /// Sends `data` in a Send indication.
    pub(super) fn send(&self, world: &mut World, peer: SocketAddr, data: &[u8]) -> Outcome {
        let indication = send_indication(peer, data, |_| ());
        world.send(&self.at, &indication)
    }

    /// Sends `data` as ChannelData.
    pub(super) fn send_on(&self, world: &mut World, number: u16, data: &[u8]) -> Outcome {
        world.send(&self.at, &channel_data(number, data))
    }
}

/// A response, with its transaction checked.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// The error code; 0 for success.
    pub(super) code: u16,
}

impl Answer {
    /// Reads a response and checks what every response must be: of the same method and transaction, well-formed, with
    /// zero padding, and under the key where it answers an authenticated request.
    #[track_caller]
    pub(super) fn of(bytes: Vec<u8>, request: &[u8], key: Option<&HmacKey>) -> Self {
        let asked = Message::parse(request).unwrap();
        let message = Message::parse(&bytes).expect("a well-formed response");
        assert_eq!(message.method(), asked.method());
        assert_eq!(message.transaction_id(), asked.transaction_id());
        assert!(bytes.len() <= 548, "no response is longer than 548 bytes");
        let code = match message.class() {
            Class::Success => 0,
            Class::Error => message.get::<ErrorCode<'_>>().unwrap().unwrap().code,
            other => panic!("{other:?} is no class of a response"),
        };
        if let (Some(key), true) = (key, asked.integrity().is_some()) {
            assert!(
                message.verify(key) || matches!(code, 400 | 401 | 438),
                "a {code} is not protected"
            );
        }
        Self { bytes, code }
    }

    pub(super) fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).unwrap()
    }

    /// The first relayed address.
    #[track_caller]
    pub(super) fn relayed(&self) -> SocketAddr {
        assert_eq!(self.code, 0, "the allocation is refused");
        self.message()
            .get::<XorRelayedAddress>()
            .unwrap()
            .unwrap()
            .0
    }

    /// The LIFETIME attribute, in seconds.
    #[track_caller]
    pub(super) fn lifetime(&self) -> u32 {
        self.message()
            .get::<Lifetime>()
            .unwrap()
            .expect("a LIFETIME")
            .0
    }
}

/// A transaction id made from a number.
pub(super) fn id(number: u64) -> TransactionId {
    let mut id = [0x5A; 12];
    id[4..].copy_from_slice(&number.to_be_bytes());
    TransactionId(id)
}

/// A Send indication, with the attributes that `fill` puts in front.
pub(super) fn send_indication(
    peer: SocketAddr,
    data: &[u8],
    fill: impl FnOnce(&mut Writer<'_>),
) -> Vec<u8> {
    let mut buf = vec![0; data.len() + 256];
    let mut writer = Writer::new(&mut buf, Class::Indication, Method::SEND, id(1)).unwrap();
    fill(&mut writer);
    writer.put(&XorPeerAddress(peer)).unwrap();
    writer.put(&Data(data)).unwrap();
    let len = writer.finish();
    buf.truncate(len);
    buf
}

/// A ChannelData message without padding.
pub(super) fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    let mut header = [0; 4];
    let len = u16::try_from(data.len()).unwrap();
    write_channel_header(&mut header, ChannelNumber::new(number).unwrap(), len);
    [&header[..], data].concat()
}
