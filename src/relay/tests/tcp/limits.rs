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

/// TC-09: what fails gives its place back at once, but not its share of the pace.
#[test]
fn tc_09_identity_connects_so_often_and_no_more_whatever_comes_of_it() {
    let mut options = with_tcp();
    options.limits.connects_per_second = 2;
    let mut world = World::of(options, 2, 7);
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    for n in 0..10 {
        let request = begin_connect(&mut world, &mut alice, &address(n));
        let token = connection(&world, relayed, &address(n));
        report(&mut world, 0, token, Err(ConnectFailed));
        assert_eq!(told_answer(&mut world, &alice, &request).code, 447);
    }

    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 486);
    // Neither on another allocation, of whichever worker, nor on a new one.
    let mut another = stream(&mut world, "alice");
    another.worker = 1;
    another.learn_nonce(&mut world);
    another.ask(&mut world, Method::ALLOCATE, tcp).relayed();
    assert_eq!(
        another.refused(&mut world, Method::CONNECT, peer(PEER)),
        486
    );
    alice.refresh(&mut world, 0);
    alice.ask(&mut world, Method::ALLOCATE, tcp).relayed();
    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 486);
    // Others are not held up, and what is refused anyway costs nothing.
    let (mut bob, at_bob) = with_relay(&mut world, "bob");
    for _ in 0..20 {
        assert_eq!(
            bob.refused(&mut world, Method::CONNECT, peer("10.0.0.1:80")),
            403
        );
    }
    connected(&mut world, &mut bob, at_bob, PEER);

    world.pass_secs(1);
    begin_connect(&mut world, &mut alice, &address(0));
    begin_connect(&mut world, &mut another, &address(0));
    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 486);
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
