//! The relay core in a world without sockets or clocks: calls are set up by clients, sockets are entries in a list.
//!
//! Shared by the benchmarks of the core and the test of what it allocates.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use veilturn::auth::{Authenticator, Claims, Credential, PeerScope, Secret, mint};
use veilturn::client::{AllocateOptions, Client, ClientOptions, Families, Received, wrap};
use veilturn::config::Config;
use veilturn::masked::Masked;
use veilturn::relay::{
    Event, FiveTuple, HEADROOM, Host, Link, MIN_BUFFER, OpenError, Packet, Relay, RelayAddress,
    RelayToken, Shared, SocketId, Transport, Verdict,
};
use veilturn::time::{Now, Tick, UnixTime};
use veilturn::wire::{
    ChannelData, ChannelNumber, Class, Data, Family, Message, Method, TransactionId, Writer,
    XorPeerAddress,
};
use zeroize::Zeroizing;

/// Who is at the other end of a party's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The other party of its call, behind a relayed address of the same relay.
    Relayed,
    /// Somebody on the public Internet.
    Public,
}

/// A relay and its imaginary surroundings, at a moment that does not pass.
pub(crate) struct World {
    pub(crate) relay: Relay,
    now: Now,
    host: Sockets,
    secret: Secret,
}

/// An allocation with one permission and one channel.
#[derive(Clone, Copy)]
pub(crate) struct Party {
    /// Where the client is.
    pub(crate) at: FiveTuple,
    /// Of its relay socket.
    pub(crate) token: RelayToken,
    /// Whom the channel leads to.
    pub(crate) peer: SocketAddr,
    pub(crate) channel: ChannelNumber,
}

/// A client and where it is.
pub(crate) struct Caller {
    pub(crate) at: FiveTuple,
    pub(crate) client: Client,
}

/// A datagram in a buffer with the room that the core asks for.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl World {
    /// A relay without allocations, with room for `allocations`: more than one address has ports where calls of both
    /// families are held. Data leaves by its relay sockets, whoever it is for.
    pub(crate) fn new(allocations: usize) -> Self {
        Self::of(allocations, false)
    }

    /// As [`Self::new`], with data for the relay's own clients delivered at once.
    pub(crate) fn with_hairpin(allocations: usize) -> Self {
        Self::of(allocations, true)
    }

    fn of(allocations: usize, hairpin: bool) -> Self {
        let secret = Secret::new("bench", Zeroizing::new(vec![0x5A; 32])).expect("a sound secret");
        let config = Config::dev(0, secret.clone());
        let mut options = config.relay_options(Vec::new(), Vec::new());
        let relay = |ip: &str| {
            let ip = ip.parse().expect("an address");
            Some(RelayAddress {
                bind: ip,
                advertise: ip,
            })
        };
        options.ipv4 = relay("192.88.1.5");
        options.ipv6 = relay("2600:1::5");
        options.ports = 1024..=65535;
        options.hairpin = hairpin;
        options.lifetimes.quarantine = Duration::ZERO;
        options.limits.allocations = allocations;
        // Budgets that are asked but never used up, since time stands still.
        options.limits.challenges_per_second = u32::MAX;
        options.limits.bindings_per_second = u32::MAX;
        options.peers.scope = PeerScope::Public;
        options.peers.allow.clear();
        let auth = Authenticator::new(config.auth, &[7; 32]).expect("sound options");
        let shared = Arc::new(Shared::new(options, Arc::new(auth), [7; 32]));
        Self {
            relay: Relay::new(shared, 0, [7; 32]),
            now: Now {
                tick: Tick::from_millis(5_000),
                unix: UnixTime::from_secs(1_800_000_000),
            },
            host: Sockets::with_capacity(allocations),
            secret,
        }
    }

    /// Sets up `count` allocations, two for each call; every other call is an IPv6 one.
    pub(crate) fn calls(&mut self, count: usize, peer: Peer) -> Vec<Party> {
        let mut parties = Vec::with_capacity(count);
        while parties.len() < count {
            let call = u32::try_from(parties.len() / 2).expect("few calls");
            self.call(call, peer, &mut parties);
        }
        parties
    }

    /// A client of a call, which has sent nothing yet.
    pub(crate) fn caller(&self, call: u32, side: u8) -> Caller {
        let server = match family(call) {
            Family::V4 => IpAddr::from([192, 88, 1, 1]),
            Family::V6 => IpAddr::from([0x2600, 1, 0, 0, 0, 0, 0, 1]),
        };
        let at = FiveTuple {
            client: Masked::new(somebody(call, 24 + side)),
            server,
            link: Link {
                id: 0,
                transport: Transport::Udp,
            },
        };
        let mut seed = [side; 32];
        seed[..4].copy_from_slice(&call.to_be_bytes());
        let credential = self.credential(call, side);
        let client = Client::new(credential, ClientOptions::default(), seed);
        Caller { at, client }
    }

    /// Has a client ask for something until it is granted; the request that was.
    pub(crate) fn granted(
        &mut self,
        caller: &mut Caller,
        ask: impl FnOnce(&mut Client, Tick),
    ) -> Vec<u8> {
        ask(&mut caller.client, self.now.tick);
        let mut last = Vec::new();
        while let Some(request) = caller.client.poll_transmit() {
            last = request.to_vec();
            let mut buffer = Buffer::of(&last);
            let verdict = self.on_client(&caller.at, &mut buffer.packet());
            let Verdict::Reply(span) = verdict else {
                panic!("a request came to {verdict:?}")
            };
            let answer = &buffer.bytes[span.range()];
            if let Received::Completed(ended) = caller.client.handle_datagram(self.now.tick, answer)
            {
                ended.result.expect("a request that is granted");
            }
        }
        last
    }

    /// Has a client allocate; its relayed address, the token of the socket, and the request that was granted.
    pub(crate) fn allocate(
        &mut self,
        caller: &mut Caller,
        family: Family,
    ) -> (SocketAddr, RelayToken, Vec<u8>) {
        let options = AllocateOptions {
            families: Families::One(family),
            ..AllocateOptions::default()
        };
        let request = self.granted(caller, |client, now| {
            client.allocate(now, options).expect("a first request");
        });
        let allocation = caller.client.allocation().expect("it was granted");
        let relayed = allocation.relayed(family).expect("of that family");
        (relayed, self.host.opened_last, request)
    }

    /// Gives the relay a packet from a client.
    pub(crate) fn on_client(&mut self, at: &FiveTuple, packet: &mut Packet<'_>) -> Verdict {
        self.relay.on_client(self.now, at, packet, &mut self.host)
    }

    /// Gives the relay a packet from a peer.
    pub(crate) fn on_peer(
        &mut self,
        token: RelayToken,
        peer: SocketAddr,
        packet: &mut Packet<'_>,
    ) -> Verdict {
        self.relay.on_peer(self.now, token, peer, packet)
    }

    fn call(&mut self, call: u32, peer: Peer, parties: &mut Vec<Party>) {
        let family = family(call);
        let mut callers = [0, 1].map(|side| self.caller(call, side));
        let [a, b] = &mut callers;
        let held = [self.allocate(a, family), self.allocate(b, family)];
        for (side, caller) in callers.iter_mut().enumerate() {
            let peer = match peer {
                Peer::Relayed => held[1 - side].0,
                Peer::Public => somebody(call, 44),
            };
            let mut channel = ChannelNumber::MIN;
            self.granted(caller, |client, now| {
                (_, channel) = client.bind(now, peer).expect("a free channel");
            });
            parties.push(Party {
                at: caller.at,
                token: held[side].1,
                peer,
                channel,
            });
        }
    }

    fn credential(&self, call: u32, side: u8) -> Credential {
        let claims = Claims {
            call: Some(&format!("{call:032x}")),
            party: Some(if side == 0 { "a" } else { "b" }),
            ..Claims::default()
        };
        let expires = UnixTime::from_secs(self.now.unix.as_secs() + 3_600);
        let id = claims.to_id().expect("sound claims");
        mint(&self.secret, expires, Some(&id)).expect("a sound id")
    }
}

impl Party {
    /// Data for the peer on the channel.
    pub(crate) fn channel_data(&self, len: usize) -> Buffer {
        let mut bytes = vec![0x5A; ChannelData::HEADER_LEN + len];
        let all = bytes.len();
        wrap(self.channel, &mut bytes, ChannelData::HEADER_LEN..all).expect("room for a header");
        Buffer::of(&bytes)
    }

    /// Data for the peer in an indication.
    pub(crate) fn send_indication(&self, len: usize) -> Buffer {
        let mut bytes = vec![0; len + 64];
        let id = TransactionId(*b"twelve bytes");
        let mut writer =
            Writer::new(&mut bytes, Class::Indication, Method::SEND, id).expect("room");
        writer.put(&XorPeerAddress(self.peer)).expect("room");
        writer.put(&Data(&vec![0x5A; len])).expect("room");
        let end = writer.finish();
        Buffer::of(&bytes[..end])
    }

    /// The peer's address with another port: permitted, but without a channel.
    pub(crate) fn beside_peer(&self) -> SocketAddr {
        SocketAddr::new(self.peer.ip(), self.peer.port() ^ 1)
    }
}

impl Buffer {
    /// A buffer that holds `datagram`.
    pub(crate) fn of(datagram: &[u8]) -> Self {
        let mut bytes = vec![0; MIN_BUFFER + datagram.len()];
        bytes[HEADROOM..HEADROOM + datagram.len()].copy_from_slice(datagram);
        Self {
            bytes,
            len: datagram.len(),
        }
    }

    /// Puts the same or another datagram where an answer was written.
    pub(crate) fn refill(&mut self, datagram: &[u8]) {
        self.len = datagram.len();
        self.bytes[HEADROOM..HEADROOM + self.len].copy_from_slice(datagram);
    }

    /// The datagram in it.
    pub(crate) fn datagram(&self) -> &[u8] {
        &self.bytes[HEADROOM..HEADROOM + self.len]
    }

    pub(crate) fn packet(&mut self) -> Packet<'_> {
        Packet::new(&mut self.bytes, self.len)
    }

    /// The class of the answer that was written.
    pub(crate) fn answer(&self, verdict: Verdict) -> Class {
        let Verdict::Reply(span) = verdict else {
            panic!("a request came to {verdict:?}")
        };
        let answer = Message::parse(&self.bytes[span.range()]).expect("a message");
        answer.class()
    }
}

/// The relay sockets: numbers that are given out and taken back.
struct Sockets {
    opened: u32,
    vacant: Vec<u32>,
    opened_last: RelayToken,
}

impl Sockets {
    fn with_capacity(sockets: usize) -> Self {
        Self {
            opened: 0,
            vacant: Vec::with_capacity(sockets),
            opened_last: RelayToken(0),
        }
    }
}

impl Host for Sockets {
    fn open(&mut self, _: SocketAddr, token: RelayToken) -> Result<SocketId, OpenError> {
        self.opened_last = token;
        let number = self.vacant.pop().unwrap_or(self.opened);
        self.opened = self.opened.max(number + 1);
        Ok(SocketId(number))
    }

    fn close(&mut self, SocketId(number): SocketId) {
        self.vacant.push(number);
    }

    fn report(&mut self, _: Event<'_>) {}
}

/// The family of a call's addresses.
const fn family(call: u32) -> Family {
    if call.is_multiple_of(2) {
        Family::V4
    } else {
        Family::V6
    }
}

/// An address on the public Internet, of the family of `call`, for one of its roles.
fn somebody(call: u32, role: u8) -> SocketAddr {
    let [_, b, c, d] = call.to_be_bytes();
    let ip = match family(call) {
        Family::V4 => IpAddr::from([role, b, c, d]),
        Family::V6 => IpAddr::from([
            0x2600,
            role.into(),
            0,
            0,
            0,
            0,
            b.into(),
            u16::from_be_bytes([c, d]),
        ]),
    };
    SocketAddr::new(ip, 20_000)
}
