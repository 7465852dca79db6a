//! Static users and time-limited credentials side by side.

use super::*;

fn authenticator() -> Authenticator {
    super::authenticator(AuthOptions {
        users: vec![user("bob", "pass"), user("1700000000:alice", "static")],
        secrets: vec![secret("a", "north")],
        ..options()
    })
}

#[test]
fn static_users_and_minted_credentials_are_let_in_side_by_side() {
    let authenticator = authenticator();
    let bob = Attempt::md5(&authenticator, "bob", "pass");
    assert_eq!(bob.outcome(&authenticator, now()).as_deref(), Ok("bob"));
    let minted = mint(
        &secret("a", "north"),
        UnixTime::from_secs(EXPIRY),
        Some("carol"),
    )
    .unwrap();
    let carol = Attempt::md5(&authenticator, &minted.username, &minted.password);
    assert_eq!(
        carol.outcome(&authenticator, now()).as_deref(),
        Ok("1700000000:carol")
    );
}

#[test]
fn a_configured_name_is_never_read_as_a_minted_one() {
    let authenticator = authenticator();
    let minted = Attempt::md5(&authenticator, &alice().username, &alice().password);
    assert_eq!(
        minted.outcome(&authenticator, now()),
        Err(Reject::BadIntegrity)
    );
    let configured = Attempt::md5(&authenticator, "1700000000:alice", "static").bytes();
    let request = Message::parse(&configured).unwrap();
    let authenticated = authenticator
        .authenticate(now(), client(), &request, None)
        .unwrap();
    assert_eq!(
        (authenticated.expires, authenticated.identity),
        (None, "1700000000:alice")
    );
    assert_eq!(authenticated.bind().claims(), Claims::default());
}
