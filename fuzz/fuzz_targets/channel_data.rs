//! Any bytes as ChannelData.
#![no_main]

use libfuzzer_sys::fuzz_target;
use veilturn::wire::{ChannelData, Demux, write_channel_header};

fuzz_target!(|bytes: &[u8]| {
    let Ok(ChannelData { channel, payload }) = ChannelData::parse(bytes) else {
        return;
    };
    assert_eq!(Demux::of(bytes[0]), Demux::ChannelData);
    let mut header = [0; 4];
    let len = u16::try_from(payload.len()).expect("it came from 16 bits");
    write_channel_header(&mut header, channel, len);
    assert!(bytes.starts_with(&[&header, payload].concat()));
});
