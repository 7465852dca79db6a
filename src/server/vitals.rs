//! What the daemon's metrics and health are made of.

use std::sync::Arc;

use super::clock::Clock;
use super::heart::Heart;
use super::streams::{CloseReason, Speaks, StreamCounters};
use super::tls::Certificates;
use crate::auth::Reject;
use crate::net::UdpSocket;
use crate::ops::metrics::{
    Connections, Count, Health, Ports, Responses, Snapshot, Traffic, Vitals,
};
use crate::relay::{Answered, Counter, Counters, Shared};
use crate::time::UnixTime;
use crate::wire::Family;

/// The counters of all workers of a server.
pub(super) struct ServerVitals {
    pub(super) clock: Clock,
    pub(super) started: UnixTime,
    pub(super) shared: Arc<Shared>,
    pub(super) certificates: Arc<Certificates>,
    pub(super) workers: Vec<WorkerVitals>,
}

/// What one worker counts.
#[derive(Clone)]
pub(super) struct WorkerVitals {
    pub(super) counters: Arc<Counters>,
    /// Datagrams that were not sent, for whatever reason.
    pub(super) unsent: Arc<Counter>,
    pub(super) listeners: Arc<[UdpSocket]>,
    /// Those that speak DTLS.
    pub(super) dtls_listeners: Arc<[UdpSocket]>,
    pub(super) streams: Arc<StreamCounters>,
    pub(super) heart: Heart,
}

impl Vitals for ServerVitals {
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new(self.started);
        snapshot.responses = responses();
        snapshot.auth_failures = Reject::ALL
            .map(|reject| Count {
                reason: reject.label(),
                count: 0,
            })
            .to_vec();
        snapshot.connections = connections();
        for worker in &self.workers {
            add(worker, &mut snapshot);
        }
        snapshot.certificates = self.certificates.expires();
        snapshot.ipv4_ports = self.ports(Family::V4);
        snapshot.ipv6_ports = self.ports(Family::V6);
        snapshot
    }

    fn health(&self) -> Health {
        let now = self.clock.now().tick;
        if self
            .workers
            .iter()
            .any(|worker| worker.heart.is_stalled(now))
        {
            Health::Stalled
        } else if self.shared.is_draining() {
            Health::Draining
        } else {
            Health::Ready
        }
    }
}

impl ServerVitals {
    fn ports(&self, family: Family) -> Ports {
        let (in_use, total) = self.shared.ports_in_use(family).unwrap_or_default();
        Ports {
            total: total as u64,
            in_use: in_use as u64,
        }
    }
}

/// A zero counter for every response that can be sent.
fn responses() -> Vec<Responses> {
    let codes = Answered::CODES.map(Answered::code_label);
    let rows = Answered::METHODS.iter();
    rows.flat_map(|method| {
        codes.map(|code| Responses {
            method,
            code,
            count: 0,
        })
    })
    .collect()
}

/// Adds one worker's counters.
fn add(worker: &WorkerVitals, to: &mut Snapshot) {
    let WorkerVitals {
        counters,
        unsent,
        listeners,
        dtls_listeners,
        streams,
        heart: _,
    } = worker;
    to.allocations += counters.allocations.value();
    to.allocations_created += counters.allocated.value();
    add_all(&mut to.allocations_ended, &counters.ended);
    add_all(&mut to.dropped, &counters.drops);
    add_traffic(&mut to.client_to_peer, &counters.to_peers);
    add_traffic(&mut to.peer_to_client, &counters.to_clients);
    to.send_drops += unsent.value() + streams.unsent.value();
    add_connections(streams, &mut to.connections);
    let drops = listeners
        .iter()
        .chain(&**dtls_listeners)
        .filter_map(|listener| listener.receive_drops().ok());
    to.receive_drops += drops.map(u64::from).sum::<u64>();
    for (sum, counter) in to
        .responses
        .iter_mut()
        .zip(counters.responses.iter().flatten())
    {
        sum.count += counter.value();
    }
    for (sum, counter) in to.auth_failures.iter_mut().zip(&counters.rejects) {
        sum.count += counter.value();
    }
}

/// A zero counter for everything that connections are counted by.
fn connections() -> Connections {
    let zero = |reason| Count { reason, count: 0 };
    Connections {
        open: Speaks::ALL.map(|speaks| zero(speaks.label())).to_vec(),
        closed: CloseReason::ALL.map(|reason| zero(reason.label())).to_vec(),
        media_dropped: ["crowded", "late"].map(zero).to_vec(),
        ..Connections::default()
    }
}

fn add_connections(streams: &StreamCounters, to: &mut Connections) {
    let add = |sums: &mut [Count], counters: &[Counter]| {
        for (sum, counter) in sums.iter_mut().zip(counters) {
            sum.count += counter.value();
        }
    };
    add(&mut to.open, &streams.open);
    add(&mut to.closed, &streams.closed);
    add(&mut to.media_dropped, &streams.media_dropped);
    to.accepted += streams.accepted.value();
    to.peers += streams.peers.value();
    to.accept_errors += streams.accept_errors.value();
}

fn add_all(sums: &mut [u64], counters: &[Counter]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.value();
    }
}

fn add_traffic(sum: &mut Traffic, counted: &crate::relay::Traffic) {
    sum.packets += counted.packets.value();
    sum.bytes += counted.bytes.value();
}
