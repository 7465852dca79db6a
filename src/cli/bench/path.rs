//! The ways of the datagrams: which flows there are between clients and peers, through a server or the bare forwarder.

use std::net::SocketAddr;

use super::BenchError;
use super::args::{Direction, Framing, Scenario};
use super::bare::{BareSockets, Route};
use super::parties::Parties;
use super::places::{Place, Places};
use crate::client::Client;
use crate::wire::{ChannelData, ChannelNumber, write_channel_header};

/// Datagrams from one place to another, with a server in between.
pub(super) struct Flow {
    pub(super) from: Place,
    /// The server's address.
    pub(super) to: SocketAddr,
    pub(super) wrapping: Wrapping,
    /// The number of the client that must receive them; `None` for the plain peer.
    pub(super) receiver: Option<usize>,
}

/// What stands around a payload.
#[derive(Clone, Default)]
pub(super) struct Wrapping {
    pub(super) header: Box<[u8]>,
    /// Bytes behind the payload.
    pub(super) padding: usize,
}

/// What the flows of a test are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) scenario: Scenario,
    pub(super) calls: usize,
    pub(super) direction: Direction,
    pub(super) framing: Framing,
    pub(super) media: Media,
}

/// Frames of equal datagrams at a steady rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Media {
    /// Bytes of a datagram's payload.
    pub(super) size: u16,
    /// Datagrams of a frame, sent at once.
    pub(super) burst: u16,
    /// Frames of one flow per second.
    pub(super) frames: u32,
}

impl Media {
    /// Speech: 160 bytes every 20 ms.
    pub(super) const AUDIO: Self = Self {
        size: 160,
        burst: 1,
        frames: 50,
    };

    /// A good picture: 25 datagrams of 1200 bytes, 30 times a second.
    pub(super) const VIDEO: Self = Self {
        size: 1200,
        burst: 25,
        frames: 30,
    };

    /// Bytes of a datagram's payload.
    pub(super) fn size(&self) -> usize {
        usize::from(self.size)
    }

    /// Datagrams per second of so many flows.
    pub(super) fn rate(&self, flows: usize) -> u64 {
        flows as u64 * u64::from(self.burst) * u64::from(self.frames)
    }
}

impl Shape {
    /// How many clients there are.
    pub(super) const fn clients(&self) -> usize {
        match self.scenario {
            Scenario::Call => 2 * self.calls,
            Scenario::Peer | Scenario::Allocations => self.calls,
        }
    }

    /// How many flows there are.
    pub(super) const fn flows(&self) -> usize {
        match self.direction {
            Direction::Both => 2 * self.calls,
            Direction::Up | Direction::Down => self.calls,
        }
    }

    /// Has the clients, which have allocations, open channels or permissions to each other; the flows between them.
    pub(super) fn call(
        self,
        places: &mut Places,
        parties: &mut Parties,
    ) -> Result<Vec<Flow>, BenchError> {
        let relayed: Option<Vec<SocketAddr>> = (0..self.clients())
            .map(|client| parties.relayed(client))
            .collect();
        let relayed = relayed.ok_or(BenchError::NoRelayedAddress)?;
        let others: Vec<SocketAddr> = (0..self.clients())
            .map(|client| relayed[client ^ 1])
            .collect();
        let wrappings = self.connect(places, parties, &others)?;
        let to = places.server();
        let flow = |from: usize| Flow {
            from: places.client(from),
            to,
            wrapping: wrappings[from].clone(),
            receiver: Some(from ^ 1),
        };
        Ok(self.each_way(|call| flow(2 * call), |call| flow(2 * call + 1)))
    }

    /// Has the clients, which have allocations, open channels or permissions to the plain peer at `peer`; the flows
    /// between them and it.
    pub(super) fn peer(
        self,
        places: &mut Places,
        parties: &mut Parties,
        (place, peer): (Place, SocketAddr),
    ) -> Result<Vec<Flow>, BenchError> {
        let relayed: Option<Vec<SocketAddr>> = (0..self.clients())
            .map(|client| parties.relayed(client))
            .collect();
        let relayed = relayed.ok_or(BenchError::NoRelayedAddress)?;
        let wrappings = self.connect(places, parties, &vec![peer; self.clients()])?;
        let to = places.server();
        let up = |call: usize| Flow {
            from: places.client(call),
            to,
            wrapping: wrappings[call].clone(),
            receiver: None,
        };
        let down = |call: usize| Flow {
            from: place,
            to: relayed[call],
            wrapping: Wrapping::default(),
            receiver: Some(call),
        };
        Ok(self.each_way(up, down))
    }

    /// The flows through a bare forwarder and where it takes them: in a call from party to party, else from the
    /// listener out of a relay socket to the plain peer and the other way.
    pub(super) fn bare(
        self,
        places: &Places,
        peer: Option<(Place, SocketAddr)>,
        sockets: &mut BareSockets,
    ) -> Result<(Vec<Flow>, Vec<Route>), BenchError> {
        let relays: Result<Vec<usize>, BenchError> = match peer {
            Some(_) => (0..self.calls).map(|_| sockets.open_one()).collect(),
            None => Ok(Vec::new()),
        };
        let relays = relays?;
        let (mut routes, listener) = (Vec::new(), sockets.address(0));
        let flow = |from, to, receiver| Flow {
            from,
            to,
            wrapping: Wrapping::default(),
            receiver,
        };
        let client = |number| places.client(number);
        let ways: Vec<(Flow, Route)> = self.each_way(
            |call| match peer {
                Some((_, to)) => {
                    let route = Route {
                        socket: relays[call],
                        to,
                    };
                    (flow(client(call), listener, None), route)
                }
                None => {
                    let to = places.address(client(2 * call + 1));
                    (
                        flow(client(2 * call), listener, Some(2 * call + 1)),
                        Route { socket: 0, to },
                    )
                }
            },
            |call| match peer {
                Some((place, _)) => {
                    let to = places.address(client(call));
                    (
                        flow(place, sockets.address(relays[call]), Some(call)),
                        Route { socket: 0, to },
                    )
                }
                None => {
                    let to = places.address(client(2 * call));
                    (
                        flow(client(2 * call + 1), listener, Some(2 * call)),
                        Route { socket: 0, to },
                    )
                }
            },
        );
        let flows = ways
            .into_iter()
            .map(|(flow, route)| {
                routes.push(route);
                flow
            })
            .collect();
        Ok((flows, routes))
    }

    /// What flows up and down in each call, as the direction has it.
    fn each_way<T>(self, up: impl Fn(usize) -> T, down: impl Fn(usize) -> T) -> Vec<T> {
        let mut flows = Vec::with_capacity(self.flows());
        for call in 0..self.calls {
            if self.direction != Direction::Down {
                flows.push(up(call));
            }
            if self.direction != Direction::Up {
                flows.push(down(call));
            }
        }
        flows
    }

    /// Opens the way from each client to its peer; what stands around payloads on it.
    fn connect(
        self,
        places: &mut Places,
        parties: &mut Parties,
        peers: &[SocketAddr],
    ) -> Result<Vec<Wrapping>, BenchError> {
        let size = self.media.size();
        match self.framing {
            Framing::Channels => {
                let mut wrappings = Vec::with_capacity(peers.len());
                parties.ask_all(places, |client, number, now| {
                    let (request, channel) = client.bind(now, peers[number])?;
                    wrappings.push(Wrapping::channel_data(channel, size));
                    Ok(request)
                })?;
                Ok(wrappings)
            }
            Framing::Indications => {
                parties.ask_all(places, |client, number, now| {
                    client.permit(now, &[peers[number]])
                })?;
                let wrapping =
                    |(number, peer)| Wrapping::send_indication(parties.client(number), peer, size);
                peers.iter().copied().enumerate().map(wrapping).collect()
            }
            Framing::Bare => Ok(vec![Wrapping::default(); peers.len()]),
        }
    }
}

impl Wrapping {
    fn channel_data(channel: ChannelNumber, size: usize) -> Self {
        let mut header = [0; ChannelData::HEADER_LEN];
        let len = u16::try_from(size).unwrap_or(u16::MAX);
        write_channel_header(&mut header, channel, len);
        Self {
            header: header.into(),
            padding: 0,
        }
    }

    fn send_indication(
        client: &mut Client,
        peer: SocketAddr,
        size: usize,
    ) -> Result<Self, BenchError> {
        let (payload, mut out) = (vec![0; size], vec![0; size + 64]);
        let written = client.send_indication(&mut out, peer, &payload);
        let len = written.map_err(|_| BenchError::TooLong)?;
        let padding = size.next_multiple_of(4) - size;
        Ok(Self {
            header: out[..len - padding - size].into(),
            padding,
        })
    }
}
