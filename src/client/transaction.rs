//! One request on its way: when to send it again (RFC 8489 section 6.2.1), and when to give it up.

use std::time::Duration;

use super::Transport;
use super::ask::Ask;
use super::outcome::{RequestError, RequestId};
use crate::time::Tick;
use crate::wire::{HmacKey, Message, TransactionId};

/// How often a request is sent: `Rc`.
const SENDS: u8 = 7;

/// How many times the first wait the last one is: `Rm`.
const LAST_WAIT: u32 = 16;

/// How many times the first wait a request over a stream is waited for, which is as long as over datagrams: `Ti`
/// (RFC 8489 section 6.2.2).
const STREAM_WAIT: u32 = (1 << (SENDS - 1)) - 1 + LAST_WAIT;

/// A request that waits for its response.
pub(super) struct Transaction {
    pub(super) request: RequestId,
    pub(super) ask: Ask,
    id: TransactionId,
    /// The datagram.
    pub(super) bytes: Vec<u8>,
    /// What the datagram is sealed with, and the response has to be.
    pub(super) key: Option<HmacKey>,
    /// How many challenges the request has been through.
    pub(super) challenges: u8,
    /// Whether a response came that the server cannot have made.
    pub(super) forged: bool,
    /// Whether the datagram is to be sent (again).
    pub(super) unsent: bool,
    /// How often it was sent; [`SENDS`] where it is not to be sent again.
    sends: u8,
    first_wait: Duration,
    due: Tick,
}

/// What a moment means for a transaction.
pub(super) enum Due {
    /// The response may still come.
    Waits,
    /// It will not.
    GivesUp(RequestError),
}

impl Transaction {
    /// A transaction that begins now, with its datagram and the key that it is sealed with.
    pub(super) fn new(
        (request, ask): (RequestId, Ask),
        id: TransactionId,
        (bytes, key): (Vec<u8>, Option<HmacKey>),
        now: Tick,
        (transport, first_wait): (Transport, Duration),
    ) -> Self {
        let (sends, wait) = match transport {
            Transport::Datagrams => (1, first_wait),
            // Sent once and for all: the transport repeats what is lost.
            Transport::Stream => (SENDS, first_wait * STREAM_WAIT),
        };
        Self {
            request,
            ask,
            id,
            bytes,
            key,
            challenges: 0,
            forged: false,
            unsent: true,
            sends,
            first_wait,
            due: now.after(wait),
        }
    }

    pub(super) const fn due(&self) -> Tick {
        self.due
    }

    pub(super) fn is_answered_by(&self, response: &Message<'_>) -> bool {
        self.id == response.transaction_id() && self.ask.method() == response.method()
    }

    /// Has the datagram sent again where that is due, or says that it was sent often enough.
    pub(super) fn handle_timeout(&mut self, now: Tick) -> Due {
        if now < self.due {
            return Due::Waits;
        }
        if self.sends == SENDS {
            // RFC 8489 section 9.2.5: forged responses are discarded, and told only when no other came.
            return Due::GivesUp(if self.forged {
                RequestError::IntegrityViolated
            } else {
                RequestError::TimedOut
            });
        }
        let wait = match self.sends + 1 {
            SENDS => self.first_wait * LAST_WAIT,
            _ => self.first_wait * (1 << self.sends),
        };
        self.sends += 1;
        self.unsent = true;
        self.due = now.after(wait);
        Due::Waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_that_of_the_rfc() {
        let mut transaction = transaction(Transport::Datagrams);
        let mut sent = vec![0];

        let end = loop {
            let due = transaction.due();
            transaction.unsent = false;
            match transaction.handle_timeout(due) {
                Due::Waits => assert!(transaction.unsent),
                Due::GivesUp(error) => {
                    assert_eq!(error, RequestError::TimedOut);
                    break due.as_millis();
                }
            }
            sent.push(due.as_millis());
        };

        assert_eq!(sent, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(end, 39_500);
    }

    #[test]
    fn before_its_time_nothing_is_sent_again() {
        let mut transaction = transaction(Transport::Datagrams);
        transaction.unsent = false;

        let due = transaction.handle_timeout(Tick::from_millis(499));

        assert!(matches!(due, Due::Waits) && !transaction.unsent);
    }

    #[test]
    fn over_a_stream_a_request_is_sent_once_and_given_up_as_late() {
        let mut transaction = transaction(Transport::Stream);
        transaction.unsent = false;

        let before = transaction.handle_timeout(Tick::from_millis(39_499));
        let end = transaction.handle_timeout(Tick::from_millis(39_500));

        assert!(matches!(before, Due::Waits) && !transaction.unsent);
        assert!(matches!(end, Due::GivesUp(RequestError::TimedOut)));
    }

    fn transaction(transport: Transport) -> Transaction {
        Transaction::new(
            (RequestId::default(), Ask::Binding),
            TransactionId([0; 12]),
            (Vec::new(), None),
            Tick::ZERO,
            (transport, Duration::from_millis(500)),
        )
    }
}
