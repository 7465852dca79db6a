//! The error queue of a socket (`MSG_ERRQUEUE`): ICMP errors with the address they are about.

use std::io;
use std::mem::{MaybeUninit, offset_of, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::addr::RawAddr;
use super::control::{Control, field};
use super::control_len;

/// One entry of an error queue. Where the ICMP message came from is not among its fields: nobody is to learn it.
pub(in crate::net) struct RawError {
    /// Where the datagram was going.
    pub(in crate::net) peer: SocketAddr,
    /// One of `SO_EE_ORIGIN_*`.
    pub(in crate::net) origin: u8,
    /// The ICMP type.
    pub(in crate::net) kind: u8,
    /// The ICMP code.
    pub(in crate::net) code: u8,
    /// The errno it stands for.
    pub(in crate::net) errno: u32,
    /// Depends on origin and type: a next-hop MTU, for one.
    pub(in crate::net) info: u32,
}

/// Takes the oldest entry out of the error queue. `None` where the entry has no form we know; an empty queue is
/// [`io::ErrorKind::WouldBlock`].
pub(in crate::net) fn pop_error(fd: BorrowedFd<'_>) -> io::Result<Option<RawError>> {
    let mut peer = RawAddr::EMPTY;
    let mut control = Control::<SPACE>::EMPTY;
    let mut payload = [0u8; 1];
    let mut part = libc::iovec {
        iov_base: payload.as_mut_ptr().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: all fields of `msghdr` are integers or pointers, for which zero is a valid value.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_name = ptr::from_mut(&mut peer.bytes).cast();
    header.msg_namelen = RawAddr::CAPACITY;
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    header.msg_control = ptr::from_mut(&mut control.bytes).cast();
    header.msg_controllen = SPACE as _;

    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: `fd` is open; every pointer in `header` is to a local of the stated size that outlives the call.
    let returned = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header, flags) };
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    peer.len = header.msg_namelen;
    control.len = control_len(&header);
    Ok(parse(&peer, &control))
}

fn parse(peer: &RawAddr, control: &Control<SPACE>) -> Option<RawError> {
    let (_, value) = control.messages().find(|(id, _)| {
        matches!(
            *id,
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        )
    })?;
    let byte = |at: usize| value.get(at).copied();
    let word = |at: usize| field(value, at).map(u32::from_ne_bytes);
    Some(RawError {
        peer: peer.decode()?,
        origin: byte(offset_of!(libc::sock_extended_err, ee_origin))?,
        kind: byte(offset_of!(libc::sock_extended_err, ee_type))?,
        code: byte(offset_of!(libc::sock_extended_err, ee_code))?,
        errno: word(offset_of!(libc::sock_extended_err, ee_errno))?,
        info: word(offset_of!(libc::sock_extended_err, ee_info))?,
    })
}

/// Room for the error, the offender's address and whatever else a socket may have asked for.
const SPACE: usize = 256;

const _: () = assert!(size_of::<libc::sock_extended_err>() == 16);
