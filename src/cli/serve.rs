//! `veilturn serve`: runs the relay, from a configuration or, with `--dev`, from none.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Failure, fresh_secret};
use crate::auth::{self, Claims, Secret};
use crate::config::{self, Config, ListenTransport, Listener, Loaded};
use crate::net;
use crate::ops::{harden, logging};
use crate::server::{self, Clock, Server};
use crate::time::UnixTime;

/// How long the credentials of `--dev` are valid, in seconds.
const DEV_TTL: u64 = 24 * 3600;

/// The arguments of `serve`.
#[derive(Args, Clone, Debug)]
pub(super) struct ServeArgs {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "VEILTURN_CONFIG",
        required_unless_present = "dev"
    )]
    config: Option<PathBuf>,
    /// Needs no file: loopback, a fresh secret, credentials for two parties of one call
    #[arg(long, conflicts_with = "config")]
    dev: bool,
    /// The port of --dev; 0 takes any
    #[arg(long, requires = "dev", default_value_t = 3478)]
    port: u16,
}

/// Runs the relay until it is told to stop.
pub(super) fn run(args: &ServeArgs, out: &mut impl Write) -> Result<(), Failure> {
    let (config, dev) = match &args.config {
        Some(path) if !args.dev => (load(path)?, None),
        _ => {
            let secret = fresh_secret().map_err(Failure::runtime)?;
            (dev(args.port, secret.clone()), Some(secret))
        }
    };
    let log = logging::start(config.log).map_err(Failure::usage)?;
    harden::hide_panic_messages(log.clone());
    // Refused where the kernel has no core dumps at all, which is as good.
    let _ = harden::empty_core_dumps();
    net::make_undumpable().map_err(Failure::runtime)?;
    let ready = |relay: &Server| match &dev {
        Some(secret) => welcome(&config, relay, secret, out),
        None => Ok(()),
    };
    let outcome = server::serve(&config, ready).map_err(Failure::runtime);
    log.settle();
    outcome
}

/// A relay for trying things that is reached over UDP and TCP; at one port, unless any will do.
fn dev(port: u16, secret: Secret) -> Config {
    let mut config = Config::dev(port, secret);
    let tcp = Listener {
        transport: ListenTransport::Tcp,
        ..config.listeners[0].clone()
    };
    config.listeners.push(tcp);
    config
}

fn load(path: &Path) -> Result<Config, Failure> {
    let Loaded { config, report } =
        config::load(path, std::env::vars_os(), Clock::start().now().unix)
            .map_err(Failure::usage)?;
    if !report.problems.is_empty() {
        // Warnings about the configuration come before there is a log; a closed standard error is no reason to stop.
        let _ = writeln!(io::stderr(), "{report}");
    }
    Ok(config)
}

/// Prints what the browsers of two parties need to hold a call through a relay for trying things.
fn welcome(
    config: &Config,
    relay: &Server,
    secret: &Secret,
    out: &mut impl Write,
) -> io::Result<()> {
    let expires = UnixTime::from_secs(relay.now().unix.as_secs() + DEV_TTL);
    let listeners = config.listeners.iter().zip(relay.listeners());
    let urls: Vec<String> = listeners
        .map(|(listener, addr)| {
            let transport = if listener.transport.is_stream() {
                "tcp"
            } else {
                "udp"
            };
            format!("turn:{addr}?transport={transport}")
        })
        .collect();
    writeln!(
        out,
        "A relay on loopback for one call. Give each party its own RTCPeerConnection configuration:"
    )?;
    for party in ["a", "b"] {
        let claims = Claims {
            call: Some("dev"),
            party: Some(party),
            ..Claims::default()
        };
        let id = claims.to_id().map_err(io::Error::other)?;
        let credential = auth::mint(secret, expires, Some(&id)).map_err(io::Error::other)?;
        let configuration = json!({
            "iceServers": [{
                "urls": urls,
                "username": credential.username,
                "credential": credential.password.as_str(),
            }],
            "iceTransportPolicy": "relay",
        });
        writeln!(out, "{party}: {configuration}")?;
    }
    out.flush()
}
