//! Whether this kernel's segmentation offload can be trusted.
//!
//! Old kernels ignore the request to cut a message and send it whole; some releases mangled the headers of the cut
//! datagrams. So the decision is made by sending and looking, over loopback, once at start.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use super::batch::{Batch, Envelope};
use super::socket::{BindError, SocketOptions, UdpSocket};
use super::sys;

/// Which offloads a socket may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Equal datagrams to one destination leave as one message that the kernel or the network card cuts
    /// (`UDP_SEGMENT`).
    pub gso: bool,
    /// Equal datagrams from one source arrive as one message (`UDP_GRO`).
    pub gro: bool,
}

impl Offload {
    /// No offload.
    pub const NONE: Self = Self {
        gso: false,
        gro: false,
    };

    /// Tries both over loopback, for each address family that this machine has, and compares every byte.
    ///
    /// Blocks for as long as loopback takes, and for at most a second where the kernel loses what it was given.
    #[must_use]
    pub fn probe() -> Self {
        let cut = Self {
            gso: true,
            gro: false,
        };
        let gso = is_sound(cut, Self::NONE);
        let merging = Self {
            gso: false,
            gro: true,
        };
        let gro = is_sound(Self { gso, gro: false }, merging);
        Self { gso, gro }
    }
}

/// Whether what a socket with `sending` sends arrives unchanged at one with `receiving`.
fn is_sound(sending: Offload, receiving: Offload) -> bool {
    let loopbacks: [SocketAddr; 2] = [
        (Ipv4Addr::LOCALHOST, 0).into(),
        (Ipv6Addr::LOCALHOST, 0).into(),
    ];
    let mut families = 0;
    for addr in loopbacks {
        match exchange(addr, sending, receiving) {
            Ok(true) => families += 1,
            Err(BindError::NoSuchAddress) => {}
            Ok(false) | Err(_) => return false,
        }
    }
    families > 0
}

/// Sends runs of datagrams of several shapes over loopback; returns whether all arrived as they were, in one call per
/// run where `sending` says so.
fn exchange(addr: SocketAddr, sending: Offload, receiving: Offload) -> Result<bool, BindError> {
    let receiver = UdpSocket::relay(addr, &options(receiving))?;
    let sender = UdpSocket::relay(addr, &options(sending))?;
    let mut batch = Batch::new(RUN_MAX);
    for (count, size, last) in [
        (2, 100, 100),
        (8, 1200, 1200),
        (RUN_MAX, 173, 60),
        (3, 1000, 1),
    ] {
        let datagrams: Vec<Vec<u8>> = (1..=count)
            .map(|index| pattern(index, if index == count { last } else { size }))
            .collect();
        let envelope = Envelope {
            socket: (),
            to: receiver.local_addr(),
            source: None,
            dont_fragment: false,
        };
        for datagram in &datagrams {
            batch.send_copy(envelope, datagram);
        }
        let report = batch.flush(|()| Some(&sender));
        let all_sent = report.dropped() == 0 && sender.gso() == sending.gso;
        if !all_sent || report.calls != 1 || collect(&receiver, count)? != datagrams {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Receives until `count` datagrams came, or no more do.
fn collect(socket: &UdpSocket, count: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut batch = Batch::<()>::new(RUN_MAX);
    let mut datagrams = Vec::new();
    while datagrams.len() < count {
        if !sys::wait_readable(socket.as_fd(), LOST_AFTER)? {
            break;
        }
        batch.receive(socket, RUN_MAX)?;
        while let Some(datagram) = batch.next_datagram(|_| false) {
            datagrams.push(datagram.bytes().to_vec());
        }
        let _nothing_queued = batch.flush(|()| None);
    }
    Ok(datagrams)
}

/// `len` bytes that differ from datagram to datagram and from place to place.
fn pattern(index: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at * 7 + index * 31).to_le_bytes()[0])
        .collect()
}

const fn options(offload: Offload) -> SocketOptions {
    SocketOptions {
        recv_buffer: 1 << 18,
        send_buffer: 1 << 18,
        offload,
    }
}

/// The longest run that is tried, in datagrams.
const RUN_MAX: usize = 40;

/// Loopback delivers within the call that sends.
const LOST_AFTER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_probe_finds_it_finds_again() {
        assert_eq!(Offload::probe(), Offload::probe());
    }

    #[test]
    fn plain_sockets_are_sound() {
        assert!(is_sound(Offload::NONE, Offload::NONE));
    }
}
