//! Password algorithms: what is offered, what a client picked, and the proof that nobody between them weakened the
//! offer (RFC 8489 section 9.2.1).

use crate::wire::{PasswordAlgorithm, PasswordAlgorithms};

/// A password algorithm that has keys here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// What a client of RFC 5389 means by saying nothing.
    Md5,
    Sha256,
}

impl Algorithm {
    const fn attribute(self) -> PasswordAlgorithm<'static> {
        match self {
            Self::Md5 => PasswordAlgorithm::MD5,
            Self::Sha256 => PasswordAlgorithm::SHA256,
        }
    }
}

/// The algorithms on offer, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// SHA-256 before MD5.
    Both,
    /// SHA-256 alone.
    Sha256,
}

/// Why a client's choice is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChoiceError {
    /// The attributes contradict the offer, or one lacks the other.
    BidDown,
    /// The client chose nothing, which means MD5, and MD5 is not offered.
    NotOffered,
}

impl Offer {
    const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Both => &[Algorithm::Sha256, Algorithm::Md5],
            Self::Sha256 => &[Algorithm::Sha256],
        }
    }

    /// What is sent with every challenge.
    pub(super) const fn attribute(self) -> PasswordAlgorithms<'static> {
        match self {
            Self::Both => PasswordAlgorithms::SHA256_MD5,
            Self::Sha256 => PasswordAlgorithms::SHA256,
        }
    }

    /// Reads a client's choice: its PASSWORD-ALGORITHMS and PASSWORD-ALGORITHM.
    ///
    /// RFC 8489 section 9.2.4: neither means MD5; otherwise both must be there, the list must be the one that came with
    /// the nonce, byte for byte, and the choice must be one of its entries.
    pub(super) fn choice(
        self,
        list: Option<PasswordAlgorithms<'_>>,
        chosen: Option<PasswordAlgorithm<'_>>,
    ) -> Result<Algorithm, ChoiceError> {
        let mut offered = self.algorithms().iter().copied();
        match (list, chosen) {
            (None, None) => offered
                .find(|algorithm| *algorithm == Algorithm::Md5)
                .ok_or(ChoiceError::NotOffered),
            (Some(list), Some(chosen)) if list == self.attribute() => offered
                .find(|algorithm| algorithm.attribute() == chosen)
                .ok_or(ChoiceError::BidDown),
            _ => Err(ChoiceError::BidDown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Attribute as _, TransactionId};

    const SHA256: [u8; 4] = [0, 2, 0, 0];
    const MD5: [u8; 4] = [0, 1, 0, 0];
    const OFFERED: Option<PasswordAlgorithms<'_>> = Some(PasswordAlgorithms::SHA256_MD5);

    fn list(value: &[u8]) -> Option<PasswordAlgorithms<'_>> {
        Some(PasswordAlgorithms::decode(value, TransactionId([0; 12])).expect("a list"))
    }

    #[test]
    fn a_copied_offer_and_one_of_its_entries_is_a_choice() {
        let sha256 = Offer::Both.choice(OFFERED, Some(PasswordAlgorithm::SHA256));
        assert_eq!(sha256, Ok(Algorithm::Sha256));
        let md5 = Offer::Both.choice(OFFERED, Some(PasswordAlgorithm::MD5));
        assert_eq!(md5, Ok(Algorithm::Md5));
    }

    #[test]
    fn what_is_offered_is_what_can_be_chosen() {
        for offer in [Offer::Both, Offer::Sha256] {
            let entries: Vec<_> = offer.attribute().iter().collect();
            let choices: Vec<_> = offer.algorithms().iter().map(|a| a.attribute()).collect();
            assert_eq!(entries, choices);
        }
    }

    #[test]
    fn saying_nothing_means_md5_where_it_is_offered() {
        assert_eq!(Offer::Both.choice(None, None), Ok(Algorithm::Md5));
        assert_eq!(
            Offer::Sha256.choice(None, None),
            Err(ChoiceError::NotOffered)
        );
    }

    #[test]
    fn a07_one_attribute_without_the_other_is_a_bid_down() {
        let no_list = Offer::Both.choice(None, Some(PasswordAlgorithm::SHA256));
        assert_eq!(no_list, Err(ChoiceError::BidDown));
        assert_eq!(Offer::Both.choice(OFFERED, None), Err(ChoiceError::BidDown));
    }

    #[test]
    fn a07_a_changed_list_is_a_bid_down() {
        let reordered = [MD5, SHA256].concat();
        let shortened = MD5.to_vec();
        let extended = [SHA256, MD5, [0, 3, 0, 0]].concat();
        let parameters = [[0, 2, 0, 1], [9, 0, 0, 0], MD5].concat();
        for changed in [reordered, shortened, extended, parameters, Vec::new()] {
            let choice = Offer::Both.choice(list(&changed), Some(PasswordAlgorithm::MD5));
            assert_eq!(choice, Err(ChoiceError::BidDown), "{changed:?}");
        }
    }

    #[test]
    fn a07_a_choice_outside_the_list_is_a_bid_down() {
        let unknown = PasswordAlgorithm {
            number: 3,
            parameters: &[],
        };
        let parameters = PasswordAlgorithm {
            parameters: &[9],
            ..PasswordAlgorithm::SHA256
        };
        for chosen in [unknown, parameters] {
            let choice = Offer::Both.choice(OFFERED, Some(chosen));
            assert_eq!(choice, Err(ChoiceError::BidDown), "{chosen:?}");
        }
        let only_sha256 = Some(PasswordAlgorithms::SHA256);
        let md5 = Offer::Sha256.choice(only_sha256, Some(PasswordAlgorithm::MD5));
        assert_eq!(md5, Err(ChoiceError::BidDown));
    }
}
