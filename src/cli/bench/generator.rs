//! The load: sends the frames of all flows at their times, receives what arrives, and counts. One thread.
//!
//! Times are absolute: a frame that is late does not delay those behind it, and how late frames were is reported. While
//! the next frame is less than a millisecond away the thread looks again and again instead of sleeping, so its
//! processor time says nothing; how much of it was spent on datagrams is measured instead.

use std::time::Duration;

use super::BenchError;
use super::meter::{Meter, Reading, Usage};
use super::parties::Parties;
use super::path::Flow;
use super::places::{Arrival, Places};
use super::schedule::{Clock, SECOND, Schedule};
use super::stamp::Stamp;
use super::tally::{Counts, Percentiles, Tally, Times};
use crate::wire::{ChannelData, Class, Data, Demux, Message};

/// Datagrams sent between two looks at what has come.
const TURN: usize = 128;

/// After the last frame, the receivers wait until nothing has come for so long, in nanoseconds: if all is there, or in a
/// search, where rates that lose datagrams are common.
const QUIET: u64 = 150_000_000;

/// The longest that they wait for that, and for datagrams that are missing, in nanoseconds.
const DRAIN: u64 = SECOND;

/// How late the last frames may be sent: by a hundredth of the run and so much more, in nanoseconds.
const GRACE: u64 = 2_000_000;

/// Room for the headers in front of a payload, in bytes.
const HEADROOM: usize = 64;

/// A generator with its flows.
pub(super) struct Generator {
    pub(super) places: Places,
    /// None where there is no TURN server.
    pub(super) parties: Option<Parties>,
    flows: Vec<Flow>,
    /// The number of the next datagram of each flow.
    numbers: Vec<u32>,
    burst: u64,
    /// Bytes of a payload.
    size: usize,
    key: u32,
    /// The current run.
    run: u16,
    /// Where datagrams are put together: room for a header, a payload, padding.
    scratch: Vec<u8>,
    meter: Option<Meter>,
    /// How long to wait for datagrams that are missing, in nanoseconds since the last that came.
    patience: u64,
}

/// What came of one run at one rate.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// The datagrams per second that were asked for.
    pub(super) rate: u64,
    /// Bytes of a payload.
    pub(super) size: usize,
    /// How long frames were sent, in nanoseconds.
    pub(super) span: u64,
    /// Datagrams that were due.
    pub(super) due: u64,
    /// Datagrams that the kernel took, or a connection.
    pub(super) sent: u64,
    pub(super) counts: Counts,
    /// How many of the datagrams sent in each interval arrived.
    pub(super) by_interval: Vec<u64>,
    /// Messages that the kernel dropped because a buffer of the generator was full.
    pub(super) dropped_here: u64,
    pub(super) latency: Percentiles,
    pub(super) from_schedule: Percentiles,
    /// How late frames were sent.
    pub(super) lateness: Percentiles,
    /// How long after the end of the span the last datagram came, in nanoseconds.
    pub(super) tail: u64,
    /// How much of the span the generator was busy, between 0 and 1.
    pub(super) busy: f64,
    /// How long the generator was ready to run while others had its core, in nanoseconds.
    pub(super) waited: u64,
    /// What the server used while frames were sent and received.
    pub(super) usage: Option<Usage>,
    pub(super) resident: Option<u64>,
}

/// What came of a second or so of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// When it ended, in nanoseconds after the start of the run.
    pub(super) at: u64,
    /// How long it was, in nanoseconds.
    pub(super) span: u64,
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) latency: Percentiles,
    pub(super) usage: Option<Usage>,
}

/// A run under way.
struct Progress {
    schedule: Schedule,
    /// When it began, in nanoseconds of the clock.
    start: u64,
    /// The next frame.
    frame: u64,
    tally: Tally,
    /// All but the current interval's.
    latency: Times,
    lateness: Times,
    /// How long nothing was to be done, in nanoseconds.
    idle: u64,
    /// When a datagram came last, in nanoseconds of the clock.
    last: u64,
    /// When the current interval began, and what had been sent and delivered by then.
    mark: Mark,
}

struct Mark {
    at: u64,
    sent: u64,
    delivered: u64,
    reading: Option<Reading>,
}

impl Generator {
    /// A generator for `flows`, each of which sends frames of `burst` datagrams with `size` bytes of payload.
    pub(super) fn new(
        places: Places,
        flows: Vec<Flow>,
        (burst, size): (u16, usize),
        key: u32,
    ) -> Self {
        Self {
            places,
            parties: None,
            numbers: vec![0; flows.len()],
            flows,
            burst: u64::from(burst),
            size,
            key,
            run: 0,
            scratch: vec![0; HEADROOM + size + 4],
            meter: None,
            patience: DRAIN,
        }
    }

    /// Has runs end as soon as nothing comes any more, even where datagrams are missing.
    pub(super) const fn hurry(&mut self) {
        self.patience = QUIET;
    }

    /// Has the server metered.
    pub(super) fn set_meter(&mut self, meter: Meter) {
        self.meter = Some(meter);
    }

    /// Sends `rate` datagrams per second for `span` nanoseconds and waits for the last ones; tells `watch` of each
    /// interval of `every` nanoseconds.
    ///
    /// # Errors
    ///
    /// Where a socket or the server fails; loss is none.
    pub(super) fn run(
        &mut self,
        rate: u64,
        span: u64,
        (every, watch): (u64, &mut dyn FnMut(&Interval)),
    ) -> Result<Run, BenchError> {
        self.run = self.run.wrapping_add(1);
        self.numbers.fill(0);
        let _earlier = self.places.take_unsent();
        let dropped = self.places.drops();
        let (before, waited) = (self.reading(), Meter::waited());
        let mut progress = self.begin(rate, span);
        let mut sent = 0;
        let limit = progress.start + span + span / 100 + GRACE;
        while progress.frame < progress.schedule.frames() && self.clock().nanos() < limit {
            sent += self.turn(&mut progress)?;
            let now = self.clock().nanos();
            if now - progress.mark.at >= every {
                watch(&self.mark(&mut progress, (now, sent)));
            }
        }
        let end = self.clock().nanos();
        let waited = Meter::waited().saturating_sub(waited);
        // A frame takes as long as there is to the next one.
        let sending = (end - progress.start).max(progress.schedule.due(progress.frame));
        self.drain(&mut progress, sent)?;
        let last = self.mark(&mut progress, (end, sent));
        // What is left of a second is no second.
        if last.span >= every / 2 {
            watch(&last);
        }
        let after = self.reading();
        Ok(Run {
            rate,
            size: self.size,
            span: sending,
            due: progress.schedule.frames() * self.burst,
            sent,
            counts: progress.tally.counts,
            by_interval: progress.tally.by_interval,
            dropped_here: self.places.drops().saturating_sub(dropped),
            latency: progress.latency.percentiles(),
            from_schedule: progress.tally.from_schedule.percentiles(),
            lateness: progress.lateness.percentiles(),
            tail: progress.last.saturating_sub(end),
            busy: 1.0 - (progress.idle as f64 / sending.max(1) as f64).min(1.0),
            waited,
            usage: used(after.as_ref(), before.as_ref()),
            resident: self.meter.as_ref().and_then(Meter::resident),
        })
    }

    fn begin(&self, rate: u64, span: u64) -> Progress {
        let start = self.clock().nanos();
        Progress {
            schedule: Schedule::new(rate, self.burst, span),
            start,
            frame: 0,
            tally: Tally::new(self.flows.len()),
            latency: Times::new(),
            lateness: Times::new(),
            idle: 0,
            last: start,
            mark: Mark {
                at: start,
                sent: 0,
                delivered: 0,
                reading: self.reading(),
            },
        }
    }

    /// Sends the frames that are due, then receives once; how many datagrams the kernel took.
    fn turn(&mut self, progress: &mut Progress) -> Result<u64, BenchError> {
        let begin = self.clock().nanos();
        let mut queued = 0;
        while progress.frame < progress.schedule.frames() && queued < TURN {
            let due = progress.start + progress.schedule.due(progress.frame);
            let now = self.clock().nanos();
            if due > now {
                break;
            }
            progress.lateness.record(now - due);
            self.queue(progress.frame, progress.interval(), (due, now));
            progress.frame += 1;
            queued += usize::try_from(self.burst).unwrap_or(TURN);
        }
        if let Some(parties) = &mut self.parties {
            parties.tend(&mut self.places)?;
        }
        self.places.flush();
        let now = self.clock().nanos();
        let next = progress.start + progress.schedule.due(progress.frame);
        // Whole milliseconds, as the poller counts: the rest is waited for by looking again and again.
        let sleep = next.saturating_sub(now) / 1_000_000;
        let came = self.receive(progress, Duration::from_millis(sleep.min(100)))?;
        if queued == 0 && came == 0 {
            // Whoever shares this core, perhaps the server, may have it.
            std::thread::yield_now();
            progress.idle += self.clock().nanos() - begin;
        } else if sleep > 0 {
            progress.idle += progress.last.max(now) - now;
        }
        // Requests of the clients are among what the kernel took, but do not count.
        let unsent = self.places.take_unsent();
        Ok((queued as u64).saturating_sub(unsent))
    }

    /// Queues a frame, stamped with when it is due and sent.
    fn queue(&mut self, frame: u64, interval: u16, (due, sent): (u64, u64)) {
        let index = usize::try_from(frame % self.flows.len() as u64).expect("an index");
        let flow = &self.flows[index];
        let start = HEADROOM - flow.wrapping.header.len();
        let end = HEADROOM + self.size + flow.wrapping.padding;
        self.scratch[start..HEADROOM].copy_from_slice(&flow.wrapping.header);
        for _ in 0..self.burst {
            let stamp = Stamp {
                key: self.key,
                run: self.run,
                interval,
                flow: u32::try_from(index).expect("flows are few"),
                number: self.numbers[index],
                due,
                sent,
            };
            self.numbers[index] += 1;
            let place = self.scratch[HEADROOM..].first_chunk_mut();
            stamp.write(place.expect("payloads have room for a stamp"));
            self.places
                .send(flow.from, flow.to, &self.scratch[start..end]);
        }
    }

    /// Receives until nothing comes any more of what was sent.
    fn drain(&mut self, progress: &mut Progress, sent: u64) -> Result<(), BenchError> {
        let begin = self.clock().nanos();
        loop {
            self.receive(progress, Duration::from_millis(10))?;
            let now = self.clock().nanos();
            let patience = if progress.tally.counts.delivered < sent {
                self.patience
            } else {
                QUIET
            };
            if now - progress.last.max(begin) > patience || now - begin > DRAIN {
                return Ok(());
            }
        }
    }

    fn receive(&mut self, progress: &mut Progress, wait: Duration) -> Result<usize, BenchError> {
        let Self {
            places,
            parties,
            flows,
            key,
            run,
            size,
            ..
        } = self;
        let Progress { tally, last, .. } = progress;
        places.receive(wait, |arrival| {
            let Some(payload) = payload(&arrival, parties.is_some()) else {
                if let Some(parties) = parties {
                    parties.take(&arrival);
                }
                return;
            };
            let Some(stamp) = Stamp::read(payload).filter(|stamp| stamp.key == *key) else {
                return;
            };
            let Some(flow) = flows.get(stamp.flow as usize).filter(|_| stamp.run == *run) else {
                return;
            };
            if flow.receiver == arrival.client && payload.len() == *size {
                *last = arrival.nanos;
                tally.take(&stamp, arrival.nanos);
            } else {
                tally.counts.astray += 1;
            }
        })
    }

    /// Ends an interval at `now`.
    fn mark(&self, progress: &mut Progress, (now, sent): (u64, u64)) -> Interval {
        let reading = self.reading();
        let mark = &mut progress.mark;
        let delivered = progress.tally.counts.delivered;
        let interval = Interval {
            at: now - progress.start,
            span: now - mark.at,
            sent: sent - mark.sent,
            delivered: delivered - mark.delivered,
            latency: progress.tally.latency.percentiles(),
            usage: used(reading.as_ref(), mark.reading.as_ref()),
        };
        progress.latency.absorb(&mut progress.tally.latency);
        progress.tally.by_interval.push(0);
        *mark = Mark {
            at: now,
            sent,
            delivered,
            reading,
        };
        interval
    }

    fn reading(&self) -> Option<Reading> {
        self.meter.as_ref().and_then(|meter| meter.read().ok())
    }

    const fn clock(&self) -> Clock {
        self.places.clock()
    }
}

impl Progress {
    /// The number of the current interval.
    fn interval(&self) -> u16 {
        u16::try_from(self.tally.by_interval.len() - 1).unwrap_or(u16::MAX)
    }
}

fn used(after: Option<&Reading>, before: Option<&Reading>) -> Option<Usage> {
    Some(after?.since(before?))
}

/// The application data of a datagram: what a client unwraps, or all that comes to a plain peer.
fn payload<'a>(arrival: &Arrival<'a>, turn: bool) -> Option<&'a [u8]> {
    let bytes = arrival.bytes;
    if arrival.client.is_none() || !turn {
        return Some(bytes);
    }
    match Demux::of(*bytes.first()?) {
        Demux::ChannelData => Some(ChannelData::parse(bytes).ok()?.payload),
        Demux::Stun => {
            let message = Message::parse(bytes).ok()?;
            let Data(payload) = message.get().ok().flatten()?;
            (message.class() == Class::Indication).then_some(payload)
        }
        Demux::Dtls | Demux::Unknown => None,
    }
}
