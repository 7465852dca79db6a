//! Socket options that `socket2` does not name, and waiting for one socket.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::checked;

/// Sets an option whose value is a C `int`.
pub(in crate::net) fn set_option(
    fd: BorrowedFd<'_>,
    (level, name): (i32, i32),
    value: i32,
) -> io::Result<()> {
    const LEN: libc::socklen_t = {
        assert!(size_of::<i32>() == 4 && size_of::<libc::c_int>() == 4);
        4
    };
    let pointer: *const i32 = &value;
    // SAFETY: `fd` is open for the length of the borrow; the kernel reads LEN bytes of `value`, which outlives the call.
    let returned = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, pointer.cast(), LEN) };
    checked(returned).map(|_| ())
}

/// How many datagrams the kernel dropped because the socket's receive buffer was full, modulo 2^32.
pub(in crate::net) fn dropped(fd: BorrowedFd<'_>) -> io::Result<u32> {
    /// Which of the numbers of SO_MEMINFO it is (`linux/sock_diag.h`, SK_MEMINFO_DROPS).
    const DROPS: usize = 8;
    let mut numbers = [0_u32; DROPS + 1];
    let mut len = libc::socklen_t::try_from(size_of_val(&numbers)).expect("36 fits");
    // SAFETY: `fd` is open for the length of the borrow; the kernel writes at most `len` bytes into `numbers`, and the
    // number of bytes that it did write into `len`.
    let returned = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    checked(returned)?;
    Ok(numbers[DROPS])
}

/// Waits until `fd` is readable or has an error pending; false where neither came true within `limit`.
pub(in crate::net) fn wait_readable(fd: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        // SAFETY: `poll` is one valid `pollfd`, which the kernel reads and writes during the call only.
        match checked(unsafe { libc::poll(&mut poll, 1, millis) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ready => return ready.map(|count| count > 0),
        }
    }
}
