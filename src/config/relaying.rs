//! `[relay]`: the addresses and ports that relayed traffic leaves from.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::file::is_group;
use super::peers::is_private;
use super::problem::Cause;
use super::section::{Found, Section};
use super::{Listener, defaults};
use crate::relay::RelayAddress;

/// What the section says.
pub(super) struct RelaySection {
    pub(super) ports: RangeInclusive<u16>,
    pub(super) hairpin: bool,
    pub(super) tcp: bool,
    pub(super) legacy_clients: bool,
    pub(super) ipv4: Option<RelayAddress>,
    pub(super) ipv6: Option<RelayAddress>,
}

/// Reads the section and holds its ports against those of the listeners.
pub(super) fn read(section: &mut Section<'_, '_>, listeners: &[Found<Listener>]) -> RelaySection {
    let ports = ports(section);
    let hairpin = section.or("hairpin", defaults::HAIRPIN);
    let tcp = section.or("tcp", defaults::TCP_RELAYS);
    let legacy_clients = section.or("legacy_clients", defaults::LEGACY_CLIENTS);
    let given = section.has("ipv4") || section.has("ipv6");
    let read_v4 = |relay: &mut Section<'_, '_>| relay_address(relay, Family::V4);
    let read_v6 = |relay: &mut Section<'_, '_>| relay_address(relay, Family::V6);
    let ipv4 = section.optional_table("ipv4", read_v4).flatten();
    let ipv6 = section.optional_table("ipv6", read_v6).flatten();
    if !given {
        section.report_self(Cause::NoRelayAddress);
    }
    if let Some(ports) = &ports {
        for relay in [ipv4, ipv6].into_iter().flatten() {
            for listener in listeners {
                report_overlap(section, ports, relay, listener.value.addr);
            }
        }
    }
    let ports = ports.map_or(defaults::RELAY_PORTS, |found| found.value);
    RelaySection {
        ports,
        hairpin,
        tcp,
        legacy_clients,
        ipv4,
        ipv6,
    }
}

/// The ports; `None` where they are given and wrong.
fn ports(section: &mut Section<'_, '_>) -> Option<Found<RangeInclusive<u16>>> {
    if section.has("ports") {
        return section.get("ports");
    }
    Some(Found {
        at: section.place(),
        value: section.or("ports", defaults::RELAY_PORTS),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family that packets of a socket bound to `ip` have.
    fn of(ip: IpAddr) -> Self {
        if ip.to_canonical().is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }
}

fn relay_address(section: &mut Section<'_, '_>, family: Family) -> Option<RelayAddress> {
    let purpose = "the address of this machine that relayed traffic leaves from";
    let bind = section.require::<IpAddr>("bind", purpose);
    let advertise = section.get::<IpAddr>("advertise");
    for (key, found) in [("bind", &bind), ("advertise", &advertise)] {
        let Some(Found { at, value }) = found else {
            continue;
        };
        if let Some(cause) = unusable(*value, family) {
            section.report(at.clone(), key, cause);
        }
    }
    let Found { at, value: bind } = bind?;
    match advertise {
        Some(Found { at, value }) => {
            if is_private(value) && !is_private(bind) && !bind.is_unspecified() {
                section.report(at, "advertise", Cause::AdvertisePrivate);
            }
            Some(RelayAddress {
                bind,
                advertise: value,
            })
        }
        None => {
            if is_private(bind) {
                section.report(at, "bind", Cause::AdvertiseMissing);
            }
            Some(RelayAddress {
                bind,
                advertise: bind,
            })
        }
    }
}

/// Why no peer could be reached from, or could reach, `ip`.
fn unusable(ip: IpAddr, family: Family) -> Option<Cause> {
    let right = match ip {
        IpAddr::V4(_) => family == Family::V4,
        IpAddr::V6(ip) => family == Family::V6 && ip.to_ipv4_mapped().is_none(),
    };
    if !right {
        Some(Cause::WrongFamily(family.name()))
    } else if ip.is_unspecified() {
        Some(Cause::Unspecified)
    } else if is_group(ip) {
        Some(Cause::NotUnicast)
    } else {
        None
    }
}

/// A port cannot be both a listener's and a relayed address's.
fn report_overlap(
    section: &mut Section<'_, '_>,
    ports: &Found<RangeInclusive<u16>>,
    relay: RelayAddress,
    addr: SocketAddr,
) {
    let same_family = Family::of(addr.ip()) == Family::of(relay.bind);
    let same_address =
        addr.ip().to_canonical() == relay.bind || (addr.ip().is_unspecified() && same_family);
    if same_address && ports.value.contains(&addr.port()) {
        let cause = Cause::PortsOverlap {
            port: addr.port(),
            listener: addr,
        };
        section.report(ports.at.clone(), "ports", cause);
    }
}
