//! Random operations on TCP relays of two workers, held against a plain account of what has to be there.
//!
//! After each operation the outcome, what clients were told, the connections that are open and the bytes that were
//! counted are those of the account; the sweep of all invariants runs inside the world. proptest prints the shortest
//! sequence that fails.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::relay::{Direction, EndReason, Flow};
use crate::wire::{ErrorCode, TransactionId};

const CLIENTS: usize = 3;
const PER_ALLOCATION: usize = 2;
const IN_TOTAL: usize = 4;
const SECOND: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
enum Op {
    Allocate(usize),
    Delete(usize),
    Disconnect(usize),
    Permit(usize, Peer),
    Connect(usize, Peer),
    /// The outcome of an attempt.
    Report(Nth, bool),
    Arrive(usize, Peer),
    /// By another stream of a client's.
    Bind(usize, Nth),
    /// Closed by the peer or the client.
    Close(Nth),
    Carry(Nth, Direction, u16),
    /// Milliseconds.
    Pass(u64),
}

/// One of the connections that there are, in the order of their ids, or one that was, where there are none.
#[derive(Clone, Copy, Debug)]
struct Nth(usize);

#[derive(Clone, Copy, Debug)]
enum Peer {
    Public(u16),
    Denied,
    /// Another client's relayed address, the last that it had.
    Relay(usize),
}

/// What has to be there.
#[derive(Default)]
struct Account {
    /// Milliseconds since the beginning.
    now: u64,
    allocations: [Option<Allocated>; CLIENTS],
    connections: BTreeMap<u32, Known>,
    /// Answers and indications that clients have to be told: whom, which transaction, what code; an attempt has none.
    told: Vec<(usize, Option<(TransactionId, u16)>)>,
    carried: [u64; 2],
}

struct Allocated {
    relayed: SocketAddr,
    until: u64,
    permissions: BTreeMap<std::net::IpAddr, u64>,
    /// Connections that peers opened or might have, in the second named first.
    arrivals: (u64, usize),
}

struct Known {
    token: ConnectionToken,
    client: usize,
    peer: SocketAddr,
    stage: Stage,
}

enum Stage {
    Connecting(TransactionId, u64),
    Pending(u64),
    Bound,
}

struct Play {
    world: World,
    clients: Vec<Client>,
    /// Streams for data connections, one for each client.
    streams: Vec<Client>,
    /// Where each client was relayed last.
    relays: [Option<SocketAddr>; CLIENTS],
    last: Option<ConnectionToken>,
    account: Account,
}

proptest! {
    #[test]
    fn tc_random_operations_do_what_the_account_says(ops in prop::collection::vec(op(), 1..120)) {
        let mut play = Play::new();
        for op in ops {
            play.step(op);
        }
        play.finish();
    }
}

fn op() -> impl Strategy<Value = Op> {
    let client = || 0..CLIENTS;
    let nth = || (0..IN_TOTAL).prop_map(Nth);
    let way = prop_oneof![Just(Direction::ToPeer), Just(Direction::ToClient)];
    let pass = prop::sample::select(vec![
        1,
        SECOND,
        15 * SECOND,
        30 * SECOND - 1,
        30 * SECOND,
        299 * SECOND,
        300 * SECOND,
    ]);
    prop_oneof![
        3 => client().prop_map(Op::Allocate),
        1 => client().prop_map(Op::Delete),
        1 => client().prop_map(Op::Disconnect),
        3 => (client(), peer_strategy()).prop_map(|(client, peer)| Op::Permit(client, peer)),
        6 => (client(), peer_strategy()).prop_map(|(client, peer)| Op::Connect(client, peer)),
        5 => (nth(), prop::bool::weighted(0.8)).prop_map(|(nth, open)| Op::Report(nth, open)),
        5 => (client(), peer_strategy()).prop_map(|(client, peer)| Op::Arrive(client, peer)),
        6 => (client(), nth()).prop_map(|(client, nth)| Op::Bind(client, nth)),
        2 => nth().prop_map(Op::Close),
        4 => (nth(), way, any::<u16>()).prop_map(|(nth, way, bytes)| Op::Carry(nth, way, bytes)),
        3 => pass.prop_map(Op::Pass),
    ]
}

fn peer_strategy() -> impl Strategy<Value = Peer> {
    prop_oneof![
        3 => (1..4_u16).prop_map(Peer::Public),
        1 => Just(Peer::Denied),
        2 => (0..CLIENTS).prop_map(Peer::Relay),
    ]
}

impl Play {
    fn new() -> Self {
        let mut options = with_tcp();
        options.limits.peer_connections = PER_ALLOCATION;
        options.limits.peer_connections_total = IN_TOTAL;
        options.lifetimes.quarantine = Duration::ZERO;
        let mut world = World::of(options, 2, 7);
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let mut client = stream(&mut world, ["alice", "bob", "carol"][number]);
            client.worker = number % 2;
            clients.push(client);
        }
        let streams = clients
            .iter()
            .map(|client| {
                let mut data = another_stream(&mut world, client);
                // The first client's data connections reach the other worker.
                if client.at == clients[0].at {
                    data.worker = 1;
                }
                data
            })
            .collect();
        Self {
            world,
            clients,
            streams,
            relays: [None; CLIENTS],
            last: None,
            account: Account::default(),
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Allocate(client) => self.allocate(client),
            Op::Delete(client) => {
                let code = self.clients[client].refresh(&mut self.world, 0).code;
                let known = self.account.allocations[client].is_some();
                assert_eq!(code, if known { 0 } else { 437 });
                self.account.end(client);
            }
            Op::Disconnect(client) => {
                let Client { at, worker, .. } = self.clients[client];
                let now = self.world.now;
                self.world.relays[worker].on_disconnect(now, &at, &mut self.world.hosts[worker]);
                self.account.end(client);
            }
            Op::Permit(client, peer) => self.permit(client, peer),
            Op::Connect(client, peer) => self.connect(client, peer),
            Op::Report(nth, open) => self.report(nth, open),
            Op::Arrive(client, peer) => self.arrive(client, peer),
            Op::Bind(client, nth) => self.bind(client, nth),
            Op::Close(nth) => self.close(nth),
            Op::Carry(nth, way, bytes) => self.carry(nth, way, bytes),
            Op::Pass(millis) => {
                self.world.pass(Duration::from_millis(millis));
                self.account.pass(millis);
                // Nonces are no part of the account.
                for client in self.clients.iter_mut().chain(&mut self.streams) {
                    client.learn_nonce(&mut self.world);
                }
            }
        }
        self.compare();
    }

    fn allocate(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let answer = client.ask(&mut self.world, Method::ALLOCATE, tcp);
        if self.account.allocations[number].is_some() {
            assert_eq!(answer.code, 437);
            return;
        }
        let relayed = answer.relayed();
        self.relays[number] = Some(relayed);
        self.account.allocations[number] = Some(Allocated {
            relayed,
            until: self.account.now + 600 * SECOND,
            permissions: BTreeMap::new(),
            arrivals: (0, 0),
        });
    }

    fn permit(&mut self, number: usize, peer: Peer) {
        let peer = self.address(peer);
        let code = self.clients[number].permit(&mut self.world, &[peer]).code;
        let until = self.account.now + 300 * SECOND;
        let expected = match &mut self.account.allocations[number] {
            None => 437,
            Some(_) if is_denied(peer) => 403,
            Some(allocated) => {
                allocated.permissions.insert(peer.ip(), until);
                0
            }
        };
        assert_eq!(code, expected);
    }

    fn connect(&mut self, number: usize, peer: Peer) {
        let peer = self.address(peer);
        let expected = self.account.connect_code(number, peer);
        let client = &mut self.clients[number];
        let request = client.request(Method::CONNECT, |writer| {
            writer.put(&XorPeerAddress(peer)).unwrap();
        });
        let outcome = self.world.send_to(client.worker, &client.at, &request);
        if outcome != Outcome::Later {
            let answer = Answer::of(outcome.reply(), &request, Some(&client.key));
            assert_eq!(answer.code, expected);
            return;
        }
        assert_eq!(expected, 0);
        let relayed = self.account.allocations[number].as_ref().unwrap().relayed;
        let token = connection(&self.world, relayed, &peer.to_string());
        let id = Message::parse(&request).unwrap().transaction_id();
        let until = self.account.now + 30 * SECOND;
        self.add(token, number, peer, Stage::Connecting(id, until));
    }

    fn report(&mut self, nth: Nth, open: bool) {
        let Some(token) = self.nth(nth) else { return };
        let worker = self.worker_of(token);
        let connecting = self.account.connecting(token);
        // The outcome of an attempt comes once; of what is no attempt any more, a late success at most.
        if !open && connecting.is_none() {
            return;
        }
        report(
            &mut self.world,
            worker,
            token,
            open.then_some(()).ok_or(ConnectFailed),
        );
        let Some((client, id)) = connecting else {
            return;
        };
        if open {
            let until = self.account.now + 30 * SECOND;
            self.account.told.push((client, Some((id, 0))));
            let known = self.account.connections.get_mut(&token.id.0).unwrap();
            known.stage = Stage::Pending(until);
        } else {
            self.account.close(token.id.0);
        }
    }

    fn arrive(&mut self, number: usize, peer: Peer) {
        let peer = self.address(peer);
        let account = &mut self.account;
        if account.allocations[number].is_none() {
            return;
        }
        // No kernel has two connections with the same ends.
        if account.between(number, peer) {
            return;
        }
        let live = account.is_live(peer) || !is_relayed(peer);
        let in_total = account.connections.len();
        let own = account.own(number);
        let now = account.now;
        let allocated = account.allocations[number].as_mut().unwrap();
        let permitted = allocated.permissions.get(&peer.ip());
        let expected = if permitted.is_none_or(|until| *until <= now) {
            Err(DropReason::NoPermission)
        } else if !live {
            Err(DropReason::PeerDenied)
        } else if own >= PER_ALLOCATION || !allocated.may_announce(now) || in_total >= IN_TOTAL {
            Err(DropReason::TooManyConnections)
        } else {
            Ok(())
        };
        let relayed = allocated.relayed;
        let outcome = arrive(&mut self.world, relayed, &peer.to_string());
        assert_eq!(outcome.map(|_| ()), expected);
        if let Ok(token) = outcome {
            let until = self.account.now + 30 * SECOND;
            self.account.told.push((number, None));
            self.add(token, number, peer, Stage::Pending(until));
        }
    }

    fn bind(&mut self, number: usize, nth: Nth) {
        let Some(token) = self.nth(nth) else { return };
        let known = self.account.connections.get(&token.id.0);
        let home = known.map(|known| self.clients[known.client].worker);
        let bindable = known.is_some_and(|known| {
            known.client == number && matches!(known.stage, Stage::Pending(_))
        });
        let data = &mut self.streams[number];
        let (mut outcome, request) = try_bind(&mut self.world, data, token.id.0);
        if let Outcome::HandOver(worker) = outcome {
            assert_eq!(Some(worker), home);
            assert_ne!(worker, data.worker);
            outcome = self.world.send_to(worker, &data.at, &request);
        }
        if !bindable {
            let answer = Answer::of(outcome.reply(), &request, Some(&data.key));
            assert_eq!(answer.code, 400);
            return;
        }
        let Outcome::Splice { answer, connection } = outcome else {
            panic!("not bound but {outcome:?}")
        };
        assert_eq!(Answer::of(answer, &request, Some(&data.key)).code, 0);
        assert_eq!(connection, token);
        let known = self.account.connections.get_mut(&token.id.0).unwrap();
        known.stage = Stage::Bound;
    }

    fn close(&mut self, nth: Nth) {
        let Some(token) = self.nth(nth) else { return };
        let worker = self.worker_of(token);
        report_closed(&mut self.world, worker, token);
        self.account.close(token.id.0);
    }

    fn carry(&mut self, nth: Nth, way: Direction, bytes: u16) {
        let Some(token) = self.nth(nth) else { return };
        let worker = self.worker_of(token);
        let known = self.account.connections.get(&token.id.0);
        let bound = known.is_some_and(|known| matches!(known.stage, Stage::Bound));
        let now = self.world.now.tick;
        let flow = self.world.relays[worker].on_spliced(now, token, way, usize::from(bytes));
        assert_eq!(flow, if bound { Flow::Forward } else { Flow::Closed });
        if bound {
            self.account.carried[way as usize] += u64::from(bytes);
        }
    }

    fn add(&mut self, token: ConnectionToken, client: usize, peer: SocketAddr, stage: Stage) {
        let known = Known {
            token,
            client,
            peer,
            stage,
        };
        let previous = self.account.connections.insert(token.id.0, known);
        assert!(previous.is_none(), "an id is unique");
        self.last = Some(token);
    }

    fn nth(&self, Nth(nth): Nth) -> Option<ConnectionToken> {
        let all = &self.account.connections;
        let found = all.values().nth(nth).map(|known| known.token);
        found.or(self.last)
    }

    /// The worker that a connection is or was on. Those that are over are nobody's on either.
    fn worker_of(&self, token: ConnectionToken) -> usize {
        let known = self.account.connections.get(&token.id.0);
        known.map_or(0, |known| self.clients[known.client].worker)
    }

    fn address(&self, peer: Peer) -> SocketAddr {
        match peer {
            Peer::Public(port) => addr(&format!("8.8.8.8:{port}")),
            Peer::Denied => addr("10.1.2.3:1"),
            Peer::Relay(client) => self.relays[client].unwrap_or_else(|| addr(&at_relay(50_000))),
        }
    }

    fn compare(&mut self) {
        self.world.assert_invariants();
        let mut open: Vec<_> = self
            .world
            .hosts
            .iter()
            .flat_map(|host| host.connections.keys().copied())
            .collect();
        open.sort_by_key(|token| token.id);
        let known: Vec<_> = self
            .account
            .connections
            .values()
            .map(|it| it.token)
            .collect();
        assert_eq!(open, known, "connections");
        let mut told = Vec::new();
        for host in &mut self.world.hosts {
            for (to, bytes) in host.told.drain(..) {
                let mut clients = self.clients.iter();
                let client = clients.position(|client| client.at == to).unwrap();
                told.push((client, code(&bytes)));
            }
        }
        let mut expected = std::mem::take(&mut self.account.told);
        let order = |(client, what): &(usize, Option<(TransactionId, u16)>)| {
            (*client, what.map(|(TransactionId(id), code)| (id, code)))
        };
        told.sort_by_key(order);
        expected.sort_by_key(order);
        assert_eq!(told, expected, "what clients are told");
        let sum = |of: fn(&crate::relay::Counters) -> u64| -> u64 {
            (0..2).map(|worker| of(&self.world.counters(worker))).sum()
        };
        let carried = [
            sum(|counters| counters.to_peers.bytes.value()),
            sum(|counters| counters.to_clients.bytes.value()),
        ];
        assert_eq!(carried, self.account.carried, "bytes");
    }

    fn finish(&mut self) {
        let now = self.world.now;
        for (relay, host) in self.world.relays.iter_mut().zip(&mut self.world.hosts) {
            relay.shut_down(now, host);
        }
        for client in 0..CLIENTS {
            self.account.end(client);
        }
        self.compare();
        assert_eq!(self.world.sockets(), 0);
        let ended = self.world.hosts.iter().flat_map(|host| &host.ended);
        assert!(
            ended
                .into_iter()
                .all(|reason| *reason != EndReason::SessionLimit)
        );
    }
}

impl Allocated {
    fn may_announce(&mut self, now: u64) -> bool {
        if self.arrivals.0 != now / SECOND {
            self.arrivals = (now / SECOND, 0);
        }
        self.arrivals.1 += 1;
        self.arrivals.1 <= PER_ALLOCATION
    }
}

impl Account {
    /// What a Connect request is answered; 0 where it is put off.
    fn connect_code(&self, client: usize, peer: SocketAddr) -> u16 {
        let Some(own) = &self.allocations[client] else {
            return 437;
        };
        if self.between(client, peer) {
            446
        } else if is_denied(peer) || is_relayed(peer) && !self.is_live(peer) || peer == own.relayed
        {
            403
        } else if self.is_full(client) {
            508
        } else {
            0
        }
    }

    fn between(&self, client: usize, peer: SocketAddr) -> bool {
        let mut all = self.connections.values();
        all.any(|known| known.client == client && known.peer == peer)
    }

    fn is_live(&self, peer: SocketAddr) -> bool {
        let mut live = self.allocations.iter().flatten();
        live.any(|allocated| allocated.relayed == peer)
    }

    fn is_full(&self, client: usize) -> bool {
        self.own(client) >= PER_ALLOCATION || self.connections.len() >= IN_TOTAL
    }

    fn own(&self, client: usize) -> usize {
        let all = self.connections.values();
        all.filter(|known| known.client == client).count()
    }

    /// Whose attempt it is, and of which request.
    fn connecting(&self, token: ConnectionToken) -> Option<(usize, TransactionId)> {
        let known = self.connections.get(&token.id.0)?;
        match known.stage {
            Stage::Connecting(id, _) => Some((known.client, id)),
            Stage::Pending(_) | Stage::Bound => None,
        }
    }

    fn close(&mut self, id: u32) {
        if let Some(known) = self.connections.remove(&id)
            && let Stage::Connecting(transaction, _) = known.stage
        {
            self.told.push((known.client, Some((transaction, 447))));
        }
    }

    fn end(&mut self, client: usize) {
        self.allocations[client] = None;
        self.close_where(|known| known.client == client);
    }

    fn pass(&mut self, millis: u64) {
        self.now += millis;
        let now = self.now;
        self.close_where(|known| match known.stage {
            Stage::Connecting(_, until) | Stage::Pending(until) => until <= now,
            Stage::Bound => false,
        });
        for client in 0..CLIENTS {
            let over = self.allocations[client].as_ref();
            if over.is_some_and(|allocated| allocated.until <= now) {
                self.end(client);
            }
        }
    }

    fn close_where(&mut self, over: impl Fn(&Known) -> bool) {
        let all = self.connections.iter();
        let ids: Vec<u32> = all
            .filter(|(_, known)| over(known))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.close(id);
        }
    }
}

fn is_denied(peer: SocketAddr) -> bool {
    peer.ip() == addr("10.1.2.3:1").ip()
}

fn is_relayed(peer: SocketAddr) -> bool {
    peer.ip() == addr(&at_relay(1)).ip()
}

/// The transaction and code of an answer; an indication has none.
fn code(bytes: &[u8]) -> Option<(TransactionId, u16)> {
    let message = Message::parse(bytes).unwrap();
    let code = match message.class() {
        Class::Success => 0,
        Class::Error => message.get::<ErrorCode<'_>>().unwrap().unwrap().code,
        Class::Indication | Class::Request => return None,
    };
    Some((message.transaction_id(), code))
}
