//! A running daemon takes a new certificate into service when it is told to, and lives on when it cannot.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rcgen::{CertificateParams, KeyPair};

#[test]
fn signal_renews_the_certificate_and_a_bad_one_is_told_and_survived() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    issue(folder.path());
    fs::write(path("secret"), "Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a\n").expect("written");
    fs::write(path("veilturn.toml"), CONFIGURATION).expect("written");
    let mut daemon = Daemon::start(&path("veilturn.toml"));
    daemon.wait_for("serving a certificate");
    daemon.wait_for("relaying");

    for signal in ["HUP", "USR2"] {
        issue(folder.path());
        daemon.signal(signal);
        daemon.wait_for("certificate renewed");
        daemon.wait_for("certificates reloaded");
    }
    let other = KeyPair::generate().expect("a key").serialize_pem();
    fs::write(path("key.pem"), other).expect("written");
    daemon.signal("HUP");
    let told = daemon.wait_for("certificate not renewed");
    assert!(
        told.contains("key.pem: the private key does not belong"),
        "{told}"
    );
    daemon.wait_for("certificates reloaded");

    daemon.signal("TERM");
    daemon.wait_for("stopped");
    assert!(daemon.child.wait().expect("it ends").success());
}

const CONFIGURATION: &str = r#"realm = "relay.test"
[[listen]]
addr = "127.0.0.1:0"
[[tls.certificate]]
chain_file = "chain.pem"
key_file = "key.pem"
[relay]
ipv4 = { bind = "127.0.0.1", advertise = "127.0.0.1" }
[[auth.secret]]
id = "a"
value_file = "secret"
[metrics]
listen = "off"
[runtime]
workers = 1
pin_cpus = false
"#;

/// Writes a new certificate and its key.
fn issue(folder: &Path) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["relay.test".to_owned()]).expect("a name");
    let chain = params.self_signed(&key).expect("a certificate").pem();
    fs::write(folder.join("chain.pem"), chain).expect("written");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
}

/// `veilturn serve`, and what it logs.
struct Daemon {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Daemon {
    fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_veilturn"))
            .env_clear()
            .args(["serve", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, log }
    }

    /// The next line with that text; the ones before are passed over.
    fn wait_for(&mut self, text: &str) -> String {
        let mut passed = String::new();
        loop {
            let line = self
                .log
                .next()
                .unwrap_or_else(|| panic!("no {text:?} in {passed}"));
            let line = line.expect("text");
            if line.contains(text) {
                return line;
            }
            passed += &line;
            passed.push('\n');
        }
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status();
        assert!(kill.expect("a shell").success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After a failed assertion; otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
