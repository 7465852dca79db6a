//! The cookie exchange of DTLS (RFC 6347 section 4.2.1), without a trace of clients that have not proven their address.
//! Pure.

use std::net::IpAddr;

use ring::hmac;

use crate::relay::FiveTuple;
use crate::time::Tick;

/// Bytes in front of the body of a handshake message: the record's header and the message's.
pub(super) const HEADERS: usize = RECORD_HEADER + 12;
/// Bytes of a record's header.
pub(super) const RECORD_HEADER: usize = 13;

/// Bytes of a cookie.
const COOKIE: usize = 32;

/// Bytes of a HelloVerifyRequest. What reaches to its cookie and is a ClientHello is no shorter, so that nothing is
/// amplified.
const VERIFY_REQUEST: usize = HEADERS + 3 + COOKIE;
const _: () = assert!(
    VERIFY_REQUEST <= HEADERS + 36,
    "version, random and two lengths without a cookie"
);

/// How long a cookie is good at least; at most for twice as long.
const COOKIE_SECONDS: u64 = 60;

/// The first ClientHello of a handshake, as short as one can be: what the library is shown in place of the one that was
/// answered and forgotten. RFC 6347 section 4.2.1 leaves the first ClientHello out of what is authenticated.
pub(super) const FIRST: [u8; HEADERS + 42] = {
    let mut hello = [0; HEADERS + 42];
    let (record, message) = (12 + 42, 42);
    hello[0] = 22;
    hello[1] = 0xFE;
    hello[2] = 0xFF;
    hello[12] = record;
    hello[13] = 1;
    hello[16] = message;
    hello[24] = message;
    // DTLS 1.2, a random of zeros, no session, no cookie; one cipher suite, no compression.
    hello[25] = 0xFE;
    hello[26] = 0xFD;
    let suites = HEADERS + 36;
    hello[suites + 1] = 2;
    hello[suites + 2] = 0xC0;
    hello[suites + 3] = 0x2F;
    hello[suites + 4] = 1;
    hello
};

/// A ClientHello, or the first piece of one: as far as it matters for its cookie.
#[derive(Clone, Copy)]
pub(super) struct ClientHello<'a> {
    /// The record's sequence number, within its epoch.
    pub(super) sequence: u64,
    message_seq: u16,
    /// The version, the random and the session's id.
    attempt: &'a [u8],
    pub(super) cookie: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// Reads the first record of a datagram. A client that thinks little of its path sends a ClientHello in pieces: they
    /// are not kept, so the first one has to reach to the cookie, and to come first.
    pub(super) fn parse(datagram: &'a [u8]) -> Option<Self> {
        const HANDSHAKE: u8 = 22;
        const CLIENT_HELLO: u8 = 1;
        let (headers, rest) = datagram.split_at_checked(HEADERS)?;
        let is_first_of_all =
            headers[0] == HANDSHAKE && headers[1] == 0xFE && headers[3..5] == [0, 0];
        if !is_first_of_all || headers[13] != CLIENT_HELLO {
            return None;
        }
        let body = rest.get(..number(&headers[22..25]))?;
        let is_start = number(&headers[19..22]) == 0 && number(&headers[14..17]) >= body.len();
        if !is_start || number(&headers[11..13]) != body.len() + HEADERS - RECORD_HEADER {
            return None;
        }
        // Version and random come before the session's id.
        let session = usize::from(*body.get(34)?);
        let (attempt, rest) = body.split_at_checked(35 + session)?;
        let (len, rest) = rest.split_first()?;
        Some(Self {
            sequence: headers[5..11].iter().fold(0, |n, b| n << 8 | u64::from(*b)),
            message_seq: u16::from_be_bytes([headers[17], headers[18]]),
            attempt,
            cookie: rest.get(..usize::from(*len))?,
        })
    }

    /// The client's random, which tells one attempt from another.
    pub(super) fn random(&self) -> [u8; 32] {
        let mut random = [0; 32];
        random.copy_from_slice(&self.attempt[2..34]);
        random
    }

    /// Whether it is the first of its handshake, which has no cookie yet.
    pub(super) const fn is_first(&self) -> bool {
        self.message_seq == 0
    }

    /// Whether it is the answer to a HelloVerifyRequest.
    pub(super) const fn is_second(&self) -> bool {
        self.message_seq == 1 && self.sequence > 0
    }

    /// The HelloVerifyRequest that answers it.
    pub(super) fn verify_request(&self, cookie: &[u8; COOKIE]) -> [u8; VERIFY_REQUEST] {
        #[expect(clippy::cast_possible_truncation, reason = "all are below 64")]
        const LENGTHS: [u8; 3] = [
            (VERIFY_REQUEST - RECORD_HEADER) as u8,
            (VERIFY_REQUEST - HEADERS) as u8,
            COOKIE as u8,
        ];
        let [record, message, len] = LENGTHS;
        let mut out = [0; VERIFY_REQUEST];
        // RFC 6347 section 4.2.1: the version is DTLS 1.0, whatever will be spoken, and the record's number is that of
        // the ClientHello, so that a repeated one is answered under another number.
        out[..5].copy_from_slice(&[22, 0xFE, 0xFF, 0, 0]);
        out[5..11].copy_from_slice(&self.sequence.to_be_bytes()[2..]);
        out[12] = record;
        out[13] = 3;
        out[16] = message;
        out[24] = message;
        out[25..28].copy_from_slice(&[0xFE, 0xFF, len]);
        out[28..].copy_from_slice(cookie);
        out
    }
}

/// A number of a few bytes, as records and messages have it.
pub(super) fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
}

/// Makes and checks cookies. A cookie is good for one client, one ClientHello and a while.
#[derive(Clone)]
pub(super) struct Cookies {
    key: hmac::Key,
}

impl Cookies {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// The cookie for a client.
    pub(super) fn make(
        &self,
        now: Tick,
        from: &FiveTuple,
        hello: &ClientHello<'_>,
    ) -> [u8; COOKIE] {
        let mut cookie = [0; COOKIE];
        let tag = hmac::sign(&self.key, &text(period(now), from, hello));
        cookie.copy_from_slice(tag.as_ref());
        cookie
    }

    /// Whether a ClientHello has a cookie that was made for it.
    pub(super) fn verify(&self, now: Tick, from: &FiveTuple, hello: &ClientHello<'_>) -> bool {
        let period = period(now);
        [period, period.wrapping_sub(1)].iter().any(|period| {
            hmac::verify(&self.key, &text(*period, from, hello), hello.cookie).is_ok()
        })
    }
}

fn period(now: Tick) -> u64 {
    now.since(Tick::from_millis(0)).as_secs() / COOKIE_SECONDS
}

/// What a cookie vouches for: that whoever makes this attempt is reached there.
fn text(period: u64, from: &FiveTuple, hello: &ClientHello<'_>) -> Vec<u8> {
    let client = from.client.reveal();
    let v6 = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let mut text = Vec::with_capacity(160);
    text.extend(period.to_be_bytes());
    text.extend(v6(client.ip()));
    text.extend(client.port().to_be_bytes());
    text.extend(v6(from.server));
    text.extend(from.link.id.to_be_bytes());
    text.extend(hello.attempt);
    text
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::masked::Masked;
    use crate::relay::{Link, Transport};

    #[test]
    fn the_smallest_hello_is_not_answered_with_more() {
        let hello = hello(0, 0, &[]);
        let parsed = ClientHello::parse(&hello).unwrap();
        assert!(parsed.verify_request(&[7; COOKIE]).len() <= hello.len());
    }

    #[test]
    fn a_cookie_is_good_for_its_client_its_hello_and_a_while() {
        let cookies = Cookies::new(&[9; 32]);
        let first = hello(0, 0, &[]);
        let first = ClientHello::parse(&first).unwrap();
        let cookie = cookies.make(at(59), &client(1), &first);
        let second = hello(1, 1, &cookie);
        let second = ClientHello::parse(&second).unwrap();
        let mut changed = hello(1, 1, &cookie);
        changed[HEADERS + 2] ^= 1;
        let changed = ClientHello::parse(&changed).unwrap();

        assert!(cookies.verify(at(59), &client(1), &second));
        assert!(cookies.verify(at(119), &client(1), &second));
        assert!(!cookies.verify(at(120), &client(1), &second));
        assert!(!cookies.verify(at(59), &client(2), &second));
        assert!(!cookies.verify(at(59), &client(1), &changed));
        assert!(!cookies.verify(at(59), &client(1), &first));
        assert!(!Cookies::new(&[8; 32]).verify(at(59), &client(1), &second));
    }

    #[test]
    fn the_start_of_a_hello_is_enough() {
        let cookies = Cookies::new(&[9; 32]);
        let whole = hello(0, 0, &[]);
        let cookie = cookies.make(at(0), &client(1), &ClientHello::parse(&whole).unwrap());
        let mut piece = hello(1, 1, &cookie);
        piece.truncate(HEADERS + 36 + COOKIE);
        piece[12] = 12 + 36 + 32;
        piece[24] = 36 + 32;
        let piece = ClientHello::parse(&piece).unwrap();
        assert!(piece.is_second() && cookies.verify(at(0), &client(1), &piece));
    }

    #[test]
    fn what_the_library_is_shown_is_a_first_hello() {
        let first = ClientHello::parse(&FIRST).unwrap();
        assert!(first.is_first() && first.cookie.is_empty());
    }

    #[test]
    fn whatever_is_cut_or_changed_is_read_without_a_panic() {
        let whole = hello(1, 1, &[3; COOKIE]);
        for len in 0..whole.len() {
            assert!(ClientHello::parse(&whole[..len]).is_none(), "{len}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[at] ^= 1 << bit;
                let _ = ClientHello::parse(&changed).map(|hello| hello.random());
            }
        }
    }

    /// A ClientHello without an extension, of one cipher suite.
    fn hello(sequence: u8, message_seq: u8, cookie: &[u8]) -> Vec<u8> {
        let mut body = vec![0xFE, 0xFD];
        body.extend([5; 32]);
        body.push(0);
        body.push(u8::try_from(cookie.len()).unwrap());
        body.extend(cookie);
        body.extend([0, 2, 0xC0, 0x2F, 1, 0]);
        let len = u8::try_from(body.len()).unwrap();
        let mut out = vec![22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, sequence, 0, len + 12];
        out.extend([1, 0, 0, len, 0, message_seq, 0, 0, 0, 0, 0, len]);
        out.extend(body);
        out
    }

    fn client(port: u16) -> FiveTuple {
        FiveTuple {
            client: Masked::new((Ipv4Addr::LOCALHOST, port).into()),
            server: Ipv4Addr::LOCALHOST.into(),
            link: Link {
                id: 0,
                transport: Transport::Dtls,
            },
        }
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_millis(seconds * 1000)
    }
}
