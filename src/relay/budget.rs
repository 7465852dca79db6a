//! A budget of answers for each source prefix: challenges and other unauthenticated responses are worth no more than
//! this to whoever forges a source address.
//!
//! A fixed table and nothing else: a flood from any number of sources changes its content, never its size.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use foldhash::quality::FixedState;
use rand_chacha::rand_core::Rng;

use super::rate::{Gcra, Pace};
use super::{FiveTuple, Transport};
use crate::time::Tick;

/// Events per second by source prefix: an IPv4 address or an IPv6 /64. Ports play no role.
///
/// A prefix hashes to a cell under a key of this process. Prefixes that meet in a cell share its budget, so that a
/// source can be refused for another's sake, while the answers to one prefix never exceed the rate and those to
/// all never exceed the rate times [`Self::CELLS`]. A flood from forged sources must be larger than that to
/// silence everybody else, and what it can forge in a victim's own name it could spend without any collision.
///
/// 128 KiB, one hash and one word per event. Each worker owns its own, so that the rate is that of one worker.
pub(super) struct PrefixBudget {
    pace: Pace,
    key: FixedState,
    cells: Box<[Gcra]>,
}

impl PrefixBudget {
    /// The number of cells, a power of two.
    pub(super) const CELLS: usize = 1 << Self::INDEX_BITS;

    const INDEX_BITS: u32 = 14;

    /// Seconds' worth of events that a prefix may use at once: a page of clients behind one NAT starts together.
    const BURST: u32 = 5;

    /// A budget of `events` per second and prefix, under a key drawn from `rng`.
    #[must_use]
    pub(super) fn new(events: u32, rng: &mut impl Rng) -> Self {
        Self {
            pace: Pace::per_second(events, Self::BURST),
            key: FixedState::with_seed(rng.next_u64()),
            cells: vec![Gcra::default(); Self::CELLS].into_boxed_slice(),
        }
    }

    /// Counts one answer to `asker`, where the budget of its prefix still allows it. Over anything but UDP the asker's
    /// address is proven, by a handshake or a cookie, so that nobody asks in another's name.
    #[must_use]
    pub(super) fn admit_answer(&mut self, now: Tick, asker: &FiveTuple) -> bool {
        asker.transport() != Transport::Udp || self.admit(now, asker.client.reveal().ip())
    }

    /// Counts one event for the prefix of `source`, where its budget still allows it. A refused event costs nothing.
    #[must_use]
    fn admit(&mut self, now: Tick, source: IpAddr) -> bool {
        let index = self.index(source);
        self.cells[index].admit(now, self.pace)
    }

    fn index(&self, source: IpAddr) -> usize {
        // No IPv6 prefix in use has the bits of an IPv4 address: they would lie in ::/32, which is reserved.
        let prefix = match source.to_canonical() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                [a, b, c, d]
                    .into_iter()
                    .fold(0, |bits, part| bits << 16 | u64::from(part))
            }
        };
        let mut hasher = self.key.build_hasher();
        hasher.write_u64(prefix);
        usize::try_from(hasher.finish() >> (u64::BITS - Self::INDEX_BITS))
            .expect("an index has few bits")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_prefix_gets_its_burst_and_then_its_rate() {
        let mut budget = budget(10);
        let mut spend = |secs| {
            let now = Tick::ZERO.after(Duration::from_secs(secs));
            (0..1_000).filter(|_| budget.admit(now, v4(1))).count()
        };

        assert_eq!(spend(0), 50);
        assert_eq!(spend(1), 10);
        assert_eq!(spend(3), 20);
        assert_eq!(spend(1_000), 50);
    }

    #[test]
    fn prefixes_do_not_share_a_budget() {
        let mut budget = budget(1);
        while budget.admit(Tick::ZERO, v4(1)) {}

        assert!(budget.admit(Tick::ZERO, v4(2)));
        assert!(budget.admit(Tick::ZERO, v6(1, 1)));
    }

    #[test]
    fn hosts_of_one_ipv6_prefix_share_a_budget() {
        let mut budget = budget(1);
        while budget.admit(Tick::ZERO, v6(1, 1)) {}

        assert!(!budget.admit(Tick::ZERO, v6(1, u64::MAX)));
        assert!(budget.admit(Tick::ZERO, v6(2, 1)));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let budget = budget(1);
        let mapped = IpAddr::V6(Ipv4Addr::from_bits(7).to_ipv6_mapped());

        assert_eq!(budget.index(mapped), budget.index(v4(7)));
    }

    #[test]
    fn a_rate_of_none_answers_nobody() {
        assert!(!budget(0).admit(Tick::ZERO, v4(1)));
    }

    #[test]
    fn a_flood_from_everywhere_leaves_most_newcomers_their_answer() {
        // 100,000 forged sources a second for ten seconds, at ten answers a second and prefix.
        let mut budget = budget(10);
        let mut answered = 0;
        for event in 0..1_000_000_u32 {
            let now = Tick::from_millis(u64::from(event / 100));
            answered += usize::from(budget.admit(now, v4(event)));
        }
        assert!(answered <= PrefixBudget::CELLS * (10 * 10 + 50));

        let now = Tick::from_millis(10_000);
        let newcomers = (0..1_000).filter(|n| budget.admit(now, v6(*n, 1))).count();

        assert!(newcomers > 950, "{newcomers}");
    }

    #[test]
    fn neighbours_spread_over_the_table_and_differently_under_another_key() {
        let (one, two) = (
            budget(1),
            PrefixBudget::new(1, &mut ChaCha12Rng::seed_from_u64(2)),
        );
        let used: BTreeSet<usize> = (0..16_384).map(|ip| one.index(v4(ip))).collect();

        // Random placement fills 63 % of the cells.
        assert!((10_000..10_700).contains(&used.len()), "{}", used.len());
        let same = (0..16_384)
            .filter(|ip| one.index(v4(*ip)) == two.index(v4(*ip)))
            .count();
        assert!(same < 20, "{same}");
    }

    #[test]
    fn the_end_of_time_is_survived() {
        let mut budget = budget(10);

        let _ = budget.admit(Tick::from_millis(u64::MAX), v4(1));
        let _ = budget.admit(Tick::from_millis(u64::MAX - 1), v4(1));
    }

    fn budget(events: u32) -> PrefixBudget {
        PrefixBudget::new(events, &mut ChaCha12Rng::seed_from_u64(1))
    }

    fn v4(bits: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    }

    fn v6(prefix: u64, host: u64) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(
            u128::from(prefix | 0x2001 << 48) << 64 | u128::from(host),
        ))
    }
}
