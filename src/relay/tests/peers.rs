//! The peer policy seen end to end: who is reached and heard, and what each side is shown of the other.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::client::Client;
use super::traffic::{
    Heard, PEER4, both_for_an_hour, caller, carry, for_an_hour, heard_by, on_ipv6, peer_sends,
    state, to_peer,
};
use super::world::{Outcome, RELAY4, RELAY4_BIND, RELAY6, SERVER, World, addr, ip, local, options};
use crate::auth::{Claims, PeerScope};
use crate::relay::grants::Permission;
use crate::relay::policy::PeerClass;
use crate::relay::tags::CallTag;
use crate::relay::{DropReason, Options, Packet, PeerOptions, Verdict};
use crate::wire::Method;

const DENIED: Outcome = Outcome::Dropped(DropReason::PeerDenied);
const NO_PERMISSION: Outcome = Outcome::Dropped(DropReason::NoPermission);

/// Addresses that lead into somebody's network, or to nobody's, by RFC 8656 section 21.2 and the registries.
const FORBIDDEN4: &str = "0.0.0.0 0.0.0.1 0.255.255.255 127.0.0.1 127.255.255.254 10.0.0.0 10.0.0.1 10.255.255.255 \
    100.64.0.0 100.127.255.255 100.100.100.200 169.254.0.1 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255 \
    192.168.0.0 192.168.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 198.18.0.0 198.19.255.255 198.51.100.1 \
    203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.254 255.255.255.255";

const FORBIDDEN6: &str = ":: ::1 fe80::1 febf::1 fc00::1 fdff::1 fd00:ec2::254 fec0::1 ff02::1 ff0e::1 100::1 \
    2001:db8::1 2001::1 2001:0:808:808::1 2002:808:808::1 2002:7f00:1:: 5f00::1 ::8.8.8.8 ::127.0.0.1 ::ffff:8.8.8.8 \
    ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:0:8.8.8.8 64:ff9b::808:808 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe \
    64:ff9b:1::7f00:1 2a00:1::5efe:10.0.0.1 2a00:1::200:5efe:127.0.0.1 ::5efe:10.0.0.1";

/// Asserts that nothing at all passes between a client and a peer that policy refuses.
#[track_caller]
fn assert_forbidden(world: &mut World, client: &mut Client, relayed: SocketAddr, peer: SocketAddr) {
    let before = state(world, client);
    let refused = world.hosts[0].refused.len();
    assert_eq!(client.permit(world, &[peer]).code, 403, "{peer}");
    assert_eq!(client.bind(world, 0x4000, peer).code, 403, "{peer}");
    assert_eq!(state(world, client), before, "{peer}");
    assert_eq!(world.hosts[0].refused[refused..], [peer.ip(); 2]);
    assert_eq!(client.send(world, peer, b"x"), NO_PERMISSION, "{peer}");
    let sent = client.send_on(world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoChannel), "{peer}");
    let came = world.arrive(local(relayed), peer, b"x");
    assert_eq!(came, Some(NO_PERMISSION), "{peer}");
    force_permission(world, client, peer.ip(), true);
    assert_eq!(client.send(world, peer, b"x"), DENIED, "{peer}");
    force_permission(world, client, peer.ip(), false);
}

/// Gives a permission that no request could get, or takes it back.
fn force_permission(world: &mut World, client: &Client, peer: IpAddr, given: bool) {
    let table = &mut world.relays[0].table;
    let allocation = table.of_client(&client.at).expect("an allocation");
    if given {
        let expires = world.now.tick.after(Duration::from_secs(300));
        let class = PeerClass::Public;
        allocation.change(|grants| grants.permit(peer, Permission { expires, class }));
    } else {
        allocation.change(|grants| grants.permissions.retain(|held, _| *held != peer));
    }
}

fn with_peers(change: impl FnOnce(&mut PeerOptions)) -> Options {
    let mut changed = options();
    change(&mut changed.peers);
    changed
}

fn party(world: &mut World, call: &str, name: &str, scope: PeerScope) -> (Client, SocketAddr) {
    let mut client = world.client(&World::party(call, name, scope));
    let relayed = for_an_hour(world, &mut client, |_| ());
    (client, relayed)
}

/// As a party of a call, in a scope that needs none.
fn loner(world: &mut World, name: &str, scope: PeerScope) -> (Client, SocketAddr) {
    let claims = Claims {
        party: Some(name),
        peers: Some(scope),
        ..Claims::default()
    };
    let mut client = world.client(&claims.to_id().unwrap());
    let relayed = for_an_hour(world, &mut client, |_| ());
    (client, relayed)
}

// X-10, CP-11, SD-06
#[test]
fn no_special_ipv4_address_is_permitted_bound_reached_or_heard() {
    let (mut world, mut alice, relayed) = caller();

    for peer in FORBIDDEN4.split_whitespace() {
        let peer = SocketAddr::new(ip(peer), 7000);
        assert_forbidden(&mut world, &mut alice, relayed, peer);
    }
}

// X-11, CB-11
#[test]
fn no_special_ipv6_address_is_permitted_bound_reached_or_heard() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let relayed = for_an_hour(&mut world, &mut alice, on_ipv6);

    for peer in FORBIDDEN6.split_whitespace() {
        let peer = SocketAddr::new(ip(peer), 7000);
        assert_forbidden(&mut world, &mut alice, relayed, peer);
    }
}

//
#[test]
fn the_machines_own_addresses_and_their_broadcasts_are_forbidden() {
    let mut world = World::with(with_peers(|peers| {
        peers.own_addresses = vec![ip(SERVER), ip("24.5.6.255"), ip("2600:5::5")];
    }));
    let mut alice = world.client("alice");
    let [v4, v6] = both_for_an_hour(&mut world, &mut alice);

    for (relayed, peer) in [
        (v4, SERVER),
        (v4, "24.5.6.255"),
        (v4, RELAY4_BIND),
        (v6, "2600:5::5"),
    ] {
        let peer = SocketAddr::new(ip(peer), 7000);
        assert_forbidden(&mut world, &mut alice, relayed, peer);
    }
    assert_eq!(alice.permit(&mut world, &[addr("24.5.6.254:1")]).code, 0);
}

//
#[test]
fn an_allowed_prefix_is_reached_and_nothing_beside_it() {
    let mut world = World::with(with_peers(|peers| {
        peers.allow = vec![
            "10.1.0.0/16".parse().unwrap(),
            "64:ff9b::/96".parse().unwrap(),
            "169.254.0.0/16".parse().unwrap(),
        ];
    }));
    let mut alice = world.client("alice");
    let [v4, v6] = both_for_an_hour(&mut world, &mut alice);

    for (relayed, peer) in [
        (v4, "10.0.255.255:7000"),
        (v4, "10.2.0.0:7000"),
        (v4, "169.254.169.254:7000"),
        (v6, "[64:ff9b::7f00:1]:7000"),
        (v6, "[64:ff9b::a9fe:a9fe]:7000"),
        (v6, "[64:ff9b::a00:1]:7000"),
    ] {
        assert_forbidden(&mut world, &mut alice, relayed, addr(peer));
    }
    for (relayed, peer) in [
        (v4, "10.1.0.0:7000"),
        (v4, "10.1.255.255:7000"),
        (v6, "[64:ff9b::808:808]:7000"),
    ] {
        assert_eq!(alice.permit(&mut world, &[addr(peer)]).code, 0, "{peer}");
        let sent = alice.send(&mut world, addr(peer), b"x");
        assert_eq!(sent, to_peer(relayed, peer, b"x"));
    }
}

//
#[test]
fn a_denied_prefix_is_forbidden_and_its_neighbours_are_not() {
    let mut world = World::with(with_peers(|peers| {
        peers.deny = vec![
            "24.9.0.0/31".parse().unwrap(),
            "2600:9:8000::/33".parse().unwrap(),
        ];
    }));
    let mut alice = world.client("alice");
    let [v4, v6] = both_for_an_hour(&mut world, &mut alice);

    for (relayed, peer) in [
        (v4, PEER4),
        (v6, "[2600:9:8000::]:7000"),
        (v6, "[2600:9:ffff:ffff:ffff:ffff:ffff:ffff]:7000"),
    ] {
        assert_forbidden(&mut world, &mut alice, relayed, addr(peer));
    }
    let free = [
        "24.9.0.2:1",
        "24.8.255.255:1",
        "[2600:9:7fff::1]:1",
        "[2600:a::1]:1",
    ];
    assert_eq!(alice.permit(&mut world, &free.map(addr)).code, 0);
}

//
#[test]
fn the_daemons_own_sockets_are_out_of_reach_on_every_address_that_leads_to_them() {
    let mut world = World::with(with_peers(|peers| {
        peers.own_sockets = vec![
            SocketAddr::new(ip(RELAY4_BIND), 50_050),
            addr("0.0.0.0:50051"),
            addr("[::]:50052"),
        ];
    }));
    let mut alice = world.client("alice");
    let [_, _] = both_for_an_hour(&mut world, &mut alice);
    let relays = [ip(RELAY4), ip(RELAY6)].map(|ip| SocketAddr::new(ip, 1));
    assert_eq!(
        alice.permit(&mut world, &relays).code,
        0,
        "for relayed addresses"
    );
    for (ip_, ports) in [(RELAY4, &[50_050, 50_051, 50_052][..]), (RELAY6, &[50_052])] {
        for port in ports {
            let own = SocketAddr::new(ip(ip_), *port);
            // As live as a relayed address can be.
            world.shared.directory.publish(own, CallTag::NONE);

            assert_eq!(alice.bind(&mut world, 0x4000, own).code, 403, "{own}");
            assert_eq!(alice.send(&mut world, own, b"x"), DENIED, "{own}");
        }
    }
}

//
#[test]
fn on_the_relays_own_address_nothing_is_reached_but_live_relayed_ports() {
    let (mut world, mut alice, at_alice) = caller();
    let mut bob = world.client("bob");
    let at_bob = bob.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, &[at_bob]).code, 0);

    for port in [1, 22, 80, 3478, 9641, 49_999, 50_100, 65_535] {
        let dead = SocketAddr::new(at_bob.ip(), port);
        assert_eq!(alice.bind(&mut world, 0x4000, dead).code, 403, "{port}");
        assert_eq!(alice.send(&mut world, dead, b"x"), DENIED, "{port}");
        let came = world.arrive(local(at_alice), local(dead), b"x");
        assert_eq!(came, Some(DENIED), "{port}");
    }
    for port in 50_000..50_100 {
        let other = SocketAddr::new(at_bob.ip(), port);
        let live = [at_alice, at_bob].contains(&other);
        let sent = alice.send(&mut world, other, b"x");
        assert_eq!(sent != DENIED, live, "{port}");
    }
}

// LK-03
#[test]
fn a_call_reaches_and_hears_its_own_parties_alone() {
    let mut world = World::new();
    let (mut alice, at_alice) = party(&mut world, "7", "a", PeerScope::Call);
    let (mut bob, at_bob) = party(&mut world, "7", "b", PeerScope::Call);
    let others = [
        party(&mut world, "8", "m", PeerScope::Call),
        party(&mut world, "8", "f", PeerScope::Fleet),
        loner(&mut world, "l", PeerScope::Fleet),
        loner(&mut world, "p", PeerScope::Public),
    ];
    assert_eq!(alice.permit(&mut world, &[at_bob]).code, 0);
    assert_eq!(bob.permit(&mut world, &[at_alice]).code, 0);

    for (_, at_other) in &others {
        assert_eq!(alice.bind(&mut world, 0x4000, *at_other).code, 403);
        assert_eq!(alice.send(&mut world, *at_other, b"x"), DENIED);
        let came = world.arrive(local(at_alice), local(*at_other), b"x");
        assert_eq!(came, Some(DENIED), "the relay's address is permitted");
    }
    for peer in [PEER4, "24.10.0.1:50000"] {
        assert_forbidden(&mut world, &mut alice, at_alice, addr(peer));
    }
    let sent = alice.send(&mut world, at_bob, b"x");
    let came = carry(&mut world, sent);
    assert_eq!(
        heard_by(&bob, came),
        Heard::Indicated(at_alice, b"x".to_vec())
    );
}

// LK-03
#[test]
fn a_party_is_not_heard_by_a_call_though_its_own_scope_lets_it_send() {
    let mut world = World::new();
    let (mut alice, at_alice) = party(&mut world, "7", "a", PeerScope::Call);
    let (mut mallory, at_mallory) = loner(&mut world, "m", PeerScope::Public);
    assert_eq!(alice.permit(&mut world, &[at_mallory]).code, 0);
    assert_eq!(mallory.permit(&mut world, &[at_alice]).code, 0);

    let sent = mallory.send(&mut world, at_alice, b"x");

    assert_eq!(carry(&mut world, sent), DENIED);
}

// LK-03
#[test]
fn a_fleet_credential_reaches_live_relayed_addresses_of_the_fleet_alone() {
    let mut world = World::with(with_peers(|peers| {
        peers.fleet = vec!["24.10.0.0/16".parse().unwrap()];
    }));
    let (mut alice, at_alice) = loner(&mut world, "a", PeerScope::Fleet);
    let (mut bob, at_bob) = loner(&mut world, "b", PeerScope::Fleet);
    let (mut call, _) = party(&mut world, "7", "c", PeerScope::Call);

    assert_forbidden(&mut world, &mut alice, at_alice, addr(PEER4));
    assert_eq!(
        alice
            .permit(&mut world, &[at_bob, addr("24.10.0.1:1")])
            .code,
        0
    );
    assert_eq!(bob.permit(&mut world, &[at_alice]).code, 0);
    let sent = alice.send(&mut world, at_bob, b"x");
    let came = carry(&mut world, sent);
    assert_eq!(
        heard_by(&bob, came),
        Heard::Indicated(at_alice, b"x".to_vec())
    );
    let sent = alice.send(&mut world, addr("24.10.0.1:50000"), b"x");
    assert_eq!(sent, to_peer(at_alice, "24.10.0.1:50000", b"x"));
    for port in [3478, 49_999, 50_100] {
        let no_relay = addr(&format!("24.10.0.1:{port}"));
        assert_eq!(alice.send(&mut world, no_relay, b"x"), DENIED);
        assert_eq!(alice.bind(&mut world, 0x4000, no_relay).code, 403);
    }
    assert_eq!(
        call.permit(&mut world, &[addr("24.10.0.1:50000")]).code,
        403
    );
}

// LK-03
#[test]
fn a_credential_narrows_the_configured_scope_and_cannot_widen_it() {
    for (configured, claimed, public, fleet) in [
        (PeerScope::Public, Some(PeerScope::Public), true, true),
        (PeerScope::Public, None, true, true),
        (PeerScope::Public, Some(PeerScope::Fleet), false, true),
        (PeerScope::Public, Some(PeerScope::Call), false, false),
        (PeerScope::Fleet, Some(PeerScope::Public), false, true),
        (PeerScope::Fleet, None, false, true),
        (PeerScope::Call, Some(PeerScope::Public), false, false),
        (PeerScope::Call, None, false, false),
    ] {
        let mut world = World::with(with_peers(|peers| peers.scope = configured));
        let (_, at_other) = party(&mut world, "8", "o", PeerScope::Public);
        let claims = Claims {
            call: Some("7"),
            peers: claimed,
            ..Claims::default()
        };
        let mut alice = world.client(&claims.to_id().unwrap());
        alice.allocate(&mut world);

        let code = alice.permit(&mut world, &[addr(PEER4)]).code;
        assert_eq!(code == 0, public, "{configured:?} and {claimed:?}");
        let code = alice.bind(&mut world, 0x4000, at_other).code;
        assert_eq!(code == 0, fleet, "{configured:?} and {claimed:?}");
    }
}

/// A world with two ports, whose second owner gets the port of the first.
fn two_ports(call: &str, scope: PeerScope) -> (World, [Client; 2], [SocketAddr; 2]) {
    let mut few = options();
    few.ports = 50_000..=50_001;
    let mut world = World::with(few);
    let (mut alice, at_alice) = party(&mut world, call, "a", scope);
    let (mut bob, at_bob) = party(&mut world, call, "b", scope);
    assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);
    assert_eq!(bob.bind(&mut world, 0x4000, at_alice).code, 0);
    (world, [alice, bob], [at_alice, at_bob])
}

//
#[test]
fn after_a_peers_end_its_port_rests_and_nothing_is_sent_there() {
    let (mut world, [alice, mut bob], [at_alice, at_bob]) = two_ports("7", PeerScope::Call);

    assert_eq!(bob.refresh(&mut world, 0).code, 0);

    for _ in 0..60 {
        assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), DENIED);
        assert_eq!(alice.send(&mut world, at_bob, b"x"), DENIED);
        let came = world.arrive(local(at_alice), local(at_bob), b"late");
        assert_eq!(came, Some(DENIED), "what was on its way");
        let mut next = world.client("next");
        assert_eq!(next.try_allocate(&mut world, |_| ()).code, 508);
        world.pass_secs(1);
    }
}

//
#[test]
fn a_ports_next_owner_in_another_call_is_neither_reached_nor_heard() {
    let (mut world, [mut alice, mut bob], [at_alice, at_bob]) = two_ports("7", PeerScope::Call);
    assert_eq!(bob.refresh(&mut world, 0).code, 0);
    world.pass_secs(60);

    let (mut carol, at_carol) = party(&mut world, "8", "c", PeerScope::Call);
    assert_eq!(at_carol, at_bob);
    assert_eq!(carol.permit(&mut world, &[at_alice]).code, 0);

    assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), DENIED);
    assert_eq!(alice.send(&mut world, at_carol, b"x"), DENIED);
    assert_eq!(alice.bind(&mut world, 0x4000, at_carol).code, 403);
    let came = world.arrive(local(at_alice), local(at_carol), b"x");
    assert_eq!(came, Some(DENIED));
    let came = world.arrive(local(at_carol), local(at_alice), b"x");
    assert_eq!(came, Some(DENIED));
}

//
#[test]
fn a_channel_ends_with_the_allocation_it_was_bound_to_and_does_not_pass_to_the_ports_next_owner() {
    for scope in [PeerScope::Call, PeerScope::Fleet, PeerScope::Public] {
        let (mut world, [mut alice, mut bob], [at_alice, at_bob]) = two_ports("7", scope);
        assert_eq!(bob.refresh(&mut world, 0).code, 0);
        world.pass_secs(60);

        let (mut carol, at_carol) = party(&mut world, "7", "c", scope);
        assert_eq!(at_carol, at_bob);
        assert_eq!(carol.permit(&mut world, &[at_alice]).code, 0);

        assert_eq!(alice.send_on(&mut world, 0x4000, b"for bob"), DENIED);
        assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 403, "for bob");
        assert_eq!(alice.send_on(&mut world, 0x4000, b"for bob"), DENIED);
        world.pass_secs(540);
        alice.learn_nonce(&mut world);
        assert_eq!(
            alice.bind(&mut world, 0x4000, at_carol).code,
            0,
            "for carol"
        );
        let sent = alice.send_on(&mut world, 0x4000, b"for carol");
        assert!(matches!(sent, Outcome::ToPeer { .. }), "{sent:?}");
    }
}

//
#[test]
fn a_late_packet_for_an_ended_allocation_meets_nobody() {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    let (_, stale) = *world.hosts[0].open.values().next().unwrap();
    assert_eq!(alice.refresh(&mut world, 0).code, 0);
    // The same place in the table, and the same peer permitted.
    let next = for_an_hour(&mut world, &mut alice, |_| ());
    assert_eq!(alice.permit(&mut world, &[addr(PEER4)]).code, 0);
    let (_, fresh) = *world.hosts[0].open.values().next().unwrap();
    assert_ne!(relayed, next);
    assert_ne!(stale, fresh);

    let mut buf = vec![0; 2048];
    let mut packet = Packet::new(&mut buf, 4);
    let verdict = world.relays[0].on_peer(world.now, stale, addr(PEER4), &mut packet);

    let nobody = Verdict::Drop(DropReason::NoAllocation);
    assert_eq!(verdict, nobody);
}

//
#[test]
fn strangers_at_used_ports_are_dropped_without_an_answer() {
    let (mut world, _, relayed) = caller();

    for peer in [
        PEER4,
        "24.9.0.1:0",
        "10.0.0.1:1",
        "192.88.1.5:22",
        "10.0.0.5:22",
    ] {
        let came = peer_sends(&mut world, peer, relayed, b"anybody?");
        assert_eq!(came, NO_PERMISSION, "{peer}");
    }
}

//
#[test]
fn a_relayed_address_cannot_be_a_client() {
    let (mut world, _, relayed) = caller();

    for source in [relayed, local(relayed), addr("192.88.1.1:3478")] {
        let mut looping = world.client_at(source, "loop");
        for method in [Method::ALLOCATE, Method::BINDING, Method::REFRESH] {
            let request = looping.request(method, |_| ());
            let outcome = world.send(&looping.at, &request);
            assert_eq!(outcome, Outcome::Dropped(DropReason::BadSource));
        }
    }
    assert_eq!(world.relays[0].allocations(), 1);
}

//
#[test]
fn a_packet_between_two_relayed_addresses_ends_at_a_client() {
    let mut world = World::new();
    let (mut alice, at_alice) = party(&mut world, "7", "a", PeerScope::Call);
    let (mut bob, at_bob) = party(&mut world, "7", "b", PeerScope::Call);
    assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);
    assert_eq!(bob.bind(&mut world, 0x4000, at_alice).code, 0);

    let sent = alice.send_on(&mut world, 0x4000, b"x");
    let came = carry(&mut world, sent);
    assert_eq!(
        heard_by(&bob, came),
        Heard::OnChannel(0x4000, b"x".to_vec())
    );
    assert_eq!(
        alice.bind(&mut world, 0x4001, at_alice).code,
        0,
        "to oneself"
    );
    let sent = alice.send_on(&mut world, 0x4001, b"x");
    let came = carry(&mut world, sent);
    assert_eq!(
        heard_by(&alice, came),
        Heard::OnChannel(0x4001, b"x".to_vec())
    );
}
