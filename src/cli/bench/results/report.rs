//! The results as values, with the names that they have in JSON. Names and meanings stay the same within one `schema`;
//! `benches/README.md` tells them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::Transport;
use crate::cli::bench::args::{BenchArgs, Dialect, Direction, Framing, MediaName, Scenario};
use crate::cli::bench::generator::{Interval, Run};
use crate::cli::bench::meter::Usage;
use crate::cli::bench::schedule::SECOND;
use crate::cli::bench::tally::{Percentiles, micros};
use crate::cli::bench::turnover::{Held, Turnover};

/// The version of the names and meanings.
const SCHEMA: &str = "veilturn-bench/1";

/// The largest part of the datagrams that a server may lose and still hold a rate.
const TOLERATED: f64 = 0.005;

/// How long after the last datagram was sent the last one may arrive while the rate still counts as held, in
/// nanoseconds, and the part of the run that is added: what comes later has waited in a queue that grows.
const TAIL: u64 = 20_000_000;
const TAIL_PART: f64 = 0.01;

/// The part of the datagrams that the generator has to send in time.
const KEPT: f64 = 0.99;

/// The part of its time above which the generator counts as busy all the time.
const BUSY: f64 = 0.95;

/// The part of a core above which one of the server's threads counts as busy all the time.
const SERVER_BUSY: f64 = 0.9;

/// The part of the time from which on a thread that is kept from its core by others cannot do what it could.
const CROWDED: f64 = 0.05;

/// Everything that one call of `bench` found.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli::bench) struct Report {
    schema: &'static str,
    /// Of veilturn, which measured.
    version: &'static str,
    /// What was measured.
    pub(in crate::cli::bench) name: String,
    pub(in crate::cli::bench) setup: Setup,
    /// At the fixed rate, or at the highest rate that held; absent where none did.
    pub(in crate::cli::bench) result: Option<Measure>,
    /// The rates that were tried, in order.
    pub(in crate::cli::bench) steps: Vec<Measure>,
    /// A fixed rate, second by second.
    pub(in crate::cli::bench) intervals: Vec<IntervalMeasure>,
    pub(in crate::cli::bench) allocations: Option<Allocations>,
    /// What kept the rate from being higher.
    pub(in crate::cli::bench) bottleneck: Bottleneck,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli::bench) struct Setup {
    pub(in crate::cli::bench) scenario: Scenario,
    pub(in crate::cli::bench) transport: Transport,
    pub(in crate::cli::bench) media: MediaName,
    pub(in crate::cli::bench) payload_bytes: u16,
    pub(in crate::cli::bench) burst: u16,
    pub(in crate::cli::bench) direction: Direction,
    pub(in crate::cli::bench) framing: Framing,
    pub(in crate::cli::bench) dialect: Dialect,
    pub(in crate::cli::bench) calls: usize,
    pub(in crate::cli::bench) flows: usize,
    pub(in crate::cli::bench) gso: bool,
    pub(in crate::cli::bench) gro: bool,
    pub(in crate::cli::bench) baseline: bool,
    pub(in crate::cli::bench) saturate: bool,
}

/// One rate.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli::bench) struct Measure {
    pub(in crate::cli::bench) target_pps: u64,
    pub(in crate::cli::bench) seconds: f64,
    pub(in crate::cli::bench) due: u64,
    pub(in crate::cli::bench) sent: u64,
    pub(in crate::cli::bench) sent_pps: f64,
    pub(in crate::cli::bench) delivered: u64,
    pub(in crate::cli::bench) delivered_pps: f64,
    /// Of payload.
    pub(in crate::cli::bench) delivered_bytes_per_second: f64,
    pub(in crate::cli::bench) lost: u64,
    /// Part of `sent`, between 0 and 1.
    pub(in crate::cli::bench) loss: f64,
    pub(in crate::cli::bench) dropped_by_generator: u64,
    pub(in crate::cli::bench) duplicates: u64,
    pub(in crate::cli::bench) reordered: u64,
    pub(in crate::cli::bench) astray: u64,
    pub(in crate::cli::bench) latency_us: Percentiles,
    pub(in crate::cli::bench) latency_from_schedule_us: Percentiles,
    pub(in crate::cli::bench) lateness_us: Percentiles,
    /// How long after the last was sent the last arrived.
    pub(in crate::cli::bench) tail_us: f64,
    pub(in crate::cli::bench) generator_busy: f64,
    /// The part of the time in which the generator was kept from its core.
    pub(in crate::cli::bench) generator_waited: f64,
    pub(in crate::cli::bench) server: Option<ServerCost>,
    pub(in crate::cli::bench) held: bool,
    pub(in crate::cli::bench) bottleneck: Bottleneck,
}

/// What it cost the server.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::cli::bench) struct ServerCost {
    pub(in crate::cli::bench) cpu_us_per_packet: f64,
    /// Of one core.
    pub(in crate::cli::bench) cpu_share: f64,
    /// Of one core, by the thread that used most.
    pub(in crate::cli::bench) busiest_thread_share: f64,
    /// The part of the time in which that thread was kept from its core.
    pub(in crate::cli::bench) busiest_thread_waited: f64,
    pub(in crate::cli::bench) resident_bytes: Option<u64>,
}

/// A second or so.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::cli::bench) struct IntervalMeasure {
    pub(in crate::cli::bench) at_seconds: f64,
    pub(in crate::cli::bench) sent: u64,
    pub(in crate::cli::bench) sent_pps: f64,
    pub(in crate::cli::bench) delivered_pps: f64,
    /// Of what was sent in this second.
    pub(in crate::cli::bench) lost: u64,
    pub(in crate::cli::bench) latency_us: Percentiles,
    pub(in crate::cli::bench) cpu_share: Option<f64>,
}

/// What allocations came to.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli::bench) struct Allocations {
    pub(in crate::cli::bench) held: usize,
    pub(in crate::cli::bench) held_seconds: f64,
    pub(in crate::cli::bench) resident_bytes_before: Option<u64>,
    pub(in crate::cli::bench) resident_bytes_with: Option<u64>,
    pub(in crate::cli::bench) bytes_per_allocation: Option<f64>,
    pub(in crate::cli::bench) seconds: f64,
    pub(in crate::cli::bench) granted: u64,
    pub(in crate::cli::bench) granted_per_second: f64,
    pub(in crate::cli::bench) failed: BTreeMap<String, u64>,
    pub(in crate::cli::bench) latency_us: Percentiles,
    pub(in crate::cli::bench) cpu_us_per_allocation: Option<f64>,
    pub(in crate::cli::bench) cpu_share: Option<f64>,
}

/// What kept a rate from being held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli::bench) enum Bottleneck {
    /// Nothing: it was held.
    None,
    /// The server, or the network in front of it.
    Server,
    /// The generator could not send or receive as much.
    Generator,
    /// Others kept the server or the generator from its core.
    Machine,
    /// Datagrams were lost although both had time: buffers are too small.
    Unclear,
}

impl Report {
    /// A report without results.
    pub(in crate::cli::bench) fn new(args: &BenchArgs) -> Self {
        let shape = args.shape();
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            name: args.name.clone(),
            setup: Setup {
                scenario: args.scenario,
                transport: args.transport,
                media: args.media,
                payload_bytes: shape.media.size,
                burst: shape.media.burst,
                direction: shape.direction,
                framing: shape.framing,
                dialect: args.dialect,
                calls: shape.calls,
                flows: shape.flows(),
                gso: args.gso,
                gro: args.gro,
                baseline: args.baseline,
                saturate: args.saturate,
            },
            result: None,
            steps: Vec::new(),
            intervals: Vec::new(),
            allocations: None,
            bottleneck: Bottleneck::None,
        }
    }

    /// Takes the run at the fixed rate, whose seconds were taken.
    pub(in crate::cli::bench) fn fixed(&mut self, run: &Run) {
        for (interval, arrived) in self.intervals.iter_mut().zip(&run.by_interval) {
            interval.lost = interval.sent.saturating_sub(*arrived);
        }
        let measure = Measure::of(run);
        self.bottleneck = measure.bottleneck;
        self.result = Some(measure);
    }

    /// Takes a run at one of the rates that are tried; what it came to.
    pub(in crate::cli::bench) fn tried(&mut self, run: &Run) -> &Measure {
        let last = self.steps.len();
        self.steps.push(Measure::of(run));
        &self.steps[last]
    }

    /// Takes the best of the rates that were tried.
    pub(in crate::cli::bench) fn conclude(&mut self) {
        let rate = |measure: &&Measure| measure.target_pps;
        let held = self.steps.iter().filter(|step| step.held).max_by_key(rate);
        let beyond = held.map_or(0, |held| held.target_pps);
        let failed = self
            .steps
            .iter()
            .filter(|step| !step.held && step.target_pps > beyond);
        let limit = failed.min_by_key(rate).map(|step| step.bottleneck);
        self.bottleneck = limit.unwrap_or(Bottleneck::None);
        self.result = held.cloned();
    }

    /// Takes a second of the run at the fixed rate.
    pub(in crate::cli::bench) fn interval(&mut self, interval: &Interval) {
        let seconds = seconds(interval.span).max(1e-9);
        self.intervals.push(IntervalMeasure {
            at_seconds: self::seconds(interval.at),
            sent: interval.sent,
            sent_pps: interval.sent as f64 / seconds,
            lost: 0,
            delivered_pps: interval.delivered as f64 / seconds,
            latency_us: interval.latency,
            cpu_share: interval
                .usage
                .map(|usage| share(usage.total, interval.span)),
        });
    }

    /// Takes what allocations came to.
    pub(in crate::cli::bench) fn allocations(&mut self, held: Held, turnover: &Turnover) {
        let per_allocation = |(before, with): (u64, u64)| {
            (with as f64 - before as f64) / held.allocations.max(1) as f64
        };
        let granted = turnover.granted.max(1) as f64;
        self.allocations = Some(Allocations {
            held: held.allocations,
            held_seconds: seconds(held.span),
            resident_bytes_before: held.resident.map(|(before, _)| before),
            resident_bytes_with: held.resident.map(|(_, with)| with),
            bytes_per_allocation: held.resident.map(per_allocation),
            seconds: seconds(turnover.span),
            granted: turnover.granted,
            granted_per_second: turnover.granted as f64 / seconds(turnover.span).max(1e-9),
            failed: turnover.failed.clone(),
            latency_us: turnover.latency,
            cpu_us_per_allocation: turnover.usage.map(|usage| micros(usage.total) / granted),
            cpu_share: turnover
                .usage
                .map(|usage| share(usage.total, turnover.span)),
        });
    }
}

impl Measure {
    fn of(run: &Run) -> Self {
        let seconds = seconds(run.span).max(1e-9);
        let delivered = run.counts.delivered;
        let lost = run.sent.saturating_sub(delivered);
        let loss = lost as f64 / run.sent.max(1) as f64;
        let is_prompt = run.tail as f64 <= TAIL as f64 + TAIL_PART * run.span as f64;
        let held = loss <= TOLERATED && is_prompt && run.sent as f64 >= KEPT * run.due as f64;
        let whole = run.span + run.tail;
        let per_packet = |usage: Usage| ServerCost {
            cpu_us_per_packet: micros(usage.total) / delivered.max(1) as f64,
            cpu_share: share(usage.total, whole),
            busiest_thread_share: share(usage.busiest, whole),
            busiest_thread_waited: share(usage.waited, whole),
            resident_bytes: run.resident,
        };
        let server = run.usage.map(per_packet);
        let delivered_pps = delivered as f64 / self::seconds(whole).max(1e-9);
        Self {
            target_pps: run.rate,
            seconds,
            due: run.due,
            sent: run.sent,
            sent_pps: run.sent as f64 / seconds,
            delivered,
            delivered_pps,
            delivered_bytes_per_second: delivered_pps * run.size as f64,
            lost,
            loss,
            dropped_by_generator: run.dropped_here,
            duplicates: run.counts.duplicates,
            reordered: run.counts.reordered,
            astray: run.counts.astray,
            latency_us: run.latency,
            latency_from_schedule_us: run.from_schedule,
            lateness_us: run.lateness,
            tail_us: micros(run.tail),
            generator_busy: run.busy,
            generator_waited: share(run.waited, run.span),
            server,
            held,
            bottleneck: if held {
                Bottleneck::None
            } else {
                bottleneck(run, server)
            },
        }
    }
}

/// What kept a rate from being held that was not.
fn bottleneck(run: &Run, server: Option<ServerCost>) -> Bottleneck {
    if server.is_some_and(|server| server.busiest_thread_share >= SERVER_BUSY) {
        return Bottleneck::Server;
    }
    let server_waited = server.map_or(0.0, |server| server.busiest_thread_waited);
    if share(run.waited, run.span).max(server_waited) >= CROWDED {
        return Bottleneck::Machine;
    }
    let behind = (run.sent as f64) < KEPT * run.due as f64;
    if behind || run.dropped_here > 0 || run.busy >= BUSY {
        return Bottleneck::Generator;
    }
    match server {
        Some(_) => Bottleneck::Unclear,
        None => Bottleneck::Server,
    }
}

fn share(used: u64, span: u64) -> f64 {
    used as f64 / span.max(1) as f64
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / SECOND as f64
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::bench::tally::Counts;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        bench: BenchArgs,
    }

    const MILLISECOND: u64 = 1_000_000;

    /// A second at 1000 packets per second, all of which arrived, half of a core used.
    const GOOD: Run = Run {
        rate: 1_000,
        size: 160,
        span: SECOND,
        due: 1_000,
        sent: 1_000,
        counts: Counts {
            delivered: 1_000,
            duplicates: 0,
            reordered: 0,
            astray: 0,
        },
        by_interval: Vec::new(),
        dropped_here: 0,
        latency: TIMES,
        from_schedule: TIMES,
        lateness: TIMES,
        tail: MILLISECOND,
        busy: 0.5,
        waited: 0,
        usage: Some(Usage {
            total: 500 * MILLISECOND,
            busiest: 400 * MILLISECOND,
            waited: 0,
        }),
        resident: Some(1 << 20),
    };

    const TIMES: Percentiles = Percentiles {
        p50: 50.0,
        p90: 90.0,
        p99: 200.0,
        p999: 1_000.0,
        max: 2_000.0,
    };

    /// A report of a run at a fixed rate.
    pub(in crate::cli::bench) fn fixed() -> Report {
        let mut report = report("");
        for second in 1..=3 {
            report.interval(&Interval {
                at: second * SECOND,
                span: SECOND,
                sent: 1_000,
                delivered: 999,
                latency: TIMES,
                usage: GOOD.usage,
            });
        }
        report.fixed(&with(|run| run.by_interval = vec![1_000, 999, 1_000]));
        report
    }

    /// A report of a search.
    pub(in crate::cli::bench) fn saturated() -> Report {
        let mut report = report("--saturate");
        for (rate, delivered) in [(1_000, 1_000), (4_000, 2_000), (2_000, 2_000)] {
            let mut run = GOOD;
            (run.rate, run.due, run.sent) = (rate, rate, rate);
            run.counts.delivered = delivered;
            run.busy = 0.99;
            report.tried(&run);
        }
        report.conclude();
        report
    }

    fn report(more: &str) -> Report {
        let line = format!("bench call --server relay {more}");
        let command = Command::try_parse_from(line.split_whitespace()).unwrap();
        Report::new(&command.bench)
    }

    #[test]
    fn a_run_is_told_per_second_and_per_packet() {
        let report = fixed();
        let lost: Vec<u64> = report.intervals.iter().map(|second| second.lost).collect();
        assert_eq!(lost, [0, 1, 0]);
        let measure = report.result.unwrap();
        let server = measure.server.unwrap();

        assert!(measure.held && measure.lost == 0);
        assert!((measure.sent_pps - 1_000.0).abs() < 1e-6);
        assert!((measure.delivered_pps - 1_000.0 / 1.001).abs() < 1e-6);
        let bytes = measure.delivered_bytes_per_second;
        assert!((bytes - 160_000.0 / 1.001).abs() < 1e-6);
        assert!((server.cpu_us_per_packet - 500.0).abs() < 1e-6);
        assert!((server.cpu_share - 0.5 / 1.001).abs() < 1e-6);
    }

    #[test]
    fn the_result_of_a_search_is_the_highest_rate_that_held() {
        let report = saturated();
        assert_eq!(report.result.unwrap().target_pps, 2_000);
        assert_eq!(report.bottleneck, Bottleneck::Generator);
    }

    #[test]
    fn a_rate_is_held_only_without_loss_or_a_growing_queue_or_a_generator_behind() {
        let runs = [
            (with(|run| run.counts.delivered = 995), true),
            (with(|run| run.counts.delivered = 994), false),
            (with(|run| run.tail = 29 * MILLISECOND), true),
            (with(|run| run.tail = 31 * MILLISECOND), false),
            (
                with(|run| (run.sent, run.counts.delivered) = (990, 990)),
                true,
            ),
            (
                with(|run| (run.sent, run.counts.delivered) = (989, 989)),
                false,
            ),
        ];
        for (number, (run, held)) in runs.iter().enumerate() {
            assert_eq!(Measure::of(run).held, *held, "{number}");
        }
    }

    #[test]
    fn whoever_is_busy_is_the_bottleneck() {
        let all_threads = Some(Usage {
            total: 2 * SECOND,
            busiest: 950 * MILLISECOND,
            waited: 0,
        });
        let kept_waiting = Some(Usage {
            total: 800 * MILLISECOND,
            busiest: 800 * MILLISECOND,
            waited: 60 * MILLISECOND,
        });
        let runs = [
            (with(|_| ()), Bottleneck::Unclear),
            (with(|run| run.usage = None), Bottleneck::Server),
            (with(|run| run.busy = 0.96), Bottleneck::Generator),
            (with(|run| run.dropped_here = 1), Bottleneck::Generator),
            (with(|run| run.due = 1_100), Bottleneck::Generator),
            (
                with(|run| (run.busy, run.waited) = (1.0, SECOND / 10)),
                Bottleneck::Machine,
            ),
            (with(|run| run.usage = kept_waiting), Bottleneck::Machine),
            (
                with(|run| (run.busy, run.usage) = (0.99, all_threads)),
                Bottleneck::Server,
            ),
        ];
        for (number, (mut run, bottleneck)) in runs.into_iter().enumerate() {
            run.counts.delivered = 900;
            assert_eq!(Measure::of(&run).bottleneck, bottleneck, "{number}");
        }
    }

    /// A good run, but for one thing.
    fn with(change: impl FnOnce(&mut Run)) -> Run {
        let mut run = GOOD;
        change(&mut run);
        run
    }
}
