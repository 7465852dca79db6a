//! The keys of the file: each stands here once, with its type, its default and its bounds.
//!
//! `[[listen]]`, `[streams]`, `[tls]`, `[auth]`, `[relay]` and `[peers]` have their own files. What is read here is complete only where nothing was
//! reported.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::problem::Cause;
use super::relaying::RelaySection;
use super::section::{Found, Section};
use super::users::AuthSection;
use super::value::Bytes;
use super::{Config, Log, LogAddresses, Runtime, defaults, listening, peers, relaying, tls, users};
use crate::relay::{Lifetimes, Limits, Options};

/// Reads the document.
pub(super) fn read(root: &mut Section<'_, '_>) -> Config {
    let realm = realm(root);
    let listeners = listening::listeners(root);
    let tls = root.table("tls", |section| tls::read(section, &listeners));
    let relay = root.table("relay", |relay| relaying::read(relay, &listeners));
    let auth = root.table("auth", |section| users::read(section, realm));
    let peers = root.table("peers", |section| peers::read(section, &auth.options));
    let lifetimes = root.table("lifetimes", |section| lifetimes(section, &auth));
    let limits = root.table("limits", limits);
    let (binding, software) = root.table("stun", stun);
    let RelaySection {
        ports,
        hairpin,
        tcp,
        legacy_clients,
        ipv4,
        ipv6,
    } = relay;
    Config {
        listeners: listeners.into_iter().map(|found| found.value).collect(),
        relay: Options {
            ipv4,
            ipv6,
            ports,
            hairpin,
            tcp,
            legacy_clients,
            lifetimes,
            limits,
            peers,
            on_expiry: auth.on_expiry,
            binding,
            software,
        },
        auth: auth.options,
        tls,
        streams: root.table("streams", listening::streams),
        log_addresses: root.table("privacy", log_addresses),
        log: root.table("log", log),
        metrics: root.table("metrics", metrics),
        runtime: root.table("runtime", runtime),
    }
}

/// RFC 8489 section 14.9: fewer than 128 characters; quoted-string characters that need no escape.
fn realm(root: &mut Section<'_, '_>) -> String {
    const MOST_CHARS: usize = 127;
    /// The smallest request without credentials is answered with at most three times its size on the wire.
    const ENOUGH_BYTES: usize = 32;
    let purpose = "the name that clients authenticate for, such as your domain";
    let Some(Found { at, value }) = root.require::<String>("realm", purpose) else {
        return String::new();
    };
    let bad = |c: char| c.is_control() || c == '"' || c == '\\';
    let chars = value.chars().count();
    let bytes = value.len();
    if value.trim().is_empty() || chars > MOST_CHARS || value.contains(bad) {
        let most = MOST_CHARS;
        root.report(at, "realm", Cause::BadRealm { most });
    } else if bytes > ENOUGH_BYTES {
        let enough = ENOUGH_BYTES;
        root.report(at, "realm", Cause::RealmLong { bytes, enough });
    }
    value
}

/// Whether it is the address of many hosts.
pub(super) fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn lifetimes(section: &mut Section<'_, '_>, auth: &AuthSection) -> Lifetimes {
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let default = section.within(
        "allocation_default",
        defaults::ALLOCATION_DEFAULT,
        SECOND..=DAY,
    );
    let max = section.within("allocation_max", defaults::ALLOCATION_MAX, SECOND..=DAY);
    let permission = section.within("permission", defaults::PERMISSION, SECOND..=HOUR);
    let channel = section.within("channel", defaults::CHANNEL, SECOND..=HOUR);
    let reservation = section.within("reservation", defaults::RESERVATION, SECOND..=HOUR);
    let quarantine = section.within("quarantine", defaults::QUARANTINE, Duration::ZERO..=HOUR);
    if default.value > max.value {
        let cause = Cause::LongerThan("lifetimes.allocation_max");
        section.report(default.at.clone(), "allocation_default", cause);
    }
    if default.value > auth.max_session {
        let cause = Cause::LongerThan("auth.max_session");
        section.report(default.at, "allocation_default", cause);
    }
    let shorter = reservation.value < defaults::RESERVATION;
    let other_permission = permission.value != defaults::PERMISSION;
    let other_channel = channel.value != defaults::CHANNEL;
    let departures = [
        (
            other_permission,
            &permission,
            "permission",
            "5 minutes",
            "9",
        ),
        (other_channel, &channel, "channel", "10 minutes", "12"),
        (
            shorter,
            &reservation,
            "reservation",
            "at least 30 seconds",
            "7.2",
        ),
    ];
    for (departs, found, key, required, rfc_section) in departures {
        if departs {
            let cause = Cause::NonStandardLifetime {
                required,
                rfc_section,
            };
            section.report(found.at.clone(), key, cause);
        }
    }
    Lifetimes {
        allocation_default: default.value,
        allocation_max: max.value,
        permission: permission.value,
        channel: channel.value,
        reservation: reservation.value,
        quarantine: quarantine.value,
        session_max: auth.max_session,
    }
}

fn limits(section: &mut Section<'_, '_>) -> Limits {
    /// All channel numbers that RFC 8656 section 12 defines; permissions are of the same order.
    const CHANNEL_NUMBERS: usize = 4096;
    const PER_SECOND: u32 = 1_000_000;
    /// They are looked through one by one.
    const PEERS: usize = 1024;
    Limits {
        allocations: section
            .within("allocations", defaults::ALLOCATIONS, 1..=1_000_000)
            .value,
        allocations_per_user: section
            .within(
                "allocations_per_user",
                defaults::ALLOCATIONS_PER_USER,
                1..=1_000_000,
            )
            .value,
        permissions: section
            .within("permissions", defaults::PERMISSIONS, 1..=CHANNEL_NUMBERS)
            .value,
        channels: section
            .within("channels", defaults::CHANNELS, 1..=CHANNEL_NUMBERS)
            .value,
        peer_connections: section
            .within("peer_connections", defaults::PEER_CONNECTIONS, 1..=PEERS)
            .value,
        peer_connections_total: section
            .within(
                "peer_connections_total",
                defaults::PEER_CONNECTIONS_TOTAL,
                1..=1_000_000,
            )
            .value,
        connects_per_second: section
            .within(
                "connects_per_second",
                defaults::CONNECTS_PER_SECOND,
                1..=PER_SECOND,
            )
            .value,
        rate: section.or("rate", defaults::RATE),
        challenges_per_second: section
            .within(
                "challenges_per_second",
                defaults::CHALLENGES_PER_SECOND,
                1..=PER_SECOND,
            )
            .value,
        bindings_per_second: section
            .within(
                "bindings_per_second",
                defaults::BINDINGS_PER_SECOND,
                1..=PER_SECOND,
            )
            .value,
        icmp_per_second: section
            .within("icmp_per_second", defaults::ICMP_PER_SECOND, 0..=PER_SECOND)
            .value,
    }
}

/// Whether Binding is answered, and the SOFTWARE attribute.
fn stun(section: &mut Section<'_, '_>) -> (bool, Option<String>) {
    /// RFC 8489 section 14.14: fewer than 128 characters.
    const MOST_CHARS: usize = 127;
    let binding = section.or("binding", defaults::BINDING);
    let software = section.get::<String>("software");
    if let Some(Found { at, value }) = &software
        && value.chars().count() > MOST_CHARS
    {
        let cause = Cause::TooLong { most: MOST_CHARS };
        section.report(at.clone(), "software", cause);
    }
    let software = software.map_or_else(|| defaults::SOFTWARE.to_owned(), |found| found.value);
    (binding, (!software.is_empty()).then_some(software))
}

fn log_addresses(section: &mut Section<'_, '_>) -> LogAddresses {
    section.or("log_addresses", defaults::LOG_ADDRESSES)
}

fn log(section: &mut Section<'_, '_>) -> Log {
    Log {
        level: section.or("level", defaults::LOG_LEVEL),
        format: section.or("format", defaults::LOG_FORMAT),
    }
}

fn metrics(section: &mut Section<'_, '_>) -> Option<SocketAddr> {
    let Some(Found { at, value }) = section.get::<Option<SocketAddr>>("listen") else {
        return defaults::METRICS;
    };
    if let Some(addr) = value
        && !addr.ip().is_loopback()
        && !peers::is_private(addr.ip())
    {
        section.report(at, "listen", Cause::MetricsPublic(addr));
    }
    value
}

fn runtime(section: &mut Section<'_, '_>) -> Runtime {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let buffers = Bytes(64 << 10)..=Bytes(1 << 30);
    Runtime {
        workers: section.within("workers", defaults::WORKERS, 0..=1024).value,
        pin_cpus: section.or("pin_cpus", defaults::PIN_CPUS),
        receive_buffer: section
            .within(
                "receive_buffer",
                Bytes(defaults::RECEIVE_BUFFER),
                buffers.clone(),
            )
            .value
            .0,
        send_buffer: section
            .within("send_buffer", Bytes(defaults::SEND_BUFFER), buffers)
            .value
            .0,
        drain_timeout: section
            .within(
                "drain_timeout",
                defaults::DRAIN_TIMEOUT,
                Duration::ZERO..=DAY,
            )
            .value,
    }
}
