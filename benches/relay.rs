//! What the relay core costs per packet and per request, without sockets: the state machine and the codec alone.
//!
//! Every packet lies in its buffer already; a request is copied there first, because its answer overwrites it. `growth`
//! visits allocations in random order, so that what is measured is how the working set outgrows the caches; clients'
//! packets come in batches, as a worker receives them.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use veilturn::client::Client;
use veilturn::relay::{FiveTuple, RelayToken, Verdict};
use veilturn::time::Tick;
use veilturn::wire::{Class, Family};

#[path = "support/world.rs"]
mod world;
use world::{Buffer, Caller, Party, Peer, World};

/// Bytes of application data: 20 milliseconds of speech.
const AUDIO: usize = 160;

/// Application data from a client to its peer.
fn to_peer(c: &mut Criterion) {
    let mut group = c.benchmark_group("to_peer");
    group.throughput(Throughput::Elements(1));
    for (name, peer) in PEERS {
        let (mut world, party) = one_call(peer);
        for (kind, mut buffer) in [
            ("channel", party.channel_data(AUDIO)),
            ("indication", party.send_indication(AUDIO)),
        ] {
            group.bench_function(BenchmarkId::new(kind, name), |b| {
                b.iter(|| {
                    let verdict = world.on_client(black_box(&party.at), &mut buffer.packet());
                    assert!(matches!(black_box(verdict), Verdict::ToPeer { .. }));
                });
            });
        }
    }
    group.finish();
}

/// Application data from a peer to the client.
fn to_client(c: &mut Criterion) {
    let mut group = c.benchmark_group("to_client");
    group.throughput(Throughput::Elements(1));
    for (name, peer) in PEERS {
        let (mut world, party) = one_call(peer);
        let mut buffer = Buffer::of(&[0x5A; AUDIO]);
        group.bench_function(BenchmarkId::new("channel", name), |b| {
            b.iter(|| {
                let from = black_box(party.peer);
                let verdict = world.on_peer(party.token, from, &mut buffer.packet());
                assert!(matches!(black_box(verdict), Verdict::ToClient { .. }));
            });
        });
    }
    let (mut world, party) = one_call(Peer::Public);
    let mut buffer = Buffer::of(&[0x5A; AUDIO]);
    group.bench_function(BenchmarkId::new("indication", "public"), |b| {
        b.iter(|| {
            let from = black_box(party.beside_peer());
            let verdict = world.on_peer(party.token, from, &mut buffer.packet());
            assert!(matches!(black_box(verdict), Verdict::ToClient { .. }));
        });
    });
    group.finish();
}

/// Application data from one party of a call to the other, without the kernel in between.
fn hairpin(c: &mut Criterion) {
    let mut group = c.benchmark_group("hairpin");
    group.throughput(Throughput::Elements(1));
    let mut world = World::with_hairpin(2);
    let party = world.calls(2, Peer::Relayed)[0];
    for (kind, mut buffer) in [
        ("channel", party.channel_data(AUDIO)),
        ("indication", party.send_indication(AUDIO)),
    ] {
        // The packet is rewritten where it lies, so that it is put there again each time.
        let sent = buffer.datagram().to_owned();
        group.bench_function(BenchmarkId::new(kind, "channel"), |b| {
            b.iter(|| {
                buffer.refill(&sent);
                let verdict = world.on_client(black_box(&party.at), &mut buffer.packet());
                assert!(matches!(black_box(verdict), Verdict::ToClient { .. }));
            });
        });
    }
    group.finish();
}

/// ChannelData both ways among more and more allocations, half of them IPv4 and half IPv6, in calls of two.
fn growth(c: &mut Criterion) {
    let mut group = c.benchmark_group("growth");
    group.throughput(Throughput::Elements(1));
    for allocations in [10, 1_000, 100_000] {
        let mut world = World::new(allocations);
        let parties = world.calls(allocations, Peer::Relayed);
        // What a packet brings along, in the order of the visits: read ahead by the processor, as from a batch.
        let visits = visits(&parties);
        let mut buffer = parties[0].channel_data(AUDIO);
        let mut batches = Batches::of(&visits);
        group.bench_function(BenchmarkId::new("to_peer", allocations), |b| {
            b.iter(|| {
                let at = batches.next(&world);
                let verdict = world.on_client(at, &mut buffer.packet());
                assert!(matches!(black_box(verdict), Verdict::ToPeer { .. }));
            });
        });
        let mut buffer = Buffer::of(&[0x5A; AUDIO]);
        let mut next = visits.iter().cycle();
        group.bench_function(BenchmarkId::new("to_client", allocations), |b| {
            b.iter(|| {
                let (_, token, peer) = next.next().expect("a cycle");
                let verdict = world.on_peer(*token, *peer, &mut buffer.packet());
                assert!(matches!(black_box(verdict), Verdict::ToClient { .. }));
            });
        });
        drop(world);
        let mut world = World::with_hairpin(allocations);
        // The same parties: their order, and what a packet brings along, do not depend on the hairpin.
        world.calls(allocations, Peer::Relayed);
        // Every party has the same channel, so that a header is overwritten by an equal one.
        let mut buffer = parties[0].channel_data(AUDIO);
        group.bench_function(BenchmarkId::new("hairpin", allocations), |b| {
            b.iter(|| {
                let at = batches.next(&world);
                let verdict = world.on_client(at, &mut buffer.packet());
                assert!(matches!(black_box(verdict), Verdict::ToClient { .. }));
            });
        });
    }
    group.finish();
}

/// Clients' packets, in batches as a worker receives them.
struct Batches<'v> {
    visits: &'v [(FiveTuple, RelayToken, SocketAddr)],
    at: usize,
}

impl<'v> Batches<'v> {
    /// Packets in a batch.
    const SIZE: usize = 32;

    const fn of(visits: &'v [(FiveTuple, RelayToken, SocketAddr)]) -> Self {
        Self { visits, at: 0 }
    }

    /// The next packet's sender; the relay is told of a batch's senders before the first of them.
    fn next(&mut self, world: &World) -> &'v FiveTuple {
        let (from, all) = (self.at, self.visits.len());
        self.at += 1;
        if from.is_multiple_of(Self::SIZE) {
            let batch = from..from + Self::SIZE;
            let senders = batch.map(|at| self.visits[at % all].0);
            world.relay.read_ahead(senders);
        }
        &self.visits[from % all].0
    }
}

/// Requests and their answers.
fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    group.throughput(Throughput::Elements(1));
    let mut world = World::new(2);

    let mut stranger = world.caller(0, 0);
    let binding = world.granted(&mut stranger, |client, now| {
        client.binding(now).expect("a first request");
    });
    repeat(
        &mut group,
        "binding",
        (&mut world, &stranger),
        &[&binding],
        Class::Success,
    );
    let mut unsealed = world.caller(0, 0);
    let asked = unsealed.client.allocate(Tick::ZERO, Default::default());
    asked.expect("a first request");
    let allocate = unsealed.client.poll_transmit().expect("it").to_vec();
    repeat(
        &mut group,
        "challenge",
        (&mut world, &stranger),
        &[&allocate],
        Class::Error,
    );

    let mut caller = world.caller(0, 0);
    let (_, _, allocate) = world.allocate(&mut caller, Family::V4);
    let peer: SocketAddr = "45.0.0.1:30000".parse().expect("an address");
    let mut again = |name, ask: &dyn Fn(&mut Client, Tick)| {
        let request = world.granted(&mut caller, ask);
        repeat(
            &mut group,
            name,
            (&mut world, &caller),
            &[&request],
            Class::Success,
        );
        request
    };
    again("refresh", &|client, now| {
        let asked = client.refresh(now, Duration::from_secs(600));
        asked.expect("room for a request");
    });
    again("create_permission", &|client, now| {
        client.permit(now, &[peer]).expect("room for a request");
    });
    again("channel_bind", &|client, now| {
        client.bind(now, peer).expect("room for a request");
    });
    let delete = world.granted(&mut caller, |client, now| {
        let asked = client.refresh(now, Duration::ZERO);
        asked.expect("room for a request");
    });
    let both: [&[u8]; 2] = [&allocate, &delete];
    repeat(
        &mut group,
        "allocate_and_delete",
        (&mut world, &caller),
        &both,
        Class::Success,
    );
    group.finish();
}

/// Has the same requests answered again and again.
fn repeat(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    (world, caller): (&mut World, &Caller),
    requests: &[&[u8]],
    class: Class,
) {
    let mut buffer = Buffer::of(&[0; 512]);
    for request in requests {
        buffer.refill(request);
        let verdict = world.on_client(&caller.at, &mut buffer.packet());
        assert_eq!(buffer.answer(verdict), class, "{name}");
    }
    group.bench_function(name, |b| {
        b.iter(|| {
            for request in requests {
                buffer.refill(request);
                let verdict = world.on_client(&caller.at, &mut buffer.packet());
                assert!(matches!(black_box(verdict), Verdict::Reply(_)));
            }
        });
    });
}

/// Both kinds of peers, and what they are called.
const PEERS: [(&str, Peer); 2] = [("relayed", Peer::Relayed), ("public", Peer::Public)];

/// A relay with one call; one of its parties.
fn one_call(peer: Peer) -> (World, Party) {
    let mut world = World::new(2);
    let parties = world.calls(2, peer);
    (world, parties[0])
}

/// What the packets of `parties` bring along, once for each, in random order.
fn visits(parties: &[Party]) -> Vec<(FiveTuple, RelayToken, SocketAddr)> {
    let mut rng = ChaCha12Rng::from_seed([7; 32]);
    let mut order: Vec<(u64, &Party)> = parties
        .iter()
        .map(|party| (rng.next_u64(), party))
        .collect();
    order.sort_unstable_by_key(|(key, _)| *key);
    order
        .into_iter()
        .map(|(_, party)| (party.at, party.token, party.peer))
        .collect()
}

criterion_group!(benches, to_peer, to_client, hairpin, growth, requests);
criterion_main!(benches);
