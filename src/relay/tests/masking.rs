//! What each side is shown of the other: relayed addresses, in the form that the world knows, and nothing else.

use std::net::{IpAddr, SocketAddr};

use super::client::Client;
use super::traffic::{
    Heard, PEER4, PEER6, both_for_an_hour, caller, carry, for_an_hour, heard_by, to_peer,
};
use super::world::{Outcome, RELAY4, RELAY4_BIND, RELAY6, World, addr, ip, local, options};
use crate::auth::PeerScope;
use crate::relay::{DropReason, Options, Transport};
use crate::wire::{EvenPort, Method, ReservationToken, Writer};

/// A party of a call and its relayed address.
fn party(world: &mut World, name: &str) -> (Client, SocketAddr) {
    let mut client = world.client(&World::party("7", name, PeerScope::Call));
    let relayed = for_an_hour(world, &mut client, |_| ());
    (client, relayed)
}

// X-14, LK-02
#[test]
fn relayed_addresses_reach_each_other_behind_a_nat_and_show_their_outside_in_both_families() {
    for scope in [PeerScope::Call, PeerScope::Fleet, PeerScope::Public] {
        let mut world = World::new();
        let [mut alice, mut bob] =
            ["a", "b"].map(|party| world.client(&World::party("7", party, scope)));
        let at_alice = both_for_an_hour(&mut world, &mut alice);
        let at_bob = both_for_an_hour(&mut world, &mut bob);
        for (n, number, family) in [(0, 0x4000, RELAY4), (1, 0x4001, RELAY6)] {
            assert_eq!(at_bob[n].ip(), ip(family));
            assert_eq!(alice.permit(&mut world, &[at_bob[n]]).code, 0);
            assert_eq!(bob.bind(&mut world, number, at_alice[n]).code, 0);

            let sent = alice.send(&mut world, at_bob[n], b"ping");
            let expected = to_peer(at_alice[n], &local(at_bob[n]).to_string(), b"ping");
            assert_eq!(sent, expected, "to the inside of the NAT");
            let came = carry(&mut world, sent);
            let expected = Heard::OnChannel(number, b"ping".to_vec());
            assert_eq!(heard_by(&bob, came), expected);

            let sent = bob.send_on(&mut world, number, b"pong");
            let came = carry(&mut world, sent);
            let expected = Heard::Indicated(at_bob[n], b"pong".to_vec());
            assert_eq!(heard_by(&alice, came), expected, "as its owner was told");
        }
    }
}

//
#[test]
fn what_comes_back_through_the_nat_is_taken_as_well() {
    let mut world = World::new();
    let (mut alice, at_alice) = party(&mut world, "a");
    let (_, at_bob) = party(&mut world, "b");
    assert_eq!(alice.permit(&mut world, &[at_bob]).code, 0);

    let came = world.arrive(local(at_alice), at_bob, b"x").unwrap();

    assert_eq!(
        heard_by(&alice, came),
        Heard::Indicated(at_bob, b"x".to_vec())
    );
}

// LK-01
#[test]
fn a_peer_is_sent_the_data_and_nothing_of_the_client_whatever_its_transport() {
    for (client, transport) in [
        ("24.0.7.7:5000", Transport::Udp),
        ("24.0.7.7:5000", Transport::Tcp),
        ("24.0.7.7:5000", Transport::Tls),
        ("24.0.7.7:5000", Transport::Dtls),
        ("[2600:7::7]:5000", Transport::Udp),
        ("[2600:7::7]:5000", Transport::Tls),
    ] {
        let mut world = World::new();
        let mut alice = world.client_at(addr(client), "alice");
        alice.at.link.transport = transport;
        let relayed = both_for_an_hour(&mut world, &mut alice);
        for (n, number, peer) in [(0, 0x4000, PEER4), (1, 0x4001, PEER6)] {
            assert_eq!(alice.bind(&mut world, number, addr(peer)).code, 0);

            let on_channel = alice.send_on(&mut world, number, b"data");
            let indicated = alice.send(&mut world, addr(peer), b"data");

            assert_eq!(on_channel, to_peer(relayed[n], peer, b"data"));
            assert_eq!(indicated, to_peer(relayed[n], peer, b"data"));
        }
    }
}

// LK-01, LK-02
#[test]
fn a_party_is_shown_the_others_relayed_address_and_no_other_form_of_any() {
    let mut world = World::new();
    let (mut alice, at_alice) = party(&mut world, "a");
    let (mut bob, at_bob) = party(&mut world, "b");
    assert_eq!(alice.permit(&mut world, &[at_bob]).code, 0);
    assert_eq!(bob.permit(&mut world, &[at_alice]).code, 0);

    let sent = alice.send(&mut world, at_bob, b"data");
    let Outcome::ToClient { bytes, .. } = carry(&mut world, sent) else {
        panic!("bob hears nothing")
    };

    let client = octets(alice.at.client.reveal().ip());
    let inside = octets(ip(RELAY4_BIND));
    for (whose, secret) in [("alice's", client), ("the relay's inner", inside)] {
        for form in forms(&secret, &bytes) {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{whose} address as {form:x?}");
        }
    }
    let outside = &forms(&octets(ip(RELAY4)), &bytes)[1];
    assert!(
        bytes.windows(4).any(|window| window == outside),
        "the relayed one"
    );
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// An IPv4 address as bytes, XORed with the cookie, backwards, and in text.
fn forms(octets: &[u8], message: &[u8]) -> [Vec<u8>; 4] {
    let cookie = &message[4..8];
    let xored = octets.iter().zip(cookie).map(|(byte, mask)| byte ^ mask);
    let text: Vec<String> = octets.iter().map(ToString::to_string).collect();
    [
        octets.to_vec(),
        xored.collect(),
        octets.iter().rev().copied().collect(),
        text.join(".").into_bytes(),
    ]
}

// LK-08
#[test]
fn nonces_and_tokens_tell_nothing_of_the_client() {
    let mut world = World::new();
    let mut nonces = Vec::new();
    for client in [
        "24.7.8.9:5000",
        "24.7.8.9:5001",
        "[2600:7::7]:5000",
        "99.250.251.252:65535",
    ] {
        let mut alice = world.client_at(addr(client), "alice");
        let answer = alice.try_allocate(&mut world, |writer: &mut Writer<'_>| {
            writer.put(&EvenPort { reserve: true }).unwrap();
        });
        let token: ReservationToken = answer.message().get().unwrap().expect("a token");
        for secret in [addr(client).ip(), ip(RELAY4), ip(RELAY4_BIND)].map(octets) {
            for form in forms(&secret, &answer.bytes) {
                let found = |bytes: &[u8]| bytes.windows(form.len()).any(|w| w == form);
                assert!(!found(&token.0), "{client} in its token");
                assert!(!found(alice.nonce.as_bytes()), "{client} in its nonce");
            }
        }
        let hex: String = octets(addr(client).ip())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert!(!alice.nonce.to_lowercase().contains(&hex));
        nonces.push(alice.nonce);
    }
    assert!(
        nonces.iter().all(|nonce| nonce.len() == nonces[0].len()),
        "{nonces:?}"
    );
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
}

// LK-05
#[test]
fn with_binding_turned_off_a_page_learns_no_address_and_calls_go_on() {
    let mut world = World::with(Options {
        binding: false,
        ..options()
    });
    let mut alice = world.client("alice");
    let request = alice.request(Method::BINDING, |_| ());

    let outcome = world.send(&alice.at, &request);

    assert_eq!(outcome, Outcome::Dropped(DropReason::UnexpectedMessage));
    alice.allocate(&mut world);
}

// LK-10
#[test]
fn debug_output_of_an_allocation_shows_no_peer_and_no_client() {
    let (mut world, mut alice, _) = caller();
    let both = [addr(PEER4), addr("24.9.0.2:1")];
    assert_eq!(alice.permit(&mut world, &both).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);

    let shown = format!("{:?}", world.relays[0].table);

    assert!(shown.contains("Allocation"), "{shown}");
    assert!(!shown.contains("24.9.0."), "{shown}");
    assert!(!shown.contains("24.0.0."), "{shown}");
}
