//! One TLS session over bytes: records in, plaintext out, and the other way round.
//!
//! It uses the unbuffered form of the library: records are opened in the worker's buffers and sealed into them, so
//! that an idle session keeps its keys and no buffer.

use std::io::IoSlice;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

use super::CloseReason;
use crate::net::TcpStream;

/// Bytes of plaintext in a record at most (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// Bytes that a record adds to its plaintext at most: header, nonce, tag, content type. RFC 5246 section 6.2.3 allows
/// 2048 more, which a cipher of ours never needs.
const RECORD_OVERHEAD: usize = 5 + 256;

/// Bytes of a record that arrives, at most (RFC 5246 section 6.2.3): the most that is kept of one that is not complete.
/// A message of the handshake that does not fit either is none that a client of ours sends.
pub(super) const HELD_MAX: usize = 5 + RECORD + 2048;

/// Bytes of the buffer that records are sealed into: four of them leave with one call.
pub(super) const SEAL_BUFFER: usize = 4 * (RECORD + RECORD_OVERHEAD);

/// Bytes of the handshake and of alerts that may wait to be sent: a chain of certificates and more.
const UNSENT_MAX: usize = 128 * 1024;

/// Messages that the library has to send at a time, at most: the server's part of a handshake and an alert.
const MESSAGES_MAX: usize = 16;

/// A session. Costs, beside the library's part, what has arrived of a record and what is sealed and not sent.
pub(super) struct Tls {
    session: UnbufferedServerConnection,
    /// What has arrived of records, or of messages of the handshake, that are not complete. At most [`HELD_MAX`]. The
    /// library must be shown it on every call: it remembers how much of it it has read.
    held: Box<[u8]>,
    /// Whether [`Self::held`] is not what the library remembers, because what arrived could not be opened. It must not
    /// be asked for anything then.
    failed: bool,
    /// Records that the socket did not take yet. At most [`UNSENT_MAX`] and [`SEAL_BUFFER`].
    unsent: Vec<u8>,
    /// Whether the client was told that nothing more comes.
    farewell: bool,
}

/// What became of bytes that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Bytes of plaintext.
    pub(super) plain: usize,
    /// Whether the client has said that it sends no more.
    pub(super) ended: bool,
}

impl Tls {
    pub(super) fn new(config: &Arc<ServerConfig>) -> Result<Self, CloseReason> {
        let session = UnbufferedServerConnection::new(Arc::clone(config));
        Ok(Self {
            session: session.map_err(|_| CloseReason::Tls)?,
            held: Box::default(),
            failed: false,
            unsent: Vec::new(),
            farewell: false,
        })
    }

    /// Whether what arrives next may cost the work of a handshake. That is over with the key exchange: in TLS 1.3 the
    /// signature comes with it, in TLS 1.2 before it, and what is left is a few hashes.
    pub(super) fn may_cost(&self) -> bool {
        self.is_handshaking() && self.session.negotiated_key_exchange_group().is_none()
    }

    /// Whether records wait to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// What has arrived before and has to be put in front of what arrives next.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Opens the records of `raw`, which begins with what [`Self::held`] gave, into `plain`.
    pub(super) fn open(&mut self, raw: &mut [u8], plain: &mut [u8]) -> Result<Opened, CloseReason> {
        self.failed = true;
        let mut opened = Opened::default();
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut raw[used..]);
            used += discard;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(|_| CloseReason::Tls)?;
                        used += record.discard;
                        let room = plain.get_mut(opened.plain..).unwrap_or_default();
                        let room = room.get_mut(..record.payload.len());
                        room.ok_or(CloseReason::Tls)?
                            .copy_from_slice(record.payload);
                        opened.plain += record.payload.len();
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut self.unsent),
                // It is queued in its order, which is all that the library waits for.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => break,
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    opened.ended = true;
                    break;
                }
                // Early data is not offered.
                Ok(_) => return Err(CloseReason::Tls),
                Err(_) => {
                    self.queue_alerts(&mut raw[used..]);
                    return Err(CloseReason::Tls);
                }
            }
        }
        let rest = &raw[used..];
        if rest.len() > HELD_MAX || self.unsent.len() > UNSENT_MAX {
            return Err(CloseReason::Tls);
        }
        self.held = rest.into();
        self.failed = false;
        Ok(opened)
    }

    /// Seals and sends as much of `parts` as the socket takes, and at most `scratch` more; returns how many bytes of
    /// `parts` were sealed.
    pub(super) fn send(
        &mut self,
        socket: &TcpStream,
        parts: &[IoSlice<'_>],
        scratch: &mut [u8],
    ) -> Result<usize, CloseReason> {
        self.send_unsent(socket)?;
        if self.failed || self.has_unsent() || self.is_handshaking() {
            return Ok(0);
        }
        let mut sealed = 0;
        let mut filled = 0;
        for record in parts.iter().flat_map(|part| part.chunks(RECORD)) {
            if scratch.len() - filled < RECORD + RECORD_OVERHEAD {
                self.send_now(socket, &scratch[..filled])?;
                filled = 0;
                if self.has_unsent() {
                    return Ok(sealed);
                }
            }
            filled += self.seal(record, &mut scratch[filled..])?;
            sealed += record.len();
        }
        self.send_now(socket, &scratch[..filled])?;
        Ok(sealed)
    }

    /// Tells the client that nothing more comes (RFC 8446 section 6.1), as far as the socket takes it.
    pub(super) fn close(&mut self, socket: &TcpStream) {
        if !self.failed && !self.is_handshaking() && !self.farewell {
            self.farewell = true;
            let mut alert = [0; 256];
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.held);
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state
                && let Ok(len) = traffic.queue_close_notify(&mut alert)
            {
                self.unsent.extend_from_slice(&alert[..len]);
            }
        }
        // Best effort: the client learns the same from the end of the connection.
        let _ = self.send_unsent(socket);
    }

    fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Seals one record's worth of plaintext into `out`.
    fn seal(&mut self, record: &[u8], out: &mut [u8]) -> Result<usize, CloseReason> {
        // The library's own messages go first.
        let mut own = Vec::new();
        for _ in 0..MESSAGES_MAX {
            // Parts of a message of the handshake must be shown to the library on every call.
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.held);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let (head, rest) = out
                        .split_at_mut_checked(own.len())
                        .ok_or(CloseReason::Tls)?;
                    head.copy_from_slice(&own);
                    let sealed = traffic.encrypt(record, rest);
                    return Ok(own.len() + sealed.map_err(|_| CloseReason::Tls)?);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, &mut own),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => break,
            }
        }
        Err(CloseReason::Tls)
    }

    /// Sends records; keeps those that the socket does not take.
    fn send_now(&mut self, socket: &TcpStream, records: &[u8]) -> Result<(), CloseReason> {
        if records.is_empty() {
            return Ok(());
        }
        let sent = socket
            .send(&[IoSlice::new(records)])
            .map_err(|_| CloseReason::Broken)?;
        self.unsent.extend_from_slice(&records[sent..]);
        Ok(())
    }

    fn send_unsent(&mut self, socket: &TcpStream) -> Result<(), CloseReason> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let sent = socket
            .send(&[IoSlice::new(&self.unsent)])
            .map_err(|_| CloseReason::Broken)?;
        if sent == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Queues what the library has to say about an error: what it had begun to say, and then an alert. Behind the alert
    /// it is not asked again, because it would meet the error again.
    fn queue_alerts(&mut self, rest: &mut [u8]) {
        for _ in 0..MESSAGES_MAX {
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = state else {
                return;
            };
            let before = self.unsent.len();
            encode(&mut data, &mut self.unsent);
            if is_alert(&self.unsent[before..]) {
                return;
            }
        }
    }
}

/// Whether a record of our own is an alert. Under TLS 1.3 it is sealed, and shorter than any other sealed record: two
/// bytes, a content type and a tag (RFC 8446 sections 5.2 and 6).
const fn is_alert(record: &[u8]) -> bool {
    const SEALED_ALERT: usize = 5 + 2 + 1 + 16;
    matches!(
        (record, record.len()),
        ([21, ..], _) | ([23, ..], SEALED_ALERT)
    )
}

/// Appends a message of the library's own to `out`.
fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, out: &mut Vec<u8>) {
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else {
        return;
    };
    let at = out.len();
    out.resize(at + size.required_size, 0);
    let written = data.encode(&mut out[at..]).unwrap_or(0);
    out.truncate(at + written);
}
