//! Nonces that need no memory: each proves by itself when it was issued, and to whom.
//!
//! ```text
//! obMatJos2 gAAB  base64( time: 5 bytes | MAC: 12 bytes )
//! cookie    what  milliseconds,           HMAC-SHA256 under the key of the time's epoch, over the time,
//!           is    from a secret           the client's address and port, and the algorithms on offer
//!           offered  origin
//! ```
//!
//! A challenge to a stranger therefore leaves nothing behind, and a flood of them nothing to exhaust. The value is 36
//! characters, because an unauthenticated request must not be answered with much more than it brought.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::hmac;

use super::algorithm::Offer;
use crate::time::Tick;

/// Length of every nonce, in characters.
pub(super) const NONCE_LEN: usize = HEAD_LEN + BODY_TEXT_LEN;

/// What tells a client that the feature bits follow (RFC 8489 section 9.2).
const COOKIE: &[u8; 9] = b"obMatJos2";
const FEATURES_LEN: usize = 4;
const HEAD_LEN: usize = COOKIE.len() + FEATURES_LEN;

const TIME_LEN: usize = 5;
const MAC_LEN: usize = 12;
const BODY_LEN: usize = TIME_LEN + MAC_LEN;
/// 17 bytes are 136 bits: 23 characters of 6 bits, the last two bits zero.
const BODY_TEXT_LEN: usize = 23;

/// The time wraps after 34 years: no older nonce exists.
const TIME_MASK: u64 = (1 << (8 * TIME_LEN)) - 1;

/// The security features of RFC 8489 section 18.1 that go with the nonces.
///
/// The RFC's text and its errata read the order of the 24 bits differently. These values set the bits of both
/// readings, which agree on them; the surplus bits are unassigned in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Features {
    /// Password algorithms.
    PasswordAlgorithms,
    /// Password algorithms and username anonymity.
    PasswordAlgorithmsAndUserhash,
}

impl Features {
    const fn text(self) -> &'static [u8; FEATURES_LEN] {
        match self {
            Self::PasswordAlgorithms => b"gAAB",
            Self::PasswordAlgorithmsAndUserhash => b"wAAD",
        }
    }
}

/// One nonce, as it stands in the attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    /// The attribute's value.
    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("a cookie and base64 are ASCII")
    }
}

/// Issues and checks nonces. Stateless, but for the keys.
pub(super) struct Nonces {
    master: hmac::Key,
    /// Milliseconds added to every time: an observer learns neither the clock's origin nor the uptime.
    origin: u64,
    /// How long a nonce is valid, in milliseconds; also how long an epoch is.
    lifetime: u64,
    head: [u8; HEAD_LEN],
    /// What else a nonce vouches for: a nonce issued with another offer is stale.
    offer: Offer,
}

impl Nonces {
    /// Prepares to issue nonces that live for `lifetime`, under keys derived from `seed`.
    pub(super) fn new(
        seed: &[u8; 32],
        lifetime: Duration,
        features: Features,
        offer: Offer,
    ) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, seed);
        let origin = hmac::sign(&master, b"origin");
        let origin = origin
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |n, byte| n << 8 | u64::from(*byte));
        let mut head = [0; HEAD_LEN];
        head[..COOKIE.len()].copy_from_slice(COOKIE);
        head[COOKIE.len()..].copy_from_slice(features.text());
        Self {
            master,
            origin,
            lifetime: u64::try_from(lifetime.as_millis())
                .unwrap_or(u64::MAX)
                .max(1),
            head,
            offer,
        }
    }

    /// The nonce for a challenge that is sent to `client` now.
    ///
    /// RFC 8489 section 9.2.4 forbids that two addresses get the same; the MAC over the address sees to it.
    pub(super) fn issue(&self, now: Tick, client: SocketAddr) -> Nonce {
        let issued = now.as_millis();
        let time = issued.wrapping_add(self.origin) & TIME_MASK;
        let mut body = [0; BODY_LEN];
        body[..TIME_LEN].copy_from_slice(&time.to_be_bytes()[8 - TIME_LEN..]);
        body[TIME_LEN..].copy_from_slice(&self.mac(issued, client));
        let mut nonce = [0; NONCE_LEN];
        nonce[..HEAD_LEN].copy_from_slice(&self.head);
        STANDARD_NO_PAD
            .encode_slice(body, &mut nonce[HEAD_LEN..])
            .expect("the text of a body has its length");
        Nonce(nonce)
    }

    /// Whether `value` was issued to `client`, with what is offered today, within the last lifetime.
    pub(super) fn is_valid(&self, now: Tick, client: SocketAddr, value: &[u8]) -> bool {
        let Some((time, mac)) = self.parse(value) else {
            return false;
        };
        // A time ahead of the clock wraps around to an enormous age.
        let age = now.as_millis().wrapping_add(self.origin).wrapping_sub(time) & TIME_MASK;
        if age > self.lifetime {
            return false;
        }
        let Some(issued) = now.as_millis().checked_sub(age) else {
            return false;
        };
        is_same(self.mac(issued, client), mac)
    }

    /// Takes a nonce apart; only the one spelling that [`Nonces::issue`] writes is read.
    fn parse(&self, value: &[u8]) -> Option<(u64, [u8; MAC_LEN])> {
        let text = value.strip_prefix(&self.head)?;
        if text.len() != BODY_TEXT_LEN {
            return None;
        }
        // The decoder refuses surplus bits that are not zero.
        let mut body = [0; BODY_LEN];
        if STANDARD_NO_PAD.decode_slice(text, &mut body) != Ok(BODY_LEN) {
            return None;
        }
        let (time, mac) = body.split_at(TIME_LEN);
        let time = time.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        Some((time, mac.try_into().ok()?))
    }

    /// The MAC of a nonce issued `issued` milliseconds after the clock's origin.
    fn mac(&self, issued: u64, client: SocketAddr) -> [u8; MAC_LEN] {
        let mut context = hmac::Context::with_key(&self.key(issued / self.lifetime));
        context.update(&issued.to_be_bytes());
        let ip = match client.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        context.update(&ip.octets());
        context.update(&client.port().to_be_bytes());
        context.update(&[self.offer as u8]);
        let mut mac = [0; MAC_LEN];
        mac.copy_from_slice(&context.sign().as_ref()[..MAC_LEN]);
        mac
    }

    /// The key of an epoch. Each lasts one lifetime, so that the running one and the one before it are in use.
    fn key(&self, epoch: u64) -> hmac::Key {
        hmac::Key::new(
            hmac::HMAC_SHA256,
            hmac::sign(&self.master, &epoch.to_be_bytes()).as_ref(),
        )
    }
}

/// Compares without an early exit, which would tell a forger how far it got.
fn is_same(a: [u8; MAC_LEN], b: [u8; MAC_LEN]) -> bool {
    let difference = a.iter().zip(&b).fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests;
