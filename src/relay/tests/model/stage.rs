//! Where a case is played: before its shadow alone, or in two worlds side by side that must not differ.

use super::driver::Driver;
use super::operation::Op;
use super::setup::{Carriage, Setup};
use crate::relay::tests::world::{Outcome, World};
use crate::relay::{Counters, DropReason};

/// What a case shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// That a world is as its shadow.
    Shadow,
    /// That a world with the hairpin is as one where data takes the wire, and both as their shadows.
    Twins,
}

/// The worlds of a case, which live through the same.
pub(super) struct Stage {
    drivers: Vec<Driver>,
    /// How often a client's packet reached another one.
    pub(super) reached: u64,
}

impl Stage {
    pub(super) fn new(setup: &Setup, proof: Proof) -> Self {
        let setups = match proof {
            Proof::Shadow => vec![setup.clone()],
            Proof::Twins => vec![
                setup.clone().carried(Carriage::Hairpin),
                setup.clone().carried(Carriage::Wire),
            ],
        };
        Self {
            drivers: setups.iter().map(Driver::new).collect(),
            reached: 0,
        }
    }

    /// The world to look at when the next operation is drawn.
    pub(super) fn first(&self) -> &Driver {
        &self.drivers[0]
    }

    /// Carries out one operation and compares everything; what came of it, for a trace.
    ///
    /// # Panics
    ///
    /// Where a world differs from its shadow or from the other one.
    pub(super) fn step(&mut self, op: &Op) -> String {
        let mut seen = self.drivers.iter_mut().map(|driver| driver.step(op));
        let first = seen.next().expect("a world");
        for other in seen {
            assert_eq!(first, other, "what came of it with the hairpin and without");
        }
        self.compare();
        let reached = matches!(self.first().outcome, Some(Outcome::ToClient { .. }));
        self.reached += u64::from(reached && matches!(op, Op::Data(data) if data.is_sent()));
        first
    }

    /// Ends all and compares.
    pub(super) fn finish(&mut self) {
        for driver in &mut self.drivers {
            driver.finish();
        }
        self.compare();
    }

    fn compare(&self) {
        let looks: Vec<_> = self.drivers.iter().map(look).collect();
        for look in &looks[1..] {
            assert_eq!(look, &looks[0], "the wire and the hairpin");
        }
    }
}

/// All that can be seen of a world from outside.
fn look(driver: &Driver) -> impl PartialEq + std::fmt::Debug + use<> {
    let World { relays, hosts, .. } = &driver.world;
    let all: Vec<_> = relays.iter().map(|relay| relay.counters()).collect();
    let sum = |count: &dyn Fn(&Counters) -> u64| -> u64 { all.iter().map(|it| count(it)).sum() };
    let drops = DropReason::ALL.map(|reason| sum(&|c| c.drops[reason as usize].value()));
    let traffic = [
        sum(&|c| c.to_peers.packets.value()),
        sum(&|c| c.to_peers.bytes.value()),
        sum(&|c| c.to_clients.packets.value()),
        sum(&|c| c.to_clients.bytes.value()),
        sum(&|c| c.responses.iter().flatten().map(|it| it.value()).sum()),
        sum(&|c| c.permissions.value()),
        sum(&|c| c.channels.value()),
    ];
    let hosts: Vec<_> = hosts
        .iter()
        .map(|host| (host.ended.clone(), host.bytes.clone(), host.refused.len()))
        .collect();
    let outcome = driver.outcome.clone().map(masked);
    (outcome, drops, traffic, hosts)
}

/// The same without the transaction of an indication, which is random, and which an IPv6 address is combined with.
fn masked(outcome: Outcome) -> Outcome {
    let Outcome::ToClient { to, mut bytes } = outcome else {
        return outcome;
    };
    if bytes[0] < 0x40 {
        let (header, attributes) = bytes.split_at_mut(20);
        let id = &mut header[8..];
        if attributes[..4] == [0, 0x12, 0, 20] {
            for (byte, mask) in attributes[12..].iter_mut().zip(&*id) {
                *byte ^= mask;
            }
        }
        id.fill(0);
    }
    Outcome::ToClient { to, bytes }
}
