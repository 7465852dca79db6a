//! Data between clients and peers: what the tests of it send, and what they make of what arrives.

use std::net::{IpAddr, SocketAddr};

use super::client::Client;
use super::world::{Outcome, World, addr, local};
use crate::relay::{FiveTuple, Transport};
use crate::time::Tick;
use crate::wire::{
    AdditionalAddressFamily, Attribute, AttributeType, ChannelData, Class, Data, Family, Icmp,
    Lifetime, Message, Method, RequestedAddressFamily, Writer, XorPeerAddress, XorRelayedAddress,
};

/// A peer somewhere on the internet.
pub(super) const PEER4: &str = "24.9.0.1:7000";

/// Another port of the same peer.
pub(super) const PEER4_NEXT: &str = "24.9.0.1:7001";

/// Another peer.
pub(super) const OTHER4: &str = "24.9.0.2:7000";

/// A peer on IPv6.
pub(super) const PEER6: &str = "[2600:9::1]:7000";

/// Lengths of datagrams, in bytes, at which something could go wrong: none, each padding, the usual limits of a path,
/// and the largest datagram of IPv4.
pub(super) const SIZES: [usize; 9] = [0, 1, 2, 3, 4, 1200, 1472, 8972, 65_507];

/// What a client makes of a message with data in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Data of the peer that the channel is bound to.
    OnChannel(u16, Vec<u8>),
    /// Data of the peer that is named.
    Indicated(SocketAddr, Vec<u8>),
    /// The value of the ICMP attribute about the peer that is named.
    Icmp(SocketAddr, [u8; 8]),
}

/// Who is sent a message, and what it says. Its form is checked to the last byte, padding included.
#[track_caller]
pub(super) fn heard(outcome: Outcome) -> (FiveTuple, Heard) {
    let Outcome::ToClient { to, bytes } = outcome else {
        panic!("no client hears anything: {outcome:?}")
    };
    let heard = match ChannelData::parse(&bytes) {
        Ok(frame) => {
            let padded = match to.transport() {
                Transport::Udp | Transport::Dtls => frame.payload.len(),
                Transport::Tcp | Transport::Tls => frame.payload.len().next_multiple_of(4),
            };
            assert_eq!(bytes.len(), 4 + padded, "header, data and padding");
            let padding = &bytes[4 + frame.payload.len()..];
            assert!(padding.iter().all(|byte| *byte == 0), "padding is zero");
            Heard::OnChannel(frame.channel.number(), frame.payload.to_vec())
        }
        Err(_) => read_indication(&bytes),
    };
    (to, heard)
}

/// A Data indication has a peer, data or an ICMP error, and nothing else (RFC 8656 sections 11.3 and 11.5).
#[track_caller]
fn read_indication(bytes: &[u8]) -> Heard {
    let message = Message::parse(bytes).expect("a well-formed message");
    let XorPeerAddress(peer) = message.get().unwrap().expect("a peer");
    let data: Option<Data<'_>> = message.get().unwrap();
    let mut buf = vec![0; bytes.len()];
    let mut writer = Writer::new(
        &mut buf,
        Class::Indication,
        Method::DATA,
        message.transaction_id(),
    )
    .unwrap();
    writer.put(&XorPeerAddress(peer)).unwrap();
    let heard = match data {
        Some(data) => {
            writer.put(&data).expect("nothing but peer and data");
            Heard::Indicated(peer, data.0.to_vec())
        }
        None => {
            let icmp: Icmp = message.get().unwrap().expect("an ICMP error");
            writer.put(&icmp).expect("nothing but peer and error");
            let value = message.raw(AttributeType::ICMP).unwrap();
            Heard::Icmp(peer, value.try_into().expect("eight bytes"))
        }
    };
    let len = writer.finish();
    assert_eq!(bytes, &buf[..len], "what was not expected is not there");
    heard
}

/// What `client` alone hears.
#[track_caller]
pub(super) fn heard_by(client: &Client, outcome: Outcome) -> Heard {
    let (to, heard) = heard(outcome);
    assert_eq!(to, client.at, "another client hears it");
    heard
}

/// A peer sends to a relayed address from `from`, as the relay socket sees it.
#[track_caller]
pub(super) fn peer_sends(
    world: &mut World,
    from: &str,
    relayed: SocketAddr,
    data: &[u8],
) -> Outcome {
    world
        .arrive(local(relayed), addr(from), data)
        .expect("an open relay socket")
}

/// Carries what left one relay socket to the other, as the kernel would.
#[track_caller]
pub(super) fn carry(world: &mut World, sent: Outcome) -> Outcome {
    let Outcome::ToPeer { from, to, data, .. } = sent else {
        panic!("not on its way to a peer: {sent:?}")
    };
    world.arrive(to, from, &data).expect("a relay socket there")
}

/// What a peer is sent, where it is sent without a wish about fragments.
pub(super) fn to_peer(relayed: SocketAddr, peer: &str, data: &[u8]) -> Outcome {
    Outcome::ToPeer {
        from: local(relayed),
        to: addr(peer),
        data: data.to_vec(),
        dont_fragment: false,
    }
}

/// A world with one client that holds an IPv4 relayed address for an hour.
pub(super) fn caller() -> (World, Client, SocketAddr) {
    let mut world = World::new();
    let mut client = world.client("alice");
    let relayed = for_an_hour(&mut world, &mut client, |_| ());
    (world, client, relayed)
}

/// As [`caller`], with a relayed address of each family.
pub(super) fn dual_caller() -> (World, Client, [SocketAddr; 2]) {
    let mut world = World::new();
    let mut client = world.client("alice");
    let relayed = both_for_an_hour(&mut world, &mut client);
    (world, client, relayed)
}

/// Allocates for the longest time there is; the first relayed address.
#[track_caller]
pub(super) fn for_an_hour(
    world: &mut World,
    client: &mut Client,
    fill: impl FnOnce(&mut Writer<'_>),
) -> SocketAddr {
    let answer = client.try_allocate(world, |writer| {
        writer.put(&Lifetime(3600)).unwrap();
        fill(writer);
    });
    answer.relayed()
}

/// Asks for an IPv6 relayed address.
pub(super) fn on_ipv6(writer: &mut Writer<'_>) {
    writer.put(&RequestedAddressFamily(Family::V6)).unwrap();
}

/// Allocates one relayed address of each family, IPv4 first.
#[track_caller]
pub(super) fn both_for_an_hour(world: &mut World, client: &mut Client) -> [SocketAddr; 2] {
    let answer = client.try_allocate(world, |writer| {
        writer.put(&Lifetime(3600)).unwrap();
        writer.put(&AdditionalAddressFamily(Family::V6)).unwrap();
    });
    assert_eq!(answer.code, 0);
    let message = answer.message();
    let relayed: Vec<SocketAddr> = message
        .attributes()
        .filter(|(kind, _)| *kind == AttributeType::XOR_RELAYED_ADDRESS)
        .map(|(_, value)| {
            XorRelayedAddress::decode(value, message.transaction_id())
                .unwrap()
                .0
        })
        .collect();
    relayed.try_into().expect("two relayed addresses")
}

/// All that an allocation may do and until when, so that two moments can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    relayed: Vec<(SocketAddr, Tick)>,
    permissions: Vec<(IpAddr, Tick)>,
    channels: Vec<(u16, SocketAddr, Tick)>,
}

#[track_caller]
pub(super) fn state(world: &World, client: &Client) -> State {
    let table = &world.relays[client.worker].table;
    let id = table.id_of(&client.at).expect("an allocation");
    let allocation = table.get(id).unwrap();
    State {
        relayed: allocation
            .grants
            .relayed
            .iter()
            .map(|relayed| (relayed.address, relayed.expires))
            .collect(),
        permissions: allocation
            .grants
            .permissions
            .iter()
            .map(|(peer, permission)| (*peer, permission.expires))
            .collect(),
        channels: allocation
            .grants
            .channels
            .iter()
            .map(|(number, channel)| (number.number(), channel.peer.reveal(), channel.expires))
            .collect(),
    }
}
