//! The client of the `turn` crate, which speaks RFC 5389: SHA-1, and channels that it binds by itself behind the first
//! data.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use veilturn::auth::Credential;
use veilturn::config::ListenTransport;
use webrtc_util::Conn;

use crate::stream_conn::StreamConn;
use crate::support::{self, PARTIES, PATIENCE, RELAY};

#[tokio::test]
async fn two_parties_of_a_call_meet() {
    meet_and_leave(Via::Udp, Via::Udp).await;
}

#[tokio::test]
async fn two_parties_who_come_over_tcp_meet() {
    meet_and_leave(Via::Tcp, Via::Tcp).await;
}

#[tokio::test]
async fn a_party_who_comes_over_tcp_meets_one_who_comes_over_udp() {
    meet_and_leave(Via::Tcp, Via::Udp).await;
}

async fn meet_and_leave(one: Via, other: Via) {
    let mut config = support::config();
    let mut listener = config.listeners[0].clone();
    listener.transport = ListenTransport::Tcp;
    config.listeners.push(listener);
    let (server, _) = support::start(&config);
    let at = |via| server.listeners()[via as usize];
    let [a, b] = ["a", "b"].map(|party| support::credential(&server, "call", party));
    let alice = Party::join(one.open(0, at(one)).await, at(one), &a).await;
    let bob = Party::join(other.open(1, at(other)).await, at(other), &b).await;
    assert_eq!((alice.relayed().ip(), bob.relayed().ip()), (RELAY, RELAY));

    meet(&alice, &bob).await;
    // Behind the data, each binds a channel; the conversation goes on until it has moved there.
    while support::answered(&server, "channel_bind", "success") < 2 {
        converse(&alice, &bob, b"still here").await;
    }
    converse(&alice, &bob, &[0xA5; 1200]).await;

    alice.leave().await;
    bob.leave().await;
    patiently(async {
        while server.allocations() > 0 {
            yield_now().await;
        }
    })
    .await;
    server.stop().expect("no worker gave up");
}

#[tokio::test]
async fn a_party_of_another_call_is_not_heard() {
    let (server, relay) = support::start(&support::config());
    let alice = Party::allocate(0, relay, &support::credential(&server, "call", "a")).await;
    let bob = Party::allocate(1, relay, &support::credential(&server, "call", "b")).await;
    let mallory = Party::allocate(1, relay, &support::credential(&server, "other", "a")).await;
    meet(&alice, &bob).await;

    // A permission is for an address without its port, here that of every party; data and channels are refused.
    patiently(async {
        while support::answered(&server, "channel_bind", "403") == 0 {
            mallory.send(&alice, b"who are you?").await;
        }
    })
    .await;

    converse(&alice, &bob, b"somebody else there?").await;
    server.stop().expect("no worker gave up");
}

/// Makes each hear the other.
async fn meet(alice: &Party, bob: &Party) {
    // Sending permits the other to be heard. Whether this first one is heard depends on who is faster.
    bob.send(alice, KNOCK).await;
    converse(alice, bob, b"hello").await;
}

/// Each hears the other, from the other's relayed address.
async fn converse(alice: &Party, bob: &Party, payload: &[u8]) {
    alice.send(bob, payload).await;
    bob.hears(alice, payload).await;
    bob.send(alice, payload).await;
    alice.hears(bob, payload).await;
}

/// What a party comes over; its number is that of the relay's listener.
#[derive(Clone, Copy)]
enum Via {
    Udp,
    Tcp,
}

impl Via {
    async fn open(self, number: usize, relay: SocketAddr) -> Arc<dyn Conn + Send + Sync> {
        let here = PARTIES[number];
        match self {
            Self::Udp => Arc::new(UdpSocket::bind(here).await.expect("loopback")),
            Self::Tcp => Arc::new(StreamConn::open(here, relay).await),
        }
    }
}

/// What may be lost.
const KNOCK: &[u8] = b"knock";

/// A client with an allocation.
struct Party {
    client: Client,
    relayed: Box<dyn Conn>,
}

impl Party {
    async fn allocate(number: usize, relay: SocketAddr, credential: &Credential) -> Self {
        Self::join(Via::Udp.open(number, relay).await, relay, credential).await
    }

    async fn join(
        conn: Arc<dyn Conn + Send + Sync>,
        relay: SocketAddr,
        credential: &Credential,
    ) -> Self {
        let config = ClientConfig {
            stun_serv_addr: String::new(),
            turn_serv_addr: relay.to_string(),
            username: credential.username.clone(),
            password: credential.password.to_string(),
            realm: String::new(),
            software: String::new(),
            rto_in_ms: 0,
            conn,
            vnet: None,
        };
        let client = Client::new(config).await.expect("a client");
        client.listen().await.expect("a listening client");
        let relayed = patiently(client.allocate()).await.expect("an allocation");
        Self {
            client,
            relayed: Box::new(relayed),
        }
    }

    fn relayed(&self) -> SocketAddr {
        self.relayed.local_addr().expect("allocated")
    }

    async fn send(&self, to: &Self, payload: &[u8]) {
        let sent = patiently(self.relayed.send_to(payload, to.relayed())).await;
        sent.expect("permitted");
    }

    /// Waits for data and compares it and whence it comes.
    async fn hears(&self, from: &Self, payload: &[u8]) {
        let mut buffer = [0; 2048];
        loop {
            let heard = patiently(self.relayed.recv_from(&mut buffer)).await;
            let (length, peer) = heard.expect("data");
            if &buffer[..length] != KNOCK {
                assert_eq!((&buffer[..length], peer), (payload, from.relayed()));
                return;
            }
        }
    }

    /// Ends the allocation and the client.
    async fn leave(self) {
        patiently(self.relayed.close()).await.expect("closed");
        self.client.close().await.expect("closed");
    }
}

/// Waits, but not for ever.
async fn patiently<T>(event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.expect("it happens in time")
}
