//! Any bytes as a stream, cut into frames as they arrive: the same frames come out, however the bytes are split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use veilturn::wire::{FrameError, MAX_FRAME, frame_len};

fuzz_target!(|input: (&[u8], Vec<u8>)| {
    let (stream, pieces) = input;
    let at_once = frames(stream, &[stream.len()]);
    let mut ends: Vec<usize> = Vec::new();
    for piece in pieces {
        let last = ends.last().copied().unwrap_or(0);
        ends.push((last + usize::from(piece)).min(stream.len()));
    }
    ends.push(stream.len());
    assert_eq!(frames(stream, &ends), at_once);
});

/// The lengths of the frames that come out where the stream arrives up to each of `ends`, and how it ended.
fn frames(stream: &[u8], ends: &[usize]) -> (Vec<usize>, Option<FrameError>) {
    let (mut at, mut found) = (0, Vec::new());
    for end in ends {
        loop {
            match frame_len(&stream[at..*end]) {
                Ok(Some(len)) if at + len <= *end => {
                    assert!((4..=MAX_FRAME).contains(&len));
                    found.push(len);
                    at += len;
                }
                Ok(_) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}
