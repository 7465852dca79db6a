//! Socket addresses as the kernel lays them out. No `unsafe`: bytes in, bytes out.

use std::mem::{offset_of, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// A `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(in crate::net) struct RawAddr {
    pub(super) bytes: [u8; SIZE],
    /// How many of the bytes count.
    pub(super) len: libc::socklen_t,
}

impl RawAddr {
    /// Room for any address of the two families.
    pub(in crate::net) const EMPTY: Self = Self {
        bytes: [0; SIZE],
        len: 0,
    };

    /// How many bytes the kernel may write.
    #[expect(clippy::cast_possible_truncation, reason = "28")]
    pub(super) const CAPACITY: libc::socklen_t = SIZE as libc::socklen_t;

    /// Encodes `addr`. The flow label is left zero: nothing about a packet is taken over from another.
    pub(in crate::net) fn new(addr: SocketAddr) -> Self {
        let mut raw = Self::EMPTY;
        raw.bytes[PORT..PORT + 2].copy_from_slice(&addr.port().to_be_bytes());
        match addr {
            SocketAddr::V4(v4) => {
                raw.bytes[..2].copy_from_slice(&FAMILY_V4.to_ne_bytes());
                raw.bytes[V4_IP..V4_IP + 4].copy_from_slice(&v4.ip().octets());
                raw.len = V4_LEN;
            }
            SocketAddr::V6(v6) => {
                raw.bytes[..2].copy_from_slice(&FAMILY_V6.to_ne_bytes());
                raw.bytes[V6_IP..V6_IP + 16].copy_from_slice(&v6.ip().octets());
                raw.bytes[V6_SCOPE..V6_SCOPE + 4].copy_from_slice(&v6.scope_id().to_ne_bytes());
                raw.len = V6_LEN;
            }
        }
        raw
    }

    /// Decodes the address; `None` where it is of neither family or cut short.
    pub(in crate::net) fn decode(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(self.field(PORT));
        match u16::from_ne_bytes(self.field(0)) {
            FAMILY_V4 if self.len >= V4_LEN => {
                let ip = Ipv4Addr::from(self.field::<4>(V4_IP));
                Some(SocketAddrV4::new(ip, port).into())
            }
            FAMILY_V6 if self.len >= V6_LEN => {
                let ip = Ipv6Addr::from(self.field::<16>(V6_IP));
                let scope = u32::from_ne_bytes(self.field(V6_SCOPE));
                Some(SocketAddrV6::new(ip, port, 0, scope).into())
            }
            _ => None,
        }
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.bytes[at + i])
    }
}

const SIZE: usize = size_of::<libc::sockaddr_in6>();
const PORT: usize = offset_of!(libc::sockaddr_in, sin_port);
const V4_IP: usize = offset_of!(libc::sockaddr_in, sin_addr);
const V6_IP: usize = offset_of!(libc::sockaddr_in6, sin6_addr);
const V6_SCOPE: usize = offset_of!(libc::sockaddr_in6, sin6_scope_id);

#[expect(clippy::cast_possible_truncation, reason = "2, 10, 16 and 28")]
const FAMILY_V4: u16 = libc::AF_INET as u16;
#[expect(clippy::cast_possible_truncation, reason = "2, 10, 16 and 28")]
const FAMILY_V6: u16 = libc::AF_INET6 as u16;
#[expect(clippy::cast_possible_truncation, reason = "2, 10, 16 and 28")]
const V4_LEN: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;
const V6_LEN: libc::socklen_t = RawAddr::CAPACITY;

const _: () = {
    assert!(SIZE == 28 && size_of::<libc::sockaddr_in>() == 16);
    assert!(size_of::<libc::sa_family_t>() == 2);
    assert!(offset_of!(libc::sockaddr_in, sin_family) == 0);
    assert!(offset_of!(libc::sockaddr_in6, sin6_family) == 0);
    assert!(offset_of!(libc::sockaddr_in6, sin6_port) == PORT);
    assert!(V6_IP + 16 <= SIZE && V6_SCOPE + 4 <= SIZE);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernel_layout() {
        for text in ["192.0.2.7:65535", "[2001:db8::1]:1", "0.0.0.0:0", "[::]:0"] {
            let addr: SocketAddr = text.parse().unwrap();

            assert_eq!(RawAddr::new(addr).decode(), Some(addr));
        }
    }

    #[test]
    fn the_scope_is_kept_and_the_flow_label_is_not() {
        let addr = SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0xabcde, 4);

        let decoded = RawAddr::new(addr.into()).decode();

        let expected = SocketAddrV6::new(*addr.ip(), 9, 0, 4);
        assert_eq!(decoded, Some(expected.into()));
    }

    #[test]
    fn the_layout_is_the_one_that_the_system_library_writes() {
        for text in ["192.0.2.7:443", "[2001:db8::1]:3478"] {
            let addr: SocketAddr = text.parse().unwrap();
            let theirs = socket2::SockAddr::from(addr);
            let ours = RawAddr::new(addr);

            assert_eq!(ours.len, theirs.len());
            assert_eq!(
                i32::from(u16::from_ne_bytes(ours.field(0))),
                i32::from(theirs.family())
            );
        }
    }

    #[test]
    fn a_short_or_foreign_address_is_none() {
        let mut short = RawAddr::new("192.0.2.7:443".parse().unwrap());
        short.len = 8;
        let mut unix = short;
        unix.len = 28;
        unix.bytes[..2].copy_from_slice(&1u16.to_ne_bytes());

        assert_eq!(short.decode(), None);
        assert_eq!(unix.decode(), None);
        assert_eq!(RawAddr::EMPTY.decode(), None);
    }
}
