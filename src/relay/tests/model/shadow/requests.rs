//! What requests must be answered, and what they change.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::super::operation::{Fault, Port, Wanted};
use super::super::seen::Reply;
use super::time::millis;
use super::{Allocation, Attempts, Credential, Relayed, Shadow};
use crate::relay::{EndReason, OnExpiry};
use crate::wire::Family;

/// How a request was signed.
#[derive(Clone, Debug)]
pub(in super::super) struct Signature {
    pub(in super::super) credential: Credential,
    /// Whether by the credential's key.
    pub(in super::super) is_right: bool,
    /// When its nonce was issued.
    pub(in super::super) nonce: Option<u64>,
}

/// What an Allocate is about.
pub(in super::super) struct Asked {
    pub(in super::super) transaction: u64,
    pub(in super::super) wanted: Wanted,
    pub(in super::super) token: [u8; 8],
    pub(in super::super) lifetime: Option<u32>,
}

/// The relayed addresses that an Allocate got.
#[derive(Default)]
struct Got {
    relayed: BTreeMap<Family, (u16, usize)>,
    token: Option<[u8; 8]>,
    failed: Option<(Family, u16)>,
}

impl Shadow {
    /// Whether the signature of a request is accepted; the error code, where it is not.
    pub(in super::super) fn authenticate(
        &self,
        client: usize,
        signature: &Signature,
    ) -> Result<(), u16> {
        let Signature {
            credential,
            is_right,
            nonce,
        } = signature;
        if !self.nonce_is_valid(*nonce) {
            return Err(438);
        }
        // An allocation's own credential outlives its expiry.
        let bound = self.allocations.get(&client);
        let is_bound = bound.is_some_and(|bound| bound.credential.username == credential.username);
        if *is_right && (is_bound || credential.expires >= self.unix()) {
            Ok(())
        } else {
            Err(401)
        }
    }

    /// Answers an Allocate request. `attempts` and `token` are what the relay chose.
    pub(in super::super) fn allocate(
        &mut self,
        client: usize,
        credential: &Credential,
        asked: &Asked,
        (attempts, token): (&mut Attempts<'_>, Option<[u8; 8]>),
    ) -> Reply {
        self.try_allocate(client, credential, asked, (attempts, token))
            .unwrap_or_else(Reply::refusal)
    }

    fn try_allocate(
        &mut self,
        client: usize,
        credential: &Credential,
        asked: &Asked,
        (attempts, token): (&mut Attempts<'_>, Option<[u8; 8]>),
    ) -> Result<Reply, u16> {
        if asked.wanted == Wanted::Nothing(Fault::UnknownAttribute) {
            return Err(420);
        }
        if let Some(allocation) = self.allocations.get(&client) {
            let same_user = allocation.credential.username == credential.username;
            return if same_user && allocation.request == asked.transaction {
                Ok(allocation.answer.clone())
            } else {
                Err(437)
            };
        }
        self.admit(credential, asked.wanted)?;
        let got = self.search(client, credential, asked, (attempts, token))?;
        let ends = self.session_end(credential.expires);
        let (seconds, expires) = self.grant(asked.lifetime, ends);
        let answer = self.granted(client, &got, seconds);
        let options = &self.setup.options;
        let scope = credential.claims.scope.unwrap_or(options.peers.scope);
        let allocation = Allocation {
            credential: credential.clone(),
            scope: scope.min(options.peers.scope),
            request: asked.transaction,
            answer: answer.clone(),
            created: self.now,
            ends,
            relayed: got
                .relayed
                .into_iter()
                .map(|(family, (port, socket))| {
                    let relayed = Relayed {
                        port,
                        expires,
                        socket,
                    };
                    (family, relayed)
                })
                .collect(),
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            icmp: BTreeMap::new(),
            backlog: BTreeMap::new(),
        };
        self.allocations.insert(client, allocation);
        self.counts.allocated += 1;
        Ok(answer)
    }

    /// The checks that need no port.
    fn admit(&self, credential: &Credential, wanted: Wanted) -> Result<(), u16> {
        match wanted {
            Wanted::Nothing(Fault::Tcp) => return Err(442),
            Wanted::Nothing(_) | Wanted::Both(Port::EvenWithNext) => return Err(400),
            Wanted::One(family, _) if !self.serves(family.unwrap_or(Family::V4)) => {
                return Err(440);
            }
            Wanted::One(..) | Wanted::Both(_) | Wanted::Reserved(_) => {}
        }
        let limits = &self.setup.options.limits;
        let mine = credential.claims.allocations.unwrap_or(u32::MAX);
        let limit = limits.allocations_per_user.min(mine);
        let recent = self.recent.iter();
        let recent = recent.filter(|(id, until)| *id == credential.id && *until > self.now);
        if recent.count() >= 8 * limit as usize {
            return Err(486);
        }
        let own = self
            .allocations
            .values()
            .filter(|other| other.credential.id == credential.id)
            .count();
        if own >= limit as usize {
            return Err(486);
        }
        if self.allocations.len() >= limits.allocations {
            return Err(508);
        }
        Ok(())
    }

    fn search(
        &mut self,
        client: usize,
        credential: &Credential,
        asked: &Asked,
        (attempts, token): (&mut Attempts<'_>, Option<[u8; 8]>),
    ) -> Result<Got, u16> {
        let mut got = Got::default();
        match asked.wanted {
            Wanted::One(family, port) => {
                let family = family.unwrap_or(Family::V4);
                let found = self.open(client, family, port, attempts)?;
                got.relayed.insert(family, found);
                if port == Port::EvenWithNext {
                    if let Err(code) = self.reserve(family, found.0, credential.id, token) {
                        self.turn_over(credential.id);
                        return Err(code);
                    }
                    got.token = token;
                }
            }
            Wanted::Both(port) => {
                for family in [Family::V4, Family::V6] {
                    match self.open(client, family, port, attempts) {
                        Ok(found) => {
                            got.relayed.insert(family, found);
                        }
                        Err(code) => got.failed = Some((family, code)),
                    }
                }
                if got.relayed.is_empty() {
                    return Err(508);
                }
            }
            Wanted::Reserved(_) => {
                let (family, port) = self.redeem(asked.token, credential.id).ok_or(508_u16)?;
                let attempt = attempts.0.next().expect("the reserved port is opened");
                let socket = self
                    .try_open(client, family, port, attempt)
                    .map_err(|_| 508_u16)?;
                got.relayed.insert(family, (port, socket));
            }
            Wanted::Nothing(_) => return Err(400),
        }
        Ok(got)
    }

    fn granted(&mut self, client: usize, got: &Got, seconds: u32) -> Reply {
        let mut relayed = Vec::new();
        for (family, (port, _)) in &got.relayed {
            let ip = self.relay_ip(*family).expect("the family is served");
            let address = SocketAddr::new(ip, *port);
            relayed.push(address);
            self.last.insert((client, *family), address);
        }
        Reply {
            relayed,
            lifetime: Some(seconds),
            token: got.token,
            failed: got.failed,
            mapped: Some(self.parties[client].at.client.reveal()),
            ..Reply::default()
        }
    }

    /// Answers a Refresh request.
    pub(in super::super) fn refresh(
        &mut self,
        client: usize,
        credential: &Credential,
        lifetime: Option<u32>,
        family: Option<Family>,
    ) -> Reply {
        self.try_refresh(client, credential, lifetime, family)
            .map_or_else(Reply::refusal, |seconds| Reply {
                lifetime: Some(seconds),
                ..Reply::default()
            })
    }

    fn try_refresh(
        &mut self,
        client: usize,
        credential: &Credential,
        lifetime: Option<u32>,
        family: Option<Family>,
    ) -> Result<u32, u16> {
        let allocation = self.own(client, credential)?;
        if family.is_some_and(|family| !allocation.relayed.contains_key(&family)) {
            return Err(443);
        }
        if lifetime == Some(0) {
            match family {
                Some(family) => self.drop_family(client, family, EndReason::Deleted),
                None => self.end(client, EndReason::Deleted),
            }
            return Ok(0);
        }
        let (valid, ends) = (allocation.credential.expires, allocation.ends);
        if valid < self.unix() && self.setup.options.on_expiry != OnExpiry::Keep {
            return Err(401);
        }
        let (seconds, expires) = self.grant(lifetime, ends);
        let allocation = self.own_mut(client);
        for (of, relayed) in &mut allocation.relayed {
            if family.is_none_or(|family| family == *of) {
                relayed.expires = expires;
            }
        }
        Ok(seconds)
    }

    /// Answers a CreatePermission request.
    pub(in super::super) fn permit(
        &mut self,
        client: usize,
        credential: &Credential,
        peers: &[SocketAddr],
    ) -> Reply {
        self.try_permit(client, credential, peers)
            .map_or_else(Reply::refusal, |()| Reply::default())
    }

    fn try_permit(
        &mut self,
        client: usize,
        credential: &Credential,
        peers: &[SocketAddr],
    ) -> Result<(), u16> {
        let now = self.now;
        let allocation = self.own(client, credential)?;
        let limit = self.setup.options.limits.permissions;
        let mut wanted = std::collections::BTreeSet::new();
        for peer in peers {
            if allocation.live(Family::of(peer.ip()), now).is_none() {
                return Err(443);
            }
            if !self.may_permit(allocation.scope, peer.ip()) {
                return Err(403);
            }
            wanted.insert(peer.ip());
            if wanted.len() > limit {
                return Err(508);
            }
        }
        if wanted.is_empty() {
            return Err(400);
        }
        let mut all = wanted.clone();
        let live = allocation.permissions.iter().filter(|(_, end)| **end > now);
        all.extend(live.map(|(peer, _)| *peer));
        if all.len() > limit {
            return Err(508);
        }
        let until = now + millis(self.setup.options.lifetimes.permission);
        self.counts.permissions += wanted.len() as u64;
        for peer in wanted {
            self.own_mut(client).permissions.insert(peer, until);
        }
        Ok(())
    }

    /// Answers a ChannelBind request.
    pub(in super::super) fn bind(
        &mut self,
        client: usize,
        credential: &Credential,
        number: u16,
        peer: SocketAddr,
    ) -> Reply {
        self.try_bind(client, credential, number, peer)
            .map_or_else(Reply::refusal, |()| Reply::default())
    }

    fn try_bind(
        &mut self,
        client: usize,
        credential: &Credential,
        number: u16,
        peer: SocketAddr,
    ) -> Result<(), u16> {
        let now = self.now;
        let allocation = self.own(client, credential)?;
        if !(0x4000..=0x4FFF).contains(&number) || peer.port() == 0 {
            return Err(400);
        }
        let bound = allocation.peer_of(number, now);
        let other_peer = bound.is_some_and(|bound| bound != peer);
        let other_number = allocation
            .channel_to(peer, now)
            .is_some_and(|other| other != number);
        if other_peer || other_number {
            return Err(400);
        }
        if allocation.live(Family::of(peer.ip()), now).is_none() {
            return Err(443);
        }
        let tenant = self.tenant(peer);
        let same_tenant = bound.is_none() || allocation.tenant_of(number, now) == tenant;
        if !self.may_reach(allocation, peer) || !same_tenant {
            return Err(403);
        }
        let limits = &self.setup.options.limits;
        let channels = allocation.channels.values();
        let channels = channels.filter(|(_, until, _)| *until > now).count();
        let permissions = allocation.permissions.values();
        let permissions = permissions.filter(|until| **until > now).count();
        if bound.is_none() && channels >= limits.channels
            || !allocation.permits(peer.ip(), now) && permissions >= limits.permissions
        {
            return Err(508);
        }
        let lifetimes = &self.setup.options.lifetimes;
        let permission = now + millis(lifetimes.permission);
        let channel = now + millis(lifetimes.channel);
        let allocation = self.own_mut(client);
        allocation.permissions.insert(peer.ip(), permission);
        allocation.channels.insert(number, (peer, channel, tenant));
        self.counts.permissions += 1;
        self.counts.channels += 1;
        Ok(())
    }

    /// The allocation of a client, if it has one and asks for it in its name.
    fn own(&self, client: usize, credential: &Credential) -> Result<&Allocation, u16> {
        let allocation = self.allocations.get(&client).ok_or(437_u16)?;
        if allocation.credential.username == credential.username {
            Ok(allocation)
        } else {
            Err(441)
        }
    }

    fn own_mut(&mut self, client: usize) -> &mut Allocation {
        self.allocations
            .get_mut(&client)
            .expect("the caller looked")
    }
}
