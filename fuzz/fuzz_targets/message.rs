//! Any bytes as a message: everything is read from it, and every attribute says the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use veilturn::wire::*;

macro_rules! read_and_write {
    ($message:ident: $($attribute:ty),+ $(,)?) => {
        $(if let Ok(Some(read)) = $message.get::<$attribute>() {
            let bytes = written(&$message, &read);
            let again = Message::parse(&bytes).expect("what the writer writes is a message");
            assert_eq!(again.get::<$attribute>(), Ok(Some(read)));
        })+
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    read_and_write!(message: MappedAddress, XorMappedAddress, XorPeerAddress, XorRelayedAddress, AlternateServer);
    read_and_write!(message: Username<'_>, UserHash<'_>, Realm<'_>, Nonce<'_>, Software<'_>, AlternateDomain<'_>);
    read_and_write!(message: ErrorCode<'_>, AddressErrorCode<'_>, UnknownAttributes, Icmp);
    read_and_write!(message: PasswordAlgorithm<'_>, PasswordAlgorithms<'_>);
    read_and_write!(message: Lifetime, ChannelNumberAttribute, RequestedTransport, ConnectionId, ReservationToken);
    read_and_write!(message: RequestedAddressFamily, AdditionalAddressFamily, EvenPort, DontFragment, Data<'_>);
    if let Ok(Some(algorithms)) = message.get::<PasswordAlgorithms<'_>>() {
        assert!(algorithms.iter().count() <= bytes.len() / 4);
    }
    assert!(message.unknown_required(|_| false).len() <= MAX_UNKNOWN);
    let _ = message.verify(&HmacKey::sha1(b"key"));
    let _ = message.verify(&HmacKey::sha256(b"key"));
    let _ = (
        message.integrity(),
        message.fingerprint(),
        format!("{message:?}"),
    );
});

/// A message of the same kind with that attribute alone: never longer than the one it was read from.
fn written(message: &Message<'_>, attribute: &impl Encode) -> Vec<u8> {
    let mut buf = vec![0; message.bytes().len()];
    let id = message.transaction_id();
    let mut writer = Writer::new(&mut buf, message.class(), message.method(), id).expect("room");
    writer.put(attribute).expect("room");
    let len = writer.finish();
    buf.truncate(len);
    buf
}
