//! The world of one case: the options of the daemon, and who there is.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use super::choices::Choices;
use crate::auth::PeerScope;
use crate::masked::Masked;
use crate::relay::tests::world::{addr, ip, options};
use crate::relay::{ByteRate, FiveTuple, Link, OnExpiry, Options, Transport};

/// How many clients there are.
pub(super) const PARTIES: usize = 8;

/// Addresses that no policy admits: private, special, denied, the daemon's own, and the relay's as it is bound.
pub(super) const FORBIDDEN: [&str; 8] = [
    "10.1.2.3:4000",
    "127.0.0.1:3478",
    "9.9.9.9:4000",
    "224.0.0.1:4000",
    "192.88.1.1:3478",
    "10.0.0.5:50000",
    "[::ffff:8.8.0.1]:4000",
    "[fe80::1]:4000",
];

/// The prefix of the fleet's other relays.
pub(super) const FLEET: &str = "50.0.0.0/8";

/// A port that is refused in public scope.
pub(super) const DENIED_PORT: u16 = 53;

/// How data gets from one relayed address of the daemon to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriage {
    /// Not at all: what leaves a relay socket is lost.
    Nothing,
    /// By the kernel's loopback.
    Wire,
    /// By the hairpin, and where that does not reach by the kernel's loopback.
    Hairpin,
}

/// What a case is played in.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) options: Options,
    pub(super) carriage: Carriage,
    pub(super) workers: u8,
    /// Decides the relays' random choices.
    pub(super) seed: u8,
    /// Seconds that the first credentials are valid.
    pub(super) ttl: u64,
}

impl Setup {
    pub(super) fn draw(choices: &mut impl Choices) -> Self {
        let mut options = options();
        match choices.below(8) {
            0 => options.ipv6 = None,
            1 => options.ipv4 = None,
            _ => {}
        }
        let first = 50_000 + choices.short(2);
        let ports = choices.one(&[5, 6, 8, 12, 12, 70]);
        options.ports = first..=first + ports - 1;
        options.on_expiry = choices.one(&[
            OnExpiry::Keep,
            OnExpiry::RefuseRefresh,
            OnExpiry::Disconnect,
        ]);
        let limits = &mut options.limits;
        limits.allocations = choices.one(&[2, 4, 8]);
        limits.allocations_per_user = choices.one(&[1, 2, 3]);
        limits.permissions = choices.one(&[1, 1, 2, 3, 8]);
        limits.channels = choices.one(&[1, 2, 3]);
        limits.icmp_per_second = choices.one(&[0, 1, 1, 2]);
        limits.rate = choices
            .one(&[None, NonZeroU64::new(700), NonZeroU64::new(1_500)])
            .map(ByteRate);
        let lifetimes = &mut options.lifetimes;
        lifetimes.allocation_max = Duration::from_secs(choices.one(&[600, 900, 3600]));
        lifetimes.session_max =
            Duration::from_millis(choices.one(&[700_500, 1_000_500, 86_400_000]));
        (lifetimes.permission, lifetimes.channel) = choices.one(&[
            (Duration::from_secs(300), Duration::from_secs(600)),
            (Duration::from_secs(500), Duration::from_secs(200)),
            (Duration::from_secs(1_000), Duration::from_secs(1_000)),
        ]);
        let peers = &mut options.peers;
        peers.scope = choices.one(&[
            PeerScope::Public,
            PeerScope::Public,
            PeerScope::Fleet,
            PeerScope::Call,
        ]);
        peers.fleet = vec![FLEET.parse().expect("a prefix")];
        peers.deny = vec!["9.9.9.0/24".parse().expect("a prefix")];
        peers.deny_ports = vec![DENIED_PORT..=DENIED_PORT];
        let setup = Self {
            options,
            carriage: Carriage::Nothing,
            workers: 1 + choices.byte(3),
            seed: choices.byte(u8::MAX),
            ttl: choices.one(&[600, 1_500, 3_600]),
        };
        setup.carried(choices.one(&[Carriage::Nothing, Carriage::Wire, Carriage::Hairpin]))
    }

    /// The same with another carriage.
    pub(super) fn carried(mut self, carriage: Carriage) -> Self {
        self.options.hairpin = carriage == Carriage::Hairpin;
        self.carriage = carriage;
        self
    }

    /// Whether there are ports enough for one identity to reach its bound of reservations.
    pub(super) fn has_room_for_a_storm(&self) -> bool {
        self.options.ports.len() > 2 * 16
    }
}

/// Who a client is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Party {
    pub(super) at: FiveTuple,
    pub(super) worker: usize,
    /// The ID of its credentials.
    pub(super) id: &'static str,
    pub(super) claims: Claimed,
}

/// What an ID claims, in plain words.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Claimed {
    pub(super) call: Option<&'static str>,
    pub(super) scope: Option<PeerScope>,
    pub(super) allocations: Option<u32>,
    /// Bytes per second.
    pub(super) rate: Option<u64>,
}

/// The clients: two parties of a call, the first of them once more behind another listener, a party of another call, a
/// stranger to all calls, two clients of an identity that may have one allocation, one of them on IPv6, and a slow one on
/// a stream.
pub(super) fn parties(workers: u8) -> [Party; PARTIES] {
    let call = |call| Claimed {
        call: Some(call),
        scope: Some(PeerScope::Call),
        ..Claimed::default()
    };
    let party = |index: u32, address: &str, id, claims| Party {
        at: FiveTuple {
            client: Masked::new(addr(address)),
            server: ip(super::super::world::SERVER),
            link: Link {
                id: index,
                transport: Transport::Udp,
            },
        },
        worker: index as usize % usize::from(workers),
        id,
        claims,
    };
    let single = Claimed {
        call: Some("7"),
        scope: Some(PeerScope::Public),
        allocations: Some(1),
        ..Claimed::default()
    };
    let slow = Claimed {
        call: Some("8"),
        scope: Some(PeerScope::Fleet),
        rate: Some(1000),
        ..Claimed::default()
    };
    let (a, b) = (
        "v1;call=7;party=a;peers=call",
        "v1;call=7;party=b;peers=call",
    );
    let mut parties = [
        party(0, "24.0.0.1:2001", a, call("7")),
        party(1, "24.0.0.2:2001", b, call("7")),
        party(2, "24.0.0.1:2001", a, call("7")),
        party(
            3,
            "24.0.0.3:2001",
            "v1;call=8;party=a;peers=call",
            call("8"),
        ),
        party(4, "24.0.0.4:2001", "dave", Claimed::default()),
        party(
            5,
            "[2600:2::9]:2001",
            "v1;call=7;peers=public;alloc=1",
            single,
        ),
        party(6, "24.0.0.6:2001", "v1;call=8;peers=fleet;rate=8kbit", slow),
        party(7, "24.0.0.7:2001", "v1;call=7;peers=public;alloc=1", single),
    ];
    parties[6].at.link.transport = Transport::Tcp;
    parties
}

/// The address of a host of the public internet.
pub(super) fn public(v6: bool, host: u8, port: u16) -> SocketAddr {
    if v6 {
        addr(&format!("[2607:f8b0::{host}]:{port}"))
    } else {
        addr(&format!("8.8.0.{host}:{port}"))
    }
}
