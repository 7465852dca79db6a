//! The built-in table: address space that no peer on the public internet has.
//!
//! Every row of the IANA IPv4 and IPv6 Special-Purpose Address registries (RFC 6890, RFC 8190; as of October 2025),
//! those marked globally reachable included: anycast services and protocol assignments take part in no call. Then
//! multicast, what the registries leave to others, the whole of IPv6 outside global unicast, and the addresses at which
//! cloud platforms serve their secrets. A row inside another is not superfluous: it is not opened together with it.

use super::prefixes::Prefixes;

/// The table.
///
/// # Panics
///
/// Where a row does not parse.
pub(super) fn prefixes() -> Prefixes {
    let rows = IPV4.iter().chain(IPV6);
    rows.map(|(prefix, _)| prefix.parse().expect("a test parses every row"))
        .collect()
}

/// IPv4 prefixes, and what each is.
const IPV4: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network: RFC 791 section 3.2"),
    ("0.0.0.0/32", "this host: RFC 1122 section 3.2.1.3"),
    ("10.0.0.0/8", "private use: RFC 1918"),
    ("100.64.0.0/10", "shared address space: RFC 6598"),
    ("127.0.0.0/8", "loopback: RFC 1122 section 3.2.1.3"),
    ("169.254.0.0/16", "link local: RFC 3927"),
    ("172.16.0.0/12", "private use: RFC 1918"),
    (
        "192.0.0.0/24",
        "IETF protocol assignments: RFC 6890 section 2.1",
    ),
    ("192.0.0.0/29", "IPv4 service continuity: RFC 7335"),
    ("192.0.0.8/32", "IPv4 dummy address: RFC 7600"),
    ("192.0.0.9/32", "Port Control Protocol anycast: RFC 7723"),
    ("192.0.0.10/32", "TURN anycast: RFC 8155"),
    ("192.0.0.170/32", "NAT64 and DNS64 discovery: RFC 8880"),
    ("192.0.0.171/32", "NAT64 and DNS64 discovery: RFC 8880"),
    ("192.0.2.0/24", "documentation: RFC 5737"),
    ("192.31.196.0/24", "AS112: RFC 7535"),
    ("192.52.193.0/24", "AMT: RFC 7450"),
    ("192.88.99.0/24", "6to4 relay anycast, deprecated: RFC 7526"),
    ("192.88.99.2/32", "6a44 relay anycast: RFC 6751"),
    ("192.168.0.0/16", "private use: RFC 1918"),
    ("192.175.48.0/24", "AS112 by delegation: RFC 7534"),
    ("198.18.0.0/15", "benchmarking: RFC 2544"),
    ("198.51.100.0/24", "documentation: RFC 5737"),
    ("203.0.113.0/24", "documentation: RFC 5737"),
    ("224.0.0.0/4", "multicast: RFC 5771"),
    ("240.0.0.0/4", "reserved, class E: RFC 1112 section 4"),
    ("255.255.255.255/32", "limited broadcast: RFC 919 section 7"),
    ("169.254.169.254/32", "instance metadata of most clouds"),
    ("169.254.170.2/32", "container credentials of a cloud"),
    ("100.100.100.200/32", "instance metadata of a cloud"),
    ("192.0.0.192/32", "instance metadata of a cloud"),
    (
        "168.63.129.16/32",
        "platform service of a cloud, in global space",
    ),
];

/// IPv6 prefixes, and what each is.
const IPV6: &[(&str, &str)] = &[
    ("::1/128", "loopback: RFC 4291 section 2.5.3"),
    ("::/128", "unspecified: RFC 4291 section 2.5.2"),
    (
        "::/96",
        "IPv4-compatible, deprecated: RFC 4291 section 2.5.5.1",
    ),
    ("::ffff:0:0/96", "IPv4-mapped: RFC 4291 section 2.5.5.2"),
    (
        "::ffff:0:0:0/96",
        "IPv4-translated, SIIT: RFC 2765 section 2.1",
    ),
    (
        "64:ff9b::/96",
        "NAT64, well-known prefix: RFC 6052 section 2.1",
    ),
    ("64:ff9b:1::/48", "NAT64, local use: RFC 8215"),
    ("100::/64", "discard only: RFC 6666"),
    ("100:0:0:1::/64", "dummy prefix: RFC 9780"),
    ("2001::/23", "IETF protocol assignments: RFC 2928"),
    ("2001::/32", "Teredo: RFC 4380"),
    ("2001:1::1/128", "Port Control Protocol anycast: RFC 7723"),
    ("2001:1::2/128", "TURN anycast: RFC 8155"),
    ("2001:1::3/128", "DNS-SD registration anycast: RFC 9665"),
    ("2001:2::/48", "benchmarking: RFC 5180"),
    ("2001:3::/32", "AMT: RFC 7450"),
    ("2001:4:112::/48", "AS112: RFC 7535"),
    ("2001:10::/28", "ORCHID, deprecated: RFC 4843"),
    ("2001:20::/28", "ORCHIDv2: RFC 7343"),
    ("2001:30::/28", "drone remote identification: RFC 9374"),
    ("2001:db8::/32", "documentation: RFC 3849"),
    ("2002::/16", "6to4: RFC 3056"),
    ("2620:4f:8000::/48", "AS112 by delegation: RFC 7534"),
    ("3fff::/20", "documentation: RFC 9637"),
    ("5f00::/16", "segment routing identifiers: RFC 9602"),
    ("fc00::/7", "unique local: RFC 4193"),
    ("fe80::/10", "link local: RFC 4291 section 2.5.6"),
    ("fec0::/10", "site local, deprecated: RFC 3879"),
    ("ff00::/8", "multicast: RFC 4291 section 2.7"),
    (
        "::/3",
        "outside global unicast: RFC 4291 section 4, RFC 3587",
    ),
    (
        "4000::/2",
        "outside global unicast: RFC 4291 section 4, RFC 3587",
    ),
    (
        "8000::/1",
        "outside global unicast: RFC 4291 section 4, RFC 3587",
    ),
    ("fd00:ec2::254/128", "instance metadata of a cloud"),
    ("fd20:ce::254/128", "instance metadata of a cloud"),
];

#[cfg(test)]
pub(super) fn rows() -> impl Iterator<Item = ipnet::IpNet> {
    let rows = IPV4.iter().chain(IPV6);
    rows.map(|(prefix, _)| prefix.parse().unwrap())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ipnet::IpNet;

    use super::*;

    #[test]
    fn every_row_is_a_prefix_without_host_bits_and_stands_once() {
        let rows: Vec<IpNet> = rows().collect();

        for row in &rows {
            assert_eq!(*row, row.trunc());
        }
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len());
    }

    #[test]
    fn rows_stand_in_the_table_of_their_family() {
        assert!(
            IPV4.iter()
                .all(|(prefix, _)| prefix.parse::<ipnet::Ipv4Net>().is_ok())
        );
        assert!(
            IPV6.iter()
                .all(|(prefix, _)| prefix.parse::<ipnet::Ipv6Net>().is_ok())
        );
    }

    #[test]
    fn global_unicast_alone_is_left_of_ipv6() {
        let table = prefixes();

        for first in 0..=u16::MAX {
            let ip = std::net::Ipv6Addr::new(first, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888);
            let special = table.longest(ip.into()).is_some();
            let expected = !(0x2000..0x4000).contains(&first) || first == 0x2002;
            assert_eq!(special, expected, "{first:x}");
        }
    }
}
