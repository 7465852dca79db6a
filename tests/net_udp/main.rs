//! The socket layer over loopback: real sockets, ports chosen by the kernel, both address families.

mod batches;
mod errors;
mod listeners;
mod offload;
mod paths;
mod polling;
mod relays;
mod support;
