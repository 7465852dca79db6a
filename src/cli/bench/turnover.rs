//! Allocations: how many a server grants per second, to clients that it does not know, and what each costs in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use super::BenchError;
use super::meter::{Meter, Usage};
use super::parties::Parties;
use super::places::{ADDRESSES, Place, Places};
use super::schedule::{SECOND, tick};
use super::tally::{Percentiles, Times};
use crate::client::{AllocateOptions, Client, Completed, Received, RequestError, Success};

/// How often the clients' timers are looked at, in nanoseconds.
const LOOK: u64 = 20_000_000;

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Turnover {
    /// How long allocations were made and deleted, in nanoseconds.
    pub(super) span: u64,
    /// Allocations that were granted in that time.
    pub(super) granted: u64,
    /// Requests that failed in that time, by what came of them.
    pub(super) failed: BTreeMap<String, u64>,
    /// From the beginning of a client, its connection included, to its allocation.
    pub(super) latency: Percentiles,
    pub(super) usage: Option<Usage>,
}

/// What allocations that live cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) allocations: usize,
    /// How long it took to make them, in nanoseconds.
    pub(super) span: u64,
    /// Resident memory before and with them, in bytes.
    pub(super) resident: Option<(u64, u64)>,
}

/// Gets each of the clients an allocation, at places that `open` opens, tells what these cost, and gives them back.
///
/// # Errors
///
/// Where the server does not grant all of them.
pub(super) fn hold(
    open: impl FnOnce(usize) -> Result<Places, BenchError>,
    clients: Vec<Client>,
    meter: Option<&Meter>,
) -> Result<Held, BenchError> {
    let count = clients.len();
    let before = meter.and_then(Meter::resident);
    let mut places = open(count)?;
    let begin = places.clock().nanos();
    let mut parties = Parties::new(&places, clients);
    parties.allocate(&mut places)?;
    let span = places.clock().nanos() - begin;
    let with = meter.and_then(Meter::resident);
    parties.leave(&mut places)?;
    Ok(Held {
        allocations: count,
        span,
        resident: before.zip(with),
    })
}

/// Clients that come and go: each gets an allocation, deletes it, and is followed by another one.
pub(super) struct Crowd<'a> {
    places: &'a mut Places,
    newcomer: &'a dyn Fn(usize) -> Result<Client, BenchError>,
    /// How many slots there are.
    width: usize,
    slots: Vec<Slot>,
    /// The slots that may have something to send.
    busy: Vec<usize>,
    times: Times,
    granted: u64,
    failed: BTreeMap<String, u64>,
}

struct Slot {
    client: Client,
    number: usize,
    place: Place,
    /// When it began, in nanoseconds.
    begun: u64,
    /// Whether it is over, and another client is to come.
    over: bool,
}

impl<'a> Crowd<'a> {
    /// Clients at `width` places, made by `newcomer` from their numbers.
    pub(super) fn new(
        places: &'a mut Places,
        width: usize,
        newcomer: &'a dyn Fn(usize) -> Result<Client, BenchError>,
    ) -> Result<Self, BenchError> {
        let mut crowd = Self {
            width,
            slots: Vec::with_capacity(width),
            busy: Vec::new(),
            times: Times::new(),
            granted: 0,
            failed: BTreeMap::new(),
            places,
            newcomer,
        };
        for number in 0..width {
            let slot = crowd.enter(number)?;
            crowd.slots.push(slot);
            crowd.busy.push(number);
        }
        Ok(crowd)
    }

    /// Lets them come and go for `span` nanoseconds; tells `watch` of the allocations made in each second.
    pub(super) fn run(
        mut self,
        span: u64,
        meter: Option<&Meter>,
        watch: &mut dyn FnMut(u64, u64),
    ) -> Result<Turnover, BenchError> {
        let clock = self.places.clock();
        let read = || meter.and_then(|meter| meter.read().ok());
        let (start, before) = (clock.nanos(), read());
        let (mut look, mut second, mut told) = (start, 1, 0);
        loop {
            let now = clock.nanos();
            if now >= start + span {
                break;
            }
            if now >= look {
                look = now + LOOK;
                self.look(now);
            }
            if now >= start + second * SECOND {
                watch(second, self.granted - told);
                (second, told) = (second + 1, self.granted);
            }
            self.transmit()?;
            self.receive()?;
        }
        let span = clock.nanos() - start;
        let usage = read()
            .zip(before)
            .map(|(after, before)| after.since(&before));
        Ok(Turnover {
            span,
            granted: self.granted,
            latency: self.times.percentiles(),
            usage,
            failed: self.leave()?,
        })
    }

    /// The client that follows another in its slot.
    fn succeed(&mut self, number: usize) -> Result<Slot, BenchError> {
        let begun = self.places.clock().nanos();
        self.places.renew(number)?;
        Ok(Slot {
            begun,
            ..self.enter(number)?
        })
    }

    /// A client that begins by asking for an allocation.
    fn enter(&mut self, number: usize) -> Result<Slot, BenchError> {
        let clock = self.places.clock();
        // The same slot again once all addresses were used.
        let seats = ADDRESSES - ADDRESSES % self.width;
        let mut client = (self.newcomer)(number)?;
        let begun = client.allocate(clock.tick(), AllocateOptions::default());
        begun.map_err(BenchError::Ask)?;
        Ok(Slot {
            client,
            number,
            place: self.places.client(number % seats),
            begun: clock.nanos(),
            over: false,
        })
    }

    /// Does what the clients' timers ask for.
    fn look(&mut self, now: u64) {
        for index in 0..self.slots.len() {
            if let Some(completed) = self.slots[index].client.handle_timeout(tick(now)) {
                self.end(index, completed, now);
            }
            self.busy.push(index);
        }
    }

    /// Sends what there is to send, and replaces those that are over.
    fn transmit(&mut self) -> Result<(), BenchError> {
        while let Some(index) = self.busy.pop() {
            if self.slots[index].over {
                self.slots[index] = self.succeed(self.slots[index].number + self.width)?;
            }
            let server = self.places.server();
            let Slot { client, place, .. } = &mut self.slots[index];
            while let Some(request) = client.poll_transmit() {
                self.places.send(*place, server, request);
            }
        }
        self.places.flush();
        Ok(())
    }

    fn receive(&mut self) -> Result<(), BenchError> {
        let mut ended = Vec::new();
        let Self {
            places,
            slots,
            busy,
            width,
            ..
        } = self;
        let width = *width;
        places.receive(Duration::from_millis(5), |arrival| {
            let Some(number) = arrival.client else {
                return;
            };
            let slot = &mut slots[number % width];
            busy.push(number % width);
            let received = slot
                .client
                .handle_datagram(tick(arrival.nanos), arrival.bytes);
            if let Received::Completed(completed) = received {
                ended.push((number % width, completed, arrival.nanos));
            }
        })?;
        for (index, completed, nanos) in ended {
            self.end(index, completed, nanos);
        }
        Ok(())
    }

    fn end(&mut self, index: usize, completed: Completed, nanos: u64) {
        let slot = &mut self.slots[index];
        match completed.result {
            Ok(Success::Allocated) => {
                self.granted += 1;
                self.times.record(nanos.saturating_sub(slot.begun));
                slot.over = slot.client.refresh(tick(nanos), Duration::ZERO).is_err();
            }
            Ok(_) => slot.over = true,
            Err(error) => {
                slot.over = true;
                *self.failed.entry(failure(error)).or_default() += 1;
            }
        }
    }

    /// Deletes the allocations that are left.
    fn leave(mut self) -> Result<BTreeMap<String, u64>, BenchError> {
        let clock = self.places.clock();
        let end = clock.tick().after(Duration::from_secs(1));
        let failed = std::mem::take(&mut self.failed);
        while clock.tick() < end && self.slots.iter().any(|slot| !slot.over) {
            let server = self.places.server();
            for slot in self.slots.iter_mut().filter(|slot| !slot.over) {
                while let Some(request) = slot.client.poll_transmit() {
                    self.places.send(slot.place, server, request);
                }
            }
            self.places.flush();
            self.receive()?;
        }
        Ok(failed)
    }
}

/// What came of a request that failed: an error code, or in words.
fn failure(error: RequestError) -> String {
    if let RequestError::Refused(code) = error {
        code.to_string()
    } else {
        error.to_string()
    }
}
