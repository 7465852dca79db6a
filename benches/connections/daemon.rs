//! The daemon as a process of its own, with one worker on the first core.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::ServerName;
use rustls::{RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use veilturn::auth::{Credential, Secret, mint};
use veilturn::time::UnixTime;
use zeroize::Zeroizing;

use super::meter::Meter;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The name in its certificate.
const NAME: &str = "bench.test";

const SECRET: &str = "a secret of the benchmark alone, of 43 bytes";

/// A running daemon; killed when this is dropped.
pub(crate) struct Daemon {
    process: Child,
    folder: TempDir,
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
    metrics: SocketAddr,
    roots: RootCertStore,
    secret: Secret,
    pub(crate) meter: Meter,
}

impl Daemon {
    /// Starts it on the first core, and waits until it serves.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let issued = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]);
        let issued = issued.expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(issued.cert.der().clone()).expect("a root");
        let metrics =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let metrics = metrics.expect("a free port");
        for (name, text) in [
            ("chain.pem", issued.cert.pem()),
            ("key.pem", issued.signing_key.serialize_pem()),
            ("secret", SECRET.to_owned()),
            ("veilturn.toml", configuration(metrics)),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a writable folder");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_veilturn"));
        command
            .args(["serve", "-c"])
            .arg(folder.path().join("veilturn.toml"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        // What a thread starts stays on its core.
        let spawned = on_core(0, || command.spawn());
        let process = spawned.expect("a daemon");
        let meter = Meter::process(process.id()).expect("a process that may be looked at");
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut daemon = Self {
            process,
            folder,
            udp: nowhere,
            tcp: nowhere,
            tls: nowhere,
            metrics,
            roots,
            secret: Secret::new("bench", Zeroizing::new(SECRET.into())).expect("a secret"),
            meter,
        };
        [daemon.udp, daemon.tcp, daemon.tls] = daemon.listeners();
        daemon.until("it serves its metrics", |daemon| daemon.scrape().is_ok());
        daemon
    }

    /// Where a client of that number has its credential from.
    pub(crate) fn credential(&self, number: u64) -> Credential {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let expires = UnixTime::from_secs(now.expect("a clock that is set").as_secs() + 3_600);
        mint(&self.secret, expires, Some(&format!("client-{number}"))).expect("a sound id")
    }

    /// What clients speak TLS of the version `version` with. Nothing is resumed: every handshake is a full one.
    pub(crate) fn client_config(
        &self,
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_protocol_versions(&[version]).expect("versions");
        let config = config.with_root_certificates(self.roots.clone());
        let mut config = config.with_no_client_auth();
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    /// What it is called.
    pub(crate) fn name() -> ServerName<'static> {
        ServerName::try_from(NAME).expect("a name")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn secret_file(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// Its memory, in bytes.
    pub(crate) fn resident(&self) -> f64 {
        self.meter.resident().expect("a kernel that tells") as f64
    }

    /// The sum of a metric over the series whose labels have `label` in them.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.scrape().expect("metrics");
        let series = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        });
        let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// The connections that it has.
    pub(crate) fn connections(&self) -> f64 {
        self.metric("veilturn_connections", "")
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < PATIENCE, "never came true: {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Reads where it listens from its log, and goes on reading that.
    fn listeners(&mut self) -> [SocketAddr; 3] {
        let log = self.process.stderr.take().expect("a pipe");
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let mut next = || {
            lines.by_ref().find_map(|line| {
                let entry: serde_json::Value = serde_json::from_str(&line).ok()?;
                if entry["message"] != "listening" {
                    return None;
                }
                entry["addr"].as_str()?.parse().ok()
            })
        };
        let found = [next(), next(), next()].map(|addr| addr.expect("a daemon that starts"));
        thread::spawn(move || lines.for_each(drop));
        found
    }

    fn scrape(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.metrics)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.metrics
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs something on a core, with all the threads and processes that it starts. Where there is but one core, all share
/// it.
pub(crate) fn on_core<T: Send>(core: usize, run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let running = scope.spawn(move || {
            let _ = veilturn::net::stay_on_core(core);
            run()
        });
        running
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The address of a client of that number, port open: so many of them that none has more connections than a prefix may.
pub(crate) fn address(number: u64) -> SocketAddr {
    let [.., a, b] = (number % 50_000).to_be_bytes();
    SocketAddr::from(([127, 64, a, b.max(1)], 0))
}

/// The limits on connections are the defaults, but for two: connections without an allocation stay, so that they can be
/// looked at, and those that are stuck in the handshake are closed, and so replaced, five times as often.
fn configuration(metrics: SocketAddr) -> String {
    format!(
        r#"
realm = "bench.test"
[[listen]]
addr = "127.0.0.1:0"
[[listen]]
addr = "127.0.0.1:0"
transport = "tcp"
[[listen]]
addr = "127.0.0.1:0"
transport = "tls"
[[tls.certificate]]
chain_file = "chain.pem"
key_file = "key.pem"
[streams]
handshake_timeout = "2s"
idle_timeout = "1h"
[relay]
ports = "10000-29999"
ipv4 = {{ bind = "127.0.0.1", advertise = "127.0.0.1" }}
[[auth.secret]]
id = "bench"
value_file = "secret"
[lifetimes]
quarantine = "0s"
[limits]
challenges_per_second = 1000000
[log]
format = "json"
[metrics]
listen = "{metrics}"
[runtime]
workers = 1
pin_cpus = false
drain_timeout = "1s"
"#
    )
}
