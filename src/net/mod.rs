//! Sockets and batches: UDP by the batch, with segmentation offload and ICMP errors; TCP; readiness. Knows no STUN.
//!
//! It owns every `unsafe` block of the crate, in `sys`. It never logs, and none of its types prints an address.
//!
//! - [`UdpSocket`]: a listener or a relay socket, set up so that nothing of a received packet shows in a sent one.
//! - [`TcpListener`], [`TcpStream`]: connections, which are never waited for.
//! - [`Batch`]: receives datagrams, hands them out one by one, and sends what was decided about them.
//! - [`Poller`]: which of any number of sockets are ready; [`Waker`] ends its wait from another thread.
//! - [`Offload`]: whether this kernel's segmentation offload can be trusted.
//!
//! The loop of a worker, which receives from any of its sockets and sends from any other:
//!
//! ```
//! use veilturn::net::{Batch, Envelope, Events, Interest, Offload, Poller, SocketOptions, UdpSocket};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = SocketOptions { recv_buffer: 1 << 20, send_buffer: 1 << 20, offload: Offload::NONE };
//! let listener = UdpSocket::listen("127.0.0.1:0".parse()?, &options)?;
//! let relay = UdpSocket::relay("127.0.0.1:0".parse()?, &options)?;
//! let sockets = [listener, relay];
//! let poller = Poller::new()?;
//! for (token, socket) in (0..).zip(&sockets) {
//!     poller.add(socket, token, Interest::READABLE)?;
//! }
//! let mut events = Events::new(64);
//! let mut batch = Batch::new(64);
//!
//! # std::net::UdpSocket::bind("127.0.0.1:0")?.send_to(b"request", sockets[0].local_addr())?;
//! // For ever:
//! poller.wait(&mut events, None)?;
//! for event in events.iter() {
//!     let socket = &sockets[usize::try_from(event.token)?];
//!     if event.error {
//!         while let Some(_error) = socket.next_error() {} // tell the core
//!     }
//!     if event.readable {
//!         // A share for each socket, so that one bulk flow cannot starve the others; the rest stays readable.
//!         batch.receive(socket, 16)?;
//!         while let Some(datagram) = batch.next_datagram(|bytes| bytes.is_empty()) {
//!             // The verdict of the core; headers are written into `datagram.buffer`, in front of the payload.
//!             let to = datagram.from;
//!             let span = datagram.start..datagram.start + datagram.len;
//!             batch.send(Envelope { socket: 0, to, source: None, dont_fragment: false }, span);
//!         }
//!     }
//!     if batch.is_full() {
//!         let _report = batch.flush(|key: usize| sockets.get(key));
//!     }
//! }
//! let _report = batch.flush(|key: usize| sockets.get(key));
//! # Ok(())
//! # }
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!(
    "veilturn runs on Linux: it is built on recvmmsg, sendmmsg, epoll and UDP segmentation offload"
);

mod batch;
mod errors;
mod interfaces;
mod offload;
mod poller;
mod process;
mod recv;
mod send;
mod socket;
mod sys;
mod tcp;

pub use batch::{Batch, Datagram, Envelope, Received, SendReport};
pub use errors::{IcmpError, Peer, QueuedError};
pub use interfaces::interfaces;
pub use offload::Offload;
pub use poller::{Event, Events, Interest, Poller, Waker};
pub use process::{make_undumpable, raise_descriptors, stay_on_core};
pub use recv::{HEADROOM, TAILROOM};
pub use socket::{BindError, SocketOptions, UdpSocket};
pub use tcp::{AcceptError, Accepted, Arrival, TcpListener, TcpStream, connect};
