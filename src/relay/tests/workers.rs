//! Several workers that share their state, and what an operator's machine does to them.

use std::net::SocketAddr;

use super::client::Client;
use super::traffic::{
    Heard, PEER4, caller, carry, for_an_hour, heard_by, on_ipv6, peer_sends, state, to_peer,
};
use super::world::{Outcome, World, addr, five_tuple, local, options};
use crate::auth::PeerScope;
use crate::relay::DropReason;
use crate::time::UnixTime;
use crate::wire::{EvenPort, Family, Lifetime, Method, ReservationToken};

const DENIED: Outcome = Outcome::Dropped(DropReason::PeerDenied);
const DAY: u64 = 86_400;

fn two_workers() -> World {
    World::of(options(), 2, 7)
}

/// A client of a call on a worker, and its relayed address.
fn party(world: &mut World, worker: usize, call: &str, party: &str) -> (Client, SocketAddr) {
    let mut client = world.client(&World::party(call, party, PeerScope::Call));
    client.worker = worker;
    let relayed = for_an_hour(world, &mut client, |_| ());
    (client, relayed)
}

fn on(mut client: Client, worker: usize) -> Client {
    client.worker = worker;
    client
}

// OP-01, X-14
#[test]
fn parties_on_two_workers_exchange_data_in_both_forms() {
    let mut world = two_workers();
    let (mut alice, at_alice) = party(&mut world, 0, "7", "a");
    let (mut bob, at_bob) = party(&mut world, 1, "7", "b");
    assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);
    assert_eq!(bob.permit(&mut world, &[at_alice]).code, 0);

    let sent = alice.send_on(&mut world, 0x4000, b"to bob");
    let came = carry(&mut world, sent);
    let expected = Heard::Indicated(at_alice, b"to bob".to_vec());
    assert_eq!(heard_by(&bob, came), expected);
    let sent = bob.send(&mut world, at_alice, b"to alice");
    let came = carry(&mut world, sent);
    let expected = Heard::OnChannel(0x4000, b"to alice".to_vec());
    assert_eq!(heard_by(&alice, came), expected);

    assert_eq!(world.counters(0).to_clients.packets.value(), 1);
    assert_eq!(world.counters(1).to_clients.packets.value(), 1);
    assert_eq!(
        (world.relays[0].allocations(), world.relays[1].allocations()),
        (1, 1)
    );
}

// LK-03
#[test]
fn a_call_neither_reaches_nor_hears_another_call_on_another_worker() {
    let mut world = two_workers();
    let (mut alice, at_alice) = party(&mut world, 0, "7", "a");
    let (mut mallory, at_mallory) = party(&mut world, 1, "8", "m");
    assert_eq!(alice.permit(&mut world, &[at_mallory]).code, 0);
    assert_eq!(mallory.permit(&mut world, &[at_alice]).code, 0);

    assert_eq!(mallory.bind(&mut world, 0x4000, at_alice).code, 403);
    assert_eq!(mallory.send(&mut world, at_alice, b"x"), DENIED);
    let came = world.arrive(local(at_alice), local(at_mallory), b"x");
    assert_eq!(came, Some(DENIED));
    let came = world.arrive(local(at_mallory), local(at_alice), b"x");
    assert_eq!(came, Some(DENIED));
}

//
#[test]
fn the_end_of_a_peer_on_another_worker_is_seen_at_once() {
    let mut world = two_workers();
    let (mut alice, at_alice) = party(&mut world, 0, "7", "a");
    let (mut bob, at_bob) = party(&mut world, 1, "7", "b");
    assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);
    assert_eq!(bob.bind(&mut world, 0x4000, at_alice).code, 0);
    let on_its_way = bob.send_on(&mut world, 0x4000, b"late");

    assert_eq!(bob.refresh(&mut world, 0).code, 0);

    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), DENIED);
    assert_eq!(alice.send(&mut world, at_bob, b"x"), DENIED);
    assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 403);
    assert_eq!(world.arrive(local(at_bob), local(at_alice), b"x"), None);
    let Outcome::ToPeer { from, to, .. } = on_its_way else {
        panic!("{on_its_way:?}")
    };
    assert_eq!(world.arrive(to, from, b"late"), Some(DENIED));
}

// AL-18
#[test]
fn workers_never_give_out_one_port_twice() {
    let mut few = options();
    few.ports = 50_000..=50_009;
    few.limits.allocations_per_user = 20;
    let mut world = World::of(few, 2, 7);
    let mut ports = Vec::new();

    for n in 0..10 {
        let mut client = on(world.client("alice"), n % 2);
        ports.push(client.allocate(&mut world).port());
    }

    ports.sort_unstable();
    assert_eq!(ports, (50_000..=50_009).collect::<Vec<u16>>());
    let mut late = on(world.client("alice"), 1);
    assert_eq!(late.try_allocate(&mut world, |_| ()).code, 508);
}

// AL-19
#[test]
fn a_users_quota_counts_the_allocations_of_all_workers() {
    let mut world = two_workers();
    let mut clients: Vec<Client> = (0..8).map(|n| on(world.client("alice"), n % 2)).collect();
    for client in &mut clients {
        client.allocate(&mut world);
    }

    for worker in [0, 1] {
        let mut ninth = on(world.client("alice"), worker);
        assert_eq!(ninth.try_allocate(&mut world, |_| ()).code, 486);
        let mut bob = on(world.client("bob"), worker);
        bob.allocate(&mut world);
    }
    assert_eq!(clients[0].refresh(&mut world, 0).code, 0);
    let mut ninth = on(world.client("alice"), 1);
    ninth.allocate(&mut world);
}

// AL-19
#[test]
fn a_claimed_quota_counts_the_allocations_of_all_workers() {
    let mut world = two_workers();
    let id = World::bounded("7", 2);
    let [mut one, mut two, mut three] = [0, 1, 1].map(|worker| on(world.client(&id), worker));
    one.allocate(&mut world);
    two.allocate(&mut world);

    assert_eq!(three.try_allocate(&mut world, |_| ()).code, 486);
    assert_eq!(one.refresh(&mut world, 0).code, 0);
    three.allocate(&mut world);
}

// AL-16
#[test]
fn the_limit_of_the_daemon_counts_the_allocations_of_all_workers() {
    let mut few = options();
    few.limits.allocations = 3;
    let mut world = World::of(few, 2, 7);
    let mut clients: Vec<Client> = (0..3)
        .map(|n| on(world.client(&format!("user{n}")), n % 2))
        .collect();
    for client in &mut clients {
        client.allocate(&mut world);
    }

    for worker in [0, 1] {
        let mut fourth = on(world.client("late"), worker);
        assert_eq!(fourth.try_allocate(&mut world, |_| ()).code, 508);
    }
    assert_eq!(clients[1].refresh(&mut world, 0).code, 0);
    let mut fourth = on(world.client("late"), 0);
    fourth.allocate(&mut world);
    assert_eq!(world.sockets(), 3);
}

// AL-13
#[test]
fn a_port_that_one_worker_reserved_is_redeemed_at_another_by_its_user_alone_and_once() {
    let mut world = two_workers();
    let mut alice = world.client("alice");
    let reserving = alice.try_allocate(&mut world, |writer| {
        writer.put(&EvenPort { reserve: true }).unwrap();
    });
    let even = reserving.relayed();
    let token: ReservationToken = reserving.message().get().unwrap().expect("a token");
    let mut redeem = |id: &str, worker: usize| {
        let mut client = on(world.client(id), worker);
        let answer = client.try_allocate(&mut world, |writer| writer.put(&token).unwrap());
        (answer.code == 0)
            .then(|| answer.relayed())
            .ok_or(answer.code)
    };

    assert_eq!(redeem("mallory", 1), Err(508));
    let odd = SocketAddr::new(even.ip(), even.port() + 1);
    assert_eq!(redeem("alice", 1), Ok(odd));
    assert_eq!(redeem("alice", 1), Err(508));
    assert_eq!(redeem("alice", 0), Err(508));
    let bound = |worker: usize, at| {
        world.hosts[worker]
            .open
            .values()
            .any(|(l, _)| *l == local(at))
    };
    assert!(bound(0, even) && bound(1, odd));
}

// AL-13
#[test]
fn a_reserved_port_is_kept_from_all_workers_until_its_time_is_up() {
    let mut two = options();
    two.ports = 50_000..=50_001;
    let mut world = World::of(two, 2, 7);
    let mut alice = world.client("alice");
    alice.try_allocate(&mut world, |writer| {
        writer.put(&EvenPort { reserve: true }).unwrap();
    });
    let mut bob = on(world.client("bob"), 1);

    world.pass_secs(29);
    assert_eq!(bob.try_allocate(&mut world, |_| ()).code, 508);
    world.pass_secs(31);
    // The reservation is found to be over when somebody asks, and its port rests from then on.
    assert_eq!(bob.try_allocate(&mut world, |_| ()).code, 508);
    world.pass_secs(60);
    assert_eq!(bob.allocate(&mut world).port(), 50_001);
}

// OP-01
#[test]
fn a_client_that_reaches_the_wrong_worker_changes_nothing_at_the_right_one() {
    let mut world = two_workers();
    let mut alice = world.client("alice");
    let relayed = for_an_hour(&mut world, &mut alice, |_| ());
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    let before = state(&world, &alice);

    let mut astray = on(alice, 1);
    let nobody = Outcome::Dropped(DropReason::NoAllocation);
    assert_eq!(astray.send_on(&mut world, 0x4000, b"x"), nobody);
    assert_eq!(astray.send(&mut world, addr(PEER4), b"x"), nobody);
    assert_eq!(astray.permit(&mut world, &[addr(PEER4)]).code, 437);
    assert_eq!(astray.refresh(&mut world, 0).code, 437);

    let mut alice = on(astray, 0);
    assert_eq!(state(&world, &alice), before);
    let sent = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, to_peer(relayed, PEER4, b"x"));
    assert_eq!(alice.refresh(&mut world, 600).code, 0);
}

// OP-01
#[test]
fn a_nonce_of_one_worker_is_good_at_all() {
    let mut world = two_workers();
    let mut alice = world.client("alice");
    alice.learn_nonce(&mut world);

    let mut alice = on(alice, 1);
    let relayed = alice.allocate(&mut world);

    assert_eq!(world.relays[1].allocations(), 1);
    assert_eq!(
        world.hosts[1].open.values().next().unwrap().0,
        local(relayed)
    );
}

// OP-02
#[test]
fn a_step_of_the_wall_clock_neither_ends_nor_extends_anything() {
    for later in [true, false] {
        let (mut world, mut alice, relayed) = caller();
        assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
        let before = state(&world, &alice);
        let unix = world.now.unix.as_secs();
        let stepped = if later { unix + DAY } else { unix - DAY };

        world.now.unix = UnixTime::from_secs(stepped);
        world.pass_secs(299);

        assert_eq!(state(&world, &alice), before);
        let sent = alice.send_on(&mut world, 0x4000, b"x");
        assert_eq!(sent, to_peer(relayed, PEER4, b"x"));
        assert_eq!(alice.refresh(&mut world, 3600).lifetime(), 3600);
        world.pass_secs(1);
        let sent = alice.send_on(&mut world, 0x4000, b"x");
        assert_eq!(sent, Outcome::Dropped(DropReason::NoPermission));
        assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
        world.pass_secs(3599);
        assert_eq!(world.sockets(), 0, "the lifetime ends when it would have");
    }
}

// OP-02
#[test]
fn a_new_credential_is_judged_by_the_wall_clock() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.learn_nonce(&mut world);
    world.now.unix = UnixTime::from_secs(world.now.unix.as_secs() + DAY);

    assert_eq!(alice.try_allocate(&mut world, |_| ()).code, 401);
}

// OP-03
#[test]
fn a_client_whose_port_changed_has_no_allocation_there() {
    let (mut world, mut alice, _) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    let before = state(&world, &alice);
    let old = alice.at;
    let mut moved = old.client.reveal();
    moved.set_port(moved.port() + 1);
    alice.at = five_tuple(moved);

    let nobody = Outcome::Dropped(DropReason::NoAllocation);
    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), nobody);
    assert_eq!(alice.send(&mut world, addr(PEER4), b"x"), nobody);
    assert_eq!(
        alice.refresh(&mut world, 600).code,
        438,
        "a nonce is for one port"
    );
    alice.learn_nonce(&mut world);
    assert_eq!(alice.refresh(&mut world, 600).code, 437);
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 437);

    alice.at = old;
    assert_eq!(state(&world, &alice), before);
}

// OP-03
#[test]
fn whoever_takes_over_a_clients_port_can_ask_for_nothing_with_another_credential() {
    let (mut world, alice, _) = caller();
    let before = state(&world, &alice);
    let mut next = world.client_at(alice.at.client.reveal(), "next");
    next.learn_nonce(&mut world);

    assert_eq!(next.refresh(&mut world, 0).code, 441);
    assert_eq!(next.bind(&mut world, 0x4000, addr(PEER4)).code, 441);
    assert_eq!(next.try_allocate(&mut world, |_| ()).code, 437);
    next.nonce.clear();
    assert_eq!(next.refresh(&mut world, 0).code, 401);

    assert_eq!(state(&world, &alice), before);
}

// OP-04
#[test]
fn two_clients_behind_one_address_share_a_quota_and_nothing_else() {
    let mut world = World::new();
    let behind = |port: u16| world.client_at(addr(&format!("24.0.9.9:{port}")), "alice");
    let [mut one, mut two] = [behind(5000), behind(5001)];
    let (at_one, at_two) = (one.allocate(&mut world), two.allocate(&mut world));
    assert_eq!(one.bind(&mut world, 0x4000, addr(PEER4)).code, 0);

    let sent = two.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoChannel));
    let came = peer_sends(&mut world, PEER4, at_two, b"x");
    assert_eq!(came, Outcome::Dropped(DropReason::NoPermission));
    assert_eq!(two.refresh(&mut world, 0).code, 0);
    let came = peer_sends(&mut world, PEER4, at_one, b"x");
    assert_eq!(
        heard_by(&one, came),
        Heard::OnChannel(0x4000, b"x".to_vec())
    );

    for port in 5002..5009 {
        let mut more = world.client_at(addr(&format!("24.0.9.9:{port}")), "alice");
        more.allocate(&mut world);
    }
    let mut ninth = world.client_at(addr("24.0.9.9:5009"), "alice");
    assert_eq!(ninth.try_allocate(&mut world, |_| ()).code, 486);
}

// AL-05
#[test]
fn one_client_address_on_two_ways_in_has_two_allocations() {
    let mut world = World::new();
    let mut first = world.client("alice");
    let mut second = world.client_at(first.at.client.reveal(), "alice");
    second.at.link.id = 1;
    let mut third = world.client_at(first.at.client.reveal(), "alice");
    third.at.server = addr("192.88.1.2:0").ip();
    let relayed = [&mut first, &mut second, &mut third].map(|client| client.allocate(&mut world));
    assert_eq!(first.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    assert_eq!(second.permit(&mut world, &[addr(PEER4)]).code, 0);

    let came = peer_sends(&mut world, PEER4, relayed[0], b"x");
    assert_eq!(
        heard_by(&first, came),
        Heard::OnChannel(0x4000, b"x".to_vec())
    );
    let came = peer_sends(&mut world, PEER4, relayed[1], b"x");
    assert_eq!(
        heard_by(&second, came),
        Heard::Indicated(addr(PEER4), b"x".to_vec())
    );
    let came = peer_sends(&mut world, PEER4, relayed[2], b"x");
    assert_eq!(came, Outcome::Dropped(DropReason::NoPermission));
}

// LK-18
#[test]
fn ports_follow_from_the_relays_own_randomness_and_not_from_the_client() {
    let ports = |clients: [&str; 3]| {
        let mut world = World::new();
        clients.map(|client| {
            let mut client = world.client_at(addr(client), client);
            client.allocate(&mut world).port()
        })
    };
    let near = ports(["24.0.0.1:1000", "24.0.0.1:1001", "24.0.0.1:1002"]);

    let far = ports(["[2600:7::7]:1", "99.9.9.9:65535", "24.0.0.1:1000"]);

    assert_eq!(near, far, "of two daemons with one seed");
    let distance = |n: usize| near[n].abs_diff(near[n + 1]);
    assert!(distance(0) > 1 && distance(1) > 1, "neighbours tell a run");
}

// RF-06
#[test]
fn a_family_that_is_deleted_ends_alone_and_its_port_is_closed() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let [v4, v6] = super::traffic::both_for_an_hour(&mut world, &mut alice);
    assert_eq!(world.sockets(), 2);

    let deleted = alice.ask(&mut world, Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
        on_ipv6(writer);
    });

    assert_eq!(deleted.code, 0);
    assert_eq!(world.shared.ports_in_use(Family::V6).unwrap().0, 0);
    assert_eq!(world.shared.ports_in_use(Family::V4).unwrap().0, 1);
    let open: Vec<SocketAddr> = world.hosts[0].open.values().map(|(l, _)| *l).collect();
    assert_eq!(open, [local(v4)]);
    assert_ne!(v6, v4);
}
