//! Clients who allocate at a steady pace, and a call, while strangers lay siege to the TLS listener or do not.

use std::fmt;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::caller::{Callers, Way};
use super::daemon::{Daemon, on_core};
use super::siege::{self, Outcome, Plan};

/// How the measured clients reach the daemon, one after the other in each round.
pub(crate) const WAYS: [Way; 3] = [Way::Udp, Way::Tcp, Way::Tls13];

/// Allocations per second in each way, and the threads that share them. A thread keeps its pace as long as an allocation
/// takes less than 80 ms.
const PACE: u32 = 100;
const THREADS: u32 = 8;

/// Datagrams per second of the call.
const MEDIA_RATE: &str = "5000";

/// A siege and what it is called.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) plan: Plan,
}

/// What one turn of a scene came to.
pub(crate) struct Turn {
    /// For each of [`WAYS`]: p50, p99 and the longest, in milliseconds.
    latencies: [[f64; 3]; WAYS.len()],
    /// Allocations that were not granted.
    failed: u64,
    outcome: Outcome,
    /// Strangers that the daemon had, as it was asked once.
    held: f64,
    /// Of the daemon's core, and how much of the time it waited because others had the core, while clients allocated.
    share: f64,
    waited: f64,
    /// p50, p99 and the longest of the call's datagrams, in milliseconds, and the part that was lost.
    media: [f64; 4],
}

/// Measures one turn: allocations first, then the call, under the same siege.
pub(crate) fn turn(daemon: &Daemon, scene: Scene, span: Duration) -> Turn {
    daemon.until("what was before is gone", |daemon| {
        daemon.connections() == 0.0
    });
    let over = AtomicBool::new(false);
    on_core(1, || {
        thread::scope(|scope| {
            let over = Over(&over);
            let siege = scope.spawn(|| siege::lay(daemon, scene.plan, over.0));
            // Until all are there, and the first of those that are stuck come for the second time.
            thread::sleep(Duration::from_millis(500));
            let used = daemon.meter.read().expect("a daemon that lives");
            let start = Instant::now();
            let counted = scope.spawn(move || {
                thread::sleep(span / 2);
                daemon.connections()
            });
            let (latencies, failed) = allocations(daemon, span);
            let usage = daemon
                .meter
                .read()
                .expect("a daemon that lives")
                .since(&used);
            let part = |nanos: u64| nanos as f64 / start.elapsed().as_nanos() as f64;
            let (share, waited) = (part(usage.total), part(usage.waited));
            let media = call(daemon, span);
            drop(over);
            Turn {
                latencies,
                failed,
                media,
                share,
                waited,
                held: counted.join().expect("no panic"),
                outcome: siege.join().expect("no panic"),
            }
        })
    })
}

/// Prints what the scenes came to; in the first, nobody lays siege.
pub(crate) fn report(
    scenes: &[Scene],
    rounds: &[Vec<Turn>],
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(
        out,
        "| beside | way | p50, ms | p99, ms | longest, ms | p99 more than alone, ms |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for (index, scene) in scenes.iter().enumerate() {
        for (way, _) in WAYS.iter().enumerate() {
            let figures = |which: usize| spread(rounds, |round| round[index].latencies[way][which]);
            let more = spread(rounds, |round| {
                round[index].latencies[way][1] - round[0].latencies[way][1]
            });
            let (name, way) = (scene.name, WAYS[way].label());
            let [p50, p99, longest] = [0, 1, 2].map(figures);
            writeln!(
                out,
                "| {name} | {way} | {p50} | {p99} | {longest} | {more} |"
            )?;
        }
    }
    writeln!(
        out,
        "\n| beside | connections | opened per second | handshakes answered per second | daemon's share of a core | others', while it waited | allocations that failed | media p50, ms | p99, ms | longest, ms | lost, % |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|")?;
    for (index, scene) in scenes.iter().enumerate() {
        let of = |get: fn(&Turn) -> f64| spread(rounds, |round| get(&round[index]));
        let failed: u64 = rounds.iter().map(|round| round[index].failed).sum();
        writeln!(
            out,
            "| {} | {:.0} | {:.0} | {:.0} | {} | {} | {failed} | {} | {} | {} | {} |",
            scene.name,
            of(|turn| turn.held),
            of(|turn| turn.outcome.opened as f64 / turn.outcome.span),
            of(|turn| turn.outcome.answered as f64 / turn.outcome.span),
            of(|turn| turn.share),
            of(|turn| turn.waited),
            of(|turn| turn.media[0]),
            of(|turn| turn.media[1]),
            of(|turn| turn.media[2]),
            of(|turn| turn.media[3] * 100.0),
        )?;
    }
    Ok(())
}

/// Ends the siege when it is dropped, so that a panic ends it as well.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Allocations at a steady pace, in all ways at the same time; those that failed are counted.
fn allocations(daemon: &Daemon, span: Duration) -> ([[f64; 3]; WAYS.len()], u64) {
    let callers = WAYS.map(|way| Callers::new(daemon, way));
    thread::scope(|scope| {
        let running = callers.each_ref().map(|callers| {
            let threads =
                (0..THREADS).map(|thread| scope.spawn(move || pace(callers, thread, span)));
            threads.collect::<Vec<_>>()
        });
        let mut failed = 0;
        let latencies = running.map(|threads| {
            let mut all = Times::new();
            for thread in threads {
                all.absorb(&thread.join().expect("no panic"));
            }
            failed += all.failed;
            all.figures()
        });
        (latencies, failed)
    })
}

/// The part of one thread.
fn pace(callers: &Callers<'_>, thread: u32, span: Duration) -> Times {
    let interval = Duration::from_secs(1) * THREADS / PACE;
    let mut times = Times::new();
    let start = Instant::now();
    let mut due = interval * thread / THREADS;
    while due < span {
        thread::sleep((start + due).saturating_duration_since(Instant::now()));
        times.take(callers.come_and_go(NEXT.fetch_add(1, Ordering::Relaxed)));
        due += interval;
    }
    times
}

/// Holds a call with the generator of `veilturn bench`; p50, p99 and the longest in milliseconds, and the part lost.
fn call(daemon: &Daemon, span: Duration) -> [f64; 4] {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veilturn"));
    command
        .args([
            "bench", "call", "--quiet", "--json", "-", "--rate", MEDIA_RATE,
        ])
        .args(["--server", &daemon.udp.to_string()])
        .args(["--pid", &daemon.pid().to_string()])
        .args(["--duration", &format!("{}ms", span.as_millis())])
        .arg("--secret-file")
        .arg(daemon.secret_file())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().expect("a generator");
    assert!(output.status.success(), "the call failed");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let result = &told["result"];
    let figure = |value: &serde_json::Value| value.as_f64().expect("a figure");
    let latency = ["p50", "p99", "max"].map(|name| figure(&result["latency_us"][name]) / 1e3);
    let [p50, p99, longest] = latency;
    [p50, p99, longest, figure(&result["loss"])]
}

/// The number of the next client.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// How long allocations took.
struct Times {
    /// In microseconds, to 1 %, up to a minute.
    taken: Histogram<u64>,
    failed: u64,
}

impl Times {
    fn new() -> Self {
        Self {
            taken: Histogram::new_with_bounds(1, 60_000_000, 2).expect("sound bounds"),
            failed: 0,
        }
    }

    fn take(&mut self, took: io::Result<Duration>) {
        match took {
            Ok(took) => {
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.taken.saturating_record(micros);
            }
            Err(_) => self.failed += 1,
        }
    }

    fn absorb(&mut self, other: &Self) {
        self.taken.add(&other.taken).expect("room");
        self.failed += other.failed;
    }

    /// p50, p99 and the longest, in milliseconds.
    fn figures(&self) -> [f64; 3] {
        let at = |quantile| self.taken.value_at_quantile(quantile) as f64 / 1e3;
        [at(0.5), at(0.99), at(1.0)]
    }
}

/// A figure of all rounds.
fn spread(rounds: &[Vec<Turn>], get: impl Fn(&[Turn]) -> f64) -> Spread {
    let mut figures: Vec<f64> = rounds.iter().map(|round| get(round)).collect();
    figures.sort_unstable_by(f64::total_cmp);
    let last = figures.len() - 1;
    Spread {
        low: figures[0],
        median: f64::midpoint(figures[last / 2], figures[last.div_ceil(2)]),
        high: figures[last],
    }
}

/// The middle and the ends of some figures.
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { low, median, high } = self;
        write!(f, "{median:.digits$} [{low:.digits$}, {high:.digits$}]")
    }
}
