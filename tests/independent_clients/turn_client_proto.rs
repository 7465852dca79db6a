//! The client of `turn-client-proto`, which does no I/O: this file moves its datagrams. It knows RFC 8489, so that it
//! also authenticates with SHA-256 and hides user names.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use turn_client_proto::api::{Transmit, TurnClientApi as _, TurnConfig, TurnEvent, TurnRecvRet};
use turn_client_proto::stun::Instant;
use turn_client_proto::stun::auth::Feature;
use turn_client_proto::types::stun::message::IntegrityAlgorithm;
use turn_client_proto::types::{TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;
use veilturn::auth::{Credential, Login, PeerScope, StaticUser};
use zeroize::Zeroizing;

use crate::support::{self, PARTIES, PATIENCE, RELAY};

#[test]
fn two_parties_of_a_call_meet_whatever_the_integrity() {
    for integrity in [IntegrityAlgorithm::Sha1, IntegrityAlgorithm::Sha256] {
        let (server, relay) = support::start(&support::config());
        let [mut alice, mut bob] = [0, 1].map(|n| {
            let mut config = login(&support::credential(&server, "call", ["a", "b"][n]));
            config.set_supported_integrity(integrity);
            Party::allocate(PARTIES[n], relay, config)
        });

        call(&mut alice, &mut bob);

        assert_eq!(server.allocations(), 2, "{integrity:?}");
        server.stop().expect("no worker gave up");
    }
}

#[test]
fn users_who_hide_their_names_meet() {
    let mut config = support::config();
    config.relay.peers.scope = PeerScope::Fleet;
    // Only users of a fixed list can be found by the hashes of their names.
    config.auth.secrets.clear();
    config.auth.users.push(StaticUser {
        name: "studio".to_owned(),
        login: Login::Password(Zeroizing::new("a password of the tests".to_owned())),
    });
    let (server, relay) = support::start(&config);
    let [mut alice, mut bob] = PARTIES.map(|here| {
        let mut config = TurnConfig::new(TurnCredentials::new("studio", "a password of the tests"));
        config.set_supported_integrity(IntegrityAlgorithm::Sha256);
        config.set_anonymous_username(Feature::Required);
        Party::allocate(here, relay, config)
    });

    call(&mut alice, &mut bob);

    for party in [alice, bob] {
        let mut words = party.requests.windows(b"studio".len());
        assert!(words.all(|word| word != b"studio"));
    }
    server.stop().expect("no worker gave up");
}

#[test]
fn a_party_of_another_call_is_refused() {
    let (server, relay) = support::start(&support::config());
    let [alice, mut mallory] = [0, 1].map(|n| {
        let credential = support::credential(&server, ["call", "other"][n], "a");
        Party::allocate(PARTIES[n], relay, login(&credential))
    });

    let bound = mallory.bind(alice.relayed());

    assert!(
        matches!(bound, TurnEvent::ChannelCreateFailed(..)),
        "{bound:?}"
    );
    assert_eq!(support::answered(&server, "channel_bind", "403"), 1);
    server.stop().expect("no worker gave up");
}

/// Two parties talk, first in indications, then on channels.
fn call(alice: &mut Party, bob: &mut Party) {
    let (at_alice, at_bob) = (alice.relayed(), bob.relayed());
    assert_eq!((at_alice.ip(), at_bob.ip()), (RELAY, RELAY));
    for (party, peer) in [(&mut *alice, at_bob), (&mut *bob, at_alice)] {
        let permitted = party.permit(peer);
        assert!(
            matches!(permitted, TurnEvent::PermissionCreated(..)),
            "{permitted:?}"
        );
    }
    converse(alice, bob, Form::Indication);

    for (party, peer) in [(&mut *alice, at_bob), (&mut *bob, at_alice)] {
        let bound = party.bind(peer);
        assert!(matches!(bound, TurnEvent::ChannelCreated(..)), "{bound:?}");
    }
    converse(alice, bob, Form::ChannelData);
}

/// Each hears the other, from the other's relayed address and in that form.
fn converse(alice: &mut Party, bob: &mut Party, form: Form) {
    let (at_alice, at_bob) = (alice.relayed(), bob.relayed());
    for payload in [&b"hello"[..], b"", &[0xA5; 1200]] {
        alice.send(at_bob, payload);
        assert_eq!(bob.hear(), (form, at_alice, payload.to_vec()));
        bob.send(at_alice, payload);
        assert_eq!(alice.hear(), (form, at_bob, payload.to_vec()));
    }
}

/// How application data travels between a client and its relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Indication,
    ChannelData,
}

/// A client, its socket and its clock.
struct Party {
    client: TurnClientUdp,
    socket: UdpSocket,
    /// Passes only to let the client send its next request: no datagram is lost on loopback, so nothing is sent twice.
    now: Instant,
    /// All that it has asked of the relay, one behind the other.
    requests: Vec<u8>,
}

impl Party {
    fn allocate(here: SocketAddr, relay: SocketAddr, config: TurnConfig) -> Self {
        let socket = UdpSocket::bind(here).expect("a loopback address");
        socket.connect(relay).expect("a route");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let here = socket.local_addr().expect("bound");
        let mut party = Self {
            client: TurnClientUdp::allocate(here, relay, config),
            socket,
            now: Instant::ZERO,
            requests: Vec::new(),
        };
        let allocated = party.next_event();
        assert!(
            matches!(allocated, TurnEvent::AllocationCreated(..)),
            "{allocated:?}"
        );
        party
    }

    fn relayed(&self) -> SocketAddr {
        let mut addresses = self.client.relayed_addresses();
        addresses.next().expect("allocated").1
    }

    fn permit(&mut self, peer: SocketAddr) -> TurnEvent {
        let asked = self
            .client
            .create_permission(TransportType::Udp, peer.ip(), self.now);
        asked.expect("allocated");
        self.next_event()
    }

    fn bind(&mut self, peer: SocketAddr) -> TurnEvent {
        let asked = self.client.bind_channel(TransportType::Udp, peer, self.now);
        asked.expect("allocated");
        self.next_event()
    }

    fn send(&mut self, peer: SocketAddr, payload: &[u8]) {
        let sent = self
            .client
            .send_to(TransportType::Udp, peer, payload, self.now)
            .expect("a permission")
            .expect("a datagram");
        self.socket.send(&sent.build().data).expect("sent");
    }

    /// The next application data: its form, from whom, what.
    fn hear(&mut self) -> (Form, SocketAddr, Vec<u8>) {
        loop {
            if let Some(heard) = self.step() {
                return heard;
            }
        }
    }

    fn next_event(&mut self) -> TurnEvent {
        loop {
            self.now += CADENCE;
            self.client.poll(self.now);
            while let Some(datagram) = self.client.poll_transmit(self.now) {
                self.socket.send(&datagram.data).expect("sent");
                self.requests.extend_from_slice(&datagram.data);
            }
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            let heard = self.step();
            assert_eq!(heard, None, "nobody talks yet");
        }
    }

    /// Hands the next datagram to the client.
    fn step(&mut self) -> Option<(Form, SocketAddr, Vec<u8>)> {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).expect("the relay answers");
        let form = match buffer[0] >> 6 {
            0b01 => Form::ChannelData,
            _ => Form::Indication,
        };
        let (from, to) = (self.client.remote_addr(), self.client.local_addr());
        let datagram = Transmit::new(&buffer[..length], TransportType::Udp, from, to);
        match self.client.recv(datagram, self.now) {
            TurnRecvRet::PeerData(data) => Some((form, data.peer, data.data().to_vec())),
            TurnRecvRet::Handled => None,
            other @ (TurnRecvRet::Ignored(_) | TurnRecvRet::PeerIcmp { .. }) => {
                panic!("the client makes nothing of it: {other:?}")
            }
        }
    }
}

/// How long the client waits between requests, at most.
const CADENCE: Duration = Duration::from_millis(100);

fn login(credential: &Credential) -> TurnConfig {
    TurnConfig::new(TurnCredentials::new(
        &credential.username,
        &credential.password,
    ))
}
