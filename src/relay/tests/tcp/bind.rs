//! ConnectionBind (TC-05, TC-06, TC-07).

use super::*;
use crate::relay::tests::client::put;

/// TC-05: for connections that the client opened and those that peers did.
#[test]
fn tc_05_connection_waits_thirty_seconds_for_its_bind() {
    for incoming in [false, true] {
        for (wait, bound) in [(29, true), (30, false), (31, false)] {
            let mut world = tcp_world();
            let (mut alice, relayed) = with_relay(&mut world, "alice");
            let id = pending(&mut world, &mut alice, relayed, incoming);
            let mut data = another_stream(&mut world, &alice);

            world.pass_secs(wait);

            assert_eq!(world.hosts[0].connections.len(), usize::from(bound));
            if bound {
                bind(&mut world, &mut data, id);
            } else {
                assert_eq!(bind_refused(&mut world, &mut data, id), 400);
            }
        }
    }
}

/// TC-05: the clock begins when the connection is open.
#[test]
fn tc_05_time_for_the_bind_begins_with_the_answer() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    begin_connect(&mut world, &mut alice, PEER);
    let token = connection(&world, relayed, PEER);
    world.pass_secs(29);
    report(&mut world, 0, token, Ok(()));
    world.pass_secs(29);

    let mut data = another_stream(&mut world, &alice);

    bind(&mut world, &mut data, token.id.0);
}

#[test]
fn tc_05_bound_connection_has_no_more_deadline() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let id = connected(&mut world, &mut alice, relayed, PEER);
    let mut data = another_stream(&mut world, &alice);
    bind(&mut world, &mut data, id);

    world.pass_secs(500);

    assert_eq!(world.hosts[0].connections.len(), 1);
}

#[test]
fn tc_06_bind_over_datagrams_is_refused() {
    for transport in [Transport::Udp, Transport::Dtls] {
        let mut world = tcp_world();
        let (mut alice, relayed) = with_relay(&mut world, "alice");
        let id = connected(&mut world, &mut alice, relayed, PEER);
        let mut data = another_stream(&mut world, &alice);
        data.at.link.transport = transport;

        assert_eq!(bind_refused(&mut world, &mut data, id), 400);
    }
}

#[test]
fn tc_06_id_that_is_missing_malformed_unknown_or_used_is_refused() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let id = connected(&mut world, &mut alice, relayed, PEER);
    let mut data = another_stream(&mut world, &alice);
    let short: [(u16, &[u8]); 1] = [(0x002A, &[1, 2, 3])];
    let method = Method::CONNECTION_BIND;
    assert_eq!(data.refused(&mut world, method, |_| ()), 400);
    assert_eq!(data.refused(&mut world, method, put(&short)), 400);
    assert_eq!(bind_refused(&mut world, &mut data, id ^ 1), 400);

    bind(&mut world, &mut data, id);

    let mut second = another_stream(&mut world, &data);
    assert_eq!(bind_refused(&mut world, &mut second, id), 400);
    assert_eq!(bind_refused(&mut world, &mut data, id), 400);
}

#[test]
fn tc_06_attempt_that_is_not_open_cannot_be_bound() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    begin_connect(&mut world, &mut alice, PEER);
    let id = connection(&world, relayed, PEER).id.0;
    let mut data = another_stream(&mut world, &alice);

    assert_eq!(bind_refused(&mut world, &mut data, id), 400);
}

/// TC-06: and it is refused as an id that nobody has.
#[test]
fn tc_06_connection_of_another_user_cannot_be_bound() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let id = connected(&mut world, &mut alice, relayed, PEER);
    let mut mallory = stream(&mut world, "mallory");

    assert_eq!(bind_refused(&mut world, &mut mallory, id), 400);
    assert_eq!(bind_refused(&mut world, &mut mallory, id ^ 1), 400);

    let mut data = another_stream(&mut world, &alice);
    bind(&mut world, &mut data, id);
}

#[test]
fn tc_06_control_connection_cannot_become_a_data_connection() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let id = connected(&mut world, &mut alice, relayed, PEER);

    assert_eq!(bind_refused(&mut world, &mut alice, id), 400);
}

#[test]
fn tc_06_bind_is_challenged_like_any_other_request() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let id = connected(&mut world, &mut alice, relayed, PEER);
    let mut data = another_stream(&mut world, &alice);
    data.nonce.clear();

    let (outcome, request) = try_bind(&mut world, &mut data, id);

    assert_eq!(Answer::of(outcome.reply(), &request, None).code, 401);
}

/// A call outlives its credential, and so do its connections.
#[test]
fn tc_06_bind_works_after_the_credential_has_expired() {
    let mut world = tcp_world();
    let credential = world.credential("alice", 60);
    let mut alice = stream(&mut world, "alice");
    let brief = Client::new(alice.at, &credential);
    (alice.username, alice.key) = (brief.username, brief.key);
    let relayed = alice.ask(&mut world, Method::ALLOCATE, tcp).relayed();
    world.pass_secs(120);
    let id = connected(&mut world, &mut alice, relayed, PEER);
    let mut data = another_stream(&mut world, &alice);

    bind(&mut world, &mut data, id);
}

/// A connection that waits for its bind.
fn pending(world: &mut World, client: &mut Client, relayed: SocketAddr, incoming: bool) -> u32 {
    if !incoming {
        return connected(world, client, relayed, PEER);
    }
    client.permit(world, &[addr(PEER)]);
    arrive(world, relayed, PEER).unwrap();
    attempt(&told(world, client)).0
}
