//! What stands in a packet.

use std::net::SocketAddr;

use super::{Fault, Port, Wanted};
use crate::relay::tests::client::channel_data;
use crate::wire::{
    AdditionalAddressFamily, AttributeType, Encode, EvenPort, Family, Lifetime, RawAttribute,
    RequestedAddressFamily, RequestedTransport, ReservationToken, Writer, XorPeerAddress,
};

pub(super) fn write_allocate(
    writer: &mut Writer<'_>,
    wanted: Wanted,
    token: [u8; 8],
    lifetime: Option<u32>,
) {
    let even = |port| match port {
        Port::Any => None,
        Port::Even => Some(EvenPort { reserve: false }),
        Port::EvenWithNext => Some(EvenPort { reserve: true }),
    };
    let transport = match wanted {
        Wanted::Nothing(Fault::NoTransport) => None,
        Wanted::Nothing(Fault::Tcp) => Some(6),
        Wanted::One(..) | Wanted::Both(_) | Wanted::Reserved(_) | Wanted::Nothing(_) => Some(17),
    };
    put_some(writer, transport.map(RequestedTransport));
    put_some(writer, lifetime.map(Lifetime));
    match wanted {
        Wanted::One(family, port) => {
            put_some(writer, family.map(RequestedAddressFamily));
            put_some(writer, even(port));
        }
        Wanted::Both(port) => {
            put_some(writer, even(port));
            put_some(writer, Some(AdditionalAddressFamily(Family::V6)));
        }
        Wanted::Reserved(_) => put_some(writer, Some(ReservationToken(token))),
        Wanted::Nothing(Fault::UnknownAttribute) => put_some(
            writer,
            Some(RawAttribute {
                kind: AttributeType(0x7FFF),
                value: &[],
            }),
        ),
        Wanted::Nothing(Fault::Contradiction) => {
            put_some(writer, Some(RequestedAddressFamily(Family::V4)));
            put_some(writer, Some(ReservationToken(token)));
        }
        Wanted::Nothing(Fault::NoTransport | Fault::Tcp) => {}
    }
}

pub(super) fn write_bind(writer: &mut Writer<'_>, number: u16, peer: SocketAddr) {
    let [high, low] = number.to_be_bytes();
    put_some(
        writer,
        Some(RawAttribute {
            kind: AttributeType::CHANNEL_NUMBER,
            value: &[high, low, 0, 0],
        }),
    );
    put_some(writer, Some(XorPeerAddress(peer)));
}

pub(super) fn put_some(writer: &mut Writer<'_>, attribute: Option<impl Encode>) {
    if let Some(attribute) = attribute {
        writer.put(&attribute).expect("room in a large buffer");
    }
}

/// ChannelData with any number.
pub(super) fn frame(number: u16, data: &[u8]) -> Vec<u8> {
    let mut frame = channel_data(0x4000, data);
    frame[..2].copy_from_slice(&number.to_be_bytes());
    frame
}
