//! What the network said about datagrams sent earlier.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use super::sys::{self, RawError};

/// An entry of a relay socket's error queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuedError {
    /// A router or the peer's host answered with an ICMP error.
    Icmp(IcmpError),
    /// This host refused to send: the datagram was not to be fragmented and does not fit the outgoing link.
    TooBig {
        /// Where it was going. The kernel does not tell the port, which is zero.
        peer: Peer,
        /// The largest IP packet that fits, in bytes.
        mtu: u32,
    },
}

/// An ICMP or ICMPv6 error. Who sent it is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Where the datagram was going, as the packet embedded in the ICMP message says.
    pub peer: Peer,
    /// The ICMP type, of the peer's address family.
    pub kind: u8,
    /// The ICMP code.
    pub code: u8,
    /// The next-hop MTU in bytes for ICMPv4 type 3 code 4 and ICMPv6 type 2; zero otherwise (RFC 8656 section 18.13).
    pub mtu: u32,
}

/// The address of a peer, which `Debug` does not print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<peer>")
    }
}

/// Takes the oldest error that means something to a relay; `None` where the queue holds no other.
pub(super) fn next_error(fd: BorrowedFd<'_>) -> Option<QueuedError> {
    for _ in 0..SKIPPED_MAX {
        match sys::pop_error(fd) {
            Ok(raw) => {
                if let Some(error) = raw.and_then(meaning) {
                    return Some(error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    None
}

/// Whether a call may have failed because of a datagram sent earlier: with an error queue, the kernel also reports an
/// ICMP error as the failure of whatever call comes next, which then has not happened and may be repeated.
pub(super) fn may_be_pending(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPROTO
                | libc::EACCES
                | libc::EMSGSIZE
        )
    )
}

fn meaning(raw: RawError) -> Option<QueuedError> {
    let peer = Peer(raw.peer);
    let carries_mtu = match raw.origin {
        libc::SO_EE_ORIGIN_LOCAL if raw.errno == libc::EMSGSIZE.cast_unsigned() => {
            return Some(QueuedError::TooBig {
                peer,
                mtu: raw.info,
            });
        }
        libc::SO_EE_ORIGIN_ICMP => (raw.kind, raw.code) == (3, 4),
        libc::SO_EE_ORIGIN_ICMP6 => raw.kind == 2,
        _ => return None,
    };
    Some(QueuedError::Icmp(IcmpError {
        peer,
        kind: raw.kind,
        code: raw.code,
        mtu: if carries_mtu { raw.info } else { 0 },
    }))
}

/// Entries without a meaning that one call steps over; a queue with more of them is reported ready again.
const SKIPPED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(origin: u8, kind: u8, code: u8) -> RawError {
        RawError {
            peer: "192.0.2.1:9".parse().unwrap(),
            origin,
            kind,
            code,
            errno: libc::ECONNREFUSED.cast_unsigned(),
            info: 1400,
        }
    }

    #[test]
    fn only_the_two_types_that_have_an_mtu_carry_it() {
        let cases = [
            (libc::SO_EE_ORIGIN_ICMP, 3, 4, 1400),
            (libc::SO_EE_ORIGIN_ICMP, 3, 3, 0),
            (libc::SO_EE_ORIGIN_ICMP, 12, 0, 0),
            (libc::SO_EE_ORIGIN_ICMP6, 2, 0, 1400),
            (libc::SO_EE_ORIGIN_ICMP6, 1, 4, 0),
            (libc::SO_EE_ORIGIN_ICMP6, 3, 4, 0),
        ];
        for (origin, kind, code, mtu) in cases {
            let expected = IcmpError {
                peer: Peer("192.0.2.1:9".parse().unwrap()),
                kind,
                code,
                mtu,
            };

            assert_eq!(
                meaning(raw(origin, kind, code)),
                Some(QueuedError::Icmp(expected))
            );
        }
    }

    #[test]
    fn other_origins_mean_nothing() {
        for origin in [libc::SO_EE_ORIGIN_NONE, libc::SO_EE_ORIGIN_TXSTATUS, 200] {
            assert_eq!(meaning(raw(origin, 3, 3)), None);
        }
        assert_eq!(meaning(raw(libc::SO_EE_ORIGIN_LOCAL, 0, 0)), None);
    }

    #[test]
    fn an_error_does_not_print_the_peer() {
        let error = meaning(raw(libc::SO_EE_ORIGIN_ICMP, 3, 3));

        assert!(!format!("{error:?}").contains("192.0.2.1"));
    }
}
