//! The configuration: what the file says, checked and in the daemon's own types.
//!
//! [`load`] reads the file, lays the environment over it and reports everything that is wrong at once. What comes out
//! is a [`Config`] that can be served as it is. The keys stand in `file`, their defaults in [`defaults`], what can be
//! wrong in [`problem`]. Opens no socket.

pub mod defaults;
mod env;
mod file;
mod listening;
mod peers;
pub mod problem;
mod relaying;
mod secret;
mod section;
mod tls;
mod tree;
mod users;
mod value;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use self::problem::{Cause, FileFault, Location, Problem, Report, Severity};
pub use self::secret::{Disk, Files, NoFiles, TextFile};
use self::section::Reading;
use crate::auth::{AuthOptions, Authenticator, PeerScope, Secret};
pub use crate::ops::logging::{Log, LogFormat, LogLevel};
pub use crate::ops::redact::LogAddresses;
use crate::relay::{self, RelayAddress};
use crate::time::UnixTime;

/// Everything that the daemon is told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients are listened for; at least one.
    pub listeners: Vec<Listener>,
    /// What a client's connection may cost.
    pub streams: StreamOptions,
    /// What TLS is spoken with.
    pub tls: TlsOptions,
    /// What the core is told. Its `own_sockets` and `own_addresses` are filled in by [`Self::relay_options`].
    pub relay: relay::Options,
    /// Who may relay, and how that is proven. There is at least one secret or user.
    pub auth: AuthOptions,
    /// What a log may show of an address.
    pub log_addresses: LogAddresses,
    /// How the daemon logs.
    pub log: Log,
    /// Where metrics and health are served.
    pub metrics: Option<SocketAddr>,
    /// How the daemon uses the machine.
    pub runtime: Runtime,
}

/// One address that clients reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The local address; an unspecified IPv6 address listens for IPv6 alone.
    pub addr: SocketAddr,
    /// What is spoken there.
    pub transport: ListenTransport,
    /// The upstreams that connections come from, each of which begins with a PROXY header that names its client. Empty:
    /// clients connect themselves. Always empty for UDP and DTLS.
    pub proxy_protocol: Vec<IpNet>,
}

impl Listener {
    /// Whether a connection from `source` may be served there: with upstreams configured, only theirs may, because
    /// anybody else could claim to be any client.
    #[must_use]
    pub fn accepts(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.proxy_protocol.is_empty()
            || self
                .proxy_protocol
                .iter()
                .any(|upstream| upstream.contains(&source))
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.addr, self.transport)
    }
}

impl fmt::Display for ListenTransport {
    /// The word of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(value::word(*self))
    }
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenTransport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
    /// Streams inside TLS.
    Tls,
    /// Streams; the first byte of each tells whether it is inside TLS.
    Auto,
    /// Datagrams inside DTLS (RFC 7350). Needs the cargo feature `dtls`.
    Dtls,
}

impl ListenTransport {
    /// Whether connections are accepted there.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::Auto)
    }

    /// Whether some clients speak TLS or DTLS there, so that a certificate is needed.
    #[must_use]
    pub const fn speaks_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Auto | Self::Dtls)
    }
}

/// What a client's connection may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Connections open at once, over all workers.
    pub connections: usize,
    /// Of those, the connections from one client prefix: an IPv4 address, an IPv6 /64. Behind an upstream that sends
    /// PROXY headers, it is the prefix of the client that the header names.
    pub connections_per_prefix: usize,
    /// From accepting a connection to its first valid message, PROXY header and TLS handshake included.
    pub handshake_timeout: Duration,
    /// How long a connection without an allocation may be silent after that.
    pub idle_timeout: Duration,
    /// What may wait to be sent on one connection, in bytes; at least twice the largest message.
    pub send_queue: usize,
    /// How long application data may wait before it is dropped.
    pub send_queue_age: Duration,
    /// After how long a silence TCP asks whether the other end still exists.
    pub keepalive: Duration,
}

/// What TLS is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificates, the default first; at least one where a listener speaks TLS.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// Where a certificate is, as the process finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those that lead from it to its authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// How the daemon uses the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Worker threads; 0 stands for one per core.
    pub workers: usize,
    /// Whether each worker stays on its core.
    pub pin_cpus: bool,
    /// The receive buffer of each listening socket, in bytes.
    pub receive_buffer: usize,
    /// The send buffer of each listening socket, in bytes.
    pub send_buffer: usize,
    /// How long the calls that live may go on once the daemon is asked to stop.
    pub drain_timeout: Duration,
}

/// A configuration that can be served.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// It.
    pub config: Config,
    /// What somebody should look at: warnings only.
    pub report: Report,
}

/// What a configuration is read from.
pub struct Source<'a> {
    /// The name of the file, for the report.
    pub name: String,
    /// Its text.
    pub file: TextFile,
    /// The variables of the environment; those that are not ours are ignored.
    pub variables: Vec<(OsString, OsString)>,
    /// Where the files that it names are found.
    pub files: &'a dyn Files,
    /// The time, which certificates are held against.
    pub now: UnixTime,
}

/// Reads the configuration file at `path` and lays `variables` over it. Certificates have to be good at `now`.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load(
    path: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    now: UnixTime,
) -> Result<Loaded, Report> {
    let name = path.display().to_string();
    let here = Disk {
        base: PathBuf::new(),
    };
    let file = here.read(path).map_err(|fault| {
        let problem = Problem {
            at: Location::Whole,
            key: String::new(),
            cause: Cause::Unreadable(fault),
        };
        Report::new(name.clone(), vec![problem])
    })?;
    parse(Source {
        name,
        file,
        variables: variables.into_iter().collect(),
        files: &Disk {
            base: path.parent().map(Path::to_owned).unwrap_or_default(),
        },
        now,
    })
}

/// Reads a configuration from its text.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn parse(source: Source<'_>) -> Result<Loaded, Report> {
    let file = source.name;
    let mut root = match tree::parse(&source.file.text) {
        Ok(root) => root,
        Err(problems) => return Err(Report::new(file, problems)),
    };
    let misplaced = env::apply(&mut root, source.variables);
    let mut reading = Reading::new(source.files, source.now);
    let config = reading.document(root, file::read);
    if source.file.open_to_all {
        reading.warn_of_inline_secrets();
    }
    let mut problems = reading.problems;
    problems.extend(misplaced);
    let mut report = Report::new(file, problems);
    if !report.has_errors() {
        report.problems.extend(refusal(&config));
    }
    if report.has_errors() {
        return Err(report);
    }
    Ok(Loaded { config, report })
}

/// What the layer that the options are for has against them: texts that Unicode does not let it prepare.
fn refusal(config: &Config) -> Option<Problem> {
    let refusal = Authenticator::new(config.auth.clone(), &[0; 32]).err()?;
    Some(Problem {
        at: Location::Whole,
        key: "auth".to_owned(),
        cause: Cause::Auth(refusal),
    })
}

impl Config {
    /// The configuration of a relay to try things with: on the loopback interface alone, on `port` (0: any), with one
    /// secret and everything else at its default, but without metrics.
    #[must_use]
    pub fn dev(port: u16, secret: Secret) -> Self {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        // No time, because no certificate is read.
        let mut reading = Reading::new(&NoFiles, UnixTime::from_secs(0));
        let mut config = reading.document(tree::Table::empty(), file::read);
        "veilturn".clone_into(&mut config.auth.realm);
        config.listeners.push(Listener {
            addr: SocketAddr::new(here, port),
            transport: ListenTransport::Udp,
            proxy_protocol: Vec::new(),
        });
        config.auth.secrets.push(secret);
        config.relay.ipv4 = Some(RelayAddress {
            bind: here,
            advertise: here,
        });
        config.relay.peers.scope = PeerScope::Call;
        config.relay.peers.allow = peers::loopback().to_vec();
        config.metrics = None;
        config.runtime.drain_timeout = Duration::ZERO;
        config
    }

    /// The word for the widest scope of peers, as `peers.policy` has it.
    #[must_use]
    pub const fn policy(&self) -> &'static str {
        self.relay.peers.scope.name()
    }

    /// What the core is told, on a machine whose interfaces have the addresses `interfaces` and whose daemon has bound
    /// `own_sockets` (listeners and metrics).
    #[must_use]
    pub fn relay_options(
        &self,
        own_sockets: Vec<SocketAddr>,
        interfaces: Vec<IpAddr>,
    ) -> relay::Options {
        let mut options = self.relay.clone();
        let relays = [options.ipv4, options.ipv6].into_iter().flatten();
        let known = relays.flat_map(|relay| [relay.bind, relay.advertise]);
        let mut own_addresses = interfaces;
        own_addresses.extend(known);
        own_addresses.sort_unstable();
        own_addresses.dedup();
        options.peers.own_sockets = own_sockets;
        options.peers.own_addresses = own_addresses;
        options
    }
}
