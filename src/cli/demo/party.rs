//! One party: a TURN client and its link to the relay.

use std::net::{IpAddr, SocketAddr};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::{Instant, sleep_until};

use super::link::{Link, Road};
use super::watch::Watch;
use super::{DemoError, PartyFindings};
use crate::auth::Credential;
use crate::client::{
    AllocateOptions, Client, ClientOptions, Completed, Received, RequestError, RequestId,
    StartError, Success, wrap,
};
use crate::time::Tick;
use crate::wire::{ChannelData, ChannelNumber, Family};

/// Bytes of the largest datagram.
const MAX_DATAGRAM: usize = 2048;

/// What mallory tries to get to bob.
const INTRUSION: &[u8] = b"mallory was here";

/// A party of the demonstration.
pub(super) struct Party {
    name: &'static str,
    client: Client,
    link: Link,
    address: SocketAddr,
    /// The origin of its ticks.
    start: Instant,
    watch: Watch,
    /// The other party, as the relay shows it, and the channel to it.
    line: Option<(SocketAddr, ChannelNumber)>,
    /// The datagram that came last.
    buf: Box<[u8; MAX_DATAGRAM]>,
    /// The data that came last.
    payload: Vec<u8>,
    /// Packets sent, and heard of those that the other party sent.
    pub(super) sent: u32,
    pub(super) heard: u32,
    /// Data that nobody should have sent.
    pub(super) foreign: u32,
}

/// Something that happened to a party.
enum Step {
    /// Data came from that peer.
    Data(SocketAddr),
    /// A request has ended.
    Completed(Completed),
}

impl Party {
    /// Opens a link from `ip` to the relay.
    pub(super) async fn join(
        (name, ip): (&'static str, IpAddr),
        (relay, road): (SocketAddr, &Road),
        credential: Credential,
        start: Instant,
    ) -> Result<Self, DemoError> {
        let opened = Link::open(ip, relay, road).await;
        let (address, link) = opened.map_err(|source| DemoError::Link { ip, source })?;
        let options = ClientOptions {
            upkeep: true,
            transport: road.transport(),
            ..ClientOptions::default()
        };
        Ok(Self {
            name,
            client: Client::new(credential, options, seed()?),
            link,
            address,
            start,
            watch: Watch::default(),
            line: None,
            buf: Box::new([0; MAX_DATAGRAM]),
            payload: Vec::new(),
            sent: 0,
            heard: 0,
            foreign: 0,
        })
    }

    /// Where it is, which nobody but the relay may see.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Looks for an address in everything that is received from here on.
    pub(super) fn watch_for(&mut self, address: SocketAddr) {
        self.watch = Watch::for_address(address);
    }

    /// Gets a relayed address.
    pub(super) async fn allocate(&mut self) -> Result<SocketAddr, DemoError> {
        let request = self.client.allocate(self.now(), AllocateOptions::default());
        self.granted(request).await?;
        self.client
            .allocation()
            .and_then(|allocation| allocation.relayed(Family::V4))
            .ok_or_else(|| self.refused(RequestError::Malformed))
    }

    /// Gets a channel to the other party.
    pub(super) async fn call(&mut self, peer: SocketAddr) -> Result<(), DemoError> {
        let request = self.client.bind(self.now(), peer);
        let (request, channel) = request.map_err(|source| self.unable(source))?;
        self.granted(Ok(request)).await?;
        self.line = Some((peer, channel));
        Ok(())
    }

    /// Tries to get a channel to somebody in another call, and sends data there whatever the answer.
    pub(super) async fn intrude(
        &mut self,
        peer: SocketAddr,
    ) -> Result<Result<Success, RequestError>, DemoError> {
        let request = self.client.bind(self.now(), peer);
        let (request, channel) = request.map_err(|source| self.unable(source))?;
        let answer = self.settle(request).await?;
        let request = self.client.permit(self.now(), &[peer]);
        let request = request.map_err(|source| self.unable(source))?;
        // Other parties have relayed addresses on the same IP address, so the permission may be granted.
        let _ = self.settle(request).await?;
        let mut indication = [0; 128];
        if let Ok(len) = self
            .client
            .send_indication(&mut indication, peer, INTRUSION)
        {
            self.transmit(&indication[..len]).await?;
        }
        self.line = Some((peer, channel));
        self.send(INTRUSION).await?;
        Ok(answer)
    }

    /// Counts all data as foreign; ends where it fails.
    pub(super) async fn listen(&mut self) -> DemoError {
        loop {
            match self.hear().await {
                Ok(()) => self.foreign += 1,
                Err(error) => return error,
            }
        }
    }

    /// How much data came to somebody who should get none.
    pub(super) async fn overheard(&mut self) -> Result<u32, DemoError> {
        // One more answer from the relay: whatever was on its way has come before it.
        let request = self.client.binding(self.now());
        let request = request.map_err(|source| self.unable(source))?;
        let _ = self.settle(request).await?;
        Ok(self.foreign)
    }

    /// Gives the allocation back.
    pub(super) async fn leave(&mut self) -> Result<(), DemoError> {
        let request = self.client.refresh(self.now(), std::time::Duration::ZERO);
        self.granted(request).await
    }

    /// Sends data to the other party.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), DemoError> {
        let mut message = [0; MAX_DATAGRAM];
        let range = ChannelData::HEADER_LEN..ChannelData::HEADER_LEN + payload.len();
        let Some(room) = message.get_mut(range.clone()) else {
            return Ok(());
        };
        room.copy_from_slice(payload);
        let wrapped = self
            .line
            .and_then(|(_, channel)| wrap(channel, &mut message, range));
        match wrapped {
            Some(range) => self.transmit(&message[range]).await,
            None => Ok(()),
        }
    }

    /// Waits for data from the other party; it is [`Self::payload`] then.
    pub(super) async fn hear(&mut self) -> Result<(), DemoError> {
        loop {
            match self.next().await? {
                Step::Data(from) if self.line.is_some_and(|(peer, _)| peer == from) => {
                    return Ok(());
                }
                Step::Data(_) => self.foreign += 1,
                Step::Completed(completed) => self.keep(completed)?,
            }
        }
    }

    /// The data that was heard last.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) const fn findings(&self, relayed: SocketAddr) -> PartyFindings {
        PartyFindings {
            address: self.address,
            relayed,
            sent: self.sent,
            heard: self.heard,
            foreign: self.foreign,
            bytes: self.watch.bytes,
            leaks: self.watch.leaks,
        }
    }

    async fn granted(&mut self, request: Result<RequestId, StartError>) -> Result<(), DemoError> {
        let request = request.map_err(|source| self.unable(source))?;
        let answer = self.settle(request).await?;
        answer.map(drop).map_err(|source| self.refused(source))
    }

    /// Waits until a request has ended, while nobody should send data.
    async fn settle(
        &mut self,
        request: RequestId,
    ) -> Result<Result<Success, RequestError>, DemoError> {
        loop {
            match self.next().await? {
                Step::Completed(completed) if completed.request == request => {
                    return Ok(completed.result);
                }
                Step::Completed(completed) => self.keep(completed)?,
                Step::Data(_) => self.foreign += 1,
            }
        }
    }

    /// Takes the end of a request that the client made by itself, to keep what it has.
    fn keep(&self, completed: Completed) -> Result<(), DemoError> {
        let kept = completed.result.map(drop);
        kept.map_err(|source| self.refused(source))
    }

    /// Moves datagrams and time until something has happened.
    async fn next(&mut self) -> Result<Step, DemoError> {
        loop {
            while let Some(datagram) = self.client.poll_transmit() {
                self.link.send(datagram).await.map_err(DemoError::Relay)?;
            }
            let due = self.client.poll_timeout();
            let due = due.map(|due| self.start + due.since(Tick::ZERO));
            let step = tokio::select! {
                len = self.receive() => self.take(len?),
                () = until(due) => self.client.handle_timeout(self.now()).map(Step::Completed),
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// Takes the datagram of `len` bytes that was received last.
    fn take(&mut self, len: usize) -> Option<Step> {
        let now = self.now();
        match self.client.handle_datagram(now, &self.buf[..len]) {
            Received::Completed(completed) => Some(Step::Completed(completed)),
            Received::Data(data) => {
                self.payload.clear();
                self.payload.extend_from_slice(data.payload);
                Some(Step::Data(data.peer.reveal()))
            }
            Received::Icmp { .. } | Received::Pending | Received::Ignored => None,
        }
    }

    async fn receive(&mut self) -> Result<usize, DemoError> {
        let received = self.link.receive(&mut self.buf[..]).await;
        let len = received.map_err(DemoError::Relay)?;
        self.watch.look(&self.buf[..len]);
        Ok(len)
    }

    async fn transmit(&mut self, datagram: &[u8]) -> Result<(), DemoError> {
        self.link.send(datagram).await.map_err(DemoError::Relay)
    }

    fn now(&self) -> Tick {
        Tick::ZERO.after(self.start.elapsed())
    }

    const fn unable(&self, source: StartError) -> DemoError {
        DemoError::Ask {
            who: self.name,
            source,
        }
    }

    const fn refused(&self, source: RequestError) -> DemoError {
        DemoError::Refused {
            who: self.name,
            source,
        }
    }
}

/// Waits for a moment; for ever where there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn seed() -> Result<[u8; 32], DemoError> {
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| crate::server::StartError::Randomness)?;
    Ok(seed)
}
