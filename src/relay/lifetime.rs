//! How long an allocation may live (RFC 8656 sections 7.2 and 8.2).

use std::time::Duration;

use super::{Lifetimes, OnExpiry, Options};
use crate::time::{Now, Tick, UnixTime};

/// The latest moment that refreshing can reach: the longest session, and where so configured the credential's end.
pub(super) fn session_end(now: Now, credential: Option<UnixTime>, options: &Options) -> Tick {
    let session = now.tick.after(options.lifetimes.session_max);
    match credential {
        // The second named by a credential's expiry still belongs to it.
        Some(expires) if options.on_expiry == OnExpiry::Disconnect => session.min(
            now.tick
                .after(expires.since(now.unix) + Duration::from_secs(1)),
        ),
        _ => session,
    }
}

/// The lifetime granted for the one asked for: within the configured bounds, and not past the session's end.
pub(super) fn granted_lifetime(
    now: Tick,
    asked: Option<u32>,
    ends: Tick,
    lifetimes: &Lifetimes,
) -> Duration {
    let asked = asked.map_or(Duration::ZERO, |seconds| {
        Duration::from_secs(u64::from(seconds))
    });
    asked
        .clamp(lifetimes.allocation_default, lifetimes.allocation_max)
        .min(ends.since(now))
}

/// A lifetime as the LIFETIME attribute carries it: the whole seconds of it, and one for less, since zero would say that
/// the allocation is gone.
pub(super) fn seconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).max(1)
}
