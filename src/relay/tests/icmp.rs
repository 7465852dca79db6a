//! ICMP errors about what a client sent (RFC 8656 sections 11.5 and 18.13).

use std::time::Duration;

use super::traffic::{Heard, OTHER4, PEER4, PEER6, caller, dual_caller, heard_by, state};
use super::world::{Outcome, RELAY4, RELAY4_BIND, World, addr, local};
use crate::auth::PeerScope;
use crate::relay::DropReason;

const UNREACHABLE: (u8, u8, u32) = (3, 3, 0);
const IGNORED: Outcome = Outcome::Dropped(DropReason::IcmpIgnored);

// IC-01, IC-02, LK-06
#[test]
fn an_error_is_indicated_with_the_peer_type_and_code_alone() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);

    let told = world.icmp(local(relayed), addr(PEER4), (3, 10, 0));

    let value = [0, 0, 3, 10, 0, 0, 0, 0];
    assert_eq!(heard_by(&alice, told), Heard::Icmp(addr(PEER4), value));
}

// IC-01
#[test]
fn an_error_about_the_peer_of_a_channel_is_indicated_all_the_same() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);

    let told = world.icmp(local(relayed), addr(PEER4), UNREACHABLE);

    let value = [0, 0, 3, 3, 0, 0, 0, 0];
    assert_eq!(heard_by(&alice, told), Heard::Icmp(addr(PEER4), value));
}

// IC-03, IC-04
#[test]
fn only_types_that_say_something_about_the_path_are_passed_on_and_the_mtu_where_it_has_a_meaning() {
    let (mut world, mut alice, [v4, v6]) = dual_caller();
    let both = [addr(PEER4), addr(PEER6)];
    assert_eq!(alice.permit(&mut world, &both).code, 0);
    let mtu = 0x0102_0304_u32;

    for kind in 0..=u8::MAX {
        for code in 0..=5 {
            world.pass_secs(1);
            let told = world.icmp(local(v4), addr(PEER4), (kind, code, mtu));
            if matches!(kind, 3 | 11) {
                let data = if (kind, code) == (3, 4) { mtu } else { 0 };
                let expected = Heard::Icmp(addr(PEER4), value(kind, code, data));
                assert_eq!(heard_by(&alice, told), expected);
            } else {
                assert_eq!(told, IGNORED, "ICMPv4 {kind}");
            }
            let told = world.icmp(v6, addr(PEER6), (kind, code, mtu));
            if matches!(kind, 1..=3) {
                let data = if kind == 2 { mtu } else { 0 };
                let expected = Heard::Icmp(addr(PEER6), value(kind, code, data));
                assert_eq!(heard_by(&alice, told), expected);
            } else {
                assert_eq!(told, IGNORED, "ICMPv6 {kind}");
            }
            if world.now.tick.as_secs().is_multiple_of(200) {
                alice.learn_nonce(&mut world);
                assert_eq!(alice.permit(&mut world, &both).code, 0);
            }
        }
    }
}

/// The value of the attribute for an error, the type and code in a byte each.
const fn value(kind: u8, code: u8, data: u32) -> [u8; 8] {
    let [a, b, c, d] = data.to_be_bytes();
    [0, 0, kind, code, a, b, c, d]
}

// IC-05
#[test]
fn an_error_about_a_peer_without_a_live_permission_is_dropped() {
    let (mut world, mut alice, relayed) = caller();
    let unpermitted = Outcome::Dropped(DropReason::NoPermission);
    let tell = |world: &mut World, peer| world.icmp(local(relayed), addr(peer), UNREACHABLE);

    assert_eq!(tell(&mut world, PEER4), unpermitted);
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    assert_eq!(tell(&mut world, OTHER4), unpermitted);
    world.pass(Duration::from_millis(299_999));
    heard_by(&alice, tell(&mut world, PEER4));
    world.pass(Duration::from_millis(1));
    assert_eq!(tell(&mut world, PEER4), unpermitted);
}

// IC-05
#[test]
fn an_error_for_an_allocation_past_its_end_is_dropped() {
    let (mut world, mut alice, relayed) = caller();
    world.pass_secs(3599);
    alice.learn_nonce(&mut world);
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    let told = world.icmp(local(relayed), addr(PEER4), UNREACHABLE);
    heard_by(&alice, told);

    // The timer has not been served yet.
    world.now.tick = world.now.tick.after(Duration::from_secs(1));

    let told = world.icmp(local(relayed), addr(PEER4), UNREACHABLE);
    assert_eq!(told, Outcome::Dropped(DropReason::NoAllocation));
}

// IC-06
#[test]
fn errors_beyond_the_limit_of_a_second_are_dropped_for_that_allocation_alone() {
    let (mut world, mut alice, at_alice) = caller();
    let mut bob = world.client("bob");
    let at_bob = bob.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    assert_eq!(bob.permit(&mut world, &[addr(PEER4)]).code, 0);
    let tell = |world: &mut World, relayed| {
        let told = world.icmp(local(relayed), addr(PEER4), UNREACHABLE);
        matches!(told, Outcome::ToClient { .. })
    };

    for second in 0..3 {
        let passed = (0..10).filter(|_| tell(&mut world, at_alice)).count();
        assert_eq!(passed, 4, "in second {second}");
        assert!(tell(&mut world, at_bob));
        world.pass_secs(1);
    }
}

// IC-06
#[test]
fn errors_that_are_not_passed_on_do_not_use_up_the_limit() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);

    for _ in 0..10 {
        let told = world.icmp(local(relayed), addr(PEER4), (5, 0, 0));
        assert_eq!(told, IGNORED);
        let told = world.icmp(local(relayed), addr(OTHER4), UNREACHABLE);
        assert_eq!(told, Outcome::Dropped(DropReason::NoPermission));
    }

    let told = world.icmp(local(relayed), addr(PEER4), UNREACHABLE);
    heard_by(&alice, told);
}

#[test]
fn an_error_changes_nothing_in_the_allocation() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    let before = state(&world, &alice);
    world.pass_secs(100);

    let _ = world.icmp(local(relayed), addr(PEER4), UNREACHABLE);

    assert_eq!(state(&world, &alice), before);
}

// LK-02
#[test]
fn an_error_about_a_relayed_address_names_it_as_the_world_knows_it() {
    let mut world = World::new();
    let mut alice = world.client(&World::party("7", "a", PeerScope::Call));
    let mut bob = world.client(&World::party("7", "b", PeerScope::Call));
    let (at_alice, at_bob) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.permit(&mut world, &[at_bob]).code, 0);

    let told = world.icmp(local(at_alice), local(at_bob), UNREACHABLE);

    let value = [0, 0, 3, 3, 0, 0, 0, 0];
    assert_eq!(heard_by(&alice, told), Heard::Icmp(at_bob, value));
    assert_eq!(local(at_bob).ip().to_string(), RELAY4_BIND);
    assert_eq!(at_bob.ip().to_string(), RELAY4);
}
