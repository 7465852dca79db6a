//! What the configuration decides for the core. Every bound has its default in `config::defaults`.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use crate::auth::PeerScope;

/// Everything that the state machine can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where relayed addresses come from, IPv4.
    pub ipv4: Option<RelayAddress>,
    /// Where relayed addresses come from, IPv6.
    pub ipv6: Option<RelayAddress>,
    /// The ports that relayed addresses are taken from, at random.
    pub ports: RangeInclusive<u16>,
    /// Whether what goes to a relayed address of this host is delivered without passing through the kernel.
    pub hairpin: bool,
    /// Whether TCP relays are offered (RFC 6062), to clients that come by a stream.
    pub tcp: bool,
    /// Whether clients of older specifications are served: channel numbers 0x5000 to 0x7FFF, which RFC 5766 gave out and
    /// RFC 8656 section 12 reserves, and the number that ADDITIONAL-ADDRESS-FAMILY had in drafts.
    pub legacy_clients: bool,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// How many of each thing there may be.
    pub limits: Limits,
    /// Which peers a client may exchange data with.
    pub peers: PeerOptions,
    /// What happens to an allocation whose credential expires.
    pub on_expiry: OnExpiry,
    /// Whether Binding requests are answered (RFC 8489 section 12); a masking profile may turn them off.
    pub binding: bool,
    /// The SOFTWARE attribute of responses to authenticated requests (RFC 8489 section 14.14).
    pub software: Option<String>,
}

/// One address that relay sockets are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAddress {
    /// The local address.
    pub bind: IpAddr,
    /// The address as the world sees it: differs from `bind` behind a one-to-one NAT.
    pub advertise: IpAddr,
}

/// How long things live.
#[derive(Clone, Debug)]
pub struct Lifetimes {
    /// An allocation's shortest lifetime and the one granted by default (RFC 8656 section 7.2).
    pub allocation_default: Duration,
    /// The longest lifetime that one request is granted.
    pub allocation_max: Duration,
    /// A permission (RFC 8656 section 9: 300 seconds).
    pub permission: Duration,
    /// A channel binding (RFC 8656 section 12: 600 seconds).
    pub channel: Duration,
    /// A reserved port waits this long for its token (RFC 8656 section 7.2: at least 30 seconds).
    pub reservation: Duration,
    /// A used port rests this long before it is given out again.
    pub quarantine: Duration,
    /// No allocation lives longer, however often it is refreshed.
    pub session_max: Duration,
}

/// How many of each thing there may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Allocations in the whole daemon; beyond, 508.
    pub allocations: usize,
    /// Allocations of one identity; beyond, 486. A credential's `alloc` claim may narrow it.
    pub allocations_per_user: u32,
    /// Peer addresses permitted in one allocation; beyond, 508.
    pub permissions: usize,
    /// Channels bound in one allocation; beyond, 508.
    pub channels: usize,
    /// Peer connections of one TCP allocation, attempts included; beyond, 508. Of those that peers open, no more a second.
    pub peer_connections: usize,
    /// Peer connections in the whole daemon; beyond, 508. Each costs two descriptors.
    pub peer_connections_total: usize,
    /// TCP connections to peers that one identity may ask for per second, five seconds' worth at once; beyond, 486.
    pub connects_per_second: u32,
    /// Application bytes per second of one allocation, each direction; beyond, data is dropped. A credential's `rate`
    /// claim may narrow it.
    pub rate: Option<ByteRate>,
    /// Challenges and errors sent per second to unauthenticated sources of one prefix (/32, /64).
    pub challenges_per_second: u32,
    /// Binding responses sent per second to sources of one prefix (/32, /64).
    pub bindings_per_second: u32,
    /// ICMP errors passed to one client per second.
    pub icmp_per_second: u32,
}

/// Bytes per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRate(pub NonZeroU64);

/// Which peers a client may exchange data with.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// The widest scope that a credential may have.
    pub scope: PeerScope,
    /// Prefixes of the other relays of the fleet, whose relayed addresses `fleet` admits.
    pub fleet: Vec<IpNet>,
    /// Prefixes that override the built-in deny list of special-purpose addresses. Multicast and broadcast cannot be
    /// opened, an own address only by naming it whole, loopback aside.
    pub allow: Vec<IpNet>,
    /// Prefixes that are refused; the longest matching prefix of `allow` and `deny` decides, `deny` wins a tie.
    pub deny: Vec<IpNet>,
    /// Peer ports that are refused in `public` scope, e.g. those of UDP amplifiers.
    pub deny_ports: Vec<RangeInclusive<u16>>,
    /// The daemon's own sockets (listeners, metrics): always refused, whatever `allow` says. An unspecified address
    /// stands for every address of this machine.
    pub own_sockets: Vec<std::net::SocketAddr>,
    /// The addresses of this machine's interfaces, their broadcast addresses, and those it is known by outside: refused
    /// but for live relayed addresses.
    pub own_addresses: Vec<IpAddr>,
}

/// What happens to an allocation when the credential that made it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpiry {
    /// The call goes on, bounded by `session_max`: a call must not die because it outlives its short-lived credential.
    Keep,
    /// A Refresh that would extend it is refused with 401; the allocation ends when its lifetime does.
    RefuseRefresh,
    /// The allocation ends at the moment the credential expires.
    Disconnect,
}
