//! The ports of one relay address: which are free, and which rest after use.
//!
//! Every take is uniformly random over what is free and exact: it fails only where nothing that fits is free. A port
//! that comes back rests, so that late packets of its last owner's peers never reach the next one. The pool opens no
//! socket: a port that proves to be held by somebody else on this machine comes back by [`PortPool::release`] as well,
//! and rests before it is tried again.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use crate::time::Tick;

/// The ports of one relay address.
///
/// Every operation takes constant time, but for the ports that end their rest: they are moved back one by one on the
/// next take. Costs seven bytes a port, 112 KiB for the 16,384 ports of the default range, and sixteen
/// more for each port that rests.
pub(super) struct PortPool {
    ports: RangeInclusive<u16>,
    /// The free even ports, by the number of their pair.
    even: Urn,
    /// The free odd ports, by the number of their pair.
    odd: Urn,
    /// The pairs of an even port and the next odd one of which both are free.
    pairs: Urn,
    /// By port less the first: handed out and not yet released.
    taken: Box<[bool]>,
    /// The released ports, first those that have rested longest.
    resting: VecDeque<Resting>,
    quarantine: Duration,
}

struct Resting {
    port: u16,
    until: Tick,
}

impl PortPool {
    /// A pool in which all of `ports` are free, save port 0, which is none. A used port rests for `quarantine`.
    #[must_use]
    pub(super) fn new(ports: &RangeInclusive<u16>, quarantine: Duration) -> Self {
        let ports = (*ports.start()).max(1)..=*ports.end();
        let pairs = usize::from((ports.end() / 2).saturating_sub(ports.start() / 2)) + 1;
        let mut pool = Self {
            even: Urn::new(pairs),
            odd: Urn::new(pairs),
            pairs: Urn::new(pairs),
            taken: ports.clone().map(|_| false).collect(),
            resting: VecDeque::new(),
            quarantine,
            ports: ports.clone(),
        };
        for port in ports {
            pool.put(port);
        }
        pool
    }

    /// Takes a free port.
    pub(super) fn take_any(&mut self, now: Tick, rng: &mut impl Rng) -> Option<u16> {
        self.wake(now);
        let index = below(self.free(), rng)?;
        let port = match self.even.get(index) {
            Some(pair) => self.even_port(pair),
            None => self.even_port(self.odd.get(index - self.even.len())?) + 1,
        };
        self.take(port);
        Some(port)
    }

    /// Takes a free even port (RFC 8656 section 18.7). `with_pair` takes the next port as well, to be reserved;
    /// without, the next port remains as it is.
    pub(super) fn take_even(
        &mut self,
        with_pair: bool,
        now: Tick,
        rng: &mut impl Rng,
    ) -> Option<u16> {
        self.wake(now);
        let urn = if with_pair { &self.pairs } else { &self.even };
        let port = self.even_port(urn.get(below(urn.len(), rng)?)?);
        self.take(port);
        if with_pair {
            self.take(port + 1);
        }
        Some(port)
    }

    /// Takes back a port that was taken, whether or not it could be bound, and lets it rest.
    pub(super) fn release(&mut self, port: u16, now: Tick) {
        let taken = self
            .index(port)
            .and_then(|index| self.taken.get_mut(index))
            .is_some_and(std::mem::take);
        debug_assert!(taken, "released what was not taken");
        if taken {
            let until = now.after(self.quarantine);
            self.resting.push_back(Resting { port, until });
        }
    }

    /// How many ports were free at the last take.
    #[must_use]
    pub(super) fn free(&self) -> usize {
        self.even.len() + self.odd.len()
    }

    /// How many ports are handed out.
    #[must_use]
    pub(super) fn in_use(&self) -> usize {
        self.taken.len() - self.free() - self.resting.len()
    }

    /// How many ports rest, those included whose rest has ended since the last take.
    #[must_use]
    pub(super) fn resting(&self) -> usize {
        self.resting.len()
    }

    /// Frees the ports that have rested.
    fn wake(&mut self, now: Tick) {
        while let Some(Resting { port, until }) = self.resting.front()
            && *until <= now
        {
            let port = *port;
            self.resting.pop_front();
            self.put(port);
        }
    }

    fn put(&mut self, port: u16) {
        let pair = self.pair(port);
        let (own, other) = if port.is_multiple_of(2) {
            (&mut self.even, &self.odd)
        } else {
            (&mut self.odd, &self.even)
        };
        own.insert(pair);
        if other.contains(pair) {
            self.pairs.insert(pair);
        }
    }

    fn take(&mut self, port: u16) {
        let pair = self.pair(port);
        if port.is_multiple_of(2) {
            self.even.remove(pair);
        } else {
            self.odd.remove(pair);
        }
        self.pairs.remove(pair);
        if let Some(taken) = self.index(port).and_then(|index| self.taken.get_mut(index)) {
            *taken = true;
        }
    }

    fn index(&self, port: u16) -> Option<usize> {
        port.checked_sub(*self.ports.start()).map(usize::from)
    }

    /// Pairs are numbered from the one that holds the first port.
    const fn pair(&self, port: u16) -> u16 {
        port / 2 - *self.ports.start() / 2
    }

    const fn even_port(&self, pair: u16) -> u16 {
        (*self.ports.start() / 2 + pair) * 2
    }
}

/// A set of small numbers with insertion, removal and the n-th element in constant time.
struct Urn {
    items: Vec<u16>,
    /// By number: where it stands in `items`, or [`ABSENT`].
    position: Box<[u16]>,
}

/// There are at most 32,768 pairs, so that no position has this value.
const ABSENT: u16 = u16::MAX;

impl Urn {
    /// An empty set that can hold the numbers below `bound`.
    fn new(bound: usize) -> Self {
        Self {
            items: Vec::with_capacity(bound),
            position: vec![ABSENT; bound].into_boxed_slice(),
        }
    }

    fn insert(&mut self, number: u16) {
        let end = u16::try_from(self.items.len()).expect("at most 32,768 pairs");
        self.items.push(number);
        self.position[usize::from(number)] = end;
    }

    fn remove(&mut self, number: u16) {
        let position = std::mem::replace(&mut self.position[usize::from(number)], ABSENT);
        if position == ABSENT {
            return;
        }
        self.items.swap_remove(usize::from(position));
        if let Some(moved) = self.items.get(usize::from(position)) {
            self.position[usize::from(*moved)] = position;
        }
    }

    fn contains(&self, number: u16) -> bool {
        self.position[usize::from(number)] != ABSENT
    }

    fn get(&self, index: usize) -> Option<u16> {
        self.items.get(index).copied()
    }

    fn len(&self) -> usize {
        self.items.len()
    }
}

/// A uniformly random number below `bound`, where there is one. The bias is below one in 2^47 for 16-bit bounds.
fn below(bound: usize, rng: &mut impl Rng) -> Option<usize> {
    let wide = u128::from(rng.next_u64()) * bound as u128;
    let number = usize::try_from(wide >> 64).expect("less than bound");
    (number < bound).then_some(number)
}

#[cfg(test)]
mod tests;
