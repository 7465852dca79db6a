//! The numbers of the attributes, from the IANA registry "STUN Attributes".

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeType(pub u16);

impl AttributeType {
    /// MAPPED-ADDRESS, RFC 8489 section 14.1.
    pub const MAPPED_ADDRESS: Self = Self(0x0001);
    /// CHANGE-REQUEST, RFC 5780 section 7.2.
    pub const CHANGE_REQUEST: Self = Self(0x0003);
    /// USERNAME, RFC 8489 section 14.3.
    pub const USERNAME: Self = Self(0x0006);
    /// MESSAGE-INTEGRITY, RFC 8489 section 14.5.
    pub const MESSAGE_INTEGRITY: Self = Self(0x0008);
    /// ERROR-CODE, RFC 8489 section 14.8.
    pub const ERROR_CODE: Self = Self(0x0009);
    /// UNKNOWN-ATTRIBUTES, RFC 8489 section 14.13.
    pub const UNKNOWN_ATTRIBUTES: Self = Self(0x000A);
    /// CHANNEL-NUMBER, RFC 8656 section 18.1.
    pub const CHANNEL_NUMBER: Self = Self(0x000C);
    /// LIFETIME, RFC 8656 section 18.2.
    pub const LIFETIME: Self = Self(0x000D);
    /// XOR-PEER-ADDRESS, RFC 8656 section 18.3.
    pub const XOR_PEER_ADDRESS: Self = Self(0x0012);
    /// DATA, RFC 8656 section 18.4.
    pub const DATA: Self = Self(0x0013);
    /// REALM, RFC 8489 section 14.9.
    pub const REALM: Self = Self(0x0014);
    /// NONCE, RFC 8489 section 14.10.
    pub const NONCE: Self = Self(0x0015);
    /// XOR-RELAYED-ADDRESS, RFC 8656 section 18.5.
    pub const XOR_RELAYED_ADDRESS: Self = Self(0x0016);
    /// REQUESTED-ADDRESS-FAMILY, RFC 8656 section 18.6.
    pub const REQUESTED_ADDRESS_FAMILY: Self = Self(0x0017);
    /// EVEN-PORT, RFC 8656 section 18.7.
    pub const EVEN_PORT: Self = Self(0x0018);
    /// REQUESTED-TRANSPORT, RFC 8656 section 18.8.
    pub const REQUESTED_TRANSPORT: Self = Self(0x0019);
    /// DONT-FRAGMENT, RFC 8656 section 18.9.
    pub const DONT_FRAGMENT: Self = Self(0x001A);
    /// ACCESS-TOKEN, RFC 7635 section 6.2.
    pub const ACCESS_TOKEN: Self = Self(0x001B);
    /// MESSAGE-INTEGRITY-SHA256, RFC 8489 section 14.6.
    pub const MESSAGE_INTEGRITY_SHA256: Self = Self(0x001C);
    /// PASSWORD-ALGORITHM, RFC 8489 section 14.12.
    pub const PASSWORD_ALGORITHM: Self = Self(0x001D);
    /// USERHASH, RFC 8489 section 14.4.
    pub const USERHASH: Self = Self(0x001E);
    /// XOR-MAPPED-ADDRESS, RFC 8489 section 14.2.
    pub const XOR_MAPPED_ADDRESS: Self = Self(0x0020);
    /// RESERVATION-TOKEN, RFC 8656 section 18.10.
    pub const RESERVATION_TOKEN: Self = Self(0x0022);
    /// PRIORITY, RFC 8445 section 16.1.
    pub const PRIORITY: Self = Self(0x0024);
    /// USE-CANDIDATE, RFC 8445 section 16.1.
    pub const USE_CANDIDATE: Self = Self(0x0025);
    /// PADDING, RFC 5780 section 7.6.
    pub const PADDING: Self = Self(0x0026);
    /// RESPONSE-PORT, RFC 5780 section 7.5.
    pub const RESPONSE_PORT: Self = Self(0x0027);
    /// CONNECTION-ID, RFC 6062 section 6.2.1.
    pub const CONNECTION_ID: Self = Self(0x002A);
    /// ADDITIONAL-ADDRESS-FAMILY, RFC 8656 section 18.11.
    pub const ADDITIONAL_ADDRESS_FAMILY: Self = Self(0x8000);
    /// ADDRESS-ERROR-CODE, RFC 8656 section 18.12.
    pub const ADDRESS_ERROR_CODE: Self = Self(0x8001);
    /// PASSWORD-ALGORITHMS, RFC 8489 section 14.11.
    pub const PASSWORD_ALGORITHMS: Self = Self(0x8002);
    /// ALTERNATE-DOMAIN, RFC 8489 section 14.16.
    pub const ALTERNATE_DOMAIN: Self = Self(0x8003);
    /// ICMP, RFC 8656 section 18.13.
    pub const ICMP: Self = Self(0x8004);
    /// SOFTWARE, RFC 8489 section 14.14.
    pub const SOFTWARE: Self = Self(0x8022);
    /// ALTERNATE-SERVER, RFC 8489 section 14.15.
    pub const ALTERNATE_SERVER: Self = Self(0x8023);
    /// FINGERPRINT, RFC 8489 section 14.7.
    pub const FINGERPRINT: Self = Self(0x8028);
    /// ICE-CONTROLLED, RFC 8445 section 16.1.
    pub const ICE_CONTROLLED: Self = Self(0x8029);
    /// ICE-CONTROLLING, RFC 8445 section 16.1.
    pub const ICE_CONTROLLING: Self = Self(0x802A);
    /// RESPONSE-ORIGIN, RFC 5780 section 7.3.
    pub const RESPONSE_ORIGIN: Self = Self(0x802B);
    /// OTHER-ADDRESS, RFC 5780 section 7.4.
    pub const OTHER_ADDRESS: Self = Self(0x802C);
    /// THIRD-PARTY-AUTHORIZATION, RFC 7635 section 6.1.
    pub const THIRD_PARTY_AUTHORIZATION: Self = Self(0x802E);
    /// MOBILITY-TICKET, RFC 8016 section 3.
    pub const MOBILITY_TICKET: Self = Self(0x8030);

    /// Whether a receiver that does not know the attribute must refuse the message: the lower half of the numbers
    /// (RFC 8489 section 14).
    #[must_use]
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_half_of_the_numbers_must_be_understood() {
        assert!(AttributeType(0x0000).is_comprehension_required());
        assert!(AttributeType(0x7FFF).is_comprehension_required());
        assert!(!AttributeType(0x8000).is_comprehension_required());
        assert!(!AttributeType(0xFFFF).is_comprehension_required());
    }
}
