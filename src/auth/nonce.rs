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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(600);

    fn nonces() -> Nonces {
        Nonces::new(
            &[7; 32],
            LIFETIME,
            Features::PasswordAlgorithms,
            Offer::Both,
        )
    }

    fn at(secs: u64) -> Tick {
        Tick::from_millis(secs * 1000)
    }

    fn client() -> SocketAddr {
        "192.0.2.1:50000".parse().expect("an address")
    }

    #[test]
    fn a01_a_nonce_is_short_quotable_and_begins_with_the_cookie() {
        let nonce = nonces().issue(at(1), client());
        assert_eq!(nonce.as_str().len(), 36);
        assert!(nonce.as_str().starts_with("obMatJos2gAAB"));
        assert!(
            nonce
                .as_str()
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
        );
    }

    #[test]
    fn a03_both_readings_of_the_bit_order_see_the_same_features() {
        for (features, anonymity) in [
            (Features::PasswordAlgorithms, false),
            (Features::PasswordAlgorithmsAndUserhash, true),
        ] {
            let bits = STANDARD_NO_PAD.decode(features.text()).unwrap();
            assert!(bits[0] & 0x80 != 0, "bit 0 is the most significant");
            assert!(bits[2] & 0x01 != 0, "bit 0 is the least significant");
            assert_eq!(bits[0] & 0x40 != 0, anonymity);
            assert_eq!(bits[2] & 0x02 != 0, anonymity);
        }
    }

    #[test]
    fn a04_sources_that_differ_in_address_or_port_get_different_nonces() {
        let nonces = nonces();
        let sources = [
            "192.0.2.1:50000",
            "192.0.2.1:50001",
            "192.0.2.2:50000",
            "[2001:db8::1]:50000",
        ];
        let issued: std::collections::HashSet<_> = sources
            .map(|s| nonces.issue(at(1), s.parse().unwrap()).0)
            .into_iter()
            .collect();
        assert_eq!(issued.len(), sources.len());
    }

    #[test]
    fn a04_a_later_challenge_to_the_same_source_is_fresh() {
        let nonces = nonces();
        let first = nonces.issue(Tick::from_millis(1000), client());
        let second = nonces.issue(Tick::from_millis(1001), client());
        assert_ne!(first.0, second.0);
    }

    #[test]
    fn a14_a_nonce_is_valid_for_its_lifetime_and_not_longer() {
        let nonces = nonces();
        let nonce = nonces.issue(at(100), client());
        for age in [0, 1, 599, 600] {
            assert!(nonces.is_valid(at(100 + age), client(), &nonce.0), "{age}");
        }
        let just_after = Tick::from_millis(700_001);
        assert!(!nonces.is_valid(just_after, client(), &nonce.0));
        assert!(!nonces.is_valid(at(10_000_000), client(), &nonce.0));
    }

    #[test]
    fn a16_a_nonce_of_another_source_is_not_valid() {
        let nonces = nonces();
        let nonce = nonces.issue(at(1), client());
        for other in ["192.0.2.1:50001", "192.0.2.2:50000", "[::1]:50000"] {
            assert!(
                !nonces.is_valid(at(1), other.parse().unwrap(), &nonce.0),
                "{other}"
            );
        }
    }

    #[test]
    fn a16_other_shapes_are_not_valid() {
        let nonces = nonces();
        let nonce = nonces.issue(at(1), client());
        let text = nonce.as_str();
        let flipped = text.replacen("gAAB", "AAAB", 1);
        let anonymous = text.replacen("gAAB", "wAAD", 1);
        let long = format!("{text}{text}{text}{text}");
        for value in [
            &flipped,
            &anonymous,
            &text[..35],
            &format!("{text}A"),
            &long,
            "",
            "obMatJos2gAAB",
        ] {
            assert!(
                !nonces.is_valid(at(1), client(), value.as_bytes()),
                "{value}"
            );
        }
        assert!(!nonces.is_valid(at(1), client(), &[0xff; 36]));
    }

    #[test]
    fn a28_a_nonce_dated_ahead_of_the_clock_is_not_valid() {
        let nonces = nonces();
        let nonce = nonces.issue(Tick::from_millis(1001), client());
        assert!(!nonces.is_valid(Tick::from_millis(1000), client(), &nonce.0));
        let first = nonces.issue(Tick::ZERO, client());
        assert!(nonces.is_valid(Tick::ZERO, client(), &first.0));
    }

    #[test]
    fn a28_a_second_instance_with_the_same_seed_accepts_and_with_another_does_not() {
        let nonce = nonces().issue(at(1), client());
        assert!(nonces().is_valid(at(2), client(), &nonce.0));
        let other = Nonces::new(
            &[8; 32],
            LIFETIME,
            Features::PasswordAlgorithms,
            Offer::Both,
        );
        assert!(!other.is_valid(at(2), client(), &nonce.0));
    }

    #[test]
    fn a_nonce_issued_with_another_offer_is_not_valid() {
        let narrow = Nonces::new(
            &[7; 32],
            LIFETIME,
            Features::PasswordAlgorithms,
            Offer::Sha256,
        );
        let nonce = narrow.issue(at(1), client());
        assert!(!nonces().is_valid(at(1), client(), &nonce.0));
    }

    #[test]
    fn each_epoch_has_its_own_key() {
        let nonces = nonces();
        let tag = |epoch| hmac::sign(&nonces.key(epoch), b"x").as_ref().to_vec();
        assert_ne!(tag(0), tag(1));
    }

    #[test]
    fn lk08_a_nonce_shows_neither_the_address_nor_the_uptime() {
        let start = nonces().issue(Tick::ZERO, client());
        let body = STANDARD_NO_PAD.decode(&start.0[HEAD_LEN..]).unwrap();
        assert_ne!(
            body[..TIME_LEN],
            [0; TIME_LEN],
            "the time of the start is not zero"
        );
        let ip = [192, 0, 2, 1];
        assert!(!body.windows(4).any(|window| window == ip));
    }

    #[test]
    fn x31_random_values_of_the_right_form_are_never_valid() {
        let nonces = nonces();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut value = nonces.issue(at(1), client()).0;
        for _ in 0..100_000 {
            // The time stays right, the MAC is drawn at random.
            for byte in &mut value[HEAD_LEN + 7..NONCE_LEN - 1] {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *byte = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[(state >> 59) as usize];
            }
            value[NONCE_LEN - 1] = b'A';
            assert!(!nonces.is_valid(at(1), client(), &value));
        }
    }

    proptest! {
        #[test]
        fn any_changed_character_makes_a_nonce_invalid(place in 0..NONCE_LEN, byte: u8, secs in 0u64..100_000_000) {
            let nonces = nonces();
            let mut nonce = nonces.issue(at(secs), client()).0;
            prop_assert!(nonces.is_valid(at(secs), client(), &nonce));
            prop_assume!(nonce[place] != byte);
            nonce[place] = byte;
            prop_assert!(!nonces.is_valid(at(secs), client(), &nonce));
        }

        #[test]
        fn any_value_is_refused_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..200), millis: u64) {
            prop_assert!(!nonces().is_valid(Tick::from_millis(millis), client(), &value));
        }

        #[test]
        fn a_nonce_is_valid_whenever_it_is_issued(millis in 0u64..=u64::MAX - 600_000, age in 0u64..=600_000) {
            let nonces = nonces();
            let nonce = nonces.issue(Tick::from_millis(millis), client());
            prop_assert!(nonces.is_valid(Tick::from_millis(millis + age), client(), &nonce.0));
        }
    }
}
