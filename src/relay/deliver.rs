//! The last step of a datagram on its way to a client: the client's rate, the header in front of the payload (RFC 8656
//! sections 11.3 and 12.7), the count.

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;

use super::inlet::Inlet;
use super::{DropReason, FiveTuple, MAX_DATAGRAM, Packet, Span, Transport, Verdict};
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::{
    ChannelData, ChannelNumber, TransactionId, write_channel_header, write_data_indication,
};

/// How a datagram reaches a client.
#[derive(Clone, Copy)]
pub(super) struct Delivery {
    pub(super) to: FiveTuple,
    pub(super) form: Form,
}

/// What a datagram is wrapped in.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// ChannelData of the channel to the peer.
    Channel(ChannelNumber),
    /// A Data indication that names the peer.
    Indication(Masked<SocketAddr>),
}

impl Delivery {
    /// Delivers the application data at `data` in the packet's buffer, which is not moved: headers are written in front
    /// of it, and padding behind it.
    pub(super) fn deliver(
        &self,
        inlet: &Inlet,
        now: Tick,
        (packet, data): (&mut Packet<'_>, Span),
        ids: &mut impl Rng,
    ) -> Result<Verdict, DropReason> {
        let to = self.to;
        if !inlet.admit(now, data.len()) {
            return Err(DropReason::OverRate);
        }
        let span = match self.form {
            Form::Channel(number) => wrap_in_channel(packet, data, number, &to),
            Form::Indication(peer) => {
                let id = TransactionId(random_id(ids));
                wrap_in_indication(packet, data, peer.reveal(), id)
            }
        };
        let span = span
            .filter(|span| to.transport().is_stream() || span.len() <= MAX_DATAGRAM)
            .ok_or(DropReason::TooLarge)?;
        inlet.count(data.len());
        Ok(Verdict::ToClient { to, span })
    }
}

/// A transaction id of an indication.
pub(super) fn random_id(ids: &mut impl Rng) -> [u8; 12] {
    let mut id = [0; 12];
    ids.fill_bytes(&mut id);
    id
}

/// Writes the ChannelData header in front of the data, and on a stream the padding behind it (RFC 8656 section 12.5).
/// Data that came as ChannelData has its header where the old one was.
fn wrap_in_channel(
    packet: &mut Packet<'_>,
    data: Span,
    number: ChannelNumber,
    client: &FiveTuple,
) -> Option<Span> {
    let start = data.start.checked_sub(ChannelData::HEADER_LEN)?;
    let len = u16::try_from(data.len()).ok()?;
    let buf = packet.buffer();
    write_channel_header(
        buf.get_mut(start..data.start)?.try_into().ok()?,
        number,
        len,
    );
    let end = match client.transport() {
        Transport::Udp | Transport::Dtls => data.end,
        Transport::Tcp | Transport::Tls => data.start + data.len().next_multiple_of(4),
    };
    buf.get_mut(data.end..end)?.fill(0);
    Some(Span { start, end })
}

/// Writes the header of a Data indication in front of the data (RFC 8656 section 11.3).
fn wrap_in_indication(
    packet: &mut Packet<'_>,
    data: Span,
    peer: SocketAddr,
    id: TransactionId,
) -> Option<Span> {
    let range = write_data_indication(packet.buffer(), data.range(), peer, id)?;
    Some(Span {
        start: range.start,
        end: range.end,
    })
}
