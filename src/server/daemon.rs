//! A server as a daemon: signals, metrics, the service manager.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::renewal::Renewal;
use super::{Server, StartError};
use crate::certificate::date;
use crate::config::Config;
use crate::net;
use crate::ops::http;
use crate::ops::metrics::{Health, Vitals};

/// How often a draining daemon looks whether it is empty.
const DRAIN_POLL: Duration = Duration::from_millis(200);

/// Why the daemon ended when nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The relay could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The metrics' address could not be bound.
    #[error("cannot serve metrics on {addr}")]
    Metrics {
        /// The configured address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The runtime of the control plane could not be set up.
    #[error("cannot start the control plane")]
    Runtime(#[source] io::Error),
    /// Nobody could be told that it is ready.
    #[error("cannot tell that the relay is ready")]
    Ready(#[source] io::Error),
    /// A worker gave up.
    #[error("a worker ended")]
    Worker(#[source] io::Error),
}

/// Serves until a signal ends it: the first SIGTERM or SIGINT drains, a second one ends at once. Calls `ready` when
/// clients can be served.
///
/// # Errors
///
/// [`ServeError`].
pub fn serve(
    config: &Config,
    ready: impl FnOnce(&Server) -> io::Result<()>,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    // What the kernel refuses here shows as allocations refused with 508 later, which are counted.
    let _ = net::raise_descriptors();
    runtime.block_on(async {
        let metrics = bind_metrics(config).await?;
        let mut signals = Signals::new().map_err(ServeError::Runtime)?;
        let mut server = Server::start(config)?;
        if let Some(listener) = metrics {
            tokio::spawn(http::serve(
                listener,
                Arc::new(server.vitals()),
                std::future::pending(),
            ));
        }
        if let Some(limit) = sd_notify::watchdog_enabled() {
            tokio::spawn(reassure(server.vitals(), limit / 2));
        }
        let renewal = Renewal::new(Arc::clone(&server.certificates), server.clock);
        tokio::spawn(renewal.map_err(ServeError::Runtime)?.run());
        announce(config, &server);
        ready(&server).map_err(ServeError::Ready)?;
        notify(NotifyState::Ready);
        tokio::select! {
            () = signals.next() => drain(&server, config.runtime.drain_timeout, &mut signals).await,
            () = server.worker_returned() => {}
        }
        notify(NotifyState::Stopping);
        server.stop().map_err(ServeError::Worker)?;
        info!("stopped");
        Ok(())
    })
}

async fn bind_metrics(config: &Config) -> Result<Option<TcpListener>, ServeError> {
    let Some(addr) = config.metrics else {
        return Ok(None);
    };
    TcpListener::bind(addr)
        .await
        .map(Some)
        .map_err(|source| ServeError::Metrics { addr, source })
}

fn announce(config: &Config, server: &Server) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        workers = server.workers.len(),
        "veilturn starts"
    );
    for (addr, listener) in server.listeners().iter().zip(&config.listeners) {
        info!(%addr, transport = %listener.transport, "listening");
    }
    for certificate in server.certificates.expires() {
        let expires = date(certificate.at);
        info!(file = %certificate.name, %expires, "serving a certificate");
    }
    for relay in config.relay.ipv4.iter().chain(&config.relay.ipv6) {
        info!(bind = %relay.bind, advertise = %relay.advertise, peers = config.policy(), "relaying");
    }
    if let Some(addr) = config.metrics {
        info!(%addr, "serving metrics");
    }
}

/// Lets the calls that live end by themselves, for a while.
async fn drain(server: &Server, patience: Duration, signals: &mut Signals) {
    server.drain();
    info!(
        allocations = server.allocations(),
        seconds = patience.as_secs(),
        "draining"
    );
    let deadline = Instant::now() + patience;
    while server.allocations() > 0 {
        notify(NotifyState::Status(&format!(
            "draining, {} allocations left",
            server.allocations()
        )));
        tokio::select! {
            () = sleep(DRAIN_POLL) => {}
            () = signals.next() => {
                warn!(allocations = server.allocations(), "asked twice, stopping at once");
                return;
            }
            () = sleep_until(deadline) => {
                warn!(allocations = server.allocations(), "draining took too long, stopping");
                return;
            }
        }
    }
}

/// The signals that end the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Tells the service manager every `period` that all workers come round, for as long as they do.
async fn reassure(vitals: impl Vitals, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        if vitals.health() != Health::Stalled {
            notify(NotifyState::Watchdog);
        }
    }
}

/// Tells the service manager, where there is one. One that does not listen is no reason to stop relaying.
fn notify(state: NotifyState<'_>) {
    let _ = sd_notify::notify(&[state]);
}
