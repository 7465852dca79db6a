//! TCP relays (TC, RFC 6062): clients on streams, peers that are connected to and that connect.

mod allocate;
mod bind;
mod close;
mod connect;
mod incoming;
mod limits;
mod random;
mod rates;
mod workers;

use std::net::SocketAddr;

use super::client::{Answer, Client};
use super::world::{Outcome, RELAY4, World, addr, local, options};
use crate::relay::{
    ConnectFailed, ConnectionToken, DropReason, FiveTuple, Link, Options, Transport,
};
use crate::wire::{
    AttributeType, Class, ConnectionId, Message, Method, RequestedTransport, Writer, XorPeerAddress,
};

const PEER: &str = "8.8.8.8:5000";

/// The usual options, with TCP relays.
fn with_tcp() -> Options {
    let mut options = options();
    options.tcp = true;
    options
}

fn tcp_world() -> World {
    World::with(with_tcp())
}

/// Asks for a relayed address on TCP.
fn tcp(writer: &mut Writer<'_>) {
    writer.put(&RequestedTransport::TCP).unwrap();
}

fn peer(address: &str) -> impl FnOnce(&mut Writer<'_>) {
    let peer = addr(address);
    move |writer| writer.put(&XorPeerAddress(peer)).unwrap()
}

/// A client on a stream of its own.
fn stream(world: &mut World, id: &str) -> Client {
    let mut client = world.client(id);
    client.at.link = Link {
        id: u32::from(client.at.client.reveal().port()),
        transport: Transport::Tcp,
    };
    client.learn_nonce(world);
    client
}

/// A client with a TCP relay, and where that is.
#[track_caller]
fn with_relay(world: &mut World, id: &str) -> (Client, SocketAddr) {
    let mut client = stream(world, id);
    let relayed = client.ask(world, Method::ALLOCATE, tcp).relayed();
    (client, relayed)
}

/// Another stream of a client's, under the same credential.
fn another_stream(world: &mut World, client: &Client) -> Client {
    let at = FiveTuple {
        link: Link {
            id: client.at.link.id + 10_000,
            ..client.at.link
        },
        client: crate::masked::Masked::new(SocketAddr::new(
            client.at.client.reveal().ip(),
            client.at.client.reveal().port() + 10_000,
        )),
        ..client.at
    };
    let mut another = Client {
        at,
        worker: client.worker,
        username: client.username.clone(),
        key: client.key.clone(),
        nonce: String::new(),
        last: client.last + (1 << 20),
    };
    another.learn_nonce(world);
    another
}

/// Sends a Connect request, which has to be put off; the request.
#[track_caller]
fn begin_connect(world: &mut World, client: &mut Client, to: &str) -> Vec<u8> {
    let request = client.request(Method::CONNECT, peer(to));
    let outcome = world.send_to(client.worker, &client.at, &request);
    assert_eq!(outcome, Outcome::Later);
    request
}

/// The attempt or connection between a relayed address and a peer.
#[track_caller]
fn connection(world: &World, relayed: SocketAddr, to: &str) -> ConnectionToken {
    let ends = (local(relayed), local(addr(to)));
    let mut all = world.hosts.iter().flat_map(|host| &host.connections);
    let found = all.find(|(_, found)| **found == ends);
    *found.expect("a connection between the two").0
}

/// Reports the outcome of an attempt.
fn report(
    world: &mut World,
    worker: usize,
    token: ConnectionToken,
    result: Result<(), ConnectFailed>,
) {
    if result.is_err() {
        world.hosts[worker].connections.remove(&token);
    }
    let now = world.now;
    world.relays[worker].on_connect_result(now, token, result, &mut world.hosts[worker]);
    world.assert_invariants();
}

/// Reports that a connection closed by itself.
fn report_closed(world: &mut World, worker: usize, token: ConnectionToken) {
    world.hosts[worker].connections.remove(&token);
    let now = world.now;
    world.relays[worker].on_connection_closed(now, token, &mut world.hosts[worker]);
    world.assert_invariants();
}

/// What a client was told last, and nothing else is to have been told since.
#[track_caller]
fn told(world: &mut World, client: &Client) -> Vec<u8> {
    let all = std::mem::take(&mut world.hosts[client.worker].told);
    let [(to, bytes)] = &all[..] else {
        panic!("one message, not {}", all.len())
    };
    assert_eq!(*to, client.at);
    bytes.clone()
}

/// The answer that a client was told.
#[track_caller]
fn told_answer(world: &mut World, client: &Client, request: &[u8]) -> Answer {
    Answer::of(told(world, client), request, Some(&client.key))
}

/// Connects to a peer; the connection's id.
#[track_caller]
fn connected(world: &mut World, client: &mut Client, relayed: SocketAddr, to: &str) -> u32 {
    let request = begin_connect(world, client, to);
    let token = connection(world, relayed, to);
    report(world, client.worker, token, Ok(()));
    let answer = told_answer(world, client, &request);
    assert_eq!(answer.code, 0);
    let id = only_id(&answer);
    assert_eq!(ConnectionId(id), token.id);
    id
}

/// The CONNECTION-ID of an answer.
#[track_caller]
fn only_id(answer: &Answer) -> u32 {
    let values = answer.values(AttributeType::CONNECTION_ID);
    let [value] = &values[..] else {
        panic!("{} connection ids", values.len())
    };
    u32::from_be_bytes(value.as_slice().try_into().unwrap())
}

/// Has a peer connect to a relayed address.
fn arrive(
    world: &mut World,
    relayed: SocketAddr,
    from: &str,
) -> Result<ConnectionToken, DropReason> {
    let at = local(relayed);
    let mut sockets = world.hosts.iter().enumerate();
    let found = sockets.find_map(|(worker, host)| {
        let mut listening = host.listening.values();
        let found = listening.find(|(address, _)| *address == at);
        found.map(|(_, token)| (worker, *token))
    });
    let (worker, token) = found.expect("a listening socket");
    let from = local(addr(from));
    let now = world.now;
    let outcome =
        world.relays[worker].on_peer_connection(now, token, from, &mut world.hosts[worker]);
    if let Ok(connection) = outcome {
        world.hosts[worker].add_connection(connection, at, from);
    }
    world.assert_invariants();
    outcome
}

/// Reads a ConnectionAttempt indication: id and peer, and nothing else.
#[track_caller]
fn attempt(bytes: &[u8]) -> (u32, SocketAddr) {
    let message = Message::parse(bytes).unwrap();
    assert_eq!(
        (message.class(), message.method()),
        (Class::Indication, Method::CONNECTION_ATTEMPT)
    );
    let kinds: Vec<_> = message.attributes().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        [
            AttributeType::CONNECTION_ID,
            AttributeType::XOR_PEER_ADDRESS
        ]
    );
    let ConnectionId(id) = message.get().unwrap().unwrap();
    let XorPeerAddress(peer) = message.get().unwrap().unwrap();
    (id, peer)
}

/// Asks to bind a connection; the outcome and the request.
fn try_bind(world: &mut World, client: &mut Client, id: u32) -> (Outcome, Vec<u8>) {
    let request = client.request(Method::CONNECTION_BIND, |writer| {
        writer.put(&ConnectionId(id)).unwrap();
    });
    (world.send_to(client.worker, &client.at, &request), request)
}

/// Binds a connection.
#[track_caller]
fn bind(world: &mut World, client: &mut Client, id: u32) -> ConnectionToken {
    let (outcome, request) = try_bind(world, client, id);
    let Outcome::Splice { answer, connection } = outcome else {
        panic!("not bound but {outcome:?}")
    };
    let answer = Answer::of(answer, &request, Some(&client.key));
    assert_eq!(answer.code, 0);
    assert_eq!(connection.id, ConnectionId(id));
    connection
}

/// Asks to bind a connection, which has to be refused; the code.
#[track_caller]
fn bind_refused(world: &mut World, client: &mut Client, id: u32) -> u16 {
    client.refused(world, Method::CONNECTION_BIND, |writer| {
        writer.put(&ConnectionId(id)).unwrap();
    })
}

/// A port of the relay's IPv4 address, as the world sees it.
fn at_relay(port: u16) -> String {
    format!("{RELAY4}:{port}")
}
