//! Random operations on a daemon in virtual time, checked against a shadow of it.
//!
//! A case is a setup and a sequence of operations, both drawn from a seed: several clients of one or two workers
//! allocate, refresh, permit, bind, send and vanish, peers and routers answer, the machine runs out of ports, and time
//! jumps, often to the exact moment at which something ends. After each operation the outcome, the open sockets, the
//! directory, the quotas, the ports and the counters are compared with those of [`shadow`], which does by plain maps
//! what the RFC and the product ask for.
//!
//! A failing case prints its seed and the shortest sequence found that still fails. `VEILTURN_SEED=17` plays that one
//! seed and prints every operation; `VEILTURN_CASES=100000` plays so many. The fuzz target `relay` draws the same cases
//! from its bytes.

mod choices;
mod compare;
mod draw;
mod driver;
#[cfg(all(fuzzing, not(test)))]
mod fuzz;
mod operation;
#[cfg(test)]
mod play;
mod seen;
mod setup;
mod shadow;

#[cfg(all(fuzzing, not(test)))]
pub use fuzz::fuzz;
