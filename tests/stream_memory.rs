//! What a connection costs that lies idle: this counts what the relay allocates for many of them.
#![expect(unsafe_code, reason = "an allocator that counts is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::version::{TLS12, TLS13};

#[path = "streams/support.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod support;
use support::{BINDING, Carrier, Relay, connect};

/// Connections of each kind.
const CONNECTIONS: usize = 200;

// One test, because it counts what the whole process allocates.
#[test]
fn an_idle_connection_costs_little() {
    let relay = Relay::with(|config| config.streams.connections_per_prefix = 10_000);
    // What is made once is made before.
    let mut open = vec![plain(&relay), secured(&relay), secured_12(&relay)];
    for (kind, connect, most) in [
        ("TCP", plain as fn(&Relay) -> TcpStream, 1024),
        ("TLS 1.3", secured, 8 * 1024),
        ("TLS 1.2", secured_12, 8 * 1024),
    ] {
        open.reserve(CONNECTIONS);
        let before = LIVE.load(Ordering::SeqCst);
        for _ in 0..CONNECTIONS {
            open.push(connect(&relay));
        }
        let each = (LIVE.load(Ordering::SeqCst) - before) / CONNECTIONS;
        println!("an idle {kind} connection takes {each} bytes of heap");
        assert!(each < most, "{kind}: {each} bytes");
    }
}

/// A connection whose client was answered, and of whose client nothing is left but the socket.
fn plain(relay: &Relay) -> TcpStream {
    let mut stream = connect(relay.tcp);
    stream.send(&BINDING).expect("a relay that reads");
    stream.receive().expect("an answer");
    stream
}

fn secured(relay: &Relay) -> TcpStream {
    let mut secured = relay
        .secure(relay.tls, &[&TLS13], &[])
        .expect("a handshake");
    secured.send(&BINDING).expect("a relay that reads");
    secured.receive().expect("an answer");
    secured.sock
}

fn secured_12(relay: &Relay) -> TcpStream {
    let mut secured = relay
        .secure(relay.tls, &[&TLS12], &[])
        .expect("a handshake");
    secured.send(&BINDING).expect("a relay that reads");
    secured.receive().expect("an answer");
    secured.sock
}

/// Bytes that are allocated and not freed.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is handed to the system's allocator as it is; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
