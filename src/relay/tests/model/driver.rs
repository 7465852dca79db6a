//! Carries operations out on a world and its shadow, side by side.

mod data;
mod packets;
mod requests;

use std::net::SocketAddr;
use std::time::Duration;

use self::requests::Allocate;
use super::operation::{
    Data, Fault, Garbled, Login, Machine, Moment, Op, Peer, Port, Request, Wanted,
};
use super::seen::Seen;
use super::setup::{FORBIDDEN, Party, Setup, public};
use super::shadow::{BEGINNING, Credential, Shadow};
use crate::auth;
use crate::relay::EndReason;
use crate::relay::tests::world::{Outcome, RELAY4, RELAY6, World, addr, ip, local};
use crate::wire::Family;

/// A world, its shadow, and what the clients know.
pub(super) struct Driver {
    pub(super) world: World,
    pub(super) shadow: Shadow,
    speakers: Vec<Speaker>,
    /// The transaction of the last request.
    transaction: u64,
    /// Fills payloads, so that they can be told apart.
    serial: u8,
    /// What came of the last operation's packet, to the last byte.
    pub(super) outcome: Option<Outcome>,
}

/// What a client keeps.
struct Speaker {
    credential: auth::Credential,
    nonce: String,
    /// Its last Allocate.
    allocate: Option<Allocate>,
}

impl Driver {
    pub(super) fn new(setup: &Setup) -> Self {
        let world = World::of(setup.options.clone(), setup.workers, setup.seed);
        let mut driver = Self {
            shadow: Shadow::new(setup, BEGINNING),
            speakers: Vec::new(),
            transaction: 0,
            serial: 0,
            outcome: None,
            world,
        };
        for client in 0..driver.shadow.parties.len() {
            let (credential, known) = driver.mint(client, setup.ttl);
            driver.shadow.credentials.push(known);
            driver.speakers.push(Speaker {
                credential,
                nonce: String::new(),
                allocate: None,
            });
        }
        driver
    }

    /// Carries out one operation and compares everything; what came of it, for a trace.
    ///
    /// # Panics
    ///
    /// Where world and shadow differ.
    pub(super) fn step(&mut self, op: &Op) -> String {
        self.serial = self.serial.wrapping_add(1);
        self.outcome = None;
        let seen = self.carry_out(op);
        self.compare();
        seen.map_or_else(String::new, |seen| format!("{seen:?}"))
    }

    /// Ends all and compares.
    pub(super) fn finish(&mut self) {
        let now = self.world.now;
        for (relay, host) in self.world.relays.iter_mut().zip(&mut self.world.hosts) {
            relay.shut_down(now, host);
        }
        for client in 0..self.shadow.parties.len() {
            self.shadow.end(client, EndReason::Shutdown);
        }
        self.compare();
    }

    fn carry_out(&mut self, op: &Op) -> Option<Seen> {
        match op {
            Op::Request {
                client,
                login,
                request,
            } => return Some(self.request(*client, *login, request)),
            Op::Retransmit { client, login } => return self.retransmit(*client, *login),
            Op::Data(data) => return self.data(*data),
            Op::Loop { from } => return self.loop_back(*from),
            Op::Garble {
                client,
                packet,
                edits,
                cut,
            } => {
                if let Some(bytes) = self.garbled(*client, *packet, edits, *cut) {
                    self.send_garbled(*client, &bytes);
                }
            }
            Op::Pass(moment) => {
                let end = self.moment(*moment);
                self.world
                    .pass(Duration::from_millis(end - self.shadow.now));
                self.shadow.pass(end);
            }
            Op::Late(moment) => {
                let end = self.moment(*moment);
                self.world
                    .skip(Duration::from_millis(end - self.shadow.now));
                self.shadow.now = end;
            }
            Op::Disconnect { client } => {
                let Party { at, worker, .. } = self.shadow.parties[*client];
                let now = self.world.now;
                self.world.relays[worker].on_disconnect(now, &at, &mut self.world.hosts[worker]);
                self.shadow.end(*client, EndReason::Disconnected);
            }
            Op::Renew { client, ttl } => self.renew(*client, *ttl),
            Op::Host(machine) => self.set_machine(*machine),
        }
        None
    }

    pub(super) fn address(&self, peer: Peer) -> SocketAddr {
        let first = *self.shadow.setup.options.ports.start();
        let relay = |family, port| {
            SocketAddr::new(
                match family {
                    Family::V4 => ip(RELAY4),
                    Family::V6 => ip(RELAY6),
                },
                port,
            )
        };
        match peer {
            Peer::Public { family, host, port } => public(family == Family::V6, host, port),
            Peer::Fleet { port } => addr(&format!("50.0.0.1:{port}")),
            Peer::Forbidden(nth) => addr(FORBIDDEN[nth]),
            Peer::Relayed { client, family } => self
                .shadow
                .last
                .get(&(client, family))
                .copied()
                .unwrap_or_else(|| relay(family, first)),
            Peer::OfRelay { family, offset } => relay(family, first + offset),
        }
    }

    /// The address of a peer as the relay's own sockets see it.
    fn as_seen_here(&self, peer: Peer) -> SocketAddr {
        let address = self.address(peer);
        if self.shadow.relay_ip(Family::of(address.ip())) == Some(address.ip()) {
            local(address)
        } else {
            address
        }
    }

    fn moment(&self, moment: Moment) -> u64 {
        let now = self.shadow.now;
        match moment {
            Moment::In(millis) => now + millis,
            Moment::End { of, nudge } => {
                let ends = self.shadow.ends(of);
                ends.map_or(now, |end| end.saturating_add_signed(nudge).max(now))
            }
        }
    }

    fn renew(&mut self, client: usize, ttl: u64) {
        let (credential, known) = self.mint(client, ttl);
        self.speakers[client].credential = credential;
        self.shadow.credentials[client] = known;
    }

    fn mint(&self, client: usize, ttl: u64) -> (auth::Credential, Credential) {
        let Party { id, claims, .. } = self.shadow.parties[client];
        let credential = self.world.credential(id, ttl);
        let known = Credential {
            username: credential.username.clone(),
            id,
            claims,
            expires: self.shadow.unix() + ttl,
        };
        (credential, known)
    }

    fn set_machine(&mut self, machine: Machine) {
        let ports = self.shadow.setup.options.ports.clone();
        let mut taken = Vec::new();
        if let Machine::Holds { by, rest } = machine {
            for port in ports.filter(|port| port % by == rest) {
                taken.push(local(SocketAddr::new(ip(RELAY4), port)));
                taken.push(SocketAddr::new(ip(RELAY6), port));
            }
        }
        for host in &mut self.world.hosts {
            host.taken.clone_from(&taken);
            host.exhausted = machine == Machine::Exhausted;
        }
    }
}
