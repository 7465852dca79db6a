//! The results as a page for a browser: one file, without scripts and without anything from elsewhere.

use std::fmt::Write as _;

use super::chart::{Chart, Line, escape};
use super::report::{Measure, Report};
use super::table;
use crate::cli::bench::tally::Percentiles;

/// The page.
pub(in crate::cli::bench) fn html(report: &Report) -> String {
    let title = format!("{}: {}", report.name, table::headline(report));
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{0}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escape(&title)
    );
    if let Some(note) = table::note(report) {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escape(note));
    }
    out.push_str(&facts(report));
    for chart in charts(report) {
        out.push_str(&chart.svg());
    }
    let _ = write!(
        out,
        "<pre>{}</pre>\n</body>\n</html>\n",
        escape_lines(&table::text(report))
    );
    out
}

/// The page's look, in light and dark.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --faint: #d9dde2; --c0: #1f6feb; --c1: #1a7f37;
  --c2: #bc4c00; --c3: #8250df; --c4: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171a; --faint: #353b42; --c0: #6cb0ff;
  --c1: #56d364; --c2: #ffa657; --c3: #d2a8ff; --c4: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; }
.note { border-left: 4px solid var(--c2); padding-left: .8rem; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1.2rem; }
dt { opacity: .7; } dd { margin: 0; font-variant-numeric: tabular-nums; }
figure { margin: 2rem 0; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 11px; }
.grid { stroke: var(--faint); } .line { fill: none; stroke-width: 2; } .dot { stroke: none; }
.line.c0 { stroke: var(--c0); } .line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); }
.line.c3 { stroke: var(--c3); } .line.c4 { stroke: var(--c4); }
.dot.c0 { fill: var(--c0); } .dot.c1 { fill: var(--c1); } .dot.c2 { fill: var(--c2); } .dot.c3 { fill: var(--c3); }
.dot.c4 { fill: var(--c4); }
.legend { margin: 0; } .key { margin-right: 1rem; } .key::before { content: '\u{25cf} '; }
.key.c0::before { color: var(--c0); } .key.c1::before { color: var(--c1); } .key.c2::before { color: var(--c2); }
.key.c3::before { color: var(--c3); } .key.c4::before { color: var(--c4); }
pre { overflow-x: auto; font-size: 12px; }
";

/// The figures that matter most.
fn facts(report: &Report) -> String {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(result) = &report.result {
        let latency = &result.latency_us;
        facts.push((
            "delivered",
            format!("{:.0} packets/s", result.delivered_pps),
        ));
        facts.push(("lost", table::percent(result.loss)));
        facts.push((
            "latency",
            format!(
                "p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs",
                latency.p50, latency.p99, latency.p999
            ),
        ));
        if let Some(server) = &result.server {
            facts.push((
                "server",
                format!(
                    "{:.2} µs of processor time per delivered packet, {:.0} % of a core",
                    server.cpu_us_per_packet,
                    server.cpu_share * 100.0
                ),
            ));
        }
    }
    if let Some(found) = &report.allocations {
        facts.push((
            "allocations",
            format!("{:.0} per second", found.granted_per_second),
        ));
        if let Some(bytes) = found.bytes_per_allocation {
            facts.push(("memory", format!("{bytes:.0} bytes per allocation")));
        }
    }
    let mut out = "<dl>\n".to_owned();
    for (name, value) in facts {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    out.push_str("</dl>\n");
    out
}

fn charts(report: &Report) -> Vec<Chart<'static>> {
    if report.setup.saturate {
        return over_rates(&report.steps);
    }
    let mut charts = over_time(report);
    charts.extend(
        report
            .result
            .as_ref()
            .map(|result| percentiles(&result.latency_us)),
    );
    if let Some(found) = &report.allocations {
        charts.push(percentiles(&found.latency_us));
    }
    charts
}

fn over_rates(steps: &[Measure]) -> Vec<Chart<'static>> {
    let mut steps: Vec<&Measure> = steps.iter().collect();
    steps.sort_by_key(|step| step.target_pps);
    let line = |name, get: fn(&Measure) -> f64| Line {
        name,
        points: steps
            .iter()
            .map(|step| (step.target_pps as f64, get(step)))
            .collect(),
    };
    let chart = |title, y_label, logarithmic, lines| Chart {
        title,
        x_label: "packets per second asked for",
        y_label,
        logarithmic,
        lines,
    };
    vec![
        chart(
            "Throughput",
            "packets per second",
            false,
            vec![
                line("sent", |step| step.sent_pps),
                line("delivered", |step| step.delivered_pps),
            ],
        ),
        chart(
            "Loss",
            "%",
            false,
            vec![line("lost", |step| step.loss * 100.0)],
        ),
        chart(
            "Latency",
            "microseconds",
            true,
            vec![
                line("p50", |step| step.latency_us.p50),
                line("p99", |step| step.latency_us.p99),
                line("p99.9", |step| step.latency_us.p999),
            ],
        ),
    ]
}

fn over_time(report: &Report) -> Vec<Chart<'static>> {
    if report.intervals.len() < 2 {
        return Vec::new();
    }
    let line = |name, get: fn(&super::report::IntervalMeasure) -> f64| Line {
        name,
        points: report
            .intervals
            .iter()
            .map(|interval| (interval.at_seconds, get(interval)))
            .collect(),
    };
    let chart = |title, y_label, logarithmic, lines| Chart {
        title,
        x_label: "seconds",
        y_label,
        logarithmic,
        lines,
    };
    vec![
        chart(
            "Throughput",
            "packets per second",
            false,
            vec![
                line("sent", |at| at.sent_pps),
                line("delivered", |at| at.delivered_pps),
            ],
        ),
        chart(
            "Loss",
            "%",
            false,
            vec![line("lost", |at| {
                at.lost as f64 / at.sent.max(1) as f64 * 100.0
            })],
        ),
        chart(
            "Latency over time",
            "microseconds",
            true,
            vec![
                line("p50", |at| at.latency_us.p50),
                line("p99", |at| at.latency_us.p99),
                line("p99.9", |at| at.latency_us.p999),
            ],
        ),
    ]
}

fn percentiles(times: &Percentiles) -> Chart<'static> {
    let nines = [
        (0.3, times.p50),
        (1.0, times.p90),
        (2.0, times.p99),
        (3.0, times.p999),
    ];
    Chart {
        title: "Latency percentiles",
        x_label: "nines: 1 is p90, 2 is p99, 3 is p99.9",
        y_label: "microseconds",
        logarithmic: true,
        lines: vec![Line {
            name: "latency",
            points: nines.to_vec(),
        }],
    }
}

fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{fixed, saturated};
    use super::*;

    #[test]
    fn the_page_is_well_formed_and_needs_nothing_from_elsewhere() {
        for mut report in [fixed(), saturated()] {
            report.name = "<&\"'>".to_owned();

            let page = html(&report);

            let body = page.strip_prefix("<!DOCTYPE html>\n").expect("a page");
            let tree = roxmltree::Document::parse(body).expect("well-formed");
            let outside = ["src", "href", "action", "data"];
            for element in tree.descendants().filter(roxmltree::Node::is_element) {
                let loads = element
                    .attributes()
                    .any(|attribute| outside.contains(&attribute.name()));
                assert!(!loads && !element.has_tag_name("script"), "{element:?}");
            }
            for forbidden in ["http:", "https:", "url(", "@import", "127.0.0.1"] {
                assert!(!page.contains(forbidden), "{forbidden}");
            }
        }
    }

    #[test]
    fn rates_and_seconds_have_their_charts() {
        let titles = |report: &Report| -> Vec<&str> {
            charts(report).iter().map(|chart| chart.title).collect()
        };
        assert_eq!(titles(&saturated()), ["Throughput", "Loss", "Latency"]);
        assert_eq!(
            titles(&fixed()),
            [
                "Throughput",
                "Loss",
                "Latency over time",
                "Latency percentiles"
            ]
        );
    }
}
