//! Which of many sockets are readable, behind one descriptor.
//!
//! One future waits for all relay sockets of a worker, instead of a task for each: the runtime's reactor watches the
//! one descriptor, which is readable when any of the sockets has something to say.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::unix::AsyncFd;

use super::sys::{Epoll, Ready};

/// A set of sockets, level-triggered: a socket that was not read to its end is reported again.
///
/// A socket that is closed leaves the set by itself.
pub struct Poller {
    epoll: AsyncFd<Epoll>,
    /// How often in a row sockets were ready.
    streak: AtomicU32,
}

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
        Ok(Self {
            epoll: Epoll::new()?.register()?,
            streak: AtomicU32::new(0),
        })
    }

    /// Adds a socket; its events carry `token`.
    ///
    /// # Errors
    ///
    /// What the kernel answers: memory or the limit of watches is exhausted, or the socket is already in the set.
    pub fn add(&self, socket: &impl AsFd, token: u64) -> io::Result<()> {
        self.epoll.get_ref().add(socket.as_fd(), token)
    }

    /// Removes a socket.
    ///
    /// # Errors
    ///
    /// What the kernel answers: the socket is not in the set.
    pub fn remove(&self, socket: &impl AsFd) -> io::Result<()> {
        self.epoll.get_ref().remove(socket.as_fd())
    }

    /// Waits until a socket is ready, and fills `events` as [`Self::poll`] does.
    ///
    /// May be dropped at any point: nothing is lost. Under load it gives way to the other tasks of the runtime once in
    /// a while, which the reactor by itself does not do.
    ///
    /// # Errors
    ///
    /// What the kernel or the runtime's reactor answers.
    pub async fn ready(&self, events: &mut Events) -> io::Result<()> {
        if self.streak.fetch_add(1, Ordering::Relaxed) >= STREAK_MAX {
            self.streak.store(0, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        loop {
            let mut guard = self.epoll.readable().await?;
            if self.poll(events)? > 0 {
                guard.retain_ready();
                return Ok(());
            }
            guard.clear_ready();
            self.streak.store(0, Ordering::Relaxed);
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
        match self.epoll.get_ref().poll(&mut events.ready) {
            Ok(count) => events.len = count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(events.len)
    }
}

/// The sockets that one [`Poller::poll`] found ready. The default has room for none, and costs nothing.
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

/// Rounds of events, of at most a batch or so each, between two turns of the other tasks.
const STREAK_MAX: u32 = 8;
