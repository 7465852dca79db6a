//! Addresses that cannot be printed by accident.
//!
//! The daemon exists to keep addresses from third parties, so inside it an address of a client or a peer is a
//! [`Masked`] value: `Debug` prints a placeholder, there is no `Display`, and the one way to the value is
//! [`Masked::reveal`], which is easy to find in a review. What a log line may show of an address is decided in
//! `ops::redact`, by `privacy.log_addresses`.

use std::fmt;

/// A value that `Debug` does not print.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Masked<T>(T);

impl<T> Masked<T> {
    /// Masks `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T: Copy> Masked<T> {
    /// The value itself: for the socket layer, the wire and comparisons, never for a log or an error text.
    pub const fn reveal(self) -> T {
        self.0
    }
}

impl<T> From<T> for Masked<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<masked>")
    }
}
