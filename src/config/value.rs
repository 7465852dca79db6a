//! How a value of the document becomes a value of the daemon: one form for each kind, with the text that says so.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::problem::{Cause, nearest};
use super::tree::Value;
use super::{ListenTransport, LogAddresses, LogFormat, LogLevel, TlsVersion};
use crate::auth::{BitRate, PeerScope};
use crate::relay::{ByteRate, OnExpiry};

/// Something that a key can hold.
pub(super) trait FromValue: Sized {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// Why it is not such a value.
    fn from_value(value: &Value) -> Result<Self, Cause>;
}

/// Something that is written as a string.
pub(super) trait FromText: Sized {
    /// What belongs here, with an example: it completes "must be …" and "… is not …".
    const FORM: &'static str;

    /// Reads the string, where it has the form.
    fn from_text(text: &str) -> Option<Self>;

    /// Says that `text` does not have the form.
    fn refusal(text: &str) -> Cause {
        malformed(text, Self::FORM)
    }
}

/// Something that is written as one of a few words.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// The words and what they stand for.
    const CHOICES: &'static [(&'static str, Self)];
}

/// Something that has a smallest and a largest accepted value.
pub(super) trait Bounded: FromValue + PartialOrd {
    /// The value as one would write it.
    fn show(&self) -> String;
}

/// The word that stands for `choice`.
pub(super) fn word<T: Choice>(choice: T) -> &'static str {
    let mut choices = T::CHOICES.iter();
    let found = choices.find(|(_, candidate)| *candidate == choice);
    found.map_or("", |(word, _)| word)
}

impl<T: FromText> FromValue for T {
    fn from_value(value: &Value) -> Result<Self, Cause> {
        let (Value::Text(text) | Value::Raw(text)) = value else {
            return Err(wrong_type(T::FORM, value));
        };
        T::from_text(text).ok_or_else(|| T::refusal(text))
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, Cause> {
        const FORM: &str = "true or false";
        if let Value::Boolean(value) = value {
            return Ok(*value);
        }
        let Value::Raw(text) = value else {
            return Err(wrong_type(FORM, value));
        };
        text.parse().map_err(|_| malformed(text, FORM))
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Result<Self, Cause> {
        const FORM: &str = "a whole number from 0 to 4294967295";
        if let Value::Integer(number) = value {
            return Self::try_from(*number).map_err(|_| malformed(&number.to_string(), FORM));
        }
        let Value::Raw(text) = value else {
            return Err(wrong_type(FORM, value));
        };
        text.parse().map_err(|_| malformed(text, FORM))
    }
}

/// No number of things needs more than 32 bits.
impl FromValue for usize {
    fn from_value(value: &Value) -> Result<Self, Cause> {
        u32::from_value(value).map(|number| number as Self)
    }
}

impl Bounded for u32 {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Bounded for usize {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl FromText for String {
    const FORM: &'static str = "a string";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl FromText for Zeroizing<String> {
    const FORM: &'static str = "a string";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self::new(text.to_owned()))
    }
}

impl FromText for PathBuf {
    const FORM: &'static str = "the path of a file";

    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::from(text))
    }
}

impl FromText for IpAddr {
    const FORM: &'static str = "an IP address such as \"192.0.2.5\" or \"2001:db8::5\"";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl FromText for SocketAddr {
    const FORM: &'static str = "an address with a port, such as \"0.0.0.0:3478\" or \"[::]:3478\"";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// `"off"`, or where to listen.
impl FromText for Option<SocketAddr> {
    const FORM: &'static str = "\"off\" or an address with a port, such as \"127.0.0.1:9641\"";

    fn from_text(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(None);
        }
        text.parse().ok().map(Some)
    }
}

/// Bits beyond the prefix are cleared.
impl FromText for IpNet {
    const FORM: &'static str =
        "a prefix such as \"10.0.0.0/8\" or \"2001:db8::/32\" (a single address: /32 or /128)";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(|prefix: Self| prefix.trunc())
    }
}

impl FromText for Duration {
    const FORM: &'static str = "a duration with a unit, such as \"30s\", \"10m\" or \"24h\"";

    fn from_text(text: &str) -> Option<Self> {
        humantime::parse_duration(text).ok()
    }
}

impl Bounded for Duration {
    fn show(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// `"unlimited"`, or decimal bits per second.
impl FromText for Option<ByteRate> {
    const FORM: &'static str =
        "\"unlimited\" or a rate in bits per second, such as \"500kbit\" or \"4mbit\"";

    fn from_text(text: &str) -> Option<Self> {
        if text == "unlimited" {
            return Some(None);
        }
        let rate: BitRate = text.parse().ok()?;
        Some(Some(ByteRate(rate.bytes())))
    }
}

/// One character between the parts of a user name.
impl FromText for char {
    const FORM: &'static str = "one ASCII punctuation character, such as \":\"";

    fn from_text(text: &str) -> Option<Self> {
        let character = text.parse().ok()?;
        Self::is_ascii_punctuation(&character).then_some(character)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bytes(pub(super) usize);

impl FromText for Bytes {
    const FORM: &'static str = "a size with a unit, such as \"512KiB\" or \"4MiB\"";

    fn from_text(text: &str) -> Option<Self> {
        const UNITS: [(&str, u64); 4] = [
            ("kib", 1 << 10),
            ("mib", 1 << 20),
            ("gib", 1 << 30),
            ("b", 1),
        ];
        usize::try_from(quantity(text, &UNITS)?).ok().map(Self)
    }
}

impl Bounded for Bytes {
    fn show(&self) -> String {
        if self.0.is_multiple_of(1 << 20) {
            format!("{}MiB", self.0 >> 20)
        } else {
            format!("{}KiB", self.0 >> 10)
        }
    }
}

/// A port or a range of ports, both ends included.
impl FromValue for RangeInclusive<u16> {
    fn from_value(value: &Value) -> Result<Self, Cause> {
        const FORM: &str = "a port or a range of ports, such as \"53\" or \"49152-65535\"";
        if let Value::Integer(number) = value {
            let text = number.to_string();
            return ports(&text).ok_or_else(|| malformed(&text, FORM));
        }
        let (Value::Text(text) | Value::Raw(text)) = value else {
            return Err(wrong_type(FORM, value));
        };
        ports(text).ok_or_else(|| malformed(text, FORM))
    }
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: u16 = first.trim().parse().ok()?;
    let last = last.trim().parse().ok()?;
    (0 < first && first <= last).then_some(first..=last)
}

impl<T: Choice> FromText for T {
    const FORM: &'static str = "a string";

    fn from_text(text: &str) -> Option<Self> {
        let mut choices = T::CHOICES.iter();
        let found = choices.find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice)
    }

    fn refusal(text: &str) -> Cause {
        let words = || T::CHOICES.iter().map(|(word, _)| *word);
        Cause::NoChoice {
            given: shown(text),
            choices: words().collect(),
            nearest: nearest(text, words()).map(str::to_owned),
        }
    }
}

impl Choice for ListenTransport {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("udp", Self::Udp),
        ("tcp", Self::Tcp),
        ("tls", Self::Tls),
        ("auto", Self::Auto),
        ("dtls", Self::Dtls),
    ];
}

impl Choice for TlsVersion {
    const CHOICES: &'static [(&'static str, Self)] = &[("1.2", Self::V1_2), ("1.3", Self::V1_3)];
}

impl Choice for PeerScope {
    const CHOICES: &'static [(&'static str, Self)] = &[
        (Self::Call.name(), Self::Call),
        (Self::Fleet.name(), Self::Fleet),
        (Self::Public.name(), Self::Public),
    ];
}

impl Choice for OnExpiry {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("keep", Self::Keep),
        ("refuse-refresh", Self::RefuseRefresh),
        ("disconnect", Self::Disconnect),
    ];
}

impl Choice for LogAddresses {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("pseudonym", Self::Pseudonym),
        ("truncated", Self::Truncated),
        ("full", Self::Full),
    ];
}

impl Choice for LogLevel {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl Choice for LogFormat {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("text", Self::Text),
        ("json", Self::Json),
    ];
}

/// A whole number and one of the units, in any case, with or without a space between.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(*factor)
}

fn malformed(given: &str, expected: &'static str) -> Cause {
    let given = shown(given);
    Cause::Malformed { given, expected }
}

/// A wrong value, escaped, or enough of it to recognise it.
fn shown(text: &str) -> String {
    const MOST_CHARS: usize = 60;
    let start: String = text.chars().take(MOST_CHARS).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{more}")
}

const fn wrong_type(expected: &'static str, value: &Value) -> Cause {
    Cause::WrongType {
        expected,
        found: value.kind(),
    }
}
