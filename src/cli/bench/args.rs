//! The arguments of `bench`, and what they amount to.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use serde::Serialize;

use super::BenchError;
use super::path::{Media, Shape};
use super::schedule::LONGEST;
use super::stamp::Stamp;
use crate::cli::Transport;
use crate::client;

/// The ports of a TURN server, without TLS and with it (RFC 8656 section 3).
const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;

/// Puts a load on a TURN server, of any make, and tells what it bears.
///
/// Run it from a machine of its own, or pin server and generator to different cores. With --pid it also tells what a
/// packet costs the server, which depends less on the machine than what the server bears.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("target").required(true).args(["server", "baseline"]))]
pub(in crate::cli) struct BenchArgs {
    /// What is measured
    #[arg(value_enum)]
    pub(super) scenario: Scenario,
    /// The server's host and maybe port, e.g. 127.0.0.1:3478
    #[arg(long, value_name = "HOST[:PORT]")]
    server: Option<String>,
    /// How the clients reach the server
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    pub(super) transport: Transport,
    /// File with certificates in PEM form: with TLS, the server's has to lead to one of them
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(super) ca: Option<PathBuf>,
    /// With TLS, accept every certificate, also an authority's that is used as the server's (`openssl req -x509` makes
    /// such)
    #[arg(long)]
    pub(super) insecure: bool,
    /// With TLS, what the server is called in its certificate [default: the host of --server]
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Measure a bare forwarder in this process instead of a server: the limit to compare with
    #[arg(long)]
    pub(super) baseline: bool,
    /// The core that the bare forwarder is kept on, counted among those that this process may use
    #[arg(long, value_name = "CORE", conflicts_with = "server")]
    pub(super) baseline_cpu: Option<usize>,

    /// How many calls there are, or, for `allocations`, how many allocations are held
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) calls: u32,
    /// What is sent: audio is 160 bytes every 20 ms, video 25 datagrams of 1200 bytes 30 times a second
    #[arg(long, value_enum, default_value_t = MediaName::Audio)]
    pub(super) media: MediaName,
    /// Bytes of application data in a datagram, instead of the media's
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(Stamp::LEN as i64..=1400))]
    size: Option<u16>,
    /// Datagrams in a frame, sent at once, instead of the media's
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    burst: Option<u16>,
    /// Who sends: the client (in a call, the first party), the other side, or both
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    direction: Direction,
    /// Send on channels; the default
    #[arg(long, conflicts_with = "indications")]
    channels: bool,
    /// Send in indications instead of on channels
    #[arg(long)]
    indications: bool,
    /// Send runs of equal datagrams as one message that the kernel cuts (UDP_SEGMENT)
    #[arg(long)]
    pub(super) gso: bool,
    /// Receive runs of equal datagrams as one message (UDP_GRO)
    #[arg(long)]
    pub(super) gro: bool,
    /// The address of the plain peer [default: this machine's, as the server sees it; 127.0.0.2 on loopback]
    #[arg(long, value_name = "IP")]
    pub(super) peer_ip: Option<IpAddr>,

    /// Datagrams per second in all, instead of the media's times the calls; where --saturate begins
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,
    /// How long to measure
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Send for so long at the same rate before measuring
    #[arg(long, default_value = "500ms", value_parser = humantime::parse_duration)]
    warmup: Duration,
    /// Raise the rate until more than 0.5 % is lost, and tell the highest that held
    #[arg(long)]
    pub(super) saturate: bool,
    /// How long each rate is tried with --saturate
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    step: Duration,
    /// How many tries --saturate makes at most, and half as many again where other processes get in the way
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) tries: u32,
    /// For `allocations`: how many clients wait for an answer at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) in_flight: u32,

    /// File with the secret to mint a credential for each client with
    #[arg(
        long,
        value_name = "FILE",
        env = "VEILTURN_SECRET_FILE",
        conflicts_with = "user"
    )]
    pub(super) secret_file: Option<PathBuf>,
    /// Have the minted credentials claim a call and a party, as veilturn knows them
    #[arg(long)]
    pub(super) claims: bool,
    /// The user that every client is
    #[arg(long, requires = "password")]
    pub(super) user: Option<String>,
    /// The password of that user
    #[arg(long, env = "TURN_PASSWORD", hide_env_values = true)]
    pub(super) password: Option<String>,
    /// The generation of the protocol that the clients speak
    #[arg(long, value_enum, default_value_t = Dialect::Rfc5389)]
    pub(super) dialect: Dialect,

    /// The server's process on this machine, to tell its processor time and memory
    #[arg(long)]
    pub(super) pid: Option<u32>,
    /// The core that the generator is kept on, counted among those that this process may use
    #[arg(long, value_name = "CORE")]
    pub(super) cpu: Option<usize>,

    /// What the server is called in the results
    #[arg(long, default_value = "server")]
    pub(super) name: String,
    /// Where to write the results as JSON; `-` is standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Where to write a page with charts
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Tell nothing while it runs
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scenario {
    /// Both parties are behind the server: client A, relay, client B and back
    Call,
    /// One client is behind the server, its peer is not
    Peer,
    /// Clients that come, allocate and go; and what an allocation costs in memory
    Allocations,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MediaName {
    /// 160 bytes every 20 ms
    Audio,
    /// 25 datagrams of 1200 bytes, 30 times a second
    Video,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    /// The client, or the first party
    Up,
    /// The peer, or the second party
    Down,
    /// Both
    Both,
}

/// What data is sent in between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Framing {
    /// ChannelData messages.
    Channels,
    /// Send and Data indications.
    Indications,
    /// Nothing: there is no TURN server.
    Bare,
}

/// The generation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dialect {
    /// MD5 and SHA-1, as browsers
    Rfc5389,
    /// SHA-256 where the server has it
    Rfc8489,
}

impl From<Dialect> for client::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Rfc5389 => Self::Rfc5389,
            Dialect::Rfc8489 => Self::Rfc8489,
        }
    }
}

impl BenchArgs {
    /// What the flows are like.
    pub(super) fn shape(&self) -> Shape {
        let media = match self.media {
            MediaName::Audio => Media::AUDIO,
            MediaName::Video => Media::VIDEO,
        };
        Shape {
            scenario: self.scenario,
            calls: self.calls as usize,
            direction: self.direction,
            framing: match (self.baseline, self.indications) {
                (true, _) => Framing::Bare,
                (false, true) => Framing::Indications,
                (false, false) => Framing::Channels,
            },
            media: Media {
                size: self.size.unwrap_or(media.size),
                burst: self.burst.unwrap_or(media.burst),
                frames: media.frames,
            },
        }
    }

    /// Where the server is; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Where the name leads nowhere.
    pub(super) fn server(&self) -> Result<Option<SocketAddr>, BenchError> {
        let Some(text) = self.server.as_deref() else {
            return Ok(None);
        };
        let port = match self.transport {
            Transport::Udp | Transport::Tcp => PORT,
            Transport::Tls => TLS_PORT,
        };
        let with_port = text.to_socket_addrs();
        let found = with_port.or_else(|_| {
            let host = text.trim_start_matches('[').trim_end_matches(']');
            (host, port).to_socket_addrs()
        });
        let mut found = found.map_err(BenchError::Resolve)?;
        found.next().map(Some).ok_or(BenchError::NoServer)
    }

    /// What the server has to be called in its certificate.
    pub(super) fn server_name(&self) -> String {
        if let Some(name) = &self.server_name {
            return name.clone();
        }
        let text = self.server.as_deref().unwrap_or_default();
        if let Ok(address) = text.parse::<SocketAddr>() {
            return address.ip().to_string();
        }
        let host = text.trim_start_matches('[').trim_end_matches(']');
        if host.parse::<IpAddr>().is_ok() {
            return host.to_owned();
        }
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        host.to_owned()
    }

    /// Datagrams per second.
    pub(super) fn rate(&self) -> u64 {
        let shape = self.shape();
        self.rate.unwrap_or_else(|| shape.media.rate(shape.flows()))
    }

    /// How long to measure, in nanoseconds.
    pub(super) fn span(&self) -> u64 {
        nanos(self.duration)
    }

    /// How long to send before measuring, in nanoseconds.
    pub(super) fn warmup(&self) -> u64 {
        nanos(self.warmup)
    }

    /// How long each rate is tried, in nanoseconds.
    pub(super) fn step(&self) -> u64 {
        nanos(self.step)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos())
        .unwrap_or(u64::MAX)
        .min(LONGEST)
}
