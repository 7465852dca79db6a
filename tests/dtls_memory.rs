//! What a session of DTLS costs that lies idle. OpenSSL allocates by itself, so this asks the C library.
#![cfg(feature = "dtls")]
#![expect(unsafe_code, reason = "the C library is asked what it has given out")]

#[path = "streams/sealed.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod sealed;
#[path = "streams/support.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod support;
use sealed::Socket;
use support::{BINDING, Carrier, Relay};

const SESSIONS: usize = 200;

// One test, because it counts what the whole process allocates.
#[test]
fn an_idle_session_is_bounded() {
    let relay = sealed::relay(|config| config.streams.connections_per_prefix = 10_000);
    // What is made once is made before.
    let mut open = vec![session(&relay)];
    open.reserve(SESSIONS);
    let before = given_out();
    for _ in 0..SESSIONS {
        open.push(session(&relay));
    }
    let each = (given_out() - before) / SESSIONS;
    println!("an idle DTLS session takes {each} bytes of heap");
    assert!(each < 96 * 1024, "{each} bytes");
}

/// A session whose client was answered, and of whose client nothing is left but the socket.
fn session(relay: &Relay) -> std::net::UdpSocket {
    let socket = Socket::new(sealed::address(relay));
    let stays = socket.socket.try_clone().expect("a socket");
    let mut client = sealed::secure(relay, socket);
    client.send(&BINDING).expect("a relay that reads");
    client.receive().expect("an answer");
    stays
}

/// Bytes that are allocated and not freed.
fn given_out() -> usize {
    // SAFETY: it takes nothing, and locks what it reads.
    unsafe { libc::mallinfo2() }.uordblks
}
