//! What can be wrong with a configuration: one variant a cause, with the text that an operator reads.
//!
//! No text ever holds a secret; what it repeats of a value is escaped.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;

use crate::auth::OptionsError;
use crate::certificate::CertificateError;

/// Everything that was found in one configuration, in the order of the file; variables of the environment last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The file's name, as it stands in front of every line.
    pub file: String,
    /// The findings.
    pub problems: Vec<Problem>,
}

impl Report {
    /// The problems of a file, in its order.
    pub(super) fn new(file: String, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.at.cmp(&b.at));
        Self { file, problems }
    }

    /// Whether there is anything that keeps the daemon from starting.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many findings are of that severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        let same = |problem: &&Problem| problem.cause.severity() == severity;
        self.problems.iter().filter(same).count()
    }
}

impl fmt::Display for Report {
    /// One line a finding: `FILE:LINE:COLUMN: error: key: text (did you mean "x"?)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            match &problem.at {
                Location::Whole => write!(f, "{}", self.file)?,
                Location::Place { line, column } => write!(f, "{}:{line}:{column}", self.file)?,
                Location::Variable(name) => write!(f, "environment variable {name}")?,
            }
            write!(f, ": {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub at: Location,
    /// The key's full name, such as `auth.secret[0].value`; empty where the file as a whole is meant.
    pub key: String,
    /// What it is.
    pub cause: Cause,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.cause.severity().label())?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.cause)?;
        self.cause
            .suggestion()
            .map_or(Ok(()), |name| write!(f, " (did you mean \"{name}\"?)"))
    }
}

/// Where a key or a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// Nowhere in particular.
    Whole,
    /// In the file.
    Place {
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// In this variable of the environment.
    Variable(String),
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The daemon refuses to start.
    Error,
    /// The daemon starts; somebody should look.
    Warning,
}

impl Severity {
    /// The word in front of the text.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Cause {
    // The file and its form.
    /// The configuration file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(FileFault),
    /// The file is not TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key that this version does not know.
    #[error("unknown key")]
    UnknownKey {
        /// The most similar key.
        nearest: Option<String>,
    },
    /// A key without which nothing can be served.
    #[error("missing: {0}")]
    Missing(&'static str),
    /// A value of another TOML type.
    #[error("must be {expected}, not {found}")]
    WrongType {
        /// What belongs here.
        expected: &'static str,
        /// What is here.
        found: &'static str,
    },
    /// A text that does not have the form of its kind.
    #[error("{given} is not {expected}")]
    Malformed {
        /// The text, quoted and escaped.
        given: String,
        /// What belongs here, with an example.
        expected: &'static str,
    },
    /// A word that is not one of the choices.
    #[error("{given} is not one of {}", .choices.join(", "))]
    NoChoice {
        /// The text, quoted and escaped.
        given: String,
        /// The valid words.
        choices: Vec<&'static str>,
        /// The most similar of them.
        nearest: Option<String>,
    },
    /// A number, size or duration outside its bounds.
    #[error("must be between {least} and {most}")]
    OutOfBounds {
        /// The smallest that is accepted.
        least: String,
        /// The largest that is accepted.
        most: String,
    },
    /// A text longer than its attribute may be.
    #[error("must be at most {most} characters")]
    TooLong {
        /// The longest accepted length.
        most: usize,
    },
    /// A variable of the environment whose value is not Unicode.
    #[error("the value is not UTF-8 text")]
    VariableNotText,
    /// A variable of the environment that names an element behind the end of a list.
    #[error("the list has {len} elements, so the next index is {len}: indices leave no gap")]
    IndexGap {
        /// The length of the list.
        len: usize,
    },

    // Secrets.
    /// Both a secret and the file that holds it are given.
    #[error("given together with {twin}: give one of them")]
    GivenTwice {
        /// The other key.
        twin: String,
    },
    /// A file that it names cannot be read.
    #[error("cannot read {}: {fault}", .path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: FileFault,
    },
    /// A secret's file can be read by every user of the machine.
    #[error("{} can be read by every user of this machine: chmod 0600", .path.display())]
    SecretFileOpen {
        /// The file.
        path: PathBuf,
    },
    /// The configuration file holds secrets and can be read by every user of the machine.
    #[error(
        "a secret stands in a file that every user of this machine can read: chmod 0600, or use {0}"
    )]
    ConfigFileOpen(&'static str),
    /// A shared secret that could be guessed.
    #[error(
        "has {bytes} bytes, which can be guessed: at least {least} are needed (openssl rand -base64 32)"
    )]
    SecretShort {
        /// Its length.
        bytes: usize,
        /// The shortest accepted length.
        least: usize,
    },
    /// A static user's password that could be guessed.
    #[error(
        "has {bytes} bytes: whoever records one request can guess it offline; use at least {enough}"
    )]
    PasswordShort {
        /// Its length.
        bytes: usize,
        /// The length from which there is no warning.
        enough: usize,
    },
    /// A secret or password that stands in some manual or example.
    #[error("is a placeholder that everybody knows: make one with openssl rand -base64 32")]
    Placeholder,
    /// An identifier that could not stand in a credential.
    #[error(
        "must be characters out of A-Z a-z 0-9 - . _ ~ : @ + / ! $, because it stands in the user name of a credential"
    )]
    BadId,
    /// A user name that no client could send.
    #[error("must be 1 to {most} bytes without control characters")]
    BadUserName {
        /// The longest accepted length.
        most: usize,
    },
    /// A stored key that is not the output of its hash.
    #[error("must be {digits} hexadecimal digits")]
    BadKey {
        /// How many digits the hash has.
        digits: usize,
    },
    /// Two of a kind with one name or address.
    #[error("is given twice")]
    Duplicate,
    /// Too many of a kind.
    #[error(
        "at most {most} can be active at once: each is tried for a credential that does not say which it was made with"
    )]
    TooManySecrets {
        /// The limit.
        most: usize,
    },
    /// A user with none, or with too many, of the forms of a key.
    #[error(
        "needs either password (or password_file) or stored keys: md5_key, sha256_key or both (or their _file forms)"
    )]
    UserKey,
    /// Neither secrets nor users.
    #[error("needs an [[auth.secret]] or an [[auth.user]]: there is no anonymous relay")]
    Anonymous,
    /// A policy that no configured credential can meet.
    #[error(
        "\"call\" reaches only peers of the same call claim, which static users do not have: add an [[auth.secret]] or widen the policy"
    )]
    CallWithoutClaims,

    /// What authentication itself refuses.
    #[error("{0}")]
    Auth(OptionsError),

    // The realm.
    /// A realm that a client could not read back (RFC 8489 section 14.9).
    #[error("must be 1 to {most} characters without control characters, quotes and backslashes")]
    BadRealm {
        /// The longest accepted length.
        most: usize,
    },
    /// A realm that makes challenges larger than an amplification-safe answer.
    #[error(
        "has {bytes} bytes: beyond {enough}, the answer to a spoofed request is more than three times its size"
    )]
    RealmLong {
        /// Its length.
        bytes: usize,
        /// The length up to which there is no warning.
        enough: usize,
    },

    // Addresses and ports.
    /// No listener.
    #[error("missing: at least one [[listen]] with an addr is needed")]
    NoListener,
    /// A listener whose port the system chooses.
    #[error("port 0 lets the system choose a port that no client can know")]
    ListenerPortZero,
    /// A port for what cannot share it.
    #[error(
        "is given twice: udp and dtls need a port each, and so do tcp and tls, unless it is \"auto\""
    )]
    ListenerTwice,
    /// A listener for DTLS in a build that does not speak it.
    #[error(
        "this build speaks no DTLS: it takes one with the cargo feature `dtls` (`cargo build --release --features dtls`)"
    )]
    DtlsNotBuilt,
    /// Upstreams of a listener that has no connections.
    #[error("a PROXY header stands at the start of a connection, which UDP and DTLS do not have")]
    ProxyWithoutStream,
    /// Upstreams that are everybody.
    #[error(
        "{0} contains every address of its family: whoever reaches the port may claim to be any client"
    )]
    ProxyEverybody(ipnet::IpNet),
    /// No relay address.
    #[error(
        "needs ipv4 or ipv6 = {{ bind = \"…\" }}: an address of this machine that relayed traffic leaves from"
    )]
    NoRelayAddress,
    /// A relay address of the other family.
    #[error("must be an {0} address")]
    WrongFamily(&'static str),
    /// An address that stands for all addresses.
    #[error(
        "an unspecified address cannot be relayed from: peers know a client by this one address, so name it"
    )]
    Unspecified,
    /// An address that no single host has.
    #[error("a multicast or broadcast address belongs to no single host")]
    NotUnicast,
    /// A private address told to the world although the socket has a public one.
    #[error(
        "a private address is advertised although bind is public: peers elsewhere cannot reach it"
    )]
    AdvertisePrivate,
    /// A private address told to the world because nothing else was said.
    #[error(
        "is a private address and there is no advertise: name the public address that leads here, or repeat this one"
    )]
    AdvertiseMissing,
    /// Relay ports that contain a listener's port.
    #[error(
        "the relay ports contain port {port} of the listener {listener}: a relayed address would collide with it"
    )]
    PortsOverlap {
        /// The port.
        port: u16,
        /// The listener's address as configured.
        listener: std::net::SocketAddr,
    },

    // TLS.
    /// A listener that speaks TLS, and nothing to speak it with.
    #[error(
        "missing: the listener {0} speaks TLS or DTLS, which needs a [[tls.certificate]] with chain_file and key_file"
    )]
    CertificateNeeded(std::net::SocketAddr),
    /// Certificates that no listener serves.
    #[error(
        "no listener speaks TLS (transport = \"tls\", \"auto\" or \"dtls\"), so that the certificates are not served"
    )]
    CertificateUnused,
    /// Too many certificates.
    #[error("at most {most} certificates can be served")]
    TooManyCertificates {
        /// The limit.
        most: usize,
    },
    /// A certificate or its key is wrong or questionable.
    #[error("{0}")]
    Certificate(CertificateError),

    // Peers.
    /// A prefix that contains everything.
    #[error(
        "{0} contains every address of its family: this makes the machine's own network reachable for clients"
    )]
    PrefixEverything(ipnet::IpNet),
    /// A prefix that opens services of this machine or of its hoster.
    #[error(
        "{0} opens loopback or link-local addresses, and with them services that trust this machine, to clients"
    )]
    PrefixLocal(ipnet::IpNet),

    // Time and operation.
    /// A span that must not exceed another does.
    #[error("must not be longer than {0}")]
    LongerThan(&'static str),
    /// A lifetime that clients rely on.
    #[error("RFC 8656 section {rfc_section} requires {required}, and clients rely on it")]
    NonStandardLifetime {
        /// What the RFC requires.
        required: &'static str,
        /// Where.
        rfc_section: &'static str,
    },
    /// A metrics endpoint that anybody can read.
    #[error(
        "metrics are served without authentication: keep others away from {0}, or listen on a loopback address"
    )]
    MetricsPublic(std::net::SocketAddr),
}

impl Cause {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        if matches!(
            self,
            Self::SecretFileOpen { .. }
                | Self::ConfigFileOpen(_)
                | Self::PasswordShort { .. }
                | Self::CallWithoutClaims
                | Self::RealmLong { .. }
                | Self::ListenerPortZero
                | Self::AdvertisePrivate
                | Self::AdvertiseMissing
                | Self::PrefixEverything(_)
                | Self::PrefixLocal(_)
                | Self::NonStandardLifetime { .. }
                | Self::MetricsPublic(_)
                | Self::ProxyEverybody(_)
                | Self::CertificateUnused
        ) || matches!(self, Self::Certificate(error) if error.is_doubt())
        {
            Severity::Warning
        } else {
            Severity::Error
        }
    }

    /// The name that was probably meant.
    #[must_use]
    pub fn suggestion(&self) -> Option<&str> {
        if let Self::UnknownKey { nearest } | Self::NoChoice { nearest, .. } = self {
            nearest.as_deref()
        } else {
            None
        }
    }
}

/// Why a file could not be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FileFault {
    /// There is none.
    #[error("no such file")]
    Missing,
    /// The system refused.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// It is not UTF-8.
    #[error("not UTF-8 text")]
    NotText,
    /// It is larger than anything that belongs there.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
}

impl From<io::Error> for FileFault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Missing;
        }
        Self::Io(error.kind())
    }
}

/// The candidate that is most similar to `name`, unless all differ too much to have been meant.
pub(super) fn nearest<'c>(
    name: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let enough = (name.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= enough)
        .min()
        .map(|(_, candidate)| candidate)
}
