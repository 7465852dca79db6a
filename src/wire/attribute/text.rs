//! Attributes that hold text (RFC 8489 sections 14.3, 14.9, 14.10, 14.14 and 14.16).

use std::fmt;

use super::{Attribute, AttributeError, Encode};
use crate::masked::Masked;
use crate::wire::{AttributeType, BufferFull, TransactionId, Value};

/// Bytes of the longest text that a receiver has to take (RFC 8489 sections 14.3, 14.9, 14.10 and 14.14).
const TEXT_MAX: usize = 763;

/// Bytes of the longest domain name (RFC 8489 section 14.16).
const DOMAIN_MAX: usize = 255;

/// Defines an attribute that holds at most `$max` bytes of text, which `Debug` shows through `$shown`.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $max:expr, $shown:path) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name<'a>(pub &'a str);

        impl<'a> Attribute<'a> for $name<'a> {
            const TYPE: AttributeType = AttributeType::$kind;

            fn decode(value: &'a [u8], _: TransactionId) -> Result<Self, AttributeError> {
                text(value, $max).map(Self)
            }
        }

        impl Encode for $name<'_> {
            fn attribute_type(&self) -> AttributeType {
                AttributeType::$kind
            }

            fn encode(&self, value: &mut Value<'_>) -> Result<(), BufferFull> {
                value.push(self.0.as_bytes())
            }
        }

        impl fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&$shown(self.0)).finish()
            }
        }
    };
}

text! {
    /// Who the client says it is. `Debug` hides it.
    Username, USERNAME, TEXT_MAX, Masked::new
}
text! {
    /// Where the client's credentials belong.
    Realm, REALM, TEXT_MAX, std::convert::identity
}
text! {
    /// What makes an authenticated request one that cannot be replayed for long. `Debug` hides it.
    Nonce, NONCE, TEXT_MAX, Masked::new
}
text! {
    /// What the sender's software calls itself.
    Software, SOFTWARE, TEXT_MAX, std::convert::identity
}
text! {
    /// The name that the certificate of an alternate server must bear.
    AlternateDomain, ALTERNATE_DOMAIN, DOMAIN_MAX, std::convert::identity
}

/// Checks text that was received.
pub(super) fn text(value: &[u8], max: usize) -> Result<&str, AttributeError> {
    if value.len() > max {
        return Err(AttributeError::Length);
    }
    str::from_utf8(value).map_err(|_| AttributeError::Utf8)
}

/// Checks a reason phrase that was received.
pub(super) fn phrase(value: &[u8]) -> Result<&str, AttributeError> {
    text(value, TEXT_MAX)
}
