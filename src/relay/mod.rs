//! The TURN state machine of RFC 8656, sans-IO.
//!
//! It holds no socket, reads no clock and draws no randomness but from its own seeded generator: the shell gives it
//! packets and the time, and it answers with a [`Verdict`] on each. What it needs done it asks of a [`Host`].
//!
//! A packet's way: [`Relay`] sorts it; a request becomes a typed value (`request`), its method decides (`binding`,
//! `allocate`, `refresh`, `create_permission`, `channel_bind`) and the answer is written (`response`); application data
//! goes through `from_client` or `from_peer`. Allocations live in `table` and end in `expiry`. What all workers have in
//! common is in [`Shared`].
//!
//! TCP relays (RFC 6062) differ in that peers are reached by connections, which the shell opens (`connect`), takes in
//! (`peer_connection`) and joins with a client's data connection (`connection_bind`). Their bytes pass the core by.

mod allocate;
mod allocation;
mod attempts;
mod binding;
mod budget;
mod channel_bind;
mod connect;
mod connection;
mod connection_bind;
mod connection_ids;
mod core;
mod counters;
mod create_permission;
mod deliver;
mod directory;
mod expiry;
mod five_tuple;
mod from_client;
mod from_peer;
mod grants;
mod host;
mod inlet;
#[cfg(any(test, fuzzing))]
mod invariants;
mod lifetime;
mod options;
mod packet;
mod peer_connection;
mod policy;
mod ports;
mod quota;
mod rate;
mod refresh;
mod request;
mod reservations;
mod response;
mod route;
mod shared;
mod small_map;
mod table;
mod tags;
mod timers;
mod turnover;
mod verdict;

#[cfg(test)]
mod tests;
// The fuzz target plays in the same world.
#[cfg(all(fuzzing, not(test)))]
#[allow(dead_code, clippy::unwrap_used, reason = "the world is made for tests")]
mod tests;

pub use self::core::Relay;
pub use counters::{Answered, Counter, Counters, Traffic};
pub use five_tuple::{FiveTuple, Link, Transport};
pub use host::{
    ConnectFailed, ConnectionToken, EndReason, Event, Host, IcmpError, OpenError, RelayToken,
    SocketId,
};
pub use options::{ByteRate, Lifetimes, Limits, OnExpiry, Options, PeerOptions, RelayAddress};
pub use packet::{HEADROOM, MAX_DATAGRAM, MIN_BUFFER, Packet, Span};
pub use shared::Shared;
pub use tags::UserTag;
#[cfg(all(fuzzing, not(test)))]
pub use tests::fuzz;
pub use verdict::{Direction, DropReason, Flow, MAX_CHUNK, Verdict};

use crate::wire::Family;

/// Both address families, in the order in which relayed addresses are listed.
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
