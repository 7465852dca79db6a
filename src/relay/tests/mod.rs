//! The relay in virtual time: a world without sockets or clocks, and clients that speak to it.
//!
//! Each file below holds the cases of one group of requirements; their names say situation and outcome.

mod allocate;
mod basics;
mod binding;
mod challenge;
mod client;
mod expiry;
mod flood;
mod lifecycle;
mod malformed;
mod precedence;
mod refresh;
mod world;
