//! epoll: readiness of many descriptors behind one, and a descriptor that another thread makes ready.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::checked;

/// An epoll instance, level-triggered.
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

    /// Watches `fd`; errors and hang-ups are always watched.
    pub(in crate::net) fn add(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        watched: Watched,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, watched)
    }

    /// Changes what is watched of `fd`.
    pub(in crate::net) fn modify(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        watched: Watched,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, watched)
    }

    /// Stops watching `fd`.
    pub(in crate::net) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Watched(0))
    }

    /// Waits until something is ready, for at most `milliseconds` (for ever where negative), and fills `ready`; returns
    /// how many.
    pub(in crate::net) fn wait(&self, ready: &mut [Ready], milliseconds: i32) -> io::Result<usize> {
        let room = i32::try_from(ready.len()).unwrap_or(i32::MAX);
        let events = ready.as_mut_ptr().cast::<libc::epoll_event>();
        // SAFETY: `Ready` is a transparent `epoll_event`, and the kernel writes at most `room` of them, as many as
        // `ready` holds.
        checked(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events, room, milliseconds) })
    }

    fn control(
        &self,
        verb: i32,
        fd: BorrowedFd<'_>,
        token: u64,
        Watched(events): Watched,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: both descriptors are open for the length of the borrows; the kernel reads one event during the call.
        checked(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), verb, fd.as_raw_fd(), &raw mut event)
        })
        .map(|_| ())
    }
}

/// What is watched of a descriptor.
#[derive(Clone, Copy)]
pub(in crate::net) struct Watched(u32);

impl Watched {
    /// Input, output, or both.
    pub(in crate::net) const fn new(input: bool, output: bool) -> Self {
        let input = if input { INPUT } else { 0 };
        let output = if output { OUTPUT } else { 0 };
        Self(input | output)
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

    /// Whether there is room for a send.
    pub(in crate::net) const fn is_writable(self) -> bool {
        self.0.events & OUTPUT != 0
    }

    /// Whether an error is pending.
    pub(in crate::net) const fn is_error(self) -> bool {
        self.0.events & ERROR != 0
    }

    /// Whether both directions of a connection are shut down.
    pub(in crate::net) const fn is_hung_up(self) -> bool {
        self.0.events & HANG_UP != 0
    }
}

/// A counter that is readable while it is not zero (`eventfd`).
pub(in crate::net) struct Bell(OwnedFd);

impl Bell {
    /// Opens a counter of zero, closed on exec.
    pub(in crate::net) fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        checked(fd)?;
        // SAFETY: the kernel has just opened `fd` and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Counts up.
    pub(in crate::net) fn ring(&self) -> io::Result<()> {
        // SAFETY: the call takes no pointer of ours.
        checked(unsafe { libc::eventfd_write(self.0.as_raw_fd(), 1) }).map(|_| ())
    }

    /// Counts from zero again.
    pub(in crate::net) fn hush(&self) -> io::Result<()> {
        let mut counted = 0;
        // SAFETY: the kernel writes eight bytes into `counted`, which outlives the call.
        checked(unsafe { libc::eventfd_read(self.0.as_raw_fd(), &raw mut counted) }).map(|_| ())
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

const INPUT: u32 = libc::EPOLLIN.cast_unsigned();
const OUTPUT: u32 = libc::EPOLLOUT.cast_unsigned();
const ERROR: u32 = libc::EPOLLERR.cast_unsigned();
const HANG_UP: u32 = libc::EPOLLHUP.cast_unsigned();
