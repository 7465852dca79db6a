//! How operations are drawn: with an eye on the shadow, so that most of them find an allocation, a permission or a
//! channel to work on.

use super::choices::Choices;
use super::driver::Driver;
use super::operation::{
    Data, Ending, Fault, Garbled, Login, Machine, Moment, Op, Peer, Port, Request, Wanted,
};
use super::setup::{FORBIDDEN, PARTIES, Setup};
use crate::wire::Family;

/// What a case is about: few clients, peers and numbers, so that they meet, and operations in a mixture of its own.
pub(super) struct Theme {
    /// The first is what the case is about most.
    clients: Vec<usize>,
    peers: Vec<Peer>,
    /// The number of each channel, and the peer that it is bound to most often.
    channels: Vec<(u16, Peer)>,
    /// How many bytes the payloads have.
    lens: &'static [usize],
    /// What most Allocates ask for, where the case has a liking.
    liking: Option<Liking>,
    weights: [u64; KINDS],
}

#[derive(Clone, Copy, Debug)]
enum Liking {
    Reserved,
    Dual,
}

/// How many kinds of operation there are.
const KINDS: usize = 11;

impl Theme {
    pub(super) fn draw(choices: &mut impl Choices, setup: &Setup) -> Self {
        let clients: Vec<usize> = (0..2 + choices.index(3))
            .map(|_| choices.index(PARTIES))
            .collect();
        let mut peers: Vec<Peer> = clients
            .iter()
            .map(|client| Peer::Relayed {
                client: *client,
                family: family(choices),
            })
            .collect();
        for _ in 0..2 + choices.index(4) {
            peers.push(any_peer(choices, setup));
        }
        let mut numbers = vec![0x4000 + choices.short(3), 0x4FFE, 0x4FFF];
        if choices.chance(1, 8) {
            numbers.extend([0x3FFF, 0x5000]);
        }
        let usual = numbers.into_iter().zip(peers.iter().copied().cycle());
        Self {
            channels: usual.collect(),
            lens: choices.one(&[
                &[0, 1, 3, 4, 100, 1200],
                &[0, 1, 3, 4, 100, 1200],
                &[40_000],
            ]),
            liking: choices.one(&[
                None,
                None,
                None,
                Some(Liking::Reserved),
                Some(Liking::Dual),
                Some(Liking::Dual),
            ]),
            weights: std::array::from_fn(|_| choices.one(&[1, 2, 4, 8])),
            clients,
            peers,
        }
    }

    /// The operations that a case begins with: most clients allocate.
    pub(super) fn prologue(&self, choices: &mut impl Choices, setup: &Setup) -> Vec<Op> {
        let mut ops = Vec::new();
        for client in &self.clients {
            if choices.chance(3, 4) {
                ops.push(self.allocate(choices, *client));
            }
        }
        if setup.has_room_for_a_storm() && choices.chance(1, 2) {
            self.storm(choices, &mut ops);
        }
        ops
    }

    /// One client reserves as many ports as it can.
    fn storm(&self, choices: &mut impl Choices, ops: &mut Vec<Op>) {
        let (client, login) = (choices.one(&self.clients), Login::Own);
        let reserve = Wanted::One(Some(Family::V4), Port::EvenWithNext);
        for _ in 0..18 {
            for request in [
                Request::Allocate(reserve, None),
                Request::Refresh(Some(0), None),
            ] {
                ops.push(Op::Request {
                    client,
                    login,
                    request,
                });
            }
        }
    }

    /// The next operation.
    pub(super) fn op(&self, choices: &mut impl Choices, driver: &Driver) -> Op {
        let client = choices.likely(&self.clients, |client| driver.holds(*client));
        match self.sensible(self.kind(choices), client, choices, driver) {
            0 => {
                let client = choices.likely(&self.clients, |client| !driver.holds(*client));
                self.allocate(choices, client)
            }
            1 => Op::Retransmit {
                client,
                login: choices.one(&[Login::Own, Login::Own, Login::Of(self.clients[0])]),
            },
            2 => Op::Request {
                client,
                login: self.login(choices),
                request: self.request(choices, driver, client),
            },
            3 => Op::Data(self.outbound(choices, driver, client)),
            4 => Op::Data(self.inbound(choices, driver)),
            5 => Op::Garble {
                client,
                packet: self.garbled(choices),
                edits: (0..choices.one(&[1, 1, 2, 4]))
                    .map(|_| (choices.short(1024), 1 + choices.byte(255)))
                    .collect(),
                cut: choices.chance(1, 8).then(|| choices.short(256)),
            },
            6 => Op::Pass(moment(choices)),
            7 => Op::Late(if choices.chance(1, 2) {
                let of = choices.one(&[Ending::Relayed, Ending::Permission, Ending::Channel]);
                Moment::End { of, nudge: 0 }
            } else {
                moment(choices)
            }),
            8 => Op::Disconnect { client },
            9 => rare(choices, client, &self.peers),
            _ => Op::Host(choices.one(&[
                Machine::Sound,
                Machine::Sound,
                Machine::Holds { by: 2, rest: 0 },
                Machine::Holds { by: 2, rest: 1 },
                Machine::Holds { by: 1, rest: 0 },
                Machine::Exhausted,
            ])),
        }
    }

    /// Most often the same kind of operation, or the one that has to come before it.
    fn sensible(
        &self,
        kind: usize,
        client: usize,
        choices: &mut impl Choices,
        driver: &Driver,
    ) -> usize {
        let permits = |client| self.peers.iter().any(|peer| driver.permits(client, *peer));
        match kind {
            2..=4 if !driver.holds(client) && choices.chance(7, 8) => 0,
            3 | 4 if !permits(client) && choices.chance(7, 8) => 2,
            0 if self.clients.iter().all(|client| driver.holds(*client)) => 3,
            _ => kind,
        }
    }

    /// The number of a kind of operation, by its share.
    fn kind(&self, choices: &mut impl Choices) -> usize {
        const SHARES: [u64; KINDS] = [8, 2, 16, 14, 18, 3, 10, 3, 1, 1, 1];
        let shares = std::array::from_fn::<u64, KINDS, _>(|kind| SHARES[kind] * self.weights[kind]);
        let mut drawn = choices.below(shares.iter().sum());
        for (kind, share) in shares.into_iter().enumerate() {
            if drawn < share {
                return kind;
            }
            drawn -= share;
        }
        KINDS - 1
    }

    fn allocate(&self, choices: &mut impl Choices, client: usize) -> Op {
        let port = choices.one(&[Port::Any, Port::Any, Port::Even]);
        let reserved = Wanted::Reserved(choices.index(3));
        let reserve = Wanted::One(Some(family(choices)), Port::EvenWithNext);
        let liked = match self.liking {
            Some(liking) if choices.chance(2, 3) => Some(match liking {
                Liking::Reserved => choices.one(&[reserve, reserved]),
                Liking::Dual => Wanted::Both(port),
            }),
            _ => None,
        };
        let any = match choices.below(16) {
            0..=5 => Wanted::One(choices.one(&[None, Some(Family::V4)]), port),
            6 | 7 => Wanted::One(Some(Family::V6), port),
            8..=11 => Wanted::Both(port),
            12 | 13 => reserve,
            14 => reserved,
            _ => Wanted::Nothing(choices.one(&[
                Fault::UnknownAttribute,
                Fault::NoTransport,
                Fault::Tcp,
                Fault::Contradiction,
            ])),
        };
        let lifetime = choices.one(&[None, None, Some(0), Some(601), Some(800), Some(u32::MAX)]);
        Op::Request {
            client,
            login: match choices.below(16) {
                0 => Login::Of(choices.index(PARTIES)),
                _ => self.login(choices),
            },
            request: Request::Allocate(liked.unwrap_or(any), lifetime),
        }
    }

    fn request(&self, choices: &mut impl Choices, driver: &Driver, client: usize) -> Request {
        let may_have = |peer: &Peer| driver.may_permit(client, *peer);
        match choices.below(8) {
            0 => Request::Refresh(
                choices.one(&[None, Some(0), Some(1), Some(700), Some(u32::MAX)]),
                choices.one(&[None, Some(Family::V4), Some(Family::V6)]),
            ),
            1..=3 => {
                let peers = 0..choices.one(&[1, 1, 1, 2, 3, 0]);
                Request::Permit(
                    peers
                        .map(|_| choices.likely(&self.peers, may_have))
                        .collect(),
                )
            }
            _ => {
                let usual = choices.likely(&self.channels, |(_, peer)| may_have(peer));
                let (number, peer) = if choices.chance(2, 3) {
                    usual
                } else {
                    (usual.0, choices.likely(&self.peers, may_have))
                };
                Request::Bind(number, peer)
            }
        }
    }

    fn outbound(&self, choices: &mut impl Choices, driver: &Driver, client: usize) -> Data {
        let len = choices.one(self.lens);
        if choices.chance(1, 3) {
            let peer = choices.likely(&self.peers, |peer| driver.permits(client, *peer));
            return Data::Send {
                client,
                peer,
                len,
                dont_fragment: choices.chance(1, 4),
            };
        }
        let (number, _) =
            choices.likely(&self.channels, |(number, _)| driver.binds(client, *number));
        Data::Frame {
            client,
            number,
            len,
        }
    }

    fn inbound(&self, choices: &mut impl Choices, driver: &Driver) -> Data {
        let socket = choices.likely(&[0, 1, 2, 3, 4, 5, 6, 7], |nth| {
            driver.behind(*nth).is_some()
        });
        let peer = choices.likely(&self.peers, |peer| {
            driver
                .behind(socket)
                .is_some_and(|client| driver.permits(client, *peer))
        });
        if choices.chance(3, 4) {
            Data::Arrive {
                socket,
                from: peer,
                len: choices.one(self.lens),
            }
        } else {
            Data::Icmp {
                socket,
                peer,
                kind: choices.one(&[1, 2, 3, 3, 4, 11]),
                code: choices.one(&[0, 4]),
            }
        }
    }

    fn login(&self, choices: &mut impl Choices) -> Login {
        match choices.below(40) {
            0 => Login::Of(choices.one(&self.clients)),
            1 => Login::WrongPassword,
            2 => Login::Unsigned,
            _ => Login::Own,
        }
    }

    fn garbled(&self, choices: &mut impl Choices) -> Garbled {
        let (number, peer) = choices.one(&self.channels);
        choices.one(&[
            Garbled::Allocate,
            Garbled::Delete,
            Garbled::Permit(peer),
            Garbled::Bind(number, peer),
            Garbled::Send(peer),
            Garbled::Frame(number),
        ])
    }
}

fn rare(choices: &mut impl Choices, client: usize, peers: &[Peer]) -> Op {
    if choices.chance(1, 2) {
        Op::Loop {
            from: choices.one(peers),
        }
    } else {
        Op::Renew {
            client,
            ttl: choices.one(&[0, 60, 900, 3600]),
        }
    }
}

fn any_peer(choices: &mut impl Choices, setup: &Setup) -> Peer {
    match choices.below(8) {
        0..=3 => Peer::Public {
            family: family(choices),
            host: 1 + choices.byte(4),
            port: choices.one(&[4000, 4000, 4001, 53, 0]),
        },
        4 => Peer::Fleet {
            port: choices.one(&[*setup.options.ports.start(), 4000]),
        },
        5 => Peer::Forbidden(choices.index(FORBIDDEN.len())),
        6 => Peer::Relayed {
            client: choices.index(PARTIES),
            family: family(choices),
        },
        _ => Peer::OfRelay {
            family: family(choices),
            offset: choices.short(8),
        },
    }
}

fn moment(choices: &mut impl Choices) -> Moment {
    let nudge = choices.one(&[-1, 0, 0, 1]);
    match choices.below(8) {
        0..=4 => Moment::End {
            of: choices.one(&[
                Ending::Relayed,
                Ending::Permission,
                Ending::Permission,
                Ending::Channel,
                Ending::Any(0),
                Ending::Any(0),
                Ending::Any(1),
                Ending::Any(2),
            ]),
            nudge,
        },
        _ => Moment::In(choices.one(&[
            0, 1, 400, 1_000, 1_000, 29_999, 60_000, 60_000, 200_000, 700_000,
        ])),
    }
}

fn family(choices: &mut impl Choices) -> Family {
    choices.one(&[Family::V4, Family::V4, Family::V6])
}
