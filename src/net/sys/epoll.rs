//! epoll: readiness of many descriptors behind one.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::checked;

/// An epoll instance.
pub(in crate::net) struct Epoll(OwnedFd);

impl Epoll {
    /// Opens an instance, closed on exec.
    pub(in crate::net) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        checked(fd)?;
        // SAFETY: the kernel has just opened `fd` and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Hands the instance to the reactor of the runtime that this is called in.
    pub(in crate::net) fn register(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the instance owns its descriptor, which is open until it is dropped and never another.
        let registered = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        registered.map_err(io::Error::from)
    }

    /// Watches `fd` for input, level-triggered; errors are always watched.
    pub(in crate::net) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: INPUT,
            u64: token,
        };
        self.control(libc::EPOLL_CTL_ADD, fd, &mut event)
    }

    /// Stops watching `fd`.
    pub(in crate::net) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut unused = libc::epoll_event { events: 0, u64: 0 };
        self.control(libc::EPOLL_CTL_DEL, fd, &mut unused)
    }

    /// Fills `ready` with what is ready at this moment, without waiting; returns how many.
    pub(in crate::net) fn poll(&self, ready: &mut [Ready]) -> io::Result<usize> {
        let room = i32::try_from(ready.len()).unwrap_or(i32::MAX);
        let events = ready.as_mut_ptr().cast::<libc::epoll_event>();
        // SAFETY: `Ready` is a transparent `epoll_event`, and the kernel writes at most `room` of them, as many as
        // `ready` holds.
        checked(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events, room, 0) })
    }

    fn control(
        &self,
        verb: i32,
        fd: BorrowedFd<'_>,
        event: &mut libc::epoll_event,
    ) -> io::Result<()> {
        // SAFETY: both descriptors are open for the length of the borrows; the kernel reads one event during the call.
        checked(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), verb, fd.as_raw_fd(), event) })
            .map(|_| ())
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A descriptor that is ready.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(in crate::net) struct Ready(libc::epoll_event);

impl Ready {
    /// Nothing.
    pub(in crate::net) const EMPTY: Self = Self(libc::epoll_event { events: 0, u64: 0 });

    /// What the descriptor was registered as.
    pub(in crate::net) const fn token(self) -> u64 {
        self.0.u64
    }

    /// Whether a receive would return something.
    pub(in crate::net) const fn is_readable(self) -> bool {
        self.0.events & INPUT != 0
    }

    /// Whether an error is pending.
    pub(in crate::net) const fn is_error(self) -> bool {
        self.0.events & ERROR != 0
    }
}

const INPUT: u32 = libc::EPOLLIN.cast_unsigned();
const ERROR: u32 = libc::EPOLLERR.cast_unsigned();
