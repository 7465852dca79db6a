//! Connections that cannot be joined.

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;

use super::*;
use crate::net::TcpListener;
use crate::relay::RelayToken;
use crate::server::streams::tests::{BINDING, OPTIONS, World};
use crate::wire;

const TOKEN: ConnectionToken = ConnectionToken {
    relay: RelayToken(7),
    id: wire::ConnectionId(7),
};

#[test]
fn a_client_whose_peer_is_gone_comes_to_a_clean_end() {
    let mut world = World::new(OPTIONS);
    let mut client = world.connect();
    client.write_all(&BINDING).unwrap();

    let inbound = asked(&mut world);
    let joined = world.streams.splice(world.now, inbound, TOKEN, b"answer");
    world.reap();

    assert_eq!(joined, None);
    assert_eq!(
        client.read(&mut [0; 8]).unwrap(),
        0,
        "no answer and no reset"
    );
    assert_eq!(world.open(), 0);
    assert_eq!(world.closed(CloseReason::Ended), 1);
}

#[test]
fn a_peer_whose_client_says_too_much_at_once_is_closed_with_it() {
    let mut world = World::new(OPTIONS);
    let mut peer = parked(&mut world);
    world.allocated = true;
    let mut client = world.connect();
    let mut said = BINDING.to_vec();
    said.extend([0x40, 0, 0xFF, 0xFF]);
    said.resize(BINDING.len() + UNREAD_MAX + 1, 0);
    client.write_all(&said).unwrap();

    let inbound = asked(&mut world);
    let joined = world.streams.splice(world.now, inbound, TOKEN, b"answer");
    world.reap();

    assert_eq!(joined, None);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert_eq!(world.open(), 0);
    assert_eq!(world.counters.peers.value(), 0);
    assert_eq!(world.streams.peers.numbers.len(), 0);
}

#[test]
fn a_joined_pair_that_is_closed_leaves_nothing() {
    let mut world = World::new(OPTIONS);
    let mut peer = parked(&mut world);
    let mut client = world.connect();
    client.write_all(&BINDING).unwrap();
    let inbound = asked(&mut world);
    let number = world.streams.splice(world.now, inbound, TOKEN, b"answer");
    let number = number.unwrap();
    let news = world
        .streams
        .serve_peer(world.now, number, Ready::BOTH, |_, _, _| Flow::Forward);
    assert_eq!(news, None);
    client.read_exact(&mut [0; 6]).unwrap();
    assert_eq!((world.open(), world.counters.peers.value()), (0, 1));

    world.streams.close_peer(TOKEN);

    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert_eq!(world.counters.peers.value(), 0);
    let late = world
        .streams
        .serve_peer(world.now, number, Ready::BOTH, |_, _, _| Flow::Forward);
    assert_eq!(late, None);
}

/// What has arrived of the only client, its first frame handed out.
fn asked(world: &mut World) -> Inbound {
    let allocated = world.allocated;
    let mut inbound = world.streams.receive(0, |_| allocated).unwrap();
    assert!(inbound.next_frame().is_some());
    inbound
}

/// A peer whose connection waits for its client.
fn parked(world: &mut World) -> StdStream {
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = TcpListener::listen(any, OPTIONS.keepalive).unwrap();
    let peer = StdStream::connect(listener.local_addr()).unwrap();
    let accepted = listener.accept().unwrap().unwrap();
    world.streams.park(TOKEN, accepted.stream);
    peer
}
