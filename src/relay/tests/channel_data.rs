//! ChannelData (RFC 8656 sections 12.4 to 12.7): the short form, in both directions.

use std::net::SocketAddr;

use super::client::{Client, channel_data};
use super::traffic::{
    Heard, OTHER4, PEER4, PEER6, SIZES, caller, dual_caller, heard_by, peer_sends, to_peer,
};
use super::world::{Outcome, World, addr};
use crate::relay::{DropReason, Transport};

const MALFORMED: Outcome = Outcome::Dropped(DropReason::Malformed);
const NO_CHANNEL: Outcome = Outcome::Dropped(DropReason::NoChannel);

fn bound() -> (World, Client, SocketAddr) {
    let (mut world, mut alice, relayed) = caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    (world, alice, relayed)
}

/// Bytes that differ from their neighbours, so that a shift or a cut shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

// CD-01, CD-03, SD-09
#[test]
fn data_of_every_size_is_relayed_without_its_padding() {
    let (mut world, alice, relayed) = bound();

    for size in SIZES {
        let data = pattern(size);
        let mut frame = channel_data(0x4000, &data);
        for padding in 0..4 {
            let sent = world.send(&alice.at, &frame);
            assert_eq!(
                sent,
                to_peer(relayed, PEER4, &data),
                "{size} bytes and {padding}"
            );
            frame.push(0xEE);
        }
    }
}

// CD-01, CD-02, CD-03, CD-04
#[test]
fn the_length_that_is_claimed_decides_what_is_data() {
    let (mut world, alice, relayed) = bound();
    let mut send = |bytes: &[u8]| world.send(&alice.at, bytes);

    let longer = [0x40, 0, 0, 4, 1, 2, 3, 4, 0xAA, 0xBB, 0xCC, 0xDD];
    assert_eq!(send(&longer), to_peer(relayed, PEER4, &[1, 2, 3, 4]));
    assert_eq!(send(&[0x40, 0, 0, 0]), to_peer(relayed, PEER4, b""));
    for shorter in [
        &[0x40, 0, 0, 1][..],
        &[0x40, 0, 0, 4, 1, 2, 3],
        &[0x40, 0, 0xFF, 0xFF, 1],
        &[0x40, 0, 0],
        &[0x40],
    ] {
        assert_eq!(send(shorter), MALFORMED, "{shorter:?}");
    }
}

// CD-04
#[test]
fn numbers_beyond_the_channels_are_dropped() {
    let (mut world, alice, _) = bound();

    for first in [0x50, 0x5F, 0x60, 0x7F_u8] {
        let sent = world.send(&alice.at, &[first, 0, 0, 4, 1, 2, 3, 4]);
        assert_eq!(sent, NO_CHANNEL, "{first:x}");
    }
    assert_eq!(alice.send_on(&mut world, 0x4001, b"x"), NO_CHANNEL);
    assert_eq!(alice.send_on(&mut world, 0x4FFF, b"x"), NO_CHANNEL);
}

// CD-04
#[test]
fn a_channel_is_of_no_use_to_another_client() {
    let (mut world, _, _) = bound();
    let stranger = world.client("alice");
    let mut neighbour = world.client("alice");
    neighbour.allocate(&mut world);

    let sent = stranger.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoAllocation));
    assert_eq!(neighbour.send_on(&mut world, 0x4000, b"x"), NO_CHANNEL);
}

// CD-06, SD-09
#[test]
fn data_of_every_size_reaches_a_datagram_client_unpadded_and_a_stream_client_padded_with_zeros() {
    for transport in [
        Transport::Udp,
        Transport::Dtls,
        Transport::Tcp,
        Transport::Tls,
    ] {
        let mut world = World::new();
        let mut alice = world.client("alice");
        alice.at.link.transport = transport;
        let relayed = alice.allocate(&mut world);
        assert_eq!(alice.bind(&mut world, 0x4321, addr(PEER4)).code, 0);

        for size in SIZES {
            let data = pattern(size);
            let came = peer_sends(&mut world, PEER4, relayed, &data);
            if !transport.is_stream() && size == 65_507 {
                let whole = Outcome::Dropped(DropReason::TooLarge);
                assert_eq!(came, whole, "no datagram holds that and a header");
            } else {
                let expected = Heard::OnChannel(0x4321, data);
                assert_eq!(heard_by(&alice, came), expected, "{size} bytes");
            }
        }
    }
}

// SD-09
#[test]
fn the_largest_datagram_with_a_header_is_relayed() {
    let (mut world, alice, relayed) = bound();
    let data = pattern(65_503);

    let came = peer_sends(&mut world, PEER4, relayed, &data);
    assert_eq!(heard_by(&alice, came), Heard::OnChannel(0x4000, data));

    let came = peer_sends(&mut world, PEER4, relayed, &pattern(65_504));
    assert_eq!(came, Outcome::Dropped(DropReason::TooLarge));
}

// CD-07
#[test]
fn a_frame_that_no_datagram_holds_is_dropped_whole() {
    let (mut world, alice, _) = bound();

    for size in [65_508, 65_535] {
        let sent = alice.send_on(&mut world, 0x4000, &pattern(size));
        assert_eq!(sent, Outcome::Dropped(DropReason::TooLarge), "{size}");
    }
    assert_eq!(world.counters(0).to_peers.packets.value(), 0);
}

// CD-09
#[test]
fn data_before_its_channel_is_dropped_and_after_it_relayed() {
    let (mut world, mut alice, relayed) = caller();

    assert_eq!(alice.send_on(&mut world, 0x4000, b"early"), NO_CHANNEL);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    let sent = alice.send_on(&mut world, 0x4000, b"later");

    assert_eq!(sent, to_peer(relayed, PEER4, b"later"));
}

#[test]
fn each_channel_leaves_from_the_relayed_address_of_its_peers_family() {
    let (mut world, mut alice, [v4, v6]) = dual_caller();
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER4)).code, 0);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER6)).code, 0);

    let sent = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, to_peer(v4, PEER4, b"x"));
    let sent = alice.send_on(&mut world, 0x4001, b"x");
    assert_eq!(sent, to_peer(v6, PEER6, b"x"));
}

// SD-13
#[test]
fn packets_and_bytes_are_counted_without_their_headers_and_drops_by_reason() {
    let (mut world, mut alice, relayed) = bound();
    assert_eq!(alice.permit(&mut world, &[addr(OTHER4)]).code, 0);
    let drops =
        |world: &World, reason: DropReason| world.counters(0).drops[reason as usize].value();

    let _ = alice.send_on(&mut world, 0x4000, &[1; 100]);
    let _ = alice.send(&mut world, addr(OTHER4), &[1; 7]);
    let _ = peer_sends(&mut world, PEER4, relayed, &[1; 50]);
    let _ = peer_sends(&mut world, OTHER4, relayed, &[1; 3]);
    let _ = peer_sends(&mut world, OTHER4, relayed, b"");
    let _ = peer_sends(&mut world, "24.9.9.9:1", relayed, b"lost");
    let _ = alice.send_on(&mut world, 0x4001, b"lost");

    let counters = world.counters(0);
    let counted =
        |traffic: &crate::relay::Traffic| (traffic.packets.value(), traffic.bytes.value());
    assert_eq!(counted(&counters.to_peers), (2, 107));
    assert_eq!(counted(&counters.to_clients), (3, 53));
    assert_eq!(drops(&world, DropReason::NoPermission), 1);
    assert_eq!(drops(&world, DropReason::NoChannel), 1);
}
