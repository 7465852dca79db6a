//! `veilturn demo`: a masked call through a relay in this process, and what each party saw of the other.
//!
//! [`hold`] runs the call through any relay and gives [`Findings`]; `show` prints them. The relay is set up in `stage`.
//! One party is `party`, its way to the relay `link`, what they say to each other `talk`, and what they must not see
//! `watch`.

mod link;
mod party;
mod show;
mod stage;
mod talk;
mod watch;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use thiserror::Error;
use tokio::time::Instant;

use self::link::Road;
use self::party::Party;
pub(super) use self::show::Style;
use self::talk::Talk;
use super::Transport;
use crate::auth::{ClaimError, Claims, Credential, CredentialError, PeerScope, Secret, mint};
use crate::client::{RequestError, StartError, StreamError, Success};
use crate::server;
use crate::time::UnixTime;

/// How long the credentials are valid, in seconds; a call outlives them.
const TTL: u64 = 3600;

/// The arguments of `demo`.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct DemoArgs {
    /// How the parties reach the relay
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    transport: Transport,
    /// How many packets alice sends; bob answers each
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    packets: u32,
    /// How many packets alice sends per second
    #[arg(long, default_value_t = 500, value_name = "PPS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Bytes of application data in a packet
    #[arg(long, default_value_t = 160, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(16..=1200))]
    size: u16,
}

/// What the demo came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Outcome {
    /// Nothing was lost, and nobody saw what they must not see.
    Masked,
    /// Something was lost or seen.
    Broken,
}

/// Starts a relay on a free port of the loopback interface, holds a call through it and prints what came of it.
///
/// # Errors
///
/// [`DemoError`], where there was no call to tell of, or `out` does not take it.
pub(super) fn run(
    args: DemoArgs,
    out: &mut impl Write,
    style: Style,
) -> Result<Outcome, DemoError> {
    let secret = super::fresh_secret()?;
    let (server, road) = stage::relay(args.transport, secret.clone())?;
    let relay = *server
        .listeners()
        .first()
        .expect("this configuration has a listener");
    let cast = Cast::mint(&secret, server.now().unix)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DemoError::Runtime)?;
    let findings = runtime.block_on(hold((relay, &road), cast, args))?;
    server.stop().map_err(DemoError::Stop)?;
    show::print(&findings, out, style).map_err(DemoError::Print)?;
    Ok(findings.outcome())
}

/// Why there was no call.
#[derive(Debug, Error)]
pub(super) enum DemoError {
    /// There is no relay.
    #[error(transparent)]
    Start(#[from] server::StartError),
    /// There is nothing to run the parties on.
    #[error("cannot start the parties")]
    Runtime(#[source] io::Error),
    /// The relay has no certificate.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The certificate cannot be stored for the relay.
    #[error("cannot store a certificate among the temporary files")]
    Files(#[source] io::Error),
    /// The certificate cannot be trusted.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// A party has no way to the relay.
    #[error("cannot reach the relay from {ip}")]
    Link {
        /// The loopback address that it should be on.
        ip: IpAddr,
        /// Why.
        source: StreamError,
    },
    /// A message could not be sent or received.
    #[error("cannot reach the relay")]
    Relay(#[source] StreamError),
    /// The relay gave up.
    #[error("the relay has failed")]
    Stop(#[source] io::Error),
    /// A party could not ask for something.
    #[error("{who} cannot ask the relay")]
    Ask {
        /// The party.
        who: &'static str,
        /// Why.
        source: StartError,
    },
    /// The relay did not give a party what it needs for the call.
    #[error("{who} got nothing from the relay")]
    Refused {
        /// The party.
        who: &'static str,
        /// Why.
        source: RequestError,
    },
    /// The claims cannot be written.
    #[error(transparent)]
    Claims(#[from] ClaimError),
    /// No credential can be minted.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The findings cannot be printed.
    #[error("cannot print")]
    Print(#[source] io::Error),
}

/// The credentials of a demonstration.
struct Cast {
    /// Calls.
    alice: Credential,
    /// Is called.
    bob: Credential,
    /// Has a credential for another call, and tries to get into this one.
    mallory: Credential,
}

/// What came of a demonstration.
struct Findings {
    transport: Transport,
    relay: SocketAddr,
    alice: PartyFindings,
    bob: PartyFindings,
    /// Sorted.
    round_trips: Vec<Duration>,
    /// What the relay said to mallory's channel to bob.
    intrusion: Result<Success, RequestError>,
    /// Data that mallory heard.
    overheard: u32,
}

/// What came to one party.
struct PartyFindings {
    address: SocketAddr,
    relayed: SocketAddr,
    sent: u32,
    /// Packets of the other party, each counted once.
    heard: u32,
    /// Data that the other party did not send.
    foreign: u32,
    /// Bytes received in all.
    bytes: u64,
    /// Datagrams that held the other party's address.
    leaks: u32,
}

impl Cast {
    /// Mints credentials from `now` on: two for one call, one for another.
    ///
    /// # Errors
    ///
    /// [`DemoError::Claims`] or [`DemoError::Credential`].
    fn mint(secret: &Secret, now: UnixTime) -> Result<Self, DemoError> {
        let expires = UnixTime::from_secs(now.as_secs() + TTL);
        let credential = |call, party| -> Result<Credential, DemoError> {
            let claims = Claims {
                call: Some(call),
                party: Some(party),
                peers: Some(PeerScope::Call),
                ..Claims::default()
            };
            Ok(mint(secret, expires, Some(&claims.to_id()?))?)
        };
        Ok(Self {
            alice: credential("demo", "alice")?,
            bob: credential("demo", "bob")?,
            mallory: credential("another", "mallory")?,
        })
    }
}

/// Holds a call through `relay`, each party on a loopback address of its own.
///
/// # Errors
///
/// [`DemoError`], where there was no call to tell of.
async fn hold(
    (relay, road): (SocketAddr, &Road),
    cast: Cast,
    args: DemoArgs,
) -> Result<Findings, DemoError> {
    let start = Instant::now();
    let party = |name, host, credential| {
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
        Party::join((name, ip), (relay, road), credential, start)
    };
    let mut alice = party("alice", 2, cast.alice).await?;
    let mut bob = party("bob", 3, cast.bob).await?;
    let mut mallory = party("mallory", 4, cast.mallory).await?;
    alice.watch_for(bob.address());
    bob.watch_for(alice.address());
    let at_alice = alice.allocate().await?;
    let at_bob = bob.allocate().await?;
    mallory.allocate().await?;
    alice.call(at_bob).await?;
    bob.call(at_alice).await?;

    let intrusion = mallory.intrude(at_bob).await?;
    let talk = Talk::new(args);
    let mut round_trips = talk.hold(&mut alice, &mut bob, &mut mallory).await?;
    let overheard = mallory.overheard().await?;
    for party in [&mut alice, &mut bob, &mut mallory] {
        party.leave().await?;
    }
    round_trips.sort_unstable();
    Ok(Findings {
        transport: args.transport,
        relay,
        alice: alice.findings(at_alice),
        bob: bob.findings(at_bob),
        round_trips,
        intrusion,
        overheard,
    })
}

impl Findings {
    /// What they come to.
    fn outcome(&self) -> Outcome {
        let unharmed = |party: &PartyFindings| party.leaks == 0 && party.foreign == 0;
        if self.lost() == 0 && self.is_kept_out() && unharmed(&self.alice) && unharmed(&self.bob) {
            Outcome::Masked
        } else {
            Outcome::Broken
        }
    }

    /// Whether mallory was refused and heard nothing.
    fn is_kept_out(&self) -> bool {
        self.intrusion == Err(RequestError::Refused(403)) && self.overheard == 0
    }

    /// Packets of both parties that did not arrive.
    const fn lost(&self) -> u32 {
        let (alice, bob) = (&self.alice, &self.bob);
        alice.sent.saturating_sub(bob.heard) + bob.sent.saturating_sub(alice.heard)
    }

    const fn sent(&self) -> u32 {
        self.alice.sent + self.bob.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_over_udp_is_masked_and_says_so() {
        is_masked_and_says_so(Transport::Udp, "over UDP on loopback");
    }

    #[test]
    fn a_call_over_tcp_is_masked_and_says_so() {
        is_masked_and_says_so(Transport::Tcp, "over TCP on loopback");
    }

    #[test]
    fn a_call_over_tls_is_masked_and_says_so() {
        is_masked_and_says_so(Transport::Tls, "over TLS on loopback");
    }

    fn is_masked_and_says_so(transport: Transport, headline: &str) {
        let args = DemoArgs {
            transport,
            packets: 50,
            rate: 1_000,
            size: 100,
        };
        let mut out = Vec::new();

        let outcome = run(args, &mut out, Style::Plain).unwrap();

        let text = String::from_utf8(out).unwrap();
        assert_eq!(outcome, Outcome::Masked, "{text}");
        for line in [
            headline,
            "(50 packets); bob's 127.0.0.3 appeared nowhere in ",
            "(50 packets); alice's 127.0.0.2 appeared nowhere in ",
            "lost       0 of 100 packets",
            "round trip min ",
            "channel to bob refused with 403; packets to bob went nowhere",
        ] {
            assert!(text.contains(line), "{line:?} is missing:\n{text}");
        }
    }

    #[tokio::test]
    async fn the_watch_finds_an_address_that_the_relay_does_tell() {
        let secret = crate::cli::fresh_secret().unwrap();
        let (server, road) = stage::relay(Transport::Udp, secret.clone()).unwrap();
        let cast = Cast::mint(&secret, server.now().unix).unwrap();
        let (ip, relay) = (Ipv4Addr::LOCALHOST.into(), server.listeners()[0]);
        let joined = Party::join(("alice", ip), (relay, &road), cast.alice, Instant::now());
        let mut alice = joined.await.unwrap();
        alice.watch_for(alice.address());

        let relayed = alice.allocate().await.unwrap();

        assert!(
            alice.findings(relayed).leaks >= 1,
            "a relay tells a party its own address"
        );
    }
}
