//! What a time-limited credential says about the session it opens: the claims in its ID.
//!
//! The password is an HMAC over the username, so whatever stands in the username is signed by the backend that minted
//! it. An ID that begins with `v1;` is a list of claims, `v1;call=9f2c;party=a;peers=call;rate=4mbit`; any other ID is
//! opaque and claims nothing. A claim can only narrow what the configuration allows: applying it is the relay's work.
//!
//! Reading is strict: a claim that is not understood refuses the credential, because ignoring one that was meant to
//! narrow it would widen it.

use std::fmt;
use std::num::NonZeroU32;

use thiserror::Error;

use super::number::{BitRate, parse_digits};
use super::scope::PeerScope;

/// What every list of claims begins with.
const VERSION: &str = "v1;";

/// The claims of one credential. All are optional; an opaque ID has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims<'a> {
    /// The call that the session belongs to: `peers=call` admits relayed addresses of the same call.
    pub call: Option<&'a str>,
    /// Which party of the call the session is.
    pub party: Option<&'a str>,
    /// Which peers the session may reach.
    pub peers: Option<PeerScope>,
    /// The rate that each of its allocations may use, each direction.
    pub rate: Option<BitRate>,
    /// How many allocations it may hold at once.
    pub alloc: Option<NonZeroU32>,
    /// The id of the secret that signed the credential.
    pub kid: Option<&'a str>,
}

/// Why an ID's claims are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClaimError {
    /// The list is of a version that this relay does not read.
    #[error("unknown version of claims: this relay reads `v1;`")]
    UnknownVersion,
    /// A claim that this relay does not know.
    #[error("unknown claim: the claims are call, party, peers, rate, alloc and kid")]
    UnknownClaim,
    /// A part that is not `key=value`.
    #[error("claims are written `key=value` and separated by `;`")]
    Malformed,
    /// A claim that stands there twice.
    #[error("claim `{0}` is given twice")]
    Duplicate(&'static str),
    /// A claim without a value.
    #[error("claim `{0}` has no value")]
    Empty(&'static str),
    /// A claim whose value cannot be read, or holds a character outside `A-Z a-z 0-9 - . _ ~ : @ + / ! $`.
    #[error("claim `{0}` has a bad value")]
    BadValue(&'static str),
    /// `peers=call` without a call to compare with.
    #[error("`peers=call` needs a `call` claim")]
    ScopeWithoutCall,
}

impl<'a> Claims<'a> {
    /// Reads the claims of `id`; an opaque one has none.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] where `id` is a list of claims and anything in it is not understood.
    pub fn parse(id: &'a str) -> Result<Self, ClaimError> {
        let Some(list) = id.strip_prefix(VERSION) else {
            return if is_other_version(id) {
                Err(ClaimError::UnknownVersion)
            } else {
                Ok(Self::default())
            };
        };
        let mut claims = Self::default();
        for part in list.split(';') {
            let (key, value) = part.split_once('=').ok_or(ClaimError::Malformed)?;
            claims.set(key, value)?;
        }
        claims.check_scope()?;
        Ok(claims)
    }

    /// Writes the claims as an ID, which [`Claims::parse`] reads back.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] where a value could not be read back, or there is no claim at all ([`ClaimError::Malformed`]).
    pub fn to_id(&self) -> Result<String, ClaimError> {
        let id = format!("{self}");
        let read = Claims::parse(&id)?;
        // A value with a `;` in it reads back as more claims than were written.
        for (claim, written, read) in [
            ("call", self.call, read.call),
            ("party", self.party, read.party),
            ("kid", self.kid, read.kid),
        ] {
            if written != read {
                return Err(ClaimError::BadValue(claim));
            }
        }
        Ok(id)
    }

    fn set(&mut self, key: &str, value: &'a str) -> Result<(), ClaimError> {
        match key {
            "call" => put(&mut self.call, "call", value, Some),
            "party" => put(&mut self.party, "party", value, Some),
            "peers" => put(&mut self.peers, "peers", value, |v| v.parse().ok()),
            "rate" => put(&mut self.rate, "rate", value, |v| v.parse().ok()),
            "alloc" => put(&mut self.alloc, "alloc", value, parse_count),
            "kid" => put(&mut self.kid, "kid", value, Some),
            _ => Err(ClaimError::UnknownClaim),
        }
    }

    fn check_scope(&self) -> Result<(), ClaimError> {
        if self.peers == Some(PeerScope::Call) && self.call.is_none() {
            return Err(ClaimError::ScopeWithoutCall);
        }
        Ok(())
    }
}

/// Writes the list as it stands in a username; nothing is checked.
impl fmt::Display for Claims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(VERSION)?;
        let mut separator = "";
        let mut write = |key: &str, value: Option<&dyn fmt::Display>| -> fmt::Result {
            if let Some(value) = value {
                write!(f, "{separator}{key}={value}")?;
                separator = ";";
            }
            Ok(())
        };
        write("call", self.call.as_ref().map(|v| v as _))?;
        write("party", self.party.as_ref().map(|v| v as _))?;
        write("peers", self.peers.as_ref().map(|v| v as _))?;
        write("rate", self.rate.as_ref().map(|v| v as _))?;
        write("alloc", self.alloc.as_ref().map(|v| v as _))?;
        write("kid", self.kid.as_ref().map(|v| v as _))
    }
}

/// Whether `text` may be the value of a claim, or the id of a secret: letters, digits and `- . _ ~ : @ + / ! $`.
///
/// That is what identifiers of calls are made of (UUIDs, base64, Matrix ids), and leaves out whatever a log, a shell
/// or the list itself would read as something else.
pub(super) fn is_safe_value(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~:@+/!$".contains(&b))
}

fn parse_count(text: &str) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(parse_digits(text)?).ok()?)
}

/// Puts a claim's value where it belongs, once.
fn put<'a, T>(
    slot: &mut Option<T>,
    claim: &'static str,
    value: &'a str,
    read: impl FnOnce(&'a str) -> Option<T>,
) -> Result<(), ClaimError> {
    if slot.is_some() {
        return Err(ClaimError::Duplicate(claim));
    }
    if value.is_empty() {
        return Err(ClaimError::Empty(claim));
    }
    if !is_safe_value(value) {
        return Err(ClaimError::BadValue(claim));
    }
    *slot = Some(read(value).ok_or(ClaimError::BadValue(claim))?);
    Ok(())
}

/// Whether `id` begins with a version mark, `v` and digits and `;`, that is not ours.
fn is_other_version(id: &str) -> bool {
    let Some((version, _)) = id.split_once(';') else {
        return false;
    };
    version
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> BitRate {
        text.parse().expect("a rate")
    }

    #[test]
    fn every_claim_is_read() {
        let id = "v1;call=9f2c;party=a;peers=fleet;rate=4mbit;alloc=4;kid=2026-11";
        let claims = Claims::parse(id).unwrap();
        let expected = Claims {
            call: Some("9f2c"),
            party: Some("a"),
            peers: Some(PeerScope::Fleet),
            rate: Some(rate("4mbit")),
            alloc: NonZeroU32::new(4),
            kid: Some("2026-11"),
        };
        assert_eq!(claims, expected);
        assert_eq!(expected.to_id().as_deref(), Ok(id));
    }

    #[test]
    fn order_is_free() {
        assert_eq!(
            Claims::parse("v1;peers=call;call=x"),
            Claims::parse("v1;call=x;peers=call")
        );
    }

    #[test]
    fn an_id_without_the_mark_is_opaque() {
        for id in [
            "alice",
            "@alice:example.org",
            "v1",
            "v1:call=x",
            "V1;call=x",
            "vx;a",
            "v;a",
            "call=x;party=b",
        ] {
            assert_eq!(Claims::parse(id), Ok(Claims::default()), "{id}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        use ClaimError::{
            BadValue, Duplicate, Empty, Malformed, ScopeWithoutCall, UnknownClaim, UnknownVersion,
        };
        for (id, error) in [
            ("v2;call=x", UnknownVersion),
            ("v10;call=x", UnknownVersion),
            ("v01;call=x", UnknownVersion),
            ("v1;", Malformed),
            ("v1;call=x;", Malformed),
            ("v1;;call=x", Malformed),
            ("v1;call", Malformed),
            ("v1;shape=round", UnknownClaim),
            ("v1;Call=x", UnknownClaim),
            ("v1; call=x", UnknownClaim),
            ("v1;=x", UnknownClaim),
            ("v1;call=x;call=x", Duplicate("call")),
            ("v1;kid=a;kid=b", Duplicate("kid")),
            ("v1;call=", Empty("call")),
            ("v1;call=a=b", BadValue("call")),
            ("v1;call=a b", BadValue("call")),
            ("v1;call=a\nb", BadValue("call")),
            ("v1;call=a\0", BadValue("call")),
            ("v1;party=é", BadValue("party")),
            ("v1;party=%n", BadValue("party")),
            ("v1;peers=everyone", BadValue("peers")),
            ("v1;peers=Public", BadValue("peers")),
            ("v1;rate=4", BadValue("rate")),
            ("v1;rate=0mbit", BadValue("rate")),
            ("v1;rate=-1mbit", BadValue("rate")),
            ("v1;rate=99999999999gbit", BadValue("rate")),
            ("v1;alloc=0", BadValue("alloc")),
            ("v1;alloc=+4", BadValue("alloc")),
            ("v1;alloc=4294967296", BadValue("alloc")),
            ("v1;peers=call", ScopeWithoutCall),
        ] {
            assert_eq!(Claims::parse(id), Err(error), "{id:?}");
        }
    }

    #[test]
    fn values_that_could_not_be_read_back_are_not_written() {
        let with_call = |call| Claims {
            call: Some(call),
            ..Claims::default()
        };
        assert_eq!(
            with_call("x;peers=public").to_id(),
            Err(ClaimError::BadValue("call"))
        );
        assert_eq!(with_call("").to_id(), Err(ClaimError::Empty("call")));
        assert_eq!(Claims::default().to_id(), Err(ClaimError::Malformed));
    }

    fn value() -> impl Strategy<Value = String> {
        "[-A-Za-z0-9._~:@+/!$]{1,40}"
    }

    fn scope() -> impl Strategy<Value = PeerScope> {
        prop_oneof![
            Just(PeerScope::Call),
            Just(PeerScope::Fleet),
            Just(PeerScope::Public)
        ]
    }

    proptest! {
        #[test]
        fn parsing_what_was_written_gives_it_back(
            call in value(),
            party in proptest::option::of(value()),
            peers in proptest::option::of(scope()),
            bits in proptest::option::of(1u64..),
            alloc in proptest::option::of(1u32..),
            kid in proptest::option::of(value()),
        ) {
            let claims = Claims {
                call: Some(&call),
                party: party.as_deref(),
                peers,
                rate: bits.and_then(NonZeroU64::new).map(BitRate::from_bits),
                alloc: alloc.and_then(NonZeroU32::new),
                kid: kid.as_deref(),
            };
            // A rate beyond 19 digits could not be read back.
            prop_assume!(bits.is_none_or(|b| b < 10u64.pow(19)));
            let id = claims.to_id().expect("safe values");
            prop_assert_eq!(Claims::parse(&id), Ok(claims));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(list in ".{0,80}") {
            let id = format!("v1;{list}");
            if let Ok(claims) = Claims::parse(&id) {
                let rewritten = claims.to_id().expect("what was read can be written");
                prop_assert_eq!(Claims::parse(&rewritten), Ok(claims));
            }
        }
    }
}
