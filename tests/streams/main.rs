//! Clients that reach the relay over streams, through real sockets on the loopback interface.

mod proxy;
mod support;
mod tcp;
mod tcp_relay;
mod tls;
