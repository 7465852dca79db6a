//! Which of many sockets are readable, behind one descriptor.
//!
//! One future waits for all relay sockets of a worker, instead of a task for each: the runtime's reactor watches the
//! one descriptor, which is readable when any of the sockets has something to say.

use std::io;
use std::os::fd::AsFd;

use tokio::io::unix::AsyncFd;

use super::sys::{Epoll, Ready};

/// A set of sockets, level-triggered: a socket that was not read to its end is reported again.
///
/// A socket that is closed leaves the set by itself.
pub struct Poller(AsyncFd<Epoll>);

impl Poller {
    /// Opens an empty set and registers it with the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// What the kernel answers when descriptors or memory run out.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has I/O enabled.
    pub fn new() -> io::Result<Self> {
        Epoll::new()?.register().map(Self)
    }

    /// Adds a socket; its events carry `token`.
    ///
    /// # Errors
    ///
    /// What the kernel answers: memory or the limit of watches is exhausted, or the socket is already in the set.
    pub fn add(&self, socket: &impl AsFd, token: u64) -> io::Result<()> {
        self.0.get_ref().add(socket.as_fd(), token)
    }

    /// Removes a socket.
    ///
    /// # Errors
    ///
    /// What the kernel answers: the socket is not in the set.
    pub fn remove(&self, socket: &impl AsFd) -> io::Result<()> {
        self.0.get_ref().remove(socket.as_fd())
    }

    /// Waits until a socket is ready, and fills `events` as [`Self::poll`] does.
    ///
    /// May be dropped at any point: nothing is lost.
    ///
    /// # Errors
    ///
    /// What the kernel or the runtime's reactor answers.
    pub async fn ready(&self, events: &mut Events) -> io::Result<()> {
        loop {
            let mut guard = self.0.readable().await?;
            if self.poll(events)? > 0 {
                guard.retain_ready();
                return Ok(());
            }
            guard.clear_ready();
        }
    }

    /// Fills `events` with the sockets that are ready at this moment, without waiting; returns how many.
    ///
    /// Where more sockets are ready than `events` holds, the next call reports the others first.
    ///
    /// # Errors
    ///
    /// What the kernel answers; a signal counts as nothing ready.
    pub fn poll(&self, events: &mut Events) -> io::Result<usize> {
        events.len = 0;
        match self.0.get_ref().poll(&mut events.ready) {
            Ok(count) => events.len = count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(events.len)
    }
}

/// The sockets that one [`Poller::poll`] found ready.
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

    /// What was found.
    pub fn iter(&self) -> impl Iterator<Item = Event> {
        self.ready[..self.len].iter().map(|ready| Event {
            token: ready.token(),
            readable: ready.is_readable(),
            error: ready.is_error(),
        })
    }
}

/// A socket that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What the socket was added as.
    pub token: u64,
    /// A datagram waits.
    pub readable: bool,
    /// An error waits: read it with [`super::UdpSocket::next_error`] until there is none, or it is reported for ever.
    pub error: bool,
}
