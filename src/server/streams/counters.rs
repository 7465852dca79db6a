//! What a worker counts about its connections.

use super::backlog::Dropped;
use crate::relay::Counter;

/// The counters of one worker's connections.
#[derive(Debug, Default)]
pub(crate) struct StreamCounters {
    /// Connections accepted, refused ones included.
    pub(crate) accepted: Counter,
    /// Connections that are open, by [`Speaks`], in the order of [`Speaks::ALL`].
    pub(crate) open: [Counter; Speaks::ALL.len()],
    /// Connections closed, by [`CloseReason`], in the order of [`CloseReason::ALL`].
    pub(crate) closed: [Counter; CloseReason::ALL.len()],
    /// Times that no connection could be accepted although one waited.
    pub(crate) accept_errors: Counter,
    /// Connections with peers of TCP relays, attempts included.
    pub(crate) peers: Counter,
    /// Frames of media dropped: because too many bytes waited for the client to read, and because they waited too long.
    pub(crate) media_dropped: [Counter; 2],
    /// Datagrams of DTLS that were not sent, for whatever reason.
    pub(crate) unsent: Counter,
}

impl StreamCounters {
    pub(super) fn dropped(&self, Dropped { crowded, late }: Dropped) {
        if crowded + late > 0 {
            self.media_dropped[0].add(crowded);
            self.media_dropped[1].add(late);
        }
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Speaks {
    /// It has not said yet.
    Unknown,
    /// TURN.
    Tcp,
    /// TURN inside TLS.
    Tls,
    /// TURN inside DTLS: a session, bounded like a connection.
    Dtls,
}

impl Speaks {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 4] = [Self::Unknown, Self::Tcp, Self::Tls, Self::Dtls];

    /// The value of the metric's `transport` label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
        }
    }
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CloseReason {
    /// The client ended it.
    Left,
    /// The connection broke.
    Broken,
    /// As many connections as there may be were open.
    Full,
    /// As many connections as its prefix may have were open.
    PrefixFull,
    /// No message came within the time for the handshake.
    Handshake,
    /// It had no allocation and sent nothing for a while.
    Idle,
    /// What came was not TLS, or not of a kind that is spoken.
    Tls,
    /// What came was not TURN.
    Protocol,
    /// A message was longer than a client without an allocation may send.
    TooLong,
    /// The PROXY header was missing or malformed, or the connection did not come from an upstream.
    Proxy,
    /// The client asked and asked and did not read the answers.
    Unread,
    /// It was joined with a peer's connection, and that or the allocation ended.
    Ended,
    /// The worker that it belonged to had no time for it.
    Busy,
    /// The daemon stops.
    Stopping,
}

impl CloseReason {
    /// Every reason, in the order of its number.
    pub(crate) const ALL: [Self; 14] = [
        Self::Left,
        Self::Broken,
        Self::Full,
        Self::PrefixFull,
        Self::Handshake,
        Self::Idle,
        Self::Tls,
        Self::Protocol,
        Self::TooLong,
        Self::Proxy,
        Self::Unread,
        Self::Ended,
        Self::Busy,
        Self::Stopping,
    ];

    /// The value of the metric's `reason` label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Broken => "broken",
            Self::Full => "full",
            Self::PrefixFull => "prefix_full",
            Self::Handshake => "handshake_timeout",
            Self::Idle => "idle",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::TooLong => "too_long",
            Self::Proxy => "proxy",
            Self::Unread => "unread_answers",
            Self::Ended => "peer_ended",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_in_the_place_of_its_number() {
        for (number, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{}", reason.label());
        }
        for (number, speaks) in Speaks::ALL.into_iter().enumerate() {
            assert_eq!(speaks as usize, number, "{}", speaks.label());
        }
    }
}
