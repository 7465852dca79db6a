//! The examples of the specification, every split of a header, and anything at all.

use proptest::prelude::*;

use super::*;

/// Each case: a header as the specification has it, and the two ends that it names.
const LINES: [(&str, &str, &str); 4] = [
    (
        "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        "255.255.255.255:65535",
        "255.255.255.255:65535",
    ),
    (
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
    ),
    (
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        "192.168.0.1:56324",
        "192.168.0.11:443",
    ),
    (
        "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 0 443\r\n",
        "192.0.2.1:0",
        "[2001:db8::1]:443",
    ),
];

#[test]
fn line_of_version_1_names_both_ends() {
    for (line, client, server) in LINES {
        let followed = format!("{line}GET / HTTP/1.1\r\n");
        let expected = proxied(client.parse().unwrap(), server.parse().unwrap(), line.len());
        assert_eq!(parse(followed.as_bytes()), Ok(expected), "{line:?}");
    }
}

#[test]
fn unknown_line_leaves_the_addresses_of_the_socket() {
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), MAX_LINE);
    for line in [
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN \r\n",
        "PROXY UNKNOWN \u{1}\r \r\n",
        longest,
    ] {
        let len = line.len();
        assert_eq!(
            parse(line.as_bytes()),
            Ok(Header::Local { len }),
            "{line:?}"
        );
    }
}

#[test]
fn line_in_another_form_is_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 00\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 ２\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(ProxyError::BadLine), "{line:?}");
    }
}

#[test]
fn line_without_an_end_is_refused_at_its_longest() {
    let line = format!("PROXY UNKNOWN {}", "x".repeat(200));
    assert_eq!(
        parse(&line.as_bytes()[..MAX_LINE - 1]),
        Ok(Header::NeedMore)
    );
    assert_eq!(
        parse(&line.as_bytes()[..MAX_LINE]),
        Err(ProxyError::TooLong)
    );
    assert_eq!(
        parse(format!("{line}\r\n").as_bytes()),
        Err(ProxyError::TooLong)
    );
}

#[test]
fn what_begins_otherwise_is_refused_with_its_first_wrong_byte() {
    for other in [
        &b"\x16\x03\x01"[..],
        b"GET ",
        b"\0\x01\0\0",
        b"\x40",
        b"PROXY\r\n",
        b"proxy ",
    ] {
        assert_eq!(parse(other), Err(ProxyError::Missing), "{other:?}");
    }
    for place in 0..SIGNATURE_V2.len() {
        let mut wrong = SIGNATURE_V2[..=place].to_vec();
        wrong[place] ^= 0x80;
        assert_eq!(parse(&wrong), Err(ProxyError::Missing), "{place}");
    }
}

#[test]
fn header_of_version_2_names_both_ends() {
    let v4 = v2(
        0x21,
        0x11,
        b"\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb",
    );
    let expected = proxied(
        "192.168.0.1:56324".parse().unwrap(),
        "192.168.0.11:443".parse().unwrap(),
        28,
    );
    assert_eq!(parse(&v4), Ok(expected));
    // The same with an extension (PP2_TYPE_NOOP) and data behind it.
    let followed = [
        v2(
            0x21,
            0x11,
            b"\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb\x04\x00\x01\xff",
        ),
        b"\x00\x01".to_vec(),
    ];
    let Ok(Header::Proxied { len, .. }) = parse(&followed.concat()) else {
        panic!("no header");
    };
    assert_eq!(len, 32);
}

#[test]
fn mapped_client_is_the_ipv4_client() {
    let mapped: [u8; 16] = "::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets();
    let body = [&mapped[..], &mapped, &[0, 7, 1, 187]].concat();
    let expected = proxied(
        "192.0.2.1:7".parse().unwrap(),
        "192.0.2.1:443".parse().unwrap(),
        52,
    );
    assert_eq!(parse(&v2(0x21, 0x21, &body)), Ok(expected));
}

#[test]
fn local_and_unsupported_connections_leave_the_addresses_of_the_socket() {
    for (command, family, body) in [
        (0x20, 0x00, &b""[..]),
        (0x20, 0x11, b"\x01"),
        (0x20, 0xff, b"anything"),
        (0x21, 0x00, b""),
        (
            0x21,
            0x12,
            b"\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb",
        ),
        (0x21, 0x31, &[0; 216]),
    ] {
        let header = v2(command, family, body);
        let len = 16 + body.len();
        assert_eq!(
            parse(&header),
            Ok(Header::Local { len }),
            "{command:x} {family:x}"
        );
    }
}

#[test]
fn fault_of_version_2_is_told_by_its_own_name() {
    for (command, family, body, expected) in [
        (0x11, 0x11, &b""[..], ProxyError::UnknownVersion),
        (0x30, 0x00, b"", ProxyError::UnknownVersion),
        (0x22, 0x11, b"", ProxyError::UnknownCommand),
        (0x21, 0x41, b"", ProxyError::UnknownFamily),
        (0x21, 0x10, b"", ProxyError::UnknownFamily),
        (0x21, 0x13, b"", ProxyError::UnknownFamily),
        (0x21, 0x11, &[0; 11], ProxyError::TooShort),
        (0x21, 0x21, &[0; 35], ProxyError::TooShort),
        (0x20, 0x00, &[0; MAX_HEADER - 15], ProxyError::TooLong),
    ] {
        assert_eq!(
            parse(&v2(command, family, body)),
            Err(expected),
            "{command:x} {family:x}"
        );
    }
}

#[test]
fn longest_header_is_taken_and_a_longer_one_refused_by_its_fixed_part() {
    let longest = v2(0x20, 0x00, &[0; MAX_HEADER - 16]);
    assert_eq!(parse(&longest), Ok(Header::Local { len: MAX_HEADER }));
    let longer = v2(0x20, 0x00, &[0; MAX_HEADER]);
    assert_eq!(parse(&longer[..16]), Err(ProxyError::TooLong));
}

#[test]
fn no_client_is_printed() {
    let header = parse(LINES[2].0.as_bytes()).unwrap();
    assert!(
        !format!("{header:?}").contains("192.168.0.1:"),
        "{header:?}"
    );
}

proptest! {
    #[test]
    fn header_is_read_the_same_however_it_arrives(
        client: SocketAddr,
        server: SocketAddr,
        binary: bool,
        extension in prop::collection::vec(any::<u8>(), 0..100),
        data in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let server = SocketAddr::new(same_family(client.ip(), server.ip()), server.port());
        let header = if binary {
            v2_of(client, server, &extension)
        } else {
            v1_of(client, server)
        };
        for end in 0..header.len() {
            prop_assert_eq!(parse(&header[..end]), Ok(Header::NeedMore));
        }
        let expected = proxied(client, server, header.len());
        prop_assert_eq!(parse(&[&header[..], &data].concat()), Ok(expected));
    }

    #[test]
    fn anything_is_read_without_panic_and_within_bounds(
        signature in 0..3usize,
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [[&b""[..], SIGNATURE_V1, SIGNATURE_V2][signature], &rest].concat();
        let mut ended = None;
        for end in 0..=bytes.len() {
            let outcome = parse(&bytes[..end]);
            if let Ok(Header::Proxied { len, .. } | Header::Local { len }) = outcome {
                prop_assert!(len <= end && len <= MAX_HEADER);
            }
            // What more bytes bring changes no outcome.
            if let Some(ended) = ended {
                prop_assert_eq!(outcome, ended);
            } else if outcome != Ok(Header::NeedMore) {
                ended = Some(outcome);
            }
        }
    }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap().to_be_bytes();
    [SIGNATURE_V2, &[command, family], &len, body].concat()
}

fn v2_of(client: SocketAddr, server: SocketAddr, extension: &[u8]) -> Vec<u8> {
    let octets = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [client.port().to_be_bytes(), server.port().to_be_bytes()].concat();
    let body = [&octets(client)[..], &octets(server), &ports, extension].concat();
    v2(0x21, if client.is_ipv4() { 0x11 } else { 0x21 }, &body)
}

fn v1_of(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.ip(), server.ip());
    let (source, destination) = (client.port(), server.port());
    format!("PROXY {family} {from} {to} {source} {destination}\r\n").into_bytes()
}

/// `ip` in the family of `like`.
fn same_family(like: IpAddr, ip: IpAddr) -> IpAddr {
    match (like, ip) {
        (IpAddr::V4(_), IpAddr::V6(_)) => Ipv4Addr::new(198, 51, 100, 7).into(),
        (IpAddr::V6(_), IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
        _ => ip,
    }
}
