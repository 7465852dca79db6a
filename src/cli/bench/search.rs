//! The search for the highest rate that a server holds: a ramp until a rate is not held, then bisection. Knows no clock
//! and no socket: its owner tries the rates.

/// A search under way.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// The rate to try next.
    rate: u64,
    /// The highest rate that held.
    held: Option<u64>,
    /// The lowest rate that did not.
    failed: Option<u64>,
    /// Whether the rate to try has failed once: a hiccup of the machine is no limit of the server.
    second_try: bool,
    /// Tries left.
    tries: u32,
}

/// How close the highest rate that held and the lowest that did not have to come: within 3 %.
const PRECISION: u64 = 33;

/// The lowest rate that is tried, in datagrams per second.
const LOWEST: u64 = 50;

/// The highest rate that is tried, in datagrams per second: more than any socket does.
const HIGHEST: u64 = 100_000_000;

impl Search {
    /// A search that begins at `start` datagrams per second and makes at most `tries` tries.
    pub(super) fn new(start: u64, tries: u32) -> Self {
        Self {
            rate: start.clamp(LOWEST, HIGHEST),
            held: None,
            failed: None,
            second_try: false,
            tries,
        }
    }

    /// The rate to try next, in datagrams per second; `None` where the search is over.
    pub(super) fn next(&self) -> Option<u64> {
        let narrow = match (self.held, self.failed) {
            (Some(held), Some(failed)) => failed - held <= held / PRECISION,
            (None, Some(failed)) => failed <= LOWEST,
            (Some(held), None) => held >= HIGHEST,
            (None, None) => false,
        };
        (self.tries > 0 && !narrow).then_some(self.rate)
    }

    /// Takes the outcome of the rate that [`Self::next`] gave.
    pub(super) fn tried(&mut self, held: bool) {
        self.tries = self.tries.saturating_sub(1);
        if held {
            self.held = Some(self.rate);
        } else if self.second_try {
            self.failed = Some(self.rate);
        }
        self.second_try = !held && !self.second_try;
        if !self.second_try {
            self.rate = match (self.held, self.failed) {
                (Some(held), None) => (held * 2).min(HIGHEST),
                (None, Some(failed)) => (failed / 4).max(LOWEST),
                (Some(held), Some(failed)) => held.midpoint(failed),
                (None, None) => self.rate,
            };
        }
    }

    /// The highest rate that held, in datagrams per second.
    #[cfg(test)]
    pub(super) const fn highest(&self) -> Option<u64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Searches a server that holds every rate up to `limit`; the rate that was found and the rates that were tried.
    fn search(start: u64, limit: u64) -> (Option<u64>, Vec<u64>) {
        let mut search = Search::new(start, 60);
        let mut tried = Vec::new();
        while let Some(rate) = search.next() {
            tried.push(rate);
            search.tried(rate <= limit);
        }
        (search.highest(), tried)
    }

    #[test]
    fn the_ramp_doubles_then_the_rest_is_halved() {
        let (found, tried) = search(1_000, 7_000);

        assert_eq!(
            tried,
            [
                1_000, 2_000, 4_000, 8_000, 8_000, 6_000, 7_000, 7_500, 7_500, 7_250, 7_250, 7_125,
                7_125
            ]
        );
        assert_eq!(found, Some(7_000));
    }

    #[test]
    fn a_hiccup_is_tried_again() {
        let mut search = Search::new(1_000, 3);
        for held in [true, false, true] {
            assert!(search.next().is_some());
            search.tried(held);
        }
        assert_eq!((search.highest(), search.next()), (Some(2_000), None));
    }

    #[test]
    fn a_server_that_holds_nothing_ends_the_search() {
        let (found, tried) = search(100_000, 0);
        assert_eq!((found, tried.last()), (None, Some(&LOWEST)));
    }

    #[test]
    fn a_server_that_holds_everything_ends_the_search() {
        assert_eq!(search(1_000, u64::MAX).0, Some(HIGHEST));
    }

    #[test]
    fn tries_are_bounded() {
        let mut search = Search::new(1_000, 5);
        let mut tries = 0;
        while search.next().is_some() {
            search.tried(true);
            tries += 1;
        }
        assert_eq!(tries, 5);
    }

    proptest! {
        #[test]
        fn what_is_found_is_within_the_precision(start in 0..1_000_000_u64, limit in 1_000..10_000_000_u64) {
            let (found, tried) = search(start, limit);
            let found = found.expect("rates that hold are tried");
            prop_assert!(found <= limit && limit - found <= found / PRECISION + 1, "{found} of {limit}");
            prop_assert!(tried.len() <= 40, "{tried:?}");
        }
    }
}
