//! What comes of an operation, in words that the relay and its shadow can be compared in.

use std::net::SocketAddr;

use crate::relay::tests::client::Answer;
use crate::relay::tests::world::Outcome;
use crate::relay::{DropReason, FiveTuple, Transport};
use crate::wire::{
    AddressErrorCode, Attribute, AttributeType, ChannelData, Class, Data, Family, Icmp, Lifetime,
    Message, Method, Nonce, ReservationToken, UnknownAttributes, XorMappedAddress, XorPeerAddress,
    XorRelayedAddress,
};

/// What comes of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Reply(Reply),
    /// Data on its way to a peer, between addresses as the relay sockets know them.
    ToPeer {
        from: SocketAddr,
        to: SocketAddr,
        data: Vec<u8>,
        dont_fragment: bool,
    },
    /// Data for a client.
    ToClient {
        to: FiveTuple,
        form: Form,
        data: Vec<u8>,
    },
    /// An ICMP error for a client.
    IcmpToClient {
        to: FiveTuple,
        peer: SocketAddr,
        kind: u8,
        code: u8,
        data: [u8; 4],
    },
    Dropped(DropReason),
}

/// How data comes to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Channel(u16),
    Indication(SocketAddr),
}

/// All that an answer says, but for its transaction and its protection, which [`Answer::of`] checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The error code; 0 for success.
    pub(super) code: u16,
    pub(super) relayed: Vec<SocketAddr>,
    pub(super) lifetime: Option<u32>,
    pub(super) token: Option<[u8; 8]>,
    /// The family that could not be had, and why.
    pub(super) failed: Option<(Family, u16)>,
    pub(super) mapped: Option<SocketAddr>,
    pub(super) challenge: bool,
    pub(super) unknown: bool,
}

impl Reply {
    pub(super) fn refusal(code: u16) -> Self {
        Self {
            code,
            challenge: matches!(code, 401 | 438),
            unknown: code == 420,
            ..Self::default()
        }
    }

    pub(super) fn read(answer: &Answer) -> Self {
        let message = answer.message();
        let all = |wanted: AttributeType| {
            message
                .attributes()
                .filter(move |(kind, _)| *kind == wanted)
                .map(|(_, value)| value)
        };
        Self {
            code: answer.code,
            relayed: all(AttributeType::XOR_RELAYED_ADDRESS)
                .map(|value| {
                    let relayed = XorRelayedAddress::decode(value, message.transaction_id());
                    relayed.expect("an address").0
                })
                .collect(),
            lifetime: one(&message).map(|Lifetime(seconds)| seconds),
            token: one(&message).map(|ReservationToken(token)| token),
            failed: one(&message).map(|error: AddressErrorCode<'_>| (error.family, error.code)),
            mapped: one(&message).map(|XorMappedAddress(mapped)| mapped),
            challenge: one::<Nonce<'_>>(&message).is_some(),
            unknown: one::<UnknownAttributes>(&message).is_some(),
        }
    }
}

impl Seen {
    /// Reads what is not a reply.
    pub(super) fn read(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Reply(bytes) => panic!("nobody asked for the reply {bytes:?}"),
            Outcome::ToPeer {
                from,
                to,
                data,
                dont_fragment,
            } => Self::ToPeer {
                from,
                to,
                data,
                dont_fragment,
            },
            Outcome::ToClient { to, bytes } => match ChannelData::parse(&bytes) {
                Ok(frame) => Self::on_channel(to, &frame, &bytes),
                Err(_) => Self::in_indication(to, &bytes),
            },
            Outcome::Dropped(reason) => Self::Dropped(reason),
            other @ (Outcome::Later | Outcome::Splice { .. } | Outcome::HandOver(_)) => {
                panic!("{other:?} without TCP relays")
            }
        }
    }

    /// Reads ChannelData; on a stream it is padded with zeros, in a datagram it is not.
    fn on_channel(to: FiveTuple, frame: &ChannelData<'_>, bytes: &[u8]) -> Self {
        let len = frame.payload.len();
        let padded = match to.transport() {
            Transport::Udp | Transport::Dtls => len,
            Transport::Tcp | Transport::Tls => len.next_multiple_of(4),
        };
        assert_eq!(bytes.len(), ChannelData::HEADER_LEN + padded, "padding");
        let padding = bytes.iter().skip(ChannelData::HEADER_LEN + len);
        assert!(padding.into_iter().all(|byte| *byte == 0), "zero padding");
        Self::ToClient {
            to,
            form: Form::Channel(frame.channel.number()),
            data: frame.payload.to_vec(),
        }
    }

    /// Reads a Data indication, which holds the peer and data or the peer and an ICMP error, and nothing else.
    fn in_indication(to: FiveTuple, bytes: &[u8]) -> Self {
        let message = Message::parse(bytes).expect("a well-formed message");
        assert_eq!(
            (message.class(), message.method()),
            (Class::Indication, Method::DATA)
        );
        assert_eq!(message.attributes().count(), 2);
        let XorPeerAddress(peer) = one(&message).expect("the peer");
        match (one(&message), one(&message)) {
            (Some(Data(data)), None) => Self::ToClient {
                to,
                form: Form::Indication(peer),
                data: data.to_vec(),
            },
            (None, Some(Icmp { kind, code, data })) => Self::IcmpToClient {
                to,
                peer,
                kind,
                code,
                data,
            },
            other => panic!("an indication of {}", other.0.is_some()),
        }
    }
}

/// An attribute, where the message has it; it must be well-formed.
fn one<'a, A: Attribute<'a>>(message: &Message<'a>) -> Option<A> {
    message.get().expect("a well-formed attribute")
}
