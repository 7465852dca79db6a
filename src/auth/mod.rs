//! Nonces, keys, time-limited credentials and their claims. Pure.
//!
//! An [`Authenticator`] decides who sent a request (RFC 8489 section 9.2). It keeps no state of clients: nonces prove
//! themselves, and what must outlive a request is handed to the allocation as a [`BoundCredential`]. What an
//! authenticated client may then do is decided above; so is how often a stranger is answered.

mod algorithm;
mod authenticated;
mod authenticator;
mod claims;
mod credentials;
mod keys;
mod nonce;
mod number;
mod options;
mod reject;
mod scope;
mod secrets;
mod users;

pub use authenticated::{Authenticated, BoundCredential};
pub use authenticator::Authenticator;
pub use claims::{ClaimError, Claims};
pub use credentials::{
    Credential, CredentialError, DEFAULT_SEPARATOR, MAX_USERNAME, TimeLimited, mint,
};
pub use keys::LongTermKeys;
pub use number::{BitRate, BitRateError};
pub use options::{AuthOptions, MAX_NONCE_LIFETIME, OptionsError};
pub use reject::Reject;
pub use scope::{PeerScope, UnknownScope};
pub use secrets::{MAX_SECRETS, Secret, SecretError};
pub use users::{Login, StaticUser, UserError};
