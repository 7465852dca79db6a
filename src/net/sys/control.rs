//! Control messages (`cmsg`): what travels beside a datagram. No `unsafe`: bytes in, bytes out.
//!
//! A control message is a header (its length with the header, a level, a type), the value, and padding to the size of
//! a machine word.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A buffer of `N` bytes for control messages.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(in crate::net) struct Control<const N: usize> {
    pub(super) bytes: [u8; N],
    /// How many of the bytes count.
    pub(super) len: usize,
}

impl<const N: usize> Control<N> {
    /// No control message.
    pub(in crate::net) const EMPTY: Self = Self {
        bytes: [0; N],
        len: 0,
    };

    /// Asks for `source` as the address that the datagram leaves from.
    pub(in crate::net) fn push_source(&mut self, source: IpAddr) {
        match source {
            IpAddr::V4(ip) => {
                let mut value = [0; size_of::<libc::in_pktinfo>()];
                value[PKTINFO_V4..PKTINFO_V4 + 4].copy_from_slice(&ip.octets());
                self.push((libc::IPPROTO_IP, libc::IP_PKTINFO), &value);
            }
            IpAddr::V6(ip) => {
                let mut value = [0; size_of::<libc::in6_pktinfo>()];
                value[PKTINFO_V6..PKTINFO_V6 + 16].copy_from_slice(&ip.octets());
                self.push((libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), &value);
            }
        }
    }

    /// Asks the kernel to cut the message into datagrams of `bytes` each.
    pub(in crate::net) fn push_segment_size(&mut self, bytes: u16) {
        self.push((libc::SOL_UDP, libc::UDP_SEGMENT), &bytes.to_ne_bytes());
    }

    /// What the kernel says of a received message: the address it was sent to and the size of its segments.
    pub(in crate::net) fn arrival(&self) -> Arrival {
        let mut arrival = Arrival::default();
        for (id, value) in self.messages() {
            match id {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    arrival.to = field::<4>(value, PKTINFO_V4).map(|ip| Ipv4Addr::from(ip).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    arrival.to = field::<16>(value, PKTINFO_V6).map(|ip| Ipv6Addr::from(ip).into());
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let size = field(value, 0).map_or(0, i32::from_ne_bytes);
                    arrival.segment = usize::try_from(size).unwrap_or(0);
                }
                _ => {}
            }
        }
        arrival
    }

    /// Every control message: its level and type, and its value.
    pub(in crate::net) fn messages(&self) -> impl Iterator<Item = ((i32, i32), &[u8])> {
        let mut rest = &self.bytes[..self.len.min(N)];
        std::iter::from_fn(move || {
            let len = field(rest, LEN).map(usize::from_ne_bytes)?;
            let level = field(rest, LEVEL).map(i32::from_ne_bytes)?;
            let kind = field(rest, KIND).map(i32::from_ne_bytes)?;
            let value = rest.get(HEADER..len)?;
            rest = rest.get(padded(len)..).unwrap_or_default();
            Some(((level, kind), value))
        })
    }

    /// Appends a control message.
    ///
    /// # Panics
    ///
    /// Where the buffer is too small: its size is a constant of the caller.
    pub(super) fn push(&mut self, (level, kind): (i32, i32), value: &[u8]) {
        let len = HEADER + value.len();
        let message = &mut self.bytes[self.len..self.len + padded(len)];
        message.fill(0);
        message[LEN..LEN + size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
        message[LEVEL..LEVEL + 4].copy_from_slice(&level.to_ne_bytes());
        message[KIND..KIND + 4].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..len].copy_from_slice(value);
        self.len += padded(len);
    }
}

/// What travels beside a received message.
#[derive(Default)]
pub(in crate::net) struct Arrival {
    /// The local address that the message was sent to, where the socket asked for it.
    pub(in crate::net) to: Option<IpAddr>,
    /// The bytes of each segment but the last, where the kernel merged several datagrams; 0 where it did not.
    pub(in crate::net) segment: usize,
}

/// The control buffer that one datagram needs at most: a source address and a segment size.
pub(in crate::net) const PACKET: usize =
    padded(HEADER + size_of::<libc::in6_pktinfo>()) + padded(HEADER + size_of::<libc::c_int>());

/// The `N` bytes at `at`, where there are as many.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

const fn padded(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

const HEADER: usize = padded(size_of::<libc::cmsghdr>());
const LEN: usize = offset_of!(libc::cmsghdr, cmsg_len);
const LEVEL: usize = offset_of!(libc::cmsghdr, cmsg_level);
const KIND: usize = offset_of!(libc::cmsghdr, cmsg_type);
/// The local address of the packet; for a broadcast, the address to answer from (ip(7)).
const PKTINFO_V4: usize = offset_of!(libc::in_pktinfo, ipi_spec_dst);
const PKTINFO_V6: usize = offset_of!(libc::in6_pktinfo, ipi6_addr);

const _: () = {
    assert!(LEN == 0 && LEVEL == size_of::<usize>() && KIND == LEVEL + 4);
    assert!(HEADER == KIND + 4);
    assert!(size_of::<libc::in_pktinfo>() == 12 && size_of::<libc::in6_pktinfo>() == 20);
    assert!(align_of::<Control<PACKET>>() >= align_of::<libc::cmsghdr>());
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_packet_fits() {
        let mut control = Control::<PACKET>::EMPTY;

        control.push_source(Ipv6Addr::LOCALHOST.into());
        control.push_segment_size(1200);

        assert_eq!(control.messages().count(), 2);
    }

    #[test]
    fn an_arrival_is_read_back() {
        let mut control = Control::<PACKET>::EMPTY;
        control.push_source(Ipv4Addr::new(127, 0, 0, 9).into());
        control.push((libc::SOL_UDP, libc::UDP_GRO), &1200i32.to_ne_bytes());

        let arrival = control.arrival();

        assert_eq!(arrival.to, Some(Ipv4Addr::new(127, 0, 0, 9).into()));
        assert_eq!(arrival.segment, 1200);
    }

    #[test]
    fn a_length_beyond_the_buffer_ends_the_list() {
        let mut control = Control::<PACKET>::EMPTY;
        control.push_segment_size(1200);
        control.bytes[LEN] = 200;

        assert_eq!(control.messages().count(), 0);
    }

    #[test]
    fn a_length_below_the_header_ends_the_list() {
        for len in 0..16 {
            let mut control = Control::<PACKET>::EMPTY;
            control.push_segment_size(1200);
            control.bytes[LEN] = len;

            assert_eq!(control.messages().count(), 0, "length {len}");
        }
    }
}
