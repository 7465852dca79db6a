//! What the library gets to see of a client's datagrams: the records that a handshake of ours has, and those of a session.
//!
//! The library keeps a whole buffer for each record of an epoch that is still to come, and room for a message of any
//! length from its first byte on, a hundred KiB each. None of it is of use to a client of ours, who has no certificate to
//! send. And a protected record that is too short for what protects it is no forgery to the library, but the end of the
//! session. What is left out here is as if it were lost: what an honest client has to say, it says again.

use std::mem;

use super::hello::{HEADERS, RECORD_HEADER, number};

/// Bytes of a message's header.
const MESSAGE_HEADER: usize = HEADERS - RECORD_HEADER;

/// Bytes of a message at most. A ClientHello with all that clients know of today has less than two KiB.
const MESSAGE_MAX: usize = 8 * 1024;

/// Bytes that protect a record (RFC 5288 section 3): nonce and tag.
const PROTECTION: usize = 8 + 16;

/// Bytes of the longest protected Finished behind the record's header.
const FINISHED: usize = PROTECTION + MESSAGE_HEADER + 12;

/// Protected records that a session may bring in its handshake. It takes one, whenever what comes before it arrives: the
/// library keeps it until then.
const PROTECTED: u8 = 2;

/// Kinds of records.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// What is to be known of a session to tell which records are for it.
#[derive(Default)]
pub(super) struct Sieve {
    /// Protected records that it has brought in its handshake.
    protected: u8,
}

impl Sieve {
    /// Takes out of a datagram what is not for the library. `is_open` says whether the session's handshake is done.
    pub(super) fn sift(&mut self, is_open: bool, datagram: &mut Vec<u8>) {
        // One handshake record of a datagram is enough where any may be a repeated Finished.
        let mut is_finished = false;
        let (mut kept, mut end) = (0, 0);
        while let Some(record) = Record::first(&datagram[end..]) {
            let start = end;
            let is_kept = if is_open {
                record.is_of_session()
                    && !(record.is_finished() && mem::replace(&mut is_finished, true))
            } else {
                self.keeps(&record)
            };
            end += record.len();
            if is_kept {
                if kept < start {
                    datagram.copy_within(start..end, kept);
                }
                kept += end - start;
            }
        }
        datagram.truncate(kept);
    }

    /// Whether a record is for a session in its handshake.
    fn keeps(&mut self, record: &Record<'_>) -> bool {
        if record.is_finished() && self.protected < PROTECTED {
            self.protected += 1;
            return true;
        }
        record.is_of_handshake()
    }
}

/// A record of a datagram.
struct Record<'d> {
    kind: u8,
    epoch: usize,
    body: &'d [u8],
}

impl<'d> Record<'d> {
    /// The record that a datagram begins with, if all of it is there.
    fn first(datagram: &'d [u8]) -> Option<Self> {
        let (header, rest) = datagram.split_at_checked(RECORD_HEADER)?;
        Some(Self {
            kind: header[0],
            epoch: number(&header[3..5]),
            body: rest.get(..number(&header[11..13]))?,
        })
    }

    /// Bytes of it all.
    const fn len(&self) -> usize {
        RECORD_HEADER + self.body.len()
    }

    /// Whether it may be a client's protected Finished.
    const fn is_finished(&self) -> bool {
        self.is_protected() && self.kind == HANDSHAKE && self.body.len() <= FINISHED
    }

    /// Whether it is for a session whose handshake is done.
    const fn is_of_session(&self) -> bool {
        let is_talk = self.is_protected() && matches!(self.kind, ALERT | APPLICATION_DATA);
        is_talk || self.is_finished()
    }

    /// Whether it may be a record under the keys of the handshake.
    const fn is_protected(&self) -> bool {
        self.epoch == 1 && self.body.len() >= PROTECTION
    }

    /// Whether it is one of those that a client sends unprotected.
    fn is_of_handshake(&self) -> bool {
        let is_harmless = match self.kind {
            CHANGE_CIPHER_SPEC | ALERT => true,
            HANDSHAKE => are_of_handshake(self.body),
            _ => false,
        };
        self.epoch == 0 && is_harmless
    }
}

/// Whether all messages in a record, or pieces of them, are a ClientHello with its cookie, or the ClientKeyExchange: the
/// second and the third message of a client that is not asked for a certificate.
fn are_of_handshake(mut messages: &[u8]) -> bool {
    const CLIENT_HELLO: u8 = 1;
    const CLIENT_KEY_EXCHANGE: u8 = 16;
    while let Some((header, rest)) = messages.split_at_checked(MESSAGE_HEADER) {
        let place = (header[0], number(&header[4..6]));
        let is_known = matches!(place, (CLIENT_HELLO, 1) | (CLIENT_KEY_EXCHANGE, 2));
        let piece = number(&header[9..12]);
        if !is_known || number(&header[1..4]) > MESSAGE_MAX || piece > rest.len() {
            return false;
        }
        messages = &rest[piece..];
    }
    messages.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_records_of_a_handshake_are_seen() {
        let flight = [
            message(16, 2, 66, 66),
            record(CHANGE_CIPHER_SPEC, 0, &[1]),
            record(HANDSHAKE, 1, &[9; FINISHED]),
        ];
        for hello in [message(1, 1, 300, 300), message(1, 1, 1500, 256)] {
            assert_eq!(sifted(&mut Sieve::default(), false, &hello), hello);
        }
        assert_eq!(
            sifted(&mut Sieve::default(), false, &flight.concat()),
            flight.concat()
        );
        let alert = record(ALERT, 0, &[2, 40]);
        assert_eq!(sifted(&mut Sieve::default(), false, &alert), alert);
    }

    #[test]
    fn what_a_handshake_has_not_is_left_out() {
        for record in [
            message(11, 2, 66, 66),
            message(16, 3, 66, 66),
            message(1, 0, 66, 66),
            message(16, 2, MESSAGE_MAX + 1, 1),
            record(HANDSHAKE, 0, &piece(16, 2, 66, 66)[..60]),
            record(
                HANDSHAKE,
                0,
                &[piece(16, 2, 1, 1), piece(20, 3, 1, 1)].concat(),
            ),
            record(APPLICATION_DATA, 0, b"data"),
            record(APPLICATION_DATA, 1, b"data"),
            record(HANDSHAKE, 1, &[9; FINISHED + 1]),
            record(HANDSHAKE, 1, &[9; PROTECTION - 1]),
            record(HANDSHAKE, 2, &[9; FINISHED]),
            record(27, 0, b""),
        ] {
            assert_eq!(sifted(&mut Sieve::default(), false, &record), b"");
        }
    }

    #[test]
    fn what_stands_around_is_seen() {
        let (good, bad) = (message(16, 2, 66, 66), message(11, 2, 66, 66));
        let datagram = [
            bad.clone(),
            good.clone(),
            bad,
            good.clone(),
            b"rest".to_vec(),
        ];
        let seen = [good.clone(), good].concat();
        assert_eq!(
            sifted(&mut Sieve::default(), false, &datagram.concat()),
            seen
        );
    }

    #[test]
    fn a_handshake_brings_few_protected_records() {
        let mut sieve = Sieve::default();
        let finished = record(HANDSHAKE, 1, &[9; FINISHED]);
        let seen = finished.repeat(usize::from(PROTECTED));
        assert_eq!(sifted(&mut sieve, false, &finished.repeat(100)), seen);
        assert_eq!(sifted(&mut sieve, false, &finished), b"");
        let exchange = message(16, 2, 66, 66);
        assert_eq!(sifted(&mut sieve, false, &exchange), exchange);
    }

    #[test]
    fn a_session_brings_data_and_one_finished_in_a_datagram() {
        let data = record(APPLICATION_DATA, 1, &[7; 1200]);
        let alert = record(ALERT, 1, &[7; 26]);
        let finished = record(HANDSHAKE, 1, &[9; FINISHED]);
        let long = record(HANDSHAKE, 1, &[9; FINISHED + 1]);
        let next = record(HANDSHAKE, 2, &[9; FINISHED]);
        let unprotected = message(16, 2, 66, 66);
        let datagram = [
            &data[..],
            &unprotected,
            &finished,
            &finished,
            &long,
            &next,
            &alert,
            &data,
        ];
        let seen = [&data[..], &finished, &alert, &data].concat();
        let mut sieve = Sieve::default();
        for _ in 0..10 {
            assert_eq!(sifted(&mut sieve, true, &datagram.concat()), seen);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_sifted(
            is_open: bool,
            noise in vec((0..30_u8, 0..3_u8, vec(any::<u8>(), 0..80)), 0..8),
            tail in vec(any::<u8>(), 0..80),
        ) {
            let mut datagram: Vec<u8> = Vec::new();
            for (kind, epoch, body) in noise {
                datagram.extend(record(kind, epoch, &body));
            }
            datagram.extend(tail);
            let mut sieve = Sieve::default();
            let once = sifted(&mut sieve, is_open, &datagram);
            let twice = sifted(&mut Sieve::default(), is_open, &once);
            prop_assert_eq!(once, twice, "what is seen once is seen again");
        }

        #[test]
        fn noise_is_sifted(is_open: bool, mut datagram in vec(any::<u8>(), 0..200)) {
            let before = datagram.len();
            Sieve::default().sift(is_open, &mut datagram);
            prop_assert!(datagram.len() <= before);
        }
    }

    fn sifted(sieve: &mut Sieve, is_open: bool, datagram: &[u8]) -> Vec<u8> {
        let mut datagram = datagram.to_vec();
        sieve.sift(is_open, &mut datagram);
        datagram
    }

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        let mut out = vec![kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, 9, high, low];
        out.extend(body);
        out
    }

    fn message(kind: u8, place: u8, len: usize, sent: usize) -> Vec<u8> {
        record(HANDSHAKE, 0, &piece(kind, place, len, sent))
    }

    /// The first `sent` bytes of a message of `len`.
    fn piece(kind: u8, place: u8, len: usize, sent: usize) -> Vec<u8> {
        let three = |n: usize| u32::try_from(n).unwrap().to_be_bytes()[1..].to_vec();
        let mut out = [&[kind], &three(len)[..], &[0, place, 0, 0, 0], &three(sent)].concat();
        out.resize(MESSAGE_HEADER + sent, 5);
        out
    }
}
