//! Looks for an address in everything that a party receives, in every form that the protocol could carry it.

use std::net::{IpAddr, SocketAddr};

/// The magic cookie, which the protocol XORs addresses with (RFC 8489 section 14.2).
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// Watches for one IPv4 address.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// The bytes to look for: as they are, XORed with the cookie, as text.
    forms: Vec<Vec<u8>>,
    /// The address as it is.
    octets: Option<[u8; 4]>,
    /// Bytes looked through.
    pub(super) bytes: u64,
    /// Datagrams that held the address.
    pub(super) leaks: u32,
}

impl Watch {
    /// Watches for the IP address of `address`, whatever the port.
    pub(super) fn for_address(address: SocketAddr) -> Self {
        let IpAddr::V4(ip) = address.ip() else {
            unreachable!("the parties are on IPv4 loopback addresses");
        };
        let octets = ip.octets();
        Self {
            forms: vec![
                octets.to_vec(),
                xor(octets, COOKIE).to_vec(),
                ip.to_string().into_bytes(),
            ],
            octets: Some(octets),
            ..Self::default()
        }
    }

    /// Looks through a datagram.
    pub(super) fn look(&mut self, datagram: &[u8]) {
        self.bytes += datagram.len() as u64;
        // Written as an IPv6 address, its end is XORed with the end of the transaction id.
        let mapped = self
            .octets
            .zip(transaction_end(datagram))
            .map(|(octets, end)| xor(octets, end));
        let holds = |form: &[u8]| datagram.windows(form.len()).any(|bytes| bytes == form);
        if self.forms.iter().any(|form| holds(form)) || mapped.is_some_and(|form| holds(&form)) {
            self.leaks += 1;
        }
    }
}

/// The end of the transaction id, where the datagram is a STUN message.
fn transaction_end(datagram: &[u8]) -> Option<[u8; 4]> {
    let header = datagram.first_chunk::<20>()?;
    (header[4..8] == COOKIE).then(|| [header[16], header[17], header[18], header[19]])
}

fn xor(a: [u8; 4], b: [u8; 4]) -> [u8; 4] {
    (u32::from_ne_bytes(a) ^ u32::from_ne_bytes(b)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        Class, Encode, MappedAddress, Method, Software, TransactionId, Writer, XorMappedAddress,
    };

    #[test]
    fn every_form_of_the_address_is_found() {
        let v4 = "127.0.0.3:5000".parse().unwrap();
        let v6 = "[::ffff:127.0.0.3]:5000".parse().unwrap();
        let attributes: [&dyn Encode; 5] = [
            &MappedAddress(v4),
            &XorMappedAddress(v4),
            &MappedAddress(v6),
            &XorMappedAddress(v6),
            &Software("relay for 127.0.0.3 and others"),
        ];
        for attribute in attributes {
            let mut watch = Watch::for_address("127.0.0.3:1".parse().unwrap());
            watch.look(&message(attribute));
            assert_eq!(watch.leaks, 1, "{:?}", attribute.attribute_type());
        }
    }

    #[test]
    fn other_addresses_are_none() {
        let mut watch = Watch::for_address("127.0.0.3:1".parse().unwrap());
        let datagram = message(&XorMappedAddress("127.0.0.2:5000".parse().unwrap()));

        watch.look(&datagram);
        watch.look(b"");

        assert_eq!((watch.leaks, watch.bytes), (0, datagram.len() as u64));
    }

    fn message(attribute: &dyn Encode) -> Vec<u8> {
        let mut buf = vec![0; 128];
        let id = TransactionId([0x5A; 12]);
        let mut writer = Writer::new(&mut buf, Class::Success, Method::BINDING, id).unwrap();
        writer.put(attribute).unwrap();
        let len = writer.finish();
        buf.truncate(len);
        buf
    }
}
