//! What the parties say to each other: alice sends numbered packets at a steady rate, bob sends each back.
//!
//! Payloads are printable ASCII, which no address on 127.0.0.0/8 is, raw or XORed: what [`Watch`](super::watch::Watch)
//! finds was not put there by the parties themselves.

use std::time::Duration;

use tokio::time::{Instant, interval, timeout_at};

use super::party::Party;
use super::{DemoArgs, DemoError};

/// How long alice waits for an answer after her last packet.
const GRACE: Duration = Duration::from_secs(3);

/// The shortest time between two bursts: what the runtime's timers resolve.
const TICK: Duration = Duration::from_millis(1);

/// Who speaks, as the first byte of a payload.
const ALICE: u8 = b'a';
const BOB: u8 = b'b';

/// The plan of a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talk {
    packets: u32,
    /// Packets per second.
    rate: u32,
    /// Bytes of a payload.
    size: usize,
}

/// What of a conversation has taken place, as alice knows it.
struct Progress {
    /// When each packet was sent.
    sent_at: Vec<Instant>,
    /// Whether each was answered.
    answered: Vec<bool>,
    round_trips: Vec<Duration>,
}

impl Talk {
    pub(super) fn new(args: DemoArgs) -> Self {
        Self {
            packets: args.packets,
            rate: args.rate,
            size: usize::from(args.size),
        }
    }

    /// Holds the conversation, while mallory listens; how long each packet took there and back.
    pub(super) async fn hold(
        self,
        alice: &mut Party,
        bob: &mut Party,
        mallory: &mut Party,
    ) -> Result<Vec<Duration>, DemoError> {
        tokio::select! {
            spoken = self.speak(alice) => spoken,
            failed = self.echo(bob) => Err(failed),
            failed = mallory.listen() => Err(failed),
        }
    }

    /// Alice's half.
    async fn speak(self, alice: &mut Party) -> Result<Vec<Duration>, DemoError> {
        let start = Instant::now();
        let mut progress = Progress {
            sent_at: Vec::new(),
            answered: Vec::new(),
            round_trips: Vec::new(),
        };
        let mut pace = interval(TICK.max(Duration::from_secs(1) / self.rate));
        while alice.sent < self.packets {
            tokio::select! {
                _ = pace.tick() => self.say(alice, self.due(start.elapsed()), &mut progress).await?,
                heard = alice.hear() => {
                    heard?;
                    self.heard(alice, &mut progress);
                }
            }
        }
        let end = Instant::now() + GRACE;
        while alice.heard < self.packets {
            let Ok(heard) = timeout_at(end, alice.hear()).await else {
                break;
            };
            heard?;
            self.heard(alice, &mut progress);
        }
        Ok(progress.round_trips)
    }

    /// Has alice send until she has sent as many packets as are due.
    async fn say(
        self,
        alice: &mut Party,
        due: u32,
        progress: &mut Progress,
    ) -> Result<(), DemoError> {
        while alice.sent < due {
            progress.sent_at.push(Instant::now());
            progress.answered.push(false);
            alice.send(&self.payload(ALICE, alice.sent)).await?;
            alice.sent += 1;
        }
        Ok(())
    }

    /// Bob's half; ends where it fails.
    async fn echo(self, bob: &mut Party) -> DemoError {
        let mut answered = vec![false; self.packets as usize];
        loop {
            if let Err(error) = bob.hear().await {
                return error;
            }
            match self.first_time(ALICE, bob.payload(), &mut answered) {
                None => bob.foreign += 1,
                Some(number) => {
                    bob.heard += 1;
                    if let Err(error) = bob.send(&self.payload(BOB, number)).await {
                        return error;
                    }
                    bob.sent += 1;
                }
            }
        }
    }

    /// Takes what alice heard.
    fn heard(self, alice: &mut Party, progress: &mut Progress) {
        match self.first_time(BOB, alice.payload(), &mut progress.answered) {
            None => alice.foreign += 1,
            Some(number) => {
                alice.heard += 1;
                let sent_at = progress.sent_at[number as usize];
                progress.round_trips.push(sent_at.elapsed());
            }
        }
    }

    /// The number of a packet that `speaker` said, where it is one and none that is noted already.
    fn first_time(self, speaker: u8, payload: &[u8], noted: &mut [bool]) -> Option<u32> {
        let digits = str::from_utf8(payload.get(1..9)?).ok()?;
        let number = u32::from_str_radix(digits, 16).ok()?;
        let noted = noted.get_mut(number as usize).filter(|noted| !**noted)?;
        if payload != self.payload(speaker, number) {
            return None;
        }
        *noted = true;
        Some(number)
    }

    /// How many packets are to have been sent so long after the start.
    fn due(self, elapsed: Duration) -> u32 {
        let due = elapsed.as_micros() * u128::from(self.rate) / 1_000_000;
        u32::try_from(due + 1).map_or(self.packets, |due| due.min(self.packets))
    }

    fn payload(self, speaker: u8, number: u32) -> Vec<u8> {
        let mut payload = format!("{}{number:08x}", char::from(speaker)).into_bytes();
        payload.resize(self.size, b'.');
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: Talk = Talk {
        packets: 10,
        rate: 100,
        size: 16,
    };

    #[test]
    fn a_packet_is_noted_once_and_from_its_speaker_alone() {
        let mut noted = [false; 10];
        let payload = TALK.payload(ALICE, 7);

        assert_eq!(TALK.first_time(BOB, &payload, &mut noted), None);
        assert_eq!(TALK.first_time(ALICE, &payload, &mut noted), Some(7));
        assert_eq!(TALK.first_time(ALICE, &payload, &mut noted), None);
    }

    #[test]
    fn a_packet_that_was_changed_is_none() {
        let mut noted = [false; 10];
        let payload = TALK.payload(ALICE, 7);
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 0x40;
            assert_eq!(TALK.first_time(ALICE, &changed, &mut noted), None, "{at}");
            assert_eq!(TALK.first_time(ALICE, &payload[..at], &mut noted), None);
        }
    }

    #[test]
    fn packets_are_due_at_the_rate_and_no_more_than_there_are() {
        let due = |millis| TALK.due(Duration::from_millis(millis));
        assert_eq!(
            [due(0), due(9), due(10), due(25), due(90), due(5_000)],
            [1, 1, 2, 3, 10, 10]
        );
    }
}
