//! Connections that lie idle: what each costs in memory, what opening it cost, and what is left when all are gone.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::caller::{Callers, Way, Wish};
use super::daemon::{Daemon, on_core};
use super::kernel::Kernel;

/// Clients that connect at the same time.
const AT_ONCE: u64 = 4;

/// Connections before the first that counts: what is made once is made then.
const FIRST: u64 = 50;

/// What idle connections of one kind came to.
pub(crate) struct Idle {
    way: Way,
    wish: Wish,
    /// Bytes of the daemon's memory for each connection: of the first ones, and when as many had come and gone before.
    resident: [f64; 2],
    /// Bytes for each that the daemon keeps when they are gone.
    kept: [f64; 2],
    kernel: Option<(f64, String)>,
    /// Connections opened per second.
    rate: f64,
    /// Microseconds of the daemon's processor time for opening each, and its share of a core.
    cost: f64,
    share: f64,
}

/// Opens and closes `count` connections, twice, at a daemon of their own.
pub(crate) fn measure(way: Way, wish: Wish, count: u64) -> Idle {
    let daemon = Daemon::start();
    on_core(1, || {
        let callers = Callers::new(&daemon, way);
        let first = open(&callers, 0, FIRST, wish);
        drop(first);
        let empty = |daemon: &Daemon| {
            daemon.connections() == 0.0 && daemon.metric("veilturn_allocations", "") == 0.0
        };
        daemon.until("the first connections are gone", empty);
        settle();
        let (before, kernel) = (daemon.resident(), Kernel::read());
        let used = daemon.meter.read().expect("a daemon that lives");
        let start = Instant::now();

        let idle = open(&callers, FIRST, count, wish);

        let span = start.elapsed().as_secs_f64();
        let usage = daemon
            .meter
            .read()
            .expect("a daemon that lives")
            .since(&used);
        assert_eq!(daemon.connections(), count as f64, "all are open");
        settle();
        let each = |bytes: f64| (bytes - before) / count as f64;
        let with = each(daemon.resident());
        let first = Kernel::read().since(&kernel, count as f64);
        drop(idle);
        daemon.until("no connection is left", empty);
        settle();
        let (kept, kernel) = (each(daemon.resident()), Kernel::read());
        let again = open(&callers, FIRST + count, count, wish);
        settle();
        let with_again = each(daemon.resident());
        let second = Kernel::read().since(&kernel, count as f64);
        drop(again);
        daemon.until("no connection is left", empty);
        settle();
        Idle {
            way,
            wish,
            resident: [with, with_again],
            kept: [kept, each(daemon.resident())],
            // Whatever else goes on takes memory as well.
            kernel: first
                .into_iter()
                .chain(second)
                .min_by(|a, b| a.0.total_cmp(&b.0)),
            rate: count as f64 / span,
            cost: usage.total as f64 / 1e3 / count as f64,
            share: usage.total as f64 / 1e9 / span,
        }
    })
}

/// Prints what they came to.
pub(crate) fn report(rows: &[Idle], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| connection | after | daemon, bytes | as many again | kept when closed, first and second time | kernel, bytes at most | opened per second | daemon's CPU µs each | its share of a core |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for row in rows {
        let kernel = match &row.kernel {
            Some((bytes, _)) => format!("{bytes:.0}"),
            None => "unknown".to_owned(),
        };
        writeln!(
            out,
            "| {} | {} | {:.0} | {:.0} | {:.0}, {:.0} | {kernel} | {:.0} | {:.0} | {:.2} |",
            row.way.label(),
            wish(row.wish),
            row.resident[0],
            row.resident[1],
            row.kept[0],
            row.kept[1],
            row.rate,
            row.cost,
            row.share,
        )?;
    }
    writeln!(out)?;
    for row in rows {
        let parts = row.kernel.as_ref().map_or("unknown", |(_, parts)| parts);
        writeln!(
            out,
            "kernel, {}, {}: {parts}",
            row.way.label(),
            wish(row.wish)
        )?;
    }
    Ok(())
}

const fn wish(wish: Wish) -> &'static str {
    match wish {
        Wish::Binding => "a Binding",
        Wish::Allocation => "an allocation",
    }
}

/// Opens connections for the clients from `first` on.
fn open(callers: &Callers<'_>, first: u64, count: u64, wish: Wish) -> Vec<TcpStream> {
    let next = AtomicU64::new(first);
    thread::scope(|scope| {
        let open = || {
            let mut open = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= first + count {
                    return open;
                }
                open.push(
                    callers
                        .stay(number, wish)
                        .expect("a connection that is served"),
                );
            }
        };
        let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(open)).collect();
        let opened = running.into_iter().map(|thread| thread.join());
        opened.flat_map(|open| open.expect("no panic")).collect()
    })
}

/// The kernel counts what a process has with a delay.
fn settle() {
    thread::sleep(Duration::from_millis(300));
}
