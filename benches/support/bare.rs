//! A forwarder that knows nothing but which way a datagram goes: the least that a relay on these sockets could do
//! without batches.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::thread;

use veilturn::net::{Events, Interest, Poller};

use super::path::{ELSEWHERE, Flow, Path, Shape, address, socket};

/// A running forwarder. It ends with the process.
pub(crate) struct Bare {
    name: String,
}

/// What is to become of datagrams: they leave from that socket, for that address.
#[derive(Clone, Copy)]
struct Way {
    from: usize,
    to: SocketAddr,
}

/// The sockets of a forwarder and the ways between them.
struct Ways {
    /// The first is the listener.
    sockets: Vec<UdpSocket>,
    /// By socket and sender.
    ways: HashMap<(usize, SocketAddr), Way>,
}

impl Bare {
    /// Calls between two parties, each datagram from the listener through two relay sockets and out of the listener.
    pub(crate) fn call(shape: Shape) -> (Path, Self) {
        let mut ways = Ways::new();
        let calls: Vec<_> = (0..shape.calls)
            .map(|_| {
                let [a, b] = [(); 2].map(|()| socket(Ipv4Addr::LOCALHOST));
                let [by_a, by_b] = [(); 2].map(|()| ways.open());
                ways.lead((&a, by_a), (&b, by_b));
                ways.lead((&b, by_b), (&a, by_a));
                [ways.flow(&a, &b, shape), ways.flow(&b, &a, shape)]
            })
            .collect();
        ways.run(shape, calls, "call")
    }

    /// Calls between a party and a peer, each datagram from the listener out of a relay socket or the other way.
    pub(crate) fn peer(shape: Shape) -> (Path, Self) {
        let mut ways = Ways::new();
        let calls: Vec<_> = (0..shape.calls)
            .map(|_| {
                let (party, peer) = (socket(Ipv4Addr::LOCALHOST), socket(ELSEWHERE));
                let relay = ways.open();
                ways.add((0, address(&party)), (relay, address(&peer)));
                ways.add((relay, address(&peer)), (0, address(&party)));
                let there = ways.flow(&party, &peer, shape);
                let back = Flow {
                    from: peer,
                    to: ways.address(relay),
                    datagram: there.datagram.clone(),
                    at: party,
                    arriving: there.arriving,
                };
                [there, back]
            })
            .collect();
        ways.run(shape, calls, "peer")
    }

    /// The name of its thread.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Ways {
    fn new() -> Self {
        let mut ways = Self {
            sockets: Vec::new(),
            ways: HashMap::new(),
        };
        ways.open();
        ways
    }

    fn open(&mut self) -> usize {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket
            .set_nonblocking(true)
            .expect("a socket that does not wait");
        self.sockets.push(socket);
        self.sockets.len() - 1
    }

    fn address(&self, socket: usize) -> SocketAddr {
        address(&self.sockets[socket])
    }

    fn add(&mut self, arriving: (usize, SocketAddr), (from, to): (usize, SocketAddr)) {
        self.ways.insert(arriving, Way { from, to });
    }

    /// From a party to the listener, from its relay socket to that of the other party, from there to the other party.
    fn lead(&mut self, (a, by_a): (&UdpSocket, usize), (b, by_b): (&UdpSocket, usize)) {
        self.add((0, address(a)), (by_a, self.address(by_b)));
        self.add((by_b, self.address(by_a)), (0, address(b)));
    }

    fn flow(&self, from: &Rc<UdpSocket>, at: &Rc<UdpSocket>, shape: Shape) -> Flow {
        Flow {
            from: Rc::clone(from),
            to: self.address(0),
            datagram: vec![0x5A; shape.bytes],
            at: Rc::clone(at),
            arriving: shape.bytes,
        }
    }

    /// Starts forwarding, on the first core.
    fn run(self, shape: Shape, calls: Vec<[Flow; 2]>, path: &str) -> (Path, Bare) {
        let name = format!("bare-{path}-{}", shape.name);
        let thread = thread::Builder::new().name(name.clone());
        let forwarding = thread.spawn(move || {
            let _ = veilturn::net::stay_on_core(0);
            self.forward()
        });
        forwarding.expect("a thread");
        (Path::of(shape, calls), Bare { name })
    }

    /// Forwards for ever: empties each socket that is readable, one datagram after the other.
    fn forward(self) -> io::Result<()> {
        let poller = Poller::new()?;
        for (token, socket) in (0..).zip(&self.sockets) {
            poller.add(socket, token, Interest::READABLE)?;
        }
        let mut events = Events::new(256);
        let mut buf = [0; 2048];
        loop {
            poller.wait(&mut events, None)?;
            for event in events.iter() {
                let number = usize::try_from(event.token).expect("a socket's number");
                while let Ok((len, sender)) = self.sockets[number].recv_from(&mut buf) {
                    let Some(way) = self.ways.get(&(number, sender)) else {
                        continue;
                    };
                    // Rounds are bounded, so that there is room; a loss would show where it should have arrived.
                    let _ = self.sockets[way.from].send_to(&buf[..len], way.to);
                }
            }
        }
    }
}
