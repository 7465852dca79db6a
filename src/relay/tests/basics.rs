//! A masked call from beginning to end, in both forms of data.

use super::client::Client;
use super::world::{Outcome, World, addr, local};
use crate::auth::PeerScope;
use crate::relay::{DropReason, FiveTuple};
use crate::wire::{ChannelData, Data, Message, Method, XorPeerAddress};

fn masked_call() -> (World, Client, Client) {
    let mut world = World::new();
    let alice = world.client(&World::party("7", "a", PeerScope::Call));
    let bob = world.client(&World::party("7", "b", PeerScope::Call));
    (world, alice, bob)
}

/// Carries what left one relay socket to the other, as the kernel would.
fn carry(world: &mut World, sent: Outcome) -> Outcome {
    let Outcome::ToPeer { from, to, data, .. } = sent else {
        panic!("not on its way to a peer: {sent:?}")
    };
    world.arrive(to, from, &data).expect("a relay socket there")
}

#[test]
fn two_parties_of_a_call_exchange_data_on_channels_and_see_only_relayed_addresses() {
    let (mut world, mut alice, mut bob) = masked_call();
    let (at_alice, at_bob) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);
    assert_eq!(bob.bind(&mut world, 0x4FFF, at_alice).code, 0);

    let sent = alice.send_on(&mut world, 0x4000, b"hello");

    let Outcome::ToPeer { from, to, .. } = &sent else {
        panic!("{sent:?}")
    };
    assert_eq!((*from, *to), (local(at_alice), local(at_bob)));
    let Outcome::ToClient { to, bytes } = carry(&mut world, sent) else {
        panic!("bob hears nothing")
    };
    assert_eq!(to, bob.at);
    let frame = ChannelData::parse(&bytes).unwrap();
    assert_eq!(
        (frame.channel.number(), frame.payload),
        (0x4FFF, &b"hello"[..])
    );
}

#[test]
fn without_a_channel_data_arrives_in_an_indication_that_names_the_relayed_address() {
    let (mut world, mut alice, mut bob) = masked_call();
    let (at_alice, at_bob) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.permit(&mut world, &[at_bob]).code, 0);
    assert_eq!(bob.permit(&mut world, &[at_alice]).code, 0);

    let sent = alice.send(&mut world, at_bob, b"odd");
    let Outcome::ToClient { to, bytes } = carry(&mut world, sent) else {
        panic!("bob hears nothing")
    };

    assert_eq!(to, bob.at);
    let indication = Message::parse(&bytes).unwrap();
    assert_eq!(indication.method(), Method::DATA);
    assert_eq!(
        indication.get::<XorPeerAddress>().unwrap().unwrap().0,
        at_alice
    );
    assert_eq!(indication.get::<Data<'_>>().unwrap().unwrap().0, b"odd");
    assert_eq!(
        bytes.last(),
        Some(&0),
        "padding is zero whatever lay in the buffer"
    );
}

#[test]
fn a_third_party_is_neither_reached_nor_heard() {
    let (mut world, mut alice, _) = masked_call();
    let mut mallory = world.client(&World::party("8", "a", PeerScope::Call));
    let (at_alice, at_mallory) = (alice.allocate(&mut world), mallory.allocate(&mut world));

    assert_eq!(alice.bind(&mut world, 0x4000, at_mallory).code, 403);
    assert_eq!(
        alice.permit(&mut world, &[at_mallory]).code,
        0,
        "a permission names an address, not a port"
    );
    assert_eq!(
        alice.send(&mut world, at_mallory, b"x"),
        Outcome::Dropped(DropReason::PeerDenied)
    );
    let heard = world.arrive(local(at_alice), local(at_mallory), b"x");
    assert_eq!(heard, Some(Outcome::Dropped(DropReason::PeerDenied)));
    assert_eq!(
        alice.permit(&mut world, &[addr("8.8.8.8:53")]).code,
        403,
        "nothing outside the call"
    );
}

#[test]
fn debug_output_shows_no_client_address() {
    let alice = World::new().client("x");
    let shown = format!("{:?}", alice.at);
    assert!(!shown.contains("24.0.0"), "{shown}");
    let _: FiveTuple = alice.at;
}
