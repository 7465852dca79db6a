//! The endpoints over real connections.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::super::metrics::{
    CertificateExpiry, Connections, Count, Ports, Responses, Snapshot, Traffic,
};
use super::*;
use crate::relay::{DropReason, EndReason};
use crate::time::UnixTime;

#[tokio::test]
async fn metrics_show_every_number_of_the_snapshot() {
    let server = Server::start(Patient::new(Health::Ready)).await;
    let answer = server.get("/metrics").await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(head.contains("connection: close"), "{head}");
    let samples: Vec<_> = body.lines().filter(|line| !line.starts_with('#')).collect();
    let version = env!("CARGO_PKG_VERSION");
    let mut expected = vec![
        "veilturn_allocations 3".to_owned(),
        "veilturn_allocations_created_total 10".to_owned(),
    ];
    expected.extend(by_reason(
        "veilturn_allocations_ended_total",
        EndReason::ALL.map(EndReason::label),
    ));
    expected.push("veilturn_auth_failures_total{reason=\"expired\"} 5".to_owned());
    expected.push(format!("veilturn_build_info{{version=\"{version}\"}} 1"));
    expected.extend(by_reason(
        "veilturn_dropped_packets_total",
        DropReason::ALL.map(DropReason::label),
    ));
    expected.extend(
        [
            "veilturn_accept_errors_total 16",
            "veilturn_connections{transport=\"tls\"} 13",
            "veilturn_connections_accepted_total 14",
            "veilturn_connections_closed_total{reason=\"idle\"} 15",
            "veilturn_peer_connections 18",
            "veilturn_ready 1",
            "veilturn_relay_bytes_total{direction=\"client_to_peer\"} 700",
            "veilturn_relay_bytes_total{direction=\"peer_to_client\"} 800",
            "veilturn_relay_packets_total{direction=\"client_to_peer\"} 7",
            "veilturn_relay_packets_total{direction=\"peer_to_client\"} 8",
            "veilturn_relay_ports{family=\"ipv4\"} 100",
            "veilturn_relay_ports{family=\"ipv6\"} 0",
            "veilturn_relay_ports_in_use{family=\"ipv4\"} 3",
            "veilturn_relay_ports_in_use{family=\"ipv6\"} 0",
            "veilturn_socket_receive_drops_total 12",
            "veilturn_socket_send_drops_total 11",
            "veilturn_start_time_seconds 1700000000",
            "veilturn_stream_media_dropped_total{reason=\"late\"} 17",
            "veilturn_stun_responses_total{code=\"401\",method=\"allocate\"} 9",
            "veilturn_stun_responses_total{code=\"success\",method=\"allocate\"} 10",
            "veilturn_tls_certificate_expiry_timestamp_seconds{name=\"a/b \\\"c\\\".pem\"} 1800000000",
        ]
        .map(str::to_owned),
    );
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    let samples = samples.into_iter().map(in_order_of_labels).collect();
    assert_eq!(sorted(samples), sorted(expected));
}

#[tokio::test]
async fn every_metric_is_described_and_named_by_the_rules() {
    let server = Server::start(Patient::new(Health::Ready)).await;
    let answer = server.get("/metrics").await;
    let mut kinds = 0;
    for line in answer
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
    {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        assert!(name.starts_with("veilturn_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(answer.contains(&format!("# HELP {name} ")), "{name}");
        kinds += 1;
    }
    assert_eq!(kinds, 22);
}

#[tokio::test]
async fn each_scrape_reads_the_numbers_anew() {
    let patient = Patient::new(Health::Ready);
    let server = Server::start(Arc::clone(&patient)).await;
    server.get("/metrics").await;
    patient.allocations.store(4, Ordering::Relaxed);
    let answer = server.get("/metrics").await;
    assert!(answer.contains("\nveilturn_allocations 4\n"), "{answer}");
}

#[tokio::test]
async fn health_endpoints_answer_by_health() {
    let cases = [
        (Health::Ready, "200 OK", "200 OK", "ready"),
        (
            Health::Draining,
            "200 OK",
            "503 Service Unavailable",
            "draining",
        ),
        (
            Health::Stalled,
            "503 Service Unavailable",
            "503 Service Unavailable",
            "stalled",
        ),
    ];
    for (health, live, ready, word) in cases {
        let server = Server::start(Patient::new(health)).await;
        for (path, status) in [("/livez", live), ("/readyz", ready)] {
            let answer = server.get(path).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{answer}"
            );
            assert!(answer.ends_with(&format!("\r\n\r\n{word}\n")), "{answer}");
        }
        let ready = u8::from(health == Health::Ready);
        let metrics = server.get("/metrics").await;
        assert!(
            metrics.contains(&format!("\nveilturn_ready {ready}\n")),
            "{metrics}"
        );
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let server = Server::start(Patient::new(Health::Ready)).await;
    let answer = server.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let answer = server
        .ask("POST /metrics HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn connection_that_says_nothing_is_closed() {
    let listener = listener().await;
    let addr = listener.local_addr().expect("bound");
    let mut bounded = Bounded::new(listener, Duration::from_millis(1));
    let mut client = TcpStream::connect(addr).await.expect("connected");
    let (mut stream, _) = bounded.accept().await;
    let read = stream.read(&mut [0; 1]).await;
    assert_eq!(read.expect_err("late").kind(), io::ErrorKind::TimedOut);
    drop(stream);
    assert_eq!(client.read(&mut [0; 1]).await.expect("closed"), 0);
}

#[tokio::test]
async fn closed_connection_makes_room_for_another() {
    let listener = listener().await;
    let addr = listener.local_addr().expect("bound");
    let mut bounded = Bounded::new(listener, DEADLINE);
    let _client = TcpStream::connect(addr).await.expect("connected");
    let stream = bounded.accept().await;
    assert_eq!(bounded.free.available_permits(), MOST_CONNECTIONS - 1);
    drop(stream);
    assert_eq!(bounded.free.available_permits(), MOST_CONNECTIONS);
}

#[tokio::test]
async fn server_ends_when_it_is_told_to() {
    let server = Server::start(Patient::new(Health::Ready)).await;
    server.stop.send(()).expect("it listens");
    server.task.await.expect("no panic").expect("no error");
}

/// A daemon with fixed numbers.
struct Patient {
    health: Health,
    allocations: AtomicU64,
}

impl Patient {
    fn new(health: Health) -> Arc<Self> {
        let allocations = AtomicU64::new(3);
        Arc::new(Self {
            health,
            allocations,
        })
    }
}

impl Vitals for Patient {
    fn snapshot(&self) -> Snapshot {
        let mut ended = [0; EndReason::ALL.len()];
        let mut dropped = [0; DropReason::ALL.len()];
        (1..).zip(&mut ended).for_each(|(n, slot)| *slot = n);
        (1..).zip(&mut dropped).for_each(|(n, slot)| *slot = n);
        let responses = |code, count| Responses {
            method: "allocate",
            code,
            count,
        };
        let count = |reason, count| Count { reason, count };
        Snapshot {
            allocations: self.allocations.load(Ordering::Relaxed),
            allocations_created: 10,
            allocations_ended: ended,
            client_to_peer: Traffic {
                packets: 7,
                bytes: 700,
            },
            peer_to_client: Traffic {
                packets: 8,
                bytes: 800,
            },
            dropped,
            send_drops: 11,
            receive_drops: 12,
            responses: vec![responses("401", 9), responses("success", 10)],
            auth_failures: vec![count("expired", 5)],
            connections: Connections {
                open: vec![count("tls", 13)],
                accepted: 14,
                closed: vec![count("idle", 15)],
                accept_errors: 16,
                peers: 18,
                media_dropped: vec![count("late", 17)],
            },
            ipv4_ports: Ports {
                total: 100,
                in_use: 3,
            },
            certificates: vec![CertificateExpiry {
                name: "a/b \"c\".pem".into(),
                at: UnixTime::from_secs(1_800_000_000),
            }],
            ..Snapshot::new(UnixTime::from_secs(1_700_000_000))
        }
    }

    fn health(&self) -> Health {
        self.health
    }
}

struct Server {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(patient: Arc<Patient>) -> Self {
        let listener = listener().await;
        let addr = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(listener, patient, shutdown));
        Self { addr, stop, task }
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        self.ask(&request).await
    }

    /// Sends the request and reads until the server closes.
    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

/// One sample a reason, counted from 1.
fn by_reason<const N: usize>(name: &str, reasons: [&str; N]) -> Vec<String> {
    let numbered = reasons.iter().zip(1..);
    numbered
        .map(|(reason, n)| format!("{name}{{reason=\"{reason}\"}} {n}"))
        .collect()
}

/// The sample with its labels sorted by name.
fn in_order_of_labels(line: &str) -> String {
    let Some((name, rest)) = line.split_once('{') else {
        return line.to_owned();
    };
    let (labels, value) = rest.split_once('}').expect("closed");
    let mut labels: Vec<_> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}{value}", labels.join(","))
}
