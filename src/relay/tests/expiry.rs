//! When things end: lifetimes, credentials and sessions (AL-21, R-06 to R-09, OP-02).

use std::time::Duration;

use super::client::Client;
use super::world::{EPOCH, Outcome, World, addr, five_tuple, local, options};
use crate::relay::{DropReason, EndReason, OnExpiry, Options};
use crate::time::UnixTime;
use crate::wire::{Family, Lifetime, Method};

const PEER: &str = "8.8.8.8:5000";

/// AL-21: data keeps nothing alive.
#[test]
fn allocation_ends_with_its_lifetime_whatever_flows() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let relayed = local(alice.allocate(&mut world));
    for _ in 0..59 {
        world.pass_secs(10);
        alice.bind(&mut world, 0x4000, addr(PEER));
        assert!(matches!(
            alice.send_on(&mut world, 0x4000, b"x"),
            Outcome::ToPeer { .. }
        ));
        let heard = world.arrive(relayed, addr(PEER), b"x");
        assert!(matches!(heard, Some(Outcome::ToClient { .. })));
    }

    world.pass_secs(10);

    let sent = alice.send_on(&mut world, 0x4000, b"x");
    assert_eq!(sent, Outcome::Dropped(DropReason::NoAllocation));
    assert!(
        world.arrive(relayed, addr(PEER), b"x").is_none(),
        "the socket is closed"
    );
    assert_eq!(alice.refresh(&mut world, 600).code, 437);
    assert_eq!(
        (world.ports(Family::V4), world.shared.quotas.total()),
        (0, 0)
    );
    assert_eq!(world.hosts[0].ended, [EndReason::Expired]);
}

/// AL-21: the moment counts, not when the shell gets round to its timers.
#[test]
fn expired_allocation_is_gone_before_its_timer_is_served() {
    for method in [
        Method::REFRESH,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
    ] {
        let mut world = World::new();
        let mut alice = world.client("alice");
        let relayed = local(alice.allocate(&mut world));
        world.pass_secs(400);
        alice.bind(&mut world, 0x4000, addr(PEER));
        world.pass_secs(199);
        world.now.tick = world.now.tick.after(Duration::from_secs(1));

        let sent = alice.send_on(&mut world, 0x4000, b"x");
        assert_eq!(sent, Outcome::Dropped(DropReason::NoAllocation));
        let sent = alice.send(&mut world, addr(PEER), b"x");
        assert_eq!(sent, Outcome::Dropped(DropReason::NoAllocation));
        let heard = world.arrive(relayed, addr(PEER), b"x");
        assert_eq!(heard, Some(Outcome::Dropped(DropReason::NoAllocation)));
        assert_eq!(
            alice.ask(&mut world, method, |_| ()).code,
            437,
            "{method:?}"
        );
        assert_eq!(world.hosts[0].ended, [EndReason::Expired]);
    }
}

/// AL-21: and its 5-tuple is free at that moment.
#[test]
fn expired_allocation_does_not_stand_in_the_way_of_the_next() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let first = alice.allocate(&mut world);
    world.pass_secs(599);
    world.now.tick = world.now.tick.after(Duration::from_secs(1));

    let second = alice.allocate(&mut world);

    assert_ne!(first, second);
    assert_eq!((world.sockets(), world.shared.quotas.total()), (1, 1));
}

/// R-08 with `keep`: a call outlives its credential; nobody new comes in with it.
#[test]
fn kept_call_goes_on_after_its_credential() {
    let mut world = world(OnExpiry::Keep);
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    for _ in 0..10 {
        world.pass_secs(500);
        alice.learn_nonce(&mut world);
        assert_eq!(alice.refresh(&mut world, 600).lifetime(), 600);
    }

    assert_eq!(alice.permit(&mut world, &[addr(PEER)]).code, 0);
    let mut late = Client::new(five_tuple(addr("24.0.0.99:40000")), &credential(&world));
    assert_eq!(late.try_allocate(&mut world, |_| ()).code, 401);
    assert_eq!(alice.refresh(&mut world, 0).code, 0);
    assert_eq!(
        alice.try_allocate(&mut world, |_| ()).code,
        401,
        "the call is over"
    );
}

/// R-08 with `refuse-refresh`: up to and with the last second, then only to the end of the lifetime.
#[test]
fn refused_refresh_lets_the_lifetime_run_out() {
    let mut world = world(OnExpiry::RefuseRefresh);
    let mut alice = at(&world, "24.0.0.9:40000", 1000);
    alice.try_allocate(&mut world, |writer| writer.put(&Lifetime(3600)).unwrap());
    world.pass_secs(1000);
    alice.learn_nonce(&mut world);
    assert_eq!(
        alice.refresh(&mut world, 700).lifetime(),
        700,
        "the last second"
    );

    world.pass_secs(1);

    let before = world.snapshot();
    assert_eq!(alice.refresh(&mut world, 600).code, 401);
    assert_eq!(alice.ask(&mut world, Method::REFRESH, |_| ()).code, 401);
    assert_eq!(world.snapshot(), before);
    assert_eq!(alice.permit(&mut world, &[addr(PEER)]).code, 0);
    world.pass_secs(698);
    assert_eq!(world.relays[0].allocations(), 1);
    world.pass_secs(1);
    assert_eq!(world.relays[0].allocations(), 0);
    assert_eq!(world.hosts[0].ended, [EndReason::Expired]);
}

///
#[test]
fn expired_credential_can_still_delete() {
    for on_expiry in [OnExpiry::Keep, OnExpiry::RefuseRefresh] {
        let mut world = world(on_expiry);
        let mut alice = at(&world, "24.0.0.9:40000", 100);
        alice.allocate(&mut world);
        world.pass_secs(101);

        assert_eq!(alice.refresh(&mut world, 0).code, 0);
        assert_eq!(world.relays[0].allocations(), 0);
    }
}

/// R-08 with `disconnect`: the lifetime never reaches beyond the credential's last second.
#[test]
fn disconnected_call_ends_with_its_credential() {
    let mut world = world(OnExpiry::Disconnect);
    let mut alice = at(&world, "24.0.0.9:40000", 1000);
    let answer = alice.try_allocate(&mut world, |writer| {
        writer.put(&Lifetime(3600)).unwrap();
    });
    assert_eq!(answer.lifetime(), 1001);
    world.pass_secs(500);
    assert_eq!(alice.refresh(&mut world, 3600).lifetime(), 501);
    world.pass_secs(100);
    assert_eq!(alice.refresh(&mut world, 0x7FFF_FFFF).lifetime(), 401);

    world.pass_secs(400);
    assert_eq!(world.relays[0].allocations(), 1, "the last second");
    world.pass_secs(1);

    assert_eq!((world.relays[0].allocations(), world.sockets()), (0, 0));
    assert_eq!(world.shared.quotas.total(), 0);
    assert_eq!(world.hosts[0].ended, [EndReason::CredentialExpired]);
}

/// A short lifetime stays one where the credential lasts.
#[test]
fn disconnect_does_not_extend_what_ends_earlier() {
    let mut world = world(OnExpiry::Disconnect);
    let mut alice = at(&world, "24.0.0.9:40000", 1000);
    assert_eq!(alice.try_allocate(&mut world, |_| ()).lifetime(), 600);

    world.pass_secs(600);

    assert_eq!(world.hosts[0].ended, [EndReason::Expired]);
}

#[test]
fn session_has_a_longest_time() {
    let mut world = limited(1000);
    let mut alice = world.client("alice");
    let answer = alice.try_allocate(&mut world, |writer| {
        writer.put(&Lifetime(3600)).unwrap();
    });
    assert_eq!(answer.lifetime(), 1000);
    // Not on a whole second, as clients are.
    world.pass(Duration::from_millis(500_400));
    assert_eq!(alice.refresh(&mut world, 3600).lifetime(), 499);

    world.pass(Duration::from_millis(499_599));
    assert_eq!(world.relays[0].allocations(), 1);
    world.pass(Duration::from_millis(1));

    assert_eq!(world.relays[0].allocations(), 0);
    assert_eq!(world.hosts[0].ended, [EndReason::SessionLimit]);
}

/// The last second is no loophole, whether or not the timers are served in between.
#[test]
fn session_cannot_be_stretched_by_refreshing_at_its_end() {
    for served in [true, false] {
        for on_expiry in [OnExpiry::Keep, OnExpiry::Disconnect] {
            let mut options = options();
            options.on_expiry = on_expiry;
            options.lifetimes.session_max = Duration::from_secs(1000);
            let mut world = World::with(options);
            let mut alice = at(&world, "24.0.0.9:40000", 1000);
            alice.try_allocate(&mut world, |writer| writer.put(&Lifetime(3600)).unwrap());
            world.pass_secs(997);
            alice.learn_nonce(&mut world);
            let mut codes = Vec::new();
            for _ in 0..10 {
                let step = Duration::from_millis(400);
                if served {
                    world.pass(step);
                } else {
                    world.now.tick = world.now.tick.after(step);
                }
                codes.push(alice.refresh(&mut world, 600).code);
            }

            // 997.4, 997.8, …, 999.8: then it is over.
            assert_eq!(codes[..7], [0; 7]);
            assert!(codes[7..].iter().all(|code| *code != 0), "{codes:?}");
            assert_eq!(world.hosts[0].ended, [EndReason::SessionLimit]);
        }
    }
}

/// The lifetime told is never zero, which would mean deleted, and never longer than the rest by a whole second.
#[test]
fn lifetime_in_the_last_second_is_one() {
    let mut world = limited(600);
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    world.pass(Duration::from_millis(598_900));
    assert_eq!(alice.refresh(&mut world, 600).lifetime(), 1);
    world.pass(Duration::from_millis(800));
    assert_eq!(alice.refresh(&mut world, 600).lifetime(), 1);

    world.pass(Duration::from_millis(300));

    assert_eq!(world.relays[0].allocations(), 0);
}

/// OP-02.
#[test]
fn step_of_the_wall_clock_neither_ends_nor_extends_a_call() {
    for on_expiry in [
        OnExpiry::Keep,
        OnExpiry::RefuseRefresh,
        OnExpiry::Disconnect,
    ] {
        for stepped in [EPOCH - 86_400, EPOCH + 86_400] {
            let mut world = world(on_expiry);
            let mut alice = world.client("alice");
            alice.allocate(&mut world);
            world.now.unix = UnixTime::from_secs(stepped);

            world.pass_secs(599);
            assert_eq!(world.relays[0].allocations(), 1);
            world.pass_secs(1);
            assert_eq!(world.relays[0].allocations(), 0);
        }
    }
}

/// a fresh expiry is no fresh identity.
#[test]
fn quota_is_counted_by_id_and_not_by_username() {
    let mut options = options();
    options.limits.allocations_per_user = 2;
    let mut world = World::with(options);
    let mut port = 40_000;
    let mut allocate = |world: &mut World, id: &str, secs| {
        port += 1;
        let credential = world.credential(id, secs);
        let mut client = Client::new(five_tuple(addr(&format!("24.0.0.9:{port}"))), &credential);
        client.try_allocate(world, |_| ()).code
    };

    assert_eq!(allocate(&mut world, "alice", 3600), 0);
    assert_eq!(allocate(&mut world, "alice", 3601), 0);
    assert_eq!(allocate(&mut world, "alice", 3602), 486);
    assert_eq!(allocate(&mut world, "alice:2", 3600), 0, "another id");
}

fn world(on_expiry: OnExpiry) -> World {
    World::with(Options {
        on_expiry,
        ..options()
    })
}

/// A world whose sessions last so many seconds at most.
fn limited(session_max: u64) -> World {
    let mut options = options();
    options.lifetimes.session_max = Duration::from_secs(session_max);
    World::with(options)
}

/// A client whose credential is valid for so many seconds.
fn at(world: &World, address: &str, secs: u64) -> Client {
    Client::new(five_tuple(addr(address)), &world.credential("alice", secs))
}

/// A credential as minted when the world began.
fn credential(world: &World) -> crate::auth::Credential {
    let elapsed = world.now.unix.as_secs() - EPOCH;
    assert!(elapsed > 3600, "it is expired");
    let secret = super::world::secret("test");
    crate::auth::mint(&secret, UnixTime::from_secs(EPOCH + 3600), Some("alice")).unwrap()
}
