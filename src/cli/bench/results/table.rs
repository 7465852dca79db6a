//! The results as text: tables for people.

use std::fmt::Write as _;

use serde::Serialize;

use super::report::{Allocations, Bottleneck, IntervalMeasure, Measure, Report};

/// The results, as lines of text.
pub(in crate::cli::bench) fn text(report: &Report) -> String {
    let mut out = format!("{}: {}\n\n", report.name, headline(report));
    let rows: Vec<&Measure> = if report.setup.saturate {
        report.steps.iter().collect()
    } else {
        report.result.iter().collect()
    };
    if !rows.is_empty() {
        out.push_str(&rates(&rows));
        out.push('\n');
    }
    if let Some(allocations) = &report.allocations {
        out.push_str(&of_allocations(allocations));
    }
    if report.setup.saturate {
        out.push_str(&match &report.result {
            Some(best) => format!(
                "highest rate that held: {:.0} packets/s delivered, {} lost\n",
                best.delivered_pps,
                percent(best.loss)
            ),
            None => "no rate held\n".to_owned(),
        });
    }
    if let Some(note) = note(report) {
        out.push_str(note);
        out.push('\n');
    }
    out
}

/// A second of a run, as one line.
pub(in crate::cli::bench) fn progress(interval: &IntervalMeasure) -> String {
    let server = interval.cpu_share.map_or_else(String::new, |share| {
        format!("  server {:.0} % of a core", share * 100.0)
    });
    format!(
        "{:6.1} s  {:9.0} sent/s  {:9.0} delivered/s  p50 {:6.0} µs  p99 {:6.0} µs{server}",
        interval.at_seconds,
        interval.sent_pps,
        interval.delivered_pps,
        interval.latency_us.p50,
        interval.latency_us.p99
    )
}

/// One of the rates that are tried, as one line.
pub(in crate::cli::bench) fn step(measure: &Measure) -> String {
    format!(
        "{:9} packets/s: {} lost, {}",
        measure.target_pps,
        percent(measure.loss),
        if measure.held { "held" } else { "not held" }
    )
}

/// What was measured, in a line.
pub(in crate::cli::bench) fn headline(report: &Report) -> String {
    let setup = &report.setup;
    let scenario = word(&setup.scenario);
    let (calls, transport, dialect) = (setup.calls, word(&setup.transport), word(&setup.dialect));
    if report.allocations.is_some() {
        return format!("{scenario} over {transport}, {dialect}");
    }
    let framing = if setup.baseline {
        "no TURN at all".to_owned()
    } else {
        word(&setup.framing)
    };
    let offload = match (setup.gso, setup.gro) {
        (false, false) => "",
        (true, false) => ", GSO",
        (false, true) => ", GRO",
        (true, true) => ", GSO and GRO",
    };
    format!(
        "{scenario} over {transport}, {} of {} bytes ({} at once), {calls} calls, {}, {framing}{offload}",
        word(&setup.media),
        setup.payload_bytes,
        setup.burst,
        match word(&setup.direction).as_str() {
            "both" => "both ways".to_owned(),
            way => format!("{way} only"),
        },
    )
}

/// What has to be said about the results.
pub(in crate::cli::bench) const fn note(report: &Report) -> Option<&'static str> {
    match report.bottleneck {
        Bottleneck::None => None,
        Bottleneck::Server => Some("The server was the bottleneck."),
        Bottleneck::Generator => Some(
            "The generator was the bottleneck, not the server: compare what a delivered packet costs at a fixed rate \
             (--rate, with --pid) instead of rates.",
        ),
        Bottleneck::Machine => Some(
            "Other processes kept the server or the generator from its core: measure again where there is nothing else to do.",
        ),
        Bottleneck::Unclear => Some(
            "Packets were lost although server and generator had time to spare: look for small buffers (net.core.rmem_max).",
        ),
    }
}

/// The word that a value has in JSON.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// A part of a whole, as text.
pub(in crate::cli::bench) fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

/// A column: its heading and what stands in it.
struct Column(&'static str, fn(&Measure) -> String);

const COLUMNS: [Column; 13] = [
    Column("asked/s", |row| row.target_pps.to_string()),
    Column("sent/s", |row| format!("{:.0}", row.sent_pps)),
    Column("delivered/s", |row| format!("{:.0}", row.delivered_pps)),
    Column("MB/s", |row| {
        format!("{:.2}", row.delivered_bytes_per_second / 1e6)
    }),
    Column("lost", |row| percent(row.loss)),
    Column("p50 µs", |row| format!("{:.0}", row.latency_us.p50)),
    Column("p99 µs", |row| format!("{:.0}", row.latency_us.p99)),
    Column("p99.9 µs", |row| format!("{:.0}", row.latency_us.p999)),
    Column("due p99 µs", |row| {
        format!("{:.0}", row.latency_from_schedule_us.p99)
    }),
    Column("CPU µs/packet", |row| {
        of_server(row, |server| format!("{:.2}", server.cpu_us_per_packet))
    }),
    Column("server CPU", |row| {
        of_server(row, |server| format!("{:.0} %", server.cpu_share * 100.0))
    }),
    Column("generator", |row| {
        format!("{:.0} %", row.generator_busy * 100.0)
    }),
    Column("", |row| match row.bottleneck {
        Bottleneck::None => "held".to_owned(),
        Bottleneck::Server => "not held: server".to_owned(),
        Bottleneck::Generator => "not held: generator".to_owned(),
        Bottleneck::Machine => "not held: others on the machine".to_owned(),
        Bottleneck::Unclear => "not held".to_owned(),
    }),
];

fn of_server(row: &Measure, text: impl Fn(&super::report::ServerCost) -> String) -> String {
    row.server.as_ref().map_or_else(|| "-".to_owned(), text)
}

fn rates(rows: &[&Measure]) -> String {
    let cells: Vec<Vec<String>> = COLUMNS
        .iter()
        .map(|Column(heading, cell)| {
            let body = rows.iter().map(|row| cell(row));
            std::iter::once((*heading).to_owned()).chain(body).collect()
        })
        .collect();
    let mut out = String::new();
    for line in 0..=rows.len() {
        let mut text = String::new();
        for column in &cells {
            let width = column
                .iter()
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0);
            let _ = write!(text, "{:>width$}  ", column[line]);
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    let mishaps: u64 = rows
        .iter()
        .map(|row| row.duplicates + row.reordered + row.astray)
        .sum();
    if mishaps > 0 {
        let sum = |get: fn(&Measure) -> u64| rows.iter().map(|row| get(row)).sum::<u64>();
        let _ = writeln!(
            out,
            "{} duplicates, {} out of order, {} astray",
            sum(|row| row.duplicates),
            sum(|row| row.reordered),
            sum(|row| row.astray)
        );
    }
    if let Some(bytes) = rows.last().and_then(|row| row.server?.resident_bytes) {
        let _ = writeln!(
            out,
            "resident memory of the server {:.1} MiB",
            mebibytes(bytes)
        );
    }
    out
}

fn of_allocations(found: &Allocations) -> String {
    let mut out = format!(
        "made and deleted  {} in {:.1} s: {:.0} allocations/s, p50 {:.0} µs, p99 {:.0} µs\n",
        found.granted,
        found.seconds,
        found.granted_per_second,
        found.latency_us.p50,
        found.latency_us.p99
    );
    if let (Some(cpu), Some(share)) = (found.cpu_us_per_allocation, found.cpu_share) {
        let _ = writeln!(
            out,
            "CPU               {cpu:.0} µs each, {:.0} % of a core",
            share * 100.0
        );
    }
    for (cause, count) in &found.failed {
        let _ = writeln!(out, "failed            {count} with {cause}");
    }
    let _ = write!(
        out,
        "held              {} made in {:.2} s",
        found.held, found.held_seconds
    );
    if let Some(bytes) = found.bytes_per_allocation {
        let _ = write!(out, ", {bytes:.0} bytes of resident memory each");
    }
    out.push('\n');
    out
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{fixed, saturated};
    use super::*;

    #[test]
    fn a_fixed_rate_reads_like_this() {
        let expected = "\
server: call over udp, audio of 160 bytes (1 at once), 10 calls, both ways, channels

asked/s  sent/s  delivered/s  MB/s    lost  p50 µs  p99 µs  p99.9 µs  due p99 µs  CPU µs/packet  server CPU  generator
   1000    1000          999  0.16  0.00 %      50     200      1000         200         500.00        50 %       50 %  held
resident memory of the server 1.0 MiB

";
        assert_eq!(text(&fixed()), expected);
    }

    #[test]
    fn a_search_tells_every_rate_and_whose_limit_it_was() {
        let text = text(&saturated());
        for line in [
            "50.00 %",
            "not held: generator\n",
            "highest rate that held: 1998 packets/s delivered, 0.00 % lost\n",
            "The generator was the bottleneck",
        ] {
            assert!(text.contains(line), "{line:?} is missing:\n{text}");
        }
    }

    #[test]
    fn progress_fits_a_line() {
        let report = fixed();
        assert_eq!(
            progress(&report.intervals[0]),
            "   1.0 s       1000 sent/s        999 delivered/s  p50     50 µs  p99    200 µs  server 50 % of a core"
        );
    }
}
