//! Rates in virtual time: so many events a second, or so many bytes.
//!
//! Both are the generic cell rate algorithm: one word says until when what was admitted so far is paid for. Whole
//! nanoseconds, no floating point, nothing to refill and no timer.

use std::sync::atomic::{AtomicU64, Ordering};

use super::options::ByteRate;
use crate::time::Tick;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How often something may happen, and how much of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Nanoseconds that one event pays for.
    interval: u64,
    /// Nanoseconds that may be paid in advance.
    burst: u64,
}

impl Pace {
    /// `events` a second, and those of `burst` seconds at once. Zero events are none ever.
    #[must_use]
    pub(super) fn per_second(events: u32, burst: u32) -> Self {
        if events == 0 {
            return Self {
                interval: u64::MAX,
                burst: 0,
            };
        }
        Self {
            interval: (NANOS_PER_SECOND / u64::from(events)).max(1),
            burst: u64::from(burst.max(1)) * NANOS_PER_SECOND,
        }
    }
}

/// What one source of events has used of its rate: the nanosecond until which it has paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gcra(u64);

impl Gcra {
    /// Counts one event at `now`, where `pace` still allows it. A refused event costs nothing.
    #[must_use]
    pub(super) fn admit(&mut self, now: Tick, pace: Pace) -> bool {
        self.pay(now, pace.interval, pace.burst)
    }

    /// Pays `cost` nanoseconds, at most `burst` in advance.
    fn pay(&mut self, now: Tick, cost: u64, burst: u64) -> bool {
        let paid = paid(self.0, now, cost, burst);
        self.0 = paid.unwrap_or(self.0);
        paid.is_some()
    }
}

/// Until when is paid after `cost` nanoseconds more, where that is at most `burst` in advance.
fn paid(before: u64, now: Tick, cost: u64, burst: u64) -> Option<u64> {
    let now = now.as_millis().saturating_mul(1_000_000);
    let paid = before.max(now).saturating_add(cost);
    (paid - now <= burst).then_some(paid)
}

/// The byte rate of one direction of one allocation. Sixteen bytes, two divisions per datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateLimiter {
    used: Gcra,
    rate: ByteRate,
}

impl RateLimiter {
    /// Bytes that a datagram counts for at least: without it, empty datagrams would be free and without end.
    pub(super) const MIN_CHARGE: usize = 64;

    /// Bytes that may be sent at once at least: one second's worth, but never less than the largest datagram or a
    /// video key frame.
    pub(super) const MIN_BURST: u64 = 64 * 1024;

    /// A limiter of `rate`, nothing used.
    #[must_use]
    pub(super) fn new(rate: ByteRate) -> Self {
        Self {
            used: Gcra::default(),
            rate,
        }
    }

    /// Counts a datagram of `bytes` at `now`, where the rate still allows it. A refused datagram costs nothing.
    #[must_use]
    pub(super) fn admit(&mut self, now: Tick, bytes: usize) -> bool {
        let (cost, burst) = price(self.rate, bytes);
        self.used.pay(now, cost, burst)
    }

    /// When `bytes` that were refused would be admitted, unless others use up the rate meanwhile: a stream does not drop
    /// but waits.
    pub(super) fn ready(&self, bytes: usize) -> Tick {
        ready(self.rate, self.used.0, bytes)
    }
}

/// A [`RateLimiter`] that several workers charge.
#[derive(Debug)]
pub(super) struct SharedLimiter {
    /// As [`Gcra`].
    used: AtomicU64,
    rate: ByteRate,
}

impl SharedLimiter {
    /// A limiter of `rate`, nothing used.
    #[must_use]
    pub(super) const fn new(rate: ByteRate) -> Self {
        Self {
            used: AtomicU64::new(0),
            rate,
        }
    }

    /// As [`RateLimiter::admit`].
    #[must_use]
    pub(super) fn admit(&self, now: Tick, bytes: usize) -> bool {
        let (cost, burst) = price(self.rate, bytes);
        let pay = |used| paid(used, now, cost, burst);
        // The word guards nothing but itself.
        let charged = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        charged.is_ok()
    }

    /// As [`RateLimiter::ready`].
    pub(super) fn ready(&self, bytes: usize) -> Tick {
        ready(self.rate, self.used.load(Ordering::Relaxed), bytes)
    }
}

/// When `bytes` fit in again, where the nanoseconds until `used` are paid.
fn ready(rate: ByteRate, used: u64, bytes: usize) -> Tick {
    let (cost, burst) = price(rate, bytes);
    let from = used.saturating_add(cost).saturating_sub(burst);
    Tick::from_millis(from.div_ceil(1_000_000))
}

/// What a datagram of `bytes` costs at a rate and how much may be paid in advance, in nanoseconds.
fn price(rate: ByteRate, bytes: usize) -> (u64, u64) {
    let bytes = u64::try_from(bytes.max(RateLimiter::MIN_CHARGE)).unwrap_or(u64::MAX);
    let burst = nanos(rate, RateLimiter::MIN_BURST).max(NANOS_PER_SECOND);
    (nanos(rate, bytes), burst)
}

/// How long `bytes` take at a rate, rounded up so that the cap holds.
const fn nanos(rate: ByteRate, bytes: u64) -> u64 {
    bytes
        .saturating_mul(NANOS_PER_SECOND)
        .div_ceil(rate.0.get())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const MBIT: u64 = 125_000;

    #[test]
    fn a_steady_excess_is_cut_to_the_rate() {
        for rate in [8_000, MBIT / 2, 4 * MBIT, 800 * MBIT] {
            let mut limiter = limiter(rate);
            let burst = rate.max(RateLimiter::MIN_BURST);

            let admitted = offer(&mut limiter, 2 * rate, 0..60_000) - burst;

            let cap = rate * 60;
            assert!(admitted.abs_diff(cap) < cap / 20, "{admitted} of {cap}");
        }
    }

    #[test]
    fn traffic_below_the_rate_is_never_cut() {
        let mut limiter = limiter(4 * MBIT);

        // 400 datagrams of 1,000 bytes a second, of the 500 that the rate allows.
        let admitted = (0..60_000_u64)
            .filter(|ms| ms % 5 < 2)
            .filter(|ms| limiter.admit(Tick::from_millis(*ms), 1_000))
            .count();

        assert_eq!(admitted, 400 * 60);
    }

    #[test]
    fn a_key_frame_passes_at_once_at_the_lowest_rate() {
        let mut limiter = limiter(1);

        let admitted = (0..100)
            .filter(|_| limiter.admit(Tick::ZERO, 1_200))
            .count();

        assert_eq!(admitted as u64, RateLimiter::MIN_BURST / 1_200);
    }

    #[test]
    fn the_largest_datagram_passes_after_idling() {
        let mut limiter = limiter(1);

        assert!(limiter.admit(Tick::ZERO, 65_535));
        assert!(!limiter.admit(Tick::ZERO, 65_535));
        assert!(limiter.admit(Tick::ZERO.after(Duration::from_secs(65_535)), 65_535));
    }

    #[test]
    fn idle_time_earns_no_more_than_one_burst() {
        let mut limiter = limiter(4 * MBIT);
        let much_later = Tick::ZERO.after(Duration::from_secs(86_400));

        let admitted = (0..10_000)
            .filter(|_| limiter.admit(much_later, 1_000))
            .count();

        assert_eq!(admitted as u64 * 1_000, 4 * MBIT);
    }

    #[test]
    fn empty_datagrams_are_not_free() {
        let mut limiter = limiter(4 * MBIT);

        let admitted = (0..100_000)
            .filter(|_| limiter.admit(Tick::ZERO, 0))
            .count();

        assert_eq!(admitted as u64, 4 * MBIT / 64);
    }

    #[test]
    fn extremes_of_time_rate_and_size_are_survived() {
        for rate in [1, u64::MAX] {
            for tick in [0, 1, u64::MAX - 1, u64::MAX] {
                for bytes in [0, 1, usize::MAX] {
                    let mut limiter = limiter(rate);
                    let _ = limiter.admit(Tick::from_millis(tick), bytes);
                    let _ = limiter.admit(Tick::from_millis(tick), bytes);
                }
            }
        }
    }

    #[test]
    fn a_limiter_is_two_words() {
        assert_eq!(size_of::<RateLimiter>(), 16);
        assert_eq!(size_of::<Option<RateLimiter>>(), 16);
    }

    #[test]
    fn events_come_in_a_burst_and_then_at_their_pace() {
        for events in [1, 3, 7, 10, 1_000] {
            let (mut used, pace) = (Gcra::default(), Pace::per_second(events, 5));
            let mut admitted = |from: u64, to: u64| {
                (from..to)
                    .flat_map(|ms| [ms; 3])
                    .filter(|ms| used.admit(Tick::from_millis(*ms), pace))
                    .count() as u64
            };

            let first = admitted(0, 100_000);
            let second = admitted(100_000, 200_000);

            assert!(first.abs_diff(u64::from(events) * 105) <= 1, "{first}");
            assert!(second.abs_diff(u64::from(events) * 100) <= 1, "{second}");
        }
    }

    #[test]
    fn a_pace_of_none_admits_none() {
        let pace = Pace::per_second(0, 5);

        assert!(!Gcra::default().admit(Tick::ZERO, pace));
        assert!(!Gcra::default().admit(Tick::from_millis(86_400_000), pace));
    }

    proptest! {
        /// In no window of time passes more than a burst and the window's share of the rate.
        #[test]
        fn the_cap_holds_in_every_window(
            rate in 1_000..10 * MBIT,
            datagrams in prop::collection::vec((0..50_u64, 64..1_500_usize), 1..500),
        ) {
            let mut limiter = limiter(rate);
            let mut now = 0;
            let mut passed = Vec::new();
            for (gap, bytes) in datagrams {
                now += gap;
                if limiter.admit(Tick::from_millis(now), bytes) {
                    passed.push((now, bytes as u64));
                }
            }
            for from in 0..passed.len() {
                let mut bytes = 0;
                for (at, size) in &passed[from..] {
                    bytes += size;
                    let share = rate * (at - passed[from].0) / 1_000;
                    prop_assert!(bytes <= rate.max(RateLimiter::MIN_BURST) + share + 1);
                }
            }
        }
    }

    /// Offers `per_second` bytes in datagrams of 1,200 bytes over the milliseconds `span`; returns the bytes admitted.
    fn offer(limiter: &mut RateLimiter, per_second: u64, span: std::ops::Range<u64>) -> u64 {
        let (mut owed, mut admitted) = (0, 0);
        for ms in span {
            owed += per_second;
            while owed >= 1_200_000 {
                owed -= 1_200_000;
                if limiter.admit(Tick::from_millis(ms), 1_200) {
                    admitted += 1_200;
                }
            }
        }
        admitted
    }

    fn limiter(rate: u64) -> RateLimiter {
        RateLimiter::new(ByteRate(NonZeroU64::new(rate).unwrap()))
    }
}
