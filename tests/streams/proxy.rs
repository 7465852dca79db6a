//! Connections that an upstream hands on with a PROXY header in front.

use std::io::{Read, Write};
use std::net::SocketAddr;

use rustls::version::TLS13;
use veilturn::wire::{Message, XorMappedAddress};

use crate::support::{BINDING, Carrier, Relay, connect, is_closed};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0C\xC0\x00\x02\x07\xC6\x33\x64\x01\x12\x67\x01\xBB";
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

#[test]
fn the_client_is_whom_the_header_names() {
    let relay = behind("127.0.0.0/8");
    for header in [V1, V2] {
        let mut stream = connect(relay.tcp);
        stream.write_all(&[header, &BINDING].concat()).unwrap();
        assert_eq!(mapped(&mut stream), "192.0.2.7:4711".parse().unwrap());
    }
}

#[test]
fn the_upstreams_own_connection_is_served_as_such() {
    let relay = behind("127.0.0.0/8");
    let mut stream = connect(relay.tcp);
    stream.write_all(&[V2_LOCAL, &BINDING].concat()).unwrap();
    assert_eq!(mapped(&mut stream), stream.local_addr().unwrap());
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let relay = behind("127.0.0.0/8");
    for header in [V1, V2] {
        let mut stream = connect(relay.tcp);
        for byte in [header, &BINDING].concat() {
            stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(mapped(&mut stream), "192.0.2.7:4711".parse().unwrap());
    }
}

#[test]
fn tls_follows_the_header() {
    let relay = Relay::with(|config| {
        config.listeners[2].proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let mut stream = connect(relay.tls);
    stream.write_all(V2).unwrap();

    let mut secured = relay.secure_over(stream, &[&TLS13], &[]).unwrap();
    secured.send(&BINDING).unwrap();

    assert_eq!(mapped(&mut secured), "192.0.2.7:4711".parse().unwrap());
}

#[test]
fn a_connection_without_a_header_is_closed() {
    let relay = behind("127.0.0.0/8");
    let mut stream = connect(relay.tcp);
    stream.write_all(&BINDING).unwrap();
    assert!(is_closed(&mut stream));
    relay.until("it is counted", |relay| relay.closed("proxy") == 1);
}

#[test]
fn nobody_but_an_upstream_is_believed() {
    let relay = behind("192.0.2.0/24");
    let mut stream = connect(relay.tcp);
    // It may be closed before this is written.
    let _ = stream.write_all(&[V1, &BINDING].concat());
    assert!(is_closed(&mut stream));
    relay.until("it is counted", |relay| relay.closed("proxy") == 1);
}

#[test]
fn the_cap_of_a_prefix_is_that_of_the_named_client() {
    let relay = Relay::with(|config| {
        config.listeners[1].proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
        config.streams.connections_per_prefix = 1;
    });
    let mut first = connect(relay.tcp);
    first.write_all(&[V1, &BINDING].concat()).unwrap();
    mapped(&mut first);

    let mut second = connect(relay.tcp);
    second.write_all(&[V2, &BINDING].concat()).unwrap();
    assert!(is_closed(&mut second));
    relay.until("it is counted", |relay| relay.closed("prefix_full") == 1);

    let mut other = connect(relay.tcp);
    let header = b"PROXY TCP4 192.0.2.8 198.51.100.1 4711 443\r\n";
    other
        .write_all(&[&header[..], &BINDING].concat())
        .expect("as arranged");
    assert_eq!(
        mapped(&mut other),
        "192.0.2.8:4711".parse().expect("as arranged")
    );
}

#[test]
fn what_an_upstream_opens_for_itself_counts_for_its_own_prefix() {
    let relay = Relay::with(|config| {
        config.listeners[1].proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
        config.streams.connections_per_prefix = 1;
    });
    let open = |header: &[u8]| {
        let mut stream = connect(relay.tcp);
        stream.write_all(&[header, &BINDING].concat()).unwrap();
        stream
    };
    for (round, header) in (1..).zip([V2_LOCAL, V1_UNKNOWN]) {
        let mut own = open(header);
        mapped(&mut own);
        // However it says so, and however many clients it brings.
        for another in [V2_LOCAL, V1_UNKNOWN] {
            assert!(is_closed(&mut open(another)));
        }
        mapped(&mut open(V1));
        relay.until("they are counted", |relay| {
            relay.closed("prefix_full") == 2 * round
        });
        drop(own);
        relay.until("all are gone", |relay| {
            let open = relay.numbers().connections.open;
            open.iter().map(|count| count.count).sum::<u64>() == 0
        });
    }
}

/// A relay whose TCP listener is behind the upstreams of a prefix.
fn behind(upstreams: &str) -> Relay {
    let upstreams = upstreams.parse().expect("as arranged");
    Relay::with(|config| config.listeners[1].proxy_protocol = vec![upstreams])
}

/// The client's address as the relay sees it, from the answer that comes next.
fn mapped(stream: &mut (impl Read + Write)) -> SocketAddr {
    let answer = stream.receive().expect("as arranged");
    let message = Message::parse(&answer).expect("as arranged");
    let XorMappedAddress(mapped) = message
        .get()
        .expect("as arranged")
        .expect("a mapped address");
    mapped
}
