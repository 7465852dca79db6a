//! How operations are drawn.

use super::choices::Choices;
use super::operation::{
    Data, Fault, Garbled, Login, Machine, Moment, Op, Peer, Port, Request, Wanted,
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
    /// Whether ports are reserved more often than not.
    reserves: bool,
    weights: [u64; KINDS],
}

/// How many kinds of operation there are.
const KINDS: usize = 13;

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
            reserves: choices.chance(1, 5),
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
    pub(super) fn op(&self, choices: &mut impl Choices) -> Op {
        let client = if choices.chance(1, 2) {
            self.clients[0]
        } else {
            choices.one(&self.clients)
        };
        match self.kind(choices) {
            0 => self.allocate(choices, client),
            1 => Op::Retransmit {
                client,
                login: choices.one(&[Login::Own, Login::Own, Login::Of(self.clients[0])]),
            },
            2 => Op::Request {
                client,
                login: self.login(choices),
                request: self.request(choices),
            },
            3 => Op::Data(Data::Send {
                client,
                peer: choices.one(&self.peers),
                len: len(choices),
                dont_fragment: choices.chance(1, 4),
            }),
            4 => Op::Data(Data::Frame {
                client,
                number: choices.one(&self.channels).0,
                len: len(choices),
            }),
            5 => Op::Data(Data::Arrive {
                socket: choices.index(8),
                from: choices.one(&self.peers),
                len: len(choices),
            }),
            6 => Op::Data(Data::Icmp {
                socket: choices.index(8),
                peer: choices.one(&self.peers),
                kind: choices.one(&[1, 2, 3, 3, 4, 11]),
                code: choices.one(&[0, 4]),
            }),
            7 => Op::Garble {
                client,
                packet: self.garbled(choices),
                edits: (0..choices.one(&[1, 1, 2, 4]))
                    .map(|_| (choices.short(1024), 1 + choices.byte(255)))
                    .collect(),
                cut: choices.chance(1, 8).then(|| choices.short(256)),
            },
            8 => Op::Pass(moment(choices)),
            9 => Op::Late(if choices.chance(1, 2) {
                Moment::Expiry { nudge: 0 }
            } else {
                moment(choices)
            }),
            10 => Op::Disconnect { client },
            11 => rare(choices, client, &self.peers),
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

    /// The number of a kind of operation, by its share.
    fn kind(&self, choices: &mut impl Choices) -> usize {
        const SHARES: [u64; KINDS] = [8, 2, 24, 6, 8, 12, 4, 3, 12, 3, 1, 1, 1];
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
        let wanted = match choices.below(16) {
            _ if self.reserves && choices.chance(2, 3) => choices.one(&[reserve, reserved]),
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
            request: Request::Allocate(wanted, lifetime),
        }
    }

    fn request(&self, choices: &mut impl Choices) -> Request {
        match choices.below(6) {
            0 => Request::Refresh(
                choices.one(&[None, Some(0), Some(1), Some(700), Some(u32::MAX)]),
                choices.one(&[None, None, Some(Family::V4), Some(Family::V6)]),
            ),
            1 | 2 => {
                let peers = 0..choices.one(&[1, 1, 1, 2, 3, 0]);
                Request::Permit(peers.map(|_| choices.one(&self.peers)).collect())
            }
            _ => {
                let (number, peer) = self.channel(choices);
                Request::Bind(number, peer)
            }
        }
    }

    /// A channel number and a peer, most often the usual one.
    fn channel(&self, choices: &mut impl Choices) -> (u16, Peer) {
        let (number, usual) = choices.one(&self.channels);
        if choices.chance(2, 3) {
            (number, usual)
        } else {
            (number, choices.one(&self.peers))
        }
    }

    fn login(&self, choices: &mut impl Choices) -> Login {
        match choices.below(16) {
            0 => Login::Of(choices.one(&self.clients)),
            1 => Login::WrongPassword,
            2 => Login::Unsigned,
            _ => Login::Own,
        }
    }

    fn garbled(&self, choices: &mut impl Choices) -> Garbled {
        let (number, peer) = self.channel(choices);
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
        0..=3 => Moment::Deadline {
            nth: choices.one(&[0, 0, 1, 2]),
            nudge,
        },
        4 => Moment::Expiry { nudge },
        _ => Moment::In(choices.one(&[
            0, 1, 400, 1_000, 1_000, 29_999, 60_000, 60_000, 200_000, 700_000,
        ])),
    }
}

fn family(choices: &mut impl Choices) -> Family {
    choices.one(&[Family::V4, Family::V4, Family::V6])
}

fn len(choices: &mut impl Choices) -> usize {
    choices.one(&[0, 1, 3, 4, 100, 1200, 40_000])
}
