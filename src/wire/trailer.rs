//! The attributes that end a message: integrity and fingerprint, and the rules on what counts behind them
//! (RFC 8489 sections 14.5 to 14.7).

use super::header::HEADER_LEN;
use super::walk::Walk;
use super::{AttributeType, Hash, ParseError};

/// What RFC 8489 section 14.7 mixes into the CRC-32, so that it differs from that of other protocols.
pub(super) const FINGERPRINT_XOR: u32 = 0x5354_554E;

/// Where the attributes that count end, and the attributes that seal them.
#[derive(Clone, Copy)]
pub(super) struct Trailer<'a> {
    /// The attributes in front of the first seal.
    pub(super) visible: &'a [u8],
    sha1: Option<Seal<'a>>,
    sha256: Option<Seal<'a>>,
    pub(super) fingerprint: Option<Seal<'a>>,
}

/// An attribute computed over what lies in front of it.
#[derive(Clone, Copy)]
pub(super) struct Seal<'a> {
    /// The message up to the attribute.
    pub(super) covered: &'a [u8],
    /// Its value, whatever its length.
    pub(super) value: &'a [u8],
}

impl<'a> Trailer<'a> {
    /// Walks all attributes of a message once.
    pub(super) fn find(bytes: &'a [u8], body: &'a [u8]) -> Result<Self, ParseError> {
        let mut trailer = Self {
            visible: body,
            sha1: None,
            sha256: None,
            fingerprint: None,
        };
        let mut walk = Walk::new(body);
        let mut rest = body;
        while let Some((kind, value)) = walk.next() {
            if let AttributeType::MESSAGE_INTEGRITY
            | AttributeType::MESSAGE_INTEGRITY_SHA256
            | AttributeType::FINGERPRINT = kind
            {
                let covered = bytes.get(..bytes.len() - rest.len()).unwrap_or_default();
                trailer.seal(kind, Seal { covered, value });
            }
            rest = walk.rest();
        }
        if rest.is_empty() {
            Ok(trailer)
        } else {
            Err(ParseError::Attribute)
        }
    }

    /// Notes a sealing attribute, unless one in front of it makes it meaningless: nothing counts behind FINGERPRINT,
    /// only FINGERPRINT behind MESSAGE-INTEGRITY-SHA256, only those two behind MESSAGE-INTEGRITY.
    fn seal(&mut self, kind: AttributeType, seal: Seal<'a>) {
        if self.fingerprint.is_some() {
            return;
        }
        let slot = match kind {
            AttributeType::FINGERPRINT => &mut self.fingerprint,
            _ if self.sha256.is_some() => return,
            AttributeType::MESSAGE_INTEGRITY_SHA256 => &mut self.sha256,
            _ if self.sha1.is_some() => return,
            _ => &mut self.sha1,
        };
        *slot = Some(seal);
        let before = seal.covered.get(HEADER_LEN..).unwrap_or_default();
        if before.len() < self.visible.len() {
            self.visible = before;
        }
    }

    /// The integrity attribute that decides where there are both (RFC 8489 section 9.2.4).
    pub(super) const fn deciding(&self) -> Option<(Hash, &Seal<'a>)> {
        match (&self.sha256, &self.sha1) {
            (Some(seal), _) => Some((Hash::Sha256, seal)),
            (None, Some(seal)) => Some((Hash::Sha1, seal)),
            (None, None) => None,
        }
    }
}
