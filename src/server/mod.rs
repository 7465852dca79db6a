//! The shell: workers, clock, streams, shutdown.
