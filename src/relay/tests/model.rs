//! Random operations on a daemon in virtual time, checked against a shadow of it.
//!
//! A case is a setup and a sequence of operations, both drawn from a seed: several clients of one or two workers
//! allocate, refresh, permit, bind, send and vanish, peers and routers answer, the machine runs out of ports, and time
//! jumps, often to the exact moment at which something ends. After each operation the outcome, the open sockets, the
//! directory, the quotas, the ports and the counters are compared with those of [`shadow`], which does by plain maps
//! what the RFC and the product ask for.
//!
//! What leaves a relay socket for another one of the daemon is lost, or carried by the kernel, or takes the hairpin: to the
//! shadow the latter two are the same. A second test plays each case in two worlds, with the hairpin and without, and
//! compares every byte that clients receive, every counter and the bytes of every allocation that ended.
//!
//! A failing case prints its seed and the shortest sequence found that still fails. `VEILTURN_SEED=17` plays that one
//! seed and prints every operation; `VEILTURN_CASES=100000` plays so many. The fuzz target `relay` draws the same cases
//! from its bytes.
//!
//! Whoever changes how cases are drawn breaks the relay by hand afterwards and sees that the default number of cases
//! still finds it: an expiry compared with `>=` in place of `>` or not at all (permission, channel, relayed address,
//! reservation, rest of a port); a release, a withdrawal, a `prune` or a `forget` left out; a token that works twice; a
//! retransmission that is not recognised, or recognised in another user's hands; a channel with two peers or a peer with
//! two channels; a permission that lives as long as a channel, or that data refreshes; a dead relayed address that is
//! still reached; a timer that is not set again; a socket's token that outlives its allocation; a route that is followed
//! after its `until`, or whose receiver's version nobody looks at; a hairpin that charges no rate, counts for the wrong
//! side or not at all.

mod choices;
mod compare;
mod draw;
mod driver;
#[cfg(all(fuzzing, not(test)))]
mod fuzz;
mod look;
mod operation;
#[cfg(test)]
mod play;
mod seen;
mod setup;
mod shadow;
#[cfg(test)]
mod stage;

#[cfg(all(fuzzing, not(test)))]
pub use fuzz::fuzz;
