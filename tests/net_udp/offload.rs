//! Segmentation offload: merged on the way out, merged on the way in, and the same to whoever looks.

use std::collections::HashMap;

use proptest::prelude::*;
use veilturn::net::{Batch, Envelope, HEADROOM, Offload, TAILROOM, UdpSocket};

use crate::support::*;

const GSO: Offload = Offload {
    gso: true,
    gro: false,
};
const GRO: Offload = Offload {
    gso: false,
    gro: true,
};

#[test]
fn a_run_of_equal_datagrams_leaves_and_arrives_as_one_message() {
    let Some([receiver, sender]) = pair("127.0.0.1:0", GRO, GSO) else {
        return;
    };
    let payloads: Vec<_> = (0..10).map(|index| vec![index; 1200]).collect();

    assert_eq!(send_all(&sender, &receiver, &payloads), 1);

    wait(&receiver);
    let mut batch = Batch::<()>::new(64);
    assert_eq!(batch.receive(&receiver, 64).unwrap().messages, 1);
    assert_eq!(datagrams(&mut batch), payloads);
}

#[test]
fn runs_of_any_shape_arrive_as_they_were() {
    let shapes: [&[usize]; 9] = [
        &[1200, 1200, 1200, 100],
        &[100, 1200],
        &[1200, 100, 1200, 100],
        &[500, 500, 0, 500, 500],
        &[0, 0, 0],
        &[1; 200],
        &[1200; 130],
        &[32_000, 32_000, 32_000],
        &[65_507, 65_507],
    ];
    for at in LOOPBACKS {
        for receiving in [Offload::NONE, GRO] {
            let Some([receiver, sender]) = pair(at, receiving, GSO) else {
                return;
            };
            for shape in shapes {
                let payloads: Vec<_> = (0u8..)
                    .zip(shape)
                    .map(|(index, &len)| vec![index; len])
                    .collect();

                let calls = send_all(&sender, &receiver, &payloads);

                // As many as messages need that the kernel does not refuse.
                assert_eq!(calls, shape.len().div_ceil(64 * 64) as u64, "{shape:?}");
                assert_eq!(receive(&receiver, payloads.len()), payloads);
            }
        }
    }
}

#[test]
fn different_destinations_do_not_share_a_message() {
    let Some([first, sender]) = pair("127.0.0.1:0", Offload::NONE, GSO) else {
        return;
    };
    let second = relay("127.0.0.1:0");
    let mut batch = Batch::new(1);
    for receiver in [&first, &first, &second, &second, &first] {
        batch.send_copy(to(receiver.local_addr()), &[1; 100]);
    }

    let report = batch.flush(|()| Some(&sender));

    assert_eq!((report.sent, report.dropped()), (5, 0));
    assert_eq!(receive(&first, 3).len(), 3);
    assert_eq!(receive(&second, 2).len(), 2);
}

#[test]
fn headers_and_padding_go_around_each_datagram_of_a_train() {
    for at in LOOPBACKS {
        for (header, padding) in [(4, 0), (HEADROOM, TAILROOM), (36, 3), (0, 1), (0, 0)] {
            let Some([inlet, sender]) = pair(at, GRO, GSO) else {
                return;
            };
            let receiver = relay(at);
            let payloads: Vec<_> = (1..=20)
                .map(|index| vec![index; if index == 20 { 3 } else { 171 }])
                .collect();
            send_all(&sender, &inlet, &payloads);
            wait(&inlet);
            let mut batch = Batch::new(64);
            assert_eq!(batch.receive(&inlet, 64).unwrap().messages, 1);

            while let Some(datagram) = batch.next_datagram(|_| false) {
                let end = datagram.start + datagram.len;
                let span = datagram.start - header..end + padding;
                datagram.buffer[span.start..datagram.start].fill(0xAA);
                datagram.buffer[end..span.end].fill(0xBB);
                batch.send(to(receiver.local_addr()), span);
            }
            let report = batch.flush(|()| Some(&sender));

            assert_eq!((report.sent, report.dropped(), report.calls), (20, 0, 1));
            let expected: Vec<_> = payloads
                .iter()
                .map(|payload| [&vec![0xAA; header][..], payload, &vec![0xBB; padding]].concat())
                .collect();
            assert_eq!(receive(&receiver, 20), expected, "{header} {padding}");
        }
    }
}

#[test]
fn the_header_of_each_datagram_of_a_train_can_be_cut_off() {
    let Some([inlet, sender]) = pair("127.0.0.1:0", GRO, GSO) else {
        return;
    };
    let receiver = relay("127.0.0.1:0");
    let payloads: Vec<_> = (1..=20).map(|index| vec![index; 1204]).collect();
    send_all(&sender, &inlet, &payloads);
    wait(&inlet);
    let mut batch = Batch::new(64);
    batch.receive(&inlet, 64).unwrap();

    while let Some(datagram) = batch.next_datagram(|_| false) {
        let span = datagram.start + 4..datagram.start + datagram.len;
        batch.send(to(receiver.local_addr()), span);
    }
    let report = batch.flush(|()| Some(&sender));

    assert_eq!((report.sent, report.calls), (20, 1));
    let expected: Vec<_> = (1..=20).map(|index| vec![index; 1200]).collect();
    assert_eq!(receive(&receiver, 20), expected);
}

#[test]
fn an_answer_may_be_longer_than_the_request_it_replaces() {
    let Some([inlet, sender]) = pair("127.0.0.1:0", GRO, GSO) else {
        return;
    };
    let receiver = relay("127.0.0.1:0");
    // Every other one is answered, the others pass.
    let payloads: Vec<_> = (0..20).map(|index| vec![index; 40]).collect();
    send_all(&sender, &inlet, &payloads);
    wait(&inlet);
    let mut batch = Batch::new(64);
    batch.receive(&inlet, 64).unwrap();
    let is_request = |bytes: &[u8]| bytes[0] % 2 == 1;

    while let Some(datagram) = batch.next_datagram(is_request) {
        let span = if is_request(datagram.bytes()) {
            let number = datagram.bytes()[0];
            datagram.buffer[..1280].fill(number);
            0..1280
        } else {
            datagram.start..datagram.start + datagram.len
        };
        batch.send(to(receiver.local_addr()), span);
    }
    let report = batch.flush(|()| Some(&sender));

    assert_eq!(report.dropped(), 0);
    let expected: Vec<_> = (0..20u8)
        .map(|index| vec![index; if index % 2 == 1 { 1280 } else { 40 }])
        .collect();
    assert_eq!(receive(&receiver, 20), expected);
}

#[test]
fn an_answer_from_a_wildcard_listener_keeps_its_source_when_merged() {
    if !Offload::probe().gso {
        return;
    }
    let socket = UdpSocket::listen(addr("0.0.0.0:0"), &with(GSO)).unwrap();
    let client = peer("127.0.0.1:0");
    let mut batch = Batch::new(1);
    for source in ["127.0.0.5", "127.0.0.5", "127.0.0.6", "127.0.0.6"] {
        let envelope = Envelope {
            source: Some(source.parse().unwrap()),
            ..to(client.local_addr().unwrap())
        };
        batch.send_copy(envelope, b"answer");
    }

    assert_eq!(batch.flush(|()| Some(&socket)).sent, 4);

    let mut sources = Vec::new();
    for _ in 0..4 {
        sources.push(client.recv_from(&mut [0; 16]).unwrap().1.ip().to_string());
    }
    assert_eq!(
        sources,
        ["127.0.0.5", "127.0.0.5", "127.0.0.6", "127.0.0.6"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_mix_of_flows_arrives_whole_and_in_order(
        datagrams in prop::collection::vec((0..2usize, 0..2usize, size()), 1..150),
        gso in any::<bool>(),
        gro in any::<bool>(),
    ) {
        let probed = Offload::probe();
        let sending = with(Offload { gso: gso && probed.gso, gro: false });
        let receiving = with(Offload { gso: false, gro: gro && probed.gro });
        let open = |options| UdpSocket::relay(addr("127.0.0.1:0"), options).unwrap();
        let senders = [open(&sending), open(&sending)];
        let receivers = [open(&receiving), open(&receiving)];
        let mut batch = Batch::new(1);
        let mut expected: HashMap<_, Vec<Vec<u8>>> = HashMap::new();
        for (index, (from, into, len)) in datagrams.into_iter().enumerate() {
            let payload = vec![index.to_le_bytes()[0]; len];
            let envelope = Envelope {
                socket: from,
                to: receivers[into].local_addr(),
                source: None,
                dont_fragment: false,
            };
            batch.send_copy(envelope, &payload);
            expected.entry((senders[from].local_addr(), into)).or_default().push(payload);
        }

        prop_assert_eq!(batch.flush(|key: usize| senders.get(key)).dropped(), 0);

        for (into, receiver) in receivers.iter().enumerate() {
            let mut batch = Batch::<()>::new(64);
            while expected.keys().any(|flow| flow.1 == into) {
                wait(receiver);
                batch.receive(receiver, 64).unwrap();
                while let Some(datagram) = batch.next_datagram(|_| false) {
                    let flow = (datagram.from, into);
                    let list = expected.get_mut(&flow).expect("a datagram that was sent");
                    prop_assert_eq!(datagram.bytes(), list.remove(0));
                    if list.is_empty() {
                        expected.remove(&flow);
                    }
                }
                let _nothing = batch.flush(|()| None);
            }
        }
    }
}

/// Few sizes, so that runs come up.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        5 => Just(160),
        3 => Just(172),
        1 => Just(0),
        1 => 0..1500usize,
    ]
}

/// A receiver and a sender; `None` where this kernel cannot do what the test is about.
fn pair(at: &str, receiving: Offload, sending: Offload) -> Option<[UdpSocket; 2]> {
    if Offload::probe()
        != (Offload {
            gso: true,
            gro: true,
        })
    {
        return None;
    }
    let open = |offload| UdpSocket::relay(addr(at), &with(offload)).expect("a relay socket");
    Some([open(receiving), open(sending)])
}

/// Sends all `payloads`; returns in how many calls.
fn send_all(sender: &UdpSocket, receiver: &UdpSocket, payloads: &[Vec<u8>]) -> u64 {
    let mut batch = Batch::new(1);
    for payload in payloads {
        batch.send_copy(to(receiver.local_addr()), payload);
    }
    let report = batch.flush(|()| Some(sender));
    assert_eq!((report.sent, report.dropped()), (payloads.len() as u64, 0));
    report.calls
}

/// The datagrams that wait in `batch`.
fn datagrams(batch: &mut Batch<()>) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while let Some(datagram) = batch.next_datagram(|_| false) {
        payloads.push(datagram.bytes().to_vec());
    }
    payloads
}
