//! A running daemon: signals, files that change, clients that stay.

#[path = "../streams/call.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod call;
mod daemon;
mod dev;
mod drain;
mod renewal;
#[path = "../streams/support.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod support;
#[path = "../streams/turn.rs"]
#[allow(dead_code, reason = "shared with the tests of streams")]
mod turn;
