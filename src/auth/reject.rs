//! Why a request is not authenticated, and how it is answered.

/// Why a request is not authenticated. One counter each.
///
/// What a stranger can probe for (is there such a user, is the secret right) has a reason each here, for the counters,
/// but one and the same answer on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reject {
    /// No MESSAGE-INTEGRITY: the first request of every client.
    MissingIntegrity,
    /// Integrity, but no name, no REALM or no NONCE to check it with.
    MissingAttribute,
    /// Both USERNAME and USERHASH.
    AmbiguousName,
    /// PASSWORD-ALGORITHMS is not what was offered, or the choice not in it.
    BidDown,
    /// The nonce is expired, of another address, or none of ours.
    StaleNonce,
    /// The realm is not ours.
    WrongRealm,
    /// MD5, which is not offered.
    RefusedAlgorithm,
    /// Neither a static user nor of the form of a time-limited credential.
    UnknownUser,
    /// A static user for whom no key of the chosen algorithm is stored.
    MissingKey,
    /// A time-limited credential without an ID, where one is required.
    MissingId,
    /// A time-limited credential whose expiry has passed.
    Expired,
    /// A time-limited credential whose expiry is too far away.
    TooLongLived,
    /// A claim, or a version of claims, that this relay does not know.
    UnknownClaim,
    /// Claims that cannot be read.
    BadClaims,
    /// The `kid` claim names no active secret.
    UnknownKeyId,
    /// The password is wrong, or the message was changed.
    BadIntegrity,
}

impl Reject {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 16] = [
        Self::MissingIntegrity,
        Self::MissingAttribute,
        Self::AmbiguousName,
        Self::BidDown,
        Self::StaleNonce,
        Self::WrongRealm,
        Self::RefusedAlgorithm,
        Self::UnknownUser,
        Self::MissingKey,
        Self::MissingId,
        Self::Expired,
        Self::TooLongLived,
        Self::UnknownClaim,
        Self::BadClaims,
        Self::UnknownKeyId,
        Self::BadIntegrity,
    ];

    /// The value of the metric's `reason` label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::MissingIntegrity => "missing_integrity",
            Self::MissingAttribute => "missing_attribute",
            Self::AmbiguousName => "ambiguous_name",
            Self::BidDown => "bid_down",
            Self::StaleNonce => "stale_nonce",
            Self::WrongRealm => "wrong_realm",
            Self::RefusedAlgorithm => "refused_algorithm",
            Self::UnknownUser => "unknown_user",
            Self::MissingKey => "missing_key",
            Self::MissingId => "missing_id",
            Self::Expired => "expired",
            Self::TooLongLived => "too_long_lived",
            Self::UnknownClaim => "unknown_claim",
            Self::BadClaims => "bad_claims",
            Self::UnknownKeyId => "unknown_key_id",
            Self::BadIntegrity => "bad_integrity",
        }
    }

    /// The error code of the answer (RFC 8489 section 9.2.4).
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::MissingAttribute | Self::AmbiguousName | Self::BidDown => 400,
            Self::StaleNonce => 438,
            Self::MissingIntegrity
            | Self::WrongRealm
            | Self::RefusedAlgorithm
            | Self::UnknownUser
            | Self::MissingKey
            | Self::MissingId
            | Self::Expired
            | Self::TooLongLived
            | Self::UnknownClaim
            | Self::BadClaims
            | Self::UnknownKeyId
            | Self::BadIntegrity => 401,
        }
    }

    /// Whether the answer carries [`Authenticator::challenge`](super::Authenticator::challenge): 401 and 438 do, 400
    /// does not.
    #[must_use]
    pub const fn challenges(self) -> bool {
        self.code() != 400
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_number_with_its_own_label() {
        let mut labels = std::collections::HashSet::new();
        for (number, reason) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert!(labels.insert(reason.label()), "{reason:?}");
        }
    }
}
