//! TCP relays (RFC 6062): peers that are connected to and that connect, and what goes through.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use socket2::{Domain, Socket, Type};
use veilturn::auth::PeerScope;
use veilturn::config::Config;
use veilturn::wire::{ConnectionId, Lifetime, Method, RequestedTransport, XorPeerAddress};

use crate::support::{BINDING, Carrier, PATIENCE, Relay, connect, is_closed};
use crate::turn::{PEER, Turn, error, read};

#[test]
fn a_client_connects_to_a_peer_and_talks_with_it() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    let relayed = alice.allocate();
    let listener = TcpListener::bind(PEER).unwrap();

    let id = alice.connect(listener.local_addr().unwrap());
    let (mut peer, from) = listener.accept().unwrap();
    // What the peer says before the client has come for it is not lost.
    peer.write_all(b"early ").unwrap();
    let mut data = alice.another(connect(relay.tcp)).bind(id);
    peer.write_all(b"bird").unwrap();

    assert_eq!(from, relayed);
    assert_eq!(read(&mut data, 10), b"early bird");
    data.write_all(b"worm").unwrap();
    assert_eq!(read(&mut peer, 4), b"worm");
    assert_eq!(relay.numbers().connections.peers, 1);
}

#[test]
fn a_peer_connects_to_a_client_and_talks_with_it() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    let relayed = alice.allocate();
    let (socket, at) = peer_socket();
    alice.permit(at);

    socket.connect(&relayed.into()).unwrap();
    let mut peer = TcpStream::from(socket);
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.write_all(b"knock").unwrap();
    let (id, from) = alice.attempt();
    let mut data = alice.another(connect(relay.tcp)).bind(id);

    assert_eq!(from, peer.local_addr().unwrap());
    assert_eq!(read(&mut data, 5), b"knock");
    data.write_all(b"who is there").unwrap();
    assert_eq!(read(&mut peer, 12), b"who is there");
}

#[test]
fn a_peer_without_a_permission_is_closed() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    let relayed = alice.allocate();
    let (socket, _) = peer_socket();

    socket.connect(&relayed.into()).unwrap();

    assert!(is_closed(&mut TcpStream::from(socket)));
}

#[test]
fn a_peer_that_refuses_is_told() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    let gone = TcpListener::bind(PEER).unwrap().local_addr().unwrap();

    let answer = alice.ask(Method::CONNECT, |writer| {
        writer.put(&XorPeerAddress(gone)).unwrap();
    });

    assert_eq!(error(&answer), Some(447));
    assert_eq!(relay.numbers().connections.peers, 0);
}

#[test]
fn two_clients_of_a_call_are_connected_through_their_relays() {
    let relay = relay(1);
    let within = |name| relay.credential_within(PeerScope::Call, name);
    let mut alice = Turn::new(within("a"), connect(relay.tcp));
    let mut bob = Turn::new(within("b"), connect(relay.tcp));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    bob.permit(at_alice);

    let to_bob = alice.connect(at_bob);
    let (to_alice, from) = bob.attempt();
    let mut alice_data = alice.another(connect(relay.tcp)).bind(to_bob);
    let mut bob_data = bob.another(connect(relay.tcp)).bind(to_alice);

    assert_eq!(from, at_alice);
    alice_data.write_all(b"over").unwrap();
    assert_eq!(read(&mut bob_data, 4), b"over");
    bob_data.write_all(b"and out").unwrap();
    assert_eq!(read(&mut alice_data, 7), b"and out");
}

#[test]
fn nothing_is_lost_or_mixed_up_between_slow_readers() {
    let relay = relay(1);
    let (data, peer, _alice) = spliced(&relay);
    exchange(data, peer);
    relay.until("both are closed", |relay| {
        relay.numbers().connections.peers == 0
    });
}

#[test]
fn the_same_goes_for_tls() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let relay = relay(1);
        let secure = || relay.secure(relay.tls, &[version], &[]).unwrap();
        let mut alice = Turn::new(relay.credential_within(PeerScope::Public, "a"), secure());
        alice.allocate();
        let listener = TcpListener::bind(PEER).unwrap();
        let id = alice.connect(listener.local_addr().unwrap());
        let (peer, _) = listener.accept().unwrap();
        let mut data = alice.another(secure()).bind(id);

        // One direction after the other: the library's stream cannot be read and written at once.
        let (up, down) = (pattern(1), pattern(2));
        let mut far = peer.try_clone().unwrap();
        let (theirs, ours) = (down.clone(), up.clone());
        let peer = thread::spawn(move || {
            assert_eq!(read(&mut far, ours.len()), ours);
            far.write_all(&theirs).unwrap();
            far.shutdown(Shutdown::Write).unwrap();
            far
        });
        data.write_all(&up).unwrap();
        data.flush().unwrap();
        let mut heard = Vec::new();
        data.read_to_end(&mut heard).expect("a farewell");
        assert!(heard == down, "{} bytes", heard.len());

        // A half is open still.
        let mut far = peer.join().unwrap();
        data.write_all(b"last").unwrap();
        data.conn.send_close_notify();
        data.flush().unwrap();
        assert_eq!(read(&mut far, 4), b"last");
        assert!(is_closed(&mut far));
        relay.until("both are closed", |relay| {
            relay.numbers().connections.peers == 0
        });
    }
}

// TC-07
#[test]
fn payload_that_looks_like_a_message_passes_as_it_is() {
    let relay = relay(1);
    let (mut data, mut peer, _alice) = spliced(&relay);

    data.write_all(&BINDING).unwrap();
    peer.write_all(&BINDING).unwrap();

    assert_eq!(read(&mut peer, 20), BINDING);
    assert_eq!(read(&mut data, 20), BINDING);
}

// TC-09
#[test]
fn a_peer_that_says_much_before_the_bind_has_to_wait_and_loses_nothing() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    let listener = TcpListener::bind(PEER).unwrap();
    let id = alice.connect(listener.local_addr().unwrap());
    let (mut peer, _) = listener.accept().unwrap();
    let said = pattern(3).repeat(16);
    peer.set_nonblocking(true).unwrap();
    let mut taken = 0;
    while let Ok(count) = peer.write(&said[taken..]) {
        taken += count;
        assert!(taken < said.len(), "the buffers have a bound");
    }

    let mut data = alice.another(connect(relay.tcp)).bind(id);
    drop(peer);

    let mut heard = Vec::new();
    data.read_to_end(&mut heard).unwrap();
    assert!(heard == said[..taken], "{} of {taken} bytes", heard.len());
}

#[test]
fn a_half_that_is_closed_leaves_the_other_open() {
    let relay = relay(1);
    let (mut data, mut peer, _alice) = spliced(&relay);

    data.write_all(b"question").unwrap();
    data.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    peer.write_all(b"answer").unwrap();
    drop(peer);

    assert_eq!(heard, b"question");
    let mut heard = Vec::new();
    data.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"answer");
    relay.until("both are closed", |relay| {
        relay.numbers().connections.peers == 0
    });
}

#[test]
fn a_reset_of_one_side_closes_the_other() {
    let relay = relay(1);
    for client_resets in [true, false] {
        let (data, peer, _alice) = spliced(&relay);
        let (resets, mut hears) = if client_resets {
            (data, peer)
        } else {
            (peer, data)
        };
        socket2::SockRef::from(&resets)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(resets);
        assert!(is_closed(&mut hears));
    }
}

/// Nothing is read from a peer before its client has come for it, so that its end is not known before either.
#[test]
fn a_peer_that_left_meanwhile_leaves_what_it_said_and_a_clean_end() {
    let relay = relay(1);
    for resets in [false, true] {
        let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
        alice.allocate();
        let listener = TcpListener::bind(PEER).unwrap();
        let id = alice.connect(listener.local_addr().unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        if resets {
            let never = Some(std::time::Duration::ZERO);
            socket2::SockRef::from(&peer).set_linger(never).unwrap();
        } else {
            peer.write_all(b"farewell").unwrap();
        }
        drop(peer);

        let mut data = alice.another(connect(relay.tcp)).bind(id);

        let mut heard = Vec::new();
        data.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, if resets { &b""[..] } else { b"farewell" });
        drop(data);
        relay.until("both are closed", |relay| {
            relay.numbers().connections.peers == 0
        });
        // The same peer may be connected to again.
        drop(listener);
        let listener = TcpListener::bind(PEER).unwrap();
        alice.connect(listener.local_addr().unwrap());
        drop(alice);
        relay.until("all is gone", |relay| {
            relay.numbers().connections.peers == 0 && relay.server.allocations() == 0
        });
    }
}

#[test]
fn the_end_of_an_allocation_closes_its_connections() {
    let relay = relay(1);
    let (mut data, mut peer, mut alice) = spliced(&relay);

    let answer = alice.ask(Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
    });

    assert_eq!(error(&answer), None);
    assert!(is_closed(&mut data));
    assert!(is_closed(&mut peer));
    assert_eq!(relay.numbers().connections.peers, 0);
    assert_eq!(relay.closed("peer_ended"), 1);
}

#[test]
fn the_end_of_a_control_connection_closes_the_others() {
    let relay = relay(1);
    let (mut data, mut peer, alice) = spliced(&relay);

    drop(alice);

    assert!(is_closed(&mut data));
    assert!(is_closed(&mut peer));
}

#[test]
fn bytes_behind_the_request_are_the_peers() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    let listener = TcpListener::bind(PEER).unwrap();
    let id = alice.connect(listener.local_addr().unwrap());
    let (mut peer, _) = listener.accept().unwrap();

    let mut another = alice.another(connect(relay.tcp));
    let mut request = another.request(Method::CONNECTION_BIND, |writer| {
        writer.put(&id).unwrap();
    });
    request.extend(b"GET / HTTP/1.1\r\n\r\n");
    another.stream.write_all(&request).unwrap();
    another.stream.shutdown(Shutdown::Write).unwrap();

    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(error(&another.stream.receive().unwrap()), None);
}

#[test]
fn a_rate_slows_a_connection_down_and_loses_nothing() {
    let relay = relay_with(1, |config| {
        let rate = std::num::NonZeroU64::new(4 << 20).unwrap();
        config.relay.limits.rate = Some(veilturn::relay::ByteRate(rate));
    });
    let (data, peer, _alice) = spliced(&relay);

    exchange(data, peer);

    let start = relay.numbers();
    assert_eq!(start.dropped.iter().sum::<u64>(), 0);
}

/// The kernel gives each connection to either worker: of so many, some have to be handed over.
#[test]
fn data_connections_reach_the_worker_of_their_allocation() {
    let relay = relay(2);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    for round in 0..24_u8 {
        let listener = TcpListener::bind(PEER).unwrap();
        let id = alice.connect(listener.local_addr().unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        let mut data = alice.another(connect(relay.tcp)).bind(id);
        data.write_all(&[round; 5]).unwrap();
        assert_eq!(read(&mut peer, 5), [round; 5]);
        peer.write_all(&[!round; 5]).unwrap();
        assert_eq!(read(&mut data, 5), [!round; 5]);
        // Over TLS, the session goes along.
        let listener = TcpListener::bind(PEER).unwrap();
        let id = alice.connect(listener.local_addr().unwrap());
        let (mut peer, _) = listener.accept().unwrap();
        let secured = relay.secure(relay.tls, &[&rustls::version::TLS13], &[]);
        let mut data = alice.another(secured.unwrap()).bind(id);
        data.write_all(&[round; 5]).unwrap();
        assert_eq!(read(&mut peer, 5), [round; 5]);
    }
}

/// Requests for connections of either worker, on one stream: each is answered where its connection is, in their order,
/// and the stream comes to rest.
#[test]
fn a_stream_that_is_wanted_here_and_there_is_answered_in_order() {
    let relay = relay_with(2, |config| {
        config.relay.limits.allocations_per_user = 16;
    });
    let listener = TcpListener::bind(PEER).unwrap();
    // The same for all: who binds is asked for the very name.
    let credential = relay.credential_within(PeerScope::Public, "a");
    let client = || Turn::new(credential.clone(), connect(relay.tcp));
    // The kernel gives each client to either worker: hardly all to the same one.
    let ids: Vec<_> = (0..16)
        .map(|_| {
            let mut client = client();
            client.allocate();
            let id = client.connect(listener.local_addr().unwrap());
            (client, id)
        })
        .collect();
    let mut stranger = client();
    let mut requests = Vec::new();
    for (_, id) in &ids {
        requests.extend(stranger.request(Method::CONNECTION_BIND, |writer| {
            writer.put(id).unwrap();
        }));
    }

    stranger.stream.write_all(&requests).unwrap();

    for number in 1..=16 {
        let answer = stranger.stream.receive().unwrap();
        assert_eq!(error(&answer), Some(401));
        assert_eq!(answer[8..20], [number; 12]);
    }
    stranger.learn();
    let (_, id) = &ids[0];
    stranger.bind(*id).write_all(b"through").unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(read(&mut peer, 7), b"through");
}

#[test]
fn an_id_that_is_nobodys_is_refused() {
    let relay = relay(1);
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.allocate();
    let mut another = alice.another(connect(relay.tcp));

    let answer = another.ask(Method::CONNECTION_BIND, |writer| {
        writer.put(&ConnectionId(7)).unwrap();
    });

    assert_eq!(error(&answer), Some(400));
}

#[test]
fn tcp_relays_are_off_by_default() {
    let relay = Relay::start();
    let mut alice = Turn::over_tcp(&relay, "a", connect(relay.tcp));
    alice.learn();

    let answer = alice.ask(Method::ALLOCATE, |writer| {
        writer.put(&RequestedTransport::TCP).unwrap();
    });

    assert_eq!(error(&answer), Some(442));
}

fn relay(workers: usize) -> Relay {
    relay_with(workers, |_| {})
}

fn relay_with(workers: usize, change: impl FnOnce(&mut Config)) -> Relay {
    Relay::with(|config| {
        config.runtime.workers = workers;
        config.relay.tcp = true;
        config.relay.limits.peer_connections = 64;
        config.relay.limits.connects_per_second = 1000;
        config.relay.peers.scope = PeerScope::Public;
        change(config);
    })
}

/// A client's data connection, the peer that it is joined with, and the client.
fn spliced(relay: &Relay) -> (TcpStream, TcpStream, Turn<TcpStream>) {
    let mut alice = Turn::over_tcp(relay, "a", connect(relay.tcp));
    alice.allocate();
    let listener = TcpListener::bind(PEER).expect("what the test counts on");
    let id = alice.connect(listener.local_addr().expect("what the test counts on"));
    let (peer, _) = listener.accept().expect("what the test counts on");
    peer.set_read_timeout(Some(PATIENCE))
        .expect("what the test counts on");
    let data = alice.another(connect(relay.tcp)).bind(id);
    (data, peer, alice)
}

/// Has both sides send several megabytes at once, and read only after that, and checks what arrives.
fn exchange(data: TcpStream, peer: TcpStream) {
    let sides = [(data, 1, 2), (peer, 2, 1)].map(|(stream, says, hears)| {
        let mut reads = stream.try_clone().expect("what the test counts on");
        let mut writes = stream;
        let writer = thread::spawn(move || {
            writes
                .write_all(&pattern(says))
                .expect("what the test counts on");
            writes
                .shutdown(Shutdown::Write)
                .expect("what the test counts on");
        });
        let reader = thread::spawn(move || {
            let mut heard = Vec::<u8>::new();
            let mut buf = [0; 1000];
            loop {
                match reads.read(&mut buf).expect("what the test counts on") {
                    0 => break,
                    count => heard.extend(&buf[..count]),
                }
            }
            assert!(heard == pattern(hears), "{} bytes", heard.len());
        });
        [writer, reader]
    });
    for side in sides.into_iter().flatten() {
        side.join().expect("what the test counts on");
    }
}

/// Bytes that do not repeat in a chunk.
fn pattern(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..4 << 20).map(|_| next()).collect()
}

/// A socket of a peer that is yet to connect, and the address that permissions for it name.
fn peer_socket() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let at: SocketAddr = PEER.parse().expect("an address");
    socket.bind(&at.into()).expect("a port");
    (socket, at)
}
