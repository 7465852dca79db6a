//! Charts as inline SVG: lines over a common axis. Colours are the page's, as CSS variables.

use std::fmt::Write as _;

/// A chart.
pub(in crate::cli::bench) struct Chart<'a> {
    pub(in crate::cli::bench) title: &'a str,
    /// What the horizontal axis tells.
    pub(in crate::cli::bench) x_label: &'a str,
    /// What the vertical axis tells.
    pub(in crate::cli::bench) y_label: &'a str,
    /// Whether equal distances on the vertical axis are equal ratios.
    pub(in crate::cli::bench) logarithmic: bool,
    pub(in crate::cli::bench) lines: Vec<Line<'a>>,
}

/// A line of a chart.
pub(in crate::cli::bench) struct Line<'a> {
    pub(in crate::cli::bench) name: &'a str,
    /// Where it goes: pairs of x and y, in the order of x.
    pub(in crate::cli::bench) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 44.0;

/// Ticks of an axis, about.
const TICKS: f64 = 5.0;

impl Chart<'_> {
    /// The chart as a figure with its legend; nothing where there are no points.
    pub(in crate::cli::bench) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        if points().next().is_none() {
            return String::new();
        }
        let x = Axis::linear(points().map(|(x, _)| *x), (LEFT, WIDTH - RIGHT));
        let heights = points().map(|(_, y)| *y);
        let ends = (HEIGHT - BOTTOM, TOP);
        let y = if self.logarithmic {
            Axis::logarithmic(heights, ends)
        } else {
            Axis::linear(heights, ends)
        };
        let mut out = format!(
            "<figure><figcaption>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{}\">\n",
            escape(self.title),
            escape(self.title)
        );
        self.axes(&x, &y, &mut out);
        for (number, line) in self.lines.iter().enumerate() {
            let path: Vec<String> = line
                .points
                .iter()
                .map(|(px, py)| format!("{:.1},{:.1}", x.place(*px), y.place(*py)))
                .collect();
            let _ = writeln!(
                out,
                "<polyline class=\"line c{number}\" points=\"{}\"/>",
                path.join(" ")
            );
            for point in &path {
                let (px, py) = point.split_once(',').unwrap_or_default();
                let _ = writeln!(
                    out,
                    "<circle class=\"dot c{number}\" cx=\"{px}\" cy=\"{py}\" r=\"2.5\"/>"
                );
            }
        }
        out.push_str("</svg>\n<p class=\"legend\">");
        for (number, line) in self.lines.iter().enumerate() {
            let _ = write!(
                out,
                "<span class=\"key c{number}\">{}</span> ",
                escape(line.name)
            );
        }
        out.push_str("</p></figure>\n");
        out
    }

    fn axes(&self, x: &Axis, y: &Axis, out: &mut String) {
        for tick in y.ticks() {
            let at = y.place(tick);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                number(tick)
            );
        }
        for tick in x.ticks() {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                x.place(tick),
                HEIGHT - BOTTOM + 16.0,
                number(tick)
            );
        }
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text x=\"12\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 12 {:.1})\">{}</text>",
            LEFT.midpoint(WIDTH - RIGHT),
            HEIGHT - 8.0,
            escape(self.x_label),
            HEIGHT / 2.0,
            HEIGHT / 2.0,
            escape(self.y_label)
        );
    }
}

/// Puts values on a stretch of the picture.
struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
    /// Where `from` and `to` are in the picture.
    ends: (f64, f64),
}

impl Axis {
    /// From zero to the greatest value.
    fn linear(values: impl Iterator<Item = f64>, ends: (f64, f64)) -> Self {
        let greatest = values.fold(0.0, f64::max);
        Self {
            from: 0.0,
            to: if greatest > 0.0 { greatest } else { 1.0 },
            logarithmic: false,
            ends,
        }
    }

    /// From a power of ten to a power of ten, around all values; those below 1 count as 1.
    fn logarithmic(values: impl Iterator<Item = f64>, ends: (f64, f64)) -> Self {
        let (least, greatest) = values.fold((f64::MAX, 1.0_f64), |(least, greatest), value| {
            (least.min(value.max(1.0)), greatest.max(value))
        });
        let from = 10_f64.powf(least.log10().floor());
        Self {
            from,
            to: 10_f64.powf(greatest.log10().ceil()).max(from * 10.0),
            logarithmic: true,
            ends,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            value / self.to
        };
        self.ends.0 + part * (self.ends.1 - self.ends.0)
    }

    /// Round values, some of them.
    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        if self.logarithmic {
            let mut tick = self.from;
            while tick <= self.to * 1.01 {
                ticks.push(tick);
                tick *= 10.0;
            }
            return ticks;
        }
        let rough = self.to / TICKS;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * magnitude)
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(10.0 * magnitude);
        let mut tick = 0.0;
        while tick <= self.to * 1.001 {
            ticks.push(tick);
            tick += step;
        }
        ticks
    }
}

/// A value in few characters.
fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", short(v / 1e6)),
        v if v >= 1e3 => format!("{}k", short(v / 1e3)),
        v => short(v),
    }
}

fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text as it may stand in a page.
pub(in crate::cli::bench) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let axis = |to: f64| Axis::linear([to].into_iter(), (0.0, 1.0)).ticks();
        assert_eq!(axis(10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(axis(123_456.0), [0.0, 50_000.0, 100_000.0]);
        assert_eq!(axis(0.0).len(), 6);
    }

    #[test]
    fn a_logarithmic_axis_ends_at_powers_of_ten() {
        let axis = Axis::logarithmic([30.0, 4_000.0].into_iter(), (0.0, 300.0));
        assert_eq!(axis.ticks(), [10.0, 100.0, 1_000.0, 10_000.0]);
        assert!((axis.place(100.0) - 100.0).abs() < 1e-9);
        assert!(axis.place(0.0).abs() < 1e-9, "zero has a place");
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.5, 20.0, 1_500.0, 2_000_000.0].map(number);
        assert_eq!(all, ["0", "0.5", "20", "1.5k", "2M"]);
    }

    #[test]
    fn text_is_harmless_in_a_page() {
        assert_eq!(
            escape("<a b=\"c\">&'\u{7}"),
            "&lt;a b=&quot;c&quot;&gt;&amp;&#39;"
        );
    }
}
