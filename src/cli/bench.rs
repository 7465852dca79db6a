//! `veilturn bench`: a load generator for any TURN server.
//!
//! `args` says what is asked for, [`run`] does it. The load is `generator` (one thread, by `schedule`, through the
//! sockets or `connections` of `places`, on the `road` to the server and along the flows of `path`, counted by `tally`); the clients behind it are `parties`, clients
//! that come and go are `turnover`. `search` looks for the highest rate that a server holds, `meter` tells what it
//! costs the server, and `bare` is a forwarder without TURN to compare with. The results are `results`.

mod args;
mod bare;
mod connections;
mod credentials;
mod generator;
mod meter;
mod parties;
mod path;
mod places;
mod results;
mod road;
mod schedule;
mod search;
mod stamp;
mod tally;
mod turnover;

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::pem;
use thiserror::Error;
use zeroize::Zeroizing;

pub(super) use self::args::BenchArgs;
use self::args::Scenario;
use self::bare::{Bare, BareSockets};
use self::credentials::Credentials;
use self::generator::Generator;
use self::meter::Meter;
use self::parties::Parties;
use self::places::Places;
use self::results::report::{Bottleneck, Report};
use self::results::{page, table};
use self::road::Road;
use self::schedule::{Clock, LONGEST, SECOND};
use self::search::Search;
use self::turnover::Crowd;
use super::Transport;
use crate::auth::{Credential, CredentialError, Secret, SecretError};
use crate::client::{self, Client, ClientOptions, RequestError, StartError, StreamError};
use crate::net::{self, BindError, Offload};
use crate::time::UnixTime;

/// Measures what `args` ask for from `now` on, and writes it: progress to `progress`, the table (or JSON in its place) to
/// `out`.
///
/// # Errors
///
/// [`BenchError`]. Loss is none.
pub(super) fn run(
    args: &BenchArgs,
    now: UnixTime,
    out: &mut dyn Write,
    progress: &mut dyn Write,
) -> Result<(), BenchError> {
    // What the kernel refuses here shows as an error where a socket is missing.
    let _ = net::raise_descriptors();
    let mut nothing = io::sink();
    let progress = if args.quiet { &mut nothing } else { progress };
    let road = Road::of(args)?;
    let report = match args.scenario {
        Scenario::Allocations => allocations(args, now, &road, progress)?,
        Scenario::Call | Scenario::Peer => traffic(args, now, &road, progress)?,
    };
    write_results(args, &report, out)
}

/// Why there are no results.
#[derive(Debug, Error)]
pub(super) enum BenchError {
    /// There is nothing to mint or use as a credential.
    #[error("a server needs --secret-file, or --user and --password")]
    NoCredential,
    /// A bare forwarder allocates nothing.
    #[error("--baseline has no allocations to measure")]
    BareAllocations,
    /// Something is not measured over streams.
    #[error("{what} cannot be had over a stream, only over UDP")]
    UdpOnly {
        /// What.
        what: &'static str,
    },
    /// Nobody is trusted.
    #[error("TLS needs --ca, or --insecure")]
    NoTrust,
    /// No server can have that name.
    #[error("that name cannot stand in a certificate: --server-name")]
    ServerName,
    /// The authorities' certificates cannot be read.
    #[error("cannot read certificates from {path}")]
    ReadAuthorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// A client's connection to the server ended.
    #[error("a connection to the server ended")]
    Connection(#[source] StreamError),
    /// The kernel does not cut or merge datagrams.
    #[error("this kernel has no sound UDP segmentation offload, so --gso and --gro cannot be had")]
    NoOffload,
    /// The server's name leads nowhere.
    #[error("cannot find the server")]
    Resolve(#[source] io::Error),
    /// The server's name has no address.
    #[error("the server's name has no address")]
    NoServer,
    /// The secret cannot be read.
    #[error("cannot read the secret from {path}")]
    ReadSecret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The secret cannot be used.
    #[error("the secret cannot be used")]
    Secret(#[from] SecretError),
    /// No credential can be made.
    #[error("cannot make a credential")]
    Credential(#[source] CredentialError),
    /// The operating system has no randomness to give.
    #[error("the operating system gives no random numbers")]
    Randomness,
    /// The process to be metered cannot be.
    #[error("cannot read the processor time of process {pid}")]
    Pid {
        /// Which one.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// The thread cannot be kept on a core.
    #[error("cannot stay on that core")]
    Pin(#[source] io::Error),
    /// A socket could not be opened.
    #[error("cannot open a socket")]
    Socket(#[source] BindError),
    /// The network cannot be used.
    #[error("cannot use the network")]
    Network(#[source] io::Error),
    /// A request could not be made.
    #[error("cannot ask the server")]
    Ask(#[source] StartError),
    /// The server did not grant what the test needs.
    #[error("the server did not grant what the test needs")]
    Refused(#[source] RequestError),
    /// An allocation came without an address.
    #[error("the server granted no relayed address")]
    NoRelayedAddress,
    /// No datagram takes the payload and its headers.
    #[error("the payload does not fit a datagram")]
    TooLong,
    /// The results cannot be written.
    #[error("cannot write the results")]
    Write(#[source] io::Error),
}

impl BenchError {
    /// Whether the arguments are at fault.
    pub(super) const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoCredential
                | Self::BareAllocations
                | Self::UdpOnly { .. }
                | Self::NoTrust
                | Self::ServerName
                | Self::NoOffload
                | Self::Secret(_)
        )
    }
}

/// The generator, and the forwarder that it talks to where there is no server.
struct Stage {
    generator: Generator,
    /// Runs as long as this lives.
    _bare: Option<Bare>,
}

/// Measures calls.
fn traffic(
    args: &BenchArgs,
    now: UnixTime,
    road: &Road,
    progress: &mut dyn Write,
) -> Result<Report, BenchError> {
    let offload = offload(args)?;
    let mut stage = match args.server()? {
        Some(server) => through_server(args, now, (server, road), offload)?,
        None => through_bare(args, offload)?,
    };
    pin(args)?;
    let mut report = Report::new(args);
    let generator = &mut stage.generator;
    if args.saturate {
        saturate(args, generator, &mut report, progress)?;
    } else {
        if args.warmup() > 0 {
            generator.run(args.rate(), args.warmup(), (LONGEST, &mut |_| ()))?;
        }
        let mut watch = |interval: &generator::Interval| {
            report.interval(interval);
            if let Some(interval) = report.intervals.last() {
                // Results matter more than progress.
                let _ = writeln!(progress, "{}", table::progress(interval));
            }
        };
        let run = generator.run(args.rate(), args.span(), (SECOND, &mut watch))?;
        report.fixed(&run);
    }
    if let Some(parties) = &mut generator.parties {
        parties.leave(&mut generator.places)?;
    }
    Ok(report)
}

fn saturate(
    args: &BenchArgs,
    generator: &mut Generator,
    report: &mut Report,
    progress: &mut dyn Write,
) -> Result<(), BenchError> {
    let mut search = Search::new(args.rate(), args.tries);
    generator.hurry();
    // What others kept from being held says nothing about the rate.
    let mut patience = args.tries / 2;
    while let Some(rate) = search.next() {
        let run = generator.run(rate, args.step(), (LONGEST, &mut |_| ()))?;
        let step = report.tried(&run);
        let _ = writeln!(progress, "{}", table::step(step));
        if step.bottleneck == Bottleneck::Machine && patience > 0 {
            patience -= 1;
        } else {
            search.tried(step.held);
        }
    }
    report.conclude();
    Ok(())
}

fn through_server(
    args: &BenchArgs,
    now: UnixTime,
    to: (SocketAddr, &Road),
    offload: Offload,
) -> Result<Stage, BenchError> {
    let shape = args.shape();
    let mut places = Places::open(Clock::start(), to, shape.clients(), offload)?;
    let new_client = newcomers(args, now)?;
    let clients: Result<Vec<Client>, BenchError> = (0..shape.clients()).map(new_client).collect();
    let mut parties = Parties::new(&places, clients?);
    parties.allocate(&mut places)?;
    let flows = match shape.scenario {
        Scenario::Peer => {
            let peer = places.open_peer(args.peer_ip)?;
            shape.peer(&mut places, &mut parties, peer)?
        }
        Scenario::Call | Scenario::Allocations => shape.call(&mut places, &mut parties)?,
    };
    let frame = (shape.media.burst, shape.media.size());
    let mut generator = Generator::new(places, flows, frame, key()?);
    generator.parties = Some(parties);
    if let Some(meter) = meter(args)? {
        generator.set_meter(meter);
    }
    Ok(Stage {
        generator,
        _bare: None,
    })
}

fn through_bare(args: &BenchArgs, offload: Offload) -> Result<Stage, BenchError> {
    let shape = args.shape();
    let mut sockets = BareSockets::open(offload)?;
    let server = sockets.address(0);
    let to = (server, &Road::Udp);
    let mut places = Places::open(Clock::start(), to, shape.clients(), offload)?;
    let peer = match shape.scenario {
        Scenario::Peer => Some(places.open_peer(args.peer_ip)?),
        Scenario::Call | Scenario::Allocations => None,
    };
    let (flows, routes) = shape.bare(&places, peer, &mut sockets)?;
    let bare = sockets.forward(routes, args.baseline_cpu)?;
    let frame = (shape.media.burst, shape.media.size());
    let mut generator = Generator::new(places, flows, frame, key()?);
    generator.set_meter(Meter::thread(bare::THREAD));
    Ok(Stage {
        generator,
        _bare: Some(bare),
    })
}

/// Measures allocations.
fn allocations(
    args: &BenchArgs,
    now: UnixTime,
    road: &Road,
    progress: &mut dyn Write,
) -> Result<Report, BenchError> {
    let server = args.server()?.ok_or(BenchError::BareAllocations)?;
    let meter = meter(args)?;
    let new_client = newcomers(args, now)?;
    pin(args)?;
    let (held, width) = (args.calls as usize, args.in_flight as usize);
    let clients: Result<Vec<Client>, BenchError> = (0..held).map(&new_client).collect();
    let open = |count| Places::open(Clock::start(), (server, road), count, Offload::NONE);
    let held = turnover::hold(open, clients?, meter.as_ref())?;
    let mut places = open(width)?;
    let mut watch = |second, count| {
        let _ = writeln!(progress, "{second:6} s  {count:9} allocations/s");
    };
    let crowd = Crowd::new(&mut places, width, &new_client)?;
    let turnover = crowd.run(args.span(), meter.as_ref(), &mut watch)?;
    let mut report = Report::new(args);
    report.allocations(held, &turnover);
    Ok(report)
}

/// Makes clients from their numbers.
fn newcomers(
    args: &BenchArgs,
    now: UnixTime,
) -> Result<impl Fn(usize) -> Result<Client, BenchError> + use<>, BenchError> {
    let credentials = credentials(args, now)?;
    let mut seed = [0; 32];
    fill(&mut seed)?;
    let options = ClientOptions {
        dialect: args.dialect.into(),
        upkeep: true,
        transport: match args.transport {
            Transport::Udp => client::Transport::Datagrams,
            Transport::Tcp | Transport::Tls => client::Transport::Stream,
        },
        ..ClientOptions::default()
    };
    Ok(move |number: usize| {
        let credential = credentials.of(number).map_err(BenchError::Credential)?;
        let mut own = seed;
        own[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Ok(Client::new(credential, options, own))
    })
}

fn credentials(args: &BenchArgs, now: UnixTime) -> Result<Credentials, BenchError> {
    if let (Some(user), Some(password)) = (&args.user, &args.password) {
        return Ok(Credentials::One(Credential {
            username: user.clone(),
            password: Zeroizing::new(password.clone()),
        }));
    }
    let path = args.secret_file.as_ref().ok_or(BenchError::NoCredential)?;
    let content = fs::read(path).map_err(|source| BenchError::ReadSecret {
        path: path.clone(),
        source,
    })?;
    let secret = Secret::from_file_content("bench", Zeroizing::new(content))?;
    Ok(Credentials::minted(secret, now, args.claims))
}

fn meter(args: &BenchArgs) -> Result<Option<Meter>, BenchError> {
    let open = |pid| Meter::process(pid).map_err(|source| BenchError::Pid { pid, source });
    args.pid.map(open).transpose()
}

fn offload(args: &BenchArgs) -> Result<Offload, BenchError> {
    let wanted = Offload {
        gso: args.gso,
        gro: args.gro,
    };
    let sound = if wanted == Offload::NONE {
        Offload::NONE
    } else {
        Offload::probe()
    };
    if (wanted.gso && !sound.gso) || (wanted.gro && !sound.gro) {
        return Err(BenchError::NoOffload);
    }
    Ok(wanted)
}

fn pin(args: &BenchArgs) -> Result<(), BenchError> {
    args.cpu
        .map_or(Ok(()), net::stay_on_core)
        .map_err(BenchError::Pin)
}

/// What this process knows its datagrams by.
fn key() -> Result<u32, BenchError> {
    let mut key = [0; 4];
    fill(&mut key)?;
    Ok(u32::from_be_bytes(key))
}

fn fill(bytes: &mut [u8]) -> Result<(), BenchError> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| BenchError::Randomness)
}

fn write_results(args: &BenchArgs, report: &Report, out: &mut dyn Write) -> Result<(), BenchError> {
    let json = || {
        let text =
            serde_json::to_string_pretty(report).map_err(|error| BenchError::Write(error.into()));
        text.map(|text| text + "\n")
    };
    if let Some(path) = &args.html {
        fs::write(path, page::html(report)).map_err(BenchError::Write)?;
    }
    let text = match &args.json {
        Some(path) if path == Path::new("-") => json()?,
        Some(path) => {
            fs::write(path, json()?).map_err(BenchError::Write)?;
            table::text(report)
        }
        None => table::text(report),
    };
    out.write_all(text.as_bytes()).map_err(BenchError::Write)
}

#[cfg(test)]
mod tests;
