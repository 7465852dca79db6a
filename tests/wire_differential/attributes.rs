//! Every typed attribute has the same bytes with all codecs that know it.

use super::*;

/// Checks that an attribute of this codec has the same bytes as one or two of the others', and is read back from them.
macro_rules! assert_same {
    ($type:ty, $ours:expr, stun_types: $theirs:expr) => {
        let bytes = written(&$ours);
        assert_eq!(bytes, written_by_stun_types(&$theirs), "{:?}", $ours);
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!(message.get::<$type>(), Ok(Some($ours)));
    };
    ($type:ty, $ours:expr, stun: $theirs:expr, $empty:expr) => {
        let bytes = written(&$ours);
        assert_eq!(bytes, written_by_stun(&$theirs).raw, "{:?}", $ours);
        // What they read from it they would write the same.
        let mut read = $empty;
        read.get_from(&read_by_stun(&bytes).expect("a message"))
            .expect("the attribute");
        assert_eq!(bytes, written_by_stun(&read).raw);
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!(message.get::<$type>(), Ok(Some($ours)));
    };
}

#[test]
fn addresses_are_the_same_as_with_stun_types() {
    use stun_types::attribute as base;
    use turn_types::attribute as relay;
    for address in addresses() {
        let id = their_id(ID);
        assert_same!(XorMappedAddress, XorMappedAddress(address), stun_types: base::XorMappedAddress::new(address, id));
        assert_same!(AlternateServer, AlternateServer(address), stun_types: base::AlternateServer::new(address));
        assert_same!(XorPeerAddress, XorPeerAddress(address), stun_types: relay::XorPeerAddress::new(address, id));
        assert_same!(
            XorRelayedAddress,
            XorRelayedAddress(address),
            stun_types: relay::XorRelayedAddress::new(address, id)
        );
    }
}

#[test]
fn addresses_are_the_same_as_with_stun() {
    for address in addresses() {
        let (ip, port) = (address.ip(), address.port());
        assert_same!(
            XorMappedAddress,
            XorMappedAddress(address),
            stun: stun::xoraddr::XorMappedAddress { ip, port },
            stun::xoraddr::XorMappedAddress::default()
        );
        assert_same!(
            XorPeerAddress,
            XorPeerAddress(address),
            stun: turn_proto::peeraddr::PeerAddress { ip, port },
            turn_proto::peeraddr::PeerAddress::default()
        );
        assert_same!(
            XorRelayedAddress,
            XorRelayedAddress(address),
            stun: turn_proto::relayaddr::RelayedAddress { ip, port },
            turn_proto::relayaddr::RelayedAddress::default()
        );
        let theirs = written_by_stun(&stun::addr::MappedAddress { ip, port }).raw;
        assert_eq!(written(&MappedAddress(address)), theirs);
    }
}

#[test]
fn text_and_credentials_are_the_same() {
    use stun_types::attribute as base;
    for text in ["", "a", "evtj:h6vY", vectors::USER] {
        assert_same!(Username<'_>, Username(text), stun_types: base::Username::new(text).expect("short"));
        assert_same!(Realm<'_>, Realm(text), stun_types: base::Realm::new(text).expect("short"));
        assert_same!(Nonce<'_>, Nonce(text), stun_types: base::Nonce::new(text).expect("short"));
        assert_same!(Software<'_>, Software(text), stun_types: base::Software::new(text).expect("short"));
        assert_same!(AlternateDomain<'_>, AlternateDomain(text), stun_types: base::AlternateDomain::new(text));
        for (kind, bytes) in [
            (stun::attributes::ATTR_USERNAME, written(&Username(text))),
            (stun::attributes::ATTR_REALM, written(&Realm(text))),
            (stun::attributes::ATTR_NONCE, written(&Nonce(text))),
            (stun::attributes::ATTR_SOFTWARE, written(&Software(text))),
        ] {
            let theirs = stun::textattrs::TextAttribute::new(kind, text.to_owned());
            assert_eq!(bytes, written_by_stun(&theirs).raw);
        }
    }
    let hash = base::Userhash::compute(vectors::USER, "example.org");
    assert_same!(UserHash<'_>, UserHash(&hash), stun_types: base::Userhash::new(hash));
    let both = [
        base::PasswordAlgorithmValue::SHA256,
        base::PasswordAlgorithmValue::MD5,
    ];
    assert_same!(
        PasswordAlgorithms<'_>,
        PasswordAlgorithms::SHA256_MD5,
        stun_types: base::PasswordAlgorithms::new(&both)
    );
    assert_same!(
        PasswordAlgorithms<'_>,
        PasswordAlgorithms::SHA256,
        stun_types: base::PasswordAlgorithms::new(&both[..1])
    );
    assert_same!(
        PasswordAlgorithm<'_>,
        PasswordAlgorithm::SHA256,
        stun_types: base::PasswordAlgorithm::new(both[0])
    );
    assert_same!(PasswordAlgorithm<'_>, PasswordAlgorithm::MD5, stun_types: base::PasswordAlgorithm::new(both[1]));
}

#[test]
fn errors_are_the_same() {
    use stun_types::attribute as base;
    for code in [300, 400, 401, 420, 438, 486, 508, 699] {
        let ours = ErrorCode {
            code,
            reason: "why",
        };
        let theirs = base::ErrorCode::new(code, "why").expect("a code");
        assert_same!(ErrorCode<'_>, ours, stun_types: theirs);
        let theirs = stun::error_code::ErrorCodeAttribute {
            code: stun::error_code::ErrorCode(code),
            reason: b"why".to_vec(),
        };
        assert_eq!(written(&ours), written_by_stun(&theirs).raw);
        let ours = AddressErrorCode {
            family: Family::V6,
            code,
            reason: "why",
        };
        let theirs = turn_types::attribute::AddressErrorCode::new(
            turn_types::AddressFamily::IPV6,
            base::ErrorCode::new(code, "why").expect("a code"),
        );
        assert_same!(AddressErrorCode<'_>, ours, stun_types: theirs);
    }
    let types = [0x07AD, 0x7FFF, 0x0024];
    let ours: UnknownAttributes = types.map(AttributeType).into_iter().collect();
    assert_same!(UnknownAttributes, ours, stun_types: base::UnknownAttributes::new(&types.map(Into::into)));
    let theirs = stun::uattrs::UnknownAttributes(types.map(stun::attributes::AttrType).to_vec());
    assert_eq!(written(&ours), written_by_stun(&theirs).raw);
    // RFC 8656 draws 7 and 9 bits; both implementations use 8 and 8, as ICMP does.
    let ours = Icmp {
        kind: 3,
        code: 4,
        data: 1280_u32.to_be_bytes(),
    };
    assert_same!(Icmp, ours, stun_types: turn_types::attribute::Icmp::new(3, 4, 1280));
}

#[test]
fn numbers_are_the_same_as_with_turn_types() {
    use turn_types::AddressFamily as TheirFamily;
    use turn_types::attribute as relay;
    let channel = ChannelNumberAttribute(ChannelNumber::MAX);
    assert_same!(ChannelNumberAttribute, channel, stun_types: relay::ChannelNumber::new(0x4FFF));
    assert_same!(Lifetime, Lifetime(600), stun_types: relay::Lifetime::new(600));
    assert_same!(RequestedTransport, RequestedTransport(17), stun_types: relay::RequestedTransport::new(17));
    assert_same!(DontFragment, DontFragment, stun_types: relay::DontFragment::new());
    assert_same!(ConnectionId, ConnectionId(7), stun_types: relay::ConnectionId::new(7));
    assert_same!(Data<'_>, Data(b"hello"), stun_types: relay::Data::new(b"hello"));
    let token = ReservationToken(*b"reserved");
    assert_same!(
        ReservationToken,
        token,
        stun_types: relay::ReservationToken::new(u64::from_be_bytes(token.0))
    );
    for reserve in [false, true] {
        assert_same!(EvenPort, EvenPort { reserve }, stun_types: relay::EvenPort::new(reserve));
    }
    for (ours, theirs) in [
        (Family::V4, TheirFamily::IPV4),
        (Family::V6, TheirFamily::IPV6),
    ] {
        let theirs = relay::RequestedAddressFamily::new(theirs);
        assert_same!(RequestedAddressFamily, RequestedAddressFamily(ours), stun_types: theirs);
    }
    let theirs = relay::AdditionalAddressFamily::new(TheirFamily::IPV6);
    assert_same!(AdditionalAddressFamily, AdditionalAddressFamily(Family::V6), stun_types: theirs);
}

#[test]
fn numbers_are_the_same_as_with_turn() {
    assert_same!(
        ChannelNumberAttribute,
        ChannelNumberAttribute(ChannelNumber::MIN),
        stun: turn_proto::channum::ChannelNumber(0x4000),
        turn_proto::channum::ChannelNumber::default()
    );
    assert_same!(
        Lifetime,
        Lifetime(600),
        stun: turn_proto::lifetime::Lifetime(Duration::from_secs(600)),
        turn_proto::lifetime::Lifetime::default()
    );
    assert_same!(
        RequestedTransport,
        RequestedTransport(17),
        stun: turn_proto::reqtrans::RequestedTransport { protocol: turn_proto::PROTO_UDP },
        turn_proto::reqtrans::RequestedTransport::default()
    );
    assert_same!(
        RequestedAddressFamily,
        RequestedAddressFamily(Family::V6),
        stun: turn_proto::reqfamily::REQUESTED_FAMILY_IPV6,
        turn_proto::reqfamily::RequestedAddressFamily::default()
    );
    assert_same!(
        ReservationToken,
        ReservationToken(*b"reserved"),
        stun: turn_proto::rsrvtoken::ReservationToken(b"reserved".to_vec()),
        turn_proto::rsrvtoken::ReservationToken::default()
    );
    let theirs = written_by_stun(&turn_proto::data::Data(b"hello".to_vec())).raw;
    assert_eq!(written(&Data(b"hello")), theirs);
    let theirs = written_by_stun(&turn_proto::dontfrag::DontFragmentAttr).raw;
    assert_eq!(written(&DontFragment), theirs);
}
