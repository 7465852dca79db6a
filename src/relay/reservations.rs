//! Ports that wait for their RESERVATION-TOKEN (RFC 8656 sections 7.2 and 18.10).
//!
//! An Allocate with EVEN-PORT and its R bit takes two ports; the odd one waits here until another Allocate of the same
//! identity brings the token, once, or until its time is up and it goes back to its pool.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use super::tags::UserTag;
use crate::time::Tick;
use crate::wire::ReservationToken;

/// Ports waiting for their tokens, at most `capacity` of them and [`Self::PER_USER`] of one identity.
///
/// Look-ups scan all of them: no browser asks for EVEN-PORT, and the capacity bounds what an attacker gains by it.
pub(super) struct Reservations {
    capacity: usize,
    hold: Duration,
    /// In the order in which they were made, and so in which they expire.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    token: ReservationToken,
    relayed: SocketAddr,
    owner: UserTag,
    until: Tick,
}

impl Reservations {
    /// How many of an identity's ports may wait at a time: they outlive the allocations that its quota counts.
    pub(super) const PER_USER: usize = 16;

    /// No reservation yet; at most `capacity` at a time, each kept for `hold` (RFC 8656 section 7.2: at least 30
    /// seconds).
    #[must_use]
    pub(super) const fn new(capacity: usize, hold: Duration) -> Self {
        Self {
            capacity,
            hold,
            waiting: VecDeque::new(),
        }
    }

    /// Keeps the relayed address `relayed`, already taken from its pool, for `owner`. None where too many wait: the
    /// caller gives the port back then.
    #[must_use]
    pub(super) fn reserve(
        &mut self,
        relayed: SocketAddr,
        owner: UserTag,
        now: Tick,
        rng: &mut impl Rng,
    ) -> Option<ReservationToken> {
        let own = self.waiting.iter().filter(|it| it.owner == owner).count();
        if self.waiting.len() >= self.capacity || own >= Self::PER_USER {
            return None;
        }
        // Random, so that it tells nothing and cannot be guessed.
        let token = ReservationToken(rng.next_u64().to_be_bytes());
        self.waiting.push_back(Waiting {
            token,
            relayed,
            owner,
            until: now.after(self.hold),
        });
        Some(token)
    }

    /// The relayed address that `token` reserves for `owner`, which is the caller's from here on. None where the token
    /// is unknown, used, expired or somebody else's (RFC 8656 section 7.2: 508).
    #[must_use]
    pub(super) fn redeem(
        &mut self,
        token: ReservationToken,
        owner: UserTag,
        now: Tick,
    ) -> Option<SocketAddr> {
        let index = self
            .waiting
            .iter()
            .position(|it| it.token == token && it.owner == owner && it.until > now)?;
        self.waiting.remove(index).map(|it| it.relayed)
    }

    /// The next relayed address whose time is up, to be given back to its pool. To be called until there is none,
    /// before a port is drawn.
    #[must_use]
    pub(super) fn pop_expired(&mut self, now: Tick) -> Option<SocketAddr> {
        self.waiting.front().filter(|it| it.until <= now)?;
        self.waiting.pop_front().map(|it| it.relayed)
    }

    /// The relayed addresses that wait.
    #[cfg(any(test, fuzzing))]
    pub(super) fn relayed(&self) -> impl Iterator<Item = SocketAddr> {
        self.waiting.iter().map(|it| it.relayed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv4Addr};

    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const HOLD: Duration = Duration::from_secs(30);
    const ALICE: UserTag = UserTag(1);
    const BOB: UserTag = UserTag(2);
    const START: Tick = Tick::ZERO;

    #[test]
    fn a_token_is_good_once() {
        let (mut reservations, mut rng) = reservations(8);
        let token = reservations.reserve(at(1), ALICE, START, &mut rng).unwrap();

        assert_eq!(reservations.redeem(token, ALICE, START), Some(at(1)));
        assert_eq!(reservations.redeem(token, ALICE, START), None);
        assert_eq!(reservations.pop_expired(START.after(HOLD)), None);
    }

    #[test]
    fn a_strangers_token_is_refused_and_stays_good_for_its_owner() {
        let (mut reservations, mut rng) = reservations(8);
        let token = reservations.reserve(at(1), ALICE, START, &mut rng).unwrap();

        assert_eq!(reservations.redeem(token, BOB, START), None);
        assert_eq!(reservations.redeem(token, ALICE, START), Some(at(1)));
    }

    #[test]
    fn an_unknown_token_is_refused() {
        let (mut reservations, mut rng) = reservations(8);
        let token = reservations.reserve(at(1), ALICE, START, &mut rng).unwrap();

        let mut other = token;
        other.0[7] ^= 1;

        assert_eq!(reservations.redeem(other, ALICE, START), None);
    }

    #[test]
    fn a_token_expires_with_its_hold() {
        let (mut reservations, mut rng) = reservations(8);
        let end = START.after(HOLD);
        let just_before = Tick::from_millis(end.as_millis() - 1);
        let token = reservations.reserve(at(1), ALICE, START, &mut rng).unwrap();
        let other = reservations.reserve(at(2), ALICE, START, &mut rng).unwrap();

        assert_eq!(reservations.pop_expired(just_before), None);
        assert_eq!(reservations.redeem(other, ALICE, just_before), Some(at(2)));
        assert_eq!(reservations.redeem(token, ALICE, end), None);
        assert_eq!(reservations.pop_expired(end), Some(at(1)));
        assert_eq!(reservations.pop_expired(end), None);
    }

    #[test]
    fn expired_ports_come_back_in_order() {
        let (mut reservations, mut rng) = reservations(8);
        for port in 1..=4 {
            let made = START.after(Duration::from_secs(port.into()));
            assert!(
                reservations
                    .reserve(at(port), ALICE, made, &mut rng)
                    .is_some()
            );
        }

        let expired = START.after(HOLD + Duration::from_secs(3));

        assert_eq!(
            std::iter::from_fn(|| reservations.pop_expired(expired)).collect::<Vec<_>>(),
            [at(1), at(2), at(3)]
        );
        assert_eq!(reservations.relayed().collect::<Vec<_>>(), [at(4)]);
    }

    #[test]
    fn no_more_wait_than_the_capacity() {
        let (mut reservations, mut rng) = reservations(2);
        let mut reserve = |owner| reservations.reserve(at(1), owner, START, &mut rng);

        assert!(reserve(ALICE).is_some());
        assert!(reserve(BOB).is_some());
        assert!(reserve(ALICE).is_none());
    }

    #[test]
    fn one_user_cannot_take_the_whole_capacity() {
        let (mut reservations, mut rng) = reservations(100);
        let mut reserve = |owner| reservations.reserve(at(1), owner, START, &mut rng);

        let granted = (0..100).filter(|_| reserve(ALICE).is_some()).count();

        assert_eq!(granted, Reservations::PER_USER);
        assert!(reserve(BOB).is_some());
    }

    #[test]
    fn ten_thousand_tokens_differ_and_do_not_follow_the_port() {
        let (mut reservations, mut rng) = reservations(1);
        let mut high_bytes = BTreeSet::new();
        let mut tokens = BTreeSet::new();

        for _ in 0..10_000 {
            let token = reservations.reserve(at(1), ALICE, START, &mut rng).unwrap();
            tokens.insert(token.0);
            high_bytes.insert(token.0[0]);
            assert_eq!(reservations.redeem(token, ALICE, START), Some(at(1)));
        }

        assert_eq!(tokens.len(), 10_000);
        assert_eq!(high_bytes.len(), 256);
    }

    fn reservations(capacity: usize) -> (Reservations, ChaCha12Rng) {
        (
            Reservations::new(capacity, HOLD),
            ChaCha12Rng::seed_from_u64(1),
        )
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), port)
    }
}
