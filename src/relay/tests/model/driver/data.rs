//! Data, ICMP errors, and packets that nobody should send.

use super::packets::{frame, put_some, write_allocate, write_bind};
use super::{Data, Driver, Garbled, Login, Party, Peer, Port, Wanted};
use crate::masked::Masked;
use crate::relay::tests::client::{Answer, Client, send_indication};
use crate::relay::tests::model::seen::{Reply, Seen};
use crate::relay::tests::model::setup::Carriage;
use crate::relay::tests::world::Outcome;
use crate::relay::{DropReason, Transport};
use crate::wire::{Class, DontFragment, ErrorCode, Lifetime, Message, Method, XorPeerAddress};

/// The next hop's MTU in every ICMP error.
const MTU: u32 = 1280;

impl Driver {
    pub(super) fn data(&mut self, data: Data) -> Option<Seen> {
        let (seen, expected) = match data {
            Data::Send {
                client,
                peer,
                len,
                dont_fragment,
            } => {
                let (peer, data) = (self.address(peer), self.payload(len));
                let packet = send_indication(peer, &data, |writer| {
                    put_some(writer, dont_fragment.then_some(DontFragment));
                });
                let expected = self.shadow.send(client, peer, data, dont_fragment);
                let sent = self.send(client, &packet);
                (self.carry(sent), self.shadow.carry(expected))
            }
            Data::Frame {
                client,
                number,
                len,
            } => {
                let data = self.payload(len);
                let packet = frame(number, &data);
                let expected = self.shadow.frame(client, number, data);
                let sent = self.send(client, &packet);
                (self.carry(sent), self.shadow.carry(expected))
            }
            Data::Arrive { socket, from, len } => {
                let socket = self.socket(socket)?;
                let (from, data) = (self.as_seen_here(from), self.payload(len));
                let at = self.shadow.sockets[socket];
                let outcome = self.world.arrive_for(at.worker, at.token, from, &data);
                (outcome, self.shadow.arrive(socket, from, data))
            }
            Data::Icmp {
                socket,
                peer,
                kind,
                code,
            } => {
                let socket = self.socket(socket)?;
                let peer = self.as_seen_here(peer);
                let at = self.shadow.sockets[socket];
                let error = (kind, code, MTU);
                let outcome = self.world.icmp_on(at.worker, at.token, peer, error);
                (outcome, self.shadow.icmp(socket, peer, error))
            }
        };
        self.outcome = Some(seen.clone());
        let seen = Seen::read(seen);
        assert_eq!(seen, expected, "what came of it, and what is right");
        Some(seen)
    }

    pub(super) fn loop_back(&mut self, from: Peer) -> Option<Seen> {
        if !matches!(from, Peer::Relayed { .. } | Peer::OfRelay { .. }) {
            return None;
        }
        let address = self.as_seen_here(from);
        let mut at = self.shadow.parties[0].at;
        at.client = Masked::new(address);
        let credential = &self.speakers[0].credential;
        let request = Client::new(at, credential).request(Method::ALLOCATE, |_| ());
        let outcome = self.world.send_to(0, &at, &request);
        let relayed = self.shadow.as_advertised(address);
        if self.shadow.owner(relayed).is_some() {
            let expected = self.shadow.count(Err(DropReason::BadSource));
            assert_eq!(Seen::read(outcome), expected, "a loop");
            return Some(expected);
        }
        self.shadow.serve(Some(0));
        let answer = Answer::of(outcome.reply(), &request, None);
        assert_eq!(Reply::read(&answer), Reply::refusal(401));
        None
    }

    /// A packet that was tampered with, where the edits do not cancel out.
    pub(super) fn garbled(
        &mut self,
        client: usize,
        packet: Garbled,
        edits: &[(u16, u8)],
        cut: Option<u16>,
    ) -> Option<Vec<u8>> {
        let valid = self.packet(client, packet);
        let mut bytes = valid.clone();
        for (at, xor) in edits {
            bytes[usize::from(*at) % valid.len()] ^= xor;
        }
        if let Some(cut) = cut {
            bytes.truncate(usize::from(cut) % valid.len());
        }
        (bytes != valid).then_some(bytes)
    }

    /// Sends a packet that was tampered with. It changes nothing, and what it makes the relay send to a peer is what
    /// the client might have sent there.
    pub(super) fn send_garbled(&mut self, client: usize, bytes: &[u8]) {
        self.world.serve_timers();
        self.shadow.serve(None);
        let Party { at, worker, .. } = self.shadow.parties[client];
        let before = self.world.sent();
        let outcome = self.world.send_to(worker, &at, bytes);
        let after = self.world.sent();
        self.outcome = Some(outcome.clone());
        match outcome {
            Outcome::Reply(bytes) => assert_harmless(&bytes),
            Outcome::Dropped(reason) => {
                // The hairpin drops on behalf of the receiver what its sender has been charged for.
                if after != before {
                    self.shadow.sent(client, after.1 - before.1);
                }
                let _ = self.shadow.count(Err(reason));
            }
            sent @ Outcome::ToPeer { .. } => {
                let seen = Seen::read(sent.clone());
                let Seen::ToPeer {
                    to,
                    data,
                    dont_fragment,
                    ..
                } = seen.clone()
                else {
                    panic!("not to a peer: {seen:?}")
                };
                let peer = self.shadow.as_advertised(to);
                let expected = self.shadow.send(client, peer, data, dont_fragment);
                assert_eq!(seen, expected, "only what the client might have sent");
                let came = self.carry(sent);
                self.outcome = Some(came.clone());
                assert_eq!(Seen::read(came), self.shadow.carry(expected));
            }
            came @ Outcome::ToClient { .. } => {
                let seen = Seen::read(came);
                let (peer, data) = self.shadow.sender_side(&seen);
                let expected = self.shadow.send(client, peer, data, false);
                assert_eq!(seen, self.shadow.carry(expected));
            }
            other @ (Outcome::Later | Outcome::Splice { .. } | Outcome::HandOver(_)) => {
                panic!("{other:?} without TCP relays")
            }
        }
    }

    fn packet(&mut self, client: usize, packet: Garbled) -> Vec<u8> {
        let login = Login::Own;
        let signed = match packet {
            Garbled::Allocate => self.sign(client, login, Method::ALLOCATE, |writer| {
                write_allocate(writer, Wanted::Both(Port::Any), [0; 8], None);
            }),
            Garbled::Delete => self.sign(client, login, Method::REFRESH, |writer| {
                put_some(writer, Some(Lifetime(0)));
            }),
            Garbled::Permit(peer) => {
                let peer = self.address(peer);
                self.sign(client, login, Method::CREATE_PERMISSION, |writer| {
                    put_some(writer, Some(XorPeerAddress(peer)));
                })
            }
            Garbled::Bind(number, peer) => {
                let peer = self.address(peer);
                self.sign(client, login, Method::CHANNEL_BIND, |writer| {
                    write_bind(writer, number, peer);
                })
            }
            Garbled::Send(peer) => {
                let data = self.payload(10);
                return send_indication(self.address(peer), &data, |_| ());
            }
            Garbled::Frame(number) => return frame(number, &self.payload(10)),
        };
        signed.bytes
    }

    fn send(&mut self, client: usize, packet: &[u8]) -> Outcome {
        let Party { at, worker, .. } = self.shadow.parties[client];
        self.world.send_to(worker, &at, packet)
    }

    /// Carries what left one relay socket for another to that one.
    fn carry(&mut self, sent: Outcome) -> Outcome {
        let Outcome::ToPeer { from, to, data, .. } = &sent else {
            return sent;
        };
        if self.shadow.setup.carriage == Carriage::Nothing {
            return sent;
        }
        let Some((worker, _)) = self.world.socket(*to) else {
            return sent;
        };
        let (sender, _) = self.world.socket(*from).expect("it just sent");
        let came = self.world.arrive(*to, *from, data).expect("it is open");
        let hairpin = self.shadow.setup.carriage == Carriage::Hairpin;
        if hairpin && let Outcome::ToClient { to, .. } = &came {
            let stream = to.transport() != Transport::Udp;
            assert!(stream && worker != sender, "a hairpin that was not taken");
        }
        came
    }

    fn payload(&self, len: usize) -> Vec<u8> {
        vec![self.serial; len]
    }

    /// A socket by its number from the one opened last.
    pub(in super::super) fn socket(&self, nth: usize) -> Option<usize> {
        self.shadow.sockets.len().checked_sub(nth + 1)
    }
}

/// The answer to a packet that was tampered with is a refusal, or one to a Binding, which needs no signature.
fn assert_harmless(reply: &[u8]) {
    let message = Message::parse(reply).expect("a well-formed response");
    if message.method() == Method::BINDING {
        return;
    }
    assert_eq!(message.class(), Class::Error, "a tampered request succeeds");
    let code = message
        .get::<ErrorCode<'_>>()
        .expect("a well-formed attribute")
        .expect("a code")
        .code;
    assert!(
        matches!(code, 400 | 401 | 438),
        "a tampered request is authenticated: {code}"
    );
}
