//! The receiving half of a batch: slots that the kernel writes into, and the datagrams in them, one by one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;

use super::batch::{Datagram, Received};
use super::errors;
use super::socket::UdpSocket;
use super::sys::{self, Landing, MAX_MESSAGES};

/// Bytes in front of a datagram that its owner may write.
pub const HEADROOM: usize = 64;

/// Bytes behind a datagram that its owner may write.
pub const TAILROOM: usize = 4;

/// The most datagrams that the kernel merges into one message (`UDP_GRO_CNT_MAX`).
pub(super) const SEGMENTS_MAX: usize = 64;

/// The received messages of a batch.
pub(super) struct Inbox {
    /// One slot per message, and one more for a datagram that needs a buffer of its own.
    bytes: Box<[u8]>,
    slots: usize,
    landings: Box<[Landing]>,
    /// What the slots hold, from the first; `None` where it was cut short.
    messages: Vec<Option<Message>>,
    /// The message to hand a datagram out of next.
    next: usize,
    /// How much of that message was handed out.
    handed_out: usize,
    /// The datagram that was handed out last.
    current: Option<Current>,
    neighbours: Neighbours,
}

impl Inbox {
    /// `slots` empty slots, between 1 and 64.
    pub(super) fn new(slots: usize) -> Self {
        let slots = slots.clamp(1, MAX_MESSAGES);
        Self {
            bytes: vec![0; (slots + 1) * SLOT].into_boxed_slice(),
            slots,
            landings: vec![Landing::EMPTY; slots].into_boxed_slice(),
            messages: Vec::with_capacity(slots),
            next: 0,
            handed_out: 0,
            current: None,
            neighbours: Neighbours::NONE,
        }
    }

    /// The most datagrams that the slots can hold.
    pub(super) const fn datagrams_max(&self) -> usize {
        self.slots * SEGMENTS_MAX
    }

    pub(super) fn is_full(&self) -> bool {
        self.messages.len() == self.slots
    }

    pub(super) fn receive(&mut self, socket: &UdpSocket, limit: usize) -> io::Result<Received> {
        let used = self.messages.len();
        let room = limit.min(self.slots - used);
        if room == 0 {
            return Ok(Received::default());
        }
        let landings = &mut self.landings[..room];
        let count = receive_into(socket, &mut self.bytes[used * SLOT..], landings)?;
        let local = socket.local_addr().ip();
        let mut received = Received {
            messages: count,
            truncated: 0,
        };
        for landing in &landings[..count] {
            let message = Message::read(landing, local);
            received.truncated += usize::from(message.is_none());
            self.messages.push(message);
        }
        Ok(received)
    }

    pub(super) fn senders(&self) -> impl Iterator<Item = (SocketAddr, IpAddr)> {
        let left = self.messages.iter().skip(self.next).flatten();
        left.map(|message| (message.from, message.to))
    }

    pub(super) fn next_datagram(
        &mut self,
        isolate: impl FnOnce(&[u8]) -> bool,
    ) -> Option<Datagram<'_>> {
        self.settle();
        let (slot, message) = self.next_message()?;
        let start = slot * SLOT + HEADROOM + self.handed_out;
        let merged = message.is_merged();
        let len = message.segment.min(message.len - self.handed_out);
        self.handed_out += len;
        if self.handed_out == message.len {
            self.next += 1;
            self.handed_out = 0;
        }
        let own = start..start + len;
        let (place, buffer) = if !merged {
            (Place::Alone, slot * SLOT..(slot + 1) * SLOT)
        } else if isolate(&self.bytes[own.clone()]) {
            let own_slot = self.slots * SLOT;
            self.bytes.copy_within(own.clone(), own_slot + HEADROOM);
            (Place::Isolated, own_slot..own_slot + SLOT)
        } else {
            self.neighbours.save(&self.bytes, own.clone());
            (Place::Between, start - HEADROOM..(slot + 1) * SLOT)
        };
        self.current = Some(Current {
            place,
            buffer: buffer.clone(),
            datagram: own,
        });
        Some(Datagram {
            from: message.from,
            to: message.to,
            start: HEADROOM,
            len,
            buffer: &mut self.bytes[buffer],
        })
    }

    /// What `span` of the current datagram's buffer is; `None` where there is no current datagram.
    ///
    /// # Panics
    ///
    /// Where `span` is not within the buffer.
    pub(super) fn content(&self, span: Range<usize>) -> Option<Content<'_>> {
        let current = self.current.as_ref()?;
        // Beyond the buffer are other people's datagrams.
        assert!(span.start <= span.end && span.end <= current.buffer.len());
        let span = current.buffer.start + span.start..current.buffer.start + span.end;
        Some(match current.place {
            Place::Alone => Content::Received {
                head: &[],
                body: span,
                tail: &[],
            },
            Place::Isolated => Content::Copy(&self.bytes[span]),
            Place::Between => {
                let own = &current.datagram;
                let start = own.start.clamp(span.start, span.end);
                let end = own.end.clamp(start, span.end);
                Content::Received {
                    head: &self.bytes[span.start..start],
                    body: start..end,
                    tail: &self.bytes[end..span.end],
                }
            }
        })
    }

    /// The bytes that [`Content::Received`] is about, with every datagram as it is to be sent.
    pub(super) fn settled(&mut self) -> &[u8] {
        self.settle();
        self.current = None;
        &self.bytes
    }

    /// Empties the slots where every datagram was handed out.
    pub(super) fn release(&mut self) {
        if self.next_message().is_none() {
            self.messages.clear();
            self.next = 0;
        }
    }

    fn settle(&mut self) {
        self.neighbours.restore(&mut self.bytes);
    }

    fn next_message(&mut self) -> Option<(usize, Message)> {
        loop {
            let slot = self.next;
            match self.messages.get(slot)? {
                Some(message) => return Some((slot, *message)),
                None => self.next += 1,
            }
        }
    }
}

/// Bytes to send.
pub(super) enum Content<'a> {
    /// Bytes of the slots, between bytes that will be overwritten before they are sent.
    Received {
        /// In front of the body.
        head: &'a [u8],
        /// Where in the slots.
        body: Range<usize>,
        /// Behind the body.
        tail: &'a [u8],
    },
    /// Bytes that will be overwritten before they are sent.
    Copy(&'a [u8]),
}

/// A received message.
#[derive(Clone, Copy)]
struct Message {
    from: SocketAddr,
    to: IpAddr,
    len: usize,
    /// The length of each datagram in it but the last, which may be shorter.
    segment: usize,
}

impl Message {
    fn read(landing: &Landing, local: IpAddr) -> Option<Self> {
        if landing.is_truncated() {
            return None;
        }
        let arrival = landing.arrival();
        let len = landing.len();
        Some(Self {
            from: landing.from()?,
            to: arrival.to.unwrap_or(local),
            len,
            segment: match arrival.segment {
                0 => len,
                segment => segment,
            },
        })
    }

    const fn is_merged(&self) -> bool {
        self.len > self.segment
    }
}

/// The datagram that was handed out last.
struct Current {
    place: Place,
    /// Where its buffer is in the slots.
    buffer: Range<usize>,
    /// Where it was received.
    datagram: Range<usize>,
}

#[derive(Clone, Copy)]
enum Place {
    /// In a slot of its own.
    Alone,
    /// In a slot with others.
    Between,
    /// In the extra slot.
    Isolated,
}

/// The bytes around a datagram that belong to the datagrams before and behind it, to be put back once its headers were
/// written over them and copied away.
struct Neighbours {
    before: [u8; HEADROOM],
    after: [u8; TAILROOM],
    /// The datagram in their middle; `None` where there is nothing to put back.
    datagram: Option<Range<usize>>,
}

impl Neighbours {
    const NONE: Self = Self {
        before: [0; HEADROOM],
        after: [0; TAILROOM],
        datagram: None,
    };

    fn save(&mut self, bytes: &[u8], datagram: Range<usize>) {
        let Range { start, end } = datagram;
        self.before.copy_from_slice(&bytes[start - HEADROOM..start]);
        self.after.copy_from_slice(&bytes[end..end + TAILROOM]);
        self.datagram = Some(datagram);
    }

    fn restore(&mut self, bytes: &mut [u8]) {
        if let Some(Range { start, end }) = self.datagram.take() {
            bytes[start - HEADROOM..start].copy_from_slice(&self.before);
            bytes[end..end + TAILROOM].copy_from_slice(&self.after);
        }
    }
}

/// Receives once, however often an error about an earlier datagram comes between.
fn receive_into(
    socket: &UdpSocket,
    bytes: &mut [u8],
    landings: &mut [Landing],
) -> io::Result<usize> {
    for _ in 0..ATTEMPTS {
        let rooms = bytes
            .chunks_exact_mut(SLOT)
            .map(|slot| &mut slot[HEADROOM..HEADROOM + ROOM]);
        match sys::recv_many(socket.as_fd(), rooms, landings) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if errors::may_be_pending(&error) => {}
            Err(error) => return Err(error),
        }
    }
    // Whoever makes errors this fast can wait for the next turn.
    Ok(0)
}

/// Receives that may fail in a row because of earlier datagrams.
const ATTEMPTS: usize = 8;

/// The longest message: the length field of UDP has 16 bits.
const ROOM: usize = 65_535;

/// The bytes of a slot. Wherever a datagram starts, more than 1,344 follow from [`HEADROOM`] before it, so that an
/// answer fits. An odd number of cache lines, so that the heads of the slots do not share one set of the cache.
const SLOT: usize = 64 * 1053;

const _: () = {
    assert!(SLOT >= ROOM + 1344 + HEADROOM && (SLOT / 64) % 2 == 1);
    assert!(SLOT >= HEADROOM + ROOM + TAILROOM);
};

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_datagram_that_was_cut_short_is_no_message() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = socket.local_addr().unwrap();
        for payload in [b"123456", b"1234  "] {
            socket.send_to(payload.trim_ascii_end(), target).unwrap();
        }
        let mut landings = [Landing::EMPTY, Landing::EMPTY];
        let mut buffer = [0; 8];
        let mut received = 0;
        while received < 2 {
            assert!(sys::wait_readable(socket.as_fd(), Duration::from_secs(10)).unwrap());
            let rooms = buffer.chunks_exact_mut(4).skip(received);
            received += sys::recv_many(socket.as_fd(), rooms, &mut landings[received..]).unwrap();
        }

        let messages = landings.map(|landing| Message::read(&landing, target.ip()));

        assert!(messages[0].is_none());
        assert!(messages[1].is_some_and(|message| message.len == 4 && message.from == target));
    }
}
