//! veilturn: a standalone TURN/STUN relay daemon that masks IP addresses.
//!
//! The layers, from the bottom up. A layer may use those above it in this list, never those below;
//! `tests/layering.rs` reads the `use` paths and holds it so. ARCHITECTURE.md tells the whole story.
//!
//! - [`time`], [`masked`]: moments and addresses as values.
//! - [`certificate`]: a TLS certificate and its key, checked. Pure.
//! - [`proxy`]: the PROXY protocol's header. Pure.
//! - [`wire`]: the STUN and ChannelData codec. Pure.
//! - [`auth`]: nonces, long-term keys, time-limited credentials and their claims. Pure.
//! - [`relay`]: the TURN state machine (RFC 8656), without sockets or clocks. Pure.
//! - [`client`]: a TURN client, for the demo, load tests and the daemon's own tests. Pure.
//! - [`net`]: sockets and batches; the only `unsafe`. Knows no STUN.
//! - [`config`]: the configuration file and its validated form.
//! - [`ops`]: metrics, health, log redaction.
//! - [`server`]: workers, clock, shutdown: the shell around the core.
//! - [`cli`]: the verbs of the command line.

pub mod auth;
pub mod certificate;
pub mod cli;
pub mod client;
pub mod config;
pub mod masked;
pub mod net;
pub mod ops;
pub mod proxy;
pub mod relay;
pub mod server;
pub mod time;
pub mod wire;
