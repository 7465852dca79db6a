//! The shell around the core: workers, clocks, shutdown.
//!
//! [`Server`] runs the relay: one thread per worker, each with its own listeners (the kernel keeps a 5-tuple with one
//! of them), relay sockets and allocations. [`serve`] runs a server as a daemon: signals, metrics, readiness.

mod clock;
mod daemon;
// A build without the feature has the same shapes, and nothing in them.
#[cfg_attr(not(feature = "dtls"), path = "dtls/absent.rs")]
mod dtls;
mod heart;
mod host;
mod listeners;
mod moderation;
mod renewal;
mod sockets;
mod stop;
mod streams;
mod thread;
mod tls;
mod vitals;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::available_parallelism;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;

pub use self::clock::Clock;
pub use self::daemon::{ServeError, serve};
use self::heart::Heart;
use self::listeners::listen;
use self::stop::Stop;
use self::streams::{Admission, Doors, DtlsStart, StreamStart};
use self::thread::{WorkerHandle, WorkerStart};
pub use self::tls::{ALPN_NAT_DISCOVERY, ALPN_TURN, Certificates, LoadError, Reload};
use self::vitals::ServerVitals;
use crate::auth::{Authenticator, OptionsError};
use crate::config::Config;
use crate::net::{self, BindError, Offload, SocketOptions, UdpSocket};
use crate::ops::metrics::Vitals;
use crate::ops::redact::Redactor;
use crate::relay::{Relay, Shared};
use crate::time::{Now, UnixTime};

/// A running relay. Dropping it stops it.
pub struct Server {
    /// Where clients reach it, ports filled in, in the order of the configuration.
    listeners: Vec<SocketAddr>,
    clock: Clock,
    /// The wall clock when it started.
    started: UnixTime,
    shared: Arc<Shared>,
    /// What its TLS listeners serve.
    certificates: Arc<Certificates>,
    workers: Vec<WorkerHandle>,
    /// Hears of each worker that returns.
    returned: mpsc::Receiver<()>,
}

/// Why a relay could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The configured address.
        addr: SocketAddr,
        /// Why.
        source: BindError,
    },
    /// A relay address is not one that this machine can bind.
    #[error(
        "cannot open relay sockets on {addr} (behind a NAT, `bind` is this machine's own address and `advertise` the NAT's)"
    )]
    Relay {
        /// The configured address, without a port.
        addr: std::net::IpAddr,
        /// Why.
        source: BindError,
    },
    /// A certificate cannot be served.
    #[error(transparent)]
    Certificate(#[from] LoadError),
    /// The credentials in the configuration cannot work.
    #[error(transparent)]
    Credentials(#[from] OptionsError),
    /// The operating system has no randomness to give.
    #[error("the operating system gives no random numbers")]
    Randomness,
    /// The machine's own addresses cannot be listed, so peers could not be kept from them.
    #[error("cannot list this machine's addresses")]
    Interfaces(#[source] io::Error),
    /// A worker could not be set up.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

impl Server {
    /// Starts a relay: when this returns, every listener is open and served.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let clock = Clock::start();
        let offload = Offload::probe();
        let count = match config.runtime.workers {
            0 => available_parallelism().map_or(1, usize::from),
            configured => configured,
        };
        let certificates = Certificates::load(&config.tls, &config.listeners, clock.now().unix)?;
        let dtls = certificates.dtls(&random()?)?;
        check_relay_addresses(config, offload)?;
        let (listeners, sockets) = listen(config, count, offload, &certificates.server_config())?;
        let own_sockets = listeners.iter().copied().chain(config.metrics).collect();
        let interfaces = net::interfaces().map_err(StartError::Interfaces)?;
        let auth = Authenticator::new(config.auth.clone(), &random()?)?;
        let options = config.relay_options(own_sockets, interfaces);
        let shared = Arc::new(Shared::new(options, Arc::new(auth), random()?));
        let (returning, returned) = mpsc::channel(count);
        let mut server = Self {
            listeners,
            clock,
            started: clock.now().unix,
            shared,
            certificates: Arc::new(certificates),
            workers: Vec::new(),
            returned,
        };
        let redaction = random()?;
        let admission = Arc::new(Admission::new(&config.streams));
        let stops = (0..count)
            .map(|_| Stop::new())
            .collect::<io::Result<Vec<_>>>();
        let stops = stops.map_err(StartError::Worker)?;
        let wakers: Vec<_> = stops.iter().map(|stop| stop.waker().clone()).collect();
        let parts = sockets.into_iter().zip(stops).zip(Doors::between(&wakers));
        for (number, ((listeners, stop), doors)) in parts.enumerate() {
            let start = WorkerStart {
                clock,
                relay: Relay::new(Arc::clone(&server.shared), number, random()?),
                listeners: listeners.datagrams.into(),
                streams: StreamStart {
                    options: config.streams,
                    acceptors: listeners.connections,
                    admission: Arc::clone(&admission),
                    counters: Arc::default(),
                    doors,
                    dtls: dtls.clone().map(|setup| DtlsStart {
                        setup,
                        listeners: listeners.dtls.into(),
                    }),
                },
                relay_options: relay_options(offload),
                redactor: Redactor::new(config.log_addresses, &redaction),
                cpu: config.runtime.pin_cpus.then_some(number),
                stop,
                heart: Heart::new(clock.now().tick),
                returning: returning.clone(),
            };
            server.workers.push(start.spawn(number)?);
        }
        Ok(server)
    }

    /// Where clients reach it: the addresses of the configuration, with the ports that were bound.
    #[must_use]
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// What its TLS listeners serve, to be renewed by whoever looks after the files: [`serve`] does so by itself.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The time on its clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// What its metrics and health are made of.
    #[must_use]
    pub fn vitals(&self) -> impl Vitals + use<> {
        let workers = self
            .workers
            .iter()
            .map(|worker| worker.vitals().clone())
            .collect();
        ServerVitals {
            clock: self.clock,
            started: self.started,
            shared: Arc::clone(&self.shared),
            certificates: Arc::clone(&self.certificates),
            workers,
        }
    }

    /// How many allocations live, over all workers.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.workers
            .iter()
            .map(|worker| worker.vitals().counters.allocations.value())
            .sum()
    }

    /// Refuses new allocations from here on; those that live go on.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Ends every allocation and waits for the workers to return.
    ///
    /// # Errors
    ///
    /// What made a worker give up earlier.
    pub fn stop(mut self) -> io::Result<()> {
        self.join()
    }

    /// Waits for a worker to return, which it does only where it has to give up.
    async fn worker_returned(&mut self) {
        self.returned.recv().await;
    }

    fn join(&mut self) -> io::Result<()> {
        for worker in &self.workers {
            worker.ask_to_stop();
        }
        let mut outcome = Ok(());
        for worker in &mut self.workers {
            let returned = worker.join();
            outcome = outcome.and(returned);
        }
        outcome
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever wants to know how the workers ended calls `stop`.
        let _ = self.join();
    }
}

/// Bytes that a relay socket asks the kernel to buffer, each way: a burst of a video key frame at least.
const RELAY_BUFFER: usize = 256 * 1024;

const fn relay_options(offload: Offload) -> SocketOptions {
    SocketOptions {
        recv_buffer: RELAY_BUFFER,
        send_buffer: RELAY_BUFFER,
        offload,
    }
}

/// Tries the relay addresses once, so that a wrong one is told at start and not to the first client.
fn check_relay_addresses(config: &Config, offload: Offload) -> Result<(), StartError> {
    let options = relay_options(offload);
    for relay in config.relay.ipv4.iter().chain(&config.relay.ipv6) {
        UdpSocket::relay(SocketAddr::new(relay.bind, 0), &options).map_err(|source| {
            StartError::Relay {
                addr: relay.bind,
                source,
            }
        })?;
    }
    Ok(())
}

/// Thirty-two bytes from the operating system.
fn random() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| StartError::Randomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::auth::Secret;

    #[test]
    fn a_second_relay_does_not_take_half_of_the_first_ones_clients() {
        let secret = Secret::new("id", Zeroizing::new(vec![7; 32])).unwrap();
        let first = Server::start(&Config::dev(0, secret.clone())).unwrap();
        let port = first.listeners()[0].port();

        let second = Server::start(&Config::dev(port, secret)).map(|_| ());

        assert!(matches!(
            second,
            Err(StartError::Listen {
                source: BindError::PortTaken,
                ..
            })
        ));
        first.stop().unwrap();
    }
}
