//! A relay on the loopback interface and credentials for it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use veilturn::auth::{self, Claims, Credential, PeerScope, Secret};
use veilturn::config::Config;
use veilturn::ops::metrics::Vitals as _;
use veilturn::server::Server;
use veilturn::time::UnixTime;
use zeroize::Zeroizing;

/// Where the relay is. The parties are elsewhere, so that a party's address can be told from a relayed one.
pub(crate) const RELAY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Where the parties' sockets are, on any port.
pub(crate) const PARTIES: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), 0),
];

/// How long anything may take before a test gives up: far longer than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const SECRET: &str = "a secret of the tests alone, made of 44 bytes";

/// The configuration that `serve --dev` has.
pub(crate) fn config() -> Config {
    Config::dev(0, secret())
}

fn secret() -> Secret {
    Secret::new("dev", Zeroizing::new(SECRET.as_bytes().to_vec())).expect("a well-formed secret")
}

/// Starts a relay and says where it listens.
pub(crate) fn start(config: &Config) -> (Server, SocketAddr) {
    let server = Server::start(config).expect("a relay on loopback");
    let listener = server.listeners()[0];
    (server, listener)
}

/// The credential of a party to a call, who may reach the other parties of that call alone.
pub(crate) fn credential(server: &Server, call: &str, party: &str) -> Credential {
    let claims = Claims {
        call: Some(call),
        party: Some(party),
        peers: Some(PeerScope::Call),
        ..Claims::default()
    };
    let id = claims.to_id().expect("claims");
    let expires = UnixTime::from_secs(server.now().unix.as_secs() + 3600);
    auth::mint(&secret(), expires, Some(&id)).expect("a credential")
}

/// How often the relay has answered `method` with `code`.
pub(crate) fn answered(server: &Server, method: &str, code: &str) -> u64 {
    let responses = server.vitals().snapshot().responses;
    let matching = responses
        .iter()
        .filter(|r| (r.method, r.code) == (method, code));
    matching.map(|r| r.count).sum()
}
