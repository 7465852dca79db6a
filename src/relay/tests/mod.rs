//! The relay in virtual time: a world without sockets or clocks, and clients that speak to it.
//!
//! Each file below holds the cases of one group of requirements; their names say situation and outcome.

mod basics;
mod client;
mod world;
