//! Which of many sockets are ready: the one place where a worker waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::sys::{Bell, Epoll, Ready, Watched};

/// A set of sockets, level-triggered: a socket that was not read to its end is reported again.
///
/// A socket that is closed leaves the set by itself.
pub struct Poller {
    epoll: Epoll,
}

impl Poller {
    /// Opens an empty set.
    ///
    /// # Errors
    ///
    /// What the kernel answers when descriptors or memory run out.
    pub fn new() -> io::Result<Self> {
        Epoll::new().map(|epoll| Self { epoll })
    }

    /// Adds a socket; its events carry `token`.
    ///
    /// # Errors
    ///
    /// What the kernel answers: memory or the limit of watches is exhausted, or the socket is already in the set.
    pub fn add(&self, socket: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.epoll.add(socket.as_fd(), token, interest.watched())
    }

    /// Changes what a socket of the set is watched for, and its token.
    ///
    /// # Errors
    ///
    /// What the kernel answers: the socket is not in the set.
    pub fn modify(&self, socket: &impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        self.epoll.modify(socket.as_fd(), token, interest.watched())
    }

    /// Removes a socket.
    ///
    /// # Errors
    ///
    /// What the kernel answers: the socket is not in the set.
    pub fn remove(&self, socket: &impl AsFd) -> io::Result<()> {
        self.epoll.remove(socket.as_fd())
    }

    /// Waits until a socket is ready, for at most `timeout` (rounded up to a millisecond; `None` is for ever), and fills
    /// `events` with those that are; returns how many.
    ///
    /// Where more sockets are ready than `events` holds, the next call reports the others first.
    ///
    /// # Errors
    ///
    /// What the kernel answers; a signal counts as nothing ready.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        let milliseconds = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
        });
        events.len = 0;
        match self.epoll.wait(&mut events.ready, milliseconds) {
            Ok(count) => events.len = count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(events.len)
    }
}

/// What a socket is watched for. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Whether something can be received.
    pub readable: bool,
    /// Whether something can be sent.
    pub writable: bool,
}

impl Interest {
    /// Whether something can be received.
    pub const READABLE: Self = Self {
        readable: true,
        writable: false,
    };

    const fn watched(self) -> Watched {
        Watched::new(self.readable, self.writable)
    }
}

/// The sockets that one [`Poller::wait`] found ready. The default has room for none, and costs nothing.
#[derive(Default)]
pub struct Events {
    ready: Box<[Ready]>,
    /// How many of `ready` count.
    len: usize,
}

impl Events {
    /// Room for `capacity` sockets, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            ready: vec![Ready::EMPTY; capacity.max(1)].into_boxed_slice(),
            len: 0,
        }
    }

    /// How many were found.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none was found.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was found.
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        self.ready[..self.len].iter().map(|ready| Event {
            token: ready.token(),
            readable: ready.is_readable(),
            writable: ready.is_writable(),
            error: ready.is_error(),
            closed: ready.is_hung_up(),
        })
    }
}

/// A socket that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What the socket was added as.
    pub token: u64,
    /// A datagram, bytes or a connection wait.
    pub readable: bool,
    /// There is room for something to send.
    pub writable: bool,
    /// An error waits: read it (of a datagram socket with [`super::UdpSocket::next_error`], until there is none) or it
    /// is reported for ever.
    pub error: bool,
    /// A connection is shut down in both directions.
    pub closed: bool,
}

/// Ends another thread's [`Poller::wait`]: the poller it was added to, readable, does not wait again until the call is
/// heard. Clones are the same one.
#[derive(Clone)]
pub struct Waker(Arc<Bell>);

impl Waker {
    /// A waker, to be added to the poller that it is to wake.
    ///
    /// # Errors
    ///
    /// What the kernel answers when descriptors or memory run out.
    pub fn new() -> io::Result<Self> {
        Bell::new().map(|bell| Self(Arc::new(bell)))
    }

    /// Makes the poller return, now and from every later wait until [`Self::hear`] is called.
    pub fn wake(&self) {
        // It fails only where it was called so often that the poller returns anyway.
        let _ = self.0.ring();
    }

    /// Takes note of all calls so far. To be called before looking for what they were about, so that what comes
    /// meanwhile calls again.
    pub fn hear(&self) {
        // It fails only where nobody has called.
        let _ = self.0.hush();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
