//! The packet path allocates nothing once it is warm: counted, not believed.
#![expect(unsafe_code, reason = "an allocator that counts is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use veilturn::net::{Batch, Envelope, Events, Interest, Offload, Poller, SocketOptions, UdpSocket};

#[test]
fn a_warm_batch_allocates_nothing() {
    let offload = Offload::probe();
    let [inlet, outlet, far] = [offload, offload, Offload::NONE].map(relay);
    let envelope = |to: &UdpSocket, socket| Envelope {
        socket,
        to: to.local_addr(),
        source: None,
        dont_fragment: false,
    };
    let mut load = Batch::new(1);
    let mut batch = Batch::new(64);
    let sockets = [&inlet, &outlet, &far];
    let round = |load: &mut Batch<usize>, batch: &mut Batch<usize>| {
        // Trains, single datagrams and empty ones.
        for len in [1200, 1200, 1200, 160, 160, 90, 0, 1200] {
            load.send_copy(envelope(&inlet, 2), &[7; 1200][..len]);
        }
        assert_eq!(load.flush(|key| sockets.get(key).copied()).sent, 8);
        batch.receive(&inlet, 64).expect("a usable socket");
        while let Some(datagram) = batch.next_datagram(|bytes| bytes.len() == 160) {
            let span = datagram.start - 4..datagram.start + datagram.len;
            batch.send(envelope(&far, span.len() % 2), span);
        }
        batch.send_copy(envelope(&far, 1), b"an answer");
        let report = batch.flush(|key| sockets.get(key).copied());
        batch.receive(&far, 64).expect("a usable socket");
        while batch.next_datagram(|_| false).is_some() {}
        let _nothing = batch.flush(|_| None);
        report
    };
    for _ in 0..10 {
        let _warming = round(&mut load, &mut batch);
    }

    let before = ALLOCATIONS.get();
    let mut sent = 0;
    for _ in 0..100 {
        sent += round(&mut load, &mut batch).sent;
    }
    let allocations = ALLOCATIONS.get() - before;

    assert!(sent >= 100);
    assert_eq!(allocations, 0);
}

#[test]
fn polling_allocates_nothing() {
    let [socket, sender] = [Offload::NONE; 2].map(relay);
    let poller = Poller::new().unwrap();
    poller.add(&socket, 1, Interest::READABLE).unwrap();
    let mut batch = Batch::new(1);
    batch.send_copy(
        Envelope {
            socket: (),
            to: socket.local_addr(),
            source: None,
            dont_fragment: false,
        },
        b"x",
    );
    assert_eq!(batch.flush(|()| Some(&sender)).sent, 1);
    let mut events = Events::new(8);

    let before = ALLOCATIONS.get();
    for _ in 0..50 {
        let count = poller.wait(&mut events, Some(Duration::from_secs(10)));
        assert_eq!(count.unwrap(), 1);
    }

    assert_eq!(ALLOCATIONS.get() - before, 0);
}

fn relay(offload: Offload) -> UdpSocket {
    let options = SocketOptions {
        recv_buffer: 1 << 20,
        send_buffer: 1 << 20,
        offload,
    };
    UdpSocket::relay("127.0.0.1:0".parse().expect("an address"), &options).expect("a relay socket")
}

thread_local! {
    /// Allocations of this thread.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is passed on to the system allocator unchanged; counting touches a thread-local without a
// destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` came from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`; `pointer` came from the system allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
