//! Datagrams from the server: application data is unwrapped, responses are matched with their requests.

use super::ask::is_understood;
use super::session::Judgement;
use super::{Client, Completed, MAX_CHALLENGES, PeerData, Received, RequestError};
use crate::masked::Masked;
use crate::time::Tick;
use crate::wire::{
    BufferFull, ChannelData, Class, Data, Demux, Fingerprint, Icmp, Message, Method, XorPeerAddress,
};

impl Client {
    /// Takes a datagram from the server.
    pub fn handle_datagram<'d>(&mut self, now: Tick, datagram: &'d [u8]) -> Received<'d> {
        match datagram.first().map(|first| Demux::of(*first)) {
            Some(Demux::ChannelData) => self.on_channel_data(datagram),
            Some(Demux::Stun) => self.on_stun(now, datagram),
            Some(Demux::Dtls | Demux::Unknown) | None => Received::Ignored,
        }
    }

    fn on_channel_data<'d>(&self, datagram: &'d [u8]) -> Received<'d> {
        let Ok(frame) = ChannelData::parse(datagram) else {
            return Received::Ignored;
        };
        // A channel counts as soon as it is asked for: data may overtake the response.
        let Some(peer) = self.holdings.peer_of(frame.channel) else {
            return Received::Ignored;
        };
        Received::Data(PeerData {
            peer: Masked::new(peer),
            channel: Some(frame.channel),
            payload: frame.payload,
        })
    }

    fn on_stun<'d>(&mut self, now: Tick, datagram: &'d [u8]) -> Received<'d> {
        let Ok(message) = Message::parse(datagram) else {
            return Received::Ignored;
        };
        if message.fingerprint() == Fingerprint::Invalid {
            return Received::Ignored;
        }
        match (message.class(), message.method()) {
            (Class::Success | Class::Error, _) => self.on_response(now, &message),
            (Class::Indication, Method::DATA) => self.on_data(now, &message),
            (Class::Indication | Class::Request, _) => Received::Ignored,
        }
    }

    /// Takes a Data indication, from a peer that has permission (RFC 8656 section 11.4).
    fn on_data<'d>(&self, now: Tick, message: &Message<'d>) -> Received<'d> {
        if !message.unknown_required(is_understood).is_empty() {
            return Received::Ignored;
        }
        let Ok(Some(XorPeerAddress(peer))) = message.get() else {
            return Received::Ignored;
        };
        if !self.holdings.permits(peer.ip(), now) {
            return Received::Ignored;
        }
        match (message.get::<Data<'d>>(), message.get::<Icmp>()) {
            (Ok(Some(Data(payload))), Ok(None)) => Received::Data(PeerData {
                peer: Masked::new(peer),
                channel: None,
                payload,
            }),
            (Ok(None), Ok(Some(icmp))) => Received::Icmp {
                peer: Masked::new(peer),
                icmp,
            },
            _ => Received::Ignored,
        }
    }

    fn on_response<'d>(&mut self, now: Tick, response: &Message<'d>) -> Received<'d> {
        let Some(index) = self
            .transactions
            .iter()
            .position(|transaction| transaction.is_answered_by(response))
        else {
            return Received::Ignored;
        };
        let transaction = &mut self.transactions[index];
        match self.session.judge(response, transaction.key.as_ref()) {
            Judgement::Discard => Received::Ignored,
            Judgement::Forged => {
                transaction.forged = true;
                Received::Ignored
            }
            Judgement::Failed(error) => Received::Completed(self.complete(index, Err(error))),
            Judgement::Challenge(code) => self.on_challenge(now, index, response, code),
            Judgement::Success => {
                let result = self
                    .holdings
                    .granted(now, &transaction.ask, response)
                    .ok_or(RequestError::Malformed);
                Received::Completed(self.complete(index, result))
            }
        }
    }

    /// Sends the request of a transaction again, with what a 401 or 438 response says (RFC 8489 section 9.2.5).
    fn on_challenge<'d>(
        &mut self,
        now: Tick,
        index: usize,
        response: &Message<'_>,
        code: u16,
    ) -> Received<'d> {
        let was_sealed = self.transactions[index].key.is_some();
        if let Err(error) = self.session.learn(response, code, was_sealed) {
            return Received::Completed(self.complete(index, Err(error)));
        }
        let transaction = self.transactions.swap_remove(index);
        let request = transaction.request;
        let challenges = transaction.challenges + 1;
        if challenges > MAX_CHALLENGES {
            let result = Err(RequestError::TooManyChallenges);
            return Received::Completed(Completed { request, result });
        }
        match self.transaction(now, request, transaction.ask) {
            Ok(mut again) => {
                again.challenges = challenges;
                self.transactions.push(again);
                Received::Pending
            }
            Err(BufferFull) => Received::Completed(Completed {
                request,
                result: Err(RequestError::TooLarge),
            }),
        }
    }
}
