//! The hairpin: data between two clients of the relay, delivered at once. What the random operations of `model` compare
//! with the wire is here case by case; `hairpin_races` has the threads.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use super::client::{Client, channel_data, send_indication};
use super::traffic::{
    Heard, PEER4, SIZES, both_for_an_hour, carry, for_an_hour, heard_by, on_ipv6, to_peer,
};
use super::world::{Outcome, World, addr, local, options};
use crate::auth::PeerScope;
use crate::relay::{
    ByteRate, DropReason, HEADROOM, MAX_DATAGRAM, MIN_BUFFER, Options, Packet, Transport, Verdict,
};
use crate::wire::{DontFragment, Family, Lifetime, Method, RequestedAddressFamily};

const DENIED: Outcome = Outcome::Dropped(DropReason::PeerDenied);
const NO_PERMISSION: Outcome = Outcome::Dropped(DropReason::NoPermission);
const NO_ALLOCATION: Outcome = Outcome::Dropped(DropReason::NoAllocation);
const OVER_RATE: Outcome = Outcome::Dropped(DropReason::OverRate);
const TOO_LARGE: Outcome = Outcome::Dropped(DropReason::TooLarge);

/// The usual options, with the hairpin.
pub(super) fn with_hairpin() -> Options {
    Options {
        hairpin: true,
        ..options()
    }
}

/// A party of the call 7 on a worker, and its relayed address.
pub(super) fn party(world: &mut World, worker: usize, name: &str) -> (Client, SocketAddr) {
    let mut client = world.client(&World::party("7", name, PeerScope::Call));
    client.worker = worker;
    let relayed = for_an_hour(world, &mut client, |_| ());
    (client, relayed)
}

/// Two parties of a call, Bob with a permission for Alice, and Alice with a channel to Bob.
struct Call {
    world: World,
    alice: Client,
    at_alice: SocketAddr,
    bob: Client,
    at_bob: SocketAddr,
}

impl Call {
    /// Both on one worker.
    fn new() -> Self {
        Self::of(World::of(with_hairpin(), 1, 7), 0)
    }

    /// Each on its own worker.
    fn across() -> Self {
        Self::of(World::of(with_hairpin(), 2, 7), 1)
    }

    fn of(mut world: World, bobs_worker: usize) -> Self {
        let (mut alice, at_alice) = party(&mut world, 0, "a");
        let (mut bob, at_bob) = party(&mut world, bobs_worker, "b");
        assert_eq!(bob.permit(&mut world, &[at_alice]).code, 0);
        assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);
        Self {
            world,
            alice,
            at_alice,
            bob,
            at_bob,
        }
    }

    /// Alice sends on her channel.
    fn say(&mut self, data: &[u8]) -> Outcome {
        self.alice.send_on(&mut self.world, 0x4000, data)
    }

    /// Alice sends in an indication.
    fn indicate(&mut self, data: &[u8]) -> Outcome {
        self.alice.send(&mut self.world, self.at_bob, data)
    }

    #[track_caller]
    fn assert_indicated(&self, outcome: Outcome, data: &[u8]) {
        let expected = Heard::Indicated(self.at_alice, data.to_vec());
        assert_eq!(heard_by(&self.bob, outcome), expected);
    }

    /// Packets to peers, packets to clients and drops for a reason, as a worker counts them.
    fn counted(&self, worker: usize, reason: DropReason) -> (u64, u64, u64) {
        let counters = self.world.counters(worker);
        (
            counters.to_peers.packets.value(),
            counters.to_clients.packets.value(),
            counters.drops[reason as usize].value(),
        )
    }
}

#[test]
fn every_form_reaches_every_form_within_a_worker_and_across() {
    for mut call in [Call::new(), Call::across()] {
        for len in SIZES.into_iter().filter(|len| *len < MAX_DATAGRAM) {
            let data = vec![7; len];
            let said = call.say(&data);
            call.assert_indicated(said, &data);
            let said = call.indicate(&data);
            call.assert_indicated(said, &data);
        }
        assert_eq!(
            call.bob.bind(&mut call.world, 0x4abc, call.at_alice).code,
            0
        );
        for len in SIZES.into_iter().filter(|len| *len < MAX_DATAGRAM) {
            let data = vec![7; len];
            let expected = Heard::OnChannel(0x4abc, data.clone());
            let said = call.say(&data);
            assert_eq!(heard_by(&call.bob, said), expected);
            let said = call.indicate(&data);
            assert_eq!(heard_by(&call.bob, said), expected);
        }
    }
}

#[test]
fn clients_of_different_families_reach_each_other() {
    for (alice_at, bob_at) in [
        ("24.0.0.9:9", "[2600:9::9]:9"),
        ("[2600:9::9]:9", "24.0.0.9:9"),
    ] {
        let mut world = World::with(with_hairpin());
        let mut alice = world.client_at(addr(alice_at), "alice");
        let mut bob = world.client_at(addr(bob_at), "bob");
        bob.at.link.id = 3;
        let at_alice = for_an_hour(&mut world, &mut alice, on_ipv6);
        let at_bob = for_an_hour(&mut world, &mut bob, on_ipv6);
        assert_eq!(alice.permit(&mut world, &[at_bob]).code, 0);
        assert_eq!(bob.permit(&mut world, &[at_alice]).code, 0);

        let came = alice.send(&mut world, at_bob, b"x");

        let expected = Heard::Indicated(at_alice, b"x".to_vec());
        assert_eq!(heard_by(&bob, came), expected);
    }
}

#[test]
fn a_channels_header_is_rewritten_where_it_stands_and_padding_stays_behind() {
    let mut call = Call::across();
    assert_eq!(
        call.bob.bind(&mut call.world, 0x4abc, call.at_alice).code,
        0
    );
    let mut padded = channel_data(0x4000, b"seven..");
    padded.extend([0xEE; 3]);
    let mut buf = vec![0xA5; MIN_BUFFER + padded.len()];
    buf[HEADROOM..HEADROOM + padded.len()].copy_from_slice(&padded);
    let before = buf.clone();

    let mut packet = Packet::new(&mut buf, padded.len());
    let now = call.world.now;
    let host = &mut call.world.hosts[0];
    let verdict = call.world.relays[0].on_client(now, &call.alice.at, &mut packet, host);

    let Verdict::ToClient { to, span } = verdict else {
        panic!("no client hears {verdict:?}")
    };
    assert_eq!(to, call.bob.at);
    assert_eq!(span.range(), HEADROOM..HEADROOM + 4 + 7);
    assert_eq!(buf[HEADROOM..HEADROOM + 2], [0x4a, 0xbc]);
    buf[HEADROOM..HEADROOM + 4].copy_from_slice(&before[HEADROOM..HEADROOM + 4]);
    assert_eq!(buf, before, "nothing but the header is written");
}

#[test]
fn the_receivers_permission_holds_to_its_last_millisecond() {
    let mut call = Call::across();
    call.world.pass_secs(100);
    // Alice's own lives longer.
    assert_eq!(
        call.alice.bind(&mut call.world, 0x4000, call.at_bob).code,
        0
    );
    let said = call.say(b"x");
    call.assert_indicated(said, b"x");

    call.world.skip(Duration::from_millis(199_999));
    let said = call.say(b"last");
    call.assert_indicated(said, b"last");
    call.world.skip(Duration::from_millis(1));

    assert_eq!(call.say(b"x"), NO_PERMISSION);
    assert_eq!(call.indicate(b"x"), NO_PERMISSION);
    assert_eq!(call.counted(0, DropReason::NoPermission), (4, 2, 2));
    assert_eq!(call.counted(1, DropReason::NoPermission), (0, 0, 0));
    assert_eq!(call.bob.permit(&mut call.world, &[call.at_alice]).code, 0);
    let said = call.say(b"again");
    call.assert_indicated(said, b"again");
}

#[test]
fn the_receivers_channel_holds_to_its_last_millisecond_and_an_indication_follows() {
    let mut call = Call::across();
    assert_eq!(
        call.bob.bind(&mut call.world, 0x4abc, call.at_alice).code,
        0
    );
    for _ in 0..2 {
        call.world.pass_secs(299);
        assert_eq!(call.bob.permit(&mut call.world, &[call.at_alice]).code, 0);
        assert_eq!(
            call.alice.bind(&mut call.world, 0x4000, call.at_bob).code,
            0
        );
    }
    let said = call.say(b"x");
    let expected = Heard::OnChannel(0x4abc, b"x".to_vec());
    assert_eq!(heard_by(&call.bob, said), expected);

    call.world.skip(Duration::from_millis(1_999));
    let said = call.say(b"x");
    assert_eq!(heard_by(&call.bob, said), expected);
    call.world.skip(Duration::from_millis(1));

    let said = call.say(b"x");
    call.assert_indicated(said, b"x");
}

#[test]
fn the_receivers_relayed_address_holds_to_its_last_millisecond() {
    let mut call = Call::across();
    assert_eq!(call.bob.refresh(&mut call.world, 600).lifetime(), 600);
    for _ in 0..2 {
        call.world.pass_secs(299);
        assert_eq!(call.bob.permit(&mut call.world, &[call.at_alice]).code, 0);
        assert_eq!(
            call.alice.bind(&mut call.world, 0x4000, call.at_bob).code,
            0
        );
    }
    call.world.skip(Duration::from_millis(1_999));
    let said = call.say(b"last");
    call.assert_indicated(said, b"last");

    call.world.skip(Duration::from_millis(1));

    // Bob's worker has not come round to its timers; then it does.
    assert_eq!(call.say(b"x"), NO_ALLOCATION);
    assert_eq!(call.counted(0, DropReason::NoAllocation), (2, 1, 1));
    call.world.serve_timers();
    assert_eq!(call.say(b"x"), DENIED);
    assert_eq!(call.indicate(b"x"), DENIED);
    assert_eq!(call.counted(0, DropReason::PeerDenied), (2, 1, 2));
}

#[test]
fn the_senders_permission_and_channel_hold_to_their_last_millisecond() {
    let mut call = Call::new();
    let said = call.indicate(b"x");
    call.assert_indicated(said, b"x");
    call.world.pass_secs(150);
    assert_eq!(call.bob.permit(&mut call.world, &[call.at_alice]).code, 0);

    call.world.skip(Duration::from_millis(149_999));
    let said = call.say(b"x");
    call.assert_indicated(said, b"x");
    call.world.skip(Duration::from_millis(1));

    assert_eq!(call.say(b"x"), NO_PERMISSION);
    assert_eq!(call.indicate(b"x"), NO_PERMISSION);
    assert_eq!(call.alice.permit(&mut call.world, &[call.at_bob]).code, 0);
    let said = call.say(b"x");
    call.assert_indicated(said, b"x");
    call.world.pass_secs(200);
    for (client, peer) in [
        (&mut call.alice, call.at_bob),
        (&mut call.bob, call.at_alice),
    ] {
        assert_eq!(client.permit(&mut call.world, &[peer]).code, 0);
    }
    call.world.skip(Duration::from_millis(99_999));
    let said = call.say(b"x");
    call.assert_indicated(said, b"x");
    call.world.skip(Duration::from_millis(1));
    assert_eq!(call.say(b"x"), Outcome::Dropped(DropReason::NoChannel));
}

#[test]
fn the_receivers_end_is_seen_at_the_next_packet() {
    for mut call in [Call::new(), Call::across()] {
        let said = call.say(b"x");
        call.assert_indicated(said, b"x");
        let said = call.indicate(b"x");
        call.assert_indicated(said, b"x");

        assert_eq!(call.bob.refresh(&mut call.world, 0).code, 0);

        assert_eq!(call.say(b"x"), DENIED);
        assert_eq!(call.indicate(b"x"), DENIED);
        assert_eq!(call.world.hosts[call.bob.worker].bytes, [2]);
    }
}

#[test]
fn the_next_tenant_of_a_port_does_not_inherit_what_was_sent_to_the_last_one() {
    for workers in [1, 2] {
        let mut few = with_hairpin();
        few.ports = 50_000..=50_001;
        few.lifetimes.quarantine = Duration::ZERO;
        let mut call = Call::of(World::of(few, workers, 7), usize::from(workers) - 1);
        let said = call.say(b"x");
        call.assert_indicated(said, b"x");
        assert_eq!(call.bob.refresh(&mut call.world, 0).code, 0);

        let (mut carol, at_carol) = party(&mut call.world, 0, "c");
        assert_eq!(at_carol, call.at_bob);
        assert_eq!(carol.permit(&mut call.world, &[call.at_alice]).code, 0);

        assert_eq!(call.say(b"for bob"), DENIED);
        // To name the address is to mean whoever has it.
        let said = call.indicate(b"for whom it concerns");
        let expected = Heard::Indicated(call.at_alice, b"for whom it concerns".to_vec());
        assert_eq!(heard_by(&carol, said), expected);
        assert_eq!(call.say(b"for bob"), DENIED);
    }
}

#[test]
fn deleting_one_family_cuts_it_off_at_the_next_packet_and_leaves_the_other() {
    let mut world = World::of(with_hairpin(), 2, 7);
    let mut alice = world.client("alice");
    let mut bob = world.client("bob");
    bob.worker = 1;
    let at_alice = both_for_an_hour(&mut world, &mut alice);
    let at_bob = both_for_an_hour(&mut world, &mut bob);
    assert_eq!(alice.permit(&mut world, &at_bob).code, 0);
    assert_eq!(bob.permit(&mut world, &at_alice).code, 0);
    for (from, to) in at_alice.into_iter().zip(at_bob) {
        let came = alice.send(&mut world, to, b"x");
        assert_eq!(heard_by(&bob, came), Heard::Indicated(from, b"x".to_vec()));
    }

    assert_eq!(delete_v4(&mut world, &mut bob), 0);

    assert_eq!(alice.send(&mut world, at_bob[0], b"x"), DENIED);
    let came = alice.send(&mut world, at_bob[1], b"x");
    assert_eq!(
        heard_by(&bob, came),
        Heard::Indicated(at_alice[1], b"x".to_vec())
    );
}

#[test]
fn a_client_that_deletes_one_family_sends_no_more_from_it() {
    for options in [options(), with_hairpin()] {
        let mut world = World::with(options);
        let mut alice = world.client("alice");
        let mut bob = world.client("bob");
        let at_alice = both_for_an_hour(&mut world, &mut alice);
        let [at_bob, _] = both_for_an_hour(&mut world, &mut bob);
        assert_eq!(bob.permit(&mut world, &at_alice).code, 0);
        assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);
        assert_eq!(alice.bind(&mut world, 0x4001, addr(PEER4)).code, 0);
        let no_channel = Outcome::Dropped(DropReason::NoChannel);
        for number in [0x4000, 0x4001] {
            assert_ne!(alice.send_on(&mut world, number, b"x"), no_channel);
        }
        assert_ne!(alice.send(&mut world, at_bob, b"x"), NO_PERMISSION);

        assert_eq!(delete_v4(&mut world, &mut alice), 0);

        for number in [0x4000, 0x4001] {
            assert_eq!(alice.send_on(&mut world, number, b"x"), no_channel);
        }
        assert_eq!(alice.send(&mut world, at_bob, b"x"), NO_PERMISSION);
    }
}

#[test]
fn either_side_is_held_to_its_rate_wherever_the_other_one_is() {
    // That lets 80 datagrams of 1,000 bytes through at once.
    const RATE: u64 = 80_000;
    for workers in [1, 2] {
        let mut limited = with_hairpin();
        limited.limits.rate = NonZeroU64::new(RATE).map(ByteRate);
        let mut call = Call::of(World::of(limited, workers, 7), usize::from(workers) - 1);
        let (mut carol, _) = party(&mut call.world, 0, "c");
        assert_eq!(carol.permit(&mut call.world, &[call.at_bob]).code, 0);
        let carols = call.world.relays[0].table.of_client(&carol.at).unwrap();
        let at_carol = carols.grants.relayed.v4.unwrap().address;
        assert_eq!(call.bob.permit(&mut call.world, &[at_carol]).code, 0);

        let passed = (0..100)
            .filter(|_| call.say(&[7; 1000]) != OVER_RATE)
            .count();
        assert_eq!(passed, 80, "by the sender's rate");
        assert_eq!(call.counted(0, DropReason::OverRate), (80, 80, 20));
        let passed = (0..100)
            .filter(|_| carol.send(&mut call.world, call.at_bob, &[7; 1000]) != OVER_RATE)
            .count();
        assert_eq!(passed, 0, "by the receiver's");
        assert_eq!(call.counted(0, DropReason::OverRate), (160, 80, 120));
        assert_eq!(call.bob.refresh(&mut call.world, 0).code, 0);
        assert_eq!(call.world.hosts[call.bob.worker].bytes, [80_000]);
        assert_eq!(call.alice.refresh(&mut call.world, 0).code, 0);
        assert_eq!(carol.refresh(&mut call.world, 0).code, 0);
        let ended = call.world.hosts.iter().flat_map(|host| &host.bytes);
        assert_eq!(ended.sum::<u64>(), 3 * 80_000);
    }
}

#[test]
fn a_call_is_not_heard_by_another_call() {
    let mut call = Call::across();
    let mut mallory = call
        .world
        .client(&World::party("8", "m", PeerScope::Public));
    let at_mallory = for_an_hour(&mut call.world, &mut mallory, |_| ());
    assert_eq!(mallory.permit(&mut call.world, &[call.at_bob]).code, 0);
    assert_eq!(call.bob.permit(&mut call.world, &[at_mallory]).code, 0);

    for _ in 0..2 {
        let said = mallory.send(&mut call.world, call.at_bob, b"x");
        assert_eq!(said, DENIED, "Bob hears his call alone");
    }
    // Mallory may reach anybody, so that it is Bob's side that refuses.
    assert_eq!(call.counted(0, DropReason::PeerDenied), (2, 0, 2));
}

#[test]
fn a_stream_or_a_session_is_written_to_by_its_own_worker_alone() {
    for (workers, transport) in [
        (1, Transport::Tls),
        (2, Transport::Tls),
        (1, Transport::Dtls),
        (2, Transport::Dtls),
    ] {
        let mut world = World::of(with_hairpin(), workers, 7);
        let (mut alice, at_alice) = party(&mut world, 0, "a");
        let mut bob = world.client(&World::party("7", "b", PeerScope::Call));
        bob.worker = usize::from(workers) - 1;
        bob.at.link.transport = transport;
        let at_bob = for_an_hour(&mut world, &mut bob, |_| ());
        assert_eq!(bob.bind(&mut world, 0x4abc, at_alice).code, 0);
        assert_eq!(alice.bind(&mut world, 0x4000, at_bob).code, 0);

        for _ in 0..2 {
            let said = alice.send_on(&mut world, 0x4000, b"seven..");
            let came = if workers == 1 {
                said
            } else {
                let to = local(at_bob).to_string();
                assert_eq!(said, to_peer(at_alice, &to, b"seven.."));
                carry(&mut world, said)
            };
            let expected = Heard::OnChannel(0x4abc, b"seven..".to_vec());
            assert_eq!(heard_by(&bob, came), expected);
        }
        let said = bob.send_on(&mut world, 0x4abc, b"x");
        let expected = Heard::OnChannel(0x4000, b"x".to_vec());
        assert_eq!(
            heard_by(&alice, said),
            expected,
            "from a stream it is a hairpin"
        );
        assert_eq!(bob.refresh(&mut world, 0).code, 0);
        assert_eq!(alice.send_on(&mut world, 0x4000, b"x"), DENIED);
    }
}

#[test]
fn dont_fragment_has_no_effect_inside_the_host() {
    let mut call = Call::across();
    let data = [7; 1400];
    let wish = send_indication(call.at_bob, &data, |writer| {
        writer.put(&DontFragment).unwrap();
    });

    let said = call.world.send_to(0, &call.alice.at, &wish);

    call.assert_indicated(said, &data);
}

#[test]
fn what_does_not_fit_a_datagram_is_dropped_on_the_side_where_the_wire_drops_it() {
    let mut call = Call::across();
    let header = 36;

    let said = call.say(&vec![7; MAX_DATAGRAM - header - 3]);
    call.assert_indicated(said, &vec![7; MAX_DATAGRAM - header - 3]);
    assert_eq!(call.say(&vec![7; MAX_DATAGRAM - header + 1]), TOO_LARGE);
    assert_eq!(call.counted(0, DropReason::TooLarge), (2, 1, 1));
    assert_eq!(call.say(&vec![7; MAX_DATAGRAM + 1]), TOO_LARGE);
    assert_eq!(call.counted(0, DropReason::TooLarge), (2, 1, 2));
}

#[test]
fn a_client_may_reach_itself() {
    let mut world = World::with(with_hairpin());
    let (mut alice, at_alice) = party(&mut world, 0, "a");
    assert_eq!(alice.bind(&mut world, 0x4000, at_alice).code, 0);

    let said = alice.send_on(&mut world, 0x4000, b"echo");

    let expected = Heard::OnChannel(0x4000, b"echo".to_vec());
    assert_eq!(heard_by(&alice, said), expected);
    assert_eq!(alice.refresh(&mut world, 0).code, 0);
    assert_eq!(world.hosts[0].bytes, [8], "once each way");
}

#[test]
fn more_peers_than_routes_are_reached_all_the_same() {
    let mut world = World::with(with_hairpin());
    let (mut alice, at_alice) = party(&mut world, 0, "a");
    let mut bobs: Vec<_> = (0..40)
        .map(|n| party(&mut world, 0, &format!("b{n}")))
        .collect();
    assert_eq!(alice.permit(&mut world, &[at_alice]).code, 0);
    for (bob, _) in &mut bobs {
        assert_eq!(bob.permit(&mut world, &[at_alice]).code, 0);
    }

    for _ in 0..3 {
        for (bob, at_bob) in &bobs {
            let said = alice.send(&mut world, *at_bob, b"x");
            let expected = Heard::Indicated(at_alice, b"x".to_vec());
            assert_eq!(heard_by(bob, said), expected);
        }
    }
}

#[test]
fn reading_ahead_changes_nothing_whoever_it_is_for() {
    let mut call = Call::across();
    let stranger = call.world.client("stranger").at;
    let said = call.say(b"x");
    call.assert_indicated(said, b"x");
    let before = (call.world.snapshot(), call.world.sent());

    for clients in [
        vec![],
        vec![call.alice.at],
        vec![stranger, call.alice.at, stranger, call.bob.at],
        vec![call.alice.at; 200],
    ] {
        for relay in &call.world.relays {
            relay.table.read_ahead(clients.iter().copied());
            relay.read_ahead(clients.iter().copied());
        }
    }

    assert_eq!((call.world.snapshot(), call.world.sent()), before);
    let said = call.say(b"x");
    call.assert_indicated(said, b"x");
}

#[test]
fn without_the_hairpin_data_takes_the_wire() {
    let mut call = Call::of(World::of(options(), 2, 7), 1);
    let expected = to_peer(call.at_alice, &local(call.at_bob).to_string(), b"x");

    assert_eq!(call.say(b"x"), expected);
    assert_eq!(call.indicate(b"x"), expected);
}

/// Deletes a client's IPv4 relayed address; the code of the answer.
fn delete_v4(world: &mut World, client: &mut Client) -> u16 {
    let answer = client.ask(world, Method::REFRESH, |writer| {
        writer.put(&Lifetime(0)).unwrap();
        writer.put(&RequestedAddressFamily(Family::V4)).unwrap();
    });
    answer.code
}
