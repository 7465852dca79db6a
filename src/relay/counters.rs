//! What one worker counts, readable by others while it runs.
//!
//! Each counter has a single writer, the worker that owns the [`Counters`], so counting is a plain load and store:
//! no locked instruction stands on the packet path. Readers see each value whole, though not all at one instant.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{DropReason, EndReason, Verdict};
use crate::auth::Reject;
use crate::wire::Method;

/// A number that one thread counts up and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the owning worker may call this.
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Takes `n` away; only the owning worker may call this.
    pub fn sub(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_sub(n),
            Ordering::Relaxed,
        );
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Datagrams and application bytes in one direction.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Datagrams, or chunks of a connection.
    pub packets: Counter,
    /// Application bytes, TURN headers not counted.
    pub bytes: Counter,
}

impl Traffic {
    pub(super) fn count(&self, bytes: usize) {
        self.packets.add(1);
        self.bytes.add(bytes as u64);
    }
}

/// Everything that one worker counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// From clients to peers.
    pub to_peers: Traffic,
    /// From peers to clients.
    pub to_clients: Traffic,
    /// By [`DropReason`], in the order of [`DropReason::ALL`].
    pub drops: [Counter; DropReason::ALL.len()],
    /// Allocations that live now.
    pub allocations: Counter,
    /// Allocations ever created.
    pub allocated: Counter,
    /// By [`EndReason`], in the order of [`EndReason::ALL`].
    pub ended: [Counter; EndReason::ALL.len()],
    /// By method and then by outcome, in the orders of [`Answered::METHODS`] and [`Answered::CODES`].
    pub responses: [[Counter; Answered::CODES.len()]; Answered::METHODS.len()],
    /// Refused credentials by [`Reject`], in the order of [`Reject::ALL`].
    pub rejects: [Counter; Reject::ALL.len()],
    /// Permissions installed or refreshed.
    pub permissions: Counter,
    /// Channels bound or refreshed.
    pub channels: Counter,
}

impl Counters {
    pub(super) fn verdict(&self, verdict: &Verdict) {
        if let Verdict::Drop(reason) = verdict {
            self.drops[*reason as usize].add(1);
        }
    }
}

/// The labels of a counted response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered;

impl Answered {
    /// The methods that are answered, by the `method` label.
    pub const METHODS: [&'static str; 7] = [
        "binding",
        "allocate",
        "refresh",
        "create_permission",
        "channel_bind",
        "connect",
        "connection_bind",
    ];

    /// The row of a method's counters.
    pub(super) const fn method_row(method: Method) -> Option<usize> {
        match method {
            Method::BINDING => Some(0),
            Method::ALLOCATE => Some(1),
            Method::REFRESH => Some(2),
            Method::CREATE_PERMISSION => Some(3),
            Method::CHANNEL_BIND => Some(4),
            Method::CONNECT => Some(5),
            Method::CONNECTION_BIND => Some(6),
            _ => None,
        }
    }

    /// The value of a metric's `code` label.
    #[must_use]
    pub const fn code_label(code: u16) -> &'static str {
        match code {
            0 => "success",
            400 => "400",
            401 => "401",
            403 => "403",
            420 => "420",
            437 => "437",
            438 => "438",
            440 => "440",
            441 => "441",
            442 => "442",
            443 => "443",
            446 => "446",
            447 => "447",
            486 => "486",
            508 => "508",
            _ => "other",
        }
    }

    /// The outcomes, by the `code` label: 0 is success, the others are error codes (RFC 8656 section 19).
    pub const CODES: [u16; 15] = [
        0, 400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 446, 447, 486, 508,
    ];
}
