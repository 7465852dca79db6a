//! Answers to requests, as values, and the one place where they become bytes.
//!
//! A method decides on a [`Success`] or a [`Refusal`] while it still reads the request; the bytes are written
//! afterwards, over the request, so no second buffer is needed.

use std::net::SocketAddr;

use super::ConnectionToken;
use super::counters::Answered;
use super::quota::QuotaExceeded;
use crate::auth::{Authenticator, Reject};
use crate::masked::Masked;
use crate::time::Now;
use crate::wire::{
    AddressErrorCode, BufferFull, Class, ConnectionId, ErrorCode, Family, Fingerprint, HmacKey,
    Lifetime, Message, Method, ReservationToken, Software, TransactionId, UnknownAttributes,
    Writer, XorMappedAddress, XorRelayedAddress,
};

/// What an Allocate request was granted (RFC 8656 section 7.3); kept to answer a retransmission alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    /// One relayed address, or one of each family.
    pub(super) relayed: [Option<SocketAddr>; 2],
    /// Seconds.
    pub(super) lifetime: u32,
    pub(super) token: Option<ReservationToken>,
    /// The family of a dual allocation that could not be had, and the error code that says why.
    pub(super) failed: Option<(Family, u16)>,
}

/// What a request was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Success {
    Binding,
    Allocate(Granted),
    /// The seconds that remain.
    Refresh(u32),
    CreatePermission,
    ChannelBind,
    /// The connection that is open.
    Connect(ConnectionId),
    /// The connection that the client's stream is joined with.
    ConnectionBind(ConnectionToken),
}

/// Why a request was refused; one variant for each error code that this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400: the request is malformed or contradicts the state of a channel.
    BadRequest,
    /// 401: the client has to authenticate (again).
    Unauthorized,
    /// 403: the peer, or the client's own address, is forbidden by policy.
    Forbidden,
    /// 420: required attributes that are not understood.
    UnknownAttributes(UnknownAttributes),
    /// 437: there is an allocation where none may be, or none where one must be.
    AllocationMismatch,
    /// 438: the nonce is no longer valid.
    StaleNonce,
    /// 440: no relayed address of that family here.
    AddressFamilyNotSupported,
    /// 441: the allocation belongs to another user.
    WrongCredentials,
    /// 442: relaying over that transport is not offered.
    UnsupportedTransport,
    /// 443: the peer is of another family than the relayed address.
    PeerAddressFamilyMismatch,
    /// 446: there is a connection to this peer already, or an attempt at one.
    ConnectionExists,
    /// 447: the peer could not be connected to.
    ConnectionFailed,
    /// 486: the user has as many allocations as it may have, or asks for connections faster than it may.
    QuotaReached,
    /// 508: a limit of the server is reached.
    InsufficientCapacity,
}

impl Refusal {
    /// The ERROR-CODE (RFC 8489 section 14.8, RFC 8656 section 19, RFC 6062 section 6.3).
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::UnknownAttributes(_) => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::ConnectionExists => 446,
            Self::ConnectionFailed => 447,
            Self::QuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }
}

impl From<QuotaExceeded> for Refusal {
    fn from(exceeded: QuotaExceeded) -> Self {
        match exceeded {
            QuotaExceeded::User => Self::QuotaReached,
            QuotaExceeded::Total => Self::InsufficientCapacity,
        }
    }
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        match reject.code() {
            400 => Self::BadRequest,
            438 => Self::StaleNonce,
            _ => Self::Unauthorized,
        }
    }
}

/// What an answer takes over from the request that it answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) id: TransactionId,
    /// Whether the request carried a FINGERPRINT; the answer then does too (RFC 8489 section 7).
    pub(super) fingerprint: bool,
}

impl Asked {
    pub(super) fn of(message: &Message<'_>) -> Self {
        Self {
            method: message.method(),
            id: message.transaction_id(),
            fingerprint: message.fingerprint() != Fingerprint::Absent,
        }
    }
}

/// An answer to be written.
pub(super) struct Response {
    pub(super) asked: Asked,
    pub(super) outcome: Result<Success, Refusal>,
    /// The key that authenticated the request; the answer is protected with it (RFC 8489 section 9.2.4).
    pub(super) key: Option<HmacKey>,
}

/// What every answer of one server has in common.
pub(super) struct Responder<'a> {
    pub(super) auth: &'a Authenticator,
    pub(super) software: Option<&'a str>,
    pub(super) now: Now,
    /// Where the request came from.
    pub(super) client: Masked<SocketAddr>,
}

impl Responder<'_> {
    /// Writes a response from the start of `buf`; how many bytes it takes.
    ///
    /// # Errors
    ///
    /// [`BufferFull`]: no response is larger than the smallest buffer, so only a realm far beyond its limit could
    /// cause that.
    pub(super) fn write(&self, response: &Response, buf: &mut [u8]) -> Result<usize, BufferFull> {
        let Asked {
            method,
            id,
            fingerprint,
        } = response.asked;
        let class = if response.outcome.is_ok() {
            Class::Success
        } else {
            Class::Error
        };
        let mut writer = Writer::new(buf, class, method, id)?;
        match &response.outcome {
            Ok(success) => self.success(&mut writer, success)?,
            Err(refusal) => self.refusal(&mut writer, refusal)?,
        }
        if let Some(key) = &response.key {
            if let Some(software) = self.software {
                writer.put(&Software(software))?;
            }
            writer.integrity(key)?;
        }
        if fingerprint {
            writer.fingerprint()?;
        }
        Ok(writer.finish())
    }

    fn success(&self, writer: &mut Writer<'_>, success: &Success) -> Result<(), BufferFull> {
        match success {
            Success::Binding => writer.put(&XorMappedAddress(self.client.reveal())),
            Success::Allocate(granted) => {
                for relayed in granted.relayed.iter().flatten() {
                    writer.put(&XorRelayedAddress(*relayed))?;
                }
                writer.put(&Lifetime(granted.lifetime))?;
                if let Some(token) = granted.token {
                    writer.put(&token)?;
                }
                if let Some((family, code)) = granted.failed {
                    writer.put(&AddressErrorCode {
                        family,
                        code,
                        reason: "",
                    })?;
                }
                writer.put(&XorMappedAddress(self.client.reveal()))
            }
            Success::Refresh(lifetime) => writer.put(&Lifetime(*lifetime)),
            Success::Connect(id) => writer.put(id),
            Success::CreatePermission | Success::ChannelBind | Success::ConnectionBind(_) => Ok(()),
        }
    }

    /// Reason phrases stay empty: they would tell nothing that the code does not, and make an answer to an
    /// unauthenticated stranger larger.
    fn refusal(&self, writer: &mut Writer<'_>, refusal: &Refusal) -> Result<(), BufferFull> {
        writer.put(&ErrorCode {
            code: refusal.code(),
            reason: "",
        })?;
        match refusal {
            Refusal::Unauthorized | Refusal::StaleNonce => {
                self.auth.challenge(self.now, self.client.reveal(), writer)
            }
            Refusal::UnknownAttributes(list) => writer.put(list),
            Refusal::BadRequest
            | Refusal::Forbidden
            | Refusal::AllocationMismatch
            | Refusal::AddressFamilyNotSupported
            | Refusal::WrongCredentials
            | Refusal::UnsupportedTransport
            | Refusal::PeerAddressFamilyMismatch
            | Refusal::ConnectionExists
            | Refusal::ConnectionFailed
            | Refusal::QuotaReached
            | Refusal::InsufficientCapacity => Ok(()),
        }
    }
}

impl Response {
    /// The row and column of the response's counter.
    pub(super) fn counter(&self) -> Option<(usize, usize)> {
        let code = self
            .outcome
            .as_ref()
            .map_or_else(|refusal| refusal.code(), |_| 0);
        let column = Answered::CODES.iter().position(|listed| *listed == code)?;
        Some((Answered::method_row(self.asked.method)?, column))
    }
}
