//! Sockets for the tests, and waiting for them without sleeping.

use std::net::{SocketAddr, UdpSocket as Peer};
use std::time::Duration;

use veilturn::net::{
    Batch, Envelope, Event, Events, Interest, Offload, Poller, SocketOptions, UdpSocket,
};

/// A loopback address of each family, the port left to the kernel.
pub(crate) const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// How long a test waits for what never comes before it fails.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

pub(crate) const PLAIN: SocketOptions = with(Offload::NONE);

pub(crate) const fn with(offload: Offload) -> SocketOptions {
    SocketOptions {
        recv_buffer: 1 << 20,
        send_buffer: 1 << 20,
        offload,
    }
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn listener(at: &str) -> UdpSocket {
    UdpSocket::listen(addr(at), &PLAIN).expect("a listener")
}

pub(crate) fn relay(at: &str) -> UdpSocket {
    UdpSocket::relay(addr(at), &PLAIN).expect("a relay socket")
}

/// A socket of the standard library: somebody else's end.
pub(crate) fn peer(at: &str) -> Peer {
    let peer = Peer::bind(at).expect("a peer");
    peer.set_read_timeout(Some(BOUND)).expect("a bound");
    peer
}

/// The holder of an address at which nobody is to be reached: what is not from its one partner is refused.
pub(crate) fn nobody(at: &str) -> Peer {
    let nobody = peer(at);
    let partner = (nobody.local_addr().expect("bound").ip(), 1);
    nobody.connect(partner).expect("a partner");
    nobody
}

/// Where `peer` is.
pub(crate) fn local(peer: &Peer) -> SocketAddr {
    peer.local_addr().expect("bound")
}

pub(crate) fn to(to: SocketAddr) -> Envelope<()> {
    Envelope {
        socket: (),
        to,
        source: None,
        dont_fragment: false,
    }
}

/// Sends `payload` from `socket` and expects the kernel to take it.
pub(crate) fn send(socket: &UdpSocket, envelope: Envelope<()>, payload: &[u8]) {
    let mut batch = Batch::new(1);
    batch.send_copy(envelope, payload);
    let report = batch.flush(|()| Some(socket));
    assert_eq!((report.sent, report.dropped()), (1, 0));
}

/// Waits until something happens at `socket`.
pub(crate) fn wait(socket: &UdpSocket) -> Event {
    let poller = watching([(0, socket)]);
    let mut events = Events::new(1);
    assert_eq!(poller.wait(&mut events, Some(BOUND)).expect("readiness"), 1);
    events.iter().next().expect("an event")
}

/// A poller of sockets and their tokens.
pub(crate) fn watching<'s>(sockets: impl IntoIterator<Item = (u64, &'s UdpSocket)>) -> Poller {
    let poller = Poller::new().expect("a poller");
    for (token, socket) in sockets {
        poller
            .add(socket, token, Interest::READABLE)
            .expect("added");
    }
    poller
}

/// The payload of the next datagram that `peer` receives.
pub(crate) fn recv(peer: &Peer) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let len = peer.recv(&mut buffer).expect("a datagram");
    buffer.truncate(len);
    buffer
}

/// The payloads of the next `count` datagrams at `socket`, at least.
pub(crate) fn receive(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut batch = Batch::<()>::new(64);
    let mut payloads = Vec::new();
    while payloads.len() < count {
        wait(socket);
        batch.receive(socket, 64).expect("a usable socket");
        while let Some(datagram) = batch.next_datagram(|_| false) {
            payloads.push(datagram.bytes().to_vec());
        }
        let report = batch.flush(|()| None);
        assert_eq!(report.calls, 0);
    }
    payloads
}
