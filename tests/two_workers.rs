//! Calls whose halves live on different workers, over real sockets: nothing is lost, and nothing comes from elsewhere.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use veilturn::auth::{Claims, Secret, mint};
use veilturn::client::{AllocateOptions, Client, ClientOptions, Received, wrap};
use veilturn::config::Config;
use veilturn::server::Server;
use veilturn::time::UnixTime;
use veilturn::wire::{ChannelData, ChannelNumber, Family};
use zeroize::Zeroizing;

/// The kernel deals clients out by a hash of their ports: that no call of so many is split happens once in 65,536 runs.
const CALLS: usize = 16;

/// Datagrams of one party: so few at a time fit every buffer on the way.
const BURST: u32 = 10;

#[test]
fn a_call_that_is_split_between_two_workers_loses_nothing() {
    let relay = Relay::start();
    let mut calls: Vec<[Party; 2]> = (0..CALLS).map(|number| relay.call(number)).collect();

    for round in 0..20 {
        for [a, b] in &calls {
            for number in 0..BURST {
                a.send(&relay, round * BURST + number);
                b.send(&relay, round * BURST + number);
            }
        }
        for [a, b] in &mut calls {
            for number in 0..BURST {
                for party in [&mut *a, &mut *b] {
                    let heard = party.hear(&relay);
                    assert_eq!(heard, (relay.listener(), round * BURST + number));
                }
            }
        }
    }
}

/// A relay with two workers.
struct Relay {
    server: Server,
    secret: Secret,
}

/// A client with an allocation and a channel to the other party.
struct Party {
    socket: UdpSocket,
    client: Client,
    channel: Option<ChannelNumber>,
}

impl Relay {
    fn start() -> Self {
        let secret = Secret::new("id", Zeroizing::new(vec![7; 32])).expect("a sound secret");
        let mut config = Config::dev(0, secret.clone());
        config.runtime.workers = 2;
        config.relay.limits.challenges_per_second = 1_000;
        let server = Server::start(&config).expect("a relay on loopback");
        Self { server, secret }
    }

    fn listener(&self) -> SocketAddr {
        self.server.listeners()[0]
    }

    fn call(&self, number: usize) -> [Party; 2] {
        let call = number.to_string();
        let mut parties = ["a", "b"].map(|party| self.party(&call, party));
        let [at_a, at_b] = parties.each_ref().map(|party| {
            let allocation = party.client.allocation().expect("it was granted");
            allocation.relayed(Family::V4).expect("an IPv4 one")
        });
        for (party, peer) in parties.iter_mut().zip([at_b, at_a]) {
            let asked = party.client.bind(self.server.now().tick, peer);
            party.channel = Some(asked.expect("a free channel").1);
            self.settle(party);
        }
        parties
    }

    fn party(&self, call: &str, name: &str) -> Party {
        let now = self.server.now();
        let claims = Claims {
            call: Some(call),
            party: Some(name),
            ..Claims::default()
        };
        let expires = UnixTime::from_secs(now.unix.as_secs() + 3_600);
        let id = claims.to_id().expect("sound claims");
        let credential = mint(&self.secret, expires, Some(&id)).expect("a sound id");
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let patience = Some(Duration::from_secs(10));
        socket.set_read_timeout(patience).expect("a timeout");
        let mut party = Party {
            socket,
            client: Client::new(credential, ClientOptions::default(), [7; 32]),
            channel: None,
        };
        let asked = party.client.allocate(now.tick, AllocateOptions::default());
        asked.expect("a first request");
        self.settle(&mut party);
        party
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
}

impl Party {
    fn send(&self, relay: &Relay, number: u32) {
        let mut datagram = [0; ChannelData::HEADER_LEN + 4];
        datagram[ChannelData::HEADER_LEN..].copy_from_slice(&number.to_be_bytes());
        let payload = ChannelData::HEADER_LEN..datagram.len();
        let channel = self.channel.expect("a bound channel");
        wrap(channel, &mut datagram, payload).expect("room for a header");
        let sent = self.socket.send_to(&datagram, relay.listener());
        assert_eq!(sent.expect("a datagram that is sent"), datagram.len());
    }

    /// Who sent the next datagram, and the number in it.
    fn hear(&mut self, relay: &Relay) -> (SocketAddr, u32) {
        let mut buf = [0; 2048];
        let (len, from) = self.socket.recv_from(&mut buf).expect("nothing is lost");
        let now = relay.server.now().tick;
        let Received::Data(data) = self.client.handle_datagram(now, &buf[..len]) else {
            panic!("application data, and nothing else");
        };
        let number = data.payload.try_into().expect("four bytes");
        assert_eq!(data.channel, self.channel);
        (from, u32::from_be_bytes(number))
    }
}
