//! A worker under load, without its thread.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket as Std};

use zeroize::Zeroizing;

use super::*;
use crate::auth::{Authenticator, Secret};
use crate::config::Config;
use crate::net::{Offload, SocketOptions};
use crate::ops::redact::{LogAddresses, Redactor};
use crate::relay::{Counters, RelayToken, Shared};
use crate::server::streams::{Admission, Doors, StreamStart};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const OPTIONS: SocketOptions = SocketOptions {
    recv_buffer: 1 << 18,
    send_buffer: 1 << 18,
    offload: Offload::NONE,
};

#[test]
fn busy_relay_sockets_do_not_silence_the_clients() {
    const REQUESTS: u64 = 100;
    let (mut worker, counters) = worker();
    let relays: Vec<SocketAddr> = (0..20).map(|_| open_relay(&mut worker)).collect();
    let stranger = Std::bind(LOOPBACK).unwrap();
    for relay in relays.iter().cycle().take(20 * SHARE) {
        stranger.send_to(b"noise", relay).unwrap();
    }
    let client = Std::bind(LOOPBACK).unwrap();
    for _ in 0..REQUESTS {
        let binding = [
            0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        client
            .send_to(&binding, worker.listeners[0].local_addr())
            .unwrap();
    }

    worker.poller.wait(&mut worker.events, None).unwrap();
    worker.turn(worker.clock.now());

    assert_eq!(counters.responses[0][0].value(), REQUESTS);
}

/// A worker with one listener, and what it counts.
fn worker() -> (Worker, Arc<Counters>) {
    let secret = Secret::new("id", Zeroizing::new(vec![7; 32])).unwrap();
    let config = Config::dev(0, secret);
    let auth = Authenticator::new(config.auth.clone(), &[7; 32]).unwrap();
    let options = config.relay_options(Vec::new(), Vec::new());
    let shared = Shared::new(options, Arc::new(auth), [7; 32]);
    let relay = Relay::new(Arc::new(shared), 0, [7; 32]);
    let counters = relay.counters();
    let listener = UdpSocket::listen(LOOPBACK.into(), &OPTIONS).unwrap();
    let poller = Rc::new(Poller::new().unwrap());
    let clock = Clock::start();
    let redactor = Redactor::new(LogAddresses::None, &[7; 32]);
    let keepalive = config.streams.keepalive;
    let sockets = RelaySockets::new(Rc::clone(&poller), (OPTIONS, keepalive), redactor, clock);
    let listeners = Arc::new([listener]);
    let start = StreamStart {
        options: config.streams,
        acceptors: Vec::new(),
        admission: Arc::new(Admission::new(&config.streams)),
        counters: Arc::default(),
        doors: Doors::between(&[net::Waker::new().unwrap()]).remove(0),
        dtls: None,
    };
    let streams = Streams::new(start, Rc::clone(&poller)).unwrap();
    let parts = (poller, sockets, streams);
    let worker = Worker::new(clock, relay, listeners, parts, Arc::default());
    (worker.unwrap(), counters)
}

/// Opens a relay socket that belongs to no allocation.
fn open_relay(worker: &mut Worker) -> SocketAddr {
    let socket = worker.sockets.open(LOOPBACK.into(), RelayToken(0)).unwrap();
    let open = worker.sockets.get(socket.0).unwrap();
    open.socket.local_addr()
}
