//! Group R of the conformance list: time-limited credentials.

use super::*;

fn attempt(authenticator: &Authenticator, secret_value: &str, username: &str) -> Attempt {
    let password = credentials::password(secret("x", secret_value).key(), username);
    Attempt::md5(
        authenticator,
        username,
        str::from_utf8(&password[..]).expect("base64"),
    )
}

#[test]
fn r01_a_minted_credential_is_let_in_with_either_algorithm() {
    let authenticator = with_secrets(&[("a", "north")]);
    let Credential { username, password } = alice();
    assert_eq!(*password, "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
    for attempt in [
        Attempt::md5(&authenticator, &username, &password),
        Attempt::sha256(&authenticator, &username, &password),
    ] {
        assert_eq!(
            attempt.outcome(&authenticator, now()).as_deref(),
            Ok("1700000000:alice")
        );
    }
}

#[test]
fn r02_the_expiry_is_inclusive_and_not_too_far_away() {
    let authenticator = with_secrets(&[("a", "north")]);
    let attempt = Attempt::md5(&authenticator, &alice().username, &alice().password);
    assert!(attempt.outcome(&authenticator, at(EXPIRY)).is_ok());
    assert_eq!(
        attempt.outcome(&authenticator, at(EXPIRY + 1)),
        Err(Reject::Expired)
    );
    assert!(attempt.outcome(&authenticator, at(EXPIRY - 86_400)).is_ok());
    assert_eq!(
        attempt.outcome(&authenticator, at(EXPIRY - 86_401)),
        Err(Reject::TooLongLived)
    );
}

#[test]
fn r03_an_expiry_alone_is_let_in_unless_an_id_is_required() {
    let lax = with_secrets(&[("a", "north")]);
    assert!(
        attempt(&lax, "north", "1700000000")
            .outcome(&lax, now())
            .is_ok()
    );
    let strict = authenticator(AuthOptions {
        secrets: vec![secret("a", "north")],
        require_id: true,
        ..options()
    });
    for username in ["1700000000", "1700000000:"] {
        let reject = attempt(&strict, "north", username).outcome(&strict, now());
        assert_eq!(reject, Err(Reject::MissingId));
    }
    assert!(
        attempt(&strict, "north", "1700000000:a")
            .outcome(&strict, now())
            .is_ok()
    );
}

#[test]
fn r04_malformed_names_are_refused_even_with_a_correct_hmac() {
    let authenticator = with_secrets(&[("a", "north")]);
    for username in [
        "",
        ":",
        "abc",
        "abc:1700000000",
        "12x:a",
        "-1:a",
        "+1700000000:a",
        " 1700000000:a",
        "0x6553f100:a",
        "17e8:a",
        "1700000000.5:a",
        "00000000001700000000:a",
        "18446744073709551615:a",
        "1700000000:a\0",
        "\u{661}\u{667}:a",
    ] {
        let reject = attempt(&authenticator, "north", username).outcome(&authenticator, now());
        assert_eq!(reject, Err(Reject::UnknownUser), "{username:?}");
    }
}

#[test]
fn r05_r06_the_identity_is_all_of_the_id_and_outlives_the_expiry() {
    let authenticator = with_secrets(&[("a", "north")]);
    for (username, identity) in [
        ("1700000000:alice", "alice"),
        ("1700000001:alice", "alice"),
        ("1700000000:a:b:c", "a:b:c"),
        ("1700000000", "1700000000"),
    ] {
        let bytes = attempt(&authenticator, "north", username).bytes();
        let request = Message::parse(&bytes).unwrap();
        let authenticated = authenticator
            .authenticate(now(), client(), &request, None)
            .unwrap();
        assert_eq!(authenticated.identity, identity);
        assert_eq!(authenticated.bind().identity(), identity);
    }
}

#[test]
fn r05_another_separator_can_be_configured() {
    let authenticator = authenticator(AuthOptions {
        secrets: vec![secret("a", "north")],
        separator: '|',
        ..options()
    });
    assert!(
        attempt(&authenticator, "north", "1700000000|a")
            .outcome(&authenticator, now())
            .is_ok()
    );
    let colon = attempt(&authenticator, "north", "1700000000:a").outcome(&authenticator, now());
    assert_eq!(colon, Err(Reject::UnknownUser));
}

#[test]
fn r07_old_and_new_secrets_overlap_and_a_removed_one_is_refused() {
    let overlap = with_secrets(&[("new", "south"), ("old", "north")]);
    let bytes = attempt(&overlap, "north", "1700000000:alice").bytes();
    let request = Message::parse(&bytes).unwrap();
    let authenticated = overlap
        .authenticate(now(), client(), &request, None)
        .unwrap();
    assert_eq!(authenticated.secret, Some(1));
    assert_eq!(overlap.secret_ids().nth(1), Some("old"));
    assert!(
        attempt(&overlap, "south", "1700000000:alice")
            .outcome(&overlap, now())
            .is_ok()
    );
    let removed = with_secrets(&[("new", "south")]);
    assert_eq!(
        outcome(&removed, now(), &bytes, None),
        Err(Reject::BadIntegrity)
    );
}

#[test]
fn r07_r08_an_allocation_outlives_its_secret_and_its_credential() {
    let before = with_secrets(&[("a", "north")]);
    let made_with = Attempt::md5(&before, &alice().username, &alice().password);
    let bound = bind(&before, &made_with, now());
    let after = with_secrets(&[("b", "south")]);
    let later = at(EXPIRY + 10_000);
    for refresh in [
        made_with,
        Attempt::sha256(&after, &alice().username, &alice().password),
    ] {
        let bytes = refresh.bytes();
        assert_eq!(outcome(&after, later, &bytes, None), Err(Reject::Expired));
        let request = Message::parse(&bytes).unwrap();
        let authenticated = after
            .authenticate(later, client(), &request, Some(&bound))
            .unwrap();
        assert_eq!(authenticated.expires, Some(UnixTime::from_secs(EXPIRY)));
        assert_eq!(authenticated.identity, "alice");
        assert_eq!(authenticated.secret, None);
    }
    let wrong = Attempt::md5(&after, &alice().username, "wrong").bytes();
    assert_eq!(
        outcome(&after, later, &wrong, Some(&bound)),
        Err(Reject::Expired)
    );
}

#[test]
fn r09_a_renewed_credential_is_another_user_of_the_same_identity() {
    let authenticator = with_secrets(&[("a", "north")]);
    let first = attempt(&authenticator, "north", "1700000000:alice");
    let bound = bind(&authenticator, &first, now());
    let second = attempt(&authenticator, "north", "1700000100:alice").bytes();
    let request = Message::parse(&second).unwrap();
    let authenticated = authenticator
        .authenticate(now(), client(), &request, Some(&bound))
        .unwrap();
    assert_ne!(authenticated.username, bound.username());
    assert_eq!(authenticated.identity, bound.identity());
}

#[test]
fn r10_nothing_prints_a_secret_a_password_or_a_key() {
    let options = AuthOptions {
        secrets: vec![secret("a", "north-north")],
        users: vec![user("bob", "hunter2")],
        ..options()
    };
    let authenticator = authenticator(options.clone());
    let bytes = Attempt::md5(&authenticator, "bob", "hunter2").bytes();
    let request = Message::parse(&bytes).unwrap();
    let authenticated = authenticator
        .authenticate(now(), client(), &request, None)
        .unwrap();
    let printed = format!(
        "{options:?} {authenticator:?} {authenticated:?} {:?}",
        authenticated.bind()
    );
    for secret in ["north-north", "hunter2"] {
        assert!(!printed.contains(secret));
    }
}

#[test]
fn claims_are_signed_with_the_username_and_kept_by_the_allocation() {
    let authenticator = with_secrets(&[("a", "north"), ("b", "south")]);
    let username = "1700000000:v1;call=9f2c;party=a;peers=call;kid=b";
    let good = attempt(&authenticator, "south", username);
    let bytes = good.bytes();
    let request = Message::parse(&bytes).unwrap();
    let authenticated = authenticator
        .authenticate(now(), client(), &request, None)
        .unwrap();
    assert_eq!(authenticated.claims.call, Some("9f2c"));
    assert_eq!(authenticated.secret, Some(1));
    assert_eq!(authenticated.bind().claims(), authenticated.claims);
    let widened = Attempt {
        username: Some(username.replace("peers=call", "peers=fleet").into()),
        ..good
    };
    assert_eq!(
        widened.outcome(&authenticator, now()),
        Err(Reject::BadIntegrity)
    );
}

#[test]
fn a_key_id_excludes_the_other_secrets() {
    let authenticator = with_secrets(&[("a", "north"), ("b", "south")]);
    for (secret, kid, reject) in [
        ("north", "b", Reject::BadIntegrity),
        ("north", "c", Reject::UnknownKeyId),
    ] {
        let username = format!("1700000000:v1;kid={kid}");
        let outcome = attempt(&authenticator, secret, &username).outcome(&authenticator, now());
        assert_eq!(outcome, Err(reject));
    }
}

#[test]
fn claims_that_are_not_understood_refuse_the_credential() {
    let authenticator = with_secrets(&[("a", "north")]);
    for (id, reject) in [
        ("v2;call=x", Reject::UnknownClaim),
        ("v1;colour=red", Reject::UnknownClaim),
        ("v1;call=x;call=y", Reject::BadClaims),
        ("v1;rate=fast", Reject::BadClaims),
        ("v1;peers=call", Reject::BadClaims),
    ] {
        let username = format!("1700000000:{id}");
        let outcome = attempt(&authenticator, "north", &username).outcome(&authenticator, now());
        assert_eq!(outcome, Err(reject), "{id}");
        assert_eq!(reject.code(), 401);
    }
}
