//! Nonces, keys, time-limited credentials and their claims. Pure.

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
