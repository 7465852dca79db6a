//! How far a session reaches.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Which peers a credential may reach, from the narrowest to the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerScope {
    /// Only relayed addresses allocated under the same `call` claim.
    Call,
    /// Only relayed addresses of this fleet.
    Fleet,
    /// Those, and any globally routable unicast address.
    Public,
}

/// The text names no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the scopes are call, fleet and public")]
pub struct UnknownScope;

impl PeerScope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Call, Self::Fleet, Self::Public];

    /// The name, as claims and the configuration write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Fleet => "fleet",
            Self::Public => "public",
        }
    }
}

impl FromStr for PeerScope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.name() == text)
            .ok_or(UnknownScope)
    }
}

impl fmt::Display for PeerScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
