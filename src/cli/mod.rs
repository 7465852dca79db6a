//! The verbs of the command line, one file a verb. Exit codes: 0 done, 1 failed at run time, 2 wrong usage or
//! configuration.

mod bench;
mod check;
mod demo;
mod mint;
mod serve;

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::auth::Secret;
use crate::server::{Clock, StartError};

/// The version, and what the build has beside the usual.
const VERSION: &str = if cfg!(feature = "dtls") {
    concat!(env!("CARGO_PKG_VERSION"), " (dtls)")
} else {
    env!("CARGO_PKG_VERSION")
};

/// A standalone TURN/STUN relay that masks IP addresses.
#[derive(Debug, Parser)]
#[command(
    name = "veilturn",
    version = VERSION,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the relay.
    Serve(serve::ServeArgs),
    /// Say what is wrong with a configuration, or what it would serve.
    Check(check::CheckArgs),
    /// Mint a time-limited credential.
    Mint(mint::MintArgs),
    /// Hold a masked call on this machine, and show what each party saw of the other.
    Demo(demo::DemoArgs),
    /// Put a load on a TURN server, and tell what it bears.
    Bench(Box<bench::BenchArgs>),
}

/// What clients reach a relay by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Transport {
    /// Datagrams
    Udp,
    /// A stream
    Tcp,
    /// A stream inside TLS
    Tls,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        })
    }
}

/// Why a verb failed; decides the exit code.
#[derive(Debug)]
enum Failure {
    /// What was asked for cannot be understood or is not allowed: exit code 2.
    Usage(Box<dyn Error>),
    /// It went wrong while it ran: exit code 1.
    Runtime(Box<dyn Error>),
    /// The verb has told already.
    Told(ExitCode),
}

impl Failure {
    fn usage(error: impl Error + 'static) -> Self {
        Self::Usage(Box::new(error))
    }

    fn runtime(error: impl Error + 'static) -> Self {
        Self::Runtime(Box::new(error))
    }
}

/// Parses the arguments, runs the verb and maps its outcome to an exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.verb {
        Verb::Serve(args) => serve::run(&args, &mut io::stdout()),
        Verb::Check(args) => check(&args),
        Verb::Mint(args) => mint(&args),
        Verb::Demo(args) => demo(args),
        Verb::Bench(args) => bench(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told(code)) => code,
        Err(Failure::Usage(error)) => tell(&*error, 2),
        Err(Failure::Runtime(error)) => tell(&*error, 1),
    }
}

fn check(args: &check::CheckArgs) -> Result<(), Failure> {
    let now = Clock::start().now().unix;
    match check::run(args, std::env::vars_os(), now, &mut io::stdout().lock()) {
        Ok(check::Outcome::Sound) => Ok(()),
        Ok(check::Outcome::Refused) => Err(Failure::Told(ExitCode::from(2))),
        Err(error) => Err(Failure::runtime(error)),
    }
}

fn mint(args: &mint::MintArgs) -> Result<(), Failure> {
    let mut random = [0; 16];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| Failure::runtime(StartError::Randomness))?;
    let now = Clock::start().now().unix;
    let outcome = mint::run(
        args,
        now,
        random,
        &mut io::stdin().lock(),
        &mut io::stdout().lock(),
    );
    outcome.map_err(|error| {
        if error.is_usage() {
            Failure::usage(error)
        } else {
            Failure::runtime(error)
        }
    })
}

fn demo(args: demo::DemoArgs) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let style = demo::Style::of(out.is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    match demo::run(args, &mut out, style) {
        Ok(demo::Outcome::Masked) => Ok(()),
        Ok(demo::Outcome::Broken) => Err(Failure::Told(ExitCode::from(1))),
        Err(error) => Err(Failure::runtime(error)),
    }
}

fn bench(args: &bench::BenchArgs) -> Result<(), Failure> {
    let now = Clock::start().now().unix;
    bench::run(args, now, &mut io::stdout().lock(), &mut io::stderr()).map_err(|error| {
        if error.is_usage() {
            Failure::usage(error)
        } else {
            Failure::runtime(error)
        }
    })
}

/// A secret that nobody else has, for a relay that lives as long as this process.
fn fresh_secret() -> Result<Secret, StartError> {
    let mut bytes = Zeroizing::new(vec![0; 32]);
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| StartError::Randomness)?;
    Ok(Secret::new("dev", bytes).expect("the id is well-formed and the secret is not empty"))
}

/// Writes an error and what caused it to standard error.
fn tell(error: &dyn Error, code: u8) -> ExitCode {
    let mut message = format!("veilturn: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    // Where standard error is closed, the exit code has to do.
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::from(code)
}
