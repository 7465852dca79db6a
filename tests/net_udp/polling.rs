//! The poller: what it reports, and how its wait ends.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use veilturn::net::{Batch, Event, Events, Interest, Poller, Waker};

use crate::support::*;

const NOTHING: Event = Event {
    token: 0,
    readable: false,
    writable: false,
    error: false,
    closed: false,
};

#[test]
fn a_readable_socket_ends_the_wait() {
    for at in LOOPBACKS {
        let sockets = [relay(at), relay(at)];
        let sender = relay(at);
        let target = sockets[1].local_addr();
        let poller = watching((70..).zip(&sockets));
        let mut events = Events::new(8);

        let sending = thread::spawn(move || send(&sender, to(target), b"x"));
        poller.wait(&mut events, Some(BOUND)).unwrap();

        let expected = Event {
            token: 71,
            readable: true,
            ..NOTHING
        };
        assert_eq!(events.iter().collect::<Vec<_>>(), [expected]);
        sending.join().unwrap();
    }
}

#[test]
fn a_wait_ends_in_time_when_nothing_happens() {
    let socket = relay("127.0.0.1:0");
    let poller = watching([(1, &socket)]);
    let mut events = Events::new(8);

    for timeout in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(3),
    ] {
        assert_eq!(poller.wait(&mut events, Some(timeout)).unwrap(), 0);
        assert_eq!(events.iter().count(), 0);
    }
}

#[test]
fn a_waker_ends_every_wait_from_another_thread() {
    let waker = Waker::new().unwrap();
    let poller = Poller::new().unwrap();
    poller.add(&waker, 9, Interest::READABLE).unwrap();
    let mut events = Events::new(8);
    assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);

    let calling = thread::spawn({
        let waker = waker.clone();
        move || waker.wake()
    });
    let counts = [(); 2].map(|()| poller.wait(&mut events, Some(BOUND)).unwrap());

    assert_eq!(counts, [1, 1]);
    assert_eq!(events.iter().next().map(|event| event.token), Some(9));
    calling.join().unwrap();
}

#[test]
fn every_datagram_is_reported_after_the_poller_ran_dry() {
    let socket = relay("127.0.0.1:0");
    let sender = relay("127.0.0.1:0");
    let poller = watching([(1, &socket)]);
    let mut events = Events::new(8);
    let mut batch = Batch::<()>::new(4);
    for _ in 0..50 {
        send(&sender, to(socket.local_addr()), b"x");

        assert_eq!(poller.wait(&mut events, Some(BOUND)).unwrap(), 1);
        assert_eq!(batch.receive(&socket, 4).unwrap().messages, 1);
        while batch.next_datagram(|_| false).is_some() {}
        let _nothing = batch.flush(|()| None);
        assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    }
}

#[test]
fn a_socket_that_was_not_read_is_reported_again() {
    let socket = relay("127.0.0.1:0");
    let poller = watching([(5, &socket)]);
    let mut events = Events::new(8);
    assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    send(&relay("127.0.0.1:0"), to(socket.local_addr()), b"x");

    let counts = [(); 3].map(|()| poller.wait(&mut events, Some(BOUND)).unwrap());

    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn more_ready_sockets_than_events_take_turns() {
    let sockets: Vec<_> = (0..6).map(|_| relay("127.0.0.1:0")).collect();
    let sender = relay("127.0.0.1:0");
    let poller = watching((0..).zip(&sockets));
    for socket in &sockets {
        send(&sender, to(socket.local_addr()), b"x");
        wait(socket);
    }
    let mut events = Events::new(2);
    let mut tokens = Vec::new();

    for _ in 0..3 {
        poller.wait(&mut events, Some(BOUND)).unwrap();
        tokens.extend(events.iter().map(|event| event.token));
    }

    tokens.sort_unstable();
    assert_eq!(tokens, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_connection_is_reported_as_what_it_is_watched_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let poller = Poller::new().unwrap();
    poller.add(&near, 1, Interest::READABLE).unwrap();
    let mut events = Events::new(8);
    let mut now = || {
        let count = poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        assert!(count <= 1);
        events.iter().next()
    };
    assert_eq!(now(), None);

    let both = Interest {
        readable: true,
        writable: true,
    };
    poller.modify(&near, 2, both).unwrap();
    let writable = Event {
        token: 2,
        writable: true,
        ..NOTHING
    };
    assert_eq!(now(), Some(writable));

    near.shutdown(std::net::Shutdown::Both).unwrap();
    drop(far);
    assert!(now().is_some_and(|event| event.closed && event.readable));
}

#[test]
fn a_removed_or_closed_socket_is_not_reported() {
    let removed = relay("127.0.0.1:0");
    let closed = relay("127.0.0.1:0");
    let sender = relay("127.0.0.1:0");
    let poller = watching([(9, &removed), (9, &closed)]);
    for socket in [&removed, &closed] {
        send(&sender, to(socket.local_addr()), b"x");
        wait(socket);
    }

    poller.remove(&removed).unwrap();
    drop(closed);

    let count = poller.wait(&mut Events::new(8), Some(Duration::ZERO));
    assert_eq!(count.unwrap(), 0);
}
