//! The sockets that sessions come through: what arrives, one datagram after the other, and what gathers to be sent.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use super::hello::RECORD_HEADER;
use crate::masked::Masked;
use crate::net::{Batch, Envelope, UdpSocket};
use crate::relay::{FiveTuple, Link, Transport};

/// Messages that one receive takes at most, and datagrams that it answers or hands on.
const BATCH: usize = 64;

/// Bytes that may gather before they are sent, and what each datagram is charged beside its own: so they are sent before
/// there are more datagrams or bytes than the batch takes.
const GATHER_MAX: usize = 256 * 1024;
const OVERHEAD: usize = 256;

/// The listeners of one worker that speak DTLS, by their number, with what came and what goes.
pub(super) struct Line {
    listeners: Arc<[UdpSocket]>,
    /// The one that was received from last.
    listener: u32,
    batch: Batch<u32>,
    /// Bytes that have gathered, each datagram's overhead included.
    gathered: usize,
    /// Datagrams that were not sent.
    unsent: u64,
    /// What the library is yet to read: one datagram, or nothing.
    arrived: Vec<u8>,
}

impl Line {
    pub(super) fn new(listeners: Arc<[UdpSocket]>) -> Self {
        Self {
            listeners,
            listener: 0,
            batch: Batch::new(BATCH),
            gathered: 0,
            unsent: 0,
            arrived: Vec::new(),
        }
    }

    /// How many listeners there are.
    pub(super) fn listeners(&self) -> usize {
        self.listeners.len()
    }

    /// Receives at most `limit` messages from a listener. What comes is to be taken by [`Self::next_datagram`] before
    /// anything else is received.
    pub(super) fn receive(&mut self, listener: u32, limit: usize) {
        self.listener = listener;
        if self.batch.is_full() {
            self.flush();
        }
        if let Some(socket) = self.listeners.get(listener as usize) {
            // An error was told and is over, or the poller reports it again.
            let _ = self.batch.receive(socket, limit);
        }
    }

    /// Takes the next datagram that has come: who sent it, and its bytes, to be given back with [`Self::show`], as far as
    /// they are for the library.
    pub(super) fn next_datagram(&mut self) -> Option<(FiveTuple, Vec<u8>)> {
        // A session that had already ended has not read its last one, which is not to be another's.
        self.arrived.clear();
        let datagram = self.batch.next_datagram(|_| false)?;
        let from = FiveTuple {
            client: Masked::new(datagram.from),
            server: datagram.to,
            link: Link {
                id: self.listener,
                transport: Transport::Dtls,
            },
        };
        let mut bytes = std::mem::take(&mut self.arrived);
        bytes.extend_from_slice(datagram.bytes());
        Some((from, bytes))
    }

    /// Has the library read a datagram next, unless it is empty.
    pub(super) fn show(&mut self, datagram: Vec<u8>) {
        self.arrived = datagram;
    }

    /// Queues a datagram.
    pub(super) fn send(&mut self, to: &FiveTuple, datagram: &[u8]) {
        let envelope = Envelope {
            socket: to.link.id,
            to: to.client.reveal(),
            source: Some(to.server),
            dont_fragment: false,
        };
        self.batch.send_copy(envelope, datagram);
        self.gathered += datagram.len() + OVERHEAD;
        if self.gathered > GATHER_MAX {
            self.flush();
        }
    }

    /// Sends what has gathered.
    pub(super) fn flush(&mut self) {
        let listeners = &self.listeners;
        let report = self
            .batch
            .flush(|listener| listeners.get(listener as usize));
        self.unsent += report.dropped();
        self.gathered = 0;
    }

    /// How many datagrams were not sent since it was last asked.
    pub(super) const fn take_unsent(&mut self) -> u64 {
        std::mem::replace(&mut self.unsent, 0)
    }
}

/// What stands where a socket would for the library: all sessions share the line.
pub(super) struct Wire {
    pub(super) line: Rc<RefCell<Line>>,
    /// Whom the library writes to; what it writes to nobody is forgotten.
    pub(super) to: Option<FiveTuple>,
    /// By how much the numbers of unprotected records are ahead of the library's: see [`renumber`].
    pub(super) ahead: u64,
}

impl Read for Wire {
    /// Reads the datagram, whole: what does not fit is lost, as from a socket.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut line = self.line.borrow_mut();
        if line.arrived.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = line.arrived.len().min(out.len());
        out[..len].copy_from_slice(&line.arrived[..len]);
        line.arrived.clear();
        Ok(len)
    }
}

impl Write for Wire {
    /// Takes one datagram.
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if let Some(to) = &self.to {
            let mut line = self.line.borrow_mut();
            if is_unprotected(datagram) {
                line.send(to, &renumber(datagram, self.ahead));
            } else {
                line.send(to, datagram);
            }
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a record is of the first epoch.
fn is_unprotected(record: &[u8]) -> bool {
    record.get(3..5) == Some(&[0, 0])
}

/// Counts up the numbers of the unprotected records in a datagram. RFC 6347 section 4.2.1 has the first record behind the
/// cookie exchange bear the number of the ClientHello that it answers. To a client that had to repeat its first one, the
/// library's own would be the numbers of what it has heard before, which it ignores.
fn renumber(datagram: &[u8], by: u64) -> Vec<u8> {
    let mut out = datagram.to_vec();
    let mut rest = &mut out[..];
    while let Some((header, body)) = rest.split_first_chunk_mut::<RECORD_HEADER>() {
        if is_unprotected(header) {
            let number = header[5..11].iter().fold(0, |n, b| n << 8 | u64::from(*b)) + by;
            header[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
        }
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        rest = body.get_mut(len..).unwrap_or_default();
    }
    out
}
