//! The poller inside a runtime.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};

use veilturn::net::{Batch, Event, Events, Poller};

use crate::support::*;

#[test]
fn a_readable_socket_wakes_the_task_that_waits() {
    for at in LOOPBACKS {
        let sockets = [relay(at), relay(at)];
        let sender = relay(at);
        let target = sockets[1].local_addr();
        let mut events = Events::new(8);

        runtime().block_on(async {
            let poller = Poller::new().unwrap();
            for (token, socket) in (70..).zip(&sockets) {
                poller.add(socket, token).unwrap();
            }
            // The second future runs once the first one waits.
            let sending = async { send(&sender, to(target), b"x") };
            tokio::join!(wait_for(&poller, &mut events), sending);
        });

        let expected = Event {
            token: 71,
            readable: true,
            error: false,
        };
        assert_eq!(events.iter().collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn every_datagram_wakes_anew_after_the_poller_ran_dry() {
    let socket = relay("127.0.0.1:0");
    let sender = relay("127.0.0.1:0");
    let mut events = Events::new(8);
    let mut batch = Batch::<()>::new(4);
    runtime().block_on(async {
        let poller = Poller::new().unwrap();
        poller.add(&socket, 1).unwrap();
        for _ in 0..50 {
            let sending = async { send(&sender, to(socket.local_addr()), b"x") };
            tokio::join!(wait_for(&poller, &mut events), sending);

            assert_eq!(batch.receive(&socket, 4).unwrap().messages, 1);
            while batch.next_datagram(|_| false).is_some() {}
            let _nothing = batch.flush(|()| None);
        }
    });
}

#[test]
fn a_poller_that_ran_dry_waits_without_spinning() {
    let socket = relay("127.0.0.1:0");
    let sender = relay("127.0.0.1:0");
    let mut events = Events::new(8);
    let mut batch = Batch::<()>::new(4);
    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    runtime().block_on(async {
        let poller = Poller::new().unwrap();
        poller.add(&socket, 1).unwrap();
        send(&sender, to(socket.local_addr()), b"x");
        wait_for(&poller, &mut events).await;
        batch.receive(&socket, 4).unwrap();

        let waker = wakes.clone().into();
        let waiting = pin!(poller.ready(&mut events)).poll(&mut Context::from_waker(&waker));

        assert!(waiting.is_pending());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    });
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_socket_that_is_always_ready_leaves_room_for_other_tasks() {
    let socket = relay("127.0.0.1:0");
    let mut events = Events::new(8);
    runtime().block_on(async {
        let poller = Poller::new().unwrap();
        poller.add(&socket, 1).unwrap();
        send(&relay("127.0.0.1:0"), to(socket.local_addr()), b"x");
        wait_for(&poller, &mut events).await;
        let other = tokio::spawn(async {});

        for _ in 0..20 {
            wait_for(&poller, &mut events).await;
        }

        assert!(other.is_finished());
    });
}

#[test]
fn a_socket_that_was_not_read_is_reported_again() {
    let socket = relay("127.0.0.1:0");
    let runtime = runtime();
    let _context = runtime.enter();
    let poller = Poller::new().unwrap();
    poller.add(&socket, 5).unwrap();
    let mut events = Events::new(8);
    assert_eq!(poller.poll(&mut events).unwrap(), 0);
    send(&relay("127.0.0.1:0"), to(socket.local_addr()), b"x");
    wait(&socket);

    let counts = [(); 3].map(|()| poller.poll(&mut events).unwrap());

    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn more_ready_sockets_than_events_take_turns() {
    let runtime = runtime();
    let _context = runtime.enter();
    let sockets: Vec<_> = (0..6).map(|_| relay("127.0.0.1:0")).collect();
    let sender = relay("127.0.0.1:0");
    let poller = Poller::new().unwrap();
    for (token, socket) in (0..).zip(&sockets) {
        poller.add(socket, token).unwrap();
        send(&sender, to(socket.local_addr()), b"x");
        wait(socket);
    }
    let mut events = Events::new(2);
    let mut tokens = Vec::new();

    for _ in 0..3 {
        poller.poll(&mut events).unwrap();
        tokens.extend(events.iter().map(|event| event.token));
    }

    tokens.sort_unstable();
    assert_eq!(tokens, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_removed_or_closed_socket_is_not_reported() {
    let runtime = runtime();
    let _context = runtime.enter();
    let removed = relay("127.0.0.1:0");
    let closed = relay("127.0.0.1:0");
    let sender = relay("127.0.0.1:0");
    let poller = Poller::new().unwrap();
    for socket in [&removed, &closed] {
        poller.add(socket, 9).unwrap();
        send(&sender, to(socket.local_addr()), b"x");
        wait(socket);
    }

    poller.remove(&removed).unwrap();
    drop(closed);

    assert_eq!(poller.poll(&mut Events::new(8)).unwrap(), 0);
}
