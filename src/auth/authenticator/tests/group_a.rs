//! Group A of the conformance list: long-term credentials.

use super::*;

#[test]
fn a01_a_request_without_integrity_is_challenged() {
    let authenticator = with_users();
    let mut attempt = Attempt::md5(&authenticator, "bob", "pass");
    attempt.seals.clear();
    let reject = attempt.outcome(&authenticator, now()).unwrap_err();
    assert_eq!(reject, Reject::MissingIntegrity);
    assert_eq!((reject.code(), reject.challenges()), (401, true));
}

#[test]
fn a01_a_challenge_carries_realm_nonce_and_algorithms_and_nothing_else() {
    let authenticator = with_users();
    let bytes = challenge(&authenticator);
    let message = Message::parse(&bytes).unwrap();
    let attributes: Vec<_> = message.attributes().map(|(kind, _)| kind).collect();
    assert_eq!(
        attributes,
        [
            AttributeType::ERROR_CODE,
            AttributeType::REALM,
            AttributeType::NONCE,
            AttributeType::PASSWORD_ALGORITHMS
        ]
    );
    assert!(message.integrity().is_none());
    assert_eq!(message.raw(AttributeType::REALM), Some(REALM.as_bytes()));
    let nonce = message.raw(AttributeType::NONCE).unwrap();
    assert!(authenticator.nonces.is_valid(now().tick, client(), nonce));
}

#[test]
fn a02_algorithms_and_the_bit_that_announces_them_go_together() {
    let md5_too = with_users();
    let without_md5 = authenticator(AuthOptions {
        users: vec![user("bob", "pass")],
        offer_md5: false,
        ..options()
    });
    for (authenticator, list) in [(md5_too, OFFER), (without_md5, SHA256)] {
        let bytes = challenge(&authenticator);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.raw(AttributeType::PASSWORD_ALGORITHMS), Some(list));
    }
}

#[test]
fn a02_anonymity_is_offered_only_where_every_name_is_known_beforehand() {
    assert!(offers_anonymity(&with_users()));
    assert!(!offers_anonymity(&with_secrets(&[("a", "north")])));
    let both = authenticator(AuthOptions {
        users: vec![user("bob", "pass")],
        secrets: vec![secret("a", "north")],
        ..options()
    });
    assert!(!offers_anonymity(&both));
    let mut attempt = Attempt::sha256(&both, "bob", "pass");
    attempt.username = None;
    attempt.userhash = Some(keys::userhash("bob", REALM).into());
    assert_eq!(attempt.outcome(&both, now()), Err(Reject::UnknownUser));
}

#[test]
fn a05_integrity_without_name_realm_or_nonce_is_a_bad_request() {
    let authenticator = with_users();
    let good = Attempt::md5(&authenticator, "bob", "pass");
    for attempt in [
        Attempt {
            username: None,
            ..good.clone()
        },
        Attempt {
            realm: None,
            ..good.clone()
        },
        Attempt {
            nonce: None,
            ..good
        },
    ] {
        let reject = attempt.outcome(&authenticator, now()).unwrap_err();
        assert_eq!(reject, Reject::MissingAttribute);
        assert_eq!((reject.code(), reject.challenges()), (400, false));
    }
}

#[test]
fn a_name_and_its_hash_at_once_are_a_bad_request() {
    let authenticator = with_users();
    let attempt = Attempt {
        userhash: Some(keys::userhash("bob", REALM).into()),
        ..Attempt::sha256(&authenticator, "bob", "pass")
    };
    let reject = attempt.outcome(&authenticator, now()).unwrap_err();
    assert_eq!((reject, reject.code()), (Reject::AmbiguousName, 400));
}

#[test]
fn a06_a_client_that_knows_md5_alone_is_let_in_and_answered_with_sha1() {
    let authenticator = with_users();
    let attempt = Attempt::md5(&authenticator, "bob", "pass");
    assert_eq!(attempt.outcome(&authenticator, now()).as_deref(), Ok("bob"));
    assert_eq!(response_hash(&authenticator, &attempt), Hash::Sha1);
}

#[test]
fn a07_a_bid_down_is_a_bad_request_even_with_a_correct_hmac() {
    let authenticator = with_users();
    let good = Attempt::sha256(&authenticator, "bob", "pass");
    let lists = [
        None,
        Some([MD5, SHA256].concat()),
        Some(MD5.to_vec()),
        Some(SHA256.to_vec()),
        Some([OFFER, &[0, 3, 0, 0]].concat()),
        Some([&[0, 2, 0, 1, 9, 0, 0, 0], MD5].concat()),
        Some(vec![]),
        Some(vec![0, 2]),
    ];
    let choices = [
        None,
        Some(vec![0, 3, 0, 0]),
        Some(vec![]),
        Some(vec![0, 2]),
        Some(vec![0, 2, 0, 1, 9]),
    ];
    let lists = lists.map(|list| Attempt {
        list,
        ..good.clone()
    });
    let choices = choices.map(|chosen| Attempt {
        chosen,
        ..good.clone()
    });
    for attempt in lists.iter().chain(&choices) {
        let reject = attempt.outcome(&authenticator, now()).unwrap_err();
        assert_eq!(
            (reject, reject.code()),
            (Reject::BidDown, 400),
            "{:?} {:?}",
            attempt.list,
            attempt.chosen
        );
    }
}

#[test]
fn a08_a_client_that_chooses_sha256_is_let_in_and_answered_with_sha256() {
    let authenticator = with_users();
    let attempt = Attempt::sha256(&authenticator, "bob", "pass");
    assert_eq!(attempt.outcome(&authenticator, now()).as_deref(), Ok("bob"));
    assert_eq!(response_hash(&authenticator, &attempt), Hash::Sha256);
}

#[test]
fn a09_a_client_that_chooses_md5_signs_and_is_answered_with_sha256() {
    let authenticator = with_users();
    let attempt = Attempt {
        chosen: Some(MD5.into()),
        seals: vec![key("bob", "pass", Algorithm::Md5, Hash::Sha256)],
        ..Attempt::sha256(&authenticator, "bob", "pass")
    };
    assert_eq!(attempt.outcome(&authenticator, now()).as_deref(), Ok("bob"));
    assert_eq!(response_hash(&authenticator, &attempt), Hash::Sha256);
}

#[test]
fn a09_a_client_that_chooses_md5_and_signs_with_sha1_is_answered_with_sha1() {
    let authenticator = with_users();
    let attempt = Attempt {
        chosen: Some(MD5.into()),
        seals: vec![key("bob", "pass", Algorithm::Md5, Hash::Sha1)],
        ..Attempt::sha256(&authenticator, "bob", "pass")
    };
    assert_eq!(attempt.outcome(&authenticator, now()).as_deref(), Ok("bob"));
    assert_eq!(response_hash(&authenticator, &attempt), Hash::Sha1);
}

#[test]
fn a09_a_server_that_does_not_offer_md5_refuses_those_who_know_nothing_else() {
    let authenticator = authenticator(AuthOptions {
        users: vec![user("bob", "pass")],
        offer_md5: false,
        ..options()
    });
    let md5 = Attempt::md5(&authenticator, "bob", "pass");
    let reject = md5.outcome(&authenticator, now()).unwrap_err();
    assert_eq!((reject, reject.code()), (Reject::RefusedAlgorithm, 401));
    let sha256 = Attempt {
        list: Some(SHA256.into()),
        ..Attempt::sha256(&authenticator, "bob", "pass")
    };
    assert_eq!(sha256.outcome(&authenticator, now()).as_deref(), Ok("bob"));
}

#[test]
fn a10_sha256_integrity_without_a_choice_is_made_with_the_md5_key_and_answered_with_sha1() {
    let authenticator = with_users();
    let attempt = Attempt {
        seals: vec![key("bob", "pass", Algorithm::Md5, Hash::Sha256)],
        ..Attempt::md5(&authenticator, "bob", "pass")
    };
    assert_eq!(attempt.outcome(&authenticator, now()).as_deref(), Ok("bob"));
    assert_eq!(response_hash(&authenticator, &attempt), Hash::Sha1);
}

#[test]
fn a11_of_two_integrity_attributes_the_stronger_decides() {
    let authenticator = with_users();
    let good = Attempt::sha256(&authenticator, "bob", "pass");
    let sha1 = key("bob", "pass", Algorithm::Sha256, Hash::Sha1);
    let wrong = key("bob", "wrong", Algorithm::Sha256, Hash::Sha256);
    let both_right = Attempt {
        seals: vec![sha1.clone(), good.seals[0].clone()],
        ..good.clone()
    };
    assert_eq!(
        both_right.outcome(&authenticator, now()).as_deref(),
        Ok("bob")
    );
    let stronger_wrong = Attempt {
        seals: vec![sha1, wrong],
        ..good
    };
    assert_eq!(
        stronger_wrong.outcome(&authenticator, now()),
        Err(Reject::BadIntegrity)
    );
}

#[test]
fn a12_a_truncated_integrity_attribute_proves_nothing() {
    let authenticator = with_users();
    let whole = Attempt::sha256(&authenticator, "bob", "pass").bytes();
    let body = whole.len() - 36;
    for len in [0, 4, 16, 20, 24, 28] {
        let mut request = whole[..body + 4 + len].to_vec();
        request[body + 3] = u8::try_from(len).unwrap();
        let length = u16::try_from(request.len() - 20).unwrap();
        request[2..4].copy_from_slice(&length.to_be_bytes());
        let reject = outcome(&authenticator, now(), &request, None).unwrap_err();
        assert_eq!(
            (reject, reject.code()),
            (Reject::BadIntegrity, 401),
            "{len}"
        );
    }
}

#[test]
fn a13_unknown_users_and_wrong_passwords_get_one_answer() {
    let authenticator = with_users();
    let unknown = Attempt::md5(&authenticator, "eve", "pass");
    let wrong = Attempt::md5(&authenticator, "bob", "wrong");
    let [unknown, wrong] = [unknown, wrong].map(|a| a.outcome(&authenticator, now()).unwrap_err());
    assert_eq!(
        (unknown, wrong),
        (Reject::UnknownUser, Reject::BadIntegrity)
    );
    assert_eq!(
        (unknown.code(), unknown.challenges()),
        (wrong.code(), wrong.challenges())
    );
}

#[test]
fn a14_an_expired_nonce_is_stale_and_the_next_one_good() {
    let authenticator = with_users();
    let mut attempt = Attempt::md5(&authenticator, "bob", "pass");
    let later = tick(602);
    let reject = attempt.outcome(&authenticator, later).unwrap_err();
    assert_eq!(
        (reject, reject.code(), reject.challenges()),
        (Reject::StaleNonce, 438, true)
    );
    attempt.nonce = Some(nonce(&authenticator, later).into());
    assert_eq!(attempt.outcome(&authenticator, later).as_deref(), Ok("bob"));
}

#[test]
fn a15_with_a_stale_nonce_nothing_else_is_looked_at() {
    let authenticator = with_users();
    let later = tick(602);
    for (name, password) in [("bob", "pass"), ("bob", "wrong"), ("eve", "pass")] {
        let attempt = Attempt::md5(&authenticator, name, password);
        let cost = verifications(|| {
            assert_eq!(
                attempt.outcome(&authenticator, later),
                Err(Reject::StaleNonce)
            );
        });
        assert_eq!(cost, 0, "x22: no HMAC over the message of a flood");
    }
}

#[test]
fn a16_nonces_that_were_not_issued_to_the_client_are_stale() {
    let authenticator = with_users();
    let good = Attempt::md5(&authenticator, "bob", "pass");
    let issued = nonce(&authenticator, now());
    let elsewhere = authenticator
        .nonces
        .issue(now().tick, "192.0.2.1:50001".parse().unwrap());
    for nonce in [
        elsewhere.as_str().as_bytes(),
        issued.replace("wAAD", "gAAB").as_bytes(),
        &issued.as_bytes()[..20],
        issued.repeat(4).as_bytes(),
        b"",
        b"f//499k954d6OL34oL9FSTvy64sA",
        &[0xFF; 36],
    ] {
        let attempt = Attempt {
            nonce: Some(nonce.to_vec()),
            ..good.clone()
        };
        assert_eq!(
            attempt.outcome(&authenticator, now()),
            Err(Reject::StaleNonce)
        );
    }
}

#[test]
fn a17_another_realm_is_challenged_with_ours() {
    let authenticator = with_users();
    for realm in ["example.net", "EXAMPLE.ORG", "", "example.org\0"] {
        let mut attempt = Attempt::md5(&authenticator, "bob", "pass");
        attempt.realm = Some(realm.into());
        let reject = attempt.outcome(&authenticator, now()).unwrap_err();
        assert_eq!((reject, reject.code()), (Reject::WrongRealm, 401));
    }
}

#[test]
fn a18_a_name_behind_the_integrity_attribute_is_nobody() {
    let authenticator = with_users();
    let mut request = Attempt {
        username: None,
        ..Attempt::md5(&authenticator, "bob", "pass")
    }
    .bytes();
    request.extend([0, 6, 0, 3, b'b', b'o', b'b', 0]);
    let length = u16::try_from(request.len() - 20).unwrap();
    request[2..4].copy_from_slice(&length.to_be_bytes());
    let reject = outcome(&authenticator, now(), &request, None).unwrap_err();
    assert_eq!(reject, Reject::MissingAttribute);
}

#[test]
fn a19_of_two_names_the_first_counts() {
    let authenticator = with_users();
    let mut buf = [0; 512];
    let mut writer = Writer::new(
        &mut buf,
        Class::Request,
        Method::REFRESH,
        TransactionId([9; 12]),
    )
    .unwrap();
    writer.put(&wire::Username("bob")).unwrap();
    writer.put(&wire::Username("eve")).unwrap();
    writer.put(&wire::Realm(REALM)).unwrap();
    writer
        .put(&wire::Nonce(&nonce(&authenticator, now())))
        .unwrap();
    writer
        .integrity(&key("bob", "pass", Algorithm::Md5, Hash::Sha1))
        .unwrap();
    let len = writer.finish();
    assert_eq!(
        outcome(&authenticator, now(), &buf[..len], None).as_deref(),
        Ok("bob")
    );
}

#[test]
fn a20_a_user_may_present_the_hash_of_its_name() {
    let authenticator = with_users();
    let with_hash = |hash: &[u8]| Attempt {
        username: None,
        userhash: Some(hash.to_vec()),
        ..Attempt::sha256(&authenticator, "bob", "pass")
    };
    let hash = keys::userhash("bob", REALM);
    assert_eq!(
        with_hash(&hash).outcome(&authenticator, now()).as_deref(),
        Ok("bob")
    );
    let unknown = keys::userhash("eve", REALM);
    for wrong in [&unknown[..], &hash[..31], &[], b"bob"] {
        let reject = with_hash(wrong).outcome(&authenticator, now()).unwrap_err();
        assert_eq!((reject, reject.code()), (Reject::UnknownUser, 401));
    }
}

#[test]
fn a21_both_unicode_spellings_are_one_user() {
    let authenticator = with_users();
    for spelling in ["ren\u{e9}", "rene\u{301}"] {
        let attempt = Attempt {
            username: Some(spelling.into()),
            ..Attempt::sha256(&authenticator, "ren\u{e9}", "pass")
        };
        assert_eq!(
            attempt.outcome(&authenticator, now()).as_deref(),
            Ok("ren\u{e9}")
        );
    }
}

#[test]
fn a21_names_that_nobody_can_have_are_unknown_users() {
    let authenticator = authenticator(AuthOptions {
        users: vec![user(&"a".repeat(508), "pass")],
        secrets: vec![secret("a", "north")],
        ..options()
    });
    let longest = Attempt::md5(&authenticator, &"a".repeat(508), "pass");
    assert!(longest.outcome(&authenticator, now()).is_ok());
    let too_long = [
        "a".repeat(509),
        "a".repeat(763),
        "a".repeat(1000),
        format!("1700000000:{}", "a".repeat(500)),
    ];
    let others = ["", "a\tb", "a\0", "\u{7f}"].map(str::to_owned);
    for name in too_long.iter().chain(&others) {
        let attempt = Attempt::md5(&authenticator, name, "pass");
        assert_eq!(
            attempt.outcome(&authenticator, now()),
            Err(Reject::UnknownUser),
            "{name:?}"
        );
    }
    let not_text = Attempt {
        username: Some(vec![0xFF, 0xFE]),
        ..longest
    };
    assert_eq!(
        not_text.outcome(&authenticator, now()),
        Err(Reject::UnknownUser)
    );
}

#[test]
fn a27_stored_keys_let_in_with_the_algorithms_they_are_for() {
    // The key of user, realm and pass.
    let md5 = 0x8493_fbc5_3ba5_82fb_4c04_4c45_6bdc_40eb_u128.to_be_bytes();
    let keys = LongTermKeys::stored(Some(md5), None);
    let authenticator = authenticator(AuthOptions {
        realm: "realm".to_owned(),
        users: vec![StaticUser {
            name: "user".to_owned(),
            login: Login::Keys(keys),
        }],
        ..options()
    });
    let derived = LongTermKeys::derive("user", "realm", b"pass");
    let attempt = |algorithm, hash, list: Option<&[u8]>, chosen: Option<&[u8]>| Attempt {
        realm: Some("realm".into()),
        list: list.map(Into::into),
        chosen: chosen.map(Into::into),
        seals: vec![derived.hmac(algorithm, hash).unwrap()],
        ..Attempt::md5(&authenticator, "user", "pass")
    };
    let md5 = attempt(Algorithm::Md5, Hash::Sha1, None, None);
    assert_eq!(md5.outcome(&authenticator, now()).as_deref(), Ok("user"));
    let sha256 = attempt(Algorithm::Sha256, Hash::Sha256, Some(OFFER), Some(SHA256));
    let reject = sha256.outcome(&authenticator, now()).unwrap_err();
    assert_eq!((reject, reject.code()), (Reject::MissingKey, 401));
}

#[test]
fn a28_a_reload_with_the_same_seed_keeps_nonces_and_another_seed_costs_one_438() {
    let before = with_secrets(&[("a", "north")]);
    let attempt = Attempt::md5(&before, &alice().username, &alice().password);
    let reloaded = with_secrets(&[("b", "south"), ("a", "north")]);
    assert!(attempt.outcome(&reloaded, now()).is_ok());
    let restarted = Authenticator::new(
        AuthOptions {
            secrets: vec![secret("a", "north")],
            ..options()
        },
        &[8; 32],
    );
    assert_eq!(
        attempt.outcome(&restarted.unwrap(), now()),
        Err(Reject::StaleNonce)
    );
}

#[test]
fn a28_a_step_of_the_wall_clock_leaves_nonces_alone() {
    let authenticator = with_users();
    let attempt = Attempt::md5(&authenticator, "bob", "pass");
    for unix in [EXPIRY - 3660, EXPIRY + 3540] {
        assert!(attempt.outcome(&authenticator, at(unix)).is_ok());
    }
}
