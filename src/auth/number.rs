//! Numbers as credentials write them: plain decimal digits, and rates with a unit.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use thiserror::Error;

/// A rate in bits per second, written `64kbit`, `4mbit` or `1gbit`; the units are decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate(NonZeroU64);

/// The text is not a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a rate is a whole number above zero and a unit: bit, kbit, mbit or gbit, as in `4mbit`")]
pub struct BitRateError;

impl BitRate {
    /// The units, largest first, in bits per second. `bit` ends the others' names and so stands last.
    const UNITS: [(&'static str, u64); 4] = [
        ("gbit", 1_000_000_000),
        ("mbit", 1_000_000),
        ("kbit", 1_000),
        ("bit", 1),
    ];

    /// The rate of `bits` per second.
    #[must_use]
    pub const fn from_bits(bits: NonZeroU64) -> Self {
        Self(bits)
    }

    /// Bits per second.
    #[must_use]
    pub const fn bits(self) -> NonZeroU64 {
        self.0
    }

    /// Bytes per second, rounded up, so that no rate becomes zero.
    #[must_use]
    pub fn bytes(self) -> NonZeroU64 {
        NonZeroU64::new(self.0.get().div_ceil(8)).unwrap_or(NonZeroU64::MIN)
    }
}

impl FromStr for BitRate {
    type Err = BitRateError;

    fn from_str(text: &str) -> Result<Self, BitRateError> {
        let (digits, unit) = Self::UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
            .ok_or(BitRateError)?;
        parse_digits(digits)
            .and_then(|count| count.checked_mul(unit))
            .and_then(NonZeroU64::new)
            .map(Self)
            .ok_or(BitRateError)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.get();
        let (name, unit) = Self::UNITS
            .into_iter()
            .find(|(_, unit)| bits.is_multiple_of(*unit))
            .unwrap_or(("bit", 1));
        write!(f, "{}{name}", bits / unit)
    }
}

/// Reads decimal digits and nothing else: no sign, no space, no separator, at most 19 digits, which always fit.
pub(super) fn parse_digits(text: &str) -> Option<u64> {
    let plain = (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> BitRate {
        text.parse().expect("a rate")
    }

    #[test]
    fn rates_are_decimal_and_print_in_the_largest_exact_unit() {
        assert_eq!(rate("4mbit").bits().get(), 4_000_000);
        assert_eq!(rate("4mbit").bytes().get(), 500_000);
        assert_eq!(rate("1bit").bytes().get(), 1);
        for (text, printed) in [
            ("4000kbit", "4mbit"),
            ("1500kbit", "1500kbit"),
            ("12bit", "12bit"),
            ("2gbit", "2gbit"),
        ] {
            assert_eq!(rate(text).to_string(), printed);
        }
        for bad in ["", "bit", "mbit", "4 mbit", "4Mbit", "4.5mbit", "4mb", "4"] {
            assert_eq!(bad.parse::<BitRate>(), Err(BitRateError), "{bad}");
        }
    }
}
