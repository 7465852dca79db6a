//! It takes a new certificate into service when it is told to and when the files change, and lives on when it cannot.

use std::fs;

use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};

use crate::call::Call;
use crate::daemon::Daemon;
use crate::support::{Secured, connect, issue, secure};

#[test]
fn signal_renews_the_certificate_and_a_bad_one_is_told_and_survived() {
    let mut daemon = Daemon::start("");
    let mut call = call(&daemon);

    for signal in ["HUP", "USR2"] {
        let root = issue(daemon.folder.path());
        call.send();
        daemon.signal(signal);
        daemon.wait_for("certificate renewed");
        daemon.wait_for("certificates reloaded");
        call.hear();
        assert!(is_served(&daemon, &root));
    }
    let root = issue(daemon.folder.path());
    call.send();
    daemon.signal("HUP");
    daemon.wait_for("certificates reloaded");
    let other = KeyPair::generate().expect("a key").serialize_pem();
    fs::write(daemon.folder.path().join("key.pem"), other).expect("written");
    daemon.signal("HUP");
    let told = daemon.wait_for("certificate not renewed");
    assert!(
        told.contains("key.pem: the private key does not belong"),
        "{told}"
    );
    daemon.wait_for("certificates reloaded");
    call.hear();
    assert!(is_served(&daemon, &root));

    // Whoever asks twice does not wait for calls.
    daemon.signal("TERM");
    daemon.wait_for("draining");
    daemon.signal("TERM");
    daemon.wait_for("stopped");
    assert!(daemon.join().success());
}

#[test]
fn changed_file_is_noticed_under_a_call_that_loses_nothing() {
    let mut daemon = Daemon::start("");
    let mut call = call(&daemon);

    let root = issue(daemon.folder.path());
    daemon.until_it_says("certificate renewed", || {
        call.send();
        call.hear();
    });

    assert!(is_served(&daemon, &root));
    assert!(!is_served(&daemon, &daemon.root));
    call.send();
    call.hear();
}

/// Parties over TLS of either version, one of them by the port that serves plain TURN too.
fn call(daemon: &Daemon) -> Call<Secured> {
    Call::hold(
        [
            ("a", daemon.tls, &TLS12),
            ("b", daemon.tls, &TLS13),
            ("c", daemon.auto, &TLS13),
        ]
        .map(|(name, to, version)| daemon.party(name, to, version)),
    )
}

/// Whether a new connection is shown the certificate `root`.
fn is_served(daemon: &Daemon, root: &CertificateDer<'static>) -> bool {
    secure(connect(daemon.tls), root, &[&TLS13], &[]).is_ok()
}
