//! What the daemon forwards over loopback sockets, beside a bare forwarder over the same path.
//!
//! One worker on the first core, parties and peers on the second: they send a bounded round of datagrams, then receive
//! all of them, so that nothing is lost and what is counted has been delivered. The bare forwarder has the same
//! sockets, but knows nothing of TURN: one `recvfrom` and one `sendto` for each datagram and hop. In a call it takes the
//! hop between two relay sockets that the daemon's hairpin saves.
//!
//! After criterion's figures, both are measured in turns, and the medians of the ratios are printed.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark of real sockets reads a real clock"
)]

use std::io::{self, Write};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

#[path = "support/bare.rs"]
mod bare;
#[path = "support/path.rs"]
mod path;
use bare::Bare;
use path::{Daemon, Path, Shape};

/// The rounds that are measured.
const SHAPES: [Shape; 3] = [
    // One datagram at a time, one way: how long it is under way.
    Shape {
        name: "lone",
        calls: 1,
        both_ways: false,
        burst: 1,
        bytes: 160,
    },
    // Speech: no two datagrams of one call next to each other.
    Shape {
        name: "audio",
        calls: 16,
        both_ways: true,
        burst: 1,
        bytes: 160,
    },
    // Video frames of one call.
    Shape {
        name: "video",
        calls: 1,
        both_ways: true,
        burst: 32,
        bytes: 1200,
    },
];

/// How often the two forwarders take turns.
const TURNS: usize = 15;

/// How long one turn takes, roughly.
const TURN: Duration = Duration::from_millis(100);

/// The same rounds through the daemon and through the bare forwarder.
struct Lane {
    name: String,
    daemon: Path,
    bare: Path,
    /// Runs as long as it lives.
    forwarder: Bare,
}

fn main() {
    // Where there is but one core, they share it.
    let _ = veilturn::net::stay_on_core(1);
    let daemon = Daemon::start();
    let mut lanes = Vec::new();
    for shape in SHAPES {
        let (bare, forwarder) = Bare::call(shape);
        lanes.push(Lane {
            name: format!("call_{}", shape.name),
            daemon: daemon.call(shape),
            bare,
            forwarder,
        });
        let (bare, forwarder) = Bare::peer(shape);
        lanes.push(Lane {
            name: format!("peer_{}", shape.name),
            daemon: daemon.peer(shape),
            bare,
            forwarder,
        });
    }
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for lane in &lanes {
        measure(&mut criterion, lane);
    }
    criterion.final_summary();
    if is_measuring() {
        compare(&lanes, &mut io::stdout().lock()).expect("a standard output");
    }
}

fn measure(criterion: &mut Criterion, lane: &Lane) {
    let mut group = criterion.benchmark_group(&lane.name);
    group.throughput(Throughput::Elements(lane.daemon.datagrams()));
    group.bench_function("veilturn", |b| b.iter(|| lane.daemon.round()));
    group.bench_function("bare", |b| b.iter(|| lane.bare.round()));
    group.finish();
}

/// Whether cargo asks for figures, and not only whether everything runs, or what there is.
fn is_measuring() -> bool {
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    asked("--bench") && !asked("--test") && !asked("--list")
}

/// What one turn came to.
#[derive(Clone, Copy)]
struct Turn {
    /// Datagrams delivered per second.
    rate: f64,
    /// Microseconds of the forwarder's processor time per datagram.
    cost: f64,
}

/// Measures both in turns and prints the medians.
fn compare(lanes: &[Lane], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\nMedians of {TURNS} turns each, in alternation; lowest and highest ratio of two turns in brackets\n"
    )?;
    writeln!(
        out,
        "| path | veilturn, packets/s | bare, packets/s | ratio | veilturn, CPU µs/packet | bare, CPU µs/packet | ratio |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for lane in lanes {
        let turns: Vec<[Turn; 2]> = (0..TURNS)
            .map(|_| {
                [
                    turn(&lane.daemon, path::WORKER),
                    turn(&lane.bare, lane.forwarder.name()),
                ]
            })
            .collect();
        let column = |get: fn(&[Turn; 2]) -> f64| Column::of(turns.iter().map(get).collect());
        let rates = column(|[ours, bare]| ours.rate / bare.rate);
        let costs = column(|[ours, bare]| ours.cost / bare.cost);
        writeln!(
            out,
            "| {} | {:.0} | {:.0} | {rates} | {:.2} | {:.2} | {costs} |",
            lane.name,
            column(|[ours, _]| ours.rate).median,
            column(|[_, bare]| bare.rate).median,
            column(|[ours, _]| ours.cost).median,
            column(|[_, bare]| bare.cost).median,
        )?;
    }
    Ok(())
}

/// Runs rounds for a while.
fn turn(path: &Path, forwarder: &str) -> Turn {
    let cpu = path::processor_time(forwarder);
    let start = Instant::now();
    let mut datagrams = 0;
    while start.elapsed() < TURN {
        path.round();
        datagrams += path.datagrams();
    }
    let elapsed = start.elapsed();
    let cpu = path::processor_time(forwarder).saturating_sub(cpu);
    let datagrams = datagrams as f64;
    Turn {
        rate: datagrams / elapsed.as_secs_f64(),
        cost: cpu.as_secs_f64() * 1e6 / datagrams,
    }
}

/// The middle and the ends of some figures.
struct Column {
    low: f64,
    median: f64,
    high: f64,
}

impl Column {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_unstable_by(f64::total_cmp);
        let last = figures.len() - 1;
        Self {
            low: figures[0],
            median: figures[last / 2],
            high: figures[last],
        }
    }
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} [{:.2}, {:.2}]", self.median, self.low, self.high)
    }
}
