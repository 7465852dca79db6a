//! Batches: sizes, order, grouping, failures of one datagram among others.

use veilturn::net::{Batch, Envelope, HEADROOM, Received};

use crate::support::*;

#[test]
fn every_size_survives() {
    for at in LOOPBACKS {
        let receiver = relay(at);
        let sender = relay(at);
        for len in [0, 1, 4, 1200, 1473, 9000, 65_507] {
            let payload = pattern(len);

            send(&sender, to(receiver.local_addr()), &payload);

            assert_eq!(receive(&receiver, 1), [payload], "{len} bytes");
        }
    }
}

#[test]
fn the_order_of_a_flow_is_kept_whatever_the_sizes() {
    for at in LOOPBACKS {
        let receivers = [relay(at), relay(at)];
        let senders = [relay(at), relay(at)];
        let mut batch = Batch::new(1);
        let payload = |index: usize| vec![index.to_le_bytes()[0]; index * 37 % 5 * 100];
        for index in 0..200 {
            let envelope = Envelope {
                socket: index % 2,
                ..envelope(receivers[index / 2 % 2].local_addr())
            };
            batch.send_copy(envelope, &payload(index));
        }

        let report = batch.flush(|key: usize| senders.get(key));

        assert_eq!((report.sent, report.dropped()), (200, 0));
        for (number, receiver) in receivers.iter().enumerate() {
            // Each sender is a flow of its own; across flows no order is promised.
            let mut got = receive(receiver, 100);
            let mut expected: Vec<_> = (0..200)
                .filter(|index| index / 2 % 2 == number)
                .map(payload)
                .collect();
            for list in [&mut got, &mut expected] {
                list.sort_by_key(|payload| payload.first().map(|byte| byte % 2));
            }
            assert_eq!(got, expected);
        }
    }
}

#[test]
fn one_call_serves_all_datagrams_of_a_socket() {
    let receivers = [relay("127.0.0.1:0"), relay("127.0.0.1:0")];
    let senders = [relay("127.0.0.1:0"), relay("127.0.0.1:0")];
    let mut batch = Batch::new(1);
    for index in 0..64 {
        let envelope = Envelope {
            socket: index % 2,
            ..envelope(receivers[index / 2 % 2].local_addr())
        };
        batch.send_copy(envelope, b"x");
    }

    let report = batch.flush(|key: usize| senders.get(key));

    assert_eq!((report.sent, report.calls), (64, 2));
}

#[test]
fn received_bytes_are_sent_with_a_header_in_front() {
    for at in LOOPBACKS {
        let (inlet, outlet, receiver) = (relay(at), relay(at), relay(at));
        let payloads = [pattern(5), pattern(0), pattern(1200)];
        for payload in &payloads {
            send(&outlet, to(inlet.local_addr()), payload);
        }
        let mut batch = Batch::new(64);
        let mut left = payloads.len();
        while left > 0 {
            wait(&inlet);
            batch.receive(&inlet, 64).unwrap();
            while let Some(datagram) = batch.next_datagram(|_| false) {
                let span = datagram.start - 4..datagram.start + datagram.len;
                datagram.buffer[span.start..datagram.start].copy_from_slice(b"HEAD");
                batch.send(to(receiver.local_addr()), span);
                left -= 1;
            }
            assert_eq!(batch.flush(|()| Some(&outlet)).dropped(), 0);
        }

        let expected = payloads.map(|payload| [b"HEAD", payload.as_slice()].concat());
        assert_eq!(receive(&receiver, 3), expected);
    }
}

#[test]
fn a_datagram_has_the_headroom_and_an_answer_fits() {
    let (socket, sender) = (relay("127.0.0.1:0"), relay("127.0.0.1:0"));
    send(&sender, to(socket.local_addr()), &pattern(65_507));
    wait(&socket);
    let mut batch = Batch::<()>::new(1);
    batch.receive(&socket, 1).unwrap();

    let datagram = batch.next_datagram(|_| false).unwrap();

    assert!(datagram.start >= HEADROOM);
    assert!(datagram.buffer.len() >= datagram.start + 65_535 + 4);
    assert_eq!(datagram.from, sender.local_addr());
    assert_eq!(datagram.to, socket.local_addr().ip());
}

#[test]
#[should_panic(expected = "span.end <= current.buffer.len()")]
fn a_span_beyond_the_buffer_is_not_sent() {
    let (socket, sender) = (relay("127.0.0.1:0"), relay("127.0.0.1:0"));
    send(&sender, to(socket.local_addr()), b"x");
    wait(&socket);
    let mut batch = Batch::new(2);
    batch.receive(&socket, 1).unwrap();
    let datagram = batch.next_datagram(|_| false).unwrap();
    let span = 0..datagram.buffer.len() + 1;

    batch.send(to(sender.local_addr()), span);
}

#[test]
fn several_sockets_fill_one_batch_until_it_is_full() {
    let sockets = [relay("127.0.0.1:0"), relay("127.0.0.1:0")];
    let sender = relay("127.0.0.1:0");
    for socket in &sockets {
        for _ in 0..3 {
            send(&sender, to(socket.local_addr()), b"x");
        }
        wait(socket);
    }
    let mut batch = Batch::<()>::new(4);

    let counts = [&sockets[0], &sockets[1]].map(|socket| {
        let received = batch.receive(socket, 3).unwrap();
        (received.messages, batch.is_full())
    });

    assert_eq!(counts, [(3, false), (1, true)]);
    assert_eq!(batch.receive(&sockets[1], 3).unwrap(), Received::default());
}

#[test]
fn a_flush_frees_the_slots_once_all_was_handed_out() {
    let (socket, sender) = (relay("127.0.0.1:0"), relay("127.0.0.1:0"));
    for payload in [b"1", b"2"] {
        send(&sender, to(socket.local_addr()), payload);
    }
    wait(&socket);
    let mut batch = Batch::<()>::new(2);
    assert_eq!(batch.receive(&socket, 2).unwrap().messages, 2);
    batch.next_datagram(|_| false).unwrap();

    let _early = batch.flush(|()| None);
    assert!(batch.is_full());
    assert_eq!(batch.next_datagram(|_| false).unwrap().bytes(), b"2");
    let _late = batch.flush(|()| None);

    assert!(!batch.is_full());
    assert!(batch.next_datagram(|_| false).is_none());
}

#[test]
fn a_share_leaves_the_rest_in_order() {
    let (socket, sender) = (relay("127.0.0.1:0"), relay("127.0.0.1:0"));
    for number in 0..10u8 {
        send(&sender, to(socket.local_addr()), &[number]);
    }
    wait(&socket);
    let mut batch = Batch::<()>::new(64);

    let mut got = Vec::new();
    while batch.receive(&socket, 3).unwrap().messages > 0 {
        while let Some(datagram) = batch.next_datagram(|_| false) {
            got.extend_from_slice(datagram.bytes());
        }
    }

    assert_eq!(got, (0..10).collect::<Vec<u8>>());
}

#[test]
fn an_impossible_datagram_does_not_harm_its_neighbours() {
    let receiver = relay("127.0.0.1:0");
    let sender = relay("127.0.0.1:0");
    let mut batch = Batch::new(1);
    batch.send_copy(to(receiver.local_addr()), b"first");
    batch.send_copy(to(receiver.local_addr()), &pattern(65_508));
    batch.send_copy(to(addr("[::1]:9")), b"wrong family");
    batch.send_copy(to(receiver.local_addr()), b"last");

    let report = batch.flush(|()| Some(&sender));

    assert_eq!((report.sent, report.too_big, report.other), (2, 1, 1));
    assert_eq!(receive(&receiver, 2), [b"first".to_vec(), b"last".to_vec()]);
}

#[test]
fn a_socket_that_is_gone_costs_its_own_datagrams_only() {
    let receiver = relay("127.0.0.1:0");
    let sender = relay("127.0.0.1:0");
    let mut batch = Batch::new(1);
    for key in [1, 0, 1] {
        let envelope = Envelope {
            socket: key,
            ..envelope(receiver.local_addr())
        };
        batch.send_copy(envelope, b"x");
    }

    let report = batch.flush(|key: usize| (key == 0).then_some(&sender));

    assert_eq!((report.sent, report.no_socket), (1, 2));
}

#[test]
fn more_than_a_batch_takes_is_dropped_and_counted() {
    let receiver = relay("127.0.0.1:0");
    let sender = relay("127.0.0.1:0");
    let mut batch = Batch::new(1);
    for _ in 0..20 {
        batch.send_copy(to(receiver.local_addr()), &pattern(60_000));
    }

    let report = batch.flush(|()| Some(&sender));

    // A mebibyte holds seventeen of them.
    assert_eq!(report.overflow, 3);
}

/// Sends from whichever socket is filled in.
fn envelope(to: std::net::SocketAddr) -> Envelope<usize> {
    Envelope {
        socket: 0,
        to,
        source: None,
        dont_fragment: false,
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251).to_le_bytes()[0]).collect()
}
