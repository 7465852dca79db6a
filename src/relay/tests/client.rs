//! A client: it knows its credential and the server's nonce, and writes requests as clients do.

use std::net::SocketAddr;

use md5::{Digest, Md5};

use super::world::{Outcome, REALM, World};
use crate::auth::Credential;
use crate::relay::FiveTuple;
use crate::wire::{
    Attribute as _, AttributeType, ChannelNumber, ChannelNumberAttribute, Class, Data, ErrorCode,
    Fingerprint, HmacKey, Lifetime, Message, Method, Nonce, RawAttribute, Realm,
    RequestedTransport, TransactionId, Username, Writer, XorPeerAddress, XorRelayedAddress,
    write_channel_header,
};

/// One client on one 5-tuple.
pub(super) struct Client {
    pub(super) at: FiveTuple,
    /// The worker that its packets reach.
    pub(super) worker: usize,
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
            worker: 0,
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

    /// Sends a request; its answer.
    pub(super) fn ask(
        &mut self,
        world: &mut World,
        method: Method,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Answer {
        let request = self.request(method, fill);
        Answer::of(
            world.send_to(self.worker, &self.at, &request).reply(),
            &request,
            Some(&self.key),
        )
    }

    /// Sends a request that has to be refused; the error code. Nothing may have changed (PR-07).
    #[track_caller]
    pub(super) fn refused(
        &mut self,
        world: &mut World,
        method: Method,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> u16 {
        let before = world.snapshot();
        let answer = self.ask(world, method, fill);
        assert_ne!(answer.code, 0, "the request is granted");
        assert_eq!(
            world.snapshot(),
            before,
            "a {} changed something",
            answer.code
        );
        answer.code
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
        world.send_to(self.worker, &self.at, &indication)
    }

    /// Sends `data` as ChannelData.
    pub(super) fn send_on(&self, world: &mut World, number: u16, data: &[u8]) -> Outcome {
        world.send_to(self.worker, &self.at, &channel_data(number, data))
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
    /// Reads a response and checks what every response must be (INV): of the same method and transaction, well-formed,
    /// short, with zero padding and no word about the user; a challenge with all that belongs to it and nothing else;
    /// anything else under `key` where the request is, which is to be `None` where the request cannot be authenticated.
    #[track_caller]
    pub(super) fn of(bytes: Vec<u8>, request: &[u8], key: Option<&HmacKey>) -> Self {
        let asked = Message::parse(request).unwrap();
        let message = Message::parse(&bytes).expect("a well-formed response");
        assert_eq!(message.method(), asked.method());
        assert_eq!(message.transaction_id(), asked.transaction_id());
        assert!(bytes.len() <= 548, "no response is longer than 548 bytes");
        let code = match message.class() {
            Class::Success => 0,
            Class::Error => {
                let error: ErrorCode<'_> = message.get().unwrap().expect("an ERROR-CODE");
                assert_eq!(error.reason, "", "a reason says no more than the code");
                error.code
            }
            Class::Request | Class::Indication => panic!("no response"),
        };
        let answer = Self { bytes, code };
        answer.check_attributes(asked.fingerprint() != Fingerprint::Absent);
        let protected = answer.message().integrity().is_some();
        match key.filter(|_| asked.integrity().is_some() && !matches!(code, 401 | 438)) {
            Some(key) => assert!(answer.message().verify(key), "a {code} is not protected"),
            None => assert!(
                !protected,
                "a {code} is protected, though nobody is authenticated"
            ),
        }
        answer
    }

    #[track_caller]
    fn check_attributes(&self, fingerprint: bool) {
        let kinds: Vec<_> = self.attributes().iter().map(|(kind, _)| *kind).collect();
        let count = |kind| kinds.iter().filter(|found| **found == kind).count();
        assert_eq!(
            count(AttributeType::USERNAME) + count(AttributeType::USERHASH),
            0
        );
        let seals = [
            AttributeType::MESSAGE_INTEGRITY,
            AttributeType::MESSAGE_INTEGRITY_SHA256,
        ];
        assert!(
            seals.map(count).iter().sum::<usize>() <= 1,
            "one integrity at most"
        );
        if fingerprint {
            assert_eq!(self.message().fingerprint(), Fingerprint::Valid);
        } else {
            assert_eq!(count(AttributeType::FINGERPRINT), 0);
        }
        let challenge = [
            AttributeType::REALM,
            AttributeType::NONCE,
            AttributeType::PASSWORD_ALGORITHMS,
        ];
        if let 401 | 438 = self.code {
            let expected = [&[AttributeType::ERROR_CODE][..], &challenge].concat();
            let found = &kinds[..kinds.len() - usize::from(fingerprint)];
            assert_eq!(found, expected, "a challenge and nothing else");
        } else {
            assert_eq!(
                challenge.map(count),
                [0; 3],
                "a {} is no challenge",
                self.code
            );
        }
        let unknown = usize::from(self.code == 420);
        assert_eq!(count(AttributeType::UNKNOWN_ATTRIBUTES), unknown);
    }

    /// All attributes as they lie there, those behind the integrity included; their padding is checked to be zero.
    #[track_caller]
    pub(super) fn attributes(&self) -> Vec<(AttributeType, Vec<u8>)> {
        let mut rest = &self.bytes[20..];
        let mut found = Vec::new();
        while let Some((head, tail)) = rest.split_first_chunk::<4>() {
            let kind = AttributeType(u16::from_be_bytes([head[0], head[1]]));
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (value, padding) = tail[..len.next_multiple_of(4)].split_at(len);
            assert!(padding.iter().all(|byte| *byte == 0), "padding of {kind:?}");
            found.push((kind, value.to_vec()));
            rest = &tail[len.next_multiple_of(4)..];
        }
        found
    }

    /// The values of all attributes of a type.
    pub(super) fn values(&self, wanted: AttributeType) -> Vec<Vec<u8>> {
        let all = self.attributes().into_iter();
        all.filter_map(|(kind, value)| (kind == wanted).then_some(value))
            .collect()
    }

    /// The relayed addresses, in order.
    pub(super) fn all_relayed(&self) -> Vec<SocketAddr> {
        let id = self.message().transaction_id();
        self.values(AttributeType::XOR_RELAYED_ADDRESS)
            .iter()
            .map(|value| XorRelayedAddress::decode(value, id).unwrap().0)
            .collect()
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

/// A message with the attributes that `fill` puts, and no others.
pub(super) fn message(class: Class, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = vec![0; 2048];
    let mut writer = Writer::new(&mut buf, class, method, id(77)).unwrap();
    fill(&mut writer);
    let len = writer.finish();
    buf.truncate(len);
    buf
}

/// An attribute of any type and value.
pub(super) const fn raw(kind: u16, value: &[u8]) -> RawAttribute<'_> {
    RawAttribute {
        kind: AttributeType(kind),
        value,
    }
}

/// Asks for a relayed address on UDP.
pub(super) fn udp(writer: &mut Writer<'_>) {
    writer.put(&RequestedTransport(17)).unwrap();
}

/// Puts attributes by number and value.
pub(super) fn put<'a>(attributes: &'a [(u16, &'a [u8])]) -> impl FnOnce(&mut Writer<'_>) + 'a {
    move |writer| {
        for (kind, value) in attributes {
            writer.put(&raw(*kind, value)).unwrap();
        }
    }
}

/// Asks for a relayed address on UDP, with more attributes.
pub(super) fn with<'a>(attributes: &'a [(u16, &'a [u8])]) -> impl FnOnce(&mut Writer<'_>) + 'a {
    move |writer| {
        udp(writer);
        put(attributes)(writer);
    }
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
