//! What the codec costs per packet, beside what `stun` 0.17 and `stun-types` cost for the same.
//!
//! Every group does the same work with each codec on the same bytes; ratios hold on other machines, absolute times do
//! not. Messages and keys are reused wherever a codec lets them be.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use stun::message::Getter as _;
use stun_types::message::{LongTermCredentials, Message as TheirMessage};
use veilturn::wire::*;

#[allow(dead_code, reason = "shared with the codec's tests")]
#[path = "../src/wire/vectors.rs"]
mod vectors;
use vectors::hex;

const ID: TransactionId = TransactionId(*b"twelve bytes");
const PAYLOAD: [u8; 1000] = [0x5A; 1000];

fn peer() -> SocketAddr {
    "192.0.2.1:32853".parse().expect("an address")
}

fn send_indication() -> Vec<u8> {
    let mut buf = vec![0; 1200];
    let mut writer = Writer::new(&mut buf, Class::Indication, Method::SEND, ID).expect("room");
    writer.put(&XorPeerAddress(peer())).expect("room");
    writer.put(&Data(&PAYLOAD)).expect("room");
    let len = writer.finish();
    buf.truncate(len);
    buf
}

/// From a Send indication of 1000 bytes to the peer's address and the data.
fn read_send_indication(c: &mut Criterion) {
    let bytes = send_indication();
    let mut group = c.benchmark_group("read_send_indication");
    group.bench_function("veilturn", |b| {
        b.iter(|| {
            let message = Message::parse(black_box(&bytes)).expect("a message");
            let XorPeerAddress(peer) = message.get().expect("well-formed").expect("the peer");
            let Data(data) = message.get().expect("well-formed").expect("the data");
            black_box((message.class(), message.method(), peer, data));
        });
    });
    group.bench_function("stun", |b| {
        let mut message = stun::message::Message::new();
        b.iter(|| {
            message
                .unmarshal_binary(black_box(&bytes))
                .expect("a message");
            let mut peer = turn::proto::peeraddr::PeerAddress::default();
            peer.get_from(&message).expect("the peer");
            let mut data = turn::proto::data::Data::default();
            data.get_from(&message).expect("the data");
            black_box((peer.ip, peer.port, data.0.len()));
        });
    });
    group.bench_function("stun-types", |b| {
        b.iter(|| {
            let message = TheirMessage::from_bytes(black_box(&bytes)).expect("a message");
            let peer = message
                .attribute::<turn_types::attribute::XorPeerAddress>()
                .expect("the peer");
            let data = message
                .attribute::<turn_types::attribute::Data<'_>>()
                .expect("the data");
            black_box((peer.addr(message.transaction_id()), data.data().len()));
        });
    });
    group.finish();
}

/// The check of a request's MESSAGE-INTEGRITY with a key at hand, the message being parsed.
fn verify(c: &mut Criterion) {
    let bytes = hex(vectors::V4);
    let key = HmacKey::sha1(&hex(vectors::V4_KEY));
    let message = Message::parse(&bytes).expect("V-4");
    let sha256_bytes = hex(vectors::V5);
    let sha256_key = HmacKey::sha256(&hex(vectors::V5_KEY));
    let sha256_message = Message::parse(&sha256_bytes).expect("V-5");
    let mut group = c.benchmark_group("verify");
    group.bench_function("veilturn_sha1", |b| {
        b.iter(|| assert!(black_box(&message).verify(black_box(&key))));
    });
    group.bench_function("veilturn_sha256", |b| {
        b.iter(|| assert!(black_box(&sha256_message).verify(black_box(&sha256_key))));
    });
    group.finish();
}

/// The same from the bytes on.
fn parse_and_verify(c: &mut Criterion) {
    let bytes = hex(vectors::V4);
    let mut group = c.benchmark_group("parse_and_verify_sha1");
    group.bench_function("veilturn", |b| {
        let key = HmacKey::sha1(&hex(vectors::V4_KEY));
        b.iter(|| {
            let message = Message::parse(black_box(&bytes)).expect("V-4");
            assert!(message.verify(black_box(&key)));
        });
    });
    group.bench_function("stun", |b| {
        let integrity = stun::integrity::MessageIntegrity(hex(vectors::V4_KEY));
        let mut message = stun::message::Message::new();
        b.iter(|| {
            message.unmarshal_binary(black_box(&bytes)).expect("V-4");
            assert!(black_box(&integrity).check(&mut message).is_ok());
        });
    });
    group.bench_function("stun-types", |b| {
        let credentials =
            LongTermCredentials::new(vectors::USER.to_owned(), "TheMatrIX".to_owned());
        let key = credentials
            .to_key("example.org".to_owned())
            .make_key(stun_types::message::IntegrityAlgorithm::Sha1);
        b.iter(|| {
            let message = TheirMessage::from_bytes(black_box(&bytes)).expect("V-4");
            assert!(message.validate_integrity_with_key(black_box(&key)).is_ok());
        });
    });
    group.finish();
}

fn channel_data(c: &mut Criterion) {
    let mut datagram = [0x5A; 1004];
    let header = datagram.first_chunk_mut().expect("a header");
    write_channel_header(header, ChannelNumber::MIN, 1000);
    let mut group = c.benchmark_group("channel_data");
    group.bench_function("parse", |b| {
        b.iter(|| black_box(ChannelData::parse(black_box(&datagram))));
    });
    group.bench_function("write_header", |b| {
        let mut header = [0; 4];
        b.iter(|| {
            write_channel_header(black_box(&mut header), black_box(ChannelNumber::MAX), 1000)
        });
    });
    group.finish();
}

/// The headers around 1000 bytes that lie in the buffer already.
fn data_indication(c: &mut Criterion) {
    let mut group = c.benchmark_group("write_data_indication");
    for (name, peer) in [
        ("ipv4", peer()),
        ("ipv6", "[2001:db8::1]:32853".parse().expect("an address")),
    ] {
        group.bench_function(name, |b| {
            let mut buf = [0x5A; 1200];
            b.iter(|| {
                let written = write_data_indication(
                    black_box(&mut buf),
                    64..1064,
                    black_box(peer),
                    black_box(ID),
                );
                black_box(written)
            });
        });
    }
    group.finish();
}

/// The longest response of an ordinary call.
fn allocate_success(c: &mut Criterion) {
    let mut group = c.benchmark_group("write_allocate_success");
    for (name, key) in [
        ("sha1", HmacKey::sha1(b"sixteen byte key")),
        ("sha256", HmacKey::sha256(b"sixteen byte key")),
    ] {
        group.bench_function(name, |b| {
            let mut buf = [0; 1280];
            b.iter(|| write_allocate_success(black_box(&mut buf), black_box(&key)).expect("room"));
        });
    }
    group.finish();
}

fn write_allocate_success(buf: &mut [u8], key: &HmacKey) -> Result<usize, BufferFull> {
    let mut writer = Writer::new(buf, Class::Success, Method::ALLOCATE, ID)?;
    writer.put(&XorRelayedAddress(peer()))?;
    writer.put(&XorMappedAddress(peer()))?;
    writer.put(&Lifetime(600))?;
    writer.integrity(key)?;
    writer.fingerprint()?;
    Ok(writer.finish())
}

criterion_group!(
    benches,
    read_send_indication,
    verify,
    parse_and_verify,
    channel_data,
    data_indication,
    allocate_success
);
criterion_main!(benches);
