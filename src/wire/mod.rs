//! The STUN and ChannelData codec (RFC 8489, RFC 8656). Pure.
//!
//! Reading borrows: a [`Message`] or [`ChannelData`] is a checked view of the datagram, and a typed attribute points
//! into it. Writing goes into the caller's slice: a [`Writer`] for whole messages, [`write_data_indication`] and
//! [`write_channel_header`] for the headers that relaying puts in front of a payload where it lies. Nothing allocates,
//! nothing panics on what the network brings, and a view never shows what an attacker could have added to an
//! authenticated message: attributes that the integrity check does not cover are invisible.
//!
//! What a message means (methods, credentials, nonces) is decided above.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod attribute;
mod attribute_type;
mod channel_data;
mod data_indication;
mod demux;
mod frame;
mod header;
mod integrity;
mod message;
mod trailer;
mod walk;
mod writer;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod vectors;

pub use attribute::{
    AdditionalAddressFamily, AddressErrorCode, AlternateDomain, AlternateServer, Attribute,
    AttributeError, ChannelNumberAttribute, ConnectionId, Data, DontFragment, Encode, ErrorCode,
    EvenPort, Family, Icmp, Lifetime, MAX_UNKNOWN, MappedAddress, Nonce, PasswordAlgorithm,
    PasswordAlgorithms, RawAttribute, Realm, RequestedAddressFamily, RequestedTransport,
    ReservationToken, Software, UnknownAttributes, UserHash, Username, XorMappedAddress,
    XorPeerAddress, XorRelayedAddress,
};
pub use attribute_type::AttributeType;
pub use channel_data::{ChannelData, ChannelNumber, write_channel_header};
pub use data_indication::{data_indication_overhead, write_data_indication};
pub use demux::Demux;
pub use frame::{FrameError, MAX_FRAME, frame_len};
pub use header::{Class, Method, TransactionId};
pub use integrity::{Hash, HmacKey};
pub use message::{Fingerprint, Integrity, Message, ParseError};
pub use writer::{BufferFull, Value, Writer};
