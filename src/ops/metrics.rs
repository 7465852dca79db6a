//! Every metric: its name, unit, help and labels, in one place.
//!
//! A [`Snapshot`] holds plain numbers, filled in by the shell from the counters of all workers when somebody asks. The
//! value of a label is a word of the program or, for a certificate, of the configuration: no address, user, call or
//! other thing of a client can get into a metric, and the number of series does not grow with their number.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::relay::{DropReason, EndReason};
use crate::time::UnixTime;

/// Where the numbers come from.
pub trait Vitals: Send + Sync + 'static {
    /// The counters of all workers, added up.
    fn snapshot(&self) -> Snapshot;

    /// How the daemon does.
    fn health(&self) -> Health;
}

/// How the daemon does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It serves.
    Ready,
    /// It serves those it knows and takes nobody new.
    Draining,
    /// A worker makes no progress: only a restart helps.
    Stalled,
}

impl Health {
    /// The word in the answer of the health endpoints.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Stalled => "stalled",
        }
    }
}

/// The numbers of one moment. Counters only grow; those called so count from the start of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When the process started.
    pub started: UnixTime,
    /// Live allocations.
    pub allocations: u64,
    /// Counter: allocations made.
    pub allocations_created: u64,
    /// Counter: allocations ended, in the order of [`EndReason::ALL`].
    pub allocations_ended: [u64; EndReason::ALL.len()],
    /// Relayed from clients to peers.
    pub client_to_peer: Traffic,
    /// Relayed from peers to clients.
    pub peer_to_client: Traffic,
    /// Counter: packets dropped, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Counter: datagrams that a socket did not send, for whatever reason.
    pub send_drops: u64,
    /// Counter: packets that the kernel dropped because a listening socket's buffer was full.
    pub receive_drops: u64,
    /// Counters: responses sent; each pair of method and code once.
    pub responses: Vec<Responses>,
    /// Counters: requests refused by authentication; each reason once.
    pub auth_failures: Vec<Count>,
    /// Connections of stream clients.
    pub connections: Connections,
    /// Relay ports, IPv4.
    pub ipv4_ports: Ports,
    /// Relay ports, IPv6.
    pub ipv6_ports: Ports,
    /// The TLS certificates in service; each name once.
    pub certificates: Vec<CertificateExpiry>,
}

impl Snapshot {
    /// A daemon that started then and has done nothing yet.
    #[must_use]
    pub fn new(started: UnixTime) -> Self {
        Self {
            started,
            allocations: 0,
            allocations_created: 0,
            allocations_ended: [0; EndReason::ALL.len()],
            client_to_peer: Traffic::default(),
            peer_to_client: Traffic::default(),
            dropped: [0; DropReason::ALL.len()],
            send_drops: 0,
            receive_drops: 0,
            responses: Vec::new(),
            auth_failures: Vec::new(),
            connections: Connections::default(),
            ipv4_ports: Ports::default(),
            ipv6_ports: Ports::default(),
            certificates: Vec::new(),
        }
    }
}

/// Counters of application data, without headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A counter of responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responses {
    /// The method, such as `allocate`.
    pub method: &'static str,
    /// The error code, such as `401`, or `success`.
    pub code: &'static str,
    /// How many.
    pub count: u64,
}

/// A counter by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The reason's label.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// The connections of stream clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open connections, by what they speak; each word once.
    pub open: Vec<Count>,
    /// Counter: connections accepted, refused ones included.
    pub accepted: u64,
    /// Counters: connections closed; each reason once.
    pub closed: Vec<Count>,
    /// Counter: times that no connection could be accepted although one waited.
    pub accept_errors: u64,
    /// Connections with peers of TCP relays, attempts included.
    pub peers: u64,
    /// Counters: frames of media dropped because a client did not read them in time; each reason once.
    pub media_dropped: Vec<Count>,
}

/// Relay ports of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// All that may be given out.
    pub total: u64,
    /// Those that an allocation or a reservation holds.
    pub in_use: u64,
}

/// Until when a TLS certificate is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// The file of its chain, as configured.
    pub name: Arc<str>,
    /// The last moment of its validity.
    pub at: UnixTime,
}

/// Turns a snapshot into metrics whenever it is asked.
pub struct VitalsCollector {
    vitals: Arc<dyn Vitals>,
    descriptions: Vec<Desc>,
}

impl VitalsCollector {
    /// A collector over `vitals`.
    ///
    /// # Errors
    ///
    /// Where a metric's name, label or help is not valid: a defect, found by any test that calls this.
    pub fn new(vitals: Arc<dyn Vitals>) -> prometheus::Result<Self> {
        let families = families(&vitals.snapshot(), vitals.health());
        let describe = |family: &Family| {
            let labels = family.labels.iter().map(|label| (*label).to_owned());
            let (name, help) = (family.name.to_owned(), family.help.to_owned());
            Desc::new(name, help, labels.collect(), HashMap::new())
        };
        Ok(Self {
            descriptions: families.iter().map(describe).collect::<Result<_, _>>()?,
            vitals,
        })
    }
}

impl Collector for VitalsCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let families = families(&self.vitals.snapshot(), self.vitals.health());
        // The text format has no place for a family without a sample.
        let shown = families.into_iter().filter(|f| !f.samples.is_empty());
        shown.map(MetricFamily::from).collect()
    }
}

/// A metric with all its samples.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
    samples: Vec<Sample>,
}

/// The values of the labels, in the order of [`Family::labels`], and the number.
struct Sample(Vec<Cow<'static, str>>, u64);

fn families(snapshot: &Snapshot, health: Health) -> Vec<Family> {
    let process = process(snapshot, health).into_iter();
    process
        .chain(allocations(snapshot))
        .chain(traffic(snapshot))
        .chain(requests(snapshot))
        .chain(connections(&snapshot.connections))
        .chain([certificates(snapshot)])
        .collect()
}

fn process(snapshot: &Snapshot, health: Health) -> [Family; 3] {
    let version = labelled([(env!("CARGO_PKG_VERSION"), 1)]);
    [
        gauge(
            "veilturn_build_info",
            "Which version runs; always 1.",
            &["version"],
            version,
        ),
        gauge(
            "veilturn_start_time_seconds",
            "When the process started, in seconds since 1970.",
            &[],
            single(snapshot.started.as_secs()),
        ),
        gauge(
            "veilturn_ready",
            "Whether new clients are served: 1 or 0.",
            &[],
            single(u64::from(health == Health::Ready)),
        ),
    ]
}

fn allocations(snapshot: &Snapshot) -> [Family; 5] {
    let reasons = EndReason::ALL.map(EndReason::label);
    let ports = [("ipv4", snapshot.ipv4_ports), ("ipv6", snapshot.ipv6_ports)];
    let total = ports.map(|(family, ports)| (family, ports.total));
    let in_use = ports.map(|(family, ports)| (family, ports.in_use));
    [
        gauge(
            "veilturn_allocations",
            "Live allocations.",
            &[],
            single(snapshot.allocations),
        ),
        counter(
            "veilturn_allocations_created_total",
            "Allocations made.",
            &[],
            single(snapshot.allocations_created),
        ),
        counter(
            "veilturn_allocations_ended_total",
            "Allocations ended, by reason.",
            &["reason"],
            labelled(reasons.into_iter().zip(snapshot.allocations_ended)),
        ),
        gauge(
            "veilturn_relay_ports",
            "Relay ports that may be given out, by address family.",
            &["family"],
            labelled(total),
        ),
        gauge(
            "veilturn_relay_ports_in_use",
            "Relay ports that an allocation or a reservation holds, by address family.",
            &["family"],
            labelled(in_use),
        ),
    ]
}

fn traffic(snapshot: &Snapshot) -> [Family; 5] {
    let directions = [
        ("client_to_peer", snapshot.client_to_peer),
        ("peer_to_client", snapshot.peer_to_client),
    ];
    let packets = directions.map(|(direction, traffic)| (direction, traffic.packets));
    let bytes = directions.map(|(direction, traffic)| (direction, traffic.bytes));
    let reasons = DropReason::ALL.map(DropReason::label);
    [
        counter(
            "veilturn_relay_packets_total",
            "Datagrams relayed, by direction.",
            &["direction"],
            labelled(packets),
        ),
        counter(
            "veilturn_relay_bytes_total",
            "Bytes of application data relayed, by direction.",
            &["direction"],
            labelled(bytes),
        ),
        counter(
            "veilturn_dropped_packets_total",
            "Packets dropped, by reason.",
            &["reason"],
            labelled(reasons.into_iter().zip(snapshot.dropped)),
        ),
        counter(
            "veilturn_socket_send_drops_total",
            "Datagrams that a socket did not send, for whatever reason, or that found no DTLS session.",
            &[],
            single(snapshot.send_drops),
        ),
        counter(
            "veilturn_socket_receive_drops_total",
            "Packets that the kernel dropped because a listening socket's buffer was full.",
            &[],
            single(snapshot.receive_drops),
        ),
    ]
}

fn requests(snapshot: &Snapshot) -> [Family; 2] {
    let responses = snapshot.responses.iter();
    let failures = snapshot.auth_failures.iter();
    [
        counter(
            "veilturn_stun_responses_total",
            "STUN and TURN responses, by method and error code.",
            &["method", "code"],
            responses
                .map(|r| Sample(vec![r.method.into(), r.code.into()], r.count))
                .collect(),
        ),
        counter(
            "veilturn_auth_failures_total",
            "Requests refused by authentication, by reason.",
            &["reason"],
            labelled(failures.map(|failure| (failure.reason, failure.count))),
        ),
    ]
}

fn connections(connections: &Connections) -> [Family; 6] {
    let counts = |counts: &[Count]| labelled(counts.iter().map(|c| (c.reason, c.count)));
    [
        gauge(
            "veilturn_connections",
            "Open connections of stream clients and DTLS sessions, by transport.",
            &["transport"],
            counts(&connections.open),
        ),
        counter(
            "veilturn_connections_accepted_total",
            "Connections accepted, those refused included.",
            &[],
            single(connections.accepted),
        ),
        counter(
            "veilturn_connections_closed_total",
            "Connections closed, by reason.",
            &["reason"],
            counts(&connections.closed),
        ),
        counter(
            "veilturn_accept_errors_total",
            "Times that no connection could be accepted although one waited.",
            &[],
            single(connections.accept_errors),
        ),
        gauge(
            "veilturn_peer_connections",
            "Connections with peers of TCP relays, attempts included.",
            &[],
            single(connections.peers),
        ),
        counter(
            "veilturn_stream_media_dropped_total",
            "Packets dropped because a stream client did not read them in time, by reason.",
            &["reason"],
            counts(&connections.media_dropped),
        ),
    ]
}

fn certificates(snapshot: &Snapshot) -> Family {
    let certificates = snapshot.certificates.iter();
    let expiries = certificates.map(|certificate| {
        let name = certificate.name.to_string().into();
        Sample(vec![name], certificate.at.as_secs())
    });
    gauge(
        "veilturn_tls_certificate_expiry_timestamp_seconds",
        "When a TLS certificate in service expires, in seconds since 1970, by the file of its chain.",
        &["name"],
        expiries.collect(),
    )
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    samples: Vec<Sample>,
) -> Family {
    Family {
        name,
        help,
        kind: MetricType::GAUGE,
        labels,
        samples,
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    samples: Vec<Sample>,
) -> Family {
    Family {
        name,
        help,
        kind: MetricType::COUNTER,
        labels,
        samples,
    }
}

fn single(value: u64) -> Vec<Sample> {
    vec![Sample(Vec::new(), value)]
}

fn labelled(values: impl IntoIterator<Item = (&'static str, u64)>) -> Vec<Sample> {
    let values = values.into_iter();
    values
        .map(|(label, value)| Sample(vec![label.into()], value))
        .collect()
}

impl From<Family> for MetricFamily {
    fn from(family: Family) -> Self {
        let metric = |Sample(values, number): Sample| {
            let mut metric = Metric::default();
            let pairs = family.labels.iter().zip(values);
            metric.set_label(pairs.map(|(name, value)| label(name, &value)).collect());
            // A float holds every whole number up to 2^53, which no counter here reaches.
            let value = number as f64;
            if family.kind == MetricType::COUNTER {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            metric
        };
        let mut shown = Self::default();
        shown.set_name(family.name.to_owned());
        shown.set_help(family.help.to_owned());
        shown.set_field_type(family.kind);
        shown.set_metric(family.samples.into_iter().map(metric).collect());
        shown
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
