//! What the relay core asks of the allocator: nothing per packet, and little for a call that lies idle.
#![expect(unsafe_code, reason = "an allocator that counts is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use veilturn::relay::{DropReason, Verdict};

#[path = "../benches/support/world.rs"]
#[allow(dead_code, reason = "shared with the benchmarks")]
mod world;
use world::{Buffer, Party, Peer, World};

#[test]
fn channel_data_allocates_nothing() {
    for_all(|world, party| {
        let mut to_peer = party.channel_data(160);
        let mut to_client = Buffer::of(&[7; 160]);
        assert_eq!(
            allocations(|| {
                let verdict = world.on_client(&party.at, &mut to_peer.packet());
                assert!(matches!(verdict, Verdict::ToPeer { .. }));
                let verdict = world.on_peer(party.token, party.peer, &mut to_client.packet());
                assert!(matches!(verdict, Verdict::ToClient { .. }));
            }),
            0
        );
    });
}

#[test]
fn a_send_indication_allocates_nothing() {
    for_all(|world, party| {
        let mut buffer = party.send_indication(1_000);
        assert_eq!(
            allocations(|| {
                let verdict = world.on_client(&party.at, &mut buffer.packet());
                assert!(matches!(verdict, Verdict::ToPeer { .. }));
            }),
            0
        );
    });
}

#[test]
fn the_hairpin_allocates_nothing() {
    let mut world = World::with_hairpin(8);
    for party in world.calls(8, Peer::Relayed) {
        for mut buffer in [party.channel_data(160), party.send_indication(1_000)] {
            let sent = buffer.datagram().to_owned();
            assert_eq!(
                allocations(|| {
                    buffer.refill(&sent);
                    let verdict = world.on_client(&party.at, &mut buffer.packet());
                    assert!(matches!(verdict, Verdict::ToClient { .. }));
                }),
                0
            );
        }
    }
}

#[test]
fn a_data_indication_allocates_nothing() {
    let mut world = World::new(8);
    for party in world.calls(8, Peer::Public) {
        let mut buffer = Buffer::of(&[7; 1_000]);
        assert_eq!(
            allocations(|| {
                let from = party.beside_peer();
                let verdict = world.on_peer(party.token, from, &mut buffer.packet());
                let Verdict::ToClient { span, .. } = verdict else {
                    panic!("data came to {verdict:?}")
                };
                assert!(span.len() > 1_004, "more than a channel's header");
            }),
            0
        );
    }
}

#[test]
fn a_refused_packet_allocates_nothing() {
    let mut world = World::new(2);
    let parties = world.calls(2, Peer::Public);
    let party = parties[0];
    let stranger = world.caller(9, 0).at;
    let unknown = "203.0.113.9:9".parse().unwrap();
    let frame = || party.channel_data(160);
    let from_client = [
        (stranger, frame(), DropReason::NoAllocation),
        (
            stranger,
            party.send_indication(160),
            DropReason::NoAllocation,
        ),
        (
            party.at,
            Buffer::of(&[0x4F, 0xFF, 0, 0]),
            DropReason::NoChannel,
        ),
        (party.at, Buffer::of(&[0; 20]), DropReason::Malformed),
        (party.at, Buffer::of(&[]), DropReason::Malformed),
    ];
    for (at, mut buffer, reason) in from_client {
        assert_eq!(
            allocations(|| {
                let verdict = world.on_client(&at, &mut buffer.packet());
                assert_eq!(verdict, Verdict::Drop(reason));
            }),
            0
        );
    }
    let mut buffer = Buffer::of(&[7; 160]);
    assert_eq!(
        allocations(|| {
            let verdict = world.on_peer(party.token, unknown, &mut buffer.packet());
            assert_eq!(verdict, Verdict::Drop(DropReason::NoPermission));
        }),
        0
    );
}

/// With one permission and one channel, and a credential of its own; what the shell keeps beside it is not counted.
#[test]
fn an_idle_allocation_takes_at_most_two_kibibytes() {
    // The indexes are hash tables, full at seven eighths of a power of two: here they have just grown, which is where
    // an allocation's share of them is largest.
    const COUNT: usize = 900;
    let mut world = World::new(COUNT);
    let (blocks, bytes) = (BLOCKS.get(), BYTES.get());

    let parties = world.calls(COUNT, Peer::Relayed);

    let own = size_of_val(parties.as_slice());
    let bytes = usize::try_from(BYTES.get() - bytes).unwrap() - own;
    let blocks = usize::try_from(BLOCKS.get() - blocks).unwrap() - 1;
    // With 16 bytes a block for the allocator's own book-keeping and rounding.
    let taken = (bytes + 16 * blocks) / COUNT;
    println!(
        "an idle allocation: {} bytes in {} blocks, {taken} bytes in all",
        bytes / COUNT,
        blocks / COUNT
    );
    assert!(taken <= 2_048, "{taken} bytes each");
}

/// Shows every party of some calls, over both families and with both kinds of peers.
fn for_all(mut check: impl FnMut(&mut World, Party)) {
    for peer in [Peer::Relayed, Peer::Public] {
        let mut world = World::new(8);
        for party in world.calls(8, peer) {
            check(&mut world, party);
        }
    }
}

/// How many allocations a hundred repetitions take, after some that warm up.
fn allocations(mut repeat: impl FnMut()) -> u64 {
    for _ in 0..10 {
        repeat();
    }
    let before = ALLOCATED.get();
    for _ in 0..100 {
        repeat();
    }
    ALLOCATED.get() - before
}

thread_local! {
    /// Allocations of this thread.
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };

    /// Blocks that this thread holds.
    static BLOCKS: Cell<i64> = const { Cell::new(0) };

    /// Bytes in them.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts a block of `layout` that comes (1) or goes (-1).
fn count(layout: Layout, sign: i64) {
    let size = i64::try_from(layout.size()).unwrap_or(i64::MAX);
    BLOCKS.set(BLOCKS.get() + sign);
    BYTES.set(BYTES.get() + sign * size);
}

// SAFETY: every call is passed on to the system allocator unchanged; counting touches thread-locals without a
// destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + 1);
        count(layout, 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` came from the system allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + 1);
        let grown = i64::try_from(size).unwrap_or(i64::MAX);
        BYTES.set(BYTES.get() + grown - i64::try_from(layout.size()).unwrap_or(i64::MAX));
        // SAFETY: the caller keeps the contract of `realloc`; `pointer` came from the system allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
