//! Requests: written, signed, sent, and their answers compared.

use std::net::SocketAddr;
use std::rc::Rc;

use super::packets::{put_some, write_allocate, write_bind};
use super::{Driver, Login, Party, Peer, Request, Wanted};
use crate::relay::tests::client::{Answer, Client};
use crate::relay::tests::model::seen::{Reply, Seen};
use crate::relay::tests::model::shadow::{Asked, Attempts, Credential, Signature};
use crate::wire::{
    Family, Lifetime, Method, Nonce, RequestedAddressFamily, Writer, XorPeerAddress,
};

/// Seconds that a client goes on with an expired credential.
const PATIENCE: u64 = 60;

/// A request, ready to be sent.
#[derive(Clone)]
pub(super) struct Signed {
    pub(super) bytes: Vec<u8>,
    pub(super) speaker: Rc<Client>,
    pub(super) signature: Option<Signature>,
    pub(super) transaction: u64,
}

/// An Allocate request.
#[derive(Clone)]
pub(super) struct Allocate {
    signed: Signed,
    wanted: Wanted,
    token: [u8; 8],
    lifetime: Option<u32>,
}

impl Driver {
    pub(super) fn request(&mut self, client: usize, login: Login, request: &Request) -> Seen {
        match request {
            Request::Allocate(wanted, lifetime) => self.allocate(client, login, *wanted, *lifetime),
            Request::Refresh(lifetime, family) => self.refresh(client, login, *lifetime, *family),
            Request::Permit(peers) => self.permit(client, login, peers),
            Request::Bind(number, peer) => self.bind(client, login, *number, *peer),
        }
    }

    fn allocate(
        &mut self,
        client: usize,
        login: Login,
        wanted: Wanted,
        lifetime: Option<u32>,
    ) -> Seen {
        let token = match wanted {
            Wanted::Reserved(nth) => {
                let mut tokens = self.shadow.tokens.iter().rev();
                tokens.nth(nth).copied().unwrap_or([0x77; 8])
            }
            Wanted::One(..) | Wanted::Both(_) | Wanted::Nothing(_) => [0; 8],
        };
        self.ask(client, login, |driver| {
            let signed = driver.sign(client, login, Method::ALLOCATE, |writer| {
                write_allocate(writer, wanted, token, lifetime);
            });
            let allocate = Allocate {
                signed,
                wanted,
                token,
                lifetime,
            };
            let reply = driver.exchange_allocate(client, &allocate);
            driver.speakers[client].allocate = Some(allocate);
            reply
        })
    }

    pub(super) fn retransmit(&mut self, client: usize, login: Login) -> Option<Seen> {
        let mut again = self.speakers[client].allocate.clone()?;
        if login != Login::Own {
            let Allocate {
                wanted,
                token,
                lifetime,
                ..
            } = again;
            let latest = std::mem::replace(&mut self.transaction, again.signed.transaction - 1);
            again.signed = self.sign(client, login, Method::ALLOCATE, |writer| {
                write_allocate(writer, wanted, token, lifetime);
            });
            self.transaction = latest;
        }
        Some(Seen::Reply(self.exchange_allocate(client, &again)))
    }

    fn exchange_allocate(&mut self, client: usize, allocate: &Allocate) -> Reply {
        let asked = Asked {
            transaction: allocate.signed.transaction,
            wanted: allocate.wanted,
            token: allocate.token,
            lifetime: allocate.lifetime,
        };
        let worker = self.shadow.parties[client].worker;
        self.world.hosts[worker].attempts.clear();
        self.exchange(client, &allocate.signed, |driver, credential, reply| {
            let tried = std::mem::take(&mut driver.world.hosts[worker].attempts);
            let mut attempts = Attempts(tried.iter());
            let chosen = (&mut attempts, reply.token);
            let expected = driver.shadow.allocate(client, credential, &asked, chosen);
            assert_eq!(attempts.0.next(), None, "no socket is opened without need");
            expected
        })
    }

    fn refresh(
        &mut self,
        client: usize,
        login: Login,
        lifetime: Option<u32>,
        family: Option<Family>,
    ) -> Seen {
        self.ask(client, login, |driver| {
            let signed = driver.sign(client, login, Method::REFRESH, |writer| {
                put_some(writer, lifetime.map(Lifetime));
                put_some(writer, family.map(RequestedAddressFamily));
            });
            driver.exchange(client, &signed, |driver, credential, _| {
                driver.shadow.refresh(client, credential, lifetime, family)
            })
        })
    }

    fn permit(&mut self, client: usize, login: Login, peers: &[Peer]) -> Seen {
        let peers: Vec<SocketAddr> = peers.iter().map(|peer| self.address(*peer)).collect();
        self.ask(client, login, |driver| {
            let signed = driver.sign(client, login, Method::CREATE_PERMISSION, |writer| {
                for peer in &peers {
                    put_some(writer, Some(XorPeerAddress(*peer)));
                }
            });
            driver.exchange(client, &signed, |driver, credential, _| {
                driver.shadow.permit(client, credential, &peers)
            })
        })
    }

    fn bind(&mut self, client: usize, login: Login, number: u16, peer: Peer) -> Seen {
        let peer = self.address(peer);
        self.ask(client, login, |driver| {
            let signed = driver.sign(client, login, Method::CHANNEL_BIND, |writer| {
                write_bind(writer, number, peer);
            });
            driver.exchange(client, &signed, |driver, credential, _| {
                driver.shadow.bind(client, credential, number, peer)
            })
        })
    }

    /// A client without an allocation gets a new credential soon after its old one expired.
    fn keep_current(&mut self, client: usize) {
        let expired = self.shadow.credentials[client].expires + PATIENCE < self.shadow.unix();
        if expired && !self.shadow.allocations.contains_key(&client) {
            self.renew(client, self.shadow.setup.ttl);
        }
    }

    /// Makes a request, and once more where it failed for want of a nonce that the answer brings.
    fn ask(
        &mut self,
        client: usize,
        login: Login,
        mut request: impl FnMut(&mut Self) -> Reply,
    ) -> Seen {
        self.keep_current(client);
        let had_nonce = self.shadow.nonce_is_valid(self.shadow.nonces[client]);
        let mut reply = request(self);
        if !had_nonce && login != Login::Unsigned {
            reply = request(self);
        }
        Seen::Reply(reply)
    }

    /// Writes a request and signs it.
    pub(super) fn sign(
        &mut self,
        client: usize,
        login: Login,
        method: Method,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Signed {
        let whose = match login {
            Login::Of(other) => other,
            Login::Own | Login::WrongPassword | Login::Unsigned => client,
        };
        let mut credential = self.speakers[whose].credential.clone();
        if login == Login::WrongPassword {
            credential.password.push('!');
        }
        let mut speaker = Client::new(self.shadow.parties[client].at, &credential);
        if login != Login::Unsigned {
            speaker.nonce.clone_from(&self.speakers[client].nonce);
        }
        let signature = (!speaker.nonce.is_empty()).then(|| Signature {
            credential: self.shadow.credentials[whose].clone(),
            is_right: login != Login::WrongPassword,
            nonce: self.shadow.nonces[client],
        });
        speaker.last = self.transaction;
        self.transaction += 1;
        Signed {
            bytes: speaker.request(method, fill),
            speaker: Rc::new(speaker),
            signature,
            transaction: self.transaction,
        }
    }

    /// Sends a request and compares the answer with the shadow's.
    fn exchange(
        &mut self,
        client: usize,
        signed: &Signed,
        expect: impl FnOnce(&mut Self, &Credential, &Reply) -> Reply,
    ) -> Reply {
        let Party { at, worker, .. } = self.shadow.parties[client];
        let outcome = self.world.send_to(worker, &at, &signed.bytes);
        let answer = Answer::of(outcome.reply(), &signed.bytes, Some(&signed.speaker.key));
        let reply = Reply::read(&answer);
        self.shadow.serve(Some(worker));
        let expected = match &signed.signature {
            None => Reply::refusal(401),
            Some(signature) => match self.shadow.authenticate(client, signature) {
                Ok(()) => expect(self, &signature.credential, &reply),
                Err(code) => Reply::refusal(code),
            },
        };
        assert_eq!(reply, expected, "the answer, and the one that is right");
        if reply.challenge {
            let nonce: Option<Nonce<'_>> = answer.message().get().expect("a nonce");
            nonce
                .expect("a nonce")
                .0
                .clone_into(&mut self.speakers[client].nonce);
            self.shadow.nonces[client] = Some(self.shadow.now);
        }
        reply
    }
}
