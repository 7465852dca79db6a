//! TCP allocations (TC-01, AL-18, SD-11, TC-09): when they are granted, and what they have to do with UDP ones.

use super::*;
use crate::relay::tests::client::{put, udp};
use crate::wire::{Family, Lifetime};

#[test]
fn tc_01_client_on_a_stream_is_given_a_listening_address() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let mut world = tcp_world();
        let mut alice = stream(&mut world, "alice");
        alice.at.link.transport = transport;

        let answer = alice.ask(&mut world, Method::ALLOCATE, tcp);

        let relayed = answer.relayed();
        let listening: Vec<_> = world.hosts[0].listening.values().map(|it| it.0).collect();
        assert_eq!(listening, [local(relayed)]);
        assert!(world.hosts[0].open.is_empty());
        assert!(answer.values(AttributeType::RESERVATION_TOKEN).is_empty());
        assert_eq!(answer.lifetime(), 600);
    }
}

#[test]
fn tc_01_client_of_datagrams_is_refused() {
    for transport in [Transport::Udp, Transport::Dtls] {
        let mut world = tcp_world();
        let mut alice = stream(&mut world, "alice");
        alice.at.link.transport = transport;

        assert_eq!(alice.refused(&mut world, Method::ALLOCATE, tcp), 400);
    }
}

#[test]
fn tc_01_attributes_that_only_datagrams_need_are_refused() {
    let mut world = tcp_world();
    let mut alice = stream(&mut world, "alice");
    let attributes: [(u16, &[u8]); 4] = [
        (0x001A, &[]),
        (0x0018, &[0]),
        (0x0018, &[0x80]),
        (0x0022, &[1, 2, 3, 4, 5, 6, 7, 8]),
    ];

    for attribute in attributes {
        let request = |writer: &mut Writer<'_>| {
            tcp(writer);
            put(&[attribute])(writer);
        };
        assert_eq!(alice.refused(&mut world, Method::ALLOCATE, request), 400);
    }
}

#[test]
fn tc_01_relay_that_offers_none_says_so_and_ignores_the_rest() {
    let mut world = World::new();
    let mut alice = stream(&mut world, "alice");

    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, tcp), 442);
    assert_eq!(
        world
            .ready("bob")
            .refused(&mut world, Method::ALLOCATE, tcp),
        442
    );
    let request = alice.request(Method::CONNECT, peer(PEER));
    let ignored = Outcome::Dropped(DropReason::UnexpectedMessage);
    assert_eq!(world.send(&alice.at, &request), ignored);
    let (outcome, _) = try_bind(&mut world, &mut alice, 7);
    assert_eq!(outcome, ignored);
}

#[test]
fn tc_01_both_families_are_had_at_once_and_one_can_be_deleted() {
    let mut world = tcp_world();
    let mut alice = stream(&mut world, "alice");
    let both = alice.ask(&mut world, Method::ALLOCATE, |writer| {
        tcp(writer);
        put(&[(0x8000, &[2, 0, 0, 0])])(writer);
    });
    let all = both.all_relayed();
    assert_eq!(world.hosts[0].listening.len(), 2);
    let v6 = "[2607:f8b0::1]:80";
    let first = connected(&mut world, &mut alice, all[0], PEER);
    let request = begin_connect(&mut world, &mut alice, v6);

    let deleted = alice.ask(&mut world, Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
        put(&[(0x0017, &[2, 0, 0, 0])])(writer);
    });

    assert_eq!(deleted.code, 0);
    assert_eq!(told_answer(&mut world, &alice, &request).code, 447);
    assert_eq!(world.hosts[0].listening.len(), 1);
    let mut data = another_stream(&mut world, &alice);
    bind(&mut world, &mut data, first);
}

/// AL-18: each port once on UDP and once on TCP.
#[test]
fn al_18_one_port_serves_a_udp_and_a_tcp_relay() {
    let mut options = with_tcp();
    options.ports = 50_000..=50_000;
    let mut world = World::with(options);

    let (_, on_tcp) = with_relay(&mut world, "alice");
    let on_udp = world.client("bob").allocate(&mut world);

    assert_eq!(on_tcp, on_udp);
    let mut late = stream(&mut world, "carol");
    assert_eq!(late.refused(&mut world, Method::ALLOCATE, tcp), 508);
    assert_eq!(late.refused(&mut world, Method::ALLOCATE, udp), 508);
}

#[test]
fn al_16_ports_of_tcp_relays_come_back_when_they_have_rested() {
    let mut options = with_tcp();
    options.ports = 50_000..=50_001;
    let mut world = World::with(options);
    for _ in 0..4 {
        let mut both: Vec<_> = (0..2).map(|_| with_relay(&mut world, "alice").0).collect();
        let mut late = stream(&mut world, "alice");
        assert_eq!(late.refused(&mut world, Method::ALLOCATE, tcp), 508);
        for client in &mut both {
            client.refresh(&mut world, 0);
        }
        assert_eq!(late.refused(&mut world, Method::ALLOCATE, tcp), 508);
        world.pass_secs(60);
    }
    assert_eq!(world.sockets(), 0);
    assert_eq!(world.ports(Family::V4), 0);
}

#[test]
fn al_16_machine_without_descriptors_gives_no_relay_and_keeps_no_port() {
    let mut world = tcp_world();
    let mut alice = stream(&mut world, "alice");
    world.hosts[0].exhausted = true;

    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, tcp), 508);

    world.hosts[0].exhausted = false;
    alice.ask(&mut world, Method::ALLOCATE, tcp).relayed();
}

/// A stranger's port is passed over.
#[test]
fn al_17_port_that_somebody_else_listens_on_is_not_given_out() {
    let mut options = with_tcp();
    options.ports = 50_000..=50_001;
    let mut world = World::with(options);
    world.hosts[0].taken = vec![local(addr(&at_relay(50_000)))];

    let (_, relayed) = with_relay(&mut world, "alice");

    assert_eq!(relayed.port(), 50_001);
}

#[test]
fn sd_11_indications_and_channels_have_no_place_on_a_tcp_relay() {
    let mut world = tcp_world();
    let (mut alice, _) = with_relay(&mut world, "alice");
    alice.permit(&mut world, &[addr(PEER)]);

    let bound = alice.refused(&mut world, Method::CHANNEL_BIND, |writer| {
        put(&[(0x000C, &[0x40, 0, 0, 0])])(writer);
        peer(PEER)(writer);
    });

    assert_eq!(bound, 400);
    let sent = alice.send(&mut world, addr(PEER), b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::BadIndication));
    let sent = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoChannel));
}

#[test]
fn al_03_repeated_request_is_answered_alike() {
    let mut world = tcp_world();
    let mut alice = stream(&mut world, "alice");
    let request = alice.request(Method::ALLOCATE, tcp);
    let first = world.send(&alice.at, &request);

    assert_eq!(world.send(&alice.at, &request), first);
    assert_eq!(alice.refused(&mut world, Method::ALLOCATE, tcp), 437);
}
