//! The writer at the edges of its buffer and of the length field.

use super::*;
use crate::wire::{Data, Fingerprint, Lifetime, Message, Software, Username};

const ID: TransactionId = TransactionId(*b"twelve bytes");

/// Writes a whole message step by step; returns the bytes and how many steps failed.
fn write(buf: &mut [u8], key: &HmacKey) -> Result<(usize, usize), BufferFull> {
    let mut writer = Writer::new(buf, Class::Success, Method::ALLOCATE, ID)?;
    let steps = [
        writer.put(&Lifetime(600)),
        writer.put(&Username("evtj:h6vY")),
        writer.put(&Software("x")),
        writer.integrity(key),
        writer.fingerprint(),
    ];
    let failed = steps.into_iter().filter(Result::is_err).count();
    Ok((writer.finish(), failed))
}

#[test]
fn buffer_of_any_size_holds_a_whole_message_or_none() {
    for key in [HmacKey::sha1(b"key"), HmacKey::sha256(b"key")] {
        let whole = 20 + 8 + 16 + 8 + 4 + key.hash().tag_len() + 8;
        for size in 0..=whole + 5 {
            let mut buf = vec![0xEE; size + 8];
            let outcome = write(&mut buf[..size], &key);
            assert_eq!(
                buf[size..],
                [0xEE; 8],
                "nothing is written behind the buffer"
            );
            let Ok((len, failed)) = outcome else {
                assert!(size < 20);
                continue;
            };
            assert_eq!(failed == 0, size >= whole, "{size} bytes");
            assert!(len <= size);
            let message = Message::parse(&buf[..len]).expect("whole after every step");
            assert_ne!(message.fingerprint(), Fingerprint::Invalid);
            assert_eq!(message.verify(&key), message.integrity().is_some());
        }
    }
}

#[test]
fn every_value_length_is_padded_with_zeros() {
    let body = [0x55; 64];
    for len in 0..=body.len() {
        let mut buf = [0xEE; 128];
        let mut writer = Writer::new(&mut buf, Class::Request, Method::SEND, ID).expect("room");
        writer.put(&Data(&body[..len])).expect("room");
        let end = writer.finish();

        assert_eq!(end, 24 + len.next_multiple_of(4));
        assert!(buf[24 + len..end].iter().all(|byte| *byte == 0));
        assert!(buf[end..].iter().all(|byte| *byte == 0xEE));
        let message = Message::parse(&buf[..end]).expect("a message");
        assert_eq!(message.get(), Ok(Some(Data(&body[..len]))));
    }
}

#[test]
fn length_field_is_never_exceeded() {
    let body = vec![0x55; 70_000];
    let mut buf = vec![0; 80_000];
    for (len, fits) in [
        (65_528, true),
        (65_529, false),
        (65_532, false),
        (65_535, false),
        (65_536, false),
        (70_000, false),
    ] {
        let mut writer = Writer::new(&mut buf, Class::Request, Method::SEND, ID).expect("room");
        assert_eq!(writer.put(&Data(&body[..len])).is_ok(), fits, "{len}");
        let written = writer.len();
        assert_eq!(written, if fits { 24 + len } else { 20 });
        assert_eq!(writer.integrity(&HmacKey::sha1(b"key")).is_ok(), !fits);
        assert_eq!(writer.fingerprint().is_ok(), !fits);
        let end = writer.finish();
        assert!(Message::parse(&buf[..end]).is_ok());
    }
}

#[test]
fn failed_attribute_leaves_the_message_as_it_was() {
    let mut buf = [0xEE; 36];
    let mut writer = Writer::new(&mut buf, Class::Request, Method::BINDING, ID).expect("room");
    writer.put(&Lifetime(1)).expect("room");
    assert_eq!(writer.put(&Software("too long")), Err(BufferFull));
    assert_eq!(writer.put(&Software("four")), Ok(()));
    assert_eq!(writer.put(&Software("")), Err(BufferFull));
    let len = writer.finish();
    let message = Message::parse(&buf[..len]).expect("a message");
    assert_eq!(message.get(), Ok(Some(Lifetime(1))));
    assert_eq!(message.get(), Ok(Some(Software("four"))));
}
