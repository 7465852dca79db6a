//! Operation: what the daemon tells its operator, and nothing that identifies a client or a peer.
//!
//! - [`redact`]: what a log may show of an address.
//! - [`logging`]: where log lines go and how they look.
//! - [`outlet`]: the thread that writes log lines, so that no other waits for their reader.
//! - [`metrics`], [`http`]: counters, health, and the server that shows them.
//! - [`harden`]: what keeps secrets and addresses out of crash reports.

pub mod harden;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod outlet;
pub mod redact;
