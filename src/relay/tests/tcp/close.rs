//! How connections end (TC-08): with their peer, their client, and their allocation.

use super::*;

const OTHER: &str = "8.8.4.4:80";

#[test]
fn tc_08_end_of_a_connection_leaves_the_others() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let [token, other] = [PEER, OTHER].map(|to| bound(&mut world, &mut alice, relayed, to));

    report_closed(&mut world, 0, token);

    let open: Vec<_> = world.hosts[0].connections.keys().copied().collect();
    assert_eq!(open, [other]);
    // Told twice, it is no news.
    report_closed(&mut world, 0, token);
}

/// TC-08: whatever ends an allocation closes all that it has, and answers who still waits.
#[test]
fn tc_08_end_of_the_allocation_closes_all_connections() {
    let ends: [fn(&mut World, &mut Client); 4] = [
        |world, client| {
            assert_eq!(client.refresh(world, 0).code, 0);
        },
        |world, client| {
            let now = world.now;
            world.relays[0].on_disconnect(now, &client.at, &mut world.hosts[0]);
        },
        |world, _| {
            let now = world.now;
            world.relays[0].shut_down(now, &mut world.hosts[0]);
        },
        |world, _| world.pass_secs(15),
    ];
    for end in ends {
        let mut world = tcp_world();
        let (mut alice, relayed) = with_relay(&mut world, "alice");
        let bound = bound(&mut world, &mut alice, relayed, PEER);
        world.pass_secs(585);
        connected(&mut world, &mut alice, relayed, OTHER);
        let request = begin_connect(&mut world, &mut alice, "8.8.4.4:81");

        end(&mut world, &mut alice);

        assert!(world.hosts[0].connections.is_empty());
        assert_eq!(world.sockets(), 0);
        assert_eq!(told_answer(&mut world, &alice, &request).code, 447);
        report_closed(&mut world, 0, bound);
        let mut data = another_stream(&mut world, &alice);
        assert_eq!(bind_refused(&mut world, &mut data, bound.id.0), 400);
        world.assert_invariants();
    }
}

/// The data connection is no control connection: its end does not end the allocation.
#[test]
fn tc_08_end_of_a_data_connection_leaves_the_allocation() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let token = bound(&mut world, &mut alice, relayed, PEER);

    report_closed(&mut world, 0, token);

    assert_eq!(alice.refresh(&mut world, 600).code, 0);
}

#[test]
fn tc_08_attempt_whose_socket_closed_has_failed() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let request = begin_connect(&mut world, &mut alice, PEER);
    let token = connection(&world, relayed, PEER);

    report_closed(&mut world, 0, token);

    assert_eq!(told_answer(&mut world, &alice, &request).code, 447);
}

/// a late report must not reach the slot's next allocation.
#[test]
fn tc_08_late_report_does_not_reach_the_next_allocation() {
    let mut world = tcp_world();
    let (mut alice, relayed) = with_relay(&mut world, "alice");
    let old = bound(&mut world, &mut alice, relayed, PEER);
    alice.refresh(&mut world, 0);
    let (mut bob, at_bob) = with_relay(&mut world, "bob");
    let new = bound(&mut world, &mut bob, at_bob, PEER);
    let before = world.snapshot();

    let now = world.now;
    let host = &mut world.hosts[0];
    world.relays[0].on_connection_closed(now, old, host);
    world.relays[0].on_connect_result(now, old, Ok(()), host);

    assert_eq!(world.snapshot(), before);
    assert!(world.hosts[0].connections.contains_key(&new));
}

#[track_caller]
pub(super) fn bound(
    world: &mut World,
    client: &mut Client,
    relayed: SocketAddr,
    to: &str,
) -> ConnectionToken {
    let id = connected(world, client, relayed, to);
    let mut data = another_stream(world, client);
    bind(world, &mut data, id)
}
