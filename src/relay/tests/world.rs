//! A daemon in virtual time: relays that share their state, an imaginary host, and clocks that move when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::client::Client;
use crate::auth::{AuthOptions, Authenticator, Claims, Credential, PeerScope, Secret};
use crate::masked::Masked;
use crate::relay::{
    ConnectFailed, ConnectionToken, Counters, DropReason, EndReason, Event, FiveTuple, HEADROOM,
    Host, IcmpError, Lifetimes, Limits, Link, MIN_BUFFER, OnExpiry, OpenError, Options, Packet,
    PeerOptions, Relay, RelayAddress, RelayToken, Shared, SocketId, Transport, Verdict,
};
use crate::time::{Now, Tick, UnixTime};
use crate::wire::Family;

/// The wall clock, in seconds, when a world begins.
pub(super) const EPOCH: u64 = 1_800_000_000;

/// The realm of every world.
pub(super) const REALM: &str = "relay.example.org";

/// The listener's address.
pub(super) const SERVER: &str = "192.88.1.1";

/// Where IPv4 relay sockets are bound, behind a one-to-one NAT.
pub(super) const RELAY4_BIND: &str = "10.0.0.5";

/// Where the world sees them.
pub(super) const RELAY4: &str = "192.88.1.5";

/// Where IPv6 relay sockets are bound.
pub(super) const RELAY6: &str = "2600:1::5";

/// The options of a world that is not asked for anything else: `public` scope, small limits.
pub(super) fn options() -> Options {
    Options {
        ipv4: Some(RelayAddress {
            bind: ip(RELAY4_BIND),
            advertise: ip(RELAY4),
        }),
        ipv6: Some(RelayAddress {
            bind: ip(RELAY6),
            advertise: ip(RELAY6),
        }),
        ports: 50_000..=50_099,
        hairpin: false,
        tcp: false,
        legacy_clients: false,
        lifetimes: Lifetimes {
            allocation_default: Duration::from_secs(600),
            allocation_max: Duration::from_secs(3600),
            permission: Duration::from_secs(300),
            channel: Duration::from_secs(600),
            reservation: Duration::from_secs(30),
            quarantine: Duration::from_secs(60),
            session_max: Duration::from_secs(86_400),
        },
        limits: Limits {
            allocations: 64,
            allocations_per_user: 8,
            permissions: 8,
            channels: 6,
            peer_connections: 4,
            peer_connections_total: 6,
            rate: None,
            challenges_per_second: 1_000,
            bindings_per_second: 1_000,
            connects_per_second: 1_000,
            icmp_per_second: 4,
        },
        peers: PeerOptions {
            scope: PeerScope::Public,
            fleet: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            deny_ports: Vec::new(),
            own_sockets: vec![addr("192.88.1.1:3478")],
            own_addresses: vec![ip(SERVER)],
        },
        on_expiry: OnExpiry::Keep,
        binding: true,
        software: None,
    }
}

/// What came of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An answer to the client that sent it.
    Reply(Vec<u8>),
    /// Data, or an ICMP error, for a client.
    ToClient {
        to: FiveTuple,
        bytes: Vec<u8>,
    },
    /// Data for a peer, between addresses as the relay sockets know them.
    ToPeer {
        from: SocketAddr,
        to: SocketAddr,
        data: Vec<u8>,
        dont_fragment: bool,
    },
    /// Nothing yet: the answer is told later.
    Later,
    /// An answer, after which the client's stream belongs to a peer connection.
    Splice {
        answer: Vec<u8>,
        connection: ConnectionToken,
    },
    /// The stream belongs to another worker.
    HandOver(usize),
    Dropped(DropReason),
}

impl Outcome {
    #[track_caller]
    pub(super) fn reply(self) -> Vec<u8> {
        let Self::Reply(bytes) = self else {
            panic!("no reply but {self:?}")
        };
        bytes
    }
}

/// One call of [`Host::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) local: SocketAddr,
    pub(super) token: RelayToken,
    pub(super) outcome: Result<(), OpenError>,
}

/// The imaginary host: a socket is an entry in a map.
#[derive(Debug, Default)]
pub(super) struct FakeHost {
    last: u32,
    pub(super) open: BTreeMap<u32, (SocketAddr, RelayToken)>,
    /// The sockets that listen for TCP connections.
    pub(super) listening: BTreeMap<u32, (SocketAddr, RelayToken)>,
    /// The TCP connections that were asked for and those that peers opened, by their two ends.
    pub(super) connections: BTreeMap<ConnectionToken, (SocketAddr, SocketAddr)>,
    /// Whether attempts to connect do not even start.
    pub(super) isolated: bool,
    /// What clients were told on their control connections, in order.
    pub(super) told: Vec<(FiveTuple, Vec<u8>)>,
    /// The attempts to open a socket, in order.
    pub(super) attempts: Vec<Attempt>,
    /// Local addresses that another program holds.
    pub(super) taken: Vec<SocketAddr>,
    /// Whether the machine has no descriptors left.
    pub(super) exhausted: bool,
    /// How the allocations that ended did, in order.
    pub(super) ended: Vec<EndReason>,
    /// The bytes that they relayed, in the same order.
    pub(super) bytes: Vec<u64>,
    /// The peers that policy refused, in order.
    pub(super) refused: Vec<IpAddr>,
}

impl Host for FakeHost {
    fn open(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        let opened = self.try_open(local, token);
        self.attempts.push(Attempt {
            local,
            token,
            outcome: opened.map(|_| ()),
        });
        opened
    }

    fn listen(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        if self.exhausted {
            return Err(OpenError::Unavailable);
        }
        let held = self
            .listening
            .values()
            .any(|(address, _)| *address == local);
        assert!(!held, "a TCP port is given out once at a time");
        if self.taken.contains(&local) {
            return Err(OpenError::PortTaken);
        }
        self.last += 1;
        self.listening.insert(self.last, (local, token));
        Ok(SocketId(self.last))
    }

    fn close(&mut self, socket: SocketId) {
        let closed = self.open.remove(&socket.0);
        let closed = closed.or_else(|| self.listening.remove(&socket.0));
        assert!(closed.is_some(), "a socket is closed once");
    }

    fn connect(
        &mut self,
        connection: ConnectionToken,
        from: SocketId,
        to: SocketAddr,
    ) -> Result<(), ConnectFailed> {
        if self.isolated {
            return Err(ConnectFailed);
        }
        let (local, _) = self.listening[&from.0];
        self.add_connection(connection, local, to);
        Ok(())
    }

    fn close_connection(&mut self, connection: ConnectionToken) {
        let closed = self.connections.remove(&connection);
        assert!(closed.is_some(), "a connection is closed once");
    }

    fn tell(&mut self, client: &FiveTuple, message: &[u8]) {
        self.told.push((*client, message.to_vec()));
    }

    fn report(&mut self, event: Event<'_>) {
        match event {
            Event::Ended { reason, bytes, .. } => {
                self.ended.push(reason);
                self.bytes.push(bytes);
            }
            Event::PeerRefused { peer, .. } => self.refused.push(peer.reveal()),
            Event::Allocated { .. } => (),
        }
    }
}

impl FakeHost {
    pub(super) fn add_connection(
        &mut self,
        connection: ConnectionToken,
        local: SocketAddr,
        peer: SocketAddr,
    ) {
        let ends = (local, peer);
        assert!(
            !self.connections.values().any(|found| *found == ends),
            "one connection between two addresses"
        );
        let known = self.connections.insert(connection, ends);
        assert_eq!(known, None, "a connection has a name of its own");
    }

    fn try_open(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        if self.exhausted {
            return Err(OpenError::Unavailable);
        }
        let held = self.open.values().any(|(address, _)| *address == local);
        assert!(!held, "a port is given out once at a time");
        if self.taken.contains(&local) {
            return Err(OpenError::PortTaken);
        }
        self.last += 1;
        self.open.insert(self.last, (local, token));
        Ok(SocketId(self.last))
    }
}

/// A daemon with one or more workers.
pub(super) struct World {
    pub(super) relays: Vec<Relay>,
    pub(super) hosts: Vec<FakeHost>,
    pub(super) shared: Arc<Shared>,
    pub(super) now: Now,
    secret: Secret,
    clients: u16,
}

impl World {
    /// One worker with the usual options.
    pub(super) fn new() -> Self {
        Self::with(options())
    }

    /// One worker.
    pub(super) fn with(options: Options) -> Self {
        Self::of(options, 1, 7)
    }

    /// Some workers, whose random choices follow from `seed`.
    pub(super) fn of(options: Options, workers: u8, seed: u8) -> Self {
        let auth = Arc::new(Authenticator::new(auth_options(), &[seed; 32]).unwrap());
        let shared = Arc::new(Shared::new(options, auth, [seed; 32]));
        Self {
            relays: (0..workers)
                .map(|n| Relay::new(Arc::clone(&shared), n.into(), [seed ^ n; 32]))
                .collect(),
            hosts: (0..workers).map(|_| FakeHost::default()).collect(),
            shared,
            now: Now {
                tick: Tick::from_millis(5_000),
                unix: UnixTime::from_secs(EPOCH),
            },
            secret: secret("test"),
            clients: 0,
        }
    }

    /// Replaces the way in which requests are authenticated, as a reload of the configuration does. Nonces stay valid
    /// in a world of the usual seed.
    pub(super) fn reload_auth(&mut self, options: AuthOptions) {
        let auth = Arc::new(Authenticator::new(options, &[7; 32]).unwrap());
        let interim = Arc::new(Shared::new(
            self.shared.options.clone(),
            Arc::clone(&auth),
            [7; 32],
        ));
        for relay in &mut self.relays {
            relay.shared = Arc::clone(&interim);
        }
        let mut shared = Arc::into_inner(std::mem::replace(&mut self.shared, interim))
            .expect("nobody else holds it");
        shared.auth = auth;
        self.shared = Arc::new(shared);
        for relay in &mut self.relays {
            relay.shared = Arc::clone(&self.shared);
        }
    }

    /// A credential for `id` that is valid for so many seconds more.
    pub(super) fn credential(&self, id: &str, secs: u64) -> Credential {
        let expires = UnixTime::from_secs(self.now.unix.as_secs() + secs);
        crate::auth::mint(&self.secret, expires, Some(id)).unwrap()
    }

    /// A new client in 24.0.0.0/24, on its own 5-tuple, with a credential for `id` that is valid for an hour.
    pub(super) fn client(&mut self, id: &str) -> Client {
        self.clients += 1;
        let address = addr(&format!(
            "24.0.0.{}:{}",
            self.clients % 200 + 1,
            20_000 + self.clients
        ));
        self.client_at(address, id)
    }

    /// As [`Self::client`], with a nonce already.
    pub(super) fn ready(&mut self, id: &str) -> Client {
        let mut client = self.client(id);
        client.learn_nonce(self);
        client
    }

    /// A client at an address of its own.
    pub(super) fn client_at(&self, address: SocketAddr, id: &str) -> Client {
        Client::new(five_tuple(address), &self.credential(id, 3600))
    }

    /// The ID of a credential for a party of a call.
    pub(super) fn party(call: &str, party: &str, peers: PeerScope) -> String {
        let claims = Claims {
            call: Some(call),
            party: Some(party),
            peers: Some(peers),
            ..Claims::default()
        };
        claims.to_id().unwrap()
    }

    /// The ID of a credential that may hold so many allocations.
    pub(super) fn bounded(call: &str, alloc: u32) -> String {
        let claims = Claims {
            call: Some(call),
            alloc: NonZeroU32::new(alloc),
            ..Claims::default()
        };
        claims.to_id().unwrap()
    }

    /// Gives a client's packet to the first worker.
    pub(super) fn send(&mut self, from: &FiveTuple, bytes: &[u8]) -> Outcome {
        self.send_to(0, from, bytes)
    }

    /// Gives a client's packet to a worker.
    pub(super) fn send_to(&mut self, worker: usize, from: &FiveTuple, bytes: &[u8]) -> Outcome {
        let mut buf = buffer(bytes);
        let mut packet = Packet::new(&mut buf, bytes.len());
        let verdict =
            self.relays[worker].on_client(self.now, from, &mut packet, &mut self.hosts[worker]);
        self.outcome(worker, verdict, &buf)
    }

    /// Gives a peer's datagram to the worker whose relay socket is bound to `local`; `None` where there is none.
    pub(super) fn arrive(
        &mut self,
        local: SocketAddr,
        from: SocketAddr,
        data: &[u8],
    ) -> Option<Outcome> {
        let (worker, token) = self.socket(local)?;
        Some(self.arrive_for(worker, token, from, data))
    }

    /// Gives a peer's datagram to a worker, for whoever the token belongs to.
    pub(super) fn arrive_for(
        &mut self,
        worker: usize,
        token: RelayToken,
        from: SocketAddr,
        data: &[u8],
    ) -> Outcome {
        let mut buf = buffer(data);
        let mut packet = Packet::new(&mut buf, data.len());
        let verdict = self.relays[worker].on_peer(self.now, token, from, &mut packet);
        self.outcome(worker, verdict, &buf)
    }

    /// Gives an ICMP error about a datagram to `peer` to the relay socket bound to `local`.
    pub(super) fn icmp(
        &mut self,
        local: SocketAddr,
        peer: SocketAddr,
        error: (u8, u8, u32),
    ) -> Outcome {
        let (worker, token) = self.socket(local).expect("an open relay socket");
        self.icmp_on(worker, token, peer, error)
    }

    /// Gives a worker an ICMP error for the relay socket that was opened with `token`.
    pub(super) fn icmp_on(
        &mut self,
        worker: usize,
        token: RelayToken,
        peer: SocketAddr,
        (kind, code, mtu): (u8, u8, u32),
    ) -> Outcome {
        let mut buf = buffer(&[]);
        let error = IcmpError {
            peer: Masked::new(peer),
            kind,
            code,
            mtu,
        };
        let verdict = self.relays[worker].on_icmp(self.now, token, error, &mut buf);
        self.outcome(worker, verdict, &buf)
    }

    /// Lets time pass, second by second, with the timers served as the shell would.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now.tick.after(span);
        while self.now.tick < end {
            let due = self
                .relays
                .iter()
                .filter_map(Relay::poll_timeout)
                .min()
                .unwrap_or(end);
            self.jump(due.clamp(self.now.tick, end));
            self.serve_timers();
            if due > end {
                break;
            }
        }
        self.jump(end);
        self.assert_invariants();
    }

    /// Lets time pass while the shell does not come round to its timers.
    pub(super) fn skip(&mut self, span: Duration) {
        self.jump(self.now.tick.after(span));
    }

    /// Ends what has expired, as the shell would.
    pub(super) fn serve_timers(&mut self) {
        for (relay, host) in self.relays.iter_mut().zip(&mut self.hosts) {
            relay.handle_timeout(self.now, host);
        }
    }

    /// Sweeps all state.
    #[track_caller]
    pub(super) fn assert_invariants(&self) {
        self.shared.assert_invariants(&self.relays);
        for (relay, host) in self.relays.iter().zip(&self.hosts) {
            let known: BTreeSet<_> = relay.connections().collect();
            let open: BTreeSet<_> = host.connections.keys().copied().collect();
            assert_eq!(known, open, "the core knows the connections that are open");
        }
    }

    /// As [`Self::pass`], in whole seconds.
    pub(super) fn pass_secs(&mut self, secs: u64) {
        self.pass(Duration::from_secs(secs));
    }

    /// Datagrams that left their sender, and the bytes in them, over all workers.
    pub(super) fn sent(&self) -> (u64, u64) {
        let traffic = |relay: &Relay| {
            let counters = relay.counters();
            let sent = &counters.to_peers;
            (sent.packets.value(), sent.bytes.value())
        };
        let all = self.relays.iter().map(traffic);
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    pub(super) fn counters(&self, worker: usize) -> Arc<Counters> {
        self.relays[worker].counters()
    }

    /// How many relay sockets are open, over all workers.
    pub(super) fn sockets(&self) -> usize {
        let open = |host: &FakeHost| host.open.len() + host.listening.len();
        self.hosts.iter().map(open).sum()
    }

    /// How many ports of a family are taken.
    pub(super) fn ports(&self, family: Family) -> usize {
        self.shared
            .ports_in_use(family)
            .map_or(0, |(taken, _)| taken)
    }

    /// Everything that a refused request must leave as it was.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut allocations = Vec::new();
        for relay in &self.relays {
            for id in relay.table.ids() {
                let allocation = relay.table.get(id).unwrap();
                let grants = &*allocation.grants;
                let relayed: Vec<_> = grants.relayed.iter().collect();
                allocations.push(format!(
                    "{relayed:?} {:?} {:?} {:?} {:?}",
                    grants.permissions, grants.channels, grants.numbers, allocation.connections
                ));
            }
        }
        Snapshot {
            allocations,
            sockets: self.sockets(),
            quotas: (self.shared.quotas.total(), self.shared.quotas.users()),
            ports: [Family::V4, Family::V6].map(|family| self.ports(family)),
            timeouts: self.relays.iter().map(Relay::poll_timeout).collect(),
        }
    }

    pub(super) fn socket(&self, local: SocketAddr) -> Option<(usize, RelayToken)> {
        self.hosts.iter().enumerate().find_map(|(worker, host)| {
            host.open
                .values()
                .find(|(address, _)| *address == local)
                .map(|(_, token)| (worker, *token))
        })
    }

    fn outcome(&self, worker: usize, verdict: Verdict, buf: &[u8]) -> Outcome {
        self.assert_invariants();
        match verdict {
            Verdict::Reply(span) => Outcome::Reply(buf[span.range()].to_vec()),
            Verdict::ToClient { to, span } => Outcome::ToClient {
                to,
                bytes: buf[span.range()].to_vec(),
            },
            Verdict::ToPeer {
                from,
                to,
                span,
                dont_fragment,
            } => {
                let (from, _) = self.hosts[worker].open[&from.0];
                Outcome::ToPeer {
                    from,
                    to: to.reveal(),
                    data: buf[span.range()].to_vec(),
                    dont_fragment,
                }
            }
            Verdict::Later => Outcome::Later,
            Verdict::Splice { answer, connection } => Outcome::Splice {
                answer: buf[answer.range()].to_vec(),
                connection,
            },
            Verdict::HandOver { worker } => Outcome::HandOver(worker),
            Verdict::Drop(reason) => Outcome::Dropped(reason),
        }
    }

    fn jump(&mut self, to: Tick) {
        let before = self.now.tick.as_secs();
        self.now.tick = to;
        self.now.unix = UnixTime::from_secs(self.now.unix.as_secs() + to.as_secs() - before);
    }
}

/// A world of so many ports from 50,000 on, which do not rest.
pub(super) fn small(ports: u16) -> World {
    let mut options = options();
    options.ports = 50_000..=49_999 + ports;
    options.lifetimes.quarantine = Duration::ZERO;
    World::with(options)
}

/// What a world holds, to be compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Relayed addresses, permissions and channels of each, with their expiries.
    allocations: Vec<String>,
    sockets: usize,
    /// Allocations counted, and users that have any.
    quotas: (usize, usize),
    ports: [usize; 2],
    timeouts: Vec<Option<Tick>>,
}

/// How requests are authenticated in a world that is not asked for anything else.
pub(super) fn auth_options() -> AuthOptions {
    AuthOptions {
        realm: REALM.to_owned(),
        secrets: vec![secret("test")],
        users: Vec::new(),
        nonce_lifetime: Duration::from_secs(600),
        max_ttl: Duration::from_secs(86_400),
        leeway: Duration::ZERO,
        require_id: false,
        separator: ':',
        offer_md5: true,
    }
}

/// The secret of that id.
pub(super) fn secret(id: &str) -> Secret {
    let value = format!("an-example-secret-of-some-length-{id}");
    Secret::new(id, Zeroizing::new(value.into_bytes())).unwrap()
}

/// A UDP 5-tuple to the first listener.
pub(super) fn five_tuple(client: SocketAddr) -> FiveTuple {
    FiveTuple {
        client: Masked::new(client),
        server: ip(SERVER),
        link: Link {
            id: 0,
            transport: Transport::Udp,
        },
    }
}

/// The local form of a relayed address, to which its socket is bound.
pub(super) fn local(relayed: SocketAddr) -> SocketAddr {
    if relayed.ip() == ip(RELAY4) {
        SocketAddr::new(ip(RELAY4_BIND), relayed.port())
    } else {
        relayed
    }
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A buffer whose free parts are not zero, so that a padding byte that nobody wrote shows.
pub(super) fn buffer(bytes: &[u8]) -> Vec<u8> {
    let mut buf = vec![0xA5; MIN_BUFFER + bytes.len()];
    buf[HEADROOM..HEADROOM + bytes.len()].copy_from_slice(bytes);
    buf
}
