//! Paths on which large datagrams do not fit: a small MTU here, and a router that cannot forward.
//!
//! Loopback as it comes has neither, so these run in a network namespace of their own, where this program starts
//! itself again; on machines that do not allow that, they do not run. The network in it:
//!
//! ```text
//!   lo, MTU 1500
//!   10.1.0.1, fd00:1::1 ── MTU 1500 ── router ── MTU 1300 ── 10.2.0.2, fd00:2::2 (every port closed)
//! ```

use std::process::Command;

use veilturn::net::{Batch, Envelope, IcmpError, Offload, Peer, QueuedError, UdpSocket};

use crate::support::*;

#[test]
fn large_datagrams_on_small_paths() {
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        let itself = std::env::current_exe().expect("a test has a file");
        command.args(["-rnm", "sh", "-ec", script]).arg(itself);
        command
    };
    match namespace(NETWORK).output() {
        Ok(output) if output.status.success() => {}
        _ => return,
    }

    let run = format!("{NETWORK}\nexec \"$0\" --ignored --test-threads=1 paths::");
    let output = namespace(&run).output().unwrap();

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("8 passed"), "{text}");
}

#[test]
#[ignore = "runs in a network of its own"]
fn a_datagram_too_big_for_the_interface_is_refused_where_it_must_not_be_fragmented() {
    let (sender, receiver) = (relay("127.0.0.1:0"), relay("127.0.0.1:0"));
    let target = receiver.local_addr();
    let mut batch = Batch::new(1);
    batch.send_copy(to(target), &[1; 3000]);
    batch.send_copy(whole(to(target)), &[2; 3000]);
    batch.send_copy(whole(to(target)), &[3; 1000]);
    batch.send_copy(to(target), &[4; 3000]);

    let report = batch.flush(|()| Some(&sender));

    assert_eq!((report.sent, report.too_big, report.dropped()), (3, 1, 1));
    let expected = [vec![1; 3000], vec![3; 1000], vec![4; 3000]];
    assert_eq!(receive(&receiver, 3), expected);
    let refused = QueuedError::TooBig {
        peer: Peer((target.ip(), 0).into()),
        mtu: 1500,
    };
    assert_eq!(sender.next_error(), Some(refused));
    assert_eq!(sender.next_error(), None);
}

#[test]
#[ignore = "runs in a network of its own"]
fn ipv6_is_fragmented_whatever_was_asked() {
    let (sender, receiver) = (relay("[::1]:0"), relay("[::1]:0"));

    send(&sender, whole(to(receiver.local_addr())), &[1; 3000]);

    assert_eq!(receive(&receiver, 1), [vec![1; 3000]]);
}

#[test]
#[ignore = "runs in a network of its own"]
fn a_run_of_datagrams_larger_than_the_mtu_leaves_in_fragments() {
    for at in LOOPBACKS {
        let options = with(Offload {
            gso: true,
            gro: false,
        });
        let sender = UdpSocket::relay(addr(at), &options).unwrap();
        let receiver = relay(at);
        let payloads: Vec<_> = (0..30)
            .map(|index| vec![index; if index < 20 { 1600 } else { 1200 }])
            .collect();
        let mut batch = Batch::new(1);
        for payload in &payloads {
            batch.send_copy(to(receiver.local_addr()), payload);
        }

        let report = batch.flush(|()| Some(&sender));

        assert_eq!((report.sent, report.dropped()), (30, 0));
        assert_eq!(receive(&receiver, 30), payloads);
    }
}

#[test]
#[ignore = "runs in a network of its own"]
fn a_router_that_may_not_fragment_tells_its_mtu() {
    let sender = relay("10.1.0.1:0");
    let closed = addr("10.2.0.2:9");

    // May be fragmented: the router does so, the host puts it together and answers.
    send(&sender, to(closed), &[1; 1400]);
    assert_eq!(next_error(&sender), icmp(closed, 3, 3, 0));

    send(&sender, whole(to(closed)), &[2; 1400]);
    assert_eq!(next_error(&sender), icmp(closed, 3, 4, 1300));

    send(&sender, to(closed), &[3; 1400]);
    assert_eq!(next_error(&sender), icmp(closed, 3, 3, 0));

    // What the router said is not held against the next one: it is asked again.
    send(&sender, whole(to(closed)), &[4; 1400]);
    assert_eq!(next_error(&sender), icmp(closed, 3, 4, 1300));

    send(&sender, whole(to(closed)), &[5; 1200]);
    assert_eq!(next_error(&sender), icmp(closed, 3, 3, 0));
}

#[test]
#[ignore = "runs in a network of its own"]
fn a_router_is_heard_after_the_socket_is_back_to_fragmenting() {
    let sender = relay("10.1.0.1:0");
    let target = addr("10.2.0.3:9");
    // The next hop is not known, so that the datagram waits until it is.
    send(&sender, whole(to(target)), &[1; 1400]);

    let next_hop = "neigh replace 10.1.0.253 lladdr 02:00:00:00:00:01 dev veth0";
    let status = Command::new("ip").args(next_hop.split(' ')).status();

    assert!(status.unwrap().success());
    assert_eq!(next_error(&sender), icmp(target, 3, 4, 1300));
}

#[test]
#[ignore = "runs in a network of its own"]
fn a_run_is_split_where_some_must_not_be_fragmented() {
    let options = with(Offload {
        gso: true,
        gro: false,
    });
    let sender = UdpSocket::relay(addr("10.1.0.1:0"), &options).unwrap();
    let closed = addr("10.2.0.2:9");
    let mut batch = Batch::new(1);
    batch.send_copy(to(closed), &[1; 1400]);
    batch.send_copy(whole(to(closed)), &[1; 1400]);

    assert_eq!(batch.flush(|()| Some(&sender)).sent, 2);

    let errors = [next_error(&sender), next_error(&sender)];
    assert!(errors.contains(&icmp(closed, 3, 3, 0)), "{errors:?}");
    assert!(errors.contains(&icmp(closed, 3, 4, 1300)), "{errors:?}");
}

#[test]
#[ignore = "runs in a network of its own"]
fn an_ipv6_packet_too_big_is_told_and_the_next_one_is_fragmented() {
    let sender = relay("[fd00:1::1]:0");
    let closed = addr("[fd00:2::2]:9");

    send(&sender, to(closed), &[1; 1400]);
    assert_eq!(next_error(&sender), icmp(closed, 2, 0, 1300));

    send(&sender, to(closed), &[2; 1400]);
    assert_eq!(next_error(&sender), icmp(closed, 1, 4, 0));
}

#[test]
#[ignore = "runs in a network of its own"]
fn a_full_send_buffer_drops_the_rest_and_counts_it() {
    let mut options = PLAIN;
    options.send_buffer = 8192;
    let sender = UdpSocket::relay(addr("10.1.0.1:0"), &options).unwrap();
    let mut batch = Batch::new(1);
    for _ in 0..60 {
        // Nobody has this address, so that the first ones wait in the buffer while the kernel looks for him.
        batch.send_copy(to(addr("10.1.0.77:9")), &[1; 1000]);
    }

    let report = batch.flush(|()| Some(&sender));

    assert!(report.sent > 0 && report.would_block > 0);
    assert_eq!(report.sent + report.would_block, 60);
    assert_eq!((report.dropped(), report.calls), (report.would_block, 2));
}

/// Marks a datagram as not to be fragmented.
fn whole(envelope: Envelope<()>) -> Envelope<()> {
    Envelope {
        dont_fragment: true,
        ..envelope
    }
}

fn icmp(peer: std::net::SocketAddr, kind: u8, code: u8, mtu: u32) -> QueuedError {
    QueuedError::Icmp(IcmpError {
        peer: Peer(peer),
        kind,
        code,
        mtu,
    })
}

fn next_error(socket: &UdpSocket) -> QueuedError {
    assert!(wait(socket).error);
    socket.next_error().expect("an error")
}

const NETWORK: &str = "
mount -t tmpfs none /run
ip link set lo mtu 1500 up
ip netns add router
ip netns add far
ip link add name veth0 type veth peer name veth1 netns router
ip -n router link add name veth2 type veth peer name veth3 netns far
ip -n router link set veth2 mtu 1300
ip -n far link set veth3 mtu 1300
ip -n router link set veth1 address 02:00:00:00:00:01
ip addr add 10.1.0.1/24 dev veth0
ip addr add fd00:1::1/64 dev veth0 nodad
ip -n router addr add 10.1.0.254/24 dev veth1
ip -n router addr add 10.2.0.254/24 dev veth2
ip -n router addr add fd00:1::fe/64 dev veth1 nodad
ip -n router addr add fd00:2::fe/64 dev veth2 nodad
ip -n far addr add 10.2.0.2/24 dev veth3
ip -n far addr add fd00:2::2/64 dev veth3 nodad
ip netns exec router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
ip netns exec far sh -c 'echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit'
ip netns exec router sh -c 'echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit'
ip link set veth0 up
ip -n router link set veth1 up
ip -n router link set veth2 up
ip -n far link set veth3 up
ip route add default via 10.1.0.254
ip route add 10.2.0.3 via 10.1.0.253
ip -6 route add default via fd00:1::fe
ip -n far route add default via 10.2.0.254
ip -n far -6 route add default via fd00:2::fe
";
