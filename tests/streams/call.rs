//! A call in which nothing may be lost.

use veilturn::wire::ChannelNumber;

use crate::support::{Carrier, Party};

/// Packets that each party sends to each other before anybody reads.
const BURST: u32 = 8;

/// Parties who number what they send to each other.
pub(crate) struct Call<C> {
    pub(crate) parties: Vec<Party<C>>,
    /// The channels of each party to the others.
    channels: Vec<Vec<ChannelNumber>>,
    sent: u32,
    heard: u32,
}

impl<C: Carrier> Call<C> {
    /// Has each party allocate and bind a channel to each other.
    pub(crate) fn hold<const N: usize>(parties: [Party<C>; N]) -> Self {
        let mut parties = Vec::from(parties);
        let relayed: Vec<_> = parties.iter_mut().map(Party::allocate).collect();
        let channels = parties.iter_mut().enumerate().map(|(own, party)| {
            let others = relayed
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != own);
            others.map(|(_, peer)| party.bind(*peer)).collect()
        });
        Self {
            channels: channels.collect(),
            parties,
            sent: 0,
            heard: 0,
        }
    }

    /// Has each party send to each other.
    pub(crate) fn send(&mut self) {
        for number in self.sent..self.sent + BURST {
            for (party, channels) in self.parties.iter_mut().zip(&self.channels) {
                for channel in channels {
                    party.send(*channel, &number.to_be_bytes());
                }
            }
        }
        self.sent += BURST;
    }

    /// Has each party hear all that was sent, each sender's in its order.
    pub(crate) fn hear(&mut self) {
        for (party, channels) in self.parties.iter_mut().zip(&self.channels) {
            let mut next = vec![self.heard; channels.len()];
            while next.iter().any(|next| *next < self.sent) {
                let heard = party.hear();
                let from = channels.iter().position(|c| Some(*c) == heard.channel);
                let next = &mut next[from.expect("a party")];
                assert_eq!(heard.data, next.to_be_bytes());
                *next += 1;
            }
        }
        self.heard = self.sent;
    }
}
