//! Strangers who connect and do not get on with the handshake, and strangers who make the daemon work for it.
//!
//! One thread and one poller for all of them. Whoever is closed comes again at once, so that there are always as many;
//! and each comes from an address of its own.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::version::TLS13;
use veilturn::net::{Events, Interest, Poller, TcpStream};

use super::daemon::{Daemon, address};

/// How long the daemon's connections live at most without a sign; of no meaning here.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How often somebody who sends byte by byte sends one.
const DRIP: Duration = Duration::from_millis(100);

/// Parts that those who send byte by byte are divided into, so that they do not all send at the same time.
const PARTS: usize = 50;

/// Strangers who come in one turn at most, so that the listener's queue does not overflow.
const ARRIVALS: usize = 64;

/// Who lays siege.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// Strangers that are stuck in the handshake. A third says nothing, a third has sent half of a ClientHello, a third
    /// sends one byte every 100 ms.
    pub(crate) stuck: usize,
    /// Strangers that send a ClientHello, which was made once, wait until the daemon has answered it, and come again.
    pub(crate) hasty: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Seconds.
    pub(crate) span: f64,
    /// Connections that were opened.
    pub(crate) opened: u64,
    /// Handshakes that the daemon did its part of.
    pub(crate) answered: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Silent,
    Half,
    Drip,
    Hasty,
}

struct Stranger {
    manner: Manner,
    stream: Option<TcpStream>,
    sent: usize,
}

struct Siege<'a> {
    target: SocketAddr,
    hello: &'a [u8],
    poller: Poller,
    strangers: Vec<Stranger>,
    /// Those that are to come.
    away: Vec<usize>,
    outcome: Outcome,
}

/// Lays siege to the daemon's TLS listener until it is `over`.
pub(crate) fn lay(daemon: &Daemon, plan: Plan, over: &AtomicBool) -> Outcome {
    let hello = hello(daemon);
    let mut siege = Siege {
        target: daemon.tls,
        hello: &hello,
        poller: Poller::new().expect("a poller"),
        strangers: strangers(plan),
        away: (0..plan.stuck + plan.hasty).collect(),
        outcome: Outcome::default(),
    };
    let mut events = Events::new(64);
    let start = Instant::now();
    let mut part = 0;
    while !over.load(Ordering::Relaxed) {
        siege.arrive();
        let step = DRIP / u32::try_from(PARTS).expect("few parts");
        let patience = if siege.away.is_empty() {
            step
        } else {
            Duration::ZERO
        };
        let waited = siege.poller.wait(&mut events, Some(patience));
        waited.expect("a poller that works");
        for event in events.iter() {
            let number = usize::try_from(event.token).expect("a stranger's number");
            if event.readable || event.error || event.closed {
                siege.hear(number);
            } else {
                siege.speak(number);
            }
        }
        let due = start.elapsed().as_micros() / step.as_micros();
        if part < due {
            siege.drip(usize::try_from(part % PARTS as u128).expect("a part"));
            // One that was missed is made up for, but not at once.
            part += 1;
        }
    }
    siege.outcome.span = start.elapsed().as_secs_f64();
    siege.outcome
}

impl Siege<'_> {
    /// Some of those who are away come.
    fn arrive(&mut self) {
        for _ in 0..ARRIVALS {
            let Some(number) = self.away.pop() else {
                return;
            };
            let from = address(10_000 + self.outcome.opened);
            let Ok(stream) = TcpStream::connect(from, self.target, KEEPALIVE) else {
                self.away.push(number);
                return;
            };
            self.outcome.opened += 1;
            let interest = Interest {
                readable: true,
                writable: true,
            };
            let watched = self.poller.add(&stream, number as u64, interest);
            watched.expect("a socket that can be watched");
            let stranger = &mut self.strangers[number];
            stranger.stream = Some(stream);
            stranger.sent = 0;
        }
    }

    /// Connected: says what there is to say at first.
    fn speak(&mut self, number: usize) {
        let Stranger {
            manner,
            stream: Some(stream),
            sent,
        } = &mut self.strangers[number]
        else {
            return;
        };
        let first = match manner {
            Manner::Silent => 0,
            Manner::Half => self.hello.len() / 2,
            Manner::Drip => 1,
            Manner::Hasty => self.hello.len(),
        };
        // Where it fails, the next event tells.
        let _ = stream.send(&[IoSlice::new(&self.hello[..first])]);
        *sent = first;
        let watched = self
            .poller
            .modify(stream, number as u64, Interest::READABLE);
        watched.expect("a socket that is watched");
    }

    /// The daemon has answered, or closed the connection. It is dropped without reading: the kernel resets it, and keeps
    /// nothing of it.
    fn hear(&mut self, number: usize) {
        let stranger = &mut self.strangers[number];
        if stranger.stream.take().is_some() {
            self.outcome.answered += u64::from(stranger.manner == Manner::Hasty);
            self.away.push(number);
        }
    }

    /// One part of those who do so sends its next byte.
    fn drip(&mut self, part: usize) {
        for stranger in self.strangers.iter_mut().skip(part).step_by(PARTS) {
            let Stranger {
                manner: Manner::Drip,
                stream: Some(stream),
                sent: sent @ 1..,
            } = stranger
            else {
                continue;
            };
            if *sent + 1 < self.hello.len() {
                let _ = stream.send(&[IoSlice::new(&self.hello[*sent..=*sent])]);
                *sent += 1;
            }
        }
    }
}

fn strangers(plan: Plan) -> Vec<Stranger> {
    let stuck = [Manner::Silent, Manner::Half, Manner::Drip];
    let stuck = stuck.into_iter().cycle().take(plan.stuck);
    let hasty = std::iter::repeat_n(Manner::Hasty, plan.hasty);
    let manners = stuck.chain(hasty);
    let strangers = manners.map(|manner| Stranger {
        manner,
        stream: None,
        sent: 0,
    });
    strangers.collect()
}

/// A ClientHello of TLS 1.3, which may be sent any number of times: it costs the daemon a key exchange and a signature
/// each time, and those who send it nothing.
fn hello(daemon: &Daemon) -> Vec<u8> {
    let client = ClientConnection::new(daemon.client_config(&TLS13), Daemon::name());
    let mut hello = Vec::new();
    let written = client.expect("a session").write_tls(&mut hello);
    written.expect("room");
    hello
}
