//! Certificates that are renewed under live calls.

use std::fs;

use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};

use crate::call::Call;
use crate::support::{Party, Relay, connect, issue, secure};

#[test]
fn a_renewal_loses_no_packet_of_a_call_and_is_for_new_connections() {
    let relay = Relay::start();
    let mut call = Call::hold(
        [
            ("a", relay.tls, &TLS12),
            ("b", relay.tls, &TLS13),
            ("c", relay.auto, &TLS13),
        ]
        .map(|(name, to, version)| {
            let secured = relay.secure(to, &[version], &[]).unwrap();
            Party::new(&relay, name, secured)
        }),
    );
    let (folder, mut root) = (relay.folder.path(), relay.root.clone());
    let reload = || relay.server.certificates().reload(relay.server.now().unix);
    let accepted = relay.numbers().connections.accepted;

    for round in 0..6 {
        let old = root.clone();
        root = issue(folder);
        call.send();
        assert_eq!(reload().renewed.len(), 1);
        call.hear();
        assert!(is_served(&relay, &root) && !is_served(&relay, &old));

        // A chain without its key, as in the middle of a renewal, and none at all.
        let key = fs::read(folder.join("key.pem")).unwrap();
        issue(folder);
        fs::write(folder.join("key.pem"), &key).unwrap();
        call.send();
        let refused = reload();
        assert_eq!((refused.renewed.len(), refused.refused.len()), (0, 1));
        fs::write(folder.join("chain.pem"), "none").unwrap();
        assert_eq!(reload().refused.len(), 1);
        call.hear();
        assert!(is_served(&relay, &root), "in round {round}");
    }

    let numbers = relay.numbers();
    assert_eq!(
        numbers.connections.accepted - accepted,
        18,
        "the looks alone"
    );
    let open = numbers.connections.open.iter();
    let tls = open.filter(|count| count.reason == "tls");
    assert!(tls.map(|count| count.count).sum::<u64>() >= 3);
    assert_eq!(numbers.dropped.iter().sum::<u64>(), 0);
    for party in &call.parties {
        let shown = party.carrier.conn.peer_certificates().unwrap();
        assert_eq!(shown[0], relay.root);
    }
}

/// Whether a new connection is shown the certificate `root`.
fn is_served(relay: &Relay, root: &CertificateDer<'static>) -> bool {
    secure(connect(relay.tls), root, &[&TLS13], &[]).is_ok()
}
