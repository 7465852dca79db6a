//! The relay in virtual time: a world without sockets or clocks, and clients that speak to it.
//!
//! Each file below holds the cases of one group of requirements; their names say situation and outcome.

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
mod ports;
mod precedence;
mod rates;
mod refresh;
mod send;
mod traffic;
mod workers;
mod world;
