//! ICMP errors: they reach the error queue with the peer they are about, and disturb nothing else.

use veilturn::net::{Batch, IcmpError, Peer, QueuedError, UdpSocket};

use crate::support::*;

#[test]
fn a_closed_port_is_reported_with_its_address() {
    for (at, kind, code) in [(LOOPBACKS[0], 3, 3), (LOOPBACKS[1], 1, 4)] {
        let socket = relay(at);
        let nobody = nobody(at);
        send(&socket, to(local(&nobody)), b"x");

        assert!(wait(&socket).error);
        let expected = IcmpError {
            peer: Peer(local(&nobody)),
            kind,
            code,
            mtu: 0,
        };
        assert_eq!(socket.next_error(), Some(QueuedError::Icmp(expected)));
        assert_eq!(socket.next_error(), None);
    }
}

#[test]
fn every_closed_port_is_reported_for_itself() {
    for at in LOOPBACKS {
        let socket = relay(at);
        let nobodies = [(); 5].map(|()| nobody(at));
        for nobody in &nobodies {
            send(&socket, to(local(nobody)), b"x");
        }

        let mut peers = Vec::new();
        while peers.len() < nobodies.len() {
            wait(&socket);
            while let Some(error) = socket.next_error() {
                let QueuedError::Icmp(icmp) = error else {
                    panic!("an ICMP error, not {error:?}");
                };
                peers.push(icmp.peer.0);
            }
        }

        assert_eq!(peers, nobodies.each_ref().map(local));
    }
}

#[test]
fn a_pending_error_costs_other_peers_nothing() {
    for at in LOOPBACKS {
        let socket = relay(at);
        let receiver = relay(at);
        let nobody = nobody(at);
        let mut batch = Batch::new(1);
        for _ in 0..20 {
            batch.send_copy(to(local(&nobody)), b"lost");
            batch.send_copy(to(receiver.local_addr()), b"arrives");
        }

        let report = batch.flush(|()| Some(&socket));

        assert_eq!((report.sent, report.dropped()), (40, 0));
        assert_eq!(receive(&receiver, 20), vec![b"arrives".to_vec(); 20]);
    }
}

#[test]
fn a_pending_error_does_not_hide_what_arrived() {
    for at in LOOPBACKS {
        let socket = relay(at);
        let other = relay(at);
        send(&other, to(socket.local_addr()), b"arrived");
        let nobody = nobody(at);
        send(&socket, to(local(&nobody)), b"x");
        while !wait(&socket).error {}
        let mut batch = Batch::<()>::new(4);

        let received = batch.receive(&socket, 4).unwrap();

        assert_eq!(received.messages, 1);
        assert_eq!(batch.next_datagram(|_| false).unwrap().bytes(), b"arrived");
    }
}

#[test]
fn a_drained_queue_is_no_longer_reported() {
    for at in LOOPBACKS {
        let socket = relay(at);
        let nobody = nobody(at);
        send(&socket, to(local(&nobody)), b"x");
        while !wait(&socket).error {}

        while socket.next_error().is_some() {}

        let other = relay(at);
        send(&other, to(socket.local_addr()), b"x");
        assert!(!wait(&socket).error);
    }
}

#[test]
fn an_error_that_found_no_room_is_not_reported_for_ever() {
    for at in LOOPBACKS {
        let mut options = PLAIN;
        options.recv_buffer = 4096;
        let socket = UdpSocket::relay(addr(at), &options).unwrap();
        let other = relay(at);
        for _ in 0..50 {
            send(&other, to(socket.local_addr()), b"");
        }
        let nobody = nobody(at);
        send(&socket, to(local(&nobody)), b"x");
        while !wait(&socket).error {}

        assert_eq!(socket.next_error(), None);

        let event = wait(&socket);
        assert!(event.readable && !event.error);
    }
}

#[test]
fn a_listener_hears_of_no_error() {
    for at in LOOPBACKS {
        let socket = listener(at);
        let other = relay(at);
        let nobody = nobody(at);
        send(&socket, to(local(&nobody)), b"x");
        send(&other, to(socket.local_addr()), b"x");

        let event = wait(&socket);

        assert!(event.readable && !event.error);
    }
}
