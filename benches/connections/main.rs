//! What connections cost the daemon that lie idle, and how those of others fare beside many that are stuck in the
//! handshake, or that make it work for nothing.
//!
//! The daemon is a process of its own with one worker on the first core, everything else is on the second, and all
//! traffic stays on the loopback interface. Clients come from many addresses of 127.0.0.0/8, so that the limit for one
//! prefix holds none of them up. `-- idle` and `-- siege` measure one of the two parts; with `-- --test`, a few
//! connections show that everything works.
//!
//! `CONNECTIONS` is how many lie idle, `STUCK` and `HASTY` how many lay siege, `ROUNDS` and `SECONDS_EACH` how often and
//! how long each siege is laid.
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark of a real daemon reads real clocks and waits"
)]

use std::io::{self, Write};
use std::time::Duration;

mod caller;
mod daemon;
mod idle;
mod kernel;
#[path = "../../src/cli/bench/meter.rs"]
#[allow(dead_code, unused_imports, reason = "shared with `veilturn bench`")]
mod meter;
mod siege;
mod steady;
use caller::{Way, Wish};
use daemon::Daemon;
use siege::Plan;
use steady::Scene;

/// How much is measured.
struct Extent {
    connections: u64,
    stuck: usize,
    hasty: usize,
    rounds: usize,
    span: Duration,
}

fn main() -> io::Result<()> {
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    if asked("--list") {
        return Ok(());
    }
    let extent = if asked("--bench") && !asked("--test") {
        Extent {
            connections: number("CONNECTIONS", 5_000),
            stuck: small("STUCK", 1_000),
            hasty: small("HASTY", 64),
            rounds: small("ROUNDS", 5),
            span: Duration::from_secs(number("SECONDS_EACH", 5)),
        }
    } else {
        Extent {
            connections: 40,
            stuck: 30,
            hasty: 4,
            rounds: 1,
            span: Duration::from_millis(500),
        }
    };
    veilturn::net::raise_descriptors()?;
    let mut out = io::stdout().lock();
    if is_wanted("idle") {
        lie_idle(&extent, &mut out)?;
    }
    if is_wanted("siege") {
        lay_siege(&extent, &mut out)?;
    }
    Ok(())
}

/// Whether a part is asked for: all are where none is named.
fn is_wanted(part: &str) -> bool {
    let mut named = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .peekable();
    named.peek().is_none() || named.any(|name| name == part)
}

fn lie_idle(extent: &Extent, out: &mut impl Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for wish in [Wish::Binding, Wish::Allocation] {
        for way in [Way::Tcp, Way::Tls12, Way::Tls13] {
            rows.push(idle::measure(way, wish, extent.connections));
        }
    }
    writeln!(
        out,
        "{} idle connections of each kind\n",
        extent.connections
    )?;
    idle::report(&rows, out)
}

fn lay_siege(extent: &Extent, out: &mut impl Write) -> io::Result<()> {
    let &Extent { stuck, hasty, .. } = extent;
    let scenes = [
        ("nobody", Plan::default()),
        ("stuck", Plan { stuck, hasty: 0 }),
        ("hasty", Plan { stuck: 0, hasty }),
        ("both", Plan { stuck, hasty }),
    ];
    let scenes = scenes.map(|(name, plan)| Scene { name, plan });
    let daemon = Daemon::start();
    let mut rounds = Vec::new();
    for _ in 0..extent.rounds {
        let turns = scenes.map(|scene| steady::turn(&daemon, scene, extent.span));
        rounds.push(Vec::from(turns));
    }
    writeln!(
        out,
        "\n{stuck} strangers stuck in the handshake, {hasty} hasty ones; {} rounds of {} s, medians [lowest, highest]\n",
        extent.rounds,
        extent.span.as_secs_f64(),
    )?;
    steady::report(&scenes, &rounds, out)
}

/// A number out of the environment.
fn number(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| {
        text.parse().expect("a number in the environment")
    })
}

fn small(name: &str, default: u64) -> usize {
    usize::try_from(number(name, default)).expect("a small number")
}
