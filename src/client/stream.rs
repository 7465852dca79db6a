//! A connection to the server over a byte stream: datagrams become frames on the way out, and bytes frames again on the
//! way in, inside TLS or not.
//!
//! Whatever reads and writes bytes can carry it, waiting or not: where the stream says that it would block, a call ends
//! and nothing is lost. Left out: opening the stream, and waiting for it.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use thiserror::Error;

use crate::wire::{FrameError, frame_len};

/// Bytes that there is room for, at least, when bytes are received.
const CHUNK: usize = 64 << 10;

/// Bytes that may be queued: more than that means that the server does not read.
const QUEUE_MAX: usize = 256 << 10;

/// A client's connection over a stream.
///
/// Holds at most 256 KiB on the way out, and on the way in the longest frame and what one call receives, encrypted too
/// where there is TLS.
pub struct Connection<S> {
    stream: S,
    tls: Option<Box<Tls>>,
    inbox: Inbox,
    outbox: Vec<u8>,
}

struct Tls {
    session: ClientConnection,
    /// What came last, to be decrypted: the session by itself would receive a few kilobytes at a time.
    wire: Box<[u8]>,
}

/// Why a connection is over.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The server sends no more.
    #[error("the server has closed the connection")]
    Closed,
    /// The stream is broken.
    #[error("the connection is broken")]
    Io(#[from] io::Error),
    /// TLS is not spoken, or not with whom the client trusts.
    #[error("TLS has failed")]
    Tls(#[from] rustls::Error),
    /// The server sent bytes that are no frame.
    #[error("the server sent what is no frame")]
    Frame(#[from] FrameError),
}

impl<S: Read + Write> Connection<S> {
    /// A connection over an open stream.
    pub fn plain(stream: S) -> Self {
        Self {
            stream,
            tls: None,
            inbox: Inbox::default(),
            outbox: Vec::new(),
        }
    }

    /// A connection inside TLS over an open stream, with a server that is called `name`. The handshake begins with the
    /// first [`Self::send`]; what is queued follows it.
    ///
    /// # Errors
    ///
    /// Where `config` and `name` do not go together.
    pub fn tls(
        stream: S,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let tls = Tls {
            session: ClientConnection::new(config, name)?,
            wire: vec![0; CHUNK].into(),
        };
        Ok(Self {
            tls: Some(Box::new(tls)),
            ..Self::plain(stream)
        })
    }

    /// Queues a STUN or ChannelData message, filled up to a multiple of four bytes (RFC 8656 section 12.5). `false`
    /// where there is no room: it is not queued then.
    #[must_use]
    pub fn queue(&mut self, message: &[u8]) -> bool {
        let len = message.len().next_multiple_of(4);
        if self.outbox.len() + len > QUEUE_MAX {
            return false;
        }
        let end = self.outbox.len() + len;
        self.outbox.extend_from_slice(message);
        self.outbox.resize(end, 0);
        true
    }

    /// Sends what is queued, as far as the stream takes it.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; so for the following. The connection is over then.
    pub fn send(&mut self) -> Result<(), StreamError> {
        while self.wants_send() {
            let sent = match &mut self.tls {
                None => attempt(|| self.stream.write(&self.outbox))?,
                Some(tls) if tls.session.wants_write() => {
                    if attempt(|| tls.session.write_tls(&mut self.stream))?.is_none() {
                        return Ok(());
                    }
                    continue;
                }
                Some(tls) => Some(tls.session.writer().write(&self.outbox)?),
            };
            let Some(sent @ 1..) = sent else {
                return Ok(());
            };
            self.outbox.drain(..sent);
        }
        Ok(())
    }

    /// Receives once; whether something came. To be called when the stream is readable, and [`Self::next_frame`] until
    /// it gives none after that: while a frame waits, nothing is received.
    ///
    /// # Errors
    ///
    /// [`StreamError`]. Frames that came before can still be taken.
    pub fn receive(&mut self) -> Result<bool, StreamError> {
        if self.inbox.frame()?.is_some() {
            return Ok(true);
        }
        let Some(tls) = &mut self.tls else {
            let received = attempt(|| self.stream.read(self.inbox.room()))?;
            return Ok(self.inbox.take(received));
        };
        let Some(count) = attempt(|| self.stream.read(&mut tls.wire))? else {
            return Ok(false);
        };
        let decrypted = tls.decrypt(count, &mut self.inbox);
        // Where the handshake failed, this tells the server why.
        let answered = self.send();
        decrypted.and(answered)?;
        Ok(true)
    }

    /// The next frame that has come whole, padding included.
    ///
    /// # Errors
    ///
    /// [`StreamError::Frame`].
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, StreamError> {
        Ok(self.inbox.next()?)
    }

    /// Whether [`Self::send`] has something to do once the stream takes bytes.
    pub fn wants_send(&self) -> bool {
        let queued = !self.outbox.is_empty();
        match self.tls.as_deref() {
            None => queued,
            Some(Tls { session, .. }) => {
                session.wants_write() || (queued && !session.is_handshaking())
            }
        }
    }

    /// What carries the connection.
    pub const fn stream(&self) -> &S {
        &self.stream
    }
}

impl Tls {
    /// Moves what the first `count` received bytes hold to `inbox`.
    fn decrypt(&mut self, count: usize, inbox: &mut Inbox) -> Result<(), StreamError> {
        let mut wire = &self.wire[..count];
        while !wire.is_empty() {
            self.session.read_tls(&mut wire)?;
            let state = self.session.process_new_packets()?;
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                let count = self.session.reader().read(inbox.room())?;
                inbox.take(Some(count));
                left -= count;
            }
            if state.peer_has_closed() {
                return Err(StreamError::Closed);
            }
        }
        Ok(())
    }
}

/// Received bytes that have not been taken.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    /// Where they begin and end in `bytes`.
    start: usize,
    end: usize,
}

impl Inbox {
    /// Where the first frame lies, if all of it is there.
    fn frame(&self) -> Result<Option<Range<usize>>, FrameError> {
        let waiting = &self.bytes[self.start..self.end];
        let len = frame_len(waiting)?.filter(|len| *len <= waiting.len());
        Ok(len.map(|len| self.start..self.start + len))
    }

    fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let Some(frame) = self.frame()? else {
            return Ok(None);
        };
        self.start = frame.end;
        Ok(Some(&self.bytes[frame]))
    }

    /// Room for at least [`CHUNK`] bytes more.
    fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() < self.end + CHUNK {
            self.bytes.resize(self.end + CHUNK, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Takes over the bytes that were put into the room; whether there were any.
    fn take(&mut self, received: Option<usize>) -> bool {
        self.end += received.unwrap_or(0);
        received.is_some()
    }
}

/// Reads or writes; how many bytes, or `None` where it would block.
fn attempt(mut call: impl FnMut() -> io::Result<usize>) -> Result<Option<usize>, StreamError> {
    loop {
        match call() {
            Ok(0) => return Err(StreamError::Closed),
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
