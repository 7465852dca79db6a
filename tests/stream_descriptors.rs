//! Accepting connections when the process has no descriptor left.
#![expect(unsafe_code, reason = "limits are set by a call into the kernel")]

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

#[path = "streams/support.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod support;
#[path = "streams/turn.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod turn;
use support::{BINDING, Carrier, PATIENCE, Relay, connect};
use turn::{PEER, Turn, error, read};
use veilturn::auth::PeerScope;
use veilturn::wire::{Method, XorPeerAddress};

// One test, because the limit is the process's.
#[test]
fn accepting_and_connecting_go_on_after_descriptors_ran_out() {
    let relay = Relay::with(|config| {
        config.relay.tcp = true;
        config.relay.peers.scope = PeerScope::Public;
    });
    // None is closed before the last has taken its place: that would give descriptors back.
    let _clients = clients_are_accepted_afterwards(&relay);
    let _peers = peers_are_accepted_afterwards(&relay);
    peers_are_connected_to_afterwards(&relay);
}

fn clients_are_accepted_afterwards(relay: &Relay) -> impl Sized + use<> {
    let mut open = connect(relay.tcp);
    open.send(&BINDING).expect("as arranged");
    open.receive().expect("as arranged");
    let waiting = Socket::new(Domain::IPV4, Type::STREAM, None).expect("as arranged");
    waiting
        .set_read_timeout(Some(PATIENCE))
        .expect("as arranged");
    let before = limit();

    set_limit(next_descriptor());
    waiting.connect(&relay.tcp.into()).expect("as arranged");
    relay.until("accepting has failed", |relay| {
        relay.numbers().connections.accept_errors > 1
    });
    // Those who are in are served all the time.
    open.send(&BINDING).expect("as arranged");
    assert_eq!(open.receive().expect("as arranged")[8..20], BINDING[8..]);
    set_limit(before);

    let mut waiting = TcpStream::from(waiting);
    waiting.send(&BINDING).expect("as arranged");
    assert_eq!(waiting.receive().expect("as arranged")[8..20], BINDING[8..]);
    (open, waiting)
}

fn peers_are_accepted_afterwards(relay: &Relay) -> impl Sized + use<> {
    let mut alice = Turn::over_tcp(relay, "a", connect(relay.tcp));
    let relayed = alice.allocate();
    let at: SocketAddr = PEER.parse().expect("as arranged");
    let waiting = Socket::new(Domain::IPV4, Type::STREAM, None).expect("as arranged");
    waiting.bind(&at.into()).expect("as arranged");
    alice.permit(at);
    let another = alice.another(connect(relay.tcp));
    let failed = relay.numbers().connections.accept_errors;
    let before = limit();

    set_limit(next_descriptor());
    waiting.connect(&relayed.into()).expect("as arranged");
    relay.until("accepting has failed", |relay| {
        relay.numbers().connections.accept_errors > failed + 1
    });
    alice.permit(at);
    set_limit(before);

    let (id, _) = alice.attempt();
    let mut data = another.bind(id);
    let mut waiting = TcpStream::from(waiting);
    waiting.write_all(b"knock").expect("as arranged");
    assert_eq!(read(&mut data, 5), b"knock");
    (alice, data, waiting)
}

fn peers_are_connected_to_afterwards(relay: &Relay) {
    let mut alice = Turn::over_tcp(relay, "b", connect(relay.tcp));
    alice.allocate();
    let another = alice.another(connect(relay.tcp));
    let listener = TcpListener::bind(PEER).expect("as arranged");
    let at = listener.local_addr().expect("as arranged");
    let open = relay.numbers().connections.peers;
    let before = limit();

    set_limit(next_descriptor());
    let answer = alice.ask(Method::CONNECT, |writer| {
        writer.put(&XorPeerAddress(at)).expect("as arranged");
    });
    set_limit(before);

    assert_eq!(error(&answer), Some(447));
    assert_eq!(relay.numbers().connections.peers, open);
    let mut data = another.bind(alice.connect(at));
    listener
        .accept()
        .expect("as arranged")
        .0
        .write_all(b"hello")
        .expect("as arranged");
    assert_eq!(read(&mut data, 5), b"hello");
}

/// The number that the next descriptor would have.
fn next_descriptor() -> u64 {
    let next = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a free descriptor");
    u64::try_from(next.as_raw_fd()).expect("a descriptor is not negative")
}

fn limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one `rlimit` during the call.
    let returned = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(returned, 0);
    limit.rlim_cur
}

/// Sets how many descriptors the process may have, as far as that can be taken back.
fn set_limit(current: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes and then reads one `rlimit` during the calls.
    let returned = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = current;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    assert_eq!(returned, 0);
}
