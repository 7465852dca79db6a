//! `veilturn check`: says what is wrong with a configuration, or what it would serve. Opens no socket.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::config::{self, Config, Loaded, Location, Problem, Report, Severity};
use crate::relay::RelayAddress;
use crate::time::UnixTime;

/// The arguments of `check`.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Refuse warnings as well.
    #[arg(long)]
    strict: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One line a finding, then what would be served.
    Text,
    /// One object.
    Json,
}

/// What the check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Outcome {
    /// It can be served.
    Sound,
    /// It cannot, or there are warnings and `--strict` was given.
    Refused,
}

/// Checks the file with `variables` laid over it, as things stand at `now`, and prints the findings.
///
/// # Errors
///
/// Where `out` does not take them.
pub(super) fn run(
    args: &CheckArgs,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    now: UnixTime,
    out: &mut impl Write,
) -> io::Result<Outcome> {
    let (report, summary) = match config::load(&args.config, variables, now) {
        Ok(Loaded { config, report }) => (report, Some(Summary::new(&config))),
        Err(report) => (report, None),
    };
    let tolerated = !args.strict || report.problems.is_empty();
    let outcome = match summary {
        Some(_) if tolerated => Outcome::Sound,
        _ => Outcome::Refused,
    };
    match args.format {
        Format::Text => print_text(&report, summary.as_ref(), out)?,
        Format::Json => print_json(&report, summary.as_ref(), outcome, out)?,
    }
    out.flush()?;
    Ok(outcome)
}

fn print_text(report: &Report, summary: Option<&Summary>, out: &mut impl Write) -> io::Result<()> {
    if !report.problems.is_empty() {
        writeln!(out, "{report}")?;
    }
    summary.map_or(Ok(()), |summary| writeln!(out, "{summary}"))
}

fn print_json(
    report: &Report,
    summary: Option<&Summary>,
    outcome: Outcome,
    out: &mut impl Write,
) -> io::Result<()> {
    let verdict = Verdict {
        file: &report.file,
        sound: outcome == Outcome::Sound,
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        problems: report.problems.iter().map(Finding::new).collect(),
        summary,
    };
    serde_json::to_writer_pretty(&mut *out, &verdict)?;
    writeln!(out)
}

/// The object that `--format json` prints.
#[derive(Serialize)]
struct Verdict<'a> {
    file: &'a str,
    sound: bool,
    errors: usize,
    warnings: usize,
    problems: Vec<Finding<'a>>,
    /// What would be served; absent where nothing would.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a Summary>,
}

#[derive(Serialize)]
struct Finding<'a> {
    severity: Severity,
    key: &'a str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'a str>,
}

impl<'a> Finding<'a> {
    fn new(problem: &'a Problem) -> Self {
        let (line, column, variable) = match &problem.at {
            Location::Whole => (None, None, None),
            Location::Place { line, column } => (Some(*line), Some(*column), None),
            Location::Variable(name) => (None, None, Some(&**name)),
        };
        Self {
            severity: problem.cause.severity(),
            key: &problem.key,
            text: problem.cause.to_string(),
            suggestion: problem.cause.suggestion(),
            line,
            column,
            variable,
        }
    }
}

/// What would be served. Holds no secret.
#[derive(Serialize)]
struct Summary {
    realm: String,
    listeners: Vec<String>,
    relays: Vec<String>,
    ports: String,
    /// The files of their chains.
    certificates: Vec<String>,
    policy: &'static str,
    secrets: usize,
    users: usize,
    metrics: Option<String>,
}

impl Summary {
    fn new(config: &Config) -> Self {
        let relay = &config.relay;
        let listener = |listener: &config::Listener| format!("{listener}");
        let certificates = config.tls.certificates.iter();
        let chains = certificates.map(|files| files.chain.display().to_string());
        Self {
            realm: config.auth.realm.clone(),
            listeners: config.listeners.iter().map(listener).collect(),
            relays: [relay.ipv4, relay.ipv6]
                .into_iter()
                .flatten()
                .map(shown)
                .collect(),
            ports: format!("{}-{}", relay.ports.start(), relay.ports.end()),
            certificates: chains.collect(),
            policy: config.policy(),
            secrets: config.auth.secrets.len(),
            users: config.auth.users.len(),
            metrics: config.metrics.map(|addr| addr.to_string()),
        }
    }
}

fn shown(relay: RelayAddress) -> String {
    let RelayAddress { bind, advertise } = relay;
    if bind == advertise {
        return bind.to_string();
    }
    format!("{bind} as {advertise}")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = self.metrics.as_deref().unwrap_or("off");
        writeln!(f, "realm      {}", self.realm)?;
        writeln!(f, "listening  {}", self.listeners.join(", "))?;
        writeln!(f, "relaying   {}", self.relays.join(", "))?;
        writeln!(f, "ports      {}", self.ports)?;
        if !self.certificates.is_empty() {
            writeln!(f, "TLS        {}", self.certificates.join(", "))?;
        }
        writeln!(f, "peers      {}", self.policy)?;
        writeln!(f, "secrets    {}", self.secrets)?;
        writeln!(f, "users      {}", self.users)?;
        write!(f, "metrics    {metrics}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one warning: a password that is rather short.
    const QUESTIONABLE: &str = r#"realm = "relay.test"
[[listen]]
addr = "192.0.2.1:3478"
[relay]
ipv4 = { bind = "10.0.0.5", advertise = "203.0.113.5" }
ipv6 = { bind = "2001:db8::5" }
[[auth.user]]
name = "a"
password = "pQ4nVx7LbHs1"
[metrics]
listen = "off"
"#;

    #[test]
    fn sound_file_prints_what_would_be_served_and_no_secret() {
        let (outcome, printed) = check(QUESTIONABLE, &["--config"]);
        assert_eq!(outcome, Outcome::Sound);
        let expected = "FILE:9:12: warning: auth.user[0].password: has 12 bytes: whoever records one request can \
                        guess it offline; use at least 16\n\
                        realm      relay.test\n\
                        listening  192.0.2.1:3478 udp\n\
                        relaying   10.0.0.5 as 203.0.113.5, 2001:db8::5\n\
                        ports      49152-65535\n\
                        peers      fleet\n\
                        secrets    0\n\
                        users      1\n\
                        metrics    off\n";
        assert_eq!(printed, expected);
    }

    #[test]
    fn strict_check_refuses_warnings() {
        let (outcome, printed) = check(QUESTIONABLE, &["--strict", "--config"]);
        assert_eq!(outcome, Outcome::Refused);
        assert!(printed.contains("warning"), "{printed}");
    }

    #[test]
    fn faulty_file_prints_its_problems_alone() {
        let (outcome, printed) = check(&QUESTIONABLE.replace("addr", "adr"), &["--config"]);
        assert_eq!(outcome, Outcome::Refused);
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines.len(), 3, "{printed}");
        assert_eq!(
            lines[1],
            "FILE:3:1: error: listen[0].adr: unknown key (did you mean \"addr\"?)"
        );
    }

    #[test]
    fn missing_file_is_refused() {
        let args = args(&["--config", "/nowhere/veilturn.toml"]);
        let mut printed = Vec::new();
        let outcome =
            run(&args, [], UnixTime::from_secs(0), &mut printed).expect("a buffer takes all");
        assert_eq!(outcome, Outcome::Refused);
        assert_eq!(
            String::from_utf8_lossy(&printed),
            "/nowhere/veilturn.toml: error: cannot be read: no such file\n"
        );
    }

    #[test]
    fn json_names_place_key_and_suggestion() {
        let text = QUESTIONABLE.replace("addr", "adr");
        let (_, printed) = check(&text, &["--format", "json", "--config"]);
        let json: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        assert_eq!(json["sound"], false);
        assert_eq!(json["errors"], 2);
        assert_eq!(json["warnings"], 1);
        assert_eq!(json["summary"], serde_json::Value::Null);
        let expected = serde_json::json!({
            "severity": "error",
            "key": "listen[0].adr",
            "text": "unknown key",
            "suggestion": "addr",
            "line": 3,
            "column": 1,
        });
        assert_eq!(json["problems"][1], expected);
    }

    #[test]
    fn json_of_a_sound_file_has_a_summary_and_no_secret() {
        let (outcome, printed) = check(QUESTIONABLE, &["--format=json", "--config"]);
        assert_eq!(outcome, Outcome::Sound);
        let json: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        assert_eq!(json["sound"], true);
        assert_eq!(json["summary"]["users"], 1);
        assert!(!printed.contains("pQ4nVx7LbHs1"), "{printed}");
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: CheckArgs,
    }

    fn args(line: &[&str]) -> CheckArgs {
        let line = std::iter::once(&"check").chain(line);
        <Line as clap::Parser>::parse_from(line).args
    }

    /// Checks a file of that text; its name is printed as `FILE`.
    fn check(text: &str, line: &[&str]) -> (Outcome, String) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let path = file.path().to_str().expect("a path of text");
        let args = args(&[line, &[path]].concat());
        let mut printed = Vec::new();
        let outcome =
            run(&args, [], UnixTime::from_secs(0), &mut printed).expect("a buffer takes all");
        let printed = String::from_utf8(printed).expect("text");
        (outcome, printed.replace(path, "FILE"))
    }
}
