//! `recvmmsg`: many datagrams in one call.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::addr::RawAddr;
use super::control::{Arrival, Control, PACKET};
use super::{MAX_MESSAGES, checked, control_len};

/// Where the kernel writes what it has to say about one message.
#[derive(Clone)]
pub(in crate::net) struct Landing {
    from: RawAddr,
    control: Control<PACKET>,
    len: usize,
    flags: i32,
}

impl Landing {
    /// Nothing.
    pub(in crate::net) const EMPTY: Self = Self {
        from: RawAddr::EMPTY,
        control: Control::EMPTY,
        len: 0,
        flags: 0,
    };

    /// Who sent the message.
    pub(in crate::net) fn from(&self) -> Option<SocketAddr> {
        self.from.decode()
    }

    /// What travelled beside the message.
    pub(in crate::net) fn arrival(&self) -> Arrival {
        self.control.arrival()
    }

    /// Everything that travelled beside the message.
    #[cfg(test)]
    pub(in crate::net) fn messages(&self) -> impl Iterator<Item = ((i32, i32), &[u8])> {
        self.control.messages()
    }

    /// The bytes of the message.
    pub(in crate::net) const fn len(&self) -> usize {
        self.len
    }

    /// Whether a part of the message, or of what travelled beside it, is lost.
    pub(in crate::net) const fn is_truncated(&self) -> bool {
        self.flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0
    }
}

/// Receives into as many `buffers` as have a landing, at most [`MAX_MESSAGES`]; returns how many messages came.
pub(in crate::net) fn recv_many<'b>(
    fd: BorrowedFd<'_>,
    buffers: impl Iterator<Item = &'b mut [u8]>,
    landings: &mut [Landing],
) -> io::Result<usize> {
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; MAX_MESSAGES];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_MESSAGES];
    let mut count = 0;
    for (((buffer, landing), part), header) in buffers
        .zip(&mut *landings)
        .zip(&mut parts)
        .zip(&mut headers)
    {
        let part = part.write(libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        });
        header.write(prepare(part, landing));
        count += 1;
    }
    let room = libc::c_uint::try_from(count).expect("at most 64");
    // SAFETY: the first `count` headers are initialised. Their pointers are to parts, landings and buffers, all of
    // which are borrowed mutably until this function returns, and carry the sizes of what they point to.
    let received = checked(unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            room,
            0,
            ptr::null_mut(),
        )
    })?;
    for (landing, header) in landings.iter_mut().zip(&headers[..received]) {
        // SAFETY: `received` is at most `count`, and that many headers are initialised.
        let header = unsafe { header.assume_init_ref() };
        landing.len = header.msg_len as usize;
        landing.flags = header.msg_hdr.msg_flags;
        landing.from.len = header.msg_hdr.msg_namelen;
        landing.control.len = control_len(&header.msg_hdr);
    }
    Ok(received)
}

fn prepare(part: &mut libc::iovec, landing: &mut Landing) -> libc::mmsghdr {
    // SAFETY: all fields of `mmsghdr` are integers or pointers, for which zero is a valid value.
    let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_hdr.msg_name = ptr::from_mut(&mut landing.from.bytes).cast();
    header.msg_hdr.msg_namelen = RawAddr::CAPACITY;
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_control = ptr::from_mut(&mut landing.control.bytes).cast();
    header.msg_hdr.msg_controllen = PACKET as _;
    header
}
