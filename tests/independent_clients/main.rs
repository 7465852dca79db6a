//! Clients that others wrote hold both halves of a masked call through a relay that runs in this process.

mod stream_conn;
mod support;
mod turn_client_proto;
mod turn_crate;
