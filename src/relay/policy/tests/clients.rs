//! Which addresses may be clients, and how relayed addresses are shown.

use super::*;
use crate::relay::tags::CallTag;

#[test]
fn clients_that_cannot_be_are_refused() {
    let policy = policy(&PeerOptions {
        own_sockets: vec![at("0.0.0.0", 3478), at("::", 3478)],
        own_addresses: [PUBLIC_V4].map(addr).to_vec(),
        ..options()
    });
    let directory = directory();

    for (ip, port) in [
        (PUBLIC_V6, 0),
        ("0.0.0.0", 4000),
        ("::", 4000),
        ("255.255.255.255", 4000),
        ("224.0.0.1", 4000),
        ("::ffff:224.0.0.1", 4000),
        ("ff02::1", 4000),
        ("2002:808:808::1", 4000),
        ("2001:0:808:808::1", 4000),
        (PUBLIC_V4, 3478),
        (RELAY_V4, 3478),
        (RELAY_V6, 3478),
        (BIND_V4, 3478),
        ("127.0.0.1", 3478),
    ] {
        assert!(
            !policy.accepts_client(at(ip, port), Transport::Udp, &directory),
            "{ip} {port}"
        );
    }
    for ip in [
        PUBLIC_V4,
        PUBLIC_V6,
        "10.1.2.3",
        "127.0.0.1",
        "fe80::1",
        "::ffff:8.8.8.8",
    ] {
        assert!(
            policy.accepts_client(at(ip, 4000), Transport::Udp, &directory),
            "{ip}"
        );
    }
}

#[test]
fn a_stream_may_come_from_the_port_number_of_a_listener() {
    let policy = policy(&PeerOptions {
        own_sockets: vec![at("127.0.0.1", 3478)],
        ..options()
    });
    let accepts = |transport| policy.accepts_client(at("127.0.0.1", 3478), transport, &directory());

    assert!(accepts(Transport::Tcp) && accepts(Transport::Tls));
    assert!(!accepts(Transport::Udp) && !accepts(Transport::Dtls));
}

#[test]
fn a_live_relayed_address_is_no_client() {
    let policy = policy(&options());
    let directory = directory();
    let sources = [RELAY_V4, BIND_V4, "::ffff:10.0.0.5", RELAY_V6].map(|ip| at(ip, 50_000));

    assert!(sources.iter().all(|source| policy.accepts_client(
        *source,
        Transport::Udp,
        &directory
    )));
    directory.publish(at(RELAY_V4, 50_000), CallTag::NONE);
    directory.publish(at(RELAY_V6, 50_000), CallTag::NONE);

    assert!(!sources.iter().any(|source| policy.accepts_client(
        *source,
        Transport::Udp,
        &directory
    )));
    assert!(policy.accepts_client(at(RELAY_V4, 50_001), Transport::Udp, &directory));
}

#[test]
fn relayed_addresses_are_translated_and_no_others() {
    let policy = policy(&options());

    assert_eq!(policy.to_bind(at(RELAY_V4, 50_000)), at(BIND_V4, 50_000));
    assert_eq!(
        policy.to_advertised(at(BIND_V4, 50_000)),
        at(RELAY_V4, 50_000)
    );
    for ip in [PUBLIC_V4, PUBLIC_V6, RELAY_V6, "::ffff:10.0.0.5"] {
        assert_eq!(policy.to_bind(at(ip, 50_000)), at(ip, 50_000));
        assert_eq!(policy.to_advertised(at(ip, 50_000)), at(ip, 50_000));
    }
}

#[test]
fn a_relay_bound_to_the_wildcard_is_reached_at_its_advertised_address() {
    let relay = RelayAddress {
        bind: addr("0.0.0.0"),
        advertise: addr(RELAY_V4),
    };
    let policy = PeerPolicy::new(&options(), &[relay], &PORTS);

    assert_eq!(policy.to_bind(at(RELAY_V4, 50_000)), at(RELAY_V4, 50_000));
}

fn directory() -> RelayDirectory {
    RelayDirectory::new(&relays(), &PORTS)
}
