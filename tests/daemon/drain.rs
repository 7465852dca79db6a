//! It lets calls end by themselves when it is told to end, for as long as it was configured to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};

use rustls::version::{TLS12, TLS13};
use veilturn::auth::PeerScope;
use veilturn::client::{AllocateOptions, RequestError};

use crate::call::Call;
use crate::daemon::Daemon;
use crate::support::{NOW, connect, secure};
use crate::turn::{PEER, Turn, read};

#[test]
fn call_lives_on_until_its_end_which_is_the_daemons() {
    let mut daemon = Daemon::start("drain_timeout = \"24h\"");
    let parties = [
        ("a", daemon.tls, &TLS12),
        ("b", daemon.auto, &TLS13),
        ("c", daemon.tls, &TLS13),
    ];
    let mut call = Call::hold(parties.map(|(name, to, version)| daemon.party(name, to, version)));
    call.send();

    daemon.signal("TERM");
    daemon.wait_for("draining");
    call.hear();

    // Clients are still answered, but nobody new is taken in.
    let mut late = daemon.party("d", daemon.tls, &TLS13);
    let request = late.client.allocate(NOW, AllocateOptions::default());
    let refused = late.settle(request.expect("room"));
    assert_eq!(refused, Err(RequestError::Refused(508)));
    for _ in 0..20 {
        call.send();
        call.hear();
    }
    let leaving = call.parties.split_off(1);
    drop(leaving);
    drop(call);
    daemon.wait_for("stopped");
    assert!(daemon.join().success());
}

#[test]
fn peers_are_connected_to_and_heard_out_while_it_drains() {
    let mut daemon = Daemon::start("drain_timeout = \"24h\"");
    let mut alice = turn(&daemon);
    alice.allocate();
    let listener = TcpListener::bind(PEER).expect("a port");
    let at = listener.local_addr().expect("bound");
    let before = alice.connect(at);
    let (mut early, _) = listener.accept().expect("a connection");

    daemon.signal("TERM");
    daemon.wait_for("draining");
    let mut data = alice.another(connect(daemon.tcp)).bind(before);
    data.write_all(b"question").expect("a relay that reads");
    data.shutdown(Shutdown::Write).expect("open");
    let mut question = String::new();
    early.read_to_string(&mut question).expect("text");
    early.write_all(&[7; 1 << 20]).expect("a relay that reads");
    drop(early);
    let mut answer = Vec::new();
    data.read_to_end(&mut answer).expect("a clean end");
    // And so is a peer that nobody knew of before.
    let other = TcpListener::bind(PEER).expect("a port");
    let id = alice.connect(other.local_addr().expect("bound"));
    let (mut peer, _) = other.accept().expect("a connection");
    let mut data = alice.another(connect(daemon.tcp)).bind(id);
    peer.write_all(b"late").expect("a relay that reads");

    assert_eq!(question, "question");
    assert!(answer == [7; 1 << 20], "{} bytes", answer.len());
    assert_eq!(read(&mut data, 4), b"late");
    drop(alice);
    daemon.wait_for("stopped");
    assert!(daemon.join().success());
}

#[test]
fn whoever_stays_too_long_hears_a_farewell() {
    let mut daemon = Daemon::start("drain_timeout = \"0s\"");
    let mut call = Call::hold([
        daemon.party("a", daemon.tls, &TLS12),
        daemon.party("b", daemon.auto, &TLS13),
    ]);
    let mut alice = turn(&daemon);
    alice.allocate();
    let listener = TcpListener::bind(PEER).expect("a port");
    let id = alice.connect(listener.local_addr().expect("bound"));
    let (mut peer, _) = listener.accept().expect("a connection");
    let secured = secure(connect(daemon.tls), &daemon.root, &[&TLS13], &[]);
    let mut data = alice.another(secured.expect("a handshake")).bind(id);
    data.write_all(b"last words").expect("a relay that reads");
    assert_eq!(read(&mut peer, 10), b"last words");
    call.send();
    call.hear();

    daemon.signal("TERM");
    daemon.wait_for("draining took too long");
    daemon.wait_for("stopped");

    assert!(daemon.join().success());
    let parties = call.parties.iter_mut();
    for secured in parties.map(|party| &mut party.carrier).chain([&mut data]) {
        // Without close_notify, this would be an error.
        assert_eq!(secured.read(&mut [0; 8]).expect("a farewell"), 0);
    }
    for stream in [&mut alice.stream, &mut peer] {
        assert_eq!(stream.read(&mut [0; 8]).expect("no reset"), 0);
    }
}

/// A client of TCP relays.
fn turn(daemon: &Daemon) -> Turn<std::net::TcpStream> {
    let credential = daemon.credential(PeerScope::Public, "t");
    Turn::new(credential, connect(daemon.tcp))
}
