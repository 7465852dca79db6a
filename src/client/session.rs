//! The client's side of the long-term credential mechanism (RFC 8489 section 9.2): what the server's challenge says,
//! how requests are sealed, and which responses are believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::ask::{Ask, is_understood};
use super::keys::{Algorithm, userhash};
use super::outcome::RequestError;
use crate::auth::Credential;
use crate::wire::{
    AttributeType, BufferFull, Class, ErrorCode, HmacKey, Message, Nonce, PasswordAlgorithms,
    RawAttribute, Realm, TransactionId, UserHash, Username, Writer,
};

/// Bytes of the largest request: what the smallest IPv6 path carries (RFC 8489 section 6.1), headers included.
const MAX_REQUEST: usize = 1232;

/// The generation of the protocol that a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Keys by MD5, MESSAGE-INTEGRITY, the name in clear: what browsers speak.
    #[default]
    Rfc5389,
    /// The first known password algorithm that the server offers and MESSAGE-INTEGRITY-SHA256, the name hashed where
    /// the server can read that; as [`Self::Rfc5389`] where it offers nothing.
    Rfc8489,
}

/// A credential, and what the server wants with it.
pub(super) struct Session {
    credential: Credential,
    dialect: Dialect,
    /// From the last challenge.
    terms: Option<Terms>,
}

/// What a challenge settles for the requests that follow.
struct Terms {
    realm: String,
    nonce: String,
    choice: Option<Choice>,
    /// Whether the name is hashed.
    anonymous: bool,
    key: HmacKey,
}

/// What is chosen from the server's offer of password algorithms.
struct Choice {
    /// The offer, to be sent back unchanged.
    offer: Box<[u8]>,
    algorithm: Algorithm,
}

/// What to make of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Success,
    /// 401 or 438.
    Challenge(u16),
    Failed(RequestError),
    /// Not sealed with the key of the request.
    Forged,
    /// To be treated as if it had not come.
    Discard,
}

impl Session {
    pub(super) const fn new(credential: Credential, dialect: Dialect) -> Self {
        Self {
            credential,
            dialect,
            terms: None,
        }
    }

    /// Writes a request, with the credential where the server's challenge is known; also the key that it is sealed
    /// with.
    pub(super) fn write(
        &self,
        ask: &Ask,
        id: TransactionId,
    ) -> Result<(Vec<u8>, Option<HmacKey>), BufferFull> {
        let mut bytes = vec![0; MAX_REQUEST];
        let mut writer = Writer::new(&mut bytes, Class::Request, ask.method(), id)?;
        ask.write(&mut writer)?;
        let terms = self.terms.as_ref().filter(|_| ask.is_authenticated());
        if let Some(terms) = terms {
            self.seal(terms, &mut writer)?;
        }
        let len = writer.finish();
        bytes.truncate(len);
        Ok((bytes, terms.map(|terms| terms.key.clone())))
    }

    /// Judges a response to a request that was sealed with `key` (RFC 8489 section 9.2.5).
    pub(super) fn judge(&self, response: &Message<'_>, key: Option<&HmacKey>) -> Judgement {
        let error = match response.get::<ErrorCode<'_>>() {
            _ if response.class() == Class::Success => None,
            Ok(Some(error)) => Some(error.code),
            Ok(None) | Err(_) => return Judgement::Discard,
        };
        let challenge = error.filter(|code| matches!(code, 401 | 438));
        if let Some(key) = key {
            let sealed = response.integrity().is_some();
            // A challenge comes without: the server may not know the key.
            if (sealed || challenge.is_none()) && !response.verify(key) {
                return Judgement::Forged;
            }
        }
        if let Some(code) = challenge {
            return Judgement::Challenge(code);
        }
        if self.dialect == Dialect::Rfc8489 && is_bid_down(response) {
            return Judgement::Discard;
        }
        match error {
            Some(code) => Judgement::Failed(RequestError::Refused(code)),
            None if response.unknown_required(is_understood).is_empty() => Judgement::Success,
            None => Judgement::Failed(RequestError::Malformed),
        }
    }

    /// Takes over what a challenge says; the request that it answered is to be sent again then.
    ///
    /// # Errors
    ///
    /// Where it is not: a request that was sealed for this realm already would be refused again.
    pub(super) fn learn(
        &mut self,
        challenge: &Message<'_>,
        code: u16,
        was_sealed: bool,
    ) -> Result<(), RequestError> {
        let nonce = challenge.get().ok().flatten();
        let Nonce(nonce) = nonce.ok_or(RequestError::Malformed)?;
        let known = self.terms.as_ref().map(|terms| terms.realm.as_str());
        let realm = match challenge.get().map_err(|_| RequestError::Malformed)? {
            Some(Realm(realm)) => realm,
            None => known.ok_or(RequestError::Malformed)?,
        };
        if code == 401 && was_sealed && known == Some(realm) {
            return Err(RequestError::Refused(code));
        }
        let (choice, anonymous) = match self.dialect {
            Dialect::Rfc5389 => (None, false),
            Dialect::Rfc8489 if is_bid_down(challenge) => return Err(RequestError::BidDown),
            Dialect::Rfc8489 => (choose(challenge)?, Features::of(nonce).anonymity),
        };
        let algorithm = choice
            .as_ref()
            .map_or(Algorithm::Md5, |choice| choice.algorithm);
        let key = algorithm.with_key(&self.credential, realm, |key| match choice {
            Some(_) => HmacKey::sha256(key),
            None => HmacKey::sha1(key),
        });
        self.terms = Some(Terms {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            choice,
            anonymous,
            key,
        });
        Ok(())
    }

    fn seal(&self, terms: &Terms, writer: &mut Writer<'_>) -> Result<(), BufferFull> {
        let username = &self.credential.username;
        if terms.anonymous {
            writer.put(&UserHash(&userhash(username, &terms.realm)))?;
        } else {
            writer.put(&Username(username))?;
        }
        writer.put(&Realm(&terms.realm))?;
        writer.put(&Nonce(&terms.nonce))?;
        if let Some(Choice { offer, algorithm }) = &terms.choice {
            writer.put(&RawAttribute {
                kind: AttributeType::PASSWORD_ALGORITHMS,
                value: offer,
            })?;
            writer.put(&algorithm.attribute())?;
        }
        writer.integrity(&terms.key)
    }
}

/// The offer of a challenge, and the first algorithm in it that is known here.
fn choose(challenge: &Message<'_>) -> Result<Option<Choice>, RequestError> {
    let Some(bytes) = challenge.raw(AttributeType::PASSWORD_ALGORITHMS) else {
        return Ok(None);
    };
    let offer = challenge.get::<PasswordAlgorithms<'_>>().ok().flatten();
    let algorithm = offer
        .ok_or(RequestError::Malformed)?
        .iter()
        .find_map(Algorithm::of)
        .ok_or(RequestError::NoSharedAlgorithm)?;
    Ok(Some(Choice {
        offer: bytes.into(),
        algorithm,
    }))
}

/// Whether the nonce tells of an offer that is not there.
fn is_bid_down(response: &Message<'_>) -> bool {
    let Ok(Some(Nonce(nonce))) = response.get() else {
        return false;
    };
    Features::of(nonce).algorithms && response.raw(AttributeType::PASSWORD_ALGORITHMS).is_none()
}

/// The security features that a nonce tells of (RFC 8489 section 18.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Features {
    algorithms: bool,
    anonymity: bool,
}

impl Features {
    /// The RFC's text counts the 24 bits from the most significant one, its errata and its example from the least:
    /// either reading is taken.
    fn of(nonce: &str) -> Self {
        let mut bits = [0; 3];
        let Some(text) = nonce
            .strip_prefix("obMatJos2")
            .and_then(|rest| rest.get(..4))
        else {
            return Self::default();
        };
        if STANDARD_NO_PAD.decode_slice(text, &mut bits).is_err() {
            return Self::default();
        }
        let [high, _, low] = bits;
        Self {
            algorithms: high & 0x80 != 0 || low & 0x01 != 0,
            anonymity: high & 0x40 != 0 || low & 0x02 != 0,
        }
    }
}
