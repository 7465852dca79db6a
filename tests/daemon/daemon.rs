//! `veilturn serve`, what it logs, and clients of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;
use veilturn::auth::{Credential, PeerScope};
use veilturn::server::Clock;

use crate::support::{self, PATIENCE, Party, SECRET, Secured, connect, issue, secure};

/// Lines of the log that may wait to be looked at.
const LINES: usize = 4096;

/// A daemon that listens for TLS, for either and for TCP, on ports of its choice.
pub(crate) struct Daemon {
    child: Child,
    clock: Clock,
    log: Receiver<String>,
    pub(crate) folder: TempDir,
    /// What its first certificate is checked against.
    pub(crate) root: CertificateDer<'static>,
    pub(crate) tls: SocketAddr,
    pub(crate) auto: SocketAddr,
    pub(crate) tcp: SocketAddr,
}

impl Daemon {
    /// Starts one with `more` at the end of its configuration, of `[runtime]`.
    pub(crate) fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = issue(folder.path());
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        write("secret", SECRET).expect("written");
        write("veilturn.toml", &format!("{CONFIGURATION}{more}")).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_veilturn"))
            .env_clear()
            .args(["serve", "--config"])
            .arg(folder.path().join("veilturn.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let (sender, log) = sync_channel(LINES);
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let nowhere = ([0, 0, 0, 0], 0).into();
        let mut daemon = Self {
            child,
            clock: Clock::start(),
            log,
            folder,
            root,
            tls: nowhere,
            auto: nowhere,
            tcp: nowhere,
        };
        let [tls, auto, tcp] = [(); 3].map(|()| {
            let line = daemon.wait_for("listening");
            let mut fields = line.split_whitespace();
            let addr = fields.find_map(|field| field.strip_prefix("addr="));
            addr.expect("an address").parse().expect("an address")
        });
        daemon.wait_for("relaying");
        (daemon.tls, daemon.auto, daemon.tcp) = (tls, auto, tcp);
        daemon
    }

    /// The next line with that text; the ones before are passed over.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut passed = String::new();
        loop {
            let line = match self.log.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(error @ (RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) => {
                    panic!("no {text:?} ({error}) in {passed}")
                }
            };
            if line.contains(text) {
                return line;
            }
            passed += &line;
            passed.push('\n');
        }
    }

    /// Does something again and again, until the next line with that text.
    pub(crate) fn until_it_says(&mut self, text: &str, mut act: impl FnMut()) {
        let start = self.clock.now().tick;
        while !self.log.try_iter().any(|line| line.contains(text)) {
            act();
            let passed = self.clock.now().tick.since(start);
            assert!(passed < PATIENCE, "it never says {text:?}");
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(kill.expect("a shell").success());
    }

    /// Waits until it has ended.
    pub(crate) fn join(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    pub(crate) fn credential(&self, scope: PeerScope, name: &str) -> Credential {
        support::credential(self.clock.now().unix, scope, name)
    }

    /// A party of the call, over TLS.
    pub(crate) fn party(
        &self,
        name: &str,
        to: SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> Party<Secured> {
        let secured = secure(connect(to), &self.root, &[version], &[]).expect("a handshake");
        Party::with(self.credential(PeerScope::Call, name), name, secured)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After a failed assertion; otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CONFIGURATION: &str = r#"realm = "relay.test"
[[listen]]
addr = "127.0.0.1:0"
transport = "tls"
[[listen]]
addr = "127.0.0.1:0"
transport = "auto"
[[listen]]
addr = "127.0.0.1:0"
transport = "tcp"
[[tls.certificate]]
chain_file = "chain.pem"
key_file = "key.pem"
[[auth.secret]]
id = "a"
value_file = "secret"
[relay]
ipv4 = { bind = "127.0.0.1", advertise = "127.0.0.1" }
tcp = true
[peers]
policy = "public"
allow = ["127.0.0.0/8"]
[metrics]
listen = "off"
[runtime]
workers = 1
pin_cpus = false
"#;
