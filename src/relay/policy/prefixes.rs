//! A list of prefixes and the question which is the longest that holds an address.

use std::net::IpAddr;

use ipnet::IpNet;

/// Prefixes of both families. A look-up scans those of the address's family, longest first.
pub(super) struct Prefixes {
    v4: Vec<Prefix>,
    v6: Vec<Prefix>,
}

/// A prefix whose bits are left-aligned, so that both families compare alike.
struct Prefix {
    network: u128,
    mask: u128,
    len: u8,
}

impl Prefixes {
    /// The length, in bits, of the longest prefix that holds `ip`.
    pub(super) fn longest(&self, ip: IpAddr) -> Option<u8> {
        let prefixes = match ip {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        let bits = left_aligned(ip);
        prefixes
            .iter()
            .find(|prefix| bits & prefix.mask == prefix.network)
            .map(|prefix| prefix.len)
    }
}

impl FromIterator<IpNet> for Prefixes {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let mut prefixes = Self {
            v4: Vec::new(),
            v6: Vec::new(),
        };
        for net in nets {
            let list = match net {
                IpNet::V4(_) => &mut prefixes.v4,
                IpNet::V6(_) => &mut prefixes.v6,
            };
            list.push(Prefix::new(net));
        }
        prefixes.v4.sort_by_key(|prefix| u8::MAX - prefix.len);
        prefixes.v6.sort_by_key(|prefix| u8::MAX - prefix.len);
        prefixes
    }
}

impl Prefix {
    fn new(net: IpNet) -> Self {
        let len = net.prefix_len();
        let mask = u128::MAX
            .checked_shl(u128::BITS - u32::from(len))
            .unwrap_or(0);
        Self {
            network: left_aligned(net.addr()) & mask,
            mask,
            len,
        }
    }
}

fn left_aligned(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_a_prefix_that_ends_within_a_byte_are_exact() {
        let prefixes = list(&["2001:db8:0:8000::/49", "100.64.0.0/10"]);

        for (ip, len) in [
            ("2001:db8:0:7fff:ffff:ffff:ffff:ffff", None),
            ("2001:db8:0:8000::", Some(49)),
            ("2001:db8:0:ffff:ffff:ffff:ffff:ffff", Some(49)),
            ("2001:db8:1::", None),
            // Each byte lies between those of the ends, the address does not.
            ("2001:db8:0:8000::1", Some(49)),
            ("2001:db7:0:9000::", None),
            ("100.63.255.255", None),
            ("100.64.0.0", Some(10)),
            ("100.127.255.255", Some(10)),
            ("100.128.0.0", None),
        ] {
            assert_eq!(prefixes.longest(ip.parse().unwrap()), len, "{ip}");
        }
    }

    #[test]
    fn the_longest_prefix_wins_in_any_order() {
        for nets in [
            ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "10.1.2.3/32"],
            ["10.1.2.3/32", "0.0.0.0/0", "10.1.0.0/16", "10.0.0.0/8"],
        ] {
            let prefixes = list(&nets);
            let longest = |ip: &str| prefixes.longest(ip.parse().unwrap());

            assert_eq!(longest("10.1.2.3"), Some(32));
            assert_eq!(longest("10.1.2.4"), Some(16));
            assert_eq!(longest("10.2.2.3"), Some(8));
            assert_eq!(longest("11.0.0.0"), Some(0));
            assert_eq!(longest("::"), None);
        }
    }

    #[test]
    fn host_bits_of_a_prefix_are_ignored() {
        let prefixes = list(&["10.1.2.3/8"]);

        assert_eq!(prefixes.longest("10.9.9.9".parse().unwrap()), Some(8));
    }

    proptest! {
        #[test]
        fn matching_agrees_with_comparing_numbers(
            nets in prop::collection::vec(near_net(), 1..12),
            ip in near_ip(),
        ) {
            let expected = nets.iter().filter(|net| holds(net, ip)).map(IpNet::prefix_len).max();

            prop_assert_eq!(nets.iter().copied().collect::<Prefixes>().longest(ip), expected);
        }
    }

    /// Whether `ip` lies between the ends of `net`, by arithmetic on whole addresses.
    fn holds(net: &IpNet, ip: IpAddr) -> bool {
        let (first, ip, host_bits) = match (net, ip) {
            (IpNet::V4(net), IpAddr::V4(ip)) => (
                u128::from(net.addr().to_bits()),
                u128::from(ip.to_bits()),
                32 - u32::from(net.prefix_len()),
            ),
            (IpNet::V6(net), IpAddr::V6(ip)) => (
                net.addr().to_bits(),
                ip.to_bits(),
                128 - u32::from(net.prefix_len()),
            ),
            _ => return false,
        };
        let Some(size) = 1_u128.checked_shl(host_bits) else {
            return true;
        };
        ip / size == first / size
    }

    /// Addresses that differ in few bits, so that long prefixes hold them.
    fn near_ip() -> impl Strategy<Value = IpAddr> {
        let flips = prop::collection::vec(0..128_u32, 0..3);
        (any::<bool>(), flips).prop_map(|(v4, flips)| {
            let base = 0x6440_0000_2001_0db8_8000_0000_6440_0000;
            let bits = flips.iter().fold(base, |bits, flip| bits ^ (1 << flip));
            if v4 {
                IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            }
        })
    }

    fn near_net() -> impl Strategy<Value = IpNet> {
        (near_ip(), 0..=128_u8).prop_map(|(ip, len)| match ip {
            IpAddr::V4(ip) => IpNet::V4(Ipv4Net::new(ip, len % 33).unwrap()),
            IpAddr::V6(ip) => IpNet::V6(Ipv6Net::new(ip, len).unwrap()),
        })
    }

    fn list(nets: &[&str]) -> Prefixes {
        nets.iter().map(|net| net.parse().unwrap()).collect()
    }
}
