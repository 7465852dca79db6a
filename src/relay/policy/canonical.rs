//! The IPv4 addresses that an IPv6 address carries.
//!
//! Translators and tunnels turn certain IPv6 addresses into IPv4 ones. A policy that reads such an address as IPv6
//! alone can be walked around, so that every form is decoded here, once and for all callers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IPv4 addresses that a host, translator or tunnel may take `ip` for. None for an IPv4 address.
pub(super) fn embedded_ipv4(ip: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let found = match ip {
        IpAddr::V4(_) => [None; 4],
        IpAddr::V6(ip) => decode(&ip.octets()),
    };
    found.into_iter().flatten()
}

/// Whether `ip` came out of an automatic tunnel, which a TURN server must not serve (RFC 8656 section 21.4).
pub(super) fn is_6to4_or_teredo(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => is_6to4(ip) || is_teredo(ip),
    }
}

const fn is_6to4(ip: Ipv6Addr) -> bool {
    ip.segments()[0] == 0x2002
}

const fn is_teredo(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    a == 0x2001 && b == 0
}

/// By prefix up to four addresses, and by interface identifier one, which some of the prefixes yield anyway.
fn decode(octets: &[u8; 16]) -> [Option<Ipv4Addr>; 4] {
    let at = |[a, b, c, d]: [usize; 4]| Ipv4Addr::new(octets[a], octets[b], octets[c], octets[d]);
    let last = at([12, 13, 14, 15]);
    let isatap = is_isatap(octets).then_some(last);
    match *octets {
        // Not IPv4-compatible: the unspecified and the loopback address (RFC 4291 section 2.5.5.1).
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 4],
        // IPv4-compatible and IPv4-mapped (RFC 4291 section 2.5.5), IPv4-translated (RFC 2765 section 2.1).
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, ..]
        // NAT64, the well-known prefix (RFC 6052 section 2.1).
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..] => [Some(last), None, None, None],
        // NAT64, local use (RFC 8215).
        [0, 0x64, 0xff, 0x9b, 0, 1, ..] => local_nat64(LOCAL_NAT64.map(at)),
        // 6to4 (RFC 3056 section 2).
        [0x20, 0x02, ..] => [Some(at([2, 3, 4, 5])), isatap, None, None],
        // Teredo: the server, and the client with its bits inverted (RFC 4380 section 4).
        [0x20, 0x01, 0, 0, ..] => {
            let client = Ipv4Addr::from_bits(!last.to_bits());
            [Some(at([4, 5, 6, 7])), Some(client), None, None]
        }
        _ => [isatap, None, None, None],
    }
}

/// Where the address stands after a translator's prefix of 48, 56, 64 and 96 bits (RFC 6052 section 2.2): octet 8 is
/// left out.
const LOCAL_NAT64: [[usize; 4]; 4] = [
    [6, 7, 9, 10],
    [7, 9, 10, 11],
    [9, 10, 11, 12],
    [12, 13, 14, 15],
];

/// How long a prefix the operator's translator has cannot be seen, so every reading counts. A reading in 0.0.0.0/8 is
/// no destination but the padding of another reading, and is left out; where all are, none of them is admissible.
fn local_nat64(readings: [Ipv4Addr; 4]) -> [Option<Ipv4Addr>; 4] {
    let counts = |ip: &Ipv4Addr| ip.octets()[0] != 0;
    if !readings.iter().any(counts) {
        return [Some(Ipv4Addr::UNSPECIFIED), None, None, None];
    }
    readings.map(|ip| Some(ip).filter(counts))
}

/// Whether the interface identifier is ISATAP's, whatever its universal and group bits are (RFC 5214 section 6.1).
const fn is_isatap(octets: &[u8; 16]) -> bool {
    octets[8] & 0xfc == 0 && octets[9] == 0 && octets[10] == 0x5e && octets[11] == 0xfe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_decoded() {
        for (ip, expected) in [
            ("::ffff:127.0.0.1", &["127.0.0.1"][..]),
            ("::127.0.0.1", &["127.0.0.1"]),
            ("::ffff:0:127.0.0.1", &["127.0.0.1"]),
            ("64:ff9b::7f00:1", &["127.0.0.1"]),
            ("64:ff9b::a9fe:a9fe", &["169.254.169.254"]),
            ("2002:7f00:1::", &["127.0.0.1"]),
            ("2002:a9fe:a9fe:1:2:3:4:5", &["169.254.169.254"]),
            // RFC 4380 section 4: server 65.54.227.120, client 192.0.2.45.
            (
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                &["65.54.227.120", "192.0.2.45"],
            ),
            ("2a00::5efe:10.0.0.1", &["10.0.0.1"]),
            ("2a00::200:5efe:10.0.0.1", &["10.0.0.1"]),
            ("2a00::300:5efe:10.0.0.1", &["10.0.0.1"]),
            ("fe80::5efe:10.0.0.1", &["10.0.0.1"]),
            ("2002:808:808::5efe:10.0.0.1", &["8.8.8.8", "10.0.0.1"]),
        ] {
            assert_eq!(decoded(ip), expected, "{ip}");
        }
    }

    #[test]
    fn a_local_translators_prefix_may_have_any_length() {
        // RFC 6052 section 2.4 shows 192.0.2.33 in each.
        for (ip, expected) in [
            ("64:ff9b:1:c000:2:2100::", "192.0.2.33"),
            ("64:ff9b:1:c0:0:221::", "192.0.2.33"),
            ("64:ff9b:1:0:c0:2:2100::", "192.0.2.33"),
            ("64:ff9b:1::c000:221", "192.0.2.33"),
            ("64:ff9b:1::7f00:1", "127.0.0.1"),
        ] {
            assert!(decoded(ip).contains(&expected.to_owned()), "{ip}");
        }
        assert_eq!(decoded("64:ff9b:1::7f00:1"), ["127.0.0.1"]);
        assert_eq!(decoded("64:ff9b:1::"), ["0.0.0.0"]);
        assert_eq!(decoded("64:ff9b:1::1"), ["0.0.0.0"]);
    }

    #[test]
    fn addresses_of_no_form_carry_nothing() {
        for ip in [
            "::",
            "::1",
            "2a00:1450::5efe",
            "2a00::400:5efe:10.0.0.1",
            "2a00::5eff:10.0.0.1",
            "64:ff9b:2::7f00:1",
            "64:ff9b:0:1::7f00:1",
            "2001:1::7f00:1",
            "127.0.0.1",
        ] {
            assert_eq!(decoded(ip), [""; 0], "{ip}");
        }
    }

    #[test]
    fn tunnels_are_recognised() {
        let is_tunnel = |ip: &str| is_6to4_or_teredo(ip.parse().unwrap());

        for ip in ["2002::", "2002:808:808::1", "2001::1", "2001:0:ffff::"] {
            assert!(is_tunnel(ip), "{ip}");
        }
        for ip in ["2001:1::", "2003::", "2001:db8::", "32.2.0.0", "8.8.8.8"] {
            assert!(!is_tunnel(ip), "{ip}");
        }
    }

    fn decoded(ip: &str) -> Vec<String> {
        embedded_ipv4(ip.parse().unwrap())
            .map(|ip| ip.to_string())
            .collect()
    }
}
