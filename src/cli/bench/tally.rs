//! What the receivers count: every datagram once, and how long it was under way.

use std::ops::AddAssign;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::stamp::Stamp;

/// How far behind the newest a datagram may come and still be told from a duplicate.
const WINDOW: u32 = 64;

/// The longest time that is told apart, in nanoseconds: a minute.
const LONGEST: u64 = 60_000_000_000;

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Datagrams, each counted once.
    pub(super) delivered: u64,
    /// Copies of datagrams that had come already.
    pub(super) duplicates: u64,
    /// Datagrams that came behind later ones of their flow.
    pub(super) reordered: u64,
    /// Datagrams of ours that came to somebody else.
    pub(super) astray: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.astray += other.astray;
    }
}

/// What came of one run.
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// From the moment of sending.
    pub(super) latency: Times,
    /// From the moment when it should have been sent.
    pub(super) from_schedule: Times,
    /// How many of those that were sent in each interval.
    pub(super) by_interval: Vec<u64>,
    orders: Vec<Order>,
}

/// Times, in nanoseconds and to 1 %.
pub(super) struct Times(Histogram<u64>);

/// What came of a flow.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    /// One more than the newest number.
    next: u32,
    /// Which of the [`WINDOW`] numbers before `next` came; the lowest bit is the newest.
    seen: u64,
}

impl Tally {
    /// Nothing of `flows` flows.
    pub(super) fn new(flows: usize) -> Self {
        Self {
            counts: Counts::default(),
            latency: Times::new(),
            from_schedule: Times::new(),
            by_interval: vec![0],
            orders: vec![Order::default(); flows],
        }
    }

    /// Takes a datagram of flow `stamp.flow`, which must be one, that came at `nanos`.
    pub(super) fn take(&mut self, stamp: &Stamp, nanos: u64) {
        let order = &mut self.orders[stamp.flow as usize];
        match order.take(stamp.number) {
            Place::Newest => {}
            Place::Late => self.counts.reordered += 1,
            Place::Duplicate => {
                self.counts.duplicates += 1;
                return;
            }
        }
        self.counts.delivered += 1;
        if let Some(count) = self.by_interval.get_mut(usize::from(stamp.interval)) {
            *count += 1;
        }
        self.latency.record(nanos.saturating_sub(stamp.sent));
        self.from_schedule.record(nanos.saturating_sub(stamp.due));
    }
}

enum Place {
    Newest,
    Late,
    Duplicate,
}

impl Order {
    fn take(&mut self, number: u32) -> Place {
        if number >= self.next {
            let ahead = (number - self.next).saturating_add(1);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.next = number.saturating_add(1);
            return Place::Newest;
        }
        let behind = self.next - 1 - number;
        // What is older than the window cannot be told from a duplicate, and is taken for late.
        if behind >= WINDOW {
            return Place::Late;
        }
        let bit = 1 << behind;
        if self.seen & bit != 0 {
            return Place::Duplicate;
        }
        self.seen |= bit;
        Place::Late
    }
}

impl Times {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1_000, LONGEST, 2).expect("sound bounds"))
    }

    pub(super) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    /// Moves the times of another to these.
    pub(super) fn absorb(&mut self, other: &mut Self) {
        self.0.add(&other.0).expect("both have the same bounds");
        other.0.reset();
    }

    /// What they come to; all zero where there are none.
    pub(super) fn percentiles(&self) -> Percentiles {
        if self.0.is_empty() {
            return Percentiles::default();
        }
        let at = |quantile| micros(self.0.value_at_quantile(quantile));
        Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros(self.0.max()),
        }
    }
}

/// Percentiles of times, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

/// Nanoseconds as microseconds.
pub(super) fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(flow: u32, number: u32, sent: u64) -> Stamp {
        Stamp {
            key: 0,
            run: 0,
            interval: 0,
            flow,
            number,
            due: sent / 2,
            sent,
        }
    }

    #[test]
    fn each_datagram_counts_once_and_the_late_ones_are_told() {
        let mut tally = Tally::new(2);
        for number in [0, 1, 3, 2, 2, 3, 200, 100, 199, 199] {
            tally.take(&stamp(1, number, 0), 1_000);
        }
        tally.take(&stamp(0, 0, 0), 1_000);

        let expected = Counts {
            delivered: 8,
            duplicates: 3,
            reordered: 3,
            astray: 0,
        };
        assert_eq!(tally.counts, expected);
        assert_eq!(tally.by_interval, [8]);
    }

    #[test]
    fn times_are_told_from_sending_and_from_the_schedule() {
        let mut tally = Tally::new(1);
        for number in 1..=1_000 {
            tally.take(
                &stamp(0, number, 2_000_000),
                2_000_000 + u64::from(number) * 1_000,
            );
        }

        let latency = tally.latency.percentiles();
        let from_schedule = tally.from_schedule.percentiles();

        let is_about = |found: f64, wanted: f64| (found - wanted).abs() <= wanted / 100.0 + 1.0;
        assert!(
            is_about(latency.p50, 500.0) && is_about(latency.p99, 990.0),
            "{latency:?}"
        );
        assert!(
            is_about(latency.p999, 999.0) && is_about(latency.max, 1_000.0),
            "{latency:?}"
        );
        assert!(is_about(from_schedule.p50, 1_500.0), "{from_schedule:?}");
    }

    #[test]
    fn absorbed_times_have_moved() {
        let [mut a, mut b] = [Times::new(), Times::new()];
        a.record(10_000);
        b.record(30_000);
        a.absorb(&mut b);
        assert_eq!(b.percentiles(), Percentiles::default());
        assert!(a.percentiles().p50 < 11.0 && a.percentiles().max >= 30.0);
    }

    #[test]
    fn no_times_are_zero() {
        assert_eq!(Times::new().percentiles(), Percentiles::default());
    }
}
