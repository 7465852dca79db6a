//! Any bytes as the start of a connection from an upstream: what is found lies within them, and more bytes change
//! nothing about it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use veilturn::proxy::{Header, MAX_HEADER, parse};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    if let Ok(Header::Proxied { len, .. } | Header::Local { len }) = whole {
        assert!(len <= bytes.len() && len <= MAX_HEADER);
        assert_eq!(parse(&bytes[..len]), whole);
        assert_eq!(parse(&bytes[..len - 1]), Ok(Header::NeedMore));
    }
    if whole == Ok(Header::NeedMore) {
        assert!(bytes.len() < MAX_HEADER);
    }
    if let Some((_, shorter)) = bytes.split_last() {
        let before = parse(shorter);
        assert!(before == Ok(Header::NeedMore) || before == whole);
    }
});
