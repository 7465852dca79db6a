//! Findings as text for people.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use super::{Findings, Outcome, PartyFindings};
use crate::client::{RequestError, Success};

/// How text is set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Style {
    /// Not at all.
    Plain,
    /// With the colours of a terminal.
    Coloured,
}

impl Style {
    /// Colours for a terminal, unless `NO_COLOR` (see no-color.org) has a value.
    #[must_use]
    pub(in crate::cli) fn of(is_terminal: bool, no_color: Option<&OsStr>) -> Self {
        if is_terminal && no_color.is_none_or(OsStr::is_empty) {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    const fn codes(self, code: &'static str) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("", ""),
            Self::Coloured => (code, "\x1b[0m"),
        }
    }
}

pub(super) fn print(findings: &Findings, out: &mut impl Write, style: Style) -> io::Result<()> {
    let Findings {
        transport,
        relay,
        alice,
        bob,
        ..
    } = findings;
    let mut page = Page { out, style };
    page.headline(format_args!(
        "veilturn demo: a masked call over {transport} on loopback"
    ))?;
    page.line(
        "relay",
        format_args!("{relay:<17} peers of the same call only"),
    )?;
    for (name, party) in [("alice", alice), ("bob", bob)] {
        let PartyFindings {
            address, relayed, ..
        } = party;
        page.line(name, format_args!("{address:<17} relayed as {relayed}"))?;
    }
    page.gap()?;
    page.party(("alice saw", "bob"), alice, bob)?;
    page.party(("bob saw", "alice"), bob, alice)?;
    let (lost, sent) = (findings.lost(), findings.sent());
    page.verdict(lost == 0, "lost", format_args!("{lost} of {sent} packets"))?;
    if let Some(times) = RoundTrips::of(&findings.round_trips) {
        page.line("round trip", format_args!("{times}"))?;
    }
    page.verdict(findings.is_kept_out(), "mallory", intrusion(findings))?;
    page.gap()?;
    match findings.outcome() {
        Outcome::Masked => page.verdict(true, "masked", "neither party learnt the other's address"),
        Outcome::Broken => page.verdict(false, "broken", "see the lines marked ✗"),
    }
}

struct Page<'a, W> {
    out: &'a mut W,
    style: Style,
}

impl<W: Write> Page<'_, W> {
    fn headline(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        let (bold, plain) = self.style.codes("\x1b[1m");
        writeln!(self.out, "{bold}{text}{plain}")
    }

    fn line(&mut self, label: &str, text: fmt::Arguments<'_>) -> io::Result<()> {
        let (dim, plain) = self.style.codes("\x1b[2m");
        writeln!(self.out, "    {dim}{label:<10}{plain} {text}")
    }

    fn verdict(&mut self, good: bool, label: &str, text: impl fmt::Display) -> io::Result<()> {
        let (mark, code) = if good {
            ("✓", "\x1b[32m")
        } else {
            ("✗", "\x1b[31m")
        };
        let (colour, plain) = self.style.codes(code);
        let (dim, _) = self.style.codes("\x1b[2m");
        writeln!(
            self.out,
            "  {colour}{mark}{plain} {dim}{label:<10}{plain} {text}"
        )
    }

    fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// What `party` saw of `other`.
    fn party(
        &mut self,
        (label, name): (&str, &str),
        party: &PartyFindings,
        other: &PartyFindings,
    ) -> io::Result<()> {
        let hidden = match party.leaks {
            0 => format!("appeared nowhere in {} bytes", party.bytes),
            leaks => format!("APPEARED in {leaks} datagrams"),
        };
        let foreign = match party.foreign {
            0 => String::new(),
            foreign => format!("; {foreign} packets that {name} did not send"),
        };
        self.verdict(
            party.leaks == 0 && party.foreign == 0,
            label,
            format_args!(
                "{} ({} packets); {name}'s {} {hidden}{foreign}",
                other.relayed,
                party.heard,
                other.address.ip(),
            ),
        )
    }
}

/// What became of mallory.
fn intrusion(findings: &Findings) -> String {
    let answer = match findings.intrusion {
        Ok(Success::Bound(_)) => "granted".to_owned(),
        Ok(_) => "answered with something else".to_owned(),
        Err(RequestError::Refused(code)) => format!("refused with {code}"),
        Err(error) => format!("not granted: {error}"),
    };
    let heard = findings.bob.foreign + findings.alice.foreign + findings.overheard;
    let packets = match heard {
        0 => "packets to bob went nowhere",
        _ => "packets ARRIVED that should not",
    };
    format!("of another call: channel to bob {answer}; {packets}")
}

/// The distribution of round-trip times.
struct RoundTrips {
    min: Duration,
    median: Duration,
    p99: Duration,
    max: Duration,
}

impl RoundTrips {
    /// `None` where there is none.
    fn of(sorted: &[Duration]) -> Option<Self> {
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied()
        };
        Some(Self {
            min: *sorted.first()?,
            median: at(50)?,
            p99: at(99)?,
            max: *sorted.last()?,
        })
    }
}

impl fmt::Display for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            min,
            median,
            p99,
            max,
        } = self;
        write!(
            f,
            "min {}  median {}  p99 {}  max {}",
            Short(*min),
            Short(*median),
            Short(*p99),
            Short(*max)
        )
    }
}

/// A duration in as few characters as will do.
struct Short(Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros < 10_000 {
            write!(f, "{micros} µs")
        } else {
            write!(f, "{} ms", micros / 1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Transport;

    #[test]
    fn a_good_call_reads_like_this() {
        let expected = "\
veilturn demo: a masked call over UDP on loopback
    relay      127.0.0.1:41007   peers of the same call only
    alice      127.0.0.2:50123   relayed as 127.0.0.1:53211
    bob        127.0.0.3:50321   relayed as 127.0.0.1:60127

  ✓ alice saw  127.0.0.1:60127 (500 packets); bob's 127.0.0.3 appeared nowhere in 82500 bytes
  ✓ bob saw    127.0.0.1:53211 (500 packets); alice's 127.0.0.2 appeared nowhere in 82500 bytes
  ✓ lost       0 of 1000 packets
    round trip min 61 µs  median 80 µs  p99 10 ms  max 10 ms
  ✓ mallory    of another call: channel to bob refused with 403; packets to bob went nowhere

  ✓ masked     neither party learnt the other's address
";
        let findings = findings();
        assert_eq!(text(&findings, Style::Plain), expected);
        assert_eq!(findings.outcome(), Outcome::Masked);
    }

    #[test]
    fn whatever_goes_wrong_is_marked_and_breaks_the_outcome() {
        let faults: [fn(&mut Findings); 6] = [
            |findings| findings.alice.leaks = 1,
            |findings| findings.bob.leaks = 1,
            |findings| findings.bob.foreign = 1,
            |findings| findings.alice.heard = 499,
            |findings| findings.intrusion = Err(RequestError::TimedOut),
            |findings| findings.overheard = 1,
        ];
        for (number, fault) in faults.iter().enumerate() {
            let mut findings = findings();
            fault(&mut findings);

            let text = text(&findings, Style::Plain);

            assert_eq!(findings.outcome(), Outcome::Broken, "{number}");
            assert!(text.matches("  ✗ ").count() >= 2, "{text}");
            assert!(text.contains("✗ broken"), "{text}");
        }
    }

    #[test]
    fn colours_are_for_terminals_whose_owner_wants_them() {
        let no_color = Some(OsStr::new("1"));
        assert_eq!(Style::of(true, None), Style::Coloured);
        assert_eq!(Style::of(true, Some(OsStr::new(""))), Style::Coloured);
        assert_eq!(Style::of(true, no_color), Style::Plain);
        assert_eq!(Style::of(false, None), Style::Plain);
        assert!(!text(&findings(), Style::Plain).contains('\x1b'));
        assert!(text(&findings(), Style::Coloured).contains("\x1b[32m✓\x1b[0m"));
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let millis: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let times = RoundTrips::of(&millis).unwrap();
        let ranks = [times.min, times.median, times.p99, times.max];
        assert_eq!(ranks.map(|time| time.as_millis()), [1, 100, 198, 200]);
        assert!(RoundTrips::of(&[]).is_none());
    }

    fn text(findings: &Findings, style: Style) -> String {
        let mut out = Vec::new();
        print(findings, &mut out, style).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn findings() -> Findings {
        let party = |address: &str, relayed: &str| PartyFindings {
            address: address.parse().unwrap(),
            relayed: relayed.parse().unwrap(),
            sent: 500,
            heard: 500,
            foreign: 0,
            bytes: 82_500,
            leaks: 0,
        };
        Findings {
            transport: Transport::Udp,
            relay: "127.0.0.1:41007".parse().unwrap(),
            alice: party("127.0.0.2:50123", "127.0.0.1:53211"),
            bob: party("127.0.0.3:50321", "127.0.0.1:60127"),
            round_trips: [61, 80, 9_999, 10_500].map(Duration::from_micros).to_vec(),
            intrusion: Err(RequestError::Refused(403)),
            overheard: 0,
        }
    }
}
