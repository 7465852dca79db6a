//! The client and the relay core against each other, in virtual time: each proves the other's half of the protocol.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use veilturn::auth::{
    AuthOptions, Authenticator, Claims, Credential, Login, PeerScope, Secret, StaticUser, mint,
};
use veilturn::client::{
    AllocateOptions, Client, ClientOptions, Completed, Dialect, Families, Port, Received,
    RequestError, RequestId, Success, wrap,
};
use veilturn::config::Config;
use veilturn::masked::Masked;
use veilturn::relay::{
    Event, FiveTuple, HEADROOM, Host, Link, MIN_BUFFER, OpenError, Options, Packet, Relay,
    RelayAddress, RelayToken, Shared, SocketId, Transport, Verdict,
};
use veilturn::time::{Now, Tick, UnixTime};
use veilturn::wire::{ChannelNumber, Family, Message, Method};
use zeroize::Zeroizing;

#[test]
fn a_client_gets_its_relayed_address_after_one_challenge() {
    for dialect in [Dialect::Rfc5389, Dialect::Rfc8489] {
        let mut net = Net::new();
        let alice = net.party("a", speaking(dialect));

        assert_eq!(net.allocate(alice), Ok(Success::Allocated), "{dialect:?}");

        assert_eq!(net.parties[alice].sent, 2);
        assert_eq!(net.relay.allocations(), 1);
        let allocation = net.client(alice).allocation().expect("an allocation");
        assert_eq!(allocation.relayed(Family::V4), net.open().first().copied());
        assert_eq!(allocation.relayed(Family::V6), None);
        assert_eq!(allocation.reflexive, Some(net.parties[alice].at.client));
        assert_eq!(
            allocation.expires.since(net.now.tick),
            Duration::from_secs(600)
        );
    }
}

#[test]
fn a_wrong_password_is_a_401_after_two_requests() {
    for dialect in [Dialect::Rfc5389, Dialect::Rfc8489] {
        let mut net = Net::new();
        let mut credential = net.credential("a");
        credential.password.push('x');
        let mallory = net.join(credential, speaking(dialect));

        let ended = net.allocate(mallory);

        assert_eq!(ended, Err(RequestError::Refused(401)));
        assert_eq!(net.parties[mallory].sent, 2);
        assert_eq!(net.relay.allocations(), 0);
    }
}

#[test]
fn lost_datagrams_are_sent_again_and_the_allocation_is_one() {
    // The request, the challenge, the second request, the answer: each lost once.
    for lost in 0..4 {
        let mut net = Net::new();
        let alice = net.party("a", ClientOptions::default());
        net.lose = vec![lost];

        assert_eq!(net.allocate(alice), Ok(Success::Allocated), "{lost}");

        assert_eq!(net.relay.allocations(), 1);
        assert_eq!(net.now.tick, START.after(Duration::from_millis(500)));
    }
}

#[test]
fn an_expired_nonce_is_replaced_without_a_word() {
    let mut net = Net::new();
    let alice = net.party("a", ClientOptions::default());
    net.allocate(alice).expect("an allocation");
    let hour = Duration::from_secs(3600);
    assert_eq!(net.refresh(alice, hour), Ok(Success::Refreshed(hour)));
    let before = net.parties[alice].sent;

    net.pass(NONCE_LIFETIME + Duration::from_secs(1));

    assert_eq!(net.refresh(alice, hour), Ok(Success::Refreshed(hour)));
    assert_eq!(net.parties[alice].sent - before, 2);
}

#[test]
fn data_flows_both_ways_on_channels() {
    let (mut net, [alice, bob]) = call(ClientOptions::default());
    let (to_bob, to_alice) = (net.bind(alice, bob), net.bind(bob, alice));

    net.send(alice, to_bob, b"hello");
    net.send(bob, to_alice, b"");

    let (at_alice, at_bob) = (net.relayed(alice), net.relayed(bob));
    assert_eq!(
        net.heard(bob),
        [(at_alice, Some(to_alice), b"hello".to_vec())]
    );
    assert_eq!(net.heard(alice), [(at_bob, Some(to_bob), Vec::new())]);
}

#[test]
fn data_flows_both_ways_in_indications() {
    let (mut net, [alice, bob]) = call(ClientOptions::default());
    assert_eq!(net.permit(alice, bob), Ok(Success::Permitted));
    assert_eq!(net.permit(bob, alice), Ok(Success::Permitted));

    net.indicate(alice, bob, b"hello");
    net.indicate(bob, alice, b"odd");

    let (at_alice, at_bob) = (net.relayed(alice), net.relayed(bob));
    assert_eq!(net.heard(bob), [(at_alice, None, b"hello".to_vec())]);
    assert_eq!(net.heard(alice), [(at_bob, None, b"odd".to_vec())]);
}

#[test]
fn without_upkeep_a_permission_lapses_and_asking_again_renews_it() {
    let (mut net, [alice, bob]) = call(ClientOptions::default());
    let (to_bob, _) = (net.bind(alice, bob), net.bind(bob, alice));
    net.pass(Duration::from_secs(301));

    net.send(alice, to_bob, b"late");
    assert_eq!(net.heard(bob), []);

    assert_eq!(net.bind(alice, bob), to_bob);
    net.bind(bob, alice);
    net.send(alice, to_bob, b"again");
    assert_eq!(net.heard(bob).len(), 1);
}

#[test]
fn with_upkeep_a_call_outlives_every_lifetime() {
    let options = ClientOptions {
        upkeep: true,
        ..ClientOptions::default()
    };
    let (mut net, [alice, bob]) = call(options);
    let (to_bob, _) = (net.bind(alice, bob), net.bind(bob, alice));
    net.permit(alice, bob).expect("a permission");

    net.pass(Duration::from_secs(2 * 3600));

    net.send(alice, to_bob, b"still here");
    net.indicate(bob, alice, b"so am I");
    assert_eq!(net.heard(bob).len(), 1);
    assert_eq!(net.heard(alice).len(), 1);
    assert_eq!(net.relay.allocations(), 2);
    let failed = |done: &Completed| done.result.is_err();
    assert!(
        !net.parties
            .iter()
            .any(|party| party.done.iter().any(failed))
    );
}

#[test]
fn a_party_of_another_call_is_refused_and_not_heard() {
    let (mut net, [alice, bob]) = call(ClientOptions::default());
    net.bind(alice, bob);
    let claims = Claims {
        call: Some("another"),
        ..Claims::default()
    };
    let credential = net.mint(&claims);
    let mallory = net.join(credential, ClientOptions::default());
    net.allocate(mallory).expect("an allocation");

    let at_alice = net.relayed(alice);
    let now = net.now.tick;
    let (request, channel) = net.client_mut(mallory).bind(now, at_alice).expect("begun");
    assert_eq!(net.ended(mallory, request), Err(RequestError::Refused(403)));
    net.send(mallory, channel, b"x");
    net.indicate(mallory, alice, b"x");

    assert_eq!(net.heard(alice), []);
}

#[test]
fn deleting_an_allocation_leaves_nothing_on_either_side() {
    let (mut net, [alice, bob]) = call(ClientOptions::default());
    let to_bob = net.bind(alice, bob);

    let zero = Duration::ZERO;
    assert_eq!(net.refresh(alice, zero), Ok(Success::Refreshed(zero)));

    assert_eq!(net.client(alice).allocation(), None);
    assert_eq!(net.relay.allocations(), 1);
    net.send(alice, to_bob, b"x");
    assert_eq!(net.heard(bob), []);
    assert_eq!(net.refresh(alice, zero), Err(RequestError::Refused(437)));
    net.parties[alice].at.client = Masked::new(client_address(40));
    assert_eq!(net.allocate(alice), Ok(Success::Allocated), "anew");
}

#[test]
fn one_request_gets_an_address_of_each_family() {
    let mut net = Net::new();
    let alice = net.party("a", ClientOptions::default());
    let both = AllocateOptions {
        families: Families::Both,
        ..AllocateOptions::default()
    };

    net.allocate_with(alice, both).expect("an allocation");

    let allocation = net.client(alice).allocation().expect("an allocation");
    let relayed = [Family::V4, Family::V6].map(|family| allocation.relayed(family));
    assert_eq!(relayed.map(|address| address.is_some()), [true, true]);
    assert_eq!(allocation.missing, None);
}

#[test]
fn a_family_that_is_not_served_is_told() {
    let mut options = options();
    options.ipv6 = None;
    let mut net = Net::with(options, auth(true));
    let alice = net.party("a", ClientOptions::default());
    let both = AllocateOptions {
        families: Families::Both,
        ..AllocateOptions::default()
    };
    let v6 = AllocateOptions {
        families: Families::One(Family::V6),
        ..both
    };

    assert_eq!(
        net.allocate_with(alice, v6),
        Err(RequestError::Refused(440))
    );
    net.allocate_with(alice, both).expect("an allocation");

    let allocation = net.client(alice).allocation().expect("an allocation");
    assert_eq!(allocation.missing, Some((Family::V6, 440)));
    assert!(allocation.relayed(Family::V4).is_some());
}

#[test]
fn a_reserved_port_is_claimed_with_its_token() {
    let mut net = Net::new();
    let [rtp, rtcp] = ["a", "a"].map(|party| net.party(party, ClientOptions::default()));
    let even = AllocateOptions {
        port: Port::EvenWithNext,
        lifetime: Some(Duration::from_secs(1200)),
        dont_fragment: true,
        ..AllocateOptions::default()
    };
    net.allocate_with(rtp, even).expect("an allocation");
    let allocation = net.client(rtp).allocation().expect("an allocation");
    let (token, expires) = (allocation.token.expect("a token"), allocation.expires);
    assert_eq!(expires.since(net.now.tick), Duration::from_secs(1200));

    let reserved = AllocateOptions {
        port: Port::Reserved(token),
        ..AllocateOptions::default()
    };
    net.allocate_with(rtcp, reserved).expect("an allocation");

    let [first, second] = [rtp, rtcp].map(|party| net.relayed(party).port());
    assert_eq!((first % 2, second), (0, first + 1));
}

#[test]
fn a_relay_without_md5_admits_the_newer_dialect_alone() {
    let mut net = Net::with(options(), auth(false));
    let old = net.party("a", ClientOptions::default());
    let new = net.party("b", speaking(Dialect::Rfc8489));

    assert_eq!(net.allocate(old), Err(RequestError::Refused(401)));
    assert_eq!(net.allocate(new), Ok(Success::Allocated));
}

#[test]
fn a_user_with_a_fixed_name_is_known_by_its_hash() {
    let mut auth = auth(true);
    auth.secrets.clear();
    auth.users.push(StaticUser {
        name: "user".to_owned(),
        login: Login::Password(Zeroizing::new("TheMatrIX".to_owned())),
    });
    let mut net = Net::with(options(), auth);
    let credential = Credential {
        username: "user".to_owned(),
        password: Zeroizing::new("TheMatrIX".to_owned()),
    };
    let user = net.join(credential, speaking(Dialect::Rfc8489));
    net.watch = true;

    assert_eq!(net.allocate(user), Ok(Success::Allocated));

    let request = net.seen.iter().rev().find_map(|bytes| {
        let message = Message::parse(bytes).ok()?;
        (message.method() == Method::ALLOCATE).then(|| bytes.clone())
    });
    let request = request.expect("an Allocate request");
    assert!(!request.windows(4).any(|bytes| bytes == b"user"));
}

#[test]
fn a_binding_request_tells_where_the_client_is() {
    let mut net = Net::new();
    let alice = net.party("a", ClientOptions::default());
    let now = net.now.tick;
    let request = net.client_mut(alice).binding(now).expect("begun");

    let ended = net.ended(alice, request);

    assert_eq!(ended, Ok(Success::Reflexive(net.parties[alice].at.client)));
}

/// Where every world begins.
const START: Tick = Tick::from_millis(5_000);

/// How long the relay's nonces live.
const NONCE_LIFETIME: Duration = Duration::from_secs(600);

/// Data as a party heard it: from whom, on which channel, what.
type Heard = (SocketAddr, Option<ChannelNumber>, Vec<u8>);

/// A relay, its clients and the network between them.
struct Net {
    relay: Relay,
    host: Sockets,
    now: Now,
    parties: Vec<Party>,
    /// The datagrams to lose, by their number.
    lose: Vec<u32>,
    carried: u32,
    /// Whether what clients send is kept in `seen`.
    watch: bool,
    seen: Vec<Vec<u8>>,
}

struct Party {
    client: Client,
    at: FiveTuple,
    /// Datagrams sent.
    sent: u32,
    done: Vec<Completed>,
    heard: Vec<Heard>,
}

/// The open relay sockets.
#[derive(Default)]
struct Sockets {
    last: u32,
    open: BTreeMap<u32, (SocketAddr, RelayToken)>,
}

impl Host for Sockets {
    fn open(&mut self, local: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        self.last += 1;
        self.open.insert(self.last, (local, token));
        Ok(SocketId(self.last))
    }

    fn close(&mut self, socket: SocketId) {
        self.open.remove(&socket.0);
    }

    fn report(&mut self, _: Event<'_>) {}
}

impl Net {
    fn new() -> Self {
        Self::with(options(), auth(true))
    }

    fn with(options: Options, auth: AuthOptions) -> Self {
        let auth = Arc::new(Authenticator::new(auth, &[7; 32]).expect("sound options"));
        Self {
            relay: Relay::new(Arc::new(Shared::new(options, auth, [7; 32])), 0, [7; 32]),
            host: Sockets::default(),
            now: Now {
                tick: START,
                unix: UnixTime::from_secs(1_800_000_000),
            },
            parties: Vec::new(),
            lose: Vec::new(),
            carried: 0,
            watch: false,
            seen: Vec::new(),
        }
    }

    /// A party of the usual call; its number.
    fn party(&mut self, name: &str, options: ClientOptions) -> usize {
        let credential = self.credential(name);
        self.join(credential, options)
    }

    fn join(&mut self, credential: Credential, options: ClientOptions) -> usize {
        let number = u8::try_from(self.parties.len()).expect("few parties");
        self.parties.push(Party {
            client: Client::new(credential, options, [number; 32]),
            at: FiveTuple {
                client: Masked::new(client_address(number)),
                server: SERVER.parse().expect("an address"),
                link: Link {
                    id: 0,
                    transport: Transport::Udp,
                },
            },
            sent: 0,
            done: Vec::new(),
            heard: Vec::new(),
        });
        self.parties.len() - 1
    }

    fn credential(&self, party: &str) -> Credential {
        self.mint(&Claims {
            call: Some("call"),
            party: Some(party),
            ..Claims::default()
        })
    }

    fn mint(&self, claims: &Claims<'_>) -> Credential {
        let expires = UnixTime::from_secs(self.now.unix.as_secs() + 80_000);
        let id = claims.to_id().expect("sound claims");
        mint(&secret(), expires, Some(&id)).expect("a sound id")
    }

    fn allocate(&mut self, party: usize) -> Result<Success, RequestError> {
        self.allocate_with(party, AllocateOptions::default())
    }

    fn allocate_with(
        &mut self,
        party: usize,
        options: AllocateOptions,
    ) -> Result<Success, RequestError> {
        let now = self.now.tick;
        let request = self.client_mut(party).allocate(now, options);
        self.ended(party, request.expect("begun"))
    }

    fn refresh(&mut self, party: usize, lifetime: Duration) -> Result<Success, RequestError> {
        let now = self.now.tick;
        let request = self.client_mut(party).refresh(now, lifetime);
        self.ended(party, request.expect("begun"))
    }

    fn permit(&mut self, party: usize, peer: usize) -> Result<Success, RequestError> {
        let (now, peer) = (self.now.tick, self.relayed(peer));
        let request = self.client_mut(party).permit(now, &[peer]);
        self.ended(party, request.expect("begun"))
    }

    #[track_caller]
    fn bind(&mut self, party: usize, peer: usize) -> ChannelNumber {
        let (now, peer) = (self.now.tick, self.relayed(peer));
        let (request, channel) = self.client_mut(party).bind(now, peer).expect("begun");
        assert_eq!(self.ended(party, request), Ok(Success::Bound(channel)));
        channel
    }

    /// Sends data on a channel.
    fn send(&mut self, party: usize, channel: ChannelNumber, data: &[u8]) {
        let mut buf = [&[0; 4], data].concat();
        let message = wrap(channel, &mut buf, 4..4 + data.len()).expect("room");
        self.carry(party, &buf[message]);
    }

    /// Sends data in an indication.
    fn indicate(&mut self, party: usize, peer: usize, data: &[u8]) {
        let peer = self.relayed(peer);
        let mut buf = [0; 256];
        let len = self.client_mut(party).send_indication(&mut buf, peer, data);
        self.carry(party, &buf[..len.expect("room")]);
    }

    fn heard(&mut self, party: usize) -> Vec<Heard> {
        std::mem::take(&mut self.parties[party].heard)
    }

    /// How a request ends, however long that takes.
    #[track_caller]
    fn ended(&mut self, party: usize, request: RequestId) -> Result<Success, RequestError> {
        loop {
            self.flush();
            let done = &self.parties[party].done;
            if let Some(completed) = done.iter().find(|completed| completed.request == request) {
                return completed.result;
            }
            let due = self.client(party).poll_timeout();
            self.jump(due.expect("a request in flight"));
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now.tick.after(span);
        loop {
            self.flush();
            let clients = self.parties.iter().map(|party| party.client.poll_timeout());
            let due = clients.chain([self.relay.poll_timeout()]).flatten().min();
            match due {
                Some(due) if due < end => self.jump(due),
                _ => break,
            }
        }
        self.jump(end);
        self.flush();
    }

    fn jump(&mut self, to: Tick) {
        let unix = self.now.unix.as_secs() + to.as_secs() - self.now.tick.as_secs();
        self.now = Now {
            tick: to,
            unix: UnixTime::from_secs(unix),
        };
        self.relay.handle_timeout(self.now, &mut self.host);
        for party in &mut self.parties {
            while let Some(completed) = party.client.handle_timeout(to) {
                party.done.push(completed);
            }
        }
    }

    /// Carries what the clients have to say.
    fn flush(&mut self) {
        for party in 0..self.parties.len() {
            while let Some(datagram) = self.client_mut(party).poll_transmit() {
                let datagram = datagram.to_vec();
                self.parties[party].sent += 1;
                if self.watch {
                    self.seen.push(datagram.clone());
                }
                self.carry(party, &datagram);
            }
        }
    }

    /// Carries a client's datagram to the relay, and everything that follows to its end.
    fn carry(&mut self, party: usize, datagram: &[u8]) {
        let at = self.parties[party].at;
        let mut waiting = VecDeque::new();
        if self.arrives() {
            let mut buf = buffer(datagram);
            let mut packet = Packet::new(&mut buf, datagram.len());
            let verdict = self
                .relay
                .on_client(self.now, &at, &mut packet, &mut self.host);
            waiting.push_back((verdict, buf));
        }
        while let Some((verdict, buf)) = waiting.pop_front() {
            match verdict {
                Verdict::Reply(span) => self.deliver(at, &buf[span.range()]),
                Verdict::ToClient { to, span } => self.deliver(to, &buf[span.range()]),
                Verdict::ToPeer { from, to, span, .. } => {
                    let (from, _) = self.host.open[&from.0];
                    let socket = self
                        .host
                        .open
                        .values()
                        .find(|(local, _)| *local == to.reveal());
                    let Some((_, token)) = socket.copied() else {
                        continue;
                    };
                    let mut arrived = buffer(&buf[span.range()]);
                    let mut packet = Packet::new(&mut arrived, span.len());
                    let verdict = self.relay.on_peer(self.now, token, from, &mut packet);
                    waiting.push_back((verdict, arrived));
                }
                Verdict::Drop(_) => {}
                Verdict::Later | Verdict::Splice { .. } | Verdict::HandOver { .. } => {
                    panic!("no TCP relays are offered")
                }
            }
        }
    }

    fn deliver(&mut self, to: FiveTuple, datagram: &[u8]) {
        if !self.arrives() {
            return;
        }
        let now = self.now.tick;
        let party = self.parties.iter_mut().find(|party| party.at == to);
        let party = party.expect("the relay answers known clients");
        match party.client.handle_datagram(now, datagram) {
            Received::Data(data) => {
                let heard = (data.peer.reveal(), data.channel, data.payload.to_vec());
                party.heard.push(heard);
            }
            Received::Completed(completed) => party.done.push(completed),
            Received::Icmp { .. } | Received::Pending | Received::Ignored => {}
        }
    }

    /// Whether the next datagram is not one of those to be lost.
    fn arrives(&mut self) -> bool {
        let number = self.carried;
        self.carried += 1;
        !self.lose.contains(&number)
    }

    fn relayed(&self, party: usize) -> SocketAddr {
        let allocation = self.client(party).allocation().expect("an allocation");
        allocation.relayed(Family::V4).expect("an IPv4 one")
    }

    fn open(&self) -> Vec<SocketAddr> {
        self.host.open.values().map(|(local, _)| *local).collect()
    }

    fn client(&self, party: usize) -> &Client {
        &self.parties[party].client
    }

    fn client_mut(&mut self, party: usize) -> &mut Client {
        &mut self.parties[party].client
    }
}

/// A call of two parties with their allocations.
fn call(options: ClientOptions) -> (Net, [usize; 2]) {
    let mut net = Net::new();
    let parties = ["a", "b"].map(|name| net.party(name, options));
    for party in parties {
        net.allocate(party).expect("an allocation");
    }
    (net, parties)
}

fn speaking(dialect: Dialect) -> ClientOptions {
    ClientOptions {
        dialect,
        ..ClientOptions::default()
    }
}

fn client_address(number: u8) -> SocketAddr {
    SocketAddr::from(([24, 0, 0, number + 1], 20_000))
}

const SERVER: &str = "192.88.1.1";

const SECRET: &str = "an-example-secret-of-some-length";

/// The defaults, with relayed addresses that no policy objects to and peers of the same call alone.
fn options() -> Options {
    let relay = |ip: &str| {
        let ip = ip.parse().expect("an address");
        RelayAddress {
            bind: ip,
            advertise: ip,
        }
    };
    let config = Config::dev(
        0,
        Secret::new("test", Zeroizing::new(SECRET.as_bytes().to_vec()))
            .expect("a well-formed secret"),
    );
    let mut options = config.relay_options(Vec::new(), Vec::new());
    options.ipv4 = Some(relay("192.88.1.5"));
    options.ipv6 = Some(relay("2600:1::5"));
    options.limits.challenges_per_second = 1_000;
    options.lifetimes.permission = Duration::from_secs(300);
    options.peers.scope = PeerScope::Call;
    options.peers.allow.clear();
    options
}

fn auth(offer_md5: bool) -> AuthOptions {
    AuthOptions {
        realm: "relay.example.org".to_owned(),
        secrets: vec![secret()],
        users: Vec::new(),
        nonce_lifetime: NONCE_LIFETIME,
        max_ttl: Duration::from_secs(86_400),
        leeway: Duration::ZERO,
        require_id: false,
        separator: ':',
        offer_md5,
    }
}

fn secret() -> Secret {
    Secret::new("test", Zeroizing::new(SECRET.into())).expect("a sound secret")
}

/// A datagram as the shell would hand it to the relay.
fn buffer(datagram: &[u8]) -> Vec<u8> {
    let mut buf = vec![0; MIN_BUFFER + datagram.len()];
    buf[HEADROOM..HEADROOM + datagram.len()].copy_from_slice(datagram);
    buf
}
