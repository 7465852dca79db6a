//! `veilturn mint`: makes time-limited credentials by hand, for trying things out and for backends that call a command.
//!
//! A backend in any language mints the same with one HMAC; nothing here talks to a relay.

use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueEnum};
use serde::Serialize;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::auth::{
    self, BitRate, ClaimError, Claims, CredentialError, PeerScope, Secret, SecretError,
};
use crate::time::UnixTime;

/// The largest secret file that is read, in bytes.
const MAX_SECRET_FILE: usize = 4096;

/// Makes a time-limited credential.
///
/// Without claims the credential is `EXPIRY:ID`. With any of --call, --party, --peers, --rate, --alloc and --kid the ID
/// is the list of those claims, and the relay holds the session to them.
#[derive(Args, Clone, Debug)]
pub(super) struct MintArgs {
    /// File that holds the secret, as the relay has it; `-` reads standard input
    #[arg(long, value_name = "FILE", env = "VEILTURN_SECRET_FILE")]
    secret_file: PathBuf,
    /// Whom the credential is for, in your own terms [default: random]
    #[arg(long, conflicts_with_all = ["call", "party", "peers", "rate", "alloc", "kid"])]
    id: Option<String>,
    /// The call that the session belongs to [default: random, where there are other claims]
    #[arg(long)]
    call: Option<String>,
    /// Which party of the call the session is
    #[arg(long)]
    party: Option<String>,
    /// Which peers it may reach: call, fleet or public
    #[arg(long, value_name = "SCOPE")]
    peers: Option<PeerScope>,
    /// The rate that it may use, e.g. 4mbit
    #[arg(long)]
    rate: Option<BitRate>,
    /// How many allocations it may hold
    #[arg(long, value_name = "COUNT")]
    alloc: Option<NonZeroU32>,
    /// The id of the secret, where the relay has several
    #[arg(long, value_name = "ID")]
    kid: Option<String>,
    /// How long the credential is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Where the relay is, e.g. turn:relay.example.org:3478?transport=udp; may be repeated
    #[arg(long, value_name = "URL")]
    url: Vec<TurnUrl>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    format: Format,
}

/// How a credential is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Two lines: the username, the password
    Plain,
    /// An object with username, password, ttl in seconds and, where URLs are given, uris
    Json,
    /// The configuration of an RTCPeerConnection; expiresAt is in seconds since 1970
    IceServers,
}

/// Why nothing was minted.
#[derive(Debug, Error)]
pub(super) enum MintError {
    /// The secret cannot be read.
    #[error("cannot read the secret from {path}")]
    ReadSecret {
        /// The file, or `-`.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file is no secret: it is too long.
    #[error("{0} is longer than {MAX_SECRET_FILE} bytes: is it the right file?")]
    SecretTooLong(PathBuf),
    /// The secret cannot be used.
    #[error("the secret cannot be used")]
    Secret(#[from] SecretError),
    /// A claim cannot be written.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The relay would not accept the credential.
    #[error("the relay would not accept this credential")]
    Credential(#[from] CredentialError),
    /// The lifetime is not a usable number of seconds.
    #[error("--ttl must be at least one second, and end before the clock does")]
    Ttl,
    /// ICE servers without an address.
    #[error("--format ice-servers needs at least one --url")]
    NoUrl,
    /// The output is closed.
    #[error("cannot write the credential")]
    Write(#[source] io::Error),
}

impl MintError {
    /// Whether the arguments are at fault, rather than the machine.
    #[must_use]
    pub(super) const fn is_usage(&self) -> bool {
        !matches!(self, Self::ReadSecret { .. } | Self::Write(_))
    }
}

/// Mints what `args` ask for, valid from `now`, and writes it to `out`. `random` becomes the ID where none is given.
///
/// # Errors
///
/// [`MintError`]; nothing is written then, or not all of it.
pub(super) fn run(
    args: &MintArgs,
    now: UnixTime,
    random: [u8; 16],
    stdin: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<(), MintError> {
    if args.format == Format::IceServers && args.url.is_empty() {
        return Err(MintError::NoUrl);
    }
    let ttl = args.ttl.as_secs();
    let expires = now
        .as_secs()
        .checked_add(ttl)
        .filter(|_| ttl > 0)
        .ok_or(MintError::Ttl)?;
    let id = id(args, &URL_SAFE_NO_PAD.encode(random))?;
    let secret = read_secret(args, stdin)?;
    let credential = auth::mint(&secret, UnixTime::from_secs(expires), Some(&id))?;
    let (username, password) = (&*credential.username, &**credential.password);
    match args.format {
        Format::Plain => writeln!(out, "{username}\n{password}").map_err(MintError::Write),
        Format::Json => print(
            &RestResponse {
                username,
                password,
                ttl,
                uris: &args.url,
            },
            out,
        ),
        Format::IceServers => print(
            &IceConfiguration {
                ice_servers: [IceServer {
                    urls: &args.url,
                    username,
                    credential: password,
                }],
                ice_transport_policy: "relay",
                expires_at: expires,
            },
            out,
        ),
    }
}

/// The URL of a TURN server (RFC 7065): `turn:` or `turns:`, a host, and maybe a port and a transport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct TurnUrl(String);

/// The text is not the URL of a TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "expected turn:HOST or turns:HOST, then maybe :PORT, then maybe ?transport=udp or ?transport=tcp"
)]
pub(super) struct TurnUrlError;

impl FromStr for TurnUrl {
    type Err = TurnUrlError;

    fn from_str(text: &str) -> Result<Self, TurnUrlError> {
        let rest = text
            .strip_prefix("turn:")
            .or_else(|| text.strip_prefix("turns:"));
        let rest = rest.ok_or(TurnUrlError)?;
        let authority = match rest.split_once('?') {
            None => rest,
            Some((authority, "transport=udp" | "transport=tcp")) => authority,
            Some(_) => return Err(TurnUrlError),
        };
        if is_authority(authority) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TurnUrlError)
        }
    }
}

fn is_authority(text: &str) -> bool {
    let (is_host, port) =
        if let Some((ip, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            (ip.parse::<std::net::Ipv6Addr>().is_ok(), rest)
        } else {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
            (!host.is_empty() && host.bytes().all(is_name), port)
        };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port > 0)
        });
    is_host && is_port
}

/// The answer of a service that mints credentials (draft-uberti-behave-turn-rest-00 section 2.2).
#[derive(Serialize)]
struct RestResponse<'a> {
    username: &'a str,
    password: &'a str,
    ttl: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    uris: &'a [TurnUrl],
}

/// An `RTCConfiguration` that sends media through the relay alone, and until when it works.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IceConfiguration<'a> {
    ice_servers: [IceServer<'a>; 1],
    ice_transport_policy: &'static str,
    expires_at: u64,
}

#[derive(Serialize)]
struct IceServer<'a> {
    urls: &'a [TurnUrl],
    username: &'a str,
    credential: &'a str,
}

/// The ID: as given, the claims, or `random`.
fn id(args: &MintArgs, random: &str) -> Result<String, ClaimError> {
    if let Some(id) = &args.id {
        return Ok(id.clone());
    }
    let claims = Claims {
        call: args.call.as_deref(),
        party: args.party.as_deref(),
        peers: args.peers,
        rate: args.rate,
        alloc: args.alloc,
        kid: args.kid.as_deref(),
    };
    if claims == Claims::default() {
        return Ok(random.to_owned());
    }
    // Without a call, credentials with equal claims would count as one identity.
    Claims {
        call: claims.call.or(Some(random)),
        ..claims
    }
    .to_id()
}

fn read_secret(args: &MintArgs, stdin: &mut dyn Read) -> Result<Secret, MintError> {
    let path = &args.secret_file;
    // Large enough from the start: growing would leave copies of the secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_SECRET_FILE + 64));
    let limit = MAX_SECRET_FILE as u64 + 1;
    let read = if path == Path::new("-") {
        stdin.take(limit).read_to_end(&mut content)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut content))
    };
    read.map_err(|source| MintError::ReadSecret {
        path: path.clone(),
        source,
    })?;
    if content.len() > MAX_SECRET_FILE {
        return Err(MintError::SecretTooLong(path.clone()));
    }
    Ok(Secret::from_file_content(
        args.kid.as_deref().unwrap_or("secret"),
        content,
    )?)
}

fn print(value: &impl Serialize, out: &mut dyn Write) -> Result<(), MintError> {
    serde_json::to_writer_pretty(&mut *out, value)
        .map_err(|error| MintError::Write(error.into()))?;
    writeln!(out).map_err(MintError::Write)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        mint: MintArgs,
    }

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000 - 3600);
    const RANDOM: [u8; 16] = [0xA5; 16];
    const RANDOM_TEXT: &str = "paWlpaWlpaWlpaWlpaWlpQ";

    fn args(line: &str) -> Result<MintArgs, clap::Error> {
        let words = ["mint", "--secret-file", "-"]
            .into_iter()
            .chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.mint)
    }

    fn mint(line: &str) -> Result<String, MintError> {
        let mut out = Vec::new();
        let args = args(line).expect("arguments");
        run(&args, NOW, RANDOM, &mut &b"north\n"[..], &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    fn username(line: &str) -> String {
        mint(line).unwrap().lines().next().unwrap().to_owned()
    }

    #[test]
    fn plain_prints_username_and_password() {
        assert_eq!(
            mint("--id alice").unwrap(),
            "1700000000:alice\nCd/49soE35ICqcJF/bCTn8Z4OyE=\n"
        );
    }

    #[test]
    fn json_prints_the_answer_of_a_minting_service() {
        let printed: serde_json::Value =
            serde_json::from_str(&mint("--id alice --format json").unwrap()).unwrap();
        let expected = json!({"username": "1700000000:alice", "password": "Cd/49soE35ICqcJF/bCTn8Z4OyE=", "ttl": 3600});
        assert_eq!(printed, expected);
    }

    #[test]
    fn json_names_the_urls_where_there_are_any() {
        let printed = mint("--id alice --format json --url turn:relay.example.org").unwrap();
        let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed["uris"], json!(["turn:relay.example.org"]));
    }

    #[test]
    fn ice_servers_prints_a_configuration_that_uses_the_relay_alone() {
        let line = "--id alice --format ice-servers --url turn:relay.example.org:3478?transport=udp --url turns:[2001:db8::1]";
        let printed: serde_json::Value = serde_json::from_str(&mint(line).unwrap()).unwrap();
        let expected = json!({
            "iceServers": [{
                "urls": ["turn:relay.example.org:3478?transport=udp", "turns:[2001:db8::1]"],
                "username": "1700000000:alice",
                "credential": "Cd/49soE35ICqcJF/bCTn8Z4OyE=",
            }],
            "iceTransportPolicy": "relay",
            "expiresAt": 1_700_000_000,
        });
        assert_eq!(printed, expected);
    }

    #[test]
    fn ice_servers_without_a_url_are_refused() {
        assert!(matches!(
            mint("--format ice-servers"),
            Err(MintError::NoUrl)
        ));
    }

    #[test]
    fn an_id_is_drawn_where_none_is_given() {
        assert_eq!(username(""), format!("1700000000:{RANDOM_TEXT}"));
    }

    #[test]
    fn claims_become_the_id() {
        let line = "--call 9f2c --party a --peers call --rate 4000kbit --alloc 4 --kid 2026-11";
        let expected = "1700000000:v1;call=9f2c;party=a;peers=call;rate=4mbit;alloc=4;kid=2026-11";
        assert_eq!(username(line), expected);
    }

    #[test]
    fn a_call_is_drawn_where_there_are_only_other_claims() {
        assert_eq!(
            username("--peers call"),
            format!("1700000000:v1;call={RANDOM_TEXT};peers=call")
        );
    }

    #[test]
    fn the_lifetime_is_counted_from_now() {
        assert_eq!(username("--id a --ttl 10m"), "1699997000:a");
        assert!(matches!(mint("--ttl 0s"), Err(MintError::Ttl)));
        assert!(matches!(mint("--ttl 500ms"), Err(MintError::Ttl)));
    }

    #[test]
    fn what_the_relay_would_refuse_is_not_minted() {
        assert!(matches!(mint("--call a=b"), Err(MintError::Claim(_))));
        assert!(matches!(
            mint("--id v1;call="),
            Err(MintError::Credential(_))
        ));
        assert!(matches!(mint("--kid a;b"), Err(MintError::Claim(_))));
    }

    #[test]
    fn an_id_and_claims_exclude_each_other() {
        assert!(args("--id alice --call x").is_err());
        assert!(args("--peers everyone").is_err());
        assert!(args("--rate fast").is_err());
        assert!(args("--alloc 0").is_err());
    }

    #[test]
    fn r10_the_secret_is_no_argument() {
        assert!(args("--secret north").is_err());
        let printed = format!("{:?}", args("--id alice").unwrap());
        assert!(!printed.contains("north"));
    }

    #[test]
    fn a_secret_file_is_read_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "north\r\n").unwrap();
        let mut args = args("--id alice").unwrap();
        args.secret_file = file.path().to_owned();
        let mut out = Vec::new();
        run(&args, NOW, RANDOM, &mut io::empty(), &mut out).unwrap();
        assert_eq!(out, b"1700000000:alice\nCd/49soE35ICqcJF/bCTn8Z4OyE=\n");
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused() {
        let run_with = |path: &Path, stdin: &[u8]| {
            let mut args = args("--id alice").unwrap();
            args.secret_file = path.to_owned();
            run(&args, NOW, RANDOM, &mut &*stdin, &mut Vec::new()).unwrap_err()
        };
        let stdin = Path::new("-");
        assert!(matches!(
            run_with(stdin, b"\n"),
            MintError::Secret(SecretError::Empty(_))
        ));
        assert!(matches!(
            run_with(stdin, &[b'x'; MAX_SECRET_FILE + 1]),
            MintError::SecretTooLong(_)
        ));
        let missing = run_with(Path::new("/nonexistent/secret"), b"");
        assert!(matches!(missing, MintError::ReadSecret { .. }));
        assert!(!missing.is_usage());
    }

    #[test]
    fn urls_of_turn_servers_are_told_from_others() {
        for good in [
            "turn:relay.example.org",
            "turns:relay.example.org:443?transport=tcp",
            "turn:192.0.2.1:3478",
            "turn:[2001:db8::1]:3478?transport=udp",
        ] {
            assert_eq!(good.parse(), Ok(TurnUrl(good.to_owned())));
        }
        for bad in [
            "",
            "turn:",
            "turn::3478",
            "stun:relay.example.org",
            "relay.example.org",
            "turn://relay.example.org",
            "turn:user@relay.example.org",
            "turn:relay.example.org/path",
            "turn:relay.example.org:0",
            "turn:relay.example.org:65536",
            "turn:relay.example.org:+1",
            "turn:relay.example.org:",
            "turn:[::1",
            "turn:[relay]",
            "turn:[::1]3478",
            "turn:relay.example.org?transport=sctp",
            "turn:a b",
            "turn:relay.example.org?transport=udp&transport=tcp",
            "turn:relay.example.org?",
        ] {
            assert_eq!(bad.parse::<TurnUrl>(), Err(TurnUrlError), "{bad}");
        }
    }
}
