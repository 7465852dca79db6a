//! The sending half of a batch: datagrams queued for any number of sockets, sent with few calls.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;

use super::batch::{Envelope, SendReport};
use super::errors;
use super::recv::{Content, SEGMENTS_MAX};
use super::socket::UdpSocket;
use super::sys::{self, MAX_MESSAGES, Outgoing, Parts};

/// The queued datagrams of a batch.
pub(super) struct Outbox<K> {
    /// In the order in which they were queued.
    entries: Vec<Entry>,
    /// The sockets that they leave from, each once.
    groups: Vec<Group<K>>,
    /// The group that the last entry went to.
    last_group: usize,
    /// Bytes that are not among the received ones.
    copies: Vec<u8>,
    entries_max: usize,
    /// Entries refused since the last flush.
    overflow: u64,
    plan: Plan,
}

impl<K: Copy + Eq> Outbox<K> {
    /// An empty queue for one answer to each of `datagrams_max` datagrams and some more.
    pub(super) fn new(datagrams_max: usize) -> Self {
        Self {
            entries: Vec::new(),
            groups: Vec::new(),
            last_group: 0,
            copies: Vec::new(),
            entries_max: datagrams_max + EXTRA_ENTRIES_MAX,
            overflow: 0,
            plan: Plan::default(),
        }
    }

    pub(super) fn push(&mut self, envelope: Envelope<K>, content: Content<'_>) {
        let (head, body, tail) = match content {
            Content::Received { head, body, tail } => (head, body, tail),
            Content::Copy(all) => (all, 0..0, [].as_slice()),
        };
        let copied = self.copies.len();
        if self.entries.len() == self.entries_max || copied + head.len() + tail.len() > COPIES_MAX {
            self.overflow += 1;
            return;
        }
        self.copies.extend_from_slice(head);
        self.copies.extend_from_slice(tail);
        let index = self.entries.len();
        self.entries.push(Entry {
            to: envelope.to,
            source: envelope.source,
            dont_fragment: envelope.dont_fragment,
            head: copied..copied + head.len(),
            body,
            tail: copied + head.len()..copied + head.len() + tail.len(),
            next: None,
        });
        self.append_to_group(envelope.socket, index);
    }

    pub(super) fn flush<'s>(
        &mut self,
        received: &[u8],
        sockets: impl Fn(K) -> Option<&'s UdpSocket>,
    ) -> SendReport {
        let mut report = SendReport {
            overflow: std::mem::take(&mut self.overflow),
            ..SendReport::default()
        };
        for group in &self.groups {
            self.plan.order.clear();
            let mut next = Some(group.first);
            while let Some(index) = next {
                self.plan.order.push(index);
                next = self.entries[index].next;
            }
            let Some(socket) = sockets(group.socket) else {
                report.no_socket += self.plan.order.len() as u64;
                continue;
            };
            let transmission = Transmission {
                socket,
                entries: &self.entries,
                received,
                copies: &self.copies,
                plan: &mut self.plan,
                report: &mut report,
                position: 0,
                singly_until: 0,
            };
            transmission.run();
        }
        self.entries.clear();
        self.groups.clear();
        self.copies.clear();
        report
    }

    /// Hooks an entry to the end of its socket's list.
    fn append_to_group(&mut self, socket: K, index: usize) {
        let known = match self.groups.get(self.last_group) {
            Some(group) if group.socket == socket => Some(self.last_group),
            _ => self.groups.iter().position(|group| group.socket == socket),
        };
        let Some(known) = known else {
            self.last_group = self.groups.len();
            self.groups.push(Group {
                socket,
                first: index,
                last: index,
            });
            return;
        };
        self.last_group = known;
        let group = &mut self.groups[known];
        self.entries[group.last].next = Some(index);
        group.last = index;
    }
}

/// A datagram to send: `head`, `body` and `tail` in a row.
struct Entry {
    to: SocketAddr,
    source: Option<IpAddr>,
    dont_fragment: bool,
    /// Within the copies.
    head: Range<usize>,
    /// Within the received bytes.
    body: Range<usize>,
    /// Within the copies.
    tail: Range<usize>,
    /// The next entry of the same socket.
    next: Option<usize>,
}

impl Entry {
    fn len(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }

    /// Whether `other` may follow in one message that the kernel cuts.
    fn goes_with(&self, other: &Self) -> bool {
        self.to == other.to
            && self.source == other.source
            && self.dont_fragment == other.dont_fragment
    }
}

/// The entries of one socket: a list through [`Entry::next`].
struct Group<K> {
    socket: K,
    first: usize,
    last: usize,
}

/// Lists that are kept so that a flush allocates nothing.
#[derive(Default)]
struct Plan {
    /// The entries of one socket, in order.
    order: Vec<usize>,
    /// The messages of one call.
    messages: Vec<Outgoing>,
    /// How many entries each message holds.
    runs: Vec<usize>,
}

/// The sending of one socket's entries.
struct Transmission<'a> {
    socket: &'a UdpSocket,
    entries: &'a [Entry],
    received: &'a [u8],
    copies: &'a [u8],
    plan: &'a mut Plan,
    report: &'a mut SendReport,
    /// How many of the entries are done.
    position: usize,
    /// Up to there, every datagram is a message of its own.
    singly_until: usize,
}

impl<'a> Transmission<'a> {
    fn run(mut self) {
        let mut parts = Parts::new();
        while self.position < self.plan.order.len() {
            parts.clear();
            let dont_fragment = self.fill(&mut parts);
            if dont_fragment && self.socket.set_dont_fragment(true).is_err() {
                let entries = self.plan.runs.iter().sum();
                self.finish(entries, |report| &mut report.other);
                continue;
            }
            let open = self.hand_over(&parts);
            if dont_fragment {
                self.restore_fragmentation();
            }
            if !open {
                let rest = self.plan.order.len() - self.position;
                self.finish(rest, |report| &mut report.would_block);
            }
        }
    }

    /// Plans the messages of one call; returns whether they must not be fragmented.
    fn fill(&mut self, parts: &mut Parts<'a>) -> bool {
        self.plan.messages.clear();
        self.plan.runs.clear();
        let dont_fragment = self.entry(self.position).dont_fragment;
        let mut at = self.position;
        while at < self.plan.order.len()
            && self.plan.messages.len() < MAX_MESSAGES
            && parts.room() >= PARTS_PER_MESSAGE
            && self.entry(at).dont_fragment == dont_fragment
        {
            let run = self.run_length(at);
            let message = self.message(at..at + run, parts);
            self.plan.messages.push(message);
            self.plan.runs.push(run);
            at += run;
        }
        dont_fragment
    }

    /// How many entries from `at` on may share a message: equal in length, the last may be shorter.
    fn run_length(&self, at: usize) -> usize {
        let first = self.entry(at);
        let size = first.len();
        if size == 0 || at < self.singly_until || !self.socket.gso() {
            return 1;
        }
        let mut total = size;
        let mut run = 1;
        while run < SEGMENTS_MAX && at + run < self.plan.order.len() {
            let entry = self.entry(at + run);
            let len = entry.len();
            // An empty datagram at the end of a message would vanish.
            if len == 0 || len > size || total + len > GSO_BYTES_MAX || !first.goes_with(entry) {
                break;
            }
            total += len;
            run += 1;
            if len < size {
                break;
            }
        }
        run
    }

    /// Builds the message of the entries `run`.
    fn message(&self, run: Range<usize>, parts: &mut Parts<'a>) -> Outgoing {
        let first = self.entry(run.start);
        let mut message = Outgoing::new(first.to);
        if let Some(source) = first.source.filter(|_| self.socket.is_wildcard()) {
            message.set_source(source);
        }
        if run.len() > 1 {
            let size = u16::try_from(first.len()).expect("at most GSO_BYTES_MAX");
            message.set_segment_size(size);
        }
        let before = parts.len();
        // Received bytes that lie side by side are one part.
        let mut body = 0..0;
        for at in run {
            let entry = self.entry(at);
            if !entry.head.is_empty() || entry.body.start != body.end {
                self.push(parts, &mut body);
                push(parts, &self.copies[entry.head.clone()]);
                body.start = entry.body.start;
            }
            body.end = entry.body.end;
            if !entry.tail.is_empty() {
                self.push(parts, &mut body);
                push(parts, &self.copies[entry.tail.clone()]);
            }
        }
        self.push(parts, &mut body);
        message.set_parts(parts.len() - before);
        message
    }

    /// Closes a run of received bytes.
    fn push(&self, parts: &mut Parts<'a>, body: &mut Range<usize>) {
        push(parts, &self.received[body.clone()]);
        body.start = body.end;
    }

    /// Sends the planned messages; returns false where the socket takes no more.
    fn hand_over(&mut self, parts: &Parts<'_>) -> bool {
        let mut message = 0;
        let mut part = 0;
        let mut retried = false;
        while message < self.plan.messages.len() {
            self.report.calls += 1;
            let messages = &self.plan.messages[message..];
            let run = self.plan.runs[message];
            let done = match sys::send_many(self.socket.as_fd(), messages, parts, part) {
                Ok(0) => return false,
                Ok(count) => {
                    let entries = self.plan.runs[message..message + count].iter().sum();
                    self.finish(entries, |report| &mut report.sent);
                    count
                }
                Err(error) => match self.remedy(&error, run > 1, retried) {
                    Remedy::Retry => {
                        retried |= error.kind() != io::ErrorKind::Interrupted;
                        continue;
                    }
                    Remedy::SendSingly => {
                        self.singly_until = self.position + run;
                        return true;
                    }
                    Remedy::Stop => return false,
                    Remedy::Skip(counter) => {
                        self.finish(run, counter);
                        1
                    }
                },
            };
            let sent = &self.plan.messages[message..message + done];
            part += sent.iter().map(Outgoing::parts).sum::<usize>();
            message += done;
            retried = false;
        }
        true
    }

    /// What to do about the failure of a message.
    fn remedy(&self, error: &io::Error, segmented: bool, retried: bool) -> Remedy {
        let Some(errno) = error.raw_os_error() else {
            return Remedy::Skip(|report| &mut report.other);
        };
        match errno {
            libc::EINTR => Remedy::Retry,
            libc::EAGAIN => Remedy::Stop,
            libc::EIO | libc::EINVAL | libc::EMSGSIZE if segmented => {
                if errno == libc::EIO {
                    self.socket.disable_gso();
                }
                Remedy::SendSingly
            }
            // Repeating it would also repeat the entry in the error queue.
            libc::EMSGSIZE if self.entry(self.position).dont_fragment => {
                Remedy::Skip(|report| &mut report.too_big)
            }
            _ if !retried && errors::may_be_pending(error) => Remedy::Retry,
            libc::ENOBUFS | libc::ENOMEM => Remedy::Skip(|report| &mut report.would_block),
            libc::EMSGSIZE => Remedy::Skip(|report| &mut report.too_big),
            libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENETDOWN
            | libc::ENONET
            | libc::EADDRNOTAVAIL => Remedy::Skip(|report| &mut report.unreachable),
            _ => Remedy::Skip(|report| &mut report.other),
        }
    }

    /// Puts the next `entries` behind us, under one counter of the report.
    fn finish(&mut self, entries: usize, counter: fn(&mut SendReport) -> &mut u64) {
        *counter(self.report) += entries as u64;
        self.position += entries;
    }

    fn restore_fragmentation(&self) {
        let restored = self.socket.set_dont_fragment(false);
        debug_assert!(restored.is_ok(), "the option was set a moment ago");
    }

    fn entry(&self, at: usize) -> &'a Entry {
        &self.entries[self.plan.order[at]]
    }
}

enum Remedy {
    /// Send it again.
    Retry,
    /// Send its datagrams one by one.
    SendSingly,
    /// Drop it and all that follow.
    Stop,
    /// Drop it, counted here.
    Skip(fn(&mut SendReport) -> &mut u64),
}

fn push<'a>(parts: &mut Parts<'a>, bytes: &'a [u8]) {
    if !bytes.is_empty() {
        parts.push(bytes);
    }
}

/// Datagrams beyond one for each that was received.
const EXTRA_ENTRIES_MAX: usize = 1024;

/// Bytes copied into the queue: the headers of all segments that a batch can hold, several times over.
const COPIES_MAX: usize = 1 << 20;

/// Bytes that the kernel is given to cut at most: below what an IPv4 packet holds.
const GSO_BYTES_MAX: usize = 65_000;

/// A header, a payload and a padding for each segment.
const PARTS_PER_MESSAGE: usize = 3 * SEGMENTS_MAX;

#[cfg(test)]
mod tests;
