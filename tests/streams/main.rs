//! Clients that reach the relay over streams, through real sockets on the loopback interface.

mod call;
mod proxy;
mod renewal;
mod support;
mod tcp;
mod tcp_relay;
mod tls;
