//! Who sent a request: the server's side of the long-term credential mechanism (RFC 8489 section 9.2.4).
//!
//! What costs least comes first: attributes, nonce, choice of algorithm, realm, and only then keys and HMACs, so that a
//! flood of forged requests is cheap to refuse. From there on every refusal costs an HMAC: who measures the time or
//! reads the answer does not learn which names exist.

use std::fmt;
use std::net::SocketAddr;

use ring::hmac;

use super::algorithm::{Algorithm, ChoiceError, Offer};
use super::authenticated::{Authenticated, BoundCredential};
use super::claims::{ClaimError, Claims};
use super::credentials::{self, CredentialError, TimeLimited, Validity, ValidityError};
use super::keys::{self, LongTermKeys};
use super::nonce::{Features, Nonces};
use super::options::{AuthOptions, OptionsError};
use super::reject::Reject;
use super::secrets::Secrets;
use super::users::{User, Users};
use crate::time::{Now, UnixTime};
use crate::wire::{self, AttributeType, BufferFull, Hash, HmacKey, Message, Writer};

/// Authenticates requests. Immutable: one serves all workers, and a reload replaces it as a whole.
pub struct Authenticator {
    realm: Box<str>,
    offer: Offer,
    nonces: Nonces,
    users: Users,
    /// Whether USERHASH is understood.
    anonymous: bool,
    secrets: Secrets,
    separator: char,
    require_id: bool,
    validity: Validity,
    /// Keys that nobody has, for the HMAC that a refusal costs.
    nobody: LongTermKeys,
}

/// What a request says about its sender, with a valid nonce and nothing proven yet.
struct Presented<'a, 'm> {
    request: &'m Message<'a>,
    name: Name<'a>,
    algorithm: Algorithm,
    /// The hash of the integrity attribute that decides.
    hash: Hash,
    /// The hash of the integrity attribute of the response.
    response_hash: Hash,
}

#[derive(Clone, Copy)]
enum Name<'a> {
    Plain(&'a [u8]),
    Hash(&'a [u8]),
}

/// Who the sender would be, if the integrity attribute proves it.
enum Claimant<'a> {
    Static(&'a User),
    TimeLimited(&'a str, TimeLimited<'a>),
}

impl Authenticator {
    /// Prepares to authenticate. Whoever knows the `seed` can forge nonces; draw it at random, keep it over a reload.
    ///
    /// # Errors
    ///
    /// [`OptionsError`].
    pub fn new(options: AuthOptions, seed: &[u8; 32]) -> Result<Self, OptionsError> {
        let realm = options.check()?;
        // The names of time-limited credentials are not known beforehand, so their hashes cannot be looked up:
        // anonymity is offered only where every valid name is a configured one.
        let anonymous = options.secrets.is_empty();
        let features = if anonymous {
            Features::PasswordAlgorithmsAndUserhash
        } else {
            Features::PasswordAlgorithms
        };
        let offer = if options.offer_md5 {
            Offer::Both
        } else {
            Offer::Sha256
        };
        let nobody = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), b"nobody");
        Ok(Self {
            users: Users::new(options.users, &realm, anonymous)?,
            secrets: Secrets::new(options.secrets)?,
            nonces: Nonces::new(seed, options.nonce_lifetime, features, offer),
            nobody: LongTermKeys::derive("", "", nobody.as_ref()),
            validity: Validity {
                max_ttl: options.max_ttl,
                leeway: options.leeway,
            },
            separator: options.separator,
            require_id: options.require_id,
            anonymous,
            offer,
            realm,
        })
    }

    /// Says who sent `request`. `bound` is the credential of the allocation that the request's 5-tuple has, if any.
    ///
    /// # Errors
    ///
    /// [`Reject`] says how to answer; nothing may be done for the sender.
    pub fn authenticate<'a>(
        &'a self,
        now: Now,
        client: SocketAddr,
        request: &Message<'a>,
        bound: Option<&'a BoundCredential>,
    ) -> Result<Authenticated<'a>, Reject> {
        let presented = self.read(now, client, request)?;
        // Where the bound credential proves nothing, its user may have a newer one: a password or the realm can change
        // in the middle of a call.
        if let Some(bound) = bound.filter(|bound| self.is_named(bound, presented.name))
            && let Ok(response_key) = presented.prove_with(bound.keys())
        {
            return Ok(bound.authenticated(response_key));
        }
        let proven = match self.claimant(now.unix, presented.name) {
            Ok(claimant) => self.prove(&presented, &claimant),
            Err(reject) => Err(reject),
        };
        proven.inspect_err(|reject| {
            // A bad integrity has cost its HMAC already.
            if *reject != Reject::BadIntegrity {
                self.verify_in_vain(&presented);
            }
        })
    }

    /// Writes what a 401 or 438 response to `client` carries besides the error: REALM, NONCE, PASSWORD-ALGORITHMS.
    ///
    /// # Errors
    ///
    /// [`BufferFull`] where the response's buffer is.
    pub fn challenge(
        &self,
        now: Now,
        client: SocketAddr,
        writer: &mut Writer<'_>,
    ) -> Result<(), BufferFull> {
        writer.put(&wire::Realm(&self.realm))?;
        writer.put(&wire::Nonce(self.nonces.issue(now.tick, client).as_str()))?;
        writer.put(&self.offer.attribute())
    }

    /// The ids of the active secrets, in the order of [`Authenticated::secret`].
    pub fn secret_ids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.secrets.as_slice().iter().map(|secret| secret.id())
    }

    /// Checks everything that needs no key.
    fn read<'a, 'm>(
        &self,
        now: Now,
        client: SocketAddr,
        request: &'m Message<'a>,
    ) -> Result<Presented<'a, 'm>, Reject> {
        let hash = request.integrity().ok_or(Reject::MissingIntegrity)?.hash;
        let name = match (
            request.raw(AttributeType::USERNAME),
            request.raw(AttributeType::USERHASH),
        ) {
            (Some(name), None) => Name::Plain(name),
            (None, Some(hash)) => Name::Hash(hash),
            (None, None) => return Err(Reject::MissingAttribute),
            (Some(_), Some(_)) => return Err(Reject::AmbiguousName),
        };
        let realm = request
            .raw(AttributeType::REALM)
            .ok_or(Reject::MissingAttribute)?;
        let nonce = request
            .raw(AttributeType::NONCE)
            .ok_or(Reject::MissingAttribute)?;
        // The nonce vouches for the offer that came with it, so it is looked at before the choice.
        if !self.nonces.is_valid(now.tick, client, nonce) {
            return Err(Reject::StaleNonce);
        }
        let list = request.get().map_err(|_| Reject::BidDown)?;
        let chosen = request.get().map_err(|_| Reject::BidDown)?;
        let algorithm = self.offer.choice(list, chosen)?;
        if realm != self.realm.as_bytes() {
            return Err(Reject::WrongRealm);
        }
        Ok(Presented {
            request,
            name,
            algorithm,
            hash,
            // RFC 8489 section 9.2.4: a client that chose an algorithm is answered with SHA-256 whatever it chose. Some
            // choose MD5 and keep to the older attribute, which they should not; they could not read such an answer.
            response_hash: if chosen.is_some() { hash } else { Hash::Sha1 },
        })
    }

    fn claimant<'a>(&'a self, now: UnixTime, name: Name<'a>) -> Result<Claimant<'a>, Reject> {
        let name = match name {
            Name::Plain(name) => str::from_utf8(name).map_err(|_| Reject::UnknownUser)?,
            Name::Hash(hash) => {
                let user = self.users.by_hash(hash).ok_or(Reject::UnknownUser)?;
                return Ok(Claimant::Static(user));
            }
        };
        match self.users.by_name(name) {
            Some(user) => Ok(Claimant::Static(user)),
            None => self.time_limited(now, name),
        }
    }

    fn is_named(&self, bound: &BoundCredential, name: Name<'_>) -> bool {
        match name {
            Name::Plain(name) => *name == *bound.username().as_bytes(),
            Name::Hash(hash) => {
                self.anonymous && *hash == keys::userhash(bound.username(), &self.realm)
            }
        }
    }

    fn time_limited<'a>(&self, now: UnixTime, username: &'a str) -> Result<Claimant<'a>, Reject> {
        if self.secrets.as_slice().is_empty() {
            return Err(Reject::UnknownUser);
        }
        let credential = TimeLimited::parse(username, self.separator)?;
        if self.require_id && credential.id.is_none() {
            return Err(Reject::MissingId);
        }
        self.validity.check(now, credential.expires)?;
        if self
            .secrets
            .candidates(credential.claims.kid)
            .next()
            .is_none()
        {
            return Err(Reject::UnknownKeyId);
        }
        Ok(Claimant::TimeLimited(username, credential))
    }

    /// Lets the integrity attribute decide.
    fn prove<'a>(
        &'a self,
        presented: &Presented<'a, '_>,
        claimant: &Claimant<'a>,
    ) -> Result<Authenticated<'a>, Reject> {
        match *claimant {
            Claimant::Static(user) => Ok(Authenticated {
                response_key: presented.prove_with(&user.keys)?,
                username: &user.name,
                identity: &user.name,
                claims: Claims::default(),
                expires: None,
                secret: None,
                keys: user.keys.clone(),
            }),
            Claimant::TimeLimited(username, credential) => {
                let (secret, response_key, keys) = self
                    .secrets
                    .candidates(credential.claims.kid)
                    .find_map(|(index, secret)| {
                        let password = credentials::password(secret.key(), username);
                        let keys = LongTermKeys::derive(username, &self.realm, &password[..]);
                        Some((index, presented.prove_with(&keys).ok()?, keys))
                    })
                    .ok_or(Reject::BadIntegrity)?;
                Ok(Authenticated {
                    response_key,
                    username,
                    identity: credential.id.unwrap_or(username),
                    claims: credential.claims,
                    expires: Some(credential.expires),
                    secret: Some(secret),
                    keys,
                })
            }
        }
    }

    /// Does the work of a verification that nobody passes.
    fn verify_in_vain(&self, presented: &Presented<'_, '_>) {
        let _ = std::hint::black_box(presented.prove_with(&self.nobody));
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

impl Presented<'_, '_> {
    /// Verifies the request with the key that its algorithm names, and gives the key for the response.
    fn prove_with(&self, keys: &LongTermKeys) -> Result<HmacKey, Reject> {
        let key = keys
            .hmac(self.algorithm, self.hash)
            .ok_or(Reject::MissingKey)?;
        #[cfg(test)]
        tests::count_verification();
        if !self.request.verify(&key) {
            return Err(Reject::BadIntegrity);
        }
        if self.response_hash == self.hash {
            return Ok(key);
        }
        keys.hmac(self.algorithm, self.response_hash)
            .ok_or(Reject::MissingKey)
    }
}

impl From<ChoiceError> for Reject {
    fn from(error: ChoiceError) -> Self {
        match error {
            ChoiceError::BidDown => Self::BidDown,
            ChoiceError::NotOffered => Self::RefusedAlgorithm,
        }
    }
}

impl From<CredentialError> for Reject {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Malformed | CredentialError::TooLong => Self::UnknownUser,
            CredentialError::Claims(ClaimError::UnknownVersion | ClaimError::UnknownClaim) => {
                Self::UnknownClaim
            }
            CredentialError::Claims(
                ClaimError::Malformed
                | ClaimError::Duplicate(_)
                | ClaimError::Empty(_)
                | ClaimError::BadValue(_)
                | ClaimError::ScopeWithoutCall,
            ) => Self::BadClaims,
        }
    }
}

impl From<ValidityError> for Reject {
    fn from(error: ValidityError) -> Self {
        match error {
            ValidityError::Expired => Self::Expired,
            ValidityError::TooLongLived => Self::TooLongLived,
        }
    }
}

#[cfg(test)]
mod tests;
