//! Any message that a caller may write, into a buffer of any size, is read back as it was meant.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use veilturn::wire::*;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    room: u16,
    id: [u8; 12],
    method: u16,
    attributes: Vec<(u16, &'a [u8])>,
    key: Option<(&'a [u8], bool)>,
    fingerprint: bool,
    peer: SocketAddr,
}

fuzz_target!(|input: Input<'_>| {
    let mut buf = vec![0xEE; usize::from(input.room)];
    let Some(method) = Method::new(input.method) else {
        return;
    };
    let id = TransactionId(input.id);
    let Ok(mut writer) = Writer::new(&mut buf, Class::Success, method, id) else {
        return assert!(input.room < 20);
    };
    let seals = [
        AttributeType::MESSAGE_INTEGRITY,
        AttributeType::MESSAGE_INTEGRITY_SHA256,
        AttributeType::FINGERPRINT,
    ];
    let mut written = Vec::new();
    for (kind, value) in input.attributes {
        let kind = AttributeType(kind);
        if !seals.contains(&kind) && writer.put(&RawAttribute { kind, value }).is_ok() {
            written.push((kind, value));
        }
    }
    let key = input.key.map(|(raw, sha256)| {
        if sha256 {
            HmacKey::sha256(raw)
        } else {
            HmacKey::sha1(raw)
        }
    });
    let key = key.filter(|key| writer.integrity(key).is_ok());
    let fingerprint = input.fingerprint && writer.fingerprint().is_ok();
    let len = writer.finish();

    let message = Message::parse(&buf[..len]).expect("what the writer writes is a message");
    assert_eq!(
        (message.class(), message.method()),
        (Class::Success, method)
    );
    assert_eq!(message.transaction_id(), id);
    assert!(message.attributes().eq(written));
    assert_eq!(message.integrity().is_some(), key.is_some());
    assert!(key.is_none_or(|key| message.verify(&key)));
    assert_eq!(message.fingerprint() == Fingerprint::Valid, fingerprint);

    wrap(&mut buf, input.peer, id);
});

/// Wraps all that lies in the buffer behind the headroom as the payload of a Data indication.
fn wrap(buf: &mut [u8], peer: SocketAddr, id: TransactionId) {
    let start = data_indication_overhead(peer);
    let Some(payload) = buf
        .get(start..buf.len().saturating_sub(3))
        .map(<[u8]>::to_vec)
    else {
        return;
    };
    let Some(at) = write_data_indication(buf, start..start + payload.len(), peer, id) else {
        return assert!(payload.len() > 65_000);
    };
    let message = Message::parse(&buf[at]).expect("an indication");
    assert_eq!(message.get(), Ok(Some(Data(&payload))));
    let XorPeerAddress(read) = message.get().expect("well-formed").expect("the peer");
    assert_eq!((read.ip(), read.port()), (peer.ip(), peer.port()));
}
