//! Rounds of datagrams along a path, and the paths through a daemon in this process.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use veilturn::auth::{Claims, PeerScope, Secret, mint};
use veilturn::client::{AllocateOptions, Client, ClientOptions, Received, wrap};
use veilturn::config::Config;
use veilturn::server::Server;
use veilturn::time::UnixTime;
use veilturn::wire::{ChannelData, ChannelNumber, Family};
use zeroize::Zeroizing;

/// The name of the daemon's thread.
pub(crate) const WORKER: &str = "worker-0";

/// How long a party waits for a datagram. Rounds fit the sockets' buffers, so that one that has not come by then is
/// lost by mistake.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one round is like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// How many calls there are at the same time.
    pub(crate) calls: usize,
    /// Whether the other party sends as well.
    pub(crate) both_ways: bool,
    /// Datagrams of one party in one round, sent at once.
    pub(crate) burst: usize,
    /// Bytes of application data in each.
    pub(crate) bytes: usize,
}

/// Everything that is sent in one round, and where it must arrive.
pub(crate) struct Path {
    flows: Vec<Flow>,
    burst: usize,
}

/// Datagrams from one socket to another, with a forwarder in between.
pub(crate) struct Flow {
    pub(crate) from: Rc<UdpSocket>,
    /// The forwarder's socket.
    pub(crate) to: SocketAddr,
    pub(crate) datagram: Vec<u8>,
    /// Where it must arrive.
    pub(crate) at: Rc<UdpSocket>,
    /// Its length by then, in bytes.
    pub(crate) arriving: usize,
}

impl Path {
    /// The rounds of `shape` over the flows of some calls, each there and back.
    pub(crate) fn of(shape: Shape, calls: impl IntoIterator<Item = [Flow; 2]>) -> Self {
        let ways = if shape.both_ways { 2 } else { 1 };
        let path = Self {
            flows: calls
                .into_iter()
                .flat_map(|flows| flows.into_iter().take(ways))
                .collect(),
            burst: shape.burst,
        };
        path.round();
        path
    }

    /// How many datagrams are delivered in one round.
    pub(crate) fn datagrams(&self) -> u64 {
        (self.flows.len() * self.burst) as u64
    }

    /// Sends everything, then receives all of it.
    pub(crate) fn round(&self) {
        for flow in &self.flows {
            for _ in 0..self.burst {
                let sent = flow.from.send_to(&flow.datagram, flow.to);
                sent.expect("a datagram that is sent");
            }
        }
        let mut buf = [0; 2048];
        for flow in &self.flows {
            for _ in 0..self.burst {
                let len = flow.at.recv(&mut buf).expect("a datagram that arrives");
                assert_eq!(len, flow.arriving, "what arrives is what was sent");
            }
        }
    }
}

/// A socket of a party or a peer.
pub(crate) fn socket(ip: Ipv4Addr) -> Rc<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0)).expect("a free port");
    let patient = socket.set_read_timeout(Some(PATIENCE));
    patient.expect("a socket with a timeout");
    Rc::new(socket)
}

/// Where a socket is bound.
pub(crate) fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("a bound socket")
}

/// The address of peers that are no parties.
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The daemon: a server with one worker on the first core.
pub(crate) struct Daemon {
    server: Server,
    secret: Secret,
}

/// A party: a client with an allocation.
struct Party {
    socket: Rc<UdpSocket>,
    client: Client,
    relayed: SocketAddr,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let secret = Secret::new("bench", Zeroizing::new(vec![0x5A; 32])).expect("a sound secret");
        let mut config = Config::dev(0, secret.clone());
        config.runtime.workers = 1;
        config.runtime.pin_cpus = true;
        config.relay.peers.scope = PeerScope::Public;
        config.relay.limits.challenges_per_second = 1_000;
        let server = Server::start(&config).expect("a relay on loopback");
        Self { server, secret }
    }

    /// Calls between two parties, both behind the relay.
    pub(crate) fn call(&self, shape: Shape) -> Path {
        let calls = (0..shape.calls).map(|number| {
            let name = format!("{}-{number}", shape.name);
            let [mut a, mut b] = ["a", "b"].map(|party| self.party(&name, party));
            let (at_a, at_b) = (a.relayed, b.relayed);
            let to_b = self.channel(&mut a, at_b);
            let to_a = self.channel(&mut b, at_a);
            let flow = |from: &Party, channel, to: &Party| Flow {
                from: Rc::clone(&from.socket),
                to: self.listener(),
                datagram: channel_data(channel, shape.bytes),
                at: Rc::clone(&to.socket),
                arriving: shape.bytes + ChannelData::HEADER_LEN,
            };
            [flow(&a, to_b, &b), flow(&b, to_a, &a)]
        });
        Path::of(shape, calls)
    }

    /// Calls between a party behind the relay and a peer that has none.
    pub(crate) fn peer(&self, shape: Shape) -> Path {
        let calls = (0..shape.calls).map(|number| {
            let mut party = self.party(&format!("{}-{number}", shape.name), "c");
            let peer = socket(ELSEWHERE);
            let channel = self.channel(&mut party, address(&peer));
            let there = Flow {
                from: Rc::clone(&party.socket),
                to: self.listener(),
                datagram: channel_data(channel, shape.bytes),
                at: Rc::clone(&peer),
                arriving: shape.bytes,
            };
            let back = Flow {
                from: peer,
                to: party.relayed,
                datagram: vec![0x5A; shape.bytes],
                at: party.socket,
                arriving: shape.bytes + ChannelData::HEADER_LEN,
            };
            [there, back]
        });
        Path::of(shape, calls)
    }

    fn party(&self, call: &str, party: &str) -> Party {
        let now = self.server.now();
        let claims = Claims {
            call: Some(call),
            party: Some(party),
            ..Claims::default()
        };
        let expires = UnixTime::from_secs(now.unix.as_secs() + 3_600);
        let id = claims.to_id().expect("sound claims");
        let credential = mint(&self.secret, expires, Some(&id)).expect("a sound id");
        let mut party = Party {
            socket: socket(Ipv4Addr::LOCALHOST),
            client: Client::new(credential, ClientOptions::default(), [7; 32]),
            relayed: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        };
        let asked = party.client.allocate(now.tick, AllocateOptions::default());
        asked.expect("a first request");
        self.settle(&mut party);
        let allocation = party.client.allocation().expect("it was granted");
        party.relayed = allocation.relayed(Family::V4).expect("an IPv4 one");
        party
    }

    fn channel(&self, party: &mut Party, peer: SocketAddr) -> ChannelNumber {
        let asked = party.client.bind(self.server.now().tick, peer);
        let (_, channel) = asked.expect("a free channel");
        self.settle(party);
        channel
    }

    /// Moves datagrams until the request is granted.
    fn settle(&self, party: &mut Party) {
        let mut buf = [0; 2048];
        while let Some(request) = party.client.poll_transmit() {
            let sent = party.socket.send_to(request, self.listener());
            sent.expect("a request that is sent");
            let len = party.socket.recv(&mut buf).expect("an answer");
            let now = self.server.now().tick;
            if let Received::Completed(ended) = party.client.handle_datagram(now, &buf[..len]) {
                ended.result.expect("a request that is granted");
            }
        }
    }

    fn listener(&self) -> SocketAddr {
        self.server.listeners()[0]
    }
}

/// Data of so many bytes on a channel.
fn channel_data(channel: ChannelNumber, bytes: usize) -> Vec<u8> {
    let end = ChannelData::HEADER_LEN + bytes;
    let mut datagram = vec![0x5A; end];
    wrap(channel, &mut datagram, ChannelData::HEADER_LEN..end).expect("room for a header");
    datagram
}

/// The processor time that the thread of that name has taken.
pub(crate) fn processor_time(thread: &str) -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("Linux");
    let of_thread = threads.flatten().find(|entry| {
        let name = fs::read_to_string(entry.path().join("comm"));
        name.is_ok_and(|name| name.trim_end() == thread)
    });
    let spent = of_thread.and_then(|entry| {
        let figures = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        figures.split(' ').next()?.parse().ok()
    });
    Duration::from_nanos(spent.expect("a kernel that counts processor time"))
}
