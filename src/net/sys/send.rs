//! `sendmmsg`: many datagrams in one call, each gathered from several places.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::addr::RawAddr;
use super::control::{Control, PACKET};
use super::{MAX_MESSAGES, checked};

/// One message to send: where to, and how many parts of the list it takes.
pub(in crate::net) struct Outgoing {
    to: RawAddr,
    control: Control<PACKET>,
    parts: usize,
}

impl Outgoing {
    /// A message to `to`, without parts.
    pub(in crate::net) fn new(to: SocketAddr) -> Self {
        Self {
            to: RawAddr::new(to),
            control: Control::EMPTY,
            parts: 0,
        }
    }

    /// Sets the address that the message leaves from.
    pub(in crate::net) fn set_source(&mut self, source: IpAddr) {
        self.control.push_source(source);
    }

    /// Has the kernel cut the message into datagrams of `bytes` each.
    pub(in crate::net) fn set_segment_size(&mut self, bytes: u16) {
        self.control.push_segment_size(bytes);
    }

    /// How many parts make up the message.
    pub(in crate::net) const fn parts(&self) -> usize {
        self.parts
    }

    /// Sets how many parts make up the message.
    pub(in crate::net) const fn set_parts(&mut self, parts: usize) {
        self.parts = parts;
    }
}

/// The parts of the messages of one call, in order. Lives on the stack and costs nothing until filled.
pub(in crate::net) struct Parts<'a> {
    slices: [MaybeUninit<IoSlice<'a>>; MAX_PARTS],
    /// How many slices are initialised.
    len: usize,
}

impl<'a> Parts<'a> {
    /// An empty list.
    pub(in crate::net) const fn new() -> Self {
        Self {
            slices: [const { MaybeUninit::uninit() }; MAX_PARTS],
            len: 0,
        }
    }

    /// Empties the list.
    pub(in crate::net) const fn clear(&mut self) {
        self.len = 0;
    }

    /// How many parts are in the list.
    pub(in crate::net) const fn len(&self) -> usize {
        self.len
    }

    /// How many more parts there is room for.
    pub(in crate::net) const fn room(&self) -> usize {
        MAX_PARTS - self.len
    }

    /// Appends a part.
    ///
    /// # Panics
    ///
    /// Where there is no room.
    pub(in crate::net) fn push(&mut self, bytes: &'a [u8]) {
        self.slices[self.len].write(IoSlice::new(bytes));
        self.len += 1;
    }

    fn as_slice(&self) -> &[IoSlice<'a>] {
        // SAFETY: the first `len` slices are initialised, and `MaybeUninit<T>` is laid out as `T`.
        unsafe { std::slice::from_raw_parts(self.slices.as_ptr().cast(), self.len) }
    }
}

/// Sends the messages, at most [`MAX_MESSAGES`], whose parts begin at `first_part`; returns how many of them, counted
/// from the first, were sent. An error is that of the first message.
///
/// # Panics
///
/// Where the messages take more parts than there are.
pub(in crate::net) fn send_many(
    fd: BorrowedFd<'_>,
    messages: &[Outgoing],
    parts: &Parts<'_>,
    first_part: usize,
) -> io::Result<usize> {
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MAX_MESSAGES];
    let mut rest = &parts.as_slice()[first_part..];
    let mut count = 0;
    for (message, header) in messages.iter().zip(&mut headers) {
        let (own, others) = rest.split_at(message.parts);
        header.write(prepare(message, own));
        rest = others;
        count += 1;
    }
    let count = libc::c_uint::try_from(count).expect("at most 64");
    // SAFETY: the first `count` headers are initialised. Their pointers are to the messages, the parts and the bytes
    // that the parts name, all borrowed until this function returns; sending only reads through them.
    checked(unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr().cast(), count, 0) })
}

fn prepare(message: &Outgoing, parts: &[IoSlice<'_>]) -> libc::mmsghdr {
    // SAFETY: all fields of `mmsghdr` are integers or pointers, for which zero is a valid value.
    let mut header: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_hdr.msg_name = ptr::from_ref(&message.to.bytes).cast_mut().cast();
    header.msg_hdr.msg_namelen = message.to.len;
    // `IoSlice` is guaranteed to have the layout of `iovec`.
    header.msg_hdr.msg_iov = parts.as_ptr().cast_mut().cast();
    header.msg_hdr.msg_iovlen = parts.len() as _;
    if message.control.len > 0 {
        header.msg_hdr.msg_control = ptr::from_ref(&message.control.bytes).cast_mut().cast();
        header.msg_hdr.msg_controllen = message.control.len as _;
    }
    header
}

/// The parts that one call takes at most: 16 KiB of stack.
const MAX_PARTS: usize = 1024;

const _: () = {
    assert!(size_of::<IoSlice<'_>>() == size_of::<libc::iovec>());
    assert!(align_of::<IoSlice<'_>>() == align_of::<libc::iovec>());
};
