//! The TURN state machine of RFC 8656, sans-IO.
//!
//! It holds no socket, reads no clock and draws no randomness but from its own seeded generator: the shell gives it
//! packets and the time, and it answers with a [`Verdict`] on each. What it needs done it asks of a [`Host`].

mod five_tuple;
mod host;
mod options;
mod packet;
mod verdict;

mod budget;
mod directory;
mod policy;
mod ports;
mod quota;
mod rate;
mod reservations;
mod tags;

pub use five_tuple::{FiveTuple, Link, Transport};
pub use host::{EndReason, Event, Host, OpenError, RelayToken, SocketId};
pub use options::{ByteRate, Lifetimes, Limits, OnExpiry, Options, PeerOptions, RelayAddress};
pub use packet::{HEADROOM, MIN_BUFFER, Packet, Span};
pub use verdict::{DropReason, Verdict};

pub use budget::PrefixBudget;
pub use directory::RelayDirectory;
pub use policy::{Denied, PeerClass, PeerPolicy};
pub use ports::PortPool;
pub use quota::{QuotaExceeded, Quotas};
pub use rate::{Gcra, Pace, RateLimiter};
pub use reservations::{ReservationToken, Reservations};
pub use tags::{CallTag, Tagger, UserTag};
