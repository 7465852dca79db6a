//! Short tests of a relay in this process, as the command line asks for them. Nothing is said about speed.

use std::error::Error as _;
use std::io::Write as _;

use clap::Parser;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;

use super::*;
use crate::auth::PeerScope;
use crate::config::{CertificateFiles, Config, ListenTransport};
use crate::ops::metrics::Vitals as _;
use crate::server::Server;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    bench: BenchArgs,
}

/// A relay, and the secret of its credentials in a file.
struct Relay {
    server: Server,
    secret: tempfile::NamedTempFile,
}

impl Relay {
    fn start(scope: PeerScope) -> Self {
        Self::start_with(scope, |_| ())
    }

    /// A relay with a listener for TCP and one for TLS behind that for UDP, and its certificate in a file.
    fn start_streams() -> (Self, tempfile::NamedTempFile) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["relay.example.org".to_owned()]).unwrap();
        let [chain, key] = [cert.pem(), signing_key.serialize_pem()].map(|text| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        });
        let relay = Self::start_with(PeerScope::Public, |config| {
            for transport in [ListenTransport::Tcp, ListenTransport::Tls] {
                let mut listener = config.listeners[0].clone();
                listener.transport = transport;
                config.listeners.push(listener);
            }
            config.tls.certificates.push(CertificateFiles {
                chain: chain.path().to_owned(),
                key: key.path().to_owned(),
            });
        });
        (relay, chain)
    }

    fn start_with(scope: PeerScope, more: impl FnOnce(&mut Config)) -> Self {
        let text = b"a secret for the tests of the load generator";
        let mut secret = tempfile::NamedTempFile::new().unwrap();
        secret.write_all(text).unwrap();
        let value = Secret::from_file_content("s", Zeroizing::new(text.to_vec())).unwrap();
        let mut config = Config::dev(0, value);
        config.runtime.workers = 2;
        config.relay.peers.scope = scope;
        config.relay.limits.challenges_per_second = 100_000;
        more(&mut config);
        Self {
            server: Server::start(&config).unwrap(),
            secret,
        }
    }

    /// Runs `bench` with the arguments in `line`; the results as JSON.
    fn bench(&self, line: &str) -> Value {
        self.bench_at(0, line)
    }

    /// The same at another one of the listeners.
    fn bench_at(&self, listener: usize, line: &str) -> Value {
        let server = self.server.listeners()[listener];
        let secret = self.secret.path().display();
        bench(&format!("{line} --server {server} --secret-file {secret}")).unwrap()
    }
}

fn args(line: &str) -> BenchArgs {
    let words = ["bench"].into_iter().chain(line.split_whitespace());
    Command::try_parse_from(words).unwrap().bench
}

fn bench(line: &str) -> Result<Value, BenchError> {
    let args = args(&format!("{line} --quiet --json -"));
    let now = crate::server::Clock::start().now().unix;
    let mut out = Vec::new();
    run(&args, now, &mut out, &mut io::sink())?;
    Ok(serde_json::from_slice(&out).unwrap())
}

/// Everything that was sent arrived once, at the right place.
#[track_caller]
fn assert_complete(results: &Value) {
    let result = &results["result"];
    let number = |name: &str| result[name].as_u64().unwrap();
    assert!(number("sent") > 0, "{result:#}");
    assert_eq!(number("delivered"), number("sent"), "{result:#}");
    for mishap in ["lost", "duplicates", "astray"] {
        assert_eq!(number(mishap), 0, "{mishap}: {result:#}");
    }
}

/// A burst here and there, so that the slowest machine keeps up.
const GENTLE: &str = "--calls 3 --rate 600 --duration 250ms --warmup 0s";

#[test]
fn all_that_is_sent_in_a_call_arrives() {
    let relay = Relay::start(PeerScope::Public);
    for way in [
        "--channels",
        "--indications --size 161",
        "--direction up",
        "--dialect rfc8489",
    ] {
        assert_complete(&relay.bench(&format!("call {GENTLE} {way}")));
    }
}

#[test]
fn all_that_is_exchanged_with_a_plain_peer_arrives() {
    let relay = Relay::start(PeerScope::Public);
    for way in ["--channels", "--indications --size 161", "--direction down"] {
        assert_complete(&relay.bench(&format!("peer {GENTLE} {way}")));
    }
}

#[test]
fn all_that_is_sent_over_tcp_arrives() {
    let (relay, _certificate) = Relay::start_streams();
    for way in [
        "call",
        "call --indications --size 161",
        "call --size 161",
        "call --media video",
        "peer",
        "peer --indications --direction down --size 161",
    ] {
        let results = relay.bench_at(1, &format!("{way} {GENTLE} --transport tcp"));
        assert_complete(&results);
        assert_eq!(results["setup"]["transport"], "tcp");
    }
}

#[test]
fn all_that_is_sent_over_tls_arrives() {
    let (relay, certificate) = Relay::start_streams();
    let ca = certificate.path().display();
    let known = format!("--ca {ca} --server-name relay.example.org");
    for way in [
        format!("call {known}"),
        format!("call {known} --media video"),
        "call --insecure --size 161".to_owned(),
        "peer --insecure --indications --size 161".to_owned(),
    ] {
        let results = relay.bench_at(2, &format!("{way} {GENTLE} --transport tls"));
        assert_complete(&results);
        assert_eq!(results["setup"]["transport"], "tls");
    }
}

#[test]
fn a_server_that_is_not_trusted_gets_no_load() {
    let (relay, certificate) = Relay::start_streams();
    let server = relay.server.listeners()[2];
    let ca = certificate.path().display();

    // By its address, which its certificate does not name.
    let outcome = bench(&format!(
        "call {GENTLE} --transport tls --server {server} --user u --password p --ca {ca}"
    ));

    let Err(BenchError::Connection(StreamError::Tls(_))) = outcome else {
        panic!("{outcome:?}")
    };
}

#[test]
fn what_the_connections_of_a_search_do_not_take_is_told() {
    let (relay, _certificate) = Relay::start_streams();

    let results = relay.bench_at(
        1,
        "call --transport tcp --media video --calls 2 --saturate --rate 2000000 --tries 1 --step 100ms",
    );

    let step = &results["steps"][0];
    let number = |name: &str| step[name].as_u64().unwrap();
    assert!(number("sent") < number("due"), "{step:#}");
    assert!(number("delivered") <= number("sent"), "{step:#}");
    assert_eq!(step["held"], false, "{step:#}");
}

#[test]
fn what_is_not_measured_over_streams_is_refused() {
    for line in [
        "call --baseline --transport tls --insecure",
        "call --server a --transport tcp --gso",
        "call --server a --transport tls",
        "call --server a --transport tls --insecure --server-name a..b",
    ] {
        let error = bench(&format!("{line} --user u --password p")).unwrap_err();
        assert!(error.is_usage(), "{line}: {error}");
    }
}

#[test]
fn a_server_is_called_as_the_arguments_say() {
    for (line, expected) in [
        ("--server relay.example.org", "relay.example.org"),
        ("--server relay.example.org:443", "relay.example.org"),
        ("--server [::1]:443", "::1"),
        ("--server ::1", "::1"),
        ("--server 127.0.0.1 --server-name other", "other"),
    ] {
        assert_eq!(args(&format!("call {line}")).server_name(), expected);
    }
}

#[test]
fn parties_that_claim_a_call_are_in_one() {
    let relay = Relay::start(PeerScope::Call);
    assert_complete(&relay.bench(&format!("call {GENTLE} --claims")));
}

#[test]
fn bursts_arrive_with_and_without_offload() {
    let relay = Relay::start(PeerScope::Public);
    let video = "--media video --burst 5 --calls 2 --rate 500 --duration 200ms --warmup 0s";
    assert_complete(&relay.bench(&format!("call {video}")));
    let sound = Offload::probe();
    if sound.gso && sound.gro {
        assert_complete(&relay.bench(&format!("call {video} --gso --gro")));
        assert_complete(&relay.bench(&format!("peer {video} --gso --gro")));
    }
}

#[test]
fn all_that_is_sent_through_the_bare_forwarder_arrives() {
    for scenario in ["call", "peer"] {
        assert_complete(&bench(&format!("{scenario} {GENTLE} --baseline")).unwrap());
    }
}

#[test]
fn a_search_tells_every_rate_that_it_tried() {
    let relay = Relay::start(PeerScope::Public);

    let results = relay.bench("call --saturate --rate 200 --tries 2 --step 100ms");

    let steps = results["steps"].as_array().unwrap();
    // One more where other processes got in the way of the first.
    assert!((2..=3).contains(&steps.len()), "{results:#}");
    assert_eq!(steps[0]["target_pps"], 200);
}

#[test]
fn allocations_are_made_counted_and_given_back() {
    let relay = Relay::start(PeerScope::Public);

    let results = relay.bench("allocations --calls 20 --in-flight 4 --duration 200ms");

    let found = &results["allocations"];
    assert_eq!(found["held"], 20, "{found:#}");
    assert!(found["granted"].as_u64().unwrap() > 0, "{found:#}");
    assert_eq!(found["failed"], serde_json::json!({}), "{found:#}");
    assert_eq!(relay.server.allocations(), 0);
}

#[test]
fn each_allocation_over_a_stream_has_a_connection_of_its_own() {
    let (relay, _certificate) = Relay::start_streams();
    for (listener, way) in [(1, "tcp"), (2, "tls --insecure")] {
        let accepted = || relay.server.vitals().snapshot().connections.accepted;
        let before = accepted();

        let results = relay.bench_at(
            listener,
            &format!("allocations --calls 20 --in-flight 4 --duration 200ms --transport {way}"),
        );

        let found = &results["allocations"];
        let granted = found["granted"].as_u64().unwrap();
        assert!(granted > 0, "{found:#}");
        assert_eq!(found["failed"], serde_json::json!({}), "{found:#}");
        // Those that were held, those that were counted, and those that had begun at the end.
        let expected = 20 + granted..=20 + granted + 4;
        assert!(expected.contains(&(accepted() - before)), "{found:#}");
        assert_eq!(relay.server.allocations(), 0);
    }
}

#[test]
fn a_server_that_refuses_ends_the_test_with_its_code() {
    let relay = Relay::start(PeerScope::Call);
    let server = relay.server.listeners()[0];

    let outcome = bench(&format!(
        "call {GENTLE} --server {server} --user nobody --password x"
    ));

    let refused = BenchError::Refused(RequestError::Refused(401));
    assert_eq!(
        outcome.unwrap_err().source().unwrap().to_string(),
        refused.source().unwrap().to_string()
    );
}

#[test]
fn the_names_in_json_are_those_of_the_schema() {
    let relay = Relay::start(PeerScope::Public);
    let pid = std::process::id();

    let results = relay.bench(&format!("call {GENTLE} --pid {pid} --name ours"));

    assert_eq!(results["schema"], "veilturn-bench/1");
    assert_eq!(results["name"], "ours");
    let names =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    // Sorted, as the map of serde_json is.
    assert_eq!(
        names(&results),
        [
            "allocations",
            "bottleneck",
            "intervals",
            "name",
            "result",
            "schema",
            "setup",
            "steps",
            "version"
        ]
    );
    assert_eq!(
        names(&results["result"]),
        [
            "astray",
            "bottleneck",
            "delivered",
            "delivered_bytes_per_second",
            "delivered_pps",
            "dropped_by_generator",
            "due",
            "duplicates",
            "generator_busy",
            "generator_waited",
            "held",
            "latency_from_schedule_us",
            "latency_us",
            "lateness_us",
            "loss",
            "lost",
            "reordered",
            "seconds",
            "sent",
            "sent_pps",
            "server",
            "tail_us",
            "target_pps"
        ]
    );
    assert_eq!(
        names(&results["result"]["latency_us"]),
        ["max", "p50", "p90", "p99", "p999"]
    );
    assert_eq!(
        names(&results["result"]["server"]),
        [
            "busiest_thread_share",
            "busiest_thread_waited",
            "cpu_share",
            "cpu_us_per_packet",
            "resident_bytes"
        ]
    );
}

#[test]
fn arguments_that_contradict_each_other_are_refused() {
    let secret = "--secret-file x";
    for line in [
        "call",
        "call --server a --baseline",
        "call --server a --user b",
        "call --server a --channels --indications",
        "call --server a --baseline-cpu 1",
        "call --server a --size 31",
        "nothing --server a",
    ] {
        let words = format!("bench {line} {secret}");
        assert!(
            Command::try_parse_from(words.split_whitespace()).is_err(),
            "{line}"
        );
    }
}

#[test]
fn a_server_is_found_with_and_without_a_port() {
    for (text, expected) in [
        ("127.0.0.1", "127.0.0.1:3478"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("[::1]", "[::1]:3478"),
        ("[::1]:5000", "[::1]:5000"),
        ("::1", "[::1]:3478"),
    ] {
        let server = args(&format!("call --server {text}")).server().unwrap();
        assert_eq!(server, Some(expected.parse().unwrap()), "{text}");
    }
}
