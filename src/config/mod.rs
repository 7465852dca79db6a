//! The configuration: what the file says, checked and in the daemon's own types.
//!
//! [`load`] reads the file, lays the environment over it and reports everything that is wrong at once. What comes out
//! is a [`Config`] that can be served as it is. The keys stand in `file`, their defaults in [`defaults`], what can be
//! wrong in [`problem`]. Opens no socket.

pub mod defaults;
mod env;
mod file;
mod peers;
pub mod problem;
mod relaying;
mod secret;
mod section;
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

pub use self::problem::{Cause, FileFault, Location, Problem, Report, Severity};
pub use self::secret::{Disk, Files, NoFiles, TextFile};
use self::section::Reading;
use crate::auth::{AuthOptions, Authenticator, PeerScope, Secret};
pub use crate::ops::logging::{Log, LogFormat, LogLevel};
pub use crate::ops::redact::LogAddresses;
use crate::relay::{self, RelayAddress, Transport};

/// Everything that the daemon is told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients are listened for; at least one.
    pub listeners: Vec<Listener>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The local address; an unspecified IPv6 address listens for IPv6 alone.
    pub addr: SocketAddr,
    /// What is spoken there.
    pub transport: Transport,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.addr, value::word(self.transport))
    }
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
}

/// Reads the configuration file at `path` and lays `variables` over it.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load(
    path: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
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
    let mut reading = Reading::new(source.files);
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
        let mut config = Reading::new(&NoFiles).document(tree::Table::empty(), file::read);
        "veilturn".clone_into(&mut config.auth.realm);
        config.listeners.push(Listener {
            addr: SocketAddr::new(here, port),
            transport: Transport::Udp,
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
