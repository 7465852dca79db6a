//! `[[listen]]` and `[streams]`: where clients are listened for, and what a connection may cost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::file::is_group;
use super::peers::values;
use super::problem::Cause;
use super::section::{Found, Section};
use super::value::Bytes;
use super::{ListenTransport, Listener, StreamOptions, defaults};

/// Reads every `[[listen]]`.
pub(super) fn listeners(root: &mut Section<'_, '_>) -> Vec<Found<Listener>> {
    let mut seen = BTreeSet::new();
    let listeners = root.tables("listen", |section| {
        let addr = section.require::<SocketAddr>("addr", "the address and port to listen on");
        let transport = section.or("transport", defaults::TRANSPORT);
        let proxy_protocol = proxy_protocol(section, transport);
        let Found { at, value: addr } = addr?;
        if transport == ListenTransport::Dtls && !cfg!(feature = "dtls") {
            section.report(at.clone(), "transport", Cause::DtlsNotBuilt);
        }
        if addr.port() == 0 {
            section.report(at.clone(), "addr", Cause::ListenerPortZero);
        } else if !seen.insert((addr, transport.is_stream())) {
            // A port of UDP and the same port of TCP are two.
            section.report(at.clone(), "addr", Cause::ListenerTwice);
        }
        if is_group(addr.ip()) {
            section.report(at.clone(), "addr", Cause::NotUnicast);
        }
        let value = Listener {
            addr,
            transport,
            proxy_protocol,
        };
        Some(Found { at, value })
    });
    if listeners.is_empty() {
        root.report(root.place(), "listen", Cause::NoListener);
    }
    listeners.into_iter().flatten().collect()
}

fn proxy_protocol(section: &mut Section<'_, '_>, transport: ListenTransport) -> Vec<IpNet> {
    const KEY: &str = "proxy_protocol";
    let upstreams = section.list::<IpNet>(KEY);
    for Found { at, value } in &upstreams {
        if !transport.is_stream() {
            section.report(at.clone(), KEY, Cause::ProxyWithoutStream);
        } else if value.prefix_len() == 0 {
            section.report(at.clone(), KEY, Cause::ProxyEverybody(*value));
        }
    }
    values(upstreams)
}

/// Reads `[streams]`.
pub(super) fn streams(section: &mut Section<'_, '_>) -> StreamOptions {
    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    /// Twice the largest message of a stream (RFC 8656 section 12.5), so that one never fills the queue alone.
    const LEAST_QUEUE: Bytes = Bytes(128 << 10);
    const MOST: usize = 1_000_000;
    let connections = section.within("connections", defaults::CONNECTIONS, 1..=MOST);
    let per_prefix = defaults::CONNECTIONS_PER_PREFIX;
    let per_prefix = section.within("connections_per_prefix", per_prefix, 1..=MOST);
    let handshake = defaults::HANDSHAKE_TIMEOUT;
    let handshake = section.within("handshake_timeout", handshake, SECOND..=MINUTE);
    let idle = section.within("idle_timeout", defaults::IDLE_TIMEOUT, SECOND..=HOUR);
    let queue = Bytes(defaults::SEND_QUEUE);
    let queue = section.within("send_queue", queue, LEAST_QUEUE..=Bytes(64 << 20));
    let ages = Duration::from_millis(10)..=MINUTE;
    let age = section.within("send_queue_age", defaults::SEND_QUEUE_AGE, ages);
    let keepalive = section.within("keepalive", defaults::KEEPALIVE, SECOND * 10..=HOUR * 2);
    StreamOptions {
        connections: connections.value,
        connections_per_prefix: per_prefix.value,
        handshake_timeout: handshake.value,
        idle_timeout: idle.value,
        send_queue: queue.value.0,
        send_queue_age: age.value,
        keepalive: keepalive.value,
    }
}
