//! Clients that reach the relay over streams, through real sockets on the loopback interface.

mod call;
#[cfg(feature = "dtls")]
mod dtls;
mod handshakes;
mod key_updates;
mod proxy;
mod records;
mod renewal;
#[cfg(feature = "dtls")]
mod sealed;
mod support;
mod tcp;
mod tcp_relay;
mod tls;
mod turn;
