//! Where the daemon is in its life.

/// What the workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Serve. While the daemon drains, the core itself refuses new allocations.
    Serving,
    /// End every allocation and return.
    Stopping,
}
