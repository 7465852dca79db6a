//! Accepting connections when the process has no descriptor left.
#![expect(unsafe_code, reason = "limits are set by a call into the kernel")]

use std::net::TcpStream;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

#[path = "streams/support.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod support;
use support::{BINDING, Carrier, PATIENCE, Relay, connect};

// One test, because the limit is the process's.
#[test]
fn accepting_goes_on_after_descriptors_ran_out() {
    let relay = Relay::start();
    let mut open = connect(relay.tcp);
    open.send(&BINDING).unwrap();
    open.receive().unwrap();
    let waiting = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let before = limit();

    set_limit(next_descriptor());
    waiting.connect(&relay.tcp.into()).unwrap();
    relay.until("accepting has failed", |relay| {
        relay.numbers().connections.accept_errors > 1
    });
    // Those who are in are served all the time.
    open.send(&BINDING).unwrap();
    assert_eq!(open.receive().unwrap()[8..20], BINDING[8..]);
    set_limit(before);

    let mut waiting = TcpStream::from(waiting);
    waiting.send(&BINDING).unwrap();
    assert_eq!(waiting.receive().unwrap()[8..20], BINDING[8..]);
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
