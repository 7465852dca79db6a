//! Data connections that reach another worker than their allocation's (TC-06, OP-01).

use super::*;

#[test]
fn tc_06_bind_that_reaches_another_worker_is_handed_over() {
    let mut world = World::of(with_tcp(), 2, 7);
    let mut alice = stream(&mut world, "alice");
    alice.worker = 1;
    let relayed = alice.ask(&mut world, Method::ALLOCATE, tcp).relayed();
    let id = connected(&mut world, &mut alice, relayed, PEER);
    let mut data = another_stream(&mut world, &alice);
    data.worker = 0;
    let before = world.snapshot();

    let (outcome, request) = try_bind(&mut world, &mut data, id);

    assert_eq!(outcome, Outcome::HandOver(1));
    assert_eq!(world.snapshot(), before);
    let outcome = world.send_to(1, &data.at, &request);
    let Outcome::Splice { answer, connection } = outcome else {
        panic!("not bound but {outcome:?}")
    };
    assert_eq!(Answer::of(answer, &request, Some(&data.key)).code, 0);
    assert_eq!(connection.id, ConnectionId(id));
}

#[test]
fn tc_06_what_cannot_be_bound_stays_where_it_came() {
    let mut world = World::of(with_tcp(), 2, 7);
    let mut alice = stream(&mut world, "alice");
    alice.worker = 1;
    let relayed = alice.ask(&mut world, Method::ALLOCATE, tcp).relayed();
    let id = connected(&mut world, &mut alice, relayed, PEER);
    let mut by_udp = another_stream(&mut world, &alice);
    by_udp.worker = 0;
    by_udp.at.link.transport = Transport::Udp;
    let mut guess = stream(&mut world, "alice");
    let (mut control, _) = with_relay(&mut world, "alice");

    assert_eq!(bind_refused(&mut world, &mut by_udp, id), 400);
    assert_eq!(bind_refused(&mut world, &mut guess, id ^ 1), 400);
    assert_eq!(bind_refused(&mut world, &mut control, id), 400);
}

#[test]
fn tc_09_ids_of_all_workers_are_different() {
    let mut options = with_tcp();
    options.limits.peer_connections = 1_000;
    options.limits.peer_connections_total = 1_000;
    let mut world = World::of(options, 2, 7);
    for worker in 0..2 {
        let mut client = stream(&mut world, "alice");
        client.worker = worker;
        client.ask(&mut world, Method::ALLOCATE, tcp).relayed();
        for port in 1..=50 {
            begin_connect(&mut world, &mut client, &format!("8.8.8.8:{port}"));
        }
    }

    let hosts = world.hosts.iter().flat_map(|host| host.connections.keys());
    let ids: std::collections::BTreeSet<_> = hosts.map(|token| token.id).collect();
    assert_eq!(ids.len(), 100);
}
