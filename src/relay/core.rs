//! The relay of one worker: takes a packet, gives a verdict.
//!
//! This file sorts packets and answers requests; what each method means stands in the method's own file.

use std::net::SocketAddr;
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::budget::PrefixBudget;
use super::counters::Counters;
use super::from_client::SendIndication;
use super::request::{PeerTransport, Request, is_understood};
use super::response::{Asked, Refusal, Responder, Response, Success};
use super::shared::Shared;
use super::table::Table;
use super::timers::Timers;
use super::{DropReason, FiveTuple, Host, Options, Packet, Span, Transport, Verdict};
use crate::auth::Reject;
use crate::masked::Masked;
use crate::time::{Now, Tick};
use crate::wire::{Class, Demux, Fingerprint, Message, Method};

/// Allocations that the caches hold, roughly: below, to read ahead costs more than it saves.
const READ_AHEAD_FROM: usize = 4_096;

/// The TURN server of one worker (RFC 8656), without sockets or clocks.
///
/// Cost per packet of application data: from a client one hash look-up, its route, and the load of a version where the
/// peer is a client of this host; from a peer one index and binary searches in the allocation's own small tables.
pub struct Relay {
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
    /// The allocations whose clients this worker serves. At most `limits.allocations`.
    pub(super) table: Table,
    pub(super) timers: Timers,
    /// For ports and tokens.
    pub(super) rng: ChaCha12Rng,
    /// For the transactions of indications: apart, so that traffic has no say in which ports are drawn.
    pub(super) ids: ChaCha12Rng,
    /// The number of this worker, which no other one has.
    pub(super) worker: usize,
    /// For challenges and errors to sources that did not authenticate.
    pub(super) challenges: PrefixBudget,
    /// For Binding responses.
    pub(super) bindings: PrefixBudget,
}

impl Relay {
    /// The relay of the worker with the number `worker`, without allocations, whose random choices follow from `seed`.
    ///
    /// All workers have the same UDP listeners under the same link numbers: one may answer for another's clients.
    #[must_use]
    pub fn new(shared: Arc<Shared>, worker: usize, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut ids = [0; 32];
        rng.fill_bytes(&mut ids);
        let limits = &shared.options.limits;
        Self {
            counters: Arc::default(),
            table: Table::default(),
            timers: Timers::default(),
            challenges: PrefixBudget::new(limits.challenges_per_second, &mut rng),
            bindings: PrefixBudget::new(limits.bindings_per_second, &mut rng),
            ids: ChaCha12Rng::from_seed(ids),
            rng,
            worker,
            shared,
        }
    }

    /// What this relay counts.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// How many allocations live here.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.table.len()
    }

    /// Whether a client has an allocation.
    #[must_use]
    pub fn serves(&self, client: &FiveTuple) -> bool {
        self.table.id_of(client).is_some()
    }

    /// Whether a datagram from a client may be answered, so that its buffer must have room for a response; anything
    /// else needs no more than the headroom.
    #[must_use]
    pub fn may_answer(datagram: &[u8]) -> bool {
        // The two bits that every STUN message begins with are zero, and so are both class bits of a request (RFC 8489
        // section 5).
        matches!(datagram, [first, second, ..] if first & 0b1100_0001 == 0 && second & 0b0001_0000 == 0)
    }

    /// Reads ahead what the packets of these clients will need, as far as it is the first 64 of them, and changes nothing.
    /// To be called with the senders of a batch before its packets: where there are more allocations than the caches
    /// hold, most of a packet's time goes by waiting for memory, and the waits of a whole batch are over at once.
    pub fn read_ahead(&self, clients: impl Iterator<Item = FiveTuple>) {
        if self.table.len() >= READ_AHEAD_FROM {
            self.table.read_ahead(clients);
        }
    }

    /// Takes a datagram, or one frame of a stream, from a client.
    pub fn on_client(
        &mut self,
        now: Now,
        from: &FiveTuple,
        packet: &mut Packet<'_>,
        host: &mut impl Host,
    ) -> Verdict {
        let verdict = match packet.bytes().first().map(|first| Demux::of(*first)) {
            Some(Demux::ChannelData) => self
                .on_channel_data(now.tick, from, packet)
                .unwrap_or_else(Verdict::Drop),
            Some(Demux::Stun) => self.on_stun(now, from, packet, host),
            Some(Demux::Dtls | Demux::Unknown) | None => Verdict::Drop(DropReason::Malformed),
        };
        self.counters.verdict(&verdict);
        verdict
    }

    fn on_stun(
        &mut self,
        now: Now,
        from: &FiveTuple,
        packet: &mut Packet<'_>,
        host: &mut impl Host,
    ) -> Verdict {
        let Ok(message) = Message::parse(packet.bytes()) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        if message.fingerprint() == Fingerprint::Invalid {
            return Verdict::Drop(DropReason::BadFingerprint);
        }
        match (message.class(), message.method()) {
            (Class::Request, _) => match self.on_request(now, from, &message, host) {
                Ok(Reaction::Answer(response)) => self.reply(now, from, &response, packet),
                Ok(Reaction::Later) => Verdict::Later,
                Ok(Reaction::HandOver(worker)) => Verdict::HandOver { worker },
                Err(reason) => Verdict::Drop(reason),
            },
            (Class::Indication, Method::SEND) => {
                let send = SendIndication::parse(&message);
                self.on_send(now.tick, from, send, packet)
                    .unwrap_or_else(Verdict::Drop)
            }
            (Class::Indication, Method::BINDING) => Verdict::Drop(DropReason::Keepalive),
            (Class::Indication | Class::Success | Class::Error, _) => {
                Verdict::Drop(DropReason::UnexpectedMessage)
            }
        }
    }

    fn on_request(
        &mut self,
        now: Now,
        from: &FiveTuple,
        message: &Message<'_>,
        host: &mut impl Host,
    ) -> Result<Reaction, DropReason> {
        let method = message.method();
        if !is_served(method, &self.shared.options) {
            return Err(DropReason::UnexpectedMessage);
        }
        let relays = self.shared.directory_of(match from.transport() {
            Transport::Udp | Transport::Dtls => PeerTransport::Udp,
            Transport::Tcp | Transport::Tls => PeerTransport::Tcp,
        });
        if !self
            .shared
            .policy
            .accepts_client(from.client.reveal(), from.transport(), relays)
        {
            return Err(DropReason::BadSource);
        }
        let asked = Asked::of(message);
        if method == Method::BINDING {
            let response = self.on_binding(now.tick, from, message, asked)?;
            return Ok(Reaction::Answer(response));
        }
        if method == Method::CONNECTION_BIND
            && let Some(worker) = self.elsewhere(from, message)
        {
            return Ok(Reaction::HandOver(worker));
        }
        // The shell may not have come round to the timers: a request must not find what is over.
        self.handle_timeout(now, host);
        let shared = Arc::clone(&self.shared);
        let allocation = match method {
            Method::CONNECTION_BIND => self.bound_for(message),
            _ => self.table.id_of(from).and_then(|id| self.table.get(id)),
        };
        let bound = allocation.map(|allocation| Arc::clone(&allocation.owner.credential));
        match shared
            .auth
            .authenticate(now, from.client.reveal(), message, bound.as_deref())
        {
            Ok(who) => {
                let outcome = self.dispatch(
                    &Request {
                        now,
                        from,
                        message,
                        who: &who,
                    },
                    host,
                );
                let Some(outcome) = outcome.transpose() else {
                    return Ok(Reaction::Later);
                };
                // A 401 to a user whose credential ran out is a challenge like any other (RFC 8489 section 9.2.4).
                let key = (outcome != Err(Refusal::Unauthorized)).then_some(who.response_key);
                Ok(Reaction::Answer(Response {
                    asked,
                    outcome,
                    key,
                }))
            }
            Err(reject) => self
                .challenge(now.tick, from, asked, reject)
                .map(Reaction::Answer),
        }
    }

    /// Carries out an authenticated request; nothing comes of it yet where it is answered later. The order of the checks
    /// is that of RFC 8656 sections 5 and 7.2.
    fn dispatch(
        &mut self,
        request: &Request<'_, '_>,
        host: &mut impl Host,
    ) -> Result<Option<Success>, Refusal> {
        let Request {
            now,
            from,
            message,
            who,
        } = *request;
        let unknown = message.unknown_required(is_understood);
        if !unknown.is_empty() {
            return Err(Refusal::UnknownAttributes(unknown));
        }
        let id = self.table.id_of(from);
        if message.method() == Method::ALLOCATE {
            return match id {
                Some(id) => self.repeat_allocate(id, request),
                None => self.on_allocate(request, host),
            }
            .map(Some);
        }
        // The connection is the client's next one: it has no allocation of its own.
        if message.method() == Method::CONNECTION_BIND {
            return self.on_connection_bind(request).map(Some);
        }
        let id = id.ok_or(Refusal::AllocationMismatch)?;
        let owner = self
            .table
            .get(id)
            .map(|allocation| &allocation.owner)
            .ok_or(Refusal::AllocationMismatch)?;
        if owner.credential.username() != who.username {
            return Err(Refusal::WrongCredentials);
        }
        match message.method() {
            Method::CONNECT => return self.on_connect(id, request, host),
            Method::REFRESH => self.on_refresh(now, id, message, host),
            Method::CREATE_PERMISSION => self.on_create_permission(now.tick, id, message, host),
            _ => self.on_channel_bind(now.tick, id, message, host),
        }
        .map(Some)
    }

    /// Answers a request that did not authenticate, within the budget of its source's prefix.
    fn challenge(
        &mut self,
        now: Tick,
        from: &FiveTuple,
        asked: Asked,
        reject: Reject,
    ) -> Result<Response, DropReason> {
        self.counters.rejects[reject as usize].add(1);
        if !self.challenges.admit_answer(now, from) {
            return Err(DropReason::RateLimitedSource);
        }
        Ok(Response {
            asked,
            outcome: Err(reject.into()),
            key: None,
        })
    }

    /// Writes a response over the request that it answers.
    fn reply(
        &self,
        now: Now,
        from: &FiveTuple,
        response: &Response,
        packet: &mut Packet<'_>,
    ) -> Verdict {
        let Some(span) = self.write(now, from, response, packet.buffer()) else {
            return Verdict::Drop(DropReason::TooLarge);
        };
        match response.outcome {
            Ok(Success::ConnectionBind(connection)) => Verdict::Splice {
                answer: span,
                connection,
            },
            Ok(_) | Err(_) => Verdict::Reply(span),
        }
    }

    /// Writes a response to the start of `buf` and counts it; `None` where there is no room.
    pub(super) fn write(
        &self,
        now: Now,
        from: &FiveTuple,
        response: &Response,
        buf: &mut [u8],
    ) -> Option<Span> {
        let shared = &*self.shared;
        // A socket for both families shows an IPv4 client by a mapped address, which is not the client's.
        let client = from.client.reveal();
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let responder = Responder {
            auth: &shared.auth,
            software: shared.options.software.as_deref(),
            now,
            client: Masked::new(client),
        };
        let end = responder.write(response, buf).ok()?;
        if let Some((row, column)) = response.counter() {
            self.counters.responses[row][column].add(1);
        }
        Some(Span { start: 0, end })
    }
}

/// What comes of a request that is not dropped.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are answers, and none is kept"
)]
enum Reaction {
    Answer(Response),
    /// The answer follows.
    Later,
    /// It is another worker's.
    HandOver(usize),
}

/// The methods that a client may request here.
const fn is_served(method: Method, options: &Options) -> bool {
    match method {
        Method::BINDING
        | Method::ALLOCATE
        | Method::REFRESH
        | Method::CREATE_PERMISSION
        | Method::CHANNEL_BIND => true,
        Method::CONNECT | Method::CONNECTION_BIND => options.tcp,
        _ => false,
    }
}
