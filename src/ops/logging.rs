//! Where log lines go and how they look: standard error, as text or JSON.
//!
//! Under journald a line carries neither time nor level, which the journal keeps itself, but the priority in the form
//! that it understands (sd-daemon(3)). Colours only on a terminal, and not where NO_COLOR is set.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use thiserror::Error;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, Format, JsonFields, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, filter};

use super::outlet::Outlet;

/// The variable whose directives take the place of `log.level`.
pub const FILTER_VARIABLE: &str = "VEILTURN_LOG";

/// How the daemon logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what keeps the daemon from its work.
    Error,
    /// And what somebody should look at.
    Warn,
    /// And what the daemon does, and which allocations come and go.
    Info,
    /// And what is refused to whom.
    Debug,
    /// And what happens to single packets.
    Trace,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text, as fits where it goes: for the journal, without what the journal adds itself.
    Auto,
    /// Text.
    Text,
    /// One JSON object.
    Json,
}

/// Why the log could not be started.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The variable does not hold directives.
    #[error(
        "{FILTER_VARIABLE} is not a level or a list of directives such as \"info,veilturn::server=debug\": {0}"
    )]
    Filter(#[from] filter::ParseError),
    /// The variable is not UTF-8.
    #[error("{FILTER_VARIABLE} is not UTF-8 text")]
    NotText,
    /// Its thread cannot be started.
    #[error("the log cannot be started")]
    Thread(#[source] io::Error),
    /// It was started before.
    #[error("the log was started already")]
    Started(#[from] TryInitError),
}

/// Starts the log of this process. The caller settles the outlet before the process ends.
///
/// # Errors
///
/// Where `VEILTURN_LOG` cannot be understood, the log was started already, or its thread cannot be.
pub fn start(log: Log) -> Result<Outlet, LoggingError> {
    let directives = env::var_os(FILTER_VARIABLE);
    let filter = filter(log.level, directives.as_deref())?;
    let style = Style::new(log.format, &Surroundings::of_this_process());
    let outlet = Outlet::open(io::stderr()).map_err(LoggingError::Thread)?;
    let writer = outlet.clone();
    tracing_subscriber::registry()
        .with(filter)
        .with(layer(style, BoxMakeWriter::new(move || writer.clone())))
        .try_init()?;
    Ok(outlet)
}

/// The directives in force: those of the variable, or else the configured level. Libraries stay at `info` at most,
/// because what they say in detail about connections is not redacted.
fn filter(level: LogLevel, directives: Option<&OsStr>) -> Result<EnvFilter, LoggingError> {
    let configured = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "info,veilturn=debug",
        LogLevel::Trace => "info,veilturn=trace",
    };
    let given = match directives {
        None => "",
        Some(directives) => directives.to_str().ok_or(LoggingError::NotText)?,
    };
    let directives = if given.is_empty() { configured } else { given };
    Ok(EnvFilter::builder().parse(directives)?)
}

/// What is around standard error.
struct Surroundings {
    journal: bool,
    terminal: bool,
    /// Whether the user asked for no colours (no-color.org).
    plain: bool,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            journal: is_journal().unwrap_or(false),
            terminal: io::stderr().is_terminal(),
            plain: set("NO_COLOR"),
        }
    }
}

/// Whether standard error leads to the journal: the service manager names the device and inode of the stream, and
/// standard error may have been redirected since.
fn is_journal() -> Option<bool> {
    let stream = env::var("JOURNAL_STREAM").ok()?;
    let (device, inode) = stream.split_once(':')?;
    let descriptor = io::stderr().as_fd().try_clone_to_owned().ok()?;
    let ours = File::from(descriptor).metadata().ok()?;
    Some(device.parse() == Ok(ours.dev()) && inode.parse() == Ok(ours.ino()))
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Style {
    json: bool,
    journal: bool,
    colours: bool,
}

impl Style {
    fn new(format: LogFormat, around: &Surroundings) -> Self {
        let json = match format {
            LogFormat::Json => true,
            LogFormat::Text | LogFormat::Auto => false,
        };
        Self {
            json,
            journal: around.journal,
            colours: !json && around.terminal && !around.plain,
        }
    }
}

fn layer<S>(style: Style, writer: BoxMakeWriter) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(style.colours);
    let format = Format::default().with_ansi(style.colours);
    let fields = DefaultFields::new();
    match (style.json, style.journal) {
        (false, false) => lines.event_format(format).fmt_fields(fields).boxed(),
        (false, true) => {
            let format = Journal(format.without_time().with_level(false));
            lines.event_format(format).fmt_fields(fields).boxed()
        }
        (true, false) => {
            let format = format.json().flatten_event(true);
            let fields = JsonFields::new();
            lines.event_format(format).fmt_fields(fields).boxed()
        }
        (true, true) => {
            let format = Journal(format.json().flatten_event(true).without_time());
            let fields = JsonFields::new();
            lines.event_format(format).fmt_fields(fields).boxed()
        }
    }
}

/// Puts the priority in front of a line, which the journal takes off again.
struct Journal<F>(F);

impl<S, N, F> FormatEvent<S, N> for Journal<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    const PLAIN: Style = Style {
        json: false,
        journal: false,
        colours: false,
    };

    #[test]
    fn text_line_has_time_level_and_fields() {
        let line = logged(PLAIN);
        let (time, rest) = line.split_once(' ').expect("a time");
        assert!(time.ends_with('Z'), "{line}");
        let rest = rest.trim_start();
        let expected = "INFO veilturn::ops::logging::tests: opened port=7\n";
        assert_eq!(rest, expected);
    }

    #[test]
    fn journal_line_has_a_priority_but_neither_time_nor_level() {
        let style = Style {
            journal: true,
            ..PLAIN
        };
        assert_eq!(
            logged(style),
            "<6>veilturn::ops::logging::tests: opened port=7\n"
        );
    }

    #[test]
    fn json_line_is_one_object() {
        let style = Style {
            json: true,
            ..PLAIN
        };
        let json: serde_json::Value = serde_json::from_str(&logged(style)).expect("JSON");
        assert_eq!(json["level"], "INFO");
        assert_eq!(json["message"], "opened");
        assert_eq!(json["port"], 7);
        assert!(json["timestamp"].is_string(), "{json}");
    }

    #[test]
    fn json_line_in_the_journal_has_no_time() {
        let style = Style {
            json: true,
            journal: true,
            ..PLAIN
        };
        let line = logged(style);
        let json = line.strip_prefix("<6>").expect("a priority");
        let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(json["timestamp"], serde_json::Value::Null);
    }

    #[test]
    fn escape_sequences_in_a_field_do_not_reach_a_terminal() {
        let line = written(PLAIN, || tracing::info!(name = "\x1b[31m", "opened"));
        assert!(!line.contains('\x1b'), "{line:?}");
    }

    #[test]
    fn colours_need_a_terminal_and_a_user_who_wants_them() {
        let cases = [
            (LogFormat::Auto, true, false, true),
            (LogFormat::Text, true, false, true),
            (LogFormat::Auto, false, false, false),
            (LogFormat::Auto, true, true, false),
            (LogFormat::Json, true, false, false),
        ];
        for (format, terminal, plain, colours) in cases {
            let around = Surroundings {
                journal: false,
                terminal,
                plain,
            };
            let style = Style::new(format, &around);
            assert_eq!(style.colours, colours, "{format:?} {terminal} {plain}");
        }
        let style = Style {
            colours: true,
            ..PLAIN
        };
        assert!(logged(style).contains("\x1b["));
    }

    #[test]
    fn variable_takes_the_place_of_the_level() {
        let shown = |level, directives: Option<&str>| {
            let filter = filter(level, directives.map(OsStr::new));
            filter.expect("directives").to_string()
        };
        assert_eq!(shown(LogLevel::Warn, None), "warn");
        assert_eq!(shown(LogLevel::Warn, Some("")), "warn");
        assert_eq!(shown(LogLevel::Warn, Some("debug")), "debug");
        assert_eq!(shown(LogLevel::Trace, None), "veilturn=trace,info");
    }

    #[test]
    fn variable_without_directives_is_refused() {
        let refused = filter(LogLevel::Info, Some(OsStr::new("veilturn=loud")));
        assert!(matches!(refused, Err(LoggingError::Filter(_))));
    }

    #[test]
    fn every_level_has_its_priority() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
        assert_eq!(levels.map(priority), [3, 4, 6, 7]);
    }

    fn logged(style: Style) -> String {
        written(style, || tracing::info!(port = 7, "opened"))
    }

    /// What `log` writes in that style.
    fn written(style: Style, log: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        let layer = layer(style, BoxMakeWriter::new(move || writer.clone()));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        let bytes = page.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
