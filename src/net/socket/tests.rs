//! What sockets send with, seen by a receiver that asks the kernel for everything.

use std::time::Duration;

use super::super::batch::{Batch, Envelope};
use super::super::sys::Landing;
use super::*;

const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

const PLAIN: SocketOptions = SocketOptions {
    recv_buffer: 1 << 18,
    send_buffer: 1 << 18,
    offload: Offload::NONE,
};

/// A socket that neither of the constructors has touched.
fn receiver(at: &str, wanted: &[(i32, i32)]) -> Socket {
    let addr: SocketAddr = at.parse().unwrap();
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&addr.into()).unwrap();
    for &option in wanted {
        sys::set_option(socket.as_fd(), option, 1).unwrap();
    }
    socket
}

/// What travelled beside one datagram that `sender` sends to `receiver`.
fn beside(sender: &UdpSocket, receiver: &Socket) -> Vec<((i32, i32), Vec<u8>)> {
    let mut batch = Batch::new(1);
    let envelope = Envelope {
        socket: (),
        to: receiver.local_addr().unwrap().as_socket().unwrap(),
        source: None,
        dont_fragment: false,
    };
    batch.send_copy(envelope, b"x");
    assert_eq!(batch.flush(|()| Some(sender)).sent, 1);
    assert!(sys::wait_readable(receiver.as_fd(), Duration::from_secs(10)).unwrap());
    let mut landing = [Landing::EMPTY];
    let mut buffer = [0u8; 16];
    let rooms = std::iter::once(buffer.as_mut_slice());
    assert_eq!(
        sys::recv_many(receiver.as_fd(), rooms, &mut landing).unwrap(),
        1
    );
    assert!(!landing[0].is_truncated());
    landing[0]
        .messages()
        .map(|(id, value)| (id, value.to_vec()))
        .collect()
}

#[test]
fn every_socket_sends_with_the_same_ttl_and_no_marks() {
    let v4 = [
        (libc::IPPROTO_IP, libc::IP_RECVTTL),
        (libc::IPPROTO_IP, libc::IP_RECVTOS),
    ];
    let v6 = [
        (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT),
        (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    ];
    let expected_v4 = vec![
        ((libc::IPPROTO_IP, libc::IP_TTL), 64i32.to_ne_bytes().into()),
        ((libc::IPPROTO_IP, libc::IP_TOS), vec![0]),
    ];
    let expected_v6 = vec![
        (
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
            64i32.to_ne_bytes().into(),
        ),
        (
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            0i32.to_ne_bytes().into(),
        ),
    ];
    for (at, wanted, expected) in [
        (LOOPBACKS[0], v4, expected_v4),
        (LOOPBACKS[1], v6, expected_v6),
    ] {
        let receiver = receiver(at, &wanted);
        let addr = at.parse().unwrap();
        for sender in [
            UdpSocket::relay(addr, &PLAIN).unwrap(),
            UdpSocket::listen(addr, &PLAIN).unwrap(),
        ] {
            assert_eq!(beside(&sender, &receiver), expected);
        }
    }
}

#[test]
fn no_flow_label_tells_flows_apart() {
    let receiver = receiver(LOOPBACKS[1], &[(libc::IPPROTO_IPV6, IPV6_FLOWINFO)]);
    let addr = LOOPBACKS[1].parse().unwrap();
    for sender in [
        UdpSocket::relay(addr, &PLAIN).unwrap(),
        UdpSocket::listen(addr, &PLAIN).unwrap(),
    ] {
        // The kernel mentions a flow label only where there is one.
        assert_eq!(beside(&sender, &receiver), []);
    }
    let auto_flow_label = (libc::IPPROTO_IPV6, libc::IPV6_AUTOFLOWLABEL);
    let labelled = UdpSocket::relay(addr, &PLAIN).unwrap();
    sys::set_option(labelled.as_fd(), auto_flow_label, 1).unwrap();
    assert_eq!(beside(&labelled, &receiver).len(), 1);
}

#[test]
fn a_message_that_lost_its_side_information_is_not_handed_out() {
    let socket = UdpSocket::listen("0.0.0.0:0".parse().unwrap(), &PLAIN).unwrap();
    for option in [libc::IP_RECVTTL, libc::IP_RECVTOS] {
        sys::set_option(socket.as_fd(), (libc::IPPROTO_IP, option), 1).unwrap();
    }
    let peer = std::net::UdpSocket::bind(LOOPBACKS[0]).unwrap();
    let target = ("127.0.0.1", socket.local_addr().port());
    peer.send_to(b"x", target).unwrap();
    assert!(sys::wait_readable(socket.as_fd(), Duration::from_secs(10)).unwrap());
    let mut batch = Batch::<()>::new(2);

    let received = batch.receive(&socket, 2).unwrap();

    assert_eq!((received.messages, received.truncated), (1, 1));
    assert!(batch.next_datagram(|_| false).is_none());
    let _nothing = batch.flush(|()| None);
    assert!(!batch.is_full());
}

#[test]
fn every_errno_has_its_cause() {
    let cause = |errno| BindError::from(io::Error::from_raw_os_error(errno));

    assert!(matches!(cause(libc::EADDRINUSE), BindError::PortTaken));
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        assert!(matches!(cause(errno), BindError::Exhausted(_)));
    }
    assert!(matches!(
        cause(libc::EADDRNOTAVAIL),
        BindError::NoSuchAddress
    ));
    assert!(matches!(cause(libc::EACCES), BindError::Denied));
    assert!(matches!(cause(libc::EINVAL), BindError::Other(_)));
}

/// `IPV6_FLOWINFO` of `linux/in6.h`.
const IPV6_FLOWINFO: i32 = 11;
