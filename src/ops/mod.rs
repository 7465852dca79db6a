//! Metrics, health, log redaction.
