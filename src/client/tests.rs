//! The client against servers that err, lie or are silent. What it does with an honest one is in `tests/client_relay.rs`.

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::wire::{
    AttributeType, Encode, ErrorCode, HmacKey, Icmp, Lifetime, Message, Nonce, PasswordAlgorithm,
    PasswordAlgorithms, RawAttribute, Realm, UserHash, XorMappedAddress, XorRelayedAddress,
};

const NOW: Tick = Tick::from_millis(1_000);
const REALM: Realm<'static> = Realm("example.org");
const NONCE: Nonce<'static> = Nonce("f//499k954d6OL34oL9FSTvy64sA");

#[test]
fn wrapping_puts_the_header_in_front_and_leaves_the_payload_where_it_is() {
    let mut buf = *b"....data.";

    let message = wrap(ChannelNumber::MIN, &mut buf, 4..8);

    assert_eq!(message, Some(0..8));
    assert_eq!(&buf, b"\x40\x00\x00\x04data.");
}

#[test]
fn wrapping_without_room_is_refused_and_touches_nothing() {
    let mut buf = [7; 16];
    for payload in [3..8, 4..17, 20..30, Range { start: 8, end: 6 }] {
        let wrapped = wrap(ChannelNumber::MIN, &mut buf, payload.clone());
        assert_eq!(wrapped, None, "{payload:?}");
    }
    assert_eq!(buf, [7; 16]);
    let mut long = vec![0; 70_000];
    assert_eq!(wrap(ChannelNumber::MIN, &mut long, 4..65_540), None);
}

#[test]
fn a_challenge_is_answered_with_the_credential_under_a_new_transaction() {
    let mut client = client(Dialect::Rfc5389);
    let first = allocate(&mut client);

    let second = challenge(&mut client, &first, &[&REALM, &NONCE]);

    let request = Message::parse(&second).unwrap();
    assert!(Message::parse(&first).unwrap().integrity().is_none());
    assert_ne!(request.transaction_id().0, first[8..20]);
    assert!(request.verify(&md5_key()));
    assert_eq!(request.get(), Ok(Some(NONCE)));
    assert_eq!(request.raw(AttributeType::PASSWORD_ALGORITHM), None);
}

#[test]
fn the_newer_dialect_takes_the_first_known_algorithm_and_hides_the_name_where_asked() {
    // Both algorithms, behind one that nobody knows.
    let offer = raw(
        AttributeType::PASSWORD_ALGORITHMS,
        &[0, 9, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0],
    );
    for nonce in ["obMatJos2wAAAabc", "obMatJos2AAADabc"] {
        let mut client = client(Dialect::Rfc8489);
        let first = allocate(&mut client);

        let second = challenge(&mut client, &first, &[&REALM, &Nonce(nonce), &offer]);

        let request = Message::parse(&second).unwrap();
        assert!(request.verify(&sha256_key()), "{nonce}");
        assert_eq!(
            request.raw(AttributeType::PASSWORD_ALGORITHMS),
            Some(offer.value)
        );
        assert_eq!(request.get(), Ok(Some(PasswordAlgorithm::SHA256)));
        assert_eq!(request.raw(AttributeType::USERNAME), None);
        assert!(request.get::<UserHash<'_>>().unwrap().is_some());
    }
}

#[test]
fn the_newer_dialect_speaks_the_older_one_where_nothing_is_offered() {
    let mut client = client(Dialect::Rfc8489);
    let first = allocate(&mut client);

    let second = challenge(&mut client, &first, &[&REALM, &Nonce("obMatJos2AAAAabc")]);

    assert!(Message::parse(&second).unwrap().verify(&md5_key()));
}

#[test]
fn an_offer_that_was_removed_on_the_way_ends_the_request() {
    for nonce in ["obMatJos2gAAAabc", "obMatJos2AAABabc"] {
        let mut client = client(Dialect::Rfc8489);
        let first = allocate(&mut client);

        let response = error(&first, 401, &[&REALM, &Nonce(nonce)], None);

        assert_eq!(
            failure(&mut client, &response),
            RequestError::BidDown,
            "{nonce}"
        );
        assert_eq!(client.poll_transmit(), None);
    }
}

#[test]
fn an_offer_without_a_known_algorithm_ends_the_request() {
    let mut client = client(Dialect::Rfc8489);
    let first = allocate(&mut client);
    let offer = raw(AttributeType::PASSWORD_ALGORITHMS, &[0, 9, 0, 0]);

    let response = error(&first, 401, &[&REALM, &NONCE, &offer], None);

    assert_eq!(
        failure(&mut client, &response),
        RequestError::NoSharedAlgorithm
    );
}

#[test]
fn a_second_401_in_the_same_realm_ends_the_request() {
    let mut client = client(Dialect::Rfc5389);
    let first = allocate(&mut client);
    let second = challenge(&mut client, &first, &[&REALM, &NONCE]);

    let response = error(&second, 401, &[&REALM, &Nonce("another")], None);

    assert_eq!(failure(&mut client, &response), RequestError::Refused(401));
    assert_eq!(client.poll_transmit(), None);
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn a_server_that_never_likes_the_nonce_is_given_up() {
    let mut client = client(Dialect::Rfc5389);
    let mut request = allocate(&mut client);
    request = challenge(&mut client, &request, &[&REALM, &NONCE]);
    let mut stale = 0;

    let ended = loop {
        let nonce = format!("nonce {stale}");
        let response = error(&request, 438, &[&REALM, &Nonce(&nonce)], None);
        if let Received::Completed(completed) = client.handle_datagram(NOW, &response) {
            break completed.result;
        }
        request = sent(&mut client);
        stale += 1;
        assert!(stale < 10, "it goes on forever");
    };

    assert_eq!(ended, Err(RequestError::TooManyChallenges));
}

#[test]
fn a_server_that_names_another_realm_each_time_is_given_up() {
    let mut client = client(Dialect::Rfc5389);
    let mut request = allocate(&mut client);
    let ended = (0..10).find_map(|turn| {
        let realm = format!("realm {turn}");
        let response = error(&request, 401, &[&Realm(&realm), &NONCE], None);
        if let Received::Completed(completed) = client.handle_datagram(NOW, &response) {
            return Some(completed.result);
        }
        request = sent(&mut client);
        None
    });

    assert_eq!(ended, Some(Err(RequestError::TooManyChallenges)));
}

#[test]
fn a_challenge_without_nonce_or_realm_ends_the_request() {
    for attributes in [&[&REALM as &dyn Encode][..], &[&NONCE], &[]] {
        let mut client = client(Dialect::Rfc5389);
        let first = allocate(&mut client);
        let response = error(&first, 401, attributes, None);
        assert_eq!(failure(&mut client, &response), RequestError::Malformed);
    }
}

#[test]
fn a_forged_response_is_as_none_and_the_genuine_one_still_counts() {
    let (mut client, request) = challenged(Dialect::Rfc5389);
    let wrong_key = HmacKey::sha1(b"a guess");
    for forged in [
        granted(&request, None),
        granted(&request, Some(&wrong_key)),
        granted(&request, Some(&sha256_key())),
        error(&request, 400, &[], None),
        error(&request, 403, &[], Some(&wrong_key)),
        error(&request, 438, &[&Nonce("mine")], Some(&wrong_key)),
    ] {
        assert_eq!(client.handle_datagram(NOW, &forged), Received::Ignored);
    }

    let genuine = granted(&request, Some(&md5_key()));
    assert_eq!(end(&mut client, &genuine), Ok(Success::Allocated));
}

#[test]
fn forged_responses_alone_are_told_when_the_time_is_up() {
    let (mut client, request) = challenged(Dialect::Rfc5389);
    let _ = client.handle_datagram(NOW, &granted(&request, None));

    assert_eq!(run_out(&mut client), Err(RequestError::IntegrityViolated));
}

#[test]
fn silence_is_told_when_the_time_is_up() {
    let (mut client, _) = challenged(Dialect::Rfc5389);
    assert_eq!(run_out(&mut client), Err(RequestError::TimedOut));
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn a_client_that_chose_an_algorithm_believes_no_weaker_seal() {
    let (mut client, request) = challenged(Dialect::Rfc8489);

    let weaker = granted(&request, Some(&md5_key()));
    assert_eq!(client.handle_datagram(NOW, &weaker), Received::Ignored);

    let proper = granted(&request, Some(&sha256_key()));
    assert_eq!(end(&mut client, &proper), Ok(Success::Allocated));
}

#[test]
fn a_refusal_under_the_key_ends_the_request_with_its_code() {
    let (mut client, request) = challenged(Dialect::Rfc5389);
    let response = error(&request, 486, &[], Some(&md5_key()));
    assert_eq!(failure(&mut client, &response), RequestError::Refused(486));
}

#[test]
fn a_response_that_cannot_be_understood_ends_the_request() {
    let relayed = XorRelayedAddress(peer());
    let unknown = raw(AttributeType(0x7FFF), &[]);
    for attributes in [
        &[&relayed as &dyn Encode][..],
        &[&Lifetime(600)],
        &[&relayed, &Lifetime(600), &unknown],
    ] {
        let (mut client, request) = challenged(Dialect::Rfc5389);
        let response = respond(&request, Class::Success, attributes, Some(&md5_key()));
        assert_eq!(failure(&mut client, &response), RequestError::Malformed);
        assert_eq!(client.allocation(), None);
    }
}

#[test]
fn a_response_to_something_else_or_for_the_second_time_is_ignored() {
    let (mut client, request) = challenged(Dialect::Rfc5389);
    let mut other_id = granted(&request, Some(&md5_key()));
    other_id[10] ^= 1;
    let mut other_method = granted(&request, Some(&md5_key()));
    other_method[1] ^= 0b111;
    let genuine = granted(&request, Some(&md5_key()));

    assert_eq!(client.handle_datagram(NOW, &other_id), Received::Ignored);
    assert_eq!(
        client.handle_datagram(NOW, &other_method),
        Received::Ignored
    );
    assert!(matches!(
        client.handle_datagram(NOW, &genuine),
        Received::Completed(_)
    ));
    assert_eq!(client.handle_datagram(NOW, &genuine), Received::Ignored);
}

#[test]
fn an_indication_counts_from_a_permitted_address_alone() {
    let (mut client, request) = challenged(Dialect::Rfc5389);
    let _ = client.handle_datagram(NOW, &granted(&request, Some(&md5_key())));
    client.permit(NOW, &[peer()]).unwrap();
    let asked = sent(&mut client);
    let data = indication(&[&XorPeerAddress(peer()), &Data(b"data")]);
    let icmp = Icmp {
        kind: 3,
        code: 1,
        data: [0; 4],
    };
    let error = indication(&[&XorPeerAddress(peer()), &icmp]);
    assert_eq!(client.handle_datagram(NOW, &data), Received::Ignored);

    let permitted = respond(&asked, Class::Success, &[], Some(&md5_key()));
    let _ = client.handle_datagram(NOW, &permitted);

    let Received::Data(received) = client.handle_datagram(NOW, &data) else {
        panic!("no data")
    };
    assert_eq!(
        (received.peer.reveal(), received.payload),
        (peer(), &b"data"[..])
    );
    assert_eq!(
        client.handle_datagram(NOW, &error),
        Received::Icmp {
            peer: peer().into(),
            icmp
        }
    );
    let later = NOW.after(Duration::from_secs(300));
    assert_eq!(client.handle_datagram(later, &data), Received::Ignored);
}

#[test]
fn data_on_a_channel_that_nobody_asked_for_is_ignored() {
    let mut client = client(Dialect::Rfc5389);
    let (_, channel) = client.bind(NOW, peer()).unwrap();
    let mut frame = *b"....data";
    wrap(channel, &mut frame, 4..8).unwrap();

    let Received::Data(data) = client.handle_datagram(NOW, &frame) else {
        panic!("no data")
    };
    assert_eq!((data.channel, data.payload), (Some(channel), &b"data"[..]));
    frame[1] += 1;
    assert_eq!(client.handle_datagram(NOW, &frame), Received::Ignored);
}

#[test]
fn requests_in_flight_peers_and_channels_are_bounded() {
    let mut client = client(Dialect::Rfc5389);
    for _ in 0..MAX_IN_FLIGHT {
        client.binding(NOW).unwrap();
    }

    assert_eq!(client.binding(NOW), Err(StartError::TooManyInFlight));
    assert_eq!(client.permit(NOW, &[]), Err(StartError::Peers));
    assert_eq!(
        client.permit(NOW, &[peer(); MAX_PEERS + 1]),
        Err(StartError::Peers)
    );
    let mut last = Err(StartError::TooManyInFlight);
    for port in 0..=0x1000 {
        last = client.bind(NOW, SocketAddr::new(peer().ip(), port));
    }
    assert_eq!(last, Err(StartError::NoFreeChannel));
}

#[test]
fn a_name_that_fits_no_datagram_is_told() {
    let mut client = client(Dialect::Rfc5389);
    let first = allocate(&mut client);
    let (realm, nonce) = ("r".repeat(700), "n".repeat(700));

    let response = error(&first, 401, &[&Realm(&realm), &Nonce(&nonce)], None);

    assert_eq!(failure(&mut client, &response), RequestError::TooLarge);
}

#[test]
fn a_binding_request_tells_the_reflexive_address_and_carries_no_credential() {
    let (mut client, _) = challenged(Dialect::Rfc5389);
    client.binding(NOW).unwrap();
    let request = sent(&mut client);
    assert!(Message::parse(&request).unwrap().integrity().is_none());

    let response = respond(&request, Class::Success, &[&XorMappedAddress(peer())], None);

    assert_eq!(
        end(&mut client, &response),
        Ok(Success::Reflexive(peer().into()))
    );
}

#[test]
fn debug_output_shows_no_address_and_no_credential() {
    let (mut client, request) = challenged(Dialect::Rfc5389);
    let response = granted(&request, Some(&md5_key()));
    let received = client.handle_datagram(NOW, &response);
    let shown = format!("{client:?} {received:?}");
    for hidden in ["192.0.2", "user", "TheMatrIX"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

proptest! {
    #[test]
    fn whatever_arrives_the_client_lives_and_holds_nothing(
        datagram in proptest::collection::vec(any::<u8>(), 0..200),
        flip in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (mut client, request) = challenged(Dialect::Rfc8489);
        let mut changed = granted(&request, Some(&sha256_key()));
        let at = flip.index(changed.len());
        changed[at] ^= 1 << bit;
        let cut = &granted(&request, Some(&sha256_key()))[..at];

        for bytes in [&datagram[..], &changed, cut] {
            let _ = client.handle_datagram(NOW, bytes);
            prop_assert_eq!(client.allocation(), None);
        }
    }
}

fn client(dialect: Dialect) -> Client {
    let credential = Credential {
        username: "user".to_owned(),
        password: Zeroizing::new("TheMatrIX".to_owned()),
    };
    let options = ClientOptions {
        dialect,
        ..ClientOptions::default()
    };
    Client::new(credential, options, [3; 32])
}

/// A client that has sent an Allocate request with its credential, and that request.
fn challenged(dialect: Dialect) -> (Client, Vec<u8>) {
    let mut client = client(dialect);
    let first = allocate(&mut client);
    let second = match dialect {
        Dialect::Rfc5389 => challenge(&mut client, &first, &[&REALM, &NONCE]),
        Dialect::Rfc8489 => {
            let nonce = Nonce("obMatJos2gAABabc");
            let offer = PasswordAlgorithms::SHA256_MD5;
            challenge(&mut client, &first, &[&REALM, &nonce, &offer])
        }
    };
    (client, second)
}

fn allocate(client: &mut Client) -> Vec<u8> {
    client.allocate(NOW, AllocateOptions::default()).unwrap();
    sent(client)
}

/// The one datagram that the client has to send.
#[track_caller]
fn sent(client: &mut Client) -> Vec<u8> {
    let datagram = client.poll_transmit().expect("a datagram").to_vec();
    assert_eq!(client.poll_transmit(), None);
    datagram
}

/// Challenges a request with 401; the request that follows.
#[track_caller]
fn challenge(client: &mut Client, request: &[u8], attributes: &[&dyn Encode]) -> Vec<u8> {
    let response = error(request, 401, attributes, None);
    assert_eq!(client.handle_datagram(NOW, &response), Received::Pending);
    sent(client)
}

#[track_caller]
fn failure(client: &mut Client, response: &[u8]) -> RequestError {
    end(client, response).expect_err("it fails")
}

/// How the request ends that the response answers.
#[track_caller]
fn end(client: &mut Client, response: &[u8]) -> Result<Success, RequestError> {
    let Received::Completed(completed) = client.handle_datagram(NOW, response) else {
        panic!("the request goes on")
    };
    completed.result
}

/// Lets time pass until a request is given up.
fn run_out(client: &mut Client) -> Result<Success, RequestError> {
    loop {
        let due = client.poll_timeout().expect("something in flight");
        if let Some(completed) = client.handle_timeout(due) {
            return completed.result;
        }
    }
}

fn granted(request: &[u8], key: Option<&HmacKey>) -> Vec<u8> {
    let relayed = XorRelayedAddress("192.0.2.15:9000".parse().unwrap());
    let mapped = XorMappedAddress("192.0.2.1:7000".parse().unwrap());
    respond(
        request,
        Class::Success,
        &[&relayed, &Lifetime(600), &mapped],
        key,
    )
}

fn error(request: &[u8], code: u16, attributes: &[&dyn Encode], key: Option<&HmacKey>) -> Vec<u8> {
    let code = ErrorCode { code, reason: "" };
    let attributes: Vec<&dyn Encode> = [&code as &dyn Encode]
        .into_iter()
        .chain(attributes.iter().copied())
        .collect();
    respond(request, Class::Error, &attributes, key)
}

fn respond(
    request: &[u8],
    class: Class,
    attributes: &[&dyn Encode],
    key: Option<&HmacKey>,
) -> Vec<u8> {
    let asked = Message::parse(request).unwrap();
    message(
        class,
        asked.method(),
        asked.transaction_id(),
        attributes,
        key,
    )
}

fn indication(attributes: &[&dyn Encode]) -> Vec<u8> {
    let id = TransactionId([9; 12]);
    message(Class::Indication, Method::DATA, id, attributes, None)
}

fn message(
    class: Class,
    method: Method,
    id: TransactionId,
    attributes: &[&dyn Encode],
    key: Option<&HmacKey>,
) -> Vec<u8> {
    let mut buf = vec![0; 2048];
    let mut writer = Writer::new(&mut buf, class, method, id).unwrap();
    for attribute in attributes {
        writer.put(*attribute).unwrap();
    }
    if let Some(key) = key {
        writer.integrity(key).unwrap();
    }
    let len = writer.finish();
    buf.truncate(len);
    buf
}

fn raw(kind: AttributeType, value: &[u8]) -> RawAttribute<'_> {
    RawAttribute { kind, value }
}

/// MD5 and SHA-256 of `user:example.org:TheMatrIX`, computed elsewhere.
fn md5_key() -> HmacKey {
    HmacKey::sha1(&crate::wire::vectors::hex(
        "aef8141f07f393fa2b26aab204c2885f",
    ))
}

fn sha256_key() -> HmacKey {
    HmacKey::sha256(&crate::wire::vectors::hex(
        "b23a3fe80972df7682af0755dabca784923d7948d63106c06b5755ed2dad0d7c",
    ))
}

fn peer() -> SocketAddr {
    "192.0.2.15:9001".parse().unwrap()
}
