//! When a nonce is valid, for whom, and what it shows.

use proptest::prelude::*;

use super::*;

const LIFETIME: Duration = Duration::from_secs(600);

fn nonces() -> Nonces {
    Nonces::new(
        &[7; 32],
        LIFETIME,
        Features::PasswordAlgorithms,
        Offer::Both,
    )
}

fn at(secs: u64) -> Tick {
    Tick::from_millis(secs * 1000)
}

fn client() -> SocketAddr {
    "192.0.2.1:50000".parse().expect("an address")
}

#[test]
fn a01_a_nonce_is_short_quotable_and_begins_with_the_cookie() {
    let nonce = nonces().issue(at(1), client());
    assert_eq!(nonce.as_str().len(), 36);
    assert!(nonce.as_str().starts_with("obMatJos2gAAB"));
    assert!(
        nonce
            .as_str()
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    );
}

#[test]
fn a03_both_readings_of_the_bit_order_see_the_same_features() {
    for (features, anonymity) in [
        (Features::PasswordAlgorithms, false),
        (Features::PasswordAlgorithmsAndUserhash, true),
    ] {
        let bits = STANDARD_NO_PAD.decode(features.text()).unwrap();
        assert!(bits[0] & 0x80 != 0, "bit 0 is the most significant");
        assert!(bits[2] & 0x01 != 0, "bit 0 is the least significant");
        assert_eq!(bits[0] & 0x40 != 0, anonymity);
        assert_eq!(bits[2] & 0x02 != 0, anonymity);
    }
}

#[test]
fn a04_sources_that_differ_in_address_or_port_get_different_nonces() {
    let nonces = nonces();
    let sources = [
        "192.0.2.1:50000",
        "192.0.2.1:50001",
        "192.0.2.2:50000",
        "[2001:db8::1]:50000",
    ];
    let issued: std::collections::HashSet<_> = sources
        .map(|s| nonces.issue(at(1), s.parse().unwrap()).0)
        .into_iter()
        .collect();
    assert_eq!(issued.len(), sources.len());
}

#[test]
fn a04_a_later_challenge_to_the_same_source_is_fresh() {
    let nonces = nonces();
    let first = nonces.issue(Tick::from_millis(1000), client());
    let second = nonces.issue(Tick::from_millis(1001), client());
    assert_ne!(first.0, second.0);
}

#[test]
fn a14_a_nonce_is_valid_for_its_lifetime_and_not_longer() {
    let nonces = nonces();
    let nonce = nonces.issue(at(100), client());
    for age in [0, 1, 599, 600] {
        assert!(nonces.is_valid(at(100 + age), client(), &nonce.0), "{age}");
    }
    let just_after = Tick::from_millis(700_001);
    assert!(!nonces.is_valid(just_after, client(), &nonce.0));
    assert!(!nonces.is_valid(at(10_000_000), client(), &nonce.0));
}

#[test]
fn a16_a_nonce_of_another_source_is_not_valid() {
    let nonces = nonces();
    let nonce = nonces.issue(at(1), client());
    for other in ["192.0.2.1:50001", "192.0.2.2:50000", "[::1]:50000"] {
        assert!(
            !nonces.is_valid(at(1), other.parse().unwrap(), &nonce.0),
            "{other}"
        );
    }
}

#[test]
fn a16_other_shapes_are_not_valid() {
    let nonces = nonces();
    let nonce = nonces.issue(at(1), client());
    let text = nonce.as_str();
    let flipped = text.replacen("gAAB", "AAAB", 1);
    let anonymous = text.replacen("gAAB", "wAAD", 1);
    let long = format!("{text}{text}{text}{text}");
    for value in [
        &flipped,
        &anonymous,
        &text[..35],
        &format!("{text}A"),
        &long,
        "",
        "obMatJos2gAAB",
    ] {
        assert!(
            !nonces.is_valid(at(1), client(), value.as_bytes()),
            "{value}"
        );
    }
    assert!(!nonces.is_valid(at(1), client(), &[0xff; 36]));
}

#[test]
fn a28_a_nonce_dated_ahead_of_the_clock_is_not_valid() {
    let nonces = nonces();
    let nonce = nonces.issue(Tick::from_millis(1001), client());
    assert!(!nonces.is_valid(Tick::from_millis(1000), client(), &nonce.0));
    let first = nonces.issue(Tick::ZERO, client());
    assert!(nonces.is_valid(Tick::ZERO, client(), &first.0));
}

#[test]
fn a28_a_second_instance_with_the_same_seed_accepts_and_with_another_does_not() {
    let nonce = nonces().issue(at(1), client());
    assert!(nonces().is_valid(at(2), client(), &nonce.0));
    let other = Nonces::new(
        &[8; 32],
        LIFETIME,
        Features::PasswordAlgorithms,
        Offer::Both,
    );
    assert!(!other.is_valid(at(2), client(), &nonce.0));
}

#[test]
fn a_nonce_issued_with_another_offer_is_not_valid() {
    let narrow = Nonces::new(
        &[7; 32],
        LIFETIME,
        Features::PasswordAlgorithms,
        Offer::Sha256,
    );
    let nonce = narrow.issue(at(1), client());
    assert!(!nonces().is_valid(at(1), client(), &nonce.0));
}

#[test]
fn each_epoch_has_its_own_key() {
    let nonces = nonces();
    let nonce = nonces.issue(at(600), client());
    let (_, mac) = nonces.parse(&nonce.0).unwrap();
    let expected = |epoch| {
        let mut context = hmac::Context::with_key(&nonces.key(epoch));
        context.update(&600_000_u64.to_be_bytes());
        context.update(
            &"::ffff:192.0.2.1"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .octets(),
        );
        context.update(&50_000_u16.to_be_bytes());
        context.update(&[Offer::Both as u8]);
        context.sign().as_ref()[..MAC_LEN].to_vec()
    };
    assert_eq!(mac[..], expected(1));
    assert_ne!(mac[..], expected(0));
}

#[test]
fn lk08_a_nonce_shows_neither_the_address_nor_the_uptime() {
    let start = nonces().issue(Tick::ZERO, client());
    let body = STANDARD_NO_PAD.decode(&start.0[HEAD_LEN..]).unwrap();
    assert_ne!(
        body[..TIME_LEN],
        [0; TIME_LEN],
        "the time of the start is not zero"
    );
    let ip = [192, 0, 2, 1];
    assert!(!body.windows(4).any(|window| window == ip));
}

#[test]
fn x31_random_values_of_the_right_form_are_never_valid() {
    let nonces = nonces();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut value = nonces.issue(at(1), client()).0;
    for _ in 0..100_000 {
        // The time stays right, the MAC is drawn at random.
        for byte in &mut value[HEAD_LEN + 7..NONCE_LEN - 1] {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[(state >> 59) as usize];
        }
        value[NONCE_LEN - 1] = b'A';
        assert!(!nonces.is_valid(at(1), client(), &value));
    }
}

proptest! {
    #[test]
    fn any_changed_character_makes_a_nonce_invalid(place in 0..NONCE_LEN, byte: u8, secs in 0u64..100_000_000) {
        let nonces = nonces();
        let mut nonce = nonces.issue(at(secs), client()).0;
        prop_assert!(nonces.is_valid(at(secs), client(), &nonce));
        prop_assume!(nonce[place] != byte);
        nonce[place] = byte;
        prop_assert!(!nonces.is_valid(at(secs), client(), &nonce));
    }

    #[test]
    fn any_value_is_refused_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..200), millis: u64) {
        prop_assert!(!nonces().is_valid(Tick::from_millis(millis), client(), &value));
    }

    #[test]
    fn a_nonce_is_valid_whenever_it_is_issued(millis in 0u64..=u64::MAX - 600_000, age in 0u64..=600_000) {
        let nonces = nonces();
        let nonce = nonces.issue(Tick::from_millis(millis), client());
        prop_assert!(nonces.is_valid(Tick::from_millis(millis + age), client(), &nonce.0));
    }
}
