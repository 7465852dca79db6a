//! Failures of a send and what is done about them.

use std::time::Duration;

use super::super::batch::Batch;
use super::super::offload::Offload;
use super::super::socket::SocketOptions;
use super::*;

fn relay() -> UdpSocket {
    let options = SocketOptions {
        recv_buffer: 1 << 18,
        send_buffer: 1 << 18,
        offload: Offload {
            gso: true,
            gro: false,
        },
    };
    UdpSocket::relay("127.0.0.1:0".parse().unwrap(), &options).unwrap()
}

fn envelope(to: &UdpSocket) -> Envelope<()> {
    Envelope {
        socket: (),
        to: to.local_addr(),
        source: None,
        dont_fragment: false,
    }
}

#[test]
fn a_message_that_cannot_be_cut_leaves_as_single_datagrams() {
    let (sender, receiver) = (relay(), relay());
    // The kernel refuses to cut what has no checksum.
    let no_checksum = (libc::SOL_SOCKET, libc::SO_NO_CHECK);
    sys::set_option(sender.as_fd(), no_checksum, 1).unwrap();
    let payloads: Vec<_> = (0..100u8).map(|index| vec![index; 700]).collect();
    let mut batch = Batch::new(64);
    for payload in &payloads {
        batch.send_copy(envelope(&receiver), payload);
    }

    let report = batch.flush(|()| Some(&sender));

    assert_eq!((report.sent, report.dropped()), (100, 0));
    // Two runs, each refused once and then sent.
    assert_eq!(report.calls, 4);
    assert!(sender.gso());
    let mut received = Vec::new();
    while received.len() < payloads.len() {
        assert!(sys::wait_readable(receiver.as_fd(), Duration::from_secs(10)).unwrap());
        batch.receive(&receiver, 64).unwrap();
        while let Some(datagram) = batch.next_datagram(|_| false) {
            received.push(datagram.bytes().to_vec());
        }
        let _nothing = batch.flush(|()| None);
    }
    assert_eq!(received, payloads);
}

#[test]
fn every_failure_has_its_remedy() {
    let socket = relay();
    let mut outbox = Outbox::new(1);
    outbox.push(envelope(&socket), Content::Copy(b"x"));
    let mut plan = Plan {
        order: vec![0],
        ..Plan::default()
    };
    let transmission = Transmission {
        socket: &socket,
        entries: &outbox.entries,
        received: &[],
        copies: &outbox.copies,
        plan: &mut plan,
        report: &mut SendReport::default(),
        position: 0,
        singly_until: 0,
    };
    let after = |errno, segmented, retried| {
        let error = io::Error::from_raw_os_error(errno);
        match transmission.remedy(&error, segmented, retried) {
            Remedy::Retry => "retry".to_owned(),
            Remedy::SendSingly => "singly".to_owned(),
            Remedy::Stop => "stop".to_owned(),
            Remedy::Skip(counter) => {
                let mut report = SendReport::default();
                *counter(&mut report) += 1;
                format!("{report:?}")
            }
        }
    };
    let counted = |name: &str| {
        format!("{:?}", SendReport::default()).replace(&format!("{name}: 0"), &format!("{name}: 1"))
    };

    assert_eq!(after(libc::EINTR, false, true), "retry");
    assert_eq!(after(libc::EAGAIN, false, false), "stop");
    for errno in [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ENETUNREACH] {
        assert_eq!(after(errno, false, false), "retry");
        assert_eq!(after(errno, false, true), counted("unreachable"));
    }
    assert_eq!(after(libc::EMSGSIZE, false, false), "retry");
    assert_eq!(after(libc::EMSGSIZE, false, true), counted("too_big"));
    assert_eq!(after(libc::ENOBUFS, false, false), counted("would_block"));
    assert_eq!(after(libc::EPERM, false, false), counted("other"));
    assert_eq!(after(libc::EINVAL, false, false), counted("other"));
    for errno in [libc::EINVAL, libc::EMSGSIZE] {
        assert_eq!(after(errno, true, false), "singly");
        assert!(socket.gso());
    }
    assert_eq!(after(libc::EIO, true, false), "singly");
    assert!(!socket.gso());
}
