//! The one place that reads the clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Now, Tick, UnixTime};

/// The clocks of this process: a monotonic one whose origin is the moment it was made, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts the monotonic clock at [`Tick::ZERO`].
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where time enters the daemon"
    )]
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Reads both clocks.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where time enters the daemon"
    )]
    #[must_use]
    pub fn now(&self) -> Now {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Now {
            tick: Tick::ZERO.after(self.origin.elapsed()),
            unix: UnixTime::from_secs(since_epoch.as_secs()),
        }
    }
}
