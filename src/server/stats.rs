//! What one worker's sockets count: what the kernel did not take, or cut short.

use crate::net::{Received, SendReport};
use crate::relay::Counter;

/// The counters of one worker's sockets; written by that worker, read by the metrics.
#[derive(Debug, Default)]
pub(super) struct Stats {
    /// Datagrams sent.
    pub(super) sent: Counter,
    /// System calls that sent them.
    pub(super) send_calls: Counter,
    /// Received datagrams that were longer than any can be relayed.
    pub(super) truncated: Counter,
    /// By cause, in the order of [`Self::SEND_ERRORS`].
    pub(super) send_errors: [Counter; Self::SEND_ERRORS.len()],
}

impl Stats {
    /// The causes of datagrams that were not sent, as the `reason` label has them.
    pub(super) const SEND_ERRORS: [&'static str; 6] = [
        "send_would_block",
        "send_unreachable",
        "send_too_big",
        "send_overflow",
        "send_no_socket",
        "send_other",
    ];

    pub(super) fn received(&self, received: &Received) {
        self.truncated.add(received.truncated as u64);
    }

    pub(super) fn sent(&self, report: &SendReport) {
        self.sent.add(report.sent);
        self.send_calls.add(report.calls);
        let causes = [
            report.would_block,
            report.unreachable,
            report.too_big,
            report.overflow,
            report.no_socket,
            report.other,
        ];
        for (counter, count) in self.send_errors.iter().zip(causes) {
            counter.add(count);
        }
    }
}
