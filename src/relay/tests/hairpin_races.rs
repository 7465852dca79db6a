//! The hairpin while the receiver's worker changes things: once a change is published, nothing passes any more that it
//! forbids. Threads race for a bounded number of packets; what is asserted is what is known to come after the change.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::client::{Client, channel_data};
use super::hairpin::{party, with_hairpin};
use super::world::{FakeHost, World, buffer};
use crate::relay::grants::Permission;
use crate::relay::policy::PeerClass;
use crate::relay::{DropReason, Packet, Relay, Verdict};
use crate::time::Tick;
use crate::wire::{ChannelNumber, ChannelNumberAttribute, Method, XorPeerAddress};

/// Races of each kind.
const ROUNDS: usize = 100;

/// Packets that are sent after the change.
const AFTER: usize = 8;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// To Bob; the first byte tells the form.
    ToBob(u8),
    Dropped(DropReason),
}

const INDICATION: Came = Came::ToBob(0);
const ON_CHANNEL: Came = Came::ToBob(0x4a);

/// Lets Alice's worker send on her channel while Bob's worker carries out a change, a little later in each round; what
/// became of the packets that were sent when the change was known to be published.
fn race(
    world: &mut World,
    alice: &Client,
    round: usize,
    change: impl FnOnce(&mut Relay, &mut FakeHost) + Send,
) -> Vec<Came> {
    let now = world.now;
    let (sender, receiver) = world.relays.split_at_mut(1);
    let (senders, receivers) = world.hosts.split_at_mut(1);
    let (sent, published) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while sent.load(Ordering::Relaxed) < round {
                thread::yield_now();
            }
            change(&mut receiver[0], &mut receivers[0]);
            published.store(true, Ordering::Release);
        });
        let sending = scope.spawn(|| {
            let mut after = Vec::new();
            while after.len() < AFTER {
                let is_after = published.load(Ordering::Acquire);
                let frame = channel_data(0x4000, b"x");
                let mut buf = buffer(&frame);
                let mut packet = Packet::new(&mut buf, frame.len());
                let verdict = sender[0].on_client(now, &alice.at, &mut packet, &mut senders[0]);
                sent.fetch_add(1, Ordering::Relaxed);
                let came = match verdict {
                    Verdict::ToClient { span, .. } => Came::ToBob(buf[span.start]),
                    Verdict::Drop(reason) => Came::Dropped(reason),
                    other @ (Verdict::Reply(_)
                    | Verdict::ToPeer { .. }
                    | Verdict::Later
                    | Verdict::Splice { .. }
                    | Verdict::HandOver { .. }) => {
                        panic!("neither delivered nor dropped: {other:?}")
                    }
                };
                if is_after {
                    after.push(came);
                }
            }
            after
        });
        sending.join().expect("a thread that does not panic")
    })
}

/// Two parties of a call on two workers, each with leave to send to the other, Alice on the channel.
struct Call {
    alice: Client,
    at_alice: SocketAddr,
    bob: Client,
}

impl Call {
    fn new(world: &mut World) -> Self {
        let (mut alice, at_alice) = party(world, 0, "a");
        let (mut bob, at_bob) = party(world, 1, "b");
        assert_eq!(bob.permit(world, &[at_alice]).code, 0);
        assert_eq!(alice.bind(world, 0x4000, at_bob).code, 0);
        Self {
            alice,
            at_alice,
            bob,
        }
    }
}

/// A world whose ports do not rest.
fn world() -> World {
    let mut options = with_hairpin();
    options.lifetimes.quarantine = Duration::ZERO;
    World::of(options, 2, 7)
}

#[test]
fn nothing_reaches_a_client_whose_allocation_is_known_to_have_ended() {
    let mut world = world();
    for round in 0..ROUNDS {
        let Call { mut alice, bob, .. } = Call::new(&mut world);
        let now = world.now;

        let after = race(&mut world, &alice, round, |relay, host| {
            relay.on_disconnect(now, &bob.at, host);
        });

        assert_eq!(after, [Came::Dropped(DropReason::PeerDenied); AFTER]);
        assert_eq!(alice.refresh(&mut world, 0).code, 0);
    }
}

#[test]
fn nothing_passes_once_a_permission_is_known_to_be_revoked() {
    let mut world = World::of(with_hairpin(), 2, 7);
    let Call {
        alice,
        bob,
        at_alice,
    } = Call::new(&mut world);
    let permission = Permission {
        expires: Tick::MAX,
        class: PeerClass::Relayed,
    };
    for round in 0..ROUNDS {
        let give = |relay: &mut Relay, given: bool| {
            let allocation = relay.table.of_client(&bob.at).expect("an allocation");
            allocation.change(|grants| {
                grants.permissions.retain(|_, _| false);
                if given {
                    grants.permit(at_alice.ip(), permission);
                }
            });
        };

        let given = race(&mut world, &alice, round, |relay, _| give(relay, true));
        let taken = race(&mut world, &alice, round, |relay, _| give(relay, false));

        assert_eq!(given, [INDICATION; AFTER]);
        assert_eq!(taken, [Came::Dropped(DropReason::NoPermission); AFTER]);
    }
}

#[test]
fn data_comes_on_a_channel_once_it_is_known_to_be_bound() {
    let mut world = world();
    for round in 0..ROUNDS {
        let Call {
            mut alice,
            at_alice,
            mut bob,
        } = Call::new(&mut world);
        let now = world.now;
        let request = bob.request(Method::CHANNEL_BIND, |writer| {
            let number = ChannelNumber::new(0x4abc).expect("a channel");
            writer.put(&ChannelNumberAttribute(number)).expect("room");
            writer.put(&XorPeerAddress(at_alice)).expect("room");
        });

        let after = race(&mut world, &alice, round, |relay, host| {
            let mut buf = buffer(&request);
            let mut packet = Packet::new(&mut buf, request.len());
            let verdict = relay.on_client(now, &bob.at, &mut packet, host);
            assert!(matches!(verdict, Verdict::Reply(_)));
        });

        assert_eq!(after, [ON_CHANNEL; AFTER]);
        for client in [&mut alice, &mut bob] {
            assert_eq!(client.refresh(&mut world, 0).code, 0);
        }
    }
}
