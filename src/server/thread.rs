//! The thread of a worker: its start, its end, and what the daemon holds of it in between.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::StartError;
use super::clock::Clock;
use super::heart::Heart;
use super::sockets::RelaySockets;
use super::stop::Stop;
use super::streams::{StreamStart, Streams};
use super::vitals::WorkerVitals;
use super::worker::Worker;
use crate::net::{self, Poller, SocketOptions, UdpSocket};
use crate::ops::redact::Redactor;
use crate::relay::{Counter, Relay};

/// Everything that a worker's thread takes along.
pub(super) struct WorkerStart {
    pub(super) clock: Clock,
    pub(super) relay: Relay,
    pub(super) listeners: Arc<[UdpSocket]>,
    pub(super) streams: StreamStart,
    pub(super) relay_options: SocketOptions,
    pub(super) redactor: Redactor,
    /// The core to stay on.
    pub(super) cpu: Option<usize>,
    pub(super) stop: Stop,
    pub(super) heart: Heart,
    pub(super) returning: mpsc::Sender<()>,
}

impl WorkerStart {
    /// Starts the thread; when this returns, its worker serves.
    ///
    /// # Errors
    ///
    /// [`StartError::Worker`]; no thread runs then.
    pub(super) fn spawn(self, number: usize) -> Result<WorkerHandle, StartError> {
        let dtls = self.streams.dtls.as_ref();
        let vitals = WorkerVitals {
            counters: self.relay.counters(),
            unsent: Arc::default(),
            listeners: Arc::clone(&self.listeners),
            dtls_listeners: dtls.map_or_else(Arc::default, |dtls| Arc::clone(&dtls.listeners)),
            streams: Arc::clone(&self.streams.counters),
            heart: self.heart.clone(),
        };
        let stop = self.stop.clone();
        let unsent = Arc::clone(&vitals.unsent);
        let (started, starting) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || self.run(unsent, &started))
            .map_err(StartError::Worker)?;
        match starting.recv() {
            Ok(()) => Ok(WorkerHandle {
                thread: Some(thread),
                stop,
                vitals,
            }),
            Err(_) => {
                let error = join(thread).err();
                Err(StartError::Worker(error.unwrap_or_else(|| {
                    io::Error::other("a worker did not start")
                })))
            }
        }
    }

    /// The life of a worker's thread.
    fn run(
        self,
        unsent: Arc<Counter>,
        started: &std::sync::mpsc::SyncSender<()>,
    ) -> io::Result<()> {
        if let Some(cpu) = self.cpu {
            // A sandbox that forbids it costs speed, not service.
            let _ = net::stay_on_core(cpu);
        }
        let poller = Rc::new(Poller::new()?);
        let sockets = RelaySockets::new(
            Rc::clone(&poller),
            (self.relay_options, self.streams.options.keepalive),
            self.redactor,
            self.clock,
        );
        let streams = Streams::new(self.streams, Rc::clone(&poller))?;
        let worker = Worker::new(
            self.clock,
            self.relay,
            self.listeners,
            (poller, sockets, streams),
            unsent,
        )?;
        // The starter may be gone already, which has asked the worker to stop then.
        let _ = started.send(());
        let outcome = worker.run(&self.stop, &self.heart);
        let _ = self.returning.try_send(());
        outcome
    }
}

/// A running worker.
pub(super) struct WorkerHandle {
    /// `None` once joined.
    thread: Option<JoinHandle<io::Result<()>>>,
    stop: Stop,
    vitals: WorkerVitals,
}

impl WorkerHandle {
    pub(super) const fn vitals(&self) -> &WorkerVitals {
        &self.vitals
    }

    /// Asks the worker to end every allocation and return.
    pub(super) fn ask_to_stop(&self) {
        self.stop.ask();
    }

    /// Waits for the worker to return; at once where somebody has waited before.
    ///
    /// # Errors
    ///
    /// What made the worker give up.
    pub(super) fn join(&mut self) -> io::Result<()> {
        self.thread.take().map_or(Ok(()), join)
    }
}

/// Waits for a worker to return.
fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
}
