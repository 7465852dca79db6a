//! The relay in virtual time: a world without sockets or clocks, and clients that speak to it.
//!
//! Each file below holds the cases of one group of requirements; their names say situation and outcome. `model` plays
//! random operations against a shadow of the state; the fuzz target plays them too.

mod client;
mod model;
mod world;

#[cfg(test)]
mod allocate;
#[cfg(test)]
mod basics;
#[cfg(test)]
mod binding;
#[cfg(test)]
mod challenge;
#[cfg(test)]
mod channel_data;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod hairpin;
#[cfg(test)]
mod hairpin_races;
#[cfg(test)]
mod icmp;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod masking;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod permissions;
#[cfg(test)]
mod ports;
#[cfg(test)]
mod precedence;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod send;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod traffic;
#[cfg(test)]
mod workers;

#[cfg(all(fuzzing, not(test)))]
pub use model::fuzz;
