//! The calls into the kernel that no safe crate offers, each behind a safe function.
//!
//! All `unsafe` of the crate is in this folder. Pointers are built for one call, on the stack, and are gone when it
//! returns; addresses and control messages are encoded and parsed as plain bytes, with the layouts asserted.
#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg, epoll and socket options have no safe form"
)]

mod addr;
mod control;
mod epoll;
mod error_queue;
mod options;
mod process;
mod recv;
mod send;

pub(super) use epoll::{Bell, Epoll, Ready, Watched};
pub(super) use error_queue::{RawError, pop_error};
pub(super) use options::{dropped, set_option, wait_readable};
pub(super) use process::{allowed_cpus, make_undumpable, pin, raise_descriptors};
pub(super) use recv::{Landing, recv_many};
pub(super) use send::{Outgoing, Parts, send_many};

use std::io;

/// The most messages that one call receives or sends.
pub(super) const MAX_MESSAGES: usize = 64;

/// Turns the C convention (-1 and `errno`) into a `Result`.
fn checked(returned: libc::c_int) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

/// The bytes of control messages that came with a message.
#[allow(
    clippy::unnecessary_cast,
    reason = "size_t in the headers of glibc, socklen_t in those of musl"
)]
const fn control_len(header: &libc::msghdr) -> usize {
    header.msg_controllen as usize
}
