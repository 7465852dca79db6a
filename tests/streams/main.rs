//! Clients that reach the relay over streams, through real sockets on the loopback interface.

mod call;
#[cfg(feature = "dtls")]
mod dtls;
#[cfg(feature = "dtls")]
mod dtls_client;
mod handshakes;
mod key_updates;
mod proxy;
mod records;
mod renewal;
mod support;
mod tcp;
mod tcp_relay;
mod tls;
mod turn;
