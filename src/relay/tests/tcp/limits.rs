//! How many connections there may be (TC-09).

use super::*;

fn address(n: usize) -> String {
    format!("8.8.8.8:{}", 6_000 + n)
}

#[test]
fn tc_09_allocation_has_so_many_connections_and_no_more() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    alice.permit(&mut world, &[addr(PEER)]);
    for n in 0..2 {
        begin_connect(&mut world, &mut alice, &address(n));
        arrive(&mut world, relayed, &address(10 + n)).unwrap();
    }

    let refused = peer(PEER);
    assert_eq!(alice.refused(&mut world, Method::CONNECT, refused), 508);
    let outcome = arrive(&mut world, relayed, PEER);
    assert_eq!(outcome, Err(DropReason::TooManyConnections));

    world.pass_secs(30);
    begin_connect(&mut world, &mut alice, PEER);
}

#[test]
fn tc_09_daemon_has_so_many_connections_and_no_more() {
    let mut world = World::of(with_tcp(), 2, 7);
    let (mut alice, _) = with_relay(&mut world, "alice");
    let mut bob = stream(&mut world, "bob");
    bob.worker = 1;
    let at_bob = bob.ask(&mut world, Method::ALLOCATE, tcp).relayed();
    bob.permit(&mut world, &[addr(PEER)]);
    for n in 0..3 {
        begin_connect(&mut world, &mut alice, &address(n));
        begin_connect(&mut world, &mut bob, &address(n));
    }

    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 508);
    assert_eq!(bob.refused(&mut world, Method::CONNECT, peer(PEER)), 508);
    let outcome = arrive(&mut world, at_bob, PEER);
    assert_eq!(outcome, Err(DropReason::TooManyConnections));

    alice.refresh(&mut world, 0);
    begin_connect(&mut world, &mut bob, PEER);
}

/// AL-19: TCP and UDP allocations count as one.
#[test]
fn al_19_identity_has_so_many_allocations_of_both_kinds() {
    let mut options = with_tcp();
    options.limits.allocations_per_user = 2;
    let mut world = World::with(options);
    with_relay(&mut world, "alice");
    world.client("alice").allocate(&mut world);

    let mut third = stream(&mut world, "alice");

    assert_eq!(third.refused(&mut world, Method::ALLOCATE, tcp), 486);
}
