use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

const REST: Duration = Duration::from_secs(60);
const START: Tick = Tick::ZERO;

#[test]
fn all_ports_are_handed_out_once_and_then_none() {
    for range in [
        49152..=65535,
        1..=u16::MAX,
        50_001..=50_001,
        50_000..=50_000,
        50_001..=50_004,
        u16::MAX..=u16::MAX,
    ] {
        let (mut pool, mut rng) = pool(range.clone());

        let taken: BTreeSet<u16> = std::iter::from_fn(|| pool.take_any(START, &mut rng)).collect();

        assert_eq!(taken, range.clone().collect(), "{range:?}");
        assert_eq!((pool.free(), pool.in_use()), (0, range.len()));
    }
}

#[test]
fn port_zero_and_an_empty_range_hold_nothing() {
    #[expect(clippy::reversed_empty_ranges, reason = "the empty range is the case")]
    for range in [0..=0, 50_001..=50_000] {
        let (mut pool, mut rng) = pool(range);

        assert_eq!(pool.take_any(START, &mut rng), None);
        assert_eq!(pool.take_even(false, START, &mut rng), None);
        assert_eq!(pool.take_even(true, START, &mut rng), None);
    }
}

#[test]
fn a_port_is_chosen_uniformly_from_the_free_ones() {
    // 100 ports, 100,000 draws; a chi-square of 99 degrees of freedom exceeds 180 once in a million.
    let (mut pool, mut rng) = resting_pool(50_001..=50_100, Duration::ZERO);

    for even in [false, true] {
        let mut seen = BTreeMap::<u16, f64>::new();
        for _ in 0..100_000 {
            let port = if even {
                pool.take_even(false, START, &mut rng).unwrap()
            } else {
                pool.take_any(START, &mut rng).unwrap()
            };
            *seen.entry(port).or_default() += 1.0;
            pool.release(port, START);
        }

        let ports = if even { 50.0 } else { 100.0 };
        assert_eq!(seen.len(), if even { 50 } else { 100 });
        let expected = 100_000.0 / ports;
        let chi_square: f64 = seen
            .values()
            .map(|count| (count - expected).powi(2) / expected)
            .sum();
        assert!(chi_square < 180.0, "{chi_square}");
    }
}

#[test]
fn successive_ports_do_not_follow_each_other() {
    let (mut pool, mut rng) = pool(49152..=65535);
    let ports: Vec<u16> = (0..2_000)
        .filter_map(|_| pool.take_any(START, &mut rng))
        .collect();

    let neighbours = ports
        .windows(2)
        .filter(|pair| pair[0].abs_diff(pair[1]) <= 8)
        .count();

    // By chance about two in 2,000.
    assert!(neighbours < 15, "{neighbours}");
}

#[test]
fn a_released_port_rests_before_it_is_taken_again() {
    let (mut pool, mut rng) = pool(50_001..=50_001);
    assert_eq!(pool.take_any(START, &mut rng), Some(50_001));
    let released = START.after(Duration::from_secs(5));
    pool.release(50_001, released);

    let just_before = Tick::from_millis(released.after(REST).as_millis() - 1);

    assert_eq!(pool.take_any(just_before, &mut rng), None);
    assert_eq!((pool.free(), pool.in_use(), pool.resting()), (0, 0, 1));
    assert_eq!(pool.take_any(released.after(REST), &mut rng), Some(50_001));
    assert_eq!((pool.free(), pool.in_use(), pool.resting()), (0, 1, 0));
}

#[test]
fn an_even_port_leaves_its_neighbour_free() {
    let (mut pool, mut rng) = pool(50_000..=50_001);

    assert_eq!(pool.take_even(false, START, &mut rng), Some(50_000));
    assert_eq!(pool.take_any(START, &mut rng), Some(50_001));
}

#[test]
fn a_pair_takes_its_neighbour_too() {
    let (mut pool, mut rng) = pool(50_000..=50_001);

    assert_eq!(pool.take_even(true, START, &mut rng), Some(50_000));
    assert_eq!(pool.take_any(START, &mut rng), None);
    assert_eq!(pool.in_use(), 2);
}

#[test]
fn a_pair_needs_both_ports_inside_the_range() {
    // 50,001 has lost its even port and 50,004 its odd one: only 50,002 and 50,003 make a pair.
    let (mut pool, mut rng) = pool(50_001..=50_004);

    assert_eq!(pool.take_even(true, START, &mut rng), Some(50_002));
    assert_eq!(pool.take_even(true, START, &mut rng), None);
    assert_eq!(pool.take_even(false, START, &mut rng), Some(50_004));
    assert_eq!(pool.take_any(START, &mut rng), Some(50_001));
}

#[test]
fn the_last_port_of_all_can_end_a_pair() {
    let (mut pool, mut rng) = pool(65_534..=u16::MAX);

    assert_eq!(pool.take_even(true, START, &mut rng), Some(65_534));
}

#[test]
fn the_last_even_port_is_found_among_many_odd_ones() {
    let (mut pool, mut rng) = pool(49152..=65535);
    for _ in 0..8_191 {
        assert!(pool.take_even(false, START, &mut rng).is_some());
    }

    assert!(pool.take_even(true, START, &mut rng).is_some());
    assert_eq!(pool.take_even(false, START, &mut rng), None);
    assert_eq!(pool.free(), 8_191);
}

#[test]
fn even_ports_taken_and_released_over_and_over_do_not_shrink_the_pool() {
    let (mut pool, mut rng) = pool(50_000..=50_999);
    let mut now = START;

    for _ in 0..20_000 {
        let port = pool.take_even(false, now, &mut rng).unwrap();
        now = now.after(Duration::from_secs(1));
        pool.release(port, now);
    }

    pool.wake(now.after(REST));
    assert_eq!(pool.free(), 1_000);
    assert_eq!(pool.pairs.len(), 500);
}

#[test]
fn an_exhausted_pool_recovers_when_its_ports_have_rested() {
    let (mut pool, mut rng) = pool(50_000..=50_009);
    let ports: Vec<u16> = std::iter::from_fn(|| pool.take_any(START, &mut rng)).collect();
    for port in ports {
        pool.release(port, START);
    }

    assert_eq!(pool.take_any(START, &mut rng), None);
    assert!(pool.take_even(true, START.after(REST), &mut rng).is_some());
    assert_eq!((pool.free(), pool.in_use(), pool.resting()), (8, 2, 0));
}

#[test]
fn the_end_of_time_is_survived() {
    let (mut pool, mut rng) = resting_pool(50_000..=50_001, Duration::MAX);
    let end = Tick::from_millis(u64::MAX);

    let port = pool.take_any(end, &mut rng).unwrap();
    pool.release(port, end);

    assert!(pool.take_even(true, end, &mut rng).is_some());
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Any,
    Even,
    Pair,
    /// Releases the n-th of the ports in use.
    Release(usize),
    /// Lets so many seconds pass.
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => Just(Op::Any),
        2 => Just(Op::Even),
        2 => Just(Op::Pair),
        4 => any::<usize>().prop_map(Op::Release),
        2 => (0..40_u64).prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 0..400)
}

proptest! {
    #[test]
    fn the_pool_follows_a_plain_model(
        first in 50_000..50_002_u16,
        len in 0..24_u16,
        seed in any::<u64>(),
        ops in ops(),
    ) {
        let range = first..=first + len;
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut pool = PortPool::new(&range, REST);
        let mut free: BTreeSet<u16> = range.clone().collect();
        let mut used = Vec::new();
        let mut resting = BTreeMap::new();
        let mut now = START;

        for op in ops {
            resting.retain(|port, until: &mut Tick| {
                if *until <= now {
                    free.insert(*port);
                }
                *until > now
            });
            let (got, fits): (Option<u16>, BTreeSet<u16>) = match op {
                Op::Any => (pool.take_any(now, &mut rng), free.clone()),
                Op::Even => (
                    pool.take_even(false, now, &mut rng),
                    free.iter().copied().filter(|port| port % 2 == 0).collect(),
                ),
                Op::Pair => (
                    pool.take_even(true, now, &mut rng),
                    free.iter().copied()
                        .filter(|port| port % 2 == 0 && free.contains(&(port + 1)))
                        .collect(),
                ),
                Op::Release(n) => {
                    if !used.is_empty() {
                        let port = used.swap_remove(n % used.len());
                        pool.release(port, now);
                        resting.insert(port, now.after(REST));
                    }
                    continue;
                }
                Op::Wait(secs) => {
                    now = now.after(Duration::from_secs(secs));
                    continue;
                }
            };
            prop_assert_eq!(got.is_some(), !fits.is_empty());
            if let Some(port) = got {
                prop_assert!(fits.contains(&port));
                let last = if matches!(op, Op::Pair) { port + 1 } else { port };
                for port in port..=last {
                    free.remove(&port);
                    used.push(port);
                }
            }
            prop_assert_eq!(pool.free(), free.len());
            prop_assert_eq!(pool.in_use(), used.len());
            prop_assert_eq!(pool.resting(), resting.len());
        }
    }
}

fn pool(ports: RangeInclusive<u16>) -> (PortPool, ChaCha12Rng) {
    resting_pool(ports, REST)
}

fn resting_pool(ports: RangeInclusive<u16>, quarantine: Duration) -> (PortPool, ChaCha12Rng) {
    (
        PortPool::new(&ports, quarantine),
        ChaCha12Rng::seed_from_u64(1),
    )
}
