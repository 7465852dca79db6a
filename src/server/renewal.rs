//! Looks after the certificates while the daemon serves: on a signal, and every few seconds by itself.
//!
//! On the control plane's runtime, off the data cores; files are read on a thread that may block.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::{error, info};

use super::clock::Clock;
use super::tls::{Certificates, LoadError, Reload};
use crate::certificate::date;

/// How often the files are looked at. Their contents are compared, not their times, so that every way of replacing a
/// file is seen: in place, by a rename, by a symbolic link to another folder.
const LOOK: Duration = Duration::from_secs(10);

/// Renews certificates.
pub(super) struct Renewal {
    certificates: Arc<Certificates>,
    clock: Clock,
    hangup: Signal,
    user2: Signal,
    looks: Interval,
    told: Told,
}

impl Renewal {
    /// Takes over SIGHUP and SIGUSR2. To be called within a runtime.
    ///
    /// # Errors
    ///
    /// Where a signal cannot be listened for.
    pub(super) fn new(certificates: Arc<Certificates>, clock: Clock) -> io::Result<Self> {
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            certificates,
            clock,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
            looks,
            told: Told::default(),
        })
    }

    /// Renews certificates for ever.
    pub(super) async fn run(mut self) -> Infallible {
        loop {
            let asked = tokio::select! {
                _ = self.hangup.recv() => true,
                _ = self.user2.recv() => true,
                _ = self.looks.tick() => false,
            };
            let certificates = Arc::clone(&self.certificates);
            let now = self.clock.now().unix;
            if let Ok(outcome) = spawn_blocking(move || certificates.reload(now)).await {
                report(&outcome, &self.told.news(&outcome.refused, asked), asked);
            }
        }
    }
}

fn report(outcome: &Reload, refused: &[LoadError], asked: bool) {
    for certificate in &outcome.renewed {
        let expires = date(certificate.at);
        info!(file = %certificate.name, %expires, "certificate renewed");
    }
    for error in refused {
        error!(%error, "certificate not renewed, the old one stays in service");
    }
    if asked {
        let renewed = outcome.renewed.len();
        info!(
            renewed,
            "certificates reloaded; the rest of the configuration is read at a restart alone"
        );
    }
}

/// What was found wrong, so that it is not told every few seconds.
#[derive(Default)]
struct Told {
    /// What the last look found.
    last: Vec<LoadError>,
    /// What of it is in the log.
    told: Vec<LoadError>,
}

impl Told {
    /// What of `refused` belongs in the log: everything that was asked for; of what a look by itself finds, what the one
    /// before found too, because a renewal may be under way, and that once.
    fn news(&mut self, refused: &[LoadError], asked: bool) -> Vec<LoadError> {
        let last = std::mem::replace(&mut self.last, refused.to_vec());
        self.told.retain(|error| refused.contains(error));
        let is_news =
            |error: &&LoadError| asked || (last.contains(*error) && !self.told.contains(*error));
        let news: Vec<_> = refused.iter().filter(is_news).cloned().collect();
        self.told.extend(news.iter().cloned());
        news
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::certificate::CertificateError;
    use crate::config::FileFault;

    #[test]
    fn what_a_look_finds_is_told_when_it_lasts_and_once() {
        let mut told = Told::default();
        assert_eq!(told.news(&[missing()], false), []);
        assert_eq!(told.news(&[missing()], false), [missing()]);
        assert_eq!(told.news(&[missing()], false), []);
        assert_eq!(told.news(&[missing(), mismatch()], false), []);
        assert_eq!(told.news(&[missing(), mismatch()], false), [mismatch()]);
    }

    #[test]
    fn what_is_asked_for_is_told_at_once_and_each_time() {
        let mut told = Told::default();
        assert_eq!(told.news(&[missing()], true), [missing()]);
        assert_eq!(told.news(&[missing()], false), []);
        assert_eq!(told.news(&[missing()], true), [missing()]);
    }

    #[test]
    fn what_was_over_and_comes_again_is_told_again() {
        let mut told = Told::default();
        assert_eq!(told.news(&[missing()], true), [missing()]);
        assert_eq!(told.news(&[], false), []);
        assert_eq!(told.news(&[missing()], false), []);
        assert_eq!(told.news(&[missing()], false), [missing()]);
    }

    fn missing() -> LoadError {
        LoadError::Unreadable {
            path: PathBuf::from("chain"),
            fault: FileFault::Missing,
        }
    }

    fn mismatch() -> LoadError {
        LoadError::Refused {
            path: PathBuf::from("key"),
            error: CertificateError::KeyMismatch,
        }
    }
}
