//! Listeners: shared ports, the address that an answer leaves from, one family each.

use std::net::{IpAddr, UdpSocket as Peer};

use veilturn::net::{Batch, BindError, Envelope, Offload, SocketOptions, UdpSocket};

use crate::support::*;

#[test]
fn an_answer_leaves_from_the_address_that_the_request_hit() {
    let cases = [
        ("0.0.0.0:0", "127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1:0", "127.0.0.7"),
        ("0.0.0.0:0", "127.0.0.3:0", "127.9.9.9"),
        ("[::]:0", "[::1]:0", "::1"),
    ];
    for (bound, from, hit) in cases {
        let socket = listener(bound);
        let hit: IpAddr = hit.parse().unwrap();
        let target = (hit, socket.local_addr().port());
        let client = peer(from);
        client.send_to(b"request", target).unwrap();

        assert_eq!(answer(&socket), hit);
        let mut buffer = [0; 16];
        let (len, source) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"request");
        assert_eq!(source, target.into());
    }
}

#[test]
fn what_finds_no_room_in_the_receive_buffer_is_counted() {
    let socket = UdpSocket::listen(
        "127.0.0.1:0".parse().unwrap(),
        &SocketOptions {
            recv_buffer: 4096,
            send_buffer: 4096,
            offload: Offload::NONE,
        },
    )
    .unwrap();
    assert_eq!(socket.receive_drops().unwrap(), 0);
    let client = peer("127.0.0.1:0");

    for _ in 0..64 {
        client.send_to(&[0; 1000], socket.local_addr()).unwrap();
    }

    let dropped = socket.receive_drops().unwrap();
    assert!((32..64).contains(&dropped), "{dropped} of 64 were dropped");
}

#[test]
fn a_concrete_listener_tells_its_own_address() {
    for at in LOOPBACKS {
        let socket = listener(at);
        peer(at).send_to(b"request", socket.local_addr()).unwrap();

        assert_eq!(answer(&socket), socket.local_addr().ip());
    }
}

#[test]
fn an_ipv4_client_is_seen_as_ipv4() {
    let socket = listener("0.0.0.0:0");
    let client = peer("127.0.0.1:0");
    client
        .send_to(b"x", ("127.0.0.1", socket.local_addr().port()))
        .unwrap();
    wait(&socket);
    let mut batch = Batch::<()>::new(1);

    batch.receive(&socket, 1).unwrap();

    let datagram = batch.next_datagram(|_| false).unwrap();
    assert_eq!(datagram.from, client.local_addr().unwrap());
}

#[test]
fn an_ipv6_wildcard_leaves_the_port_free_for_ipv4() {
    let v6 = listener("[::]:0");
    let port = v6.local_addr().port();

    let v4 = UdpSocket::relay(addr(&format!("0.0.0.0:{port}")), &PLAIN);

    assert!(v4.is_ok());
}

#[test]
fn workers_share_a_port_and_a_client_keeps_its_worker() {
    for at in LOOPBACKS {
        let first = listener(at);
        let second = UdpSocket::listen(first.local_addr(), &PLAIN).unwrap();
        let client = peer(at);
        for _ in 0..20 {
            client.send_to(b"x", first.local_addr()).unwrap();
        }

        let counts = [count(&first), count(&second)];

        assert!(counts == [20, 0] || counts == [0, 20], "{counts:?}");
    }
}

#[test]
fn a_relay_socket_may_not_take_a_listeners_port() {
    for at in LOOPBACKS {
        let socket = listener(at);

        let relay = UdpSocket::relay(socket.local_addr(), &PLAIN);

        assert!(matches!(relay, Err(BindError::PortTaken)));
    }
}

#[test]
fn the_granted_buffers_are_told() {
    let mut options = PLAIN;
    options.recv_buffer = 65_536;
    options.send_buffer = 32_768;

    let socket = UdpSocket::listen(addr("127.0.0.1:0"), &options).unwrap();

    assert_eq!(socket.buffers().unwrap(), (65_536, 32_768));
}

/// Answers one request with its own bytes; returns the address it was sent to.
fn answer(socket: &UdpSocket) -> IpAddr {
    wait(socket);
    let mut batch = Batch::new(1);
    batch.receive(socket, 1).expect("a usable socket");
    let datagram = batch.next_datagram(|_| false).expect("a datagram");
    let hit = datagram.to;
    let envelope = Envelope {
        socket: (),
        to: datagram.from,
        source: Some(hit),
        dont_fragment: false,
    };
    let span = datagram.start..datagram.start + datagram.len;
    batch.send(envelope, span);
    assert_eq!(batch.flush(|()| Some(socket)).sent, 1);
    hit
}

/// How many datagrams wait at `socket`, after everything sent before has arrived.
fn count(socket: &UdpSocket) -> usize {
    let fence: Peer = peer("127.0.0.1:0");
    let target = fence.local_addr().expect("bound");
    fence.send_to(b"", target).expect("sent");
    recv(&fence);
    let received = Batch::<()>::new(64).receive(socket, 64);
    received.expect("a usable socket").messages
}
