//! The default of every key that has one. `config.example.toml` repeats them, and a test holds the two together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ListenTransport, LogAddresses, LogFormat, LogLevel, TlsVersion};
use crate::auth::{DEFAULT_SEPARATOR, PeerScope};
use crate::relay::{ByteRate, OnExpiry};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// `listen.transport`.
pub const TRANSPORT: ListenTransport = ListenTransport::Udp;

/// `streams.connections`: one for each of the default allocations.
pub const CONNECTIONS: usize = 16_384;

/// `streams.connections_per_prefix`: an office that blocks UDP has one address for everybody in it, and a browser opens
/// a few connections for a call; sixty-four such prefixes are needed to take all connections.
pub const CONNECTIONS_PER_PREFIX: usize = 256;

/// `streams.handshake_timeout`: several round trips of the slowest mobile networks, retransmissions included.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// `streams.idle_timeout`: a client that was challenged answers within a round trip.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// `streams.send_queue`, in bytes: half a second of 4 Mbit/s, the rate of good video.
pub const SEND_QUEUE: usize = 256 << 10;

/// `streams.send_queue_age`: what is later than this is of no use in a conversation.
pub const SEND_QUEUE_AGE: Duration = Duration::from_millis(500);

/// `streams.keepalive`: shorter than firewalls remember an idle connection, some minutes.
pub const KEEPALIVE: Duration = Duration::from_secs(MINUTE);

/// `tls.min_version`: older versions are broken (RFC 8996), and some clients outside browsers do not speak 1.3.
pub const MIN_TLS_VERSION: TlsVersion = TlsVersion::V1_2;

/// `relay.ports`: the dynamic ports, as RFC 8656 section 7.2 recommends.
pub const RELAY_PORTS: RangeInclusive<u16> = 49152..=65535;

/// `relay.hairpin`: half the system calls of a masked call, and nothing that a client can notice.
pub const HAIRPIN: bool = true;

/// `relay.tcp`: TCP relays are not offered. Browsers never ask for one, and to who does it opens services that speak TCP.
pub const TCP_RELAYS: bool = false;

/// `relay.legacy_clients`: clients of RFC 8656, browsers among them, need none of it.
pub const LEGACY_CLIENTS: bool = false;

/// `auth.nonce_lifetime`: how long a client may use a nonce before it is given a new one. RFC 8656 section 5 asks for
/// at most an hour; ten minutes is what clients know from other servers.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(10 * MINUTE);

/// `auth.max_ttl`: how far in the future a credential may expire. Twice the day that common backends mint for, so that
/// a clock that runs a little fast there does not lock everybody out.
pub const MAX_TTL: Duration = Duration::from_secs(48 * HOUR);

/// `auth.leeway`: an expiry means what it says; a clock that runs fast at the backend is covered by `max_ttl`.
pub const LEEWAY: Duration = Duration::ZERO;

/// `auth.separator`: what every backend uses.
pub const SEPARATOR: char = DEFAULT_SEPARATOR;

/// `auth.require_id`: common backends mint credentials of an expiry alone.
pub const REQUIRE_ID: bool = false;

/// `auth.offer_md5`: most clients know no other password algorithm.
pub const OFFER_MD5: bool = true;

/// `auth.on_expiry`: a call must not die because it outlives its short-lived credential.
pub const ON_EXPIRY: OnExpiry = OnExpiry::Keep;

/// `auth.max_session`: no allocation lives longer.
pub const MAX_SESSION: Duration = Duration::from_secs(24 * HOUR);

/// `lifetimes.allocation_default` (RFC 8656 section 7.2).
pub const ALLOCATION_DEFAULT: Duration = Duration::from_secs(10 * MINUTE);

/// `lifetimes.allocation_max` (RFC 8656 section 7.2).
pub const ALLOCATION_MAX: Duration = Duration::from_secs(HOUR);

/// `lifetimes.permission` (RFC 8656 section 9).
pub const PERMISSION: Duration = Duration::from_secs(5 * MINUTE);

/// `lifetimes.channel` (RFC 8656 section 12).
pub const CHANNEL: Duration = Duration::from_secs(10 * MINUTE);

/// `lifetimes.reservation` (RFC 8656 section 7.2).
pub const RESERVATION: Duration = Duration::from_secs(30);

/// `lifetimes.quarantine`: long enough that a peer's late packets do not reach the port's next owner.
pub const QUARANTINE: Duration = Duration::from_secs(MINUTE);

/// `limits.allocations`: one for each of the default relay ports.
pub const ALLOCATIONS: usize = 16_384;

/// `limits.allocations_per_user`: a party gathers one for each interface, family and transport, and may renegotiate.
pub const ALLOCATIONS_PER_USER: u32 = 12;

/// `limits.permissions` of one allocation: a peer offers a few candidates, a conference server some tens.
pub const PERMISSIONS: usize = 64;

/// `limits.channels` of one allocation: one for each permitted peer, at most.
pub const CHANNELS: usize = 64;

/// `limits.peer_connections` of one TCP allocation: those of one application.
pub const PEER_CONNECTIONS: usize = 32;

/// `limits.peer_connections_total` of the whole daemon: two descriptors each.
pub const PEER_CONNECTIONS_TOTAL: usize = 4096;

/// `limits.connects_per_second` of one identity: fifty at once, which is more than an allocation may have, and too few to
/// look for open ports.
pub const CONNECTS_PER_SECOND: u32 = 10;

/// `limits.rate` of one allocation: unlimited.
pub const RATE: Option<ByteRate> = None;

/// `limits.challenges_per_second` to one prefix: many clients may share an address, none needs more than one.
pub const CHALLENGES_PER_SECOND: u32 = 10;

/// `limits.bindings_per_second` to one prefix: many clients behind one address keep their NAT open with Binding requests.
pub const BINDINGS_PER_SECOND: u32 = 100;

/// `limits.icmp_per_second` to one client.
pub const ICMP_PER_SECOND: u32 = 10;

/// `peers.policy`: the widest scope in which no address outside the fleet can be reached, and the narrowest that
/// works with credentials without claims.
pub const PEER_POLICY: PeerScope = PeerScope::Fleet;

/// `peers.deny_ports`: services that answer more than they are asked (chargen, DNS, NTP, SNMP, CLDAP, SSDP, memcached)
/// and mail. No browser offers such a port as a candidate.
pub const DENY_PORTS: [RangeInclusive<u16>; 8] = [
    19..=19,
    25..=25,
    53..=53,
    123..=123,
    161..=161,
    389..=389,
    1900..=1900,
    11211..=11211,
];

/// `stun.binding`.
pub const BINDING: bool = true;

/// `stun.software`: empty, because a version number helps nobody but an attacker.
pub const SOFTWARE: &str = "";

/// `privacy.log_addresses`.
pub const LOG_ADDRESSES: LogAddresses = LogAddresses::Pseudonym;

/// `log.level`.
pub const LOG_LEVEL: LogLevel = LogLevel::Info;

/// `log.format`.
pub const LOG_FORMAT: LogFormat = LogFormat::Auto;

/// `metrics.listen`: the port that dashboards for relays expect, for this machine alone.
pub const METRICS: Option<SocketAddr> =
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9641));

/// `runtime.workers`: 0 stands for one per core.
pub const WORKERS: usize = 0;

/// `runtime.pin_cpus`.
pub const PIN_CPUS: bool = true;

/// `runtime.receive_buffer` of a listening socket, in bytes: some milliseconds of a gigabit.
pub const RECEIVE_BUFFER: usize = 4 << 20;

/// `runtime.send_buffer` of a listening socket, in bytes.
pub const SEND_BUFFER: usize = 4 << 20;

/// `runtime.drain_timeout`: how long the calls that live may go on once the daemon is asked to stop. Most calls are
/// over in that time; what is left then reconnects elsewhere.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5 * MINUTE);
