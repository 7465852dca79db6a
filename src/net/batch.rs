//! A batch: datagrams come in from some sockets, and what was decided about them goes out of others.
//!
//! One object owns both halves, because what is sent are bytes of what was received: they stay where the kernel put
//! them until [`Batch::flush`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::{AddAssign, Range};

use super::recv::{Content, Inbox};
use super::send::Outbox;
use super::socket::UdpSocket;

/// Up to 64 received messages, and the datagrams to send because of them.
///
/// `K` is the caller's name for a socket. Costs 67 KiB of address space per message, of which only what is received
/// into becomes memory. Nothing is allocated once the lists have grown to what the traffic needs.
pub struct Batch<K> {
    inbox: Inbox,
    outbox: Outbox<K>,
}

impl<K: Copy + Eq> Batch<K> {
    /// A batch of `slots` messages, between 1 and 64.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let inbox = Inbox::new(slots);
        let outbox = Outbox::new(inbox.datagrams_max());
        Self { inbox, outbox }
    }

    /// Receives at most `limit` messages from `socket` behind those that are already in the batch.
    ///
    /// Nothing to receive, or no room, is no error. Neither is an ICMP error about what the socket sent earlier.
    ///
    /// # Errors
    ///
    /// What the kernel answers when the socket itself is unusable.
    pub fn receive(&mut self, socket: &UdpSocket, limit: usize) -> io::Result<Received> {
        self.inbox.receive(socket, limit)
    }

    /// Who sent the messages of which datagrams are left to hand out, and to which address of this machine.
    pub fn senders(&self) -> impl Iterator<Item = (SocketAddr, IpAddr)> {
        self.inbox.senders()
    }

    /// Whether there is no room for another message until the next [`Self::flush`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.inbox.is_full()
    }

    /// Hands out the next datagram, in the order of arrival; `None` where all were handed out.
    ///
    /// A datagram that arrived alone has its buffer for itself. Where the kernel merged several, each lies between its
    /// neighbours, which are restored afterwards as far as [`super::HEADROOM`] bytes in front and [`super::TAILROOM`]
    /// behind: enough to write a header, not to write an answer. For such a datagram `isolate` is asked, with its
    /// bytes, whether more is going to be written; it is then copied into a buffer of its own.
    pub fn next_datagram(&mut self, isolate: impl FnOnce(&[u8]) -> bool) -> Option<Datagram<'_>> {
        self.inbox.next_datagram(isolate)
    }

    /// Queues `span` of the buffer of the datagram that was handed out last, to be sent by [`Self::flush`].
    ///
    /// The order of the datagrams that leave one socket is kept.
    ///
    /// # Panics
    ///
    /// Where `span` is not within the buffer, or no datagram was handed out since the last flush.
    pub fn send(&mut self, envelope: Envelope<K>, span: Range<usize>) {
        let content = self
            .inbox
            .content(span)
            .expect("the span is that of a datagram just handed out");
        self.outbox.push(envelope, content);
    }

    /// Queues a copy of `bytes`, which lie outside the batch.
    pub fn send_copy(&mut self, envelope: Envelope<K>, bytes: &[u8]) {
        self.outbox.push(envelope, Content::Copy(bytes));
    }

    /// Sends what is queued, with as few calls as possible, and makes room for what is received next: every message
    /// whose datagrams were all handed out is let go once none is left to hand out.
    ///
    /// `sockets` finds a socket by its name, which must not have gone to another socket since. A datagram that cannot be
    /// sent is dropped and counted; nothing waits.
    pub fn flush<'s>(&mut self, sockets: impl Fn(K) -> Option<&'s UdpSocket>) -> SendReport {
        let report = self.outbox.flush(self.inbox.settled(), sockets);
        self.inbox.release();
        report
    }
}

/// What one receive brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Messages received; each is one datagram or several that the kernel merged.
    pub messages: usize,
    /// How many of them were cut short. They are not handed out.
    pub truncated: usize,
}

/// A received datagram, where it lies.
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// The address of this machine that it was sent to.
    pub to: IpAddr,
    /// The buffer that it lies in.
    pub buffer: &'a mut [u8],
    /// Where it starts in the buffer: [`super::HEADROOM`].
    pub start: usize,
    /// Its length in bytes.
    pub len: usize,
}

impl Datagram<'_> {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }
}

/// Where a datagram is to go.
#[derive(Clone, Copy)]
pub struct Envelope<K> {
    /// The socket to send from.
    pub socket: K,
    /// Where to.
    pub to: SocketAddr,
    /// The address to send from, which counts where the socket is bound to all of them.
    pub source: Option<IpAddr>,
    /// Whether the datagram must not be fragmented, which counts for IPv4.
    pub dont_fragment: bool,
}

/// What became of the datagrams of one flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct SendReport {
    /// The kernel took them.
    pub sent: u64,
    /// The socket's buffer or the interface's queue was full.
    pub would_block: u64,
    /// No way leads there.
    pub unreachable: u64,
    /// They do not fit, and must not or cannot be fragmented.
    pub too_big: u64,
    /// The batch held as many as it takes.
    pub overflow: u64,
    /// The socket is gone.
    pub no_socket: u64,
    /// Any other error.
    pub other: u64,
    /// System calls that sent.
    pub calls: u64,
}

impl SendReport {
    /// How many datagrams were dropped, for whatever reason.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.would_block
            + self.unreachable
            + self.too_big
            + self.overflow
            + self.no_socket
            + self.other
    }
}

impl AddAssign for SendReport {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.would_block += other.would_block;
        self.unreachable += other.unreachable;
        self.too_big += other.too_big;
        self.overflow += other.overflow;
        self.no_socket += other.no_socket;
        self.other += other.other;
        self.calls += other.calls;
    }
}
