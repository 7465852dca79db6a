//! Connect (TC-02, TC-03): connections that clients have opened.

use super::*;
use crate::auth::PeerScope;
use crate::relay::tests::client::udp;

#[test]
fn tc_02_open_connection_is_answered_with_its_id() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");

    let request = begin_connect(&mut world, &mut alice, PEER);
    assert!(world.hosts[0].told.is_empty());
    let token = connection(&world, relayed, PEER);
    world.pass_secs(29);
    report(&mut world, 0, token, Ok(()));

    let answer = told_answer(&mut world, &alice, &request);
    assert_eq!((answer.code, only_id(&answer)), (0, token.id.0));
}

/// TC-03: the host is told to connect from the relayed address as it is bound.
#[test]
fn tc_03_peer_sees_the_relayed_address() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");

    begin_connect(&mut world, &mut alice, PEER);

    let ends: Vec<_> = world.hosts[0].connections.values().copied().collect();
    assert_eq!(ends, [(local(relayed), addr(PEER))]);
}

#[test]
fn tc_02_refused_connection_is_told_at_once_and_can_be_tried_again() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let request = begin_connect(&mut world, &mut alice, PEER);
    let token = connection(&world, relayed, PEER);

    report(&mut world, 0, token, Err(ConnectFailed));

    assert_eq!(told_answer(&mut world, &alice, &request).code, 447);
    connected(&mut world, &mut alice, relayed, PEER);
}

#[test]
fn tc_02_attempt_that_cannot_start_is_refused_and_leaves_nothing() {
    let mut world = tcp_world();
    let (mut alice, _) = with_relay(&mut world, "alice");
    world.hosts[0].isolated = true;

    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 447);
}

#[test]
fn tc_02_attempt_without_an_end_is_given_up_after_thirty_seconds() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let request = begin_connect(&mut world, &mut alice, PEER);
    let token = connection(&world, relayed, PEER);
    world.pass_secs(29);
    assert!(world.hosts[0].told.is_empty());

    world.pass_secs(1);

    assert_eq!(told_answer(&mut world, &alice, &request).code, 447);
    assert!(world.hosts[0].connections.is_empty());
    // What the shell reports too late is no news.
    report(&mut world, 0, token, Ok(()));
    report(&mut world, 0, token, Err(ConnectFailed));
    assert!(world.hosts[0].told.is_empty());
}

/// The timers come late, and the outcome before them.
#[test]
fn tc_02_attempt_does_not_succeed_after_its_time() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let request = begin_connect(&mut world, &mut alice, PEER);
    let token = connection(&world, relayed, PEER);
    world.skip(std::time::Duration::from_secs(30));

    report(&mut world, 0, token, Ok(()));

    assert_eq!(told_answer(&mut world, &alice, &request).code, 447);
}

#[test]
fn tc_02_request_without_an_allocation_or_on_another_kind_is_refused() {
    let mut world = tcp_world();
    let mut alice = stream(&mut world, "alice");
    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 437);

    alice.ask(&mut world, Method::ALLOCATE, udp).relayed();

    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 400);
}

#[test]
fn tc_02_request_without_a_peer_or_with_a_malformed_one_is_refused() {
    let mut world = tcp_world();
    let (mut alice, _) = with_relay(&mut world, "alice");
    let malformed = crate::relay::tests::client::put;
    let short: [(u16, &[u8]); 1] = [(0x0012, &[0, 1, 2, 3, 4, 5, 6])];

    assert_eq!(alice.refused(&mut world, Method::CONNECT, |_| ()), 400);
    assert_eq!(
        alice.refused(&mut world, Method::CONNECT, malformed(&short)),
        400
    );
    assert_eq!(
        alice.refused(&mut world, Method::CONNECT, peer("8.8.8.8:0")),
        400
    );
}

#[test]
fn tc_02_second_connection_to_a_peer_is_refused_while_there_is_a_first() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    begin_connect(&mut world, &mut alice, PEER);
    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 446);
    let token = connection(&world, relayed, PEER);
    report(&mut world, 0, token, Ok(()));
    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 446);
    let mut data = another_stream(&mut world, &alice);
    bind(&mut world, &mut data, token.id.0);
    assert_eq!(alice.refused(&mut world, Method::CONNECT, peer(PEER)), 446);
    world.hosts[0].told.clear();
    connected(&mut world, &mut alice, relayed, "8.8.8.8:5001");

    report_closed(&mut world, 0, token);

    connected(&mut world, &mut alice, relayed, PEER);
}

/// A stream repeats nothing, but a client may.
#[test]
fn tc_02_repeated_request_makes_no_second_connection() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let request = begin_connect(&mut world, &mut alice, PEER);
    assert_eq!(world.send(&alice.at, &request), Outcome::Later);
    let token = connection(&world, relayed, PEER);
    report(&mut world, 0, token, Ok(()));
    let answer = told(&mut world, &alice);

    let again = world.send(&alice.at, &request);

    assert_eq!(again, Outcome::Reply(answer));
    assert_eq!(world.hosts[0].connections.len(), 1);
}

#[test]
fn tc_03_peer_of_another_family_is_refused() {
    let mut world = tcp_world();
    let (mut alice, _) = with_relay(&mut world, "alice");

    let code = alice.refused(&mut world, Method::CONNECT, peer("[2607:f8b0::1]:80"));

    assert_eq!(code, 443);
}

/// CP-11, X-10 ff.: what UDP is kept from, TCP is kept from as well.
#[test]
fn tc_02_peers_that_policy_denies_are_refused() {
    let mut options = with_tcp();
    options.peers.deny = vec!["9.9.9.0/24".parse().unwrap()];
    options.peers.deny_ports = vec![25..=25];
    let mut world = World::with(options);
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let own = at_relay(relayed.port() ^ 1);
    let denied = [
        "10.1.2.3:80",
        "127.0.0.1:80",
        "169.254.169.254:80",
        "192.168.1.1:80",
        "9.9.9.9:80",
        "8.8.8.8:25",
        "192.88.1.1:3478",
        "10.0.0.5:50000",
        &own,
    ];

    for address in denied {
        let code = alice.refused(&mut world, Method::CONNECT, peer(address));
        assert_eq!(code, 403, "{address}");
    }
    assert_eq!(world.hosts[0].refused.len(), denied.len());
}

#[test]
fn tc_02_masked_client_reaches_tcp_relays_of_its_call_alone() {
    let mut world = tcp_world();
    let party = |call, party| World::party(call, party, PeerScope::Call);
    let (mut alice, at_alice) = with_relay(&mut world, &party("7", "a"));
    let (mut bob, at_bob) = with_relay(&mut world, &party("7", "b"));
    let (_, elsewhere) = with_relay(&mut world, &party("8", "a"));
    for denied in [PEER, &elsewhere.to_string()] {
        let code = alice.refused(&mut world, Method::CONNECT, peer(denied));
        assert_eq!(code, 403, "{denied}");
    }

    let id = connected(&mut world, &mut alice, at_alice, &at_bob.to_string());
    bob.permit(&mut world, &[at_alice]);
    let outcome = arrive_at(&mut world, at_bob, at_alice);

    let (theirs, seen) = attempt(&told(&mut world, &bob));
    assert_eq!((Ok(theirs), seen), (outcome, at_alice));
    assert_ne!(id, theirs);
}

/// The other end of a connection between two relays of one host.
/// It would meet itself: TCP knows no difference between the two ends then.
#[test]
fn tc_02_relayed_address_is_no_peer_of_its_own() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");

    let own = relayed.to_string();
    let code = alice.refused(&mut world, Method::CONNECT, peer(&own));

    assert_eq!(code, 403);
}

fn arrive_at(world: &mut World, relayed: SocketAddr, from: SocketAddr) -> Result<u32, DropReason> {
    arrive(world, relayed, &from.to_string()).map(|token| token.id.0)
}

/// A UDP relay on the same port number is somebody else.
#[test]
fn tc_02_udp_relay_is_no_peer_of_a_tcp_relay_nor_the_other_way_round() {
    let mut world = tcp_world();
    let call = |party| World::party("7", party, PeerScope::Call);
    let (mut alice, at_alice) = with_relay(&mut world, &call("a"));
    let mut bob = world.client(&call("b"));
    let at_bob = bob.allocate(&mut world);

    let code = alice.refused(&mut world, Method::CONNECT, peer(&at_bob.to_string()));

    assert_eq!(code, 403);
    assert_eq!(bob.bind(&mut world, 0x4000, at_alice).code, 403);
}
