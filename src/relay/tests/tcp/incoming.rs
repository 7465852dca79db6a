//! Connections that peers open (TC-04).

use super::*;
use crate::auth::PeerScope;

#[test]
fn tc_04_permitted_peer_is_announced() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    alice.permit(&mut world, &[addr("8.8.8.8:1")]);

    let token = arrive(&mut world, relayed, PEER).unwrap();

    let (id, from) = attempt(&told(&mut world, &alice));
    assert_eq!((id, from), (token.id.0, addr(PEER)));
}

#[test]
fn tc_04_peer_without_a_permission_is_turned_away_in_silence() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    alice.permit(&mut world, &[addr("8.8.4.4:1")]);

    let outcome = arrive(&mut world, relayed, PEER);

    assert_eq!(outcome, Err(DropReason::NoPermission));
    assert!(world.hosts[0].told.is_empty());
    let drops = &world.counters(0).drops;
    assert_eq!(drops[DropReason::NoPermission as usize].value(), 1);
}

/// CP-07: to the millisecond; a connection that is open outlives its permission.
#[test]
fn tc_04_permission_counts_when_the_peer_connects() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    alice.permit(&mut world, &[addr(PEER)]);
    world.pass_secs(299);
    let token = arrive(&mut world, relayed, PEER).unwrap();
    let mut data = another_stream(&mut world, &alice);
    bind(&mut world, &mut data, token.id.0);

    world.pass_secs(1);

    let late = arrive(&mut world, relayed, "8.8.8.8:5001");
    assert_eq!(late, Err(DropReason::NoPermission));
    assert!(world.hosts[0].connections.contains_key(&token));
}

#[test]
fn tc_04_peer_without_a_live_tcp_relay_here_is_turned_away() {
    let mut world = tcp_world();
    let call = |party| World::party("7", party, PeerScope::Call);
    let (mut alice, relayed) = with_relay(&mut world, &call("a"));
    let mut bob = world.client(&call("b"));
    let udp_relay = bob.allocate(&mut world);
    let (_, elsewhere) = with_relay(&mut world, &World::party("8", "a", PeerScope::Call));
    alice.permit(&mut world, &[udp_relay]);

    for from in [udp_relay, elsewhere, addr(&at_relay(1024))] {
        let outcome = arrive(&mut world, relayed, &from.to_string());
        assert_eq!(outcome, Err(DropReason::PeerDenied), "{from}");
    }
}

#[test]
fn tc_04_connection_for_an_ended_relay_meets_nobody() {
    let mut world = tcp_world();
    let (mut alice, _) = with_relay(&mut world, "alice");
    alice.permit(&mut world, &[addr(PEER)]);
    let token = world.hosts[0].listening.values().next().unwrap().1;
    alice.refresh(&mut world, 0);

    let now = world.now;
    let outcome = world.relays[0].on_peer_connection(now, token, addr(PEER), &mut world.hosts[0]);

    assert_eq!(outcome, Err(DropReason::NoAllocation));
}

/// Each connection that a peer opens is an indication to the client.
#[test]
fn tc_04_peer_that_comes_and_goes_is_announced_so_often_in_a_second_and_no_more() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    alice.permit(&mut world, &[addr(PEER)]);
    for _ in 0..2 {
        for n in 0..10 {
            match arrive(&mut world, relayed, PEER) {
                Ok(token) => report_closed(&mut world, 0, token),
                Err(reason) => {
                    assert!(n >= 4);
                    assert_eq!(reason, DropReason::TooManyConnections);
                }
            }
        }
        assert_eq!(std::mem::take(&mut world.hosts[0].told).len(), 4);
        world.pass_secs(1);
    }
}

#[test]
fn tc_04_peer_that_leaves_before_the_bind_takes_its_id_along() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    alice.permit(&mut world, &[addr(PEER)]);
    let token = arrive(&mut world, relayed, PEER).unwrap();

    report_closed(&mut world, 0, token);

    let mut data = another_stream(&mut world, &alice);
    assert_eq!(bind_refused(&mut world, &mut data, token.id.0), 400);
}
