//! `[peers]`: whom clients may exchange data with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::defaults;
use super::problem::Cause;
use super::section::{Found, Section};
use crate::auth::{AuthOptions, PeerScope};
use crate::relay::PeerOptions;

/// Reads the section; without a secret in `auth`, no credential can carry a `call` claim.
pub(super) fn read(section: &mut Section<'_, '_>, auth: &AuthOptions) -> PeerOptions {
    let claims = !auth.secrets.is_empty() || auth.users.is_empty();
    let policy = section.get::<PeerScope>("policy");
    if let Some(Found { at, value }) = &policy
        && *value == PeerScope::Call
        && !claims
    {
        section.report(at.clone(), "policy", Cause::CallWithoutClaims);
    }
    let fleet = section.list::<IpNet>("fleet");
    let allow = section.list::<IpNet>("allow");
    let deny = section.list::<IpNet>("deny");
    let given = section.has("deny_ports");
    let deny_ports = section.list("deny_ports");
    for (key, prefixes) in [("fleet", &fleet), ("allow", &allow)] {
        for Found { at, value } in prefixes {
            if let Some(cause) = too_wide(*value) {
                section.report(at.clone(), key, cause);
            }
        }
    }
    PeerOptions {
        scope: policy.map_or(defaults::PEER_POLICY, |found| found.value),
        fleet: values(fleet),
        allow: values(allow),
        deny: values(deny),
        deny_ports: if given {
            values(deny_ports)
        } else {
            defaults::DENY_PORTS.to_vec()
        },
        own_sockets: Vec::new(),
        own_addresses: Vec::new(),
    }
}

/// The prefixes of this machine's own addresses.
pub(super) fn loopback() -> [IpNet; 2] {
    [
        net4(Ipv4Addr::new(127, 0, 0, 0), 8),
        net6(Ipv6Addr::LOCALHOST, 128),
    ]
}

/// Whether it is an address that the world cannot reach: private, shared, link-local or loopback.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let shared = net4(Ipv4Addr::new(100, 64, 0, 0), 10);
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || shared.contains(&IpAddr::V4(ip))
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// What a prefix opens that an operator hardly wants to open.
fn too_wide(prefix: IpNet) -> Option<Cause> {
    let local = [
        net4(Ipv4Addr::new(169, 254, 0, 0), 16),
        net6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    ];
    let opens = |special: IpNet| special.contains(&prefix) || prefix.contains(&special);
    if prefix.prefix_len() == 0 {
        Some(Cause::PrefixEverything(prefix))
    } else if loopback().into_iter().chain(local).any(opens) {
        Some(Cause::PrefixLocal(prefix))
    } else {
        None
    }
}

fn net4(ip: Ipv4Addr, len: u8) -> IpNet {
    Ipv4Net::new_assert(ip, len).into()
}

fn net6(ip: Ipv6Addr, len: u8) -> IpNet {
    Ipv6Net::new_assert(ip, len).into()
}

/// Without the places where they stand.
pub(super) fn values<T>(found: Vec<Found<T>>) -> Vec<T> {
    found.into_iter().map(|each| each.value).collect()
}
