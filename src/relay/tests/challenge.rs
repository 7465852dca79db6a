//! Who is let in: long-term credentials as far as the relay decides (group A). What the authenticator accepts has its
//! own tests; here it is who gets which answer, under which key, and what it leaves behind.

use std::collections::BTreeSet;
use std::time::Duration;

use md5::{Digest, Md5};
use ring::digest::{SHA256, digest};

use super::client::{Answer, Client, channel_data, message, raw, send_indication};
use super::world::{Outcome, REALM, World, addr, auth_options, five_tuple};
use crate::auth::Credential;
use crate::relay::DropReason;
use crate::time::UnixTime;
use crate::wire::{
    AttributeType, Class, HmacKey, Lifetime, Method, Nonce, PasswordAlgorithm, PasswordAlgorithms,
    Realm, RequestedTransport, Username, Writer, XorPeerAddress,
};

const PEER: &str = "8.8.8.8:5000";
const TURN: [Method; 4] = [
    Method::ALLOCATE,
    Method::REFRESH,
    Method::CREATE_PERMISSION,
    Method::CHANNEL_BIND,
];

/// A-01; every answer of the code 401 is checked to hold all that belongs to a challenge.
#[test]
fn request_without_integrity_is_challenged() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    for method in TURN {
        let answer = alice.ask(&mut world, method, |_| ());

        assert_eq!(answer.code, 401);
        let nonce = nonce_of(&answer);
        assert!(nonce.starts_with("obMatJos2gAAB") && nonce.len() < 128);
        assert!(
            nonce
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'"')
        );
    }
    assert_eq!(world.snapshot(), World::new().snapshot());
}

///
#[test]
fn no_two_sources_get_the_same_nonce() {
    let mut world = World::new();
    let sources = ["24.0.0.9:40000", "24.0.0.9:40001", "24.0.0.10:40000"];
    let nonces: BTreeSet<_> = sources
        .map(|source| {
            let request = message(Class::Request, Method::ALLOCATE, |_| ());
            let reply = world.send(&five_tuple(addr(source)), &request).reply();
            nonce_of(&Answer::of(reply, &request, None))
        })
        .into_iter()
        .collect();

    assert_eq!(nonces.len(), 3);
    let lengths: BTreeSet<_> = nonces.iter().map(String::len).collect();
    assert_eq!(
        lengths.len(),
        1,
        "LK-08: a nonce does not tell of its client"
    );
}

/// with integrity, but without what it takes to check it.
#[test]
fn integrity_without_name_realm_or_nonce_is_a_bad_request() {
    let mut world = World::new();
    let alice = world.ready("alice");
    for missing in 0..3 {
        let request = signed(&alice, Method::ALLOCATE, |writer| {
            writer.put(&RequestedTransport(17)).unwrap();
            if missing != 0 {
                writer.put(&Username(&alice.username)).unwrap();
            }
            if missing != 1 {
                writer.put(&Realm(REALM)).unwrap();
            }
            if missing != 2 {
                writer.put(&Nonce(&alice.nonce)).unwrap();
            }
        });

        let answer = Answer::of(world.send(&alice.at, &request).reply(), &request, None);

        assert_eq!(answer.code, 400);
        assert_eq!(answer.attributes().len(), 1, "ERROR-CODE alone");
    }
    assert_eq!(world.relays[0].allocations(), 0);
}

///
#[test]
fn client_of_rfc_5389_is_answered_with_sha1() {
    let mut world = World::new();
    let mut alice = world.client("alice");

    let answer = alice.try_allocate(&mut world, |_| ());

    assert_eq!(answer.code, 0);
    let seals = answer.values(AttributeType::MESSAGE_INTEGRITY);
    assert_eq!(seals[0].len(), 20);
}

/// the password's algorithm is the client's choice, the answer's integrity is SHA-256 with either.
#[test]
fn client_that_chooses_an_algorithm_is_answered_with_sha256() {
    let mut world = World::new();
    for (user, chosen) in [
        ("alice", PasswordAlgorithm::SHA256),
        ("bob", PasswordAlgorithm::MD5),
    ] {
        let credential = world.credential(user, 3600);
        let key = if chosen == PasswordAlgorithm::MD5 {
            HmacKey::sha256(&Md5::digest(long_term(&credential)))
        } else {
            HmacKey::sha256(digest(&SHA256, long_term(&credential).as_bytes()).as_ref())
        };
        let mut client = world.client(user);
        client.learn_nonce(&mut world);
        let mut ask = |method| {
            client.last += 1;
            let request = choosing(&client, &key, chosen, method);
            Answer::of(
                world.send(&client.at, &request).reply(),
                &request,
                Some(&key),
            )
        };

        let granted = ask(Method::ALLOCATE);
        let refused = ask(Method::ALLOCATE);
        let refreshed = ask(Method::REFRESH);

        assert_eq!((granted.code, refused.code, refreshed.code), (0, 437, 0));
        let seals = refused.values(AttributeType::MESSAGE_INTEGRITY_SHA256);
        assert_eq!(seals[0].len(), 32);
    }
}

/// the stronger one decides.
#[test]
fn wrong_sha256_is_not_saved_by_a_right_sha1() {
    let mut world = World::new();
    let alice = world.ready("alice");
    let request = signed(&alice, Method::ALLOCATE, |writer| {
        writer.put(&RequestedTransport(17)).unwrap();
        credentials(writer, &alice);
        writer.integrity(&alice.key).unwrap();
        writer.integrity(&HmacKey::sha256(b"wrong")).unwrap();
    });

    assert_eq!(code(&mut world, &alice, &request), 401);
}

/// who is unknown, whose password is wrong, whose time is up: all hear the same.
#[test]
fn answer_does_not_tell_what_is_wrong_with_a_credential() {
    let mut world = World::new();
    let known = world.ready("alice");
    let expired = world.credential("alice", 0).username;
    world.pass_secs(1);
    let mut shape = |username: &str, key: &HmacKey| {
        let request = message(Class::Request, Method::ALLOCATE, |writer| {
            writer.put(&RequestedTransport(17)).unwrap();
            writer.put(&Username(username)).unwrap();
            writer.put(&Realm(REALM)).unwrap();
            writer.put(&Nonce(&known.nonce)).unwrap();
            writer.integrity(key).unwrap();
        });
        let answer = Answer::of(world.send(&known.at, &request).reply(), &request, None);
        assert_eq!(answer.code, 401);
        answer.bytes
    };

    let shapes: BTreeSet<_> = [
        (known.username.as_str(), &HmacKey::sha1(b"wrong")),
        ("nobody", &known.key),
        (&expired, &known.key),
        ("9999999999:alice", &known.key),
        ("1800003600:v1;role=admin", &known.key),
    ]
    .map(|(username, key)| shape(username, key))
    .into_iter()
    .collect();

    assert_eq!(
        shapes.len(),
        1,
        "the clock stands still, so even the nonce is the same"
    );
}

///
#[test]
fn stale_nonce_is_replaced_and_costs_nothing() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.try_allocate(&mut world, |writer| writer.put(&Lifetime(3600)).unwrap());
    world.pass_secs(400);
    alice.bind(&mut world, 0x4000, addr(PEER));
    world.pass_secs(200);
    assert_eq!(
        alice.permit(&mut world, &[addr(PEER)]).code,
        0,
        "valid to its end"
    );
    world.pass_secs(1);
    let before = world.snapshot();

    let stale = alice.refresh(&mut world, 0);

    assert_eq!(stale.code, 438);
    assert_eq!(world.snapshot(), before);
    alice.nonce = nonce_of(&stale);
    assert_eq!(alice.permit(&mut world, &[addr(PEER)]).code, 0);
    assert!(matches!(
        alice.send_on(&mut world, 0x4000, b"x"),
        Outcome::ToPeer { .. }
    ));
}

/// the nonce comes first, which is cheaper, and the same for users that exist and that do not.
#[test]
fn stale_nonce_hides_whether_the_user_exists() {
    let mut world = World::new();
    let alice = world.ready("alice");
    for username in [alice.username.as_str(), "nobody"] {
        let request = signed(&alice, Method::ALLOCATE, |writer| {
            writer.put(&Username(username)).unwrap();
            writer.put(&Realm(REALM)).unwrap();
            writer.put(&Nonce("stale")).unwrap();
            writer.integrity(&HmacKey::sha1(b"wrong")).unwrap();
        });
        assert_eq!(code(&mut world, &alice, &request), 438);
    }
}

///
#[test]
fn nonce_of_somebody_else_or_of_nobody_is_stale() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    let neighbour = {
        let mut bob = world.client_at(addr("24.0.0.2:55555"), "alice");
        bob.learn_nonce(&mut world);
        bob.nonce
    };
    assert_eq!(alice.at.client.reveal().ip(), addr("24.0.0.2:1").ip());
    let good = alice.nonce.clone();
    let forged = format!("{}{}", &good[..13], "A".repeat(good.len() - 13));
    let mut flipped = good.clone();
    flipped.replace_range(9..13, "AAAA");
    let mut other = good.clone().into_bytes();
    other[20] = if other[20] == b'A' { b'B' } else { b'A' };
    let nonces = [
        neighbour.into_bytes(),
        forged.into_bytes(),
        flipped.into_bytes(),
        other,
        good[..good.len() - 1].to_owned().into_bytes(),
        format!("{good}A").into_bytes(),
        "x".repeat(200).into_bytes(),
        b"\xFF\xFE".to_vec(),
        Vec::new(),
    ];
    for nonce in nonces {
        let request = signed(&alice, Method::ALLOCATE, |writer| {
            writer.put(&RequestedTransport(17)).unwrap();
            writer.put(&Username(&alice.username)).unwrap();
            writer.put(&Realm(REALM)).unwrap();
            writer.put(&raw(0x0015, &nonce)).unwrap();
        });
        assert_eq!(code(&mut world, &alice, &request), 438, "{nonce:02x?}");
    }
    assert_eq!(world.relays[0].allocations(), 0);
    assert_eq!(alice.try_allocate(&mut world, |_| ()).code, 0);
}

///
#[test]
fn wrong_realm_is_answered_with_the_right_one() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    alice.allocate(&mut world);
    let request = signed(&alice, Method::REFRESH, |writer| {
        writer.put(&Username(&alice.username)).unwrap();
        writer.put(&Realm("elsewhere.example")).unwrap();
        writer.put(&Nonce(&alice.nonce)).unwrap();
    });

    let answer = Answer::of(world.send(&alice.at, &request).reply(), &request, None);

    assert_eq!(answer.code, 401);
    assert_eq!(answer.values(AttributeType::REALM), [REALM.as_bytes()]);
}

/// a LIFETIME of zero behind either integrity, or between the two.
#[test]
fn lifetime_behind_the_integrity_deletes_nothing() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    alice.allocate(&mut world);
    // A client of RFC 5389 that uses SHA-256 as well: the key is that of MD5.
    let md5 = Md5::digest(long_term(&world.credential("alice", 3600)));
    let strong = HmacKey::sha256(&md5);
    let orders: [&[Option<&HmacKey>]; 3] = [
        &[Some(&alice.key), None],
        &[Some(&strong), None],
        &[Some(&alice.key), None, Some(&strong)],
    ];
    for order in orders {
        let request = message(Class::Request, Method::REFRESH, |writer| {
            credentials(writer, &alice);
            for step in order {
                match step {
                    Some(key) => writer.integrity(key).unwrap(),
                    None => writer.put(&Lifetime(0)).unwrap(),
                }
            }
        });

        let reply = world.send(&alice.at, &request).reply();
        let answer = Answer::of(reply, &request, Some(&alice.key));

        assert_eq!((answer.code, answer.lifetime()), (0, 600));
        assert_eq!(world.relays[0].allocations(), 1);
    }
}

///
#[test]
fn peer_behind_the_integrity_is_not_permitted() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    alice.allocate(&mut world);
    let request = message(Class::Request, Method::CREATE_PERMISSION, |writer| {
        writer.put(&XorPeerAddress(addr(PEER))).unwrap();
        credentials(writer, &alice);
        writer.integrity(&alice.key).unwrap();
        writer.put(&XorPeerAddress(addr("9.9.9.9:5000"))).unwrap();
    });

    let reply = world.send(&alice.at, &request).reply();

    assert_eq!(Answer::of(reply, &request, Some(&alice.key)).code, 0);
    let named = alice.send(&mut world, addr(PEER), b"x");
    assert!(matches!(named, Outcome::ToPeer { .. }));
    let added = alice.send(&mut world, addr("9.9.9.9:5000"), b"x");
    assert_eq!(added, Outcome::Dropped(DropReason::NoPermission));
}

/// A-18, and a second integrity.
#[test]
fn unknown_attributes_and_seals_behind_the_integrity_are_ignored() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    alice.allocate(&mut world);
    let request = message(Class::Request, Method::REFRESH, |writer| {
        credentials(writer, &alice);
        writer.integrity(&alice.key).unwrap();
        writer.put(&raw(0x7FFF, &[])).unwrap();
        writer.integrity(&HmacKey::sha1(b"wrong")).unwrap();
    });

    let reply = world.send(&alice.at, &request).reply();

    assert_eq!(Answer::of(reply, &request, Some(&alice.key)).code, 0);
    let wrong_first = message(Class::Request, Method::REFRESH, |writer| {
        credentials(writer, &alice);
        writer.integrity(&HmacKey::sha1(b"wrong")).unwrap();
        writer.integrity(&alice.key).unwrap();
    });
    assert_eq!(code(&mut world, &alice, &wrong_first), 401);
}

///
#[test]
fn first_of_two_equal_attributes_counts() {
    let mut world = World::new();
    let mut alice = world.ready("alice");
    alice.allocate(&mut world);
    let (name, nonce) = (alice.username.clone(), alice.nonce.clone());
    let mut with = |names: [&str; 2], realms: [&str; 2], nonces: [&str; 2]| {
        let request = signed(&alice, Method::REFRESH, |writer| {
            writer.put(&Lifetime(1200)).unwrap();
            writer.put(&Lifetime(0)).unwrap();
            for at in 0..2 {
                writer.put(&Username(names[at])).unwrap();
                writer.put(&Realm(realms[at])).unwrap();
                writer.put(&Nonce(nonces[at])).unwrap();
            }
        });
        let reply = world.send(&alice.at, &request).reply();
        Answer::of(reply, &request, Some(&alice.key))
    };

    let first = with([&name, "x"], [REALM, "x"], [&nonce, "x"]);
    assert_eq!((first.code, first.lifetime()), (0, 1200));
    assert_eq!(with(["x", &name], [REALM, "x"], [&nonce, "x"]).code, 401);
    assert_eq!(with([&name, "x"], ["x", REALM], [&nonce, "x"]).code, 401);
    assert_eq!(with([&name, "x"], [REALM, "x"], ["x", &nonce]).code, 438);
}

///
#[test]
fn unknown_attributes_are_told_to_authenticated_clients_alone() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    let mut ask = |world: &mut World| {
        alice.ask(world, Method::ALLOCATE, |writer| {
            writer.put(&raw(0x7FFF, &[])).unwrap();
        })
    };

    let stranger = ask(&mut world);
    assert_eq!(stranger.code, 401);
    alice.nonce = nonce_of(&stranger);
    let known = alice.ask(&mut world, Method::ALLOCATE, |writer| {
        writer.put(&raw(0x7FFF, &[])).unwrap();
    });

    assert_eq!(known.code, 420);
    let list = known.values(AttributeType::UNKNOWN_ATTRIBUTES);
    assert_eq!(list, [[0x7F, 0xFF]]);
}

/// CP-09: another user's right credentials, or the same identity's later ones, on a client's 5-tuple.
#[test]
fn another_credential_is_refused_on_an_allocation_and_finds_none_elsewhere() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    let renewed = world.credential("alice", 3601);
    assert_ne!(renewed.username, alice.username);
    for credential in [world.credential("bob", 3600), renewed] {
        for method in &TURN[1..] {
            let mut there = Client::new(alice.at, &credential);
            there.learn_nonce(&mut world);
            assert_eq!(there.refused(&mut world, *method, |_| ()), 441);
            let mut elsewhere = Client::new(five_tuple(addr("24.0.0.99:40000")), &credential);
            elsewhere.learn_nonce(&mut world);
            assert_eq!(elsewhere.refused(&mut world, *method, |_| ()), 437);
        }
    }
}

///
#[test]
fn indications_and_channel_data_are_never_challenged() {
    let mut world = World::new();
    let stranger = five_tuple(addr("24.0.0.9:40000"));
    for bytes in [
        send_indication(addr(PEER), b"x", |_| ()),
        channel_data(0x4000, b"x"),
    ] {
        let outcome = world.send(&stranger, &bytes);
        assert_eq!(outcome, Outcome::Dropped(DropReason::NoAllocation));
    }
}

/// A-28, OP-02: nonces go by the monotonic clock.
#[test]
fn step_of_the_wall_clock_neither_ends_nor_revives_a_nonce() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.try_allocate(&mut world, |writer| writer.put(&Lifetime(3600)).unwrap());
    let unix = world.now.unix.as_secs();
    for stepped in [unix - 86_400, unix + 86_400] {
        world.now.unix = UnixTime::from_secs(stepped);
        assert_eq!(alice.permit(&mut world, &[addr(PEER)]).code, 0);
    }
    world.pass(Duration::from_secs(601));
    world.now.unix = UnixTime::from_secs(unix);
    assert_eq!(alice.permit(&mut world, &[addr(PEER)]).code, 438);
}

/// a captured request, sent again with its source forged, does what it did, and nothing on another 5-tuple.
#[test]
fn replayed_request_does_nothing_new() {
    let mut world = World::new();
    let mut alice = world.client("alice");
    alice.allocate(&mut world);
    let request = alice.request(Method::CREATE_PERMISSION, |writer| {
        writer.put(&XorPeerAddress(addr(PEER))).unwrap();
    });
    let _ = world.send(&alice.at, &request).reply();
    let before = world.snapshot();

    let again = world.send(&alice.at, &request).reply();
    let elsewhere = world.send(&five_tuple(addr("24.0.0.99:40000")), &request);

    assert_eq!(Answer::of(again, &request, Some(&alice.key)).code, 0);
    assert_eq!(Answer::of(elsewhere.reply(), &request, None).code, 438);
    assert_eq!(world.snapshot(), before);
}

/// the old secret ends for newcomers, not for those who are here.
#[test]
fn removed_secret_admits_nobody_new_and_ends_no_call() {
    let mut world = World::new();
    let mut both = auth_options();
    both.secrets.insert(0, super::world::secret("new"));
    world.reload_auth(both);
    let (mut here, mut late) = (world.client("alice"), world.client("bob"));
    here.allocate(&mut world);
    late.learn_nonce(&mut world);

    let mut rotated = auth_options();
    rotated.secrets = vec![super::world::secret("new")];
    world.reload_auth(rotated);

    let refused = late.try_allocate(&mut world, |_| ());
    assert_eq!(refused.code, 401);
    assert_eq!(here.refresh(&mut world, 600).code, 0);
    assert_eq!(here.permit(&mut world, &[addr(PEER)]).code, 0);
}

fn credentials(writer: &mut Writer<'_>, client: &Client) {
    writer.put(&Username(&client.username)).unwrap();
    writer.put(&Realm(REALM)).unwrap();
    writer.put(&Nonce(&client.nonce)).unwrap();
}

/// A request that holds what `fill` puts, credentials or not, and the client's integrity.
fn signed(client: &Client, method: Method, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    message(Class::Request, method, |writer| {
        fill(writer);
        writer.integrity(&client.key).unwrap();
    })
}

/// A request of a client that chose an algorithm from the offer.
fn choosing(
    client: &Client,
    key: &HmacKey,
    chosen: PasswordAlgorithm<'_>,
    method: Method,
) -> Vec<u8> {
    let mut buf = vec![0; 1024];
    let id = super::client::id(client.last);
    let mut writer = Writer::new(&mut buf, Class::Request, method, id).unwrap();
    writer.put(&RequestedTransport(17)).unwrap();
    credentials(&mut writer, client);
    writer.put(&PasswordAlgorithms::SHA256_MD5).unwrap();
    writer.put(&chosen).unwrap();
    writer.integrity(key).unwrap();
    let len = writer.finish();
    buf.truncate(len);
    buf
}

fn long_term(credential: &Credential) -> String {
    format!("{}:{REALM}:{}", credential.username, *credential.password)
}

/// The code of an answer that must not be protected.
#[track_caller]
fn code(world: &mut World, client: &Client, request: &[u8]) -> u16 {
    Answer::of(world.send(&client.at, request).reply(), request, None).code
}

fn nonce_of(answer: &Answer) -> String {
    let nonce: Nonce<'_> = answer.message().get().unwrap().expect("a NONCE");
    nonce.0.to_owned()
}
