//! What holds for every address.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::*;

proptest! {
    /// Conformance cases together: an IPv4 address of the table is refused in every form, where the
    /// forms are closed and where they are open.
    #[test]
    fn denied_ipv4_is_refused_in_every_embedding(net in prop::sample::select(ipv4_rows()), host in any::<u32>(), noise in any::<u128>()) {
        let open = policy(&PeerOptions { allow: nets(&EMBEDDINGS), ..options() });
        let closed = policy(&options());
        let denied = Ipv4Addr::from_bits(net.network().to_bits() | host & net.hostmask().to_bits());

        prop_assert!(closed.judge_ip(PeerScope::Public, IpAddr::V4(denied)).is_err());
        // A shifted NAT64 form of 0.0.0.0/8 is told from padding by nothing, and no translator delivers to it.
        let padding = if denied.octets()[0] == 0 { SHIFTED } else { 0 };
        for ip in embeddings(denied, noise).into_iter().rev().skip(padding) {
            prop_assert!(closed.judge_ip(PeerScope::Public, IpAddr::V6(ip)).is_err(), "{}", ip);
            prop_assert!(open.judge_ip(PeerScope::Public, IpAddr::V6(ip)).is_err(), "{}", ip);
        }
    }

    /// The counterpart, without which refusing everything would pass.
    #[test]
    fn admitted_ipv4_is_admitted_in_every_open_embedding(host in any::<u32>()) {
        let open = policy(&PeerOptions { allow: nets(&EMBEDDINGS), ..options() });
        let ip = Ipv4Addr::from_bits(host);
        prop_assume!(open.judge_ip(PeerScope::Public, IpAddr::V4(ip)) == Ok(PeerClass::Public));

        // The readings of a shifted NAT64 form may contradict each other.
        for ip in embeddings(ip, 0).into_iter().rev().skip(SHIFTED) {
            prop_assert_eq!(open.judge_ip(PeerScope::Public, IpAddr::V6(ip)), Ok(PeerClass::Public), "{}", ip);
        }
    }

    /// The decision over three lists, against a plain reading of the rule.
    #[test]
    fn the_longest_match_decides(
        ip in 0..=u32::MAX,
        allow in prop::collection::vec(0..=32_u8, 0..3),
        deny in prop::collection::vec(0..=32_u8, 0..3),
    ) {
        let ip = Ipv4Addr::from_bits(ip);
        prop_assume!(is_unicast(IpAddr::V4(ip)) && ip != Ipv4Addr::new(10, 0, 0, 5));
        prop_assume!(IpAddr::V4(ip) != addr(RELAY_V4));
        let around = |lens: &[u8]| -> Vec<IpNet> {
            lens.iter().map(|len| IpNet::new(IpAddr::V4(ip), *len).unwrap()).collect()
        };
        let policy = policy(&PeerOptions { allow: around(&allow), deny: around(&deny), ..options() });

        let special = special::rows().filter(|net| net.contains(&IpAddr::V4(ip))).map(|net| net.prefix_len());
        // Of equal lengths the later candidate wins: first the table, then allow, last deny.
        let candidates = special.map(|len| (len, 0, Err(Denied::SpecialPurpose)))
            .chain(allow.iter().map(|len| (*len, 1, Ok(PeerClass::Public))))
            .chain(deny.iter().map(|len| (*len, 2, Err(Denied::ByConfig))));
        let longest = candidates.max_by_key(|(len, rank, _)| (*len, *rank));
        let expected = longest.map_or(Ok(PeerClass::Public), |(_, _, verdict)| verdict);
        let judged = policy.judge_ip(PeerScope::Public, IpAddr::V4(ip));

        prop_assert_eq!(judged.is_ok(), expected.is_ok());
    }
}

/// How many of the [`embeddings`], the last ones, are NAT64 forms with prefixes of less than 96 bits.
const SHIFTED: usize = 3;

/// `ip` in every form, the rest of the address filled with `noise` where the form leaves it free.
fn embeddings(ip: Ipv4Addr, noise: u128) -> Vec<Ipv6Addr> {
    let v4 = u128::from(ip.to_bits());
    let low = |bits: u32| noise & ((1 << bits) - 1);
    let (high, rest) = (v4 >> 16, v4 & 0xffff);
    let nat64 = 0x0064_ff9b_u128 << 96;
    let local = nat64 | 1 << 80;
    let public = 0x0808_0808_u128;
    [
        v4,
        0xffff << 32 | v4,
        0xffff << 48 | v4,
        nat64 | v4,
        local | v4,
        0x2002 << 112 | v4 << 80 | low(80) & !(0xffff_ffff << 32),
        // Teredo: as the server, and as the client.
        0x2001 << 112 | v4 << 64 | (!public & 0xffff_ffff),
        0x2001 << 112 | public << 64 | low(64) & (0xffff_ffff << 32) | (!v4 & 0xffff_ffff),
        // ISATAP, both identifiers.
        0x2a00 << 112 | low(48) << 64 | 0x5efe << 32 | v4,
        0x2a00 << 112 | low(48) << 64 | 0x0200_5efe << 32 | v4,
        // RFC 6052 section 2.2: prefixes of 48, 56 and 64 bits; octet 8 is left out.
        local | high << 64 | rest << 40 | low(40),
        local | (v4 >> 24) << 64 | (v4 & 0x00ff_ffff) << 32 | low(32),
        local | v4 << 24 | low(24),
    ]
    .into_iter()
    .map(Ipv6Addr::from_bits)
    .collect()
}

fn ipv4_rows() -> Vec<Ipv4Net> {
    special::rows()
        .filter_map(|net| match net {
            IpNet::V4(net) => Some(net),
            IpNet::V6(_) => None,
        })
        .collect()
}
