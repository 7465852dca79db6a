//! What bound connections carry (TC-07): every byte is counted, and none goes round the allocation's rate.

use std::num::NonZeroU64;

use super::close::bound;
use super::*;
use crate::relay::{ByteRate, Direction, Flow, MAX_CHUNK};
use crate::time::Tick;

const RATE: u64 = 10_000;
/// What a rate admits at once at least.
const BURST: usize = 64 * 1024;

fn slow_world() -> World {
    let mut options = with_tcp();
    options.limits.rate = NonZeroU64::new(RATE).map(ByteRate);
    World::with(options)
}

#[test]
fn tc_07_bytes_of_bound_connections_are_counted_by_direction() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let token = bound(&mut world, &mut alice, relayed, PEER);

    assert_eq!(
        ask(&mut world, token, Direction::ToPeer, 1_000),
        Flow::Forward
    );
    assert_eq!(
        ask(&mut world, token, Direction::ToClient, 300),
        Flow::Forward
    );

    let counters = world.counters(0);
    assert_eq!(counters.to_peers.bytes.value(), 1_000);
    assert_eq!(counters.to_clients.bytes.value(), 300);
}

#[test]
fn tc_07_nothing_is_carried_unless_bound() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let id = connected(&mut world, &mut alice, relayed, PEER);
    let token = connection(&world, relayed, PEER);
    assert_eq!(ask(&mut world, token, Direction::ToPeer, 1), Flow::Closed);
    let mut data = another_stream(&mut world, &alice);
    bind(&mut world, &mut data, id);
    assert_eq!(ask(&mut world, token, Direction::ToPeer, 1), Flow::Forward);

    alice.refresh(&mut world, 0);

    assert_eq!(ask(&mut world, token, Direction::ToPeer, 1), Flow::Closed);
    assert_eq!(world.counters(0).to_peers.bytes.value(), 1);
}

#[test]
fn tc_07_chunk_beyond_the_rate_waits_for_just_as_long_as_it_has_to() {
    let mut world = slow_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let token = bound(&mut world, &mut alice, relayed, PEER);
    for direction in [Direction::ToPeer, Direction::ToClient] {
        let start = world.now.tick;
        assert_eq!(ask(&mut world, token, direction, BURST), Flow::Forward);
        let Flow::Wait(until) = ask(&mut world, token, direction, 1_001) else {
            panic!("the rate is used up")
        };
        // 1,001 bytes at 10,000 a second take 100.1 ms, and a tick is a millisecond.
        assert_eq!(until.since(start).as_millis(), 101);
        let early = Tick::from_millis(until.as_millis() - 1);
        let asked = world.relays[0].on_spliced(early, token, direction, 1_001);
        assert!(matches!(asked, Flow::Wait(_)));
        let asked = world.relays[0].on_spliced(until, token, direction, 1_001);
        assert_eq!(asked, Flow::Forward);
    }
}

#[test]
fn tc_07_largest_chunk_gets_through_at_any_rate() {
    let mut options = with_tcp();
    options.limits.rate = NonZeroU64::new(1).map(ByteRate);
    let mut world = World::with(options);
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let token = bound(&mut world, &mut alice, relayed, PEER);

    assert_eq!(
        ask(&mut world, token, Direction::ToPeer, MAX_CHUNK),
        Flow::Forward
    );
}

/// All connections of an allocation share its rate.
#[test]
fn tc_07_more_connections_do_not_carry_more() {
    let mut world = slow_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let to = ["8.8.8.8:1", "8.8.8.8:2", "8.8.8.8:3"];
    let tokens = to.map(|to| bound(&mut world, &mut alice, relayed, to));
    let mut carried = 0;

    for _ in 0..10_000 {
        for token in tokens {
            if ask(&mut world, token, Direction::ToPeer, 500) == Flow::Forward {
                carried += 500;
            }
        }
        world.skip(std::time::Duration::from_millis(1));
    }

    let most = BURST as u64 + 10 * RATE;
    assert!(
        (most - 1_000..=most).contains(&carried),
        "{carried} of {most}"
    );
    assert_eq!(world.counters(0).to_peers.bytes.value(), carried);
}

fn ask(world: &mut World, token: ConnectionToken, direction: Direction, bytes: usize) -> Flow {
    world.relays[0].on_spliced(world.now.tick, token, direction, bytes)
}
