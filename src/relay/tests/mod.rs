//! The relay in virtual time: a world without sockets or clocks, and clients that speak to it.
//!
//! Each file below holds the cases of one group of requirements; their names say situation and outcome.
#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::type_complexity,
    reason = "a test fails on whatever it did not expect, and lists its cases where it uses them"
)]

mod allocate;
mod basics;
mod binding;
mod challenge;
mod channel_data;
mod channels;
mod client;
mod expiry;
mod flood;
mod icmp;
mod lifecycle;
mod malformed;
mod masking;
mod peers;
mod permissions;
mod precedence;
mod rates;
mod refresh;
mod send;
mod traffic;
mod workers;
mod world;
