//! The TURN clients of a load test: they get allocations, channels and permissions, keep them, and give them back.

use std::net::SocketAddr;
use std::time::Duration;

use super::BenchError;
use super::places::{Arrival, Place, Places};
use super::schedule::tick;
use crate::client::{
    AllocateOptions, Client, Completed, Received, RequestError, RequestId, StartError,
};
use crate::time::Tick;
use crate::wire::Family;

/// Clients that wait for an answer at the same time, while a test is set up.
const WINDOW: usize = 32;

/// How often the clients' timers are looked at, in nanoseconds.
const LOOK: u64 = 20_000_000;

/// How long the clients try to give back what they have.
const GOODBYE: Duration = Duration::from_secs(3);

/// The clients, by their numbers.
pub(super) struct Parties {
    parties: Vec<Party>,
    /// Those that may have something to send.
    busy: Vec<usize>,
    /// What the server refused first, until it is asked for.
    refused: Option<RequestError>,
    /// How many requests have ended.
    ended: usize,
    /// When the timers are looked at next, in nanoseconds.
    look: u64,
}

struct Party {
    client: Client,
    place: Place,
    server: SocketAddr,
}

impl Parties {
    /// Clients without anything.
    pub(super) fn new(places: &Places, clients: Vec<Client>) -> Self {
        let party = |(number, client)| Party {
            client,
            place: places.client(number),
            server: places.server(),
        };
        Self {
            parties: clients.into_iter().enumerate().map(party).collect(),
            busy: Vec::new(),
            refused: None,
            ended: 0,
            look: 0,
        }
    }

    /// A client.
    pub(super) fn client(&mut self, number: usize) -> &mut Client {
        &mut self.parties[number].client
    }

    /// The relayed address of a client.
    pub(super) fn relayed(&self, number: usize) -> Option<SocketAddr> {
        let allocation = self.parties[number].client.allocation()?;
        let family = |family| allocation.relayed(family);
        family(Family::V4).or_else(|| family(Family::V6))
    }

    /// Gets every client an allocation.
    ///
    /// # Errors
    ///
    /// [`BenchError`]; so for the following.
    pub(super) fn allocate(&mut self, places: &mut Places) -> Result<(), BenchError> {
        self.ask_all(places, |client, _, now| {
            client.allocate(now, AllocateOptions::default())
        })
    }

    /// Has every client ask for something, a few at a time, and waits until all of it is granted.
    pub(super) fn ask_all(
        &mut self,
        places: &mut Places,
        mut ask: impl FnMut(&mut Client, usize, Tick) -> Result<RequestId, StartError>,
    ) -> Result<(), BenchError> {
        self.ended = 0;
        let mut asked = 0;
        while self.ended < self.parties.len() {
            while asked < self.parties.len() && asked - self.ended < WINDOW {
                let now = places.clock().tick();
                let begun = ask(&mut self.parties[asked].client, asked, now);
                begun.map_err(BenchError::Ask)?;
                self.busy.push(asked);
                asked += 1;
            }
            self.turn(places)?;
            if let Some(error) = self.refused.take() {
                return Err(BenchError::Refused(error));
            }
        }
        Ok(())
    }

    /// Has every client give its allocation back. What is gone already is no error, and a server that does not answer
    /// is left alone after a while.
    pub(super) fn leave(&mut self, places: &mut Places) -> Result<(), BenchError> {
        let clock = places.clock();
        let end = clock.tick().after(GOODBYE);
        self.ended = 0;
        let mut asked = 0;
        while self.ended < self.parties.len() && clock.tick() < end {
            while asked < self.parties.len() && asked - self.ended < WINDOW {
                let client = &mut self.parties[asked].client;
                if client.refresh(clock.tick(), Duration::ZERO).is_ok() {
                    self.busy.push(asked);
                } else {
                    self.ended += 1;
                }
                asked += 1;
            }
            match self.turn(places) {
                // Who has nothing left may be hung up on.
                Ok(()) | Err(BenchError::Connection(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.refused = None;
        Ok(())
    }

    /// Takes a datagram that is no application data.
    pub(super) fn take(&mut self, arrival: &Arrival<'_>) {
        let Some(number) = arrival.client else {
            return;
        };
        let Some(party) = self.parties.get_mut(number) else {
            return;
        };
        let received = party
            .client
            .handle_datagram(tick(arrival.nanos), arrival.bytes);
        self.busy.push(number);
        if let Received::Completed(completed) = received {
            self.end(completed);
        }
    }

    /// Does what the clients' timers ask for, and queues what the clients have to send.
    ///
    /// # Errors
    ///
    /// Where the server refused to renew something.
    pub(super) fn tend(&mut self, places: &mut Places) -> Result<(), BenchError> {
        let nanos = places.clock().nanos();
        if nanos >= self.look {
            self.look = nanos + LOOK;
            for number in 0..self.parties.len() {
                let client = &mut self.parties[number].client;
                if client.poll_timeout().is_some_and(|due| due <= tick(nanos)) {
                    while let Some(completed) =
                        self.parties[number].client.handle_timeout(tick(nanos))
                    {
                        self.end(completed);
                    }
                    self.busy.push(number);
                }
            }
        }
        for number in self.busy.drain(..) {
            let party = &mut self.parties[number];
            while let Some(datagram) = party.client.poll_transmit() {
                places.send(party.place, party.server, datagram);
            }
        }
        self.refused
            .map_or(Ok(()), |error| Err(BenchError::Refused(error)))
    }

    fn turn(&mut self, places: &mut Places) -> Result<(), BenchError> {
        match self.tend(places) {
            Ok(()) | Err(BenchError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        places.flush();
        places.receive(Duration::from_nanos(LOOK), |arrival| self.take(&arrival))?;
        Ok(())
    }

    fn end(&mut self, completed: Completed) {
        self.ended += 1;
        if let Err(error) = completed.result {
            self.refused = self.refused.or(Some(error));
        }
    }
}
