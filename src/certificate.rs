//! A TLS certificate with its key: what is wrong with it, whom it names, how long it is good.
//!
//! Pure: the text of its files and the time are arguments. `config` reads them to check, `server` to serve.

// A build without the feature has the same shapes, and nothing in them.
#[cfg_attr(not(feature = "dtls"), path = "certificate/dtls/absent.rs")]
mod dtls;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use thiserror::Error;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{self, DateTime, Decode, Reader, SliceReader};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::{Certificate as X509, TbsCertificate};

pub(crate) use self::dtls::Identity;
use crate::time::UnixTime;

/// The smallest RSA key that is accepted, in bits (RFC 9325 section 4.5).
const LEAST_RSA_BITS: usize = 2048;

/// A certificate chain and the private key of its first certificate, which belong together.
#[derive(Debug)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    /// The host names of the leaf, in lower case; a wildcard stands for its first label.
    names: Vec<String>,
    /// Whether the leaf names anybody: a host, or an address.
    named: bool,
    /// Whether it is a lone certificate that another one has issued.
    orphan: bool,
    not_before: UnixTime,
    not_after: UnixTime,
}

/// What is wrong with a certificate or its key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The chain holds no certificate.
    #[error("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// The chain's PEM armour or base64 is broken.
    #[error("a PEM block is damaged")]
    ChainDamaged,
    /// The first certificate is none that can be understood.
    #[error("the first certificate cannot be decoded")]
    LeafUndecodable,
    /// An RSA key that can be factored.
    #[error(
        "the RSA key of the certificate has {bits} bits, which can be broken: at least {LEAST_RSA_BITS} are needed"
    )]
    Weak {
        /// Its length.
        bits: usize,
    },
    /// Its time is over.
    #[error("expired on {}", date(*.at))]
    Expired {
        /// The last moment of its validity.
        at: UnixTime,
    },
    /// The key belongs to a later certificate of the chain.
    #[error(
        "the private key belongs to certificate {number} of the chain, which has to be the first"
    )]
    LeafNotFirst {
        /// Its place in the file, counted from 1.
        number: usize,
    },

    /// The key's file holds none.
    #[error("holds no private key in PEM form (PKCS#8, SEC1 or PKCS#1)")]
    NoKey,
    /// The key's PEM armour or base64 is broken.
    #[error("a PEM block is damaged")]
    KeyDamaged,
    /// The key is protected by a passphrase.
    #[error(
        "the private key is encrypted, and nobody is there to type the passphrase: store it decrypted (openssl pkey)"
    )]
    KeyEncrypted,
    /// The key's kind is not served.
    #[error(
        "the private key is of no kind that can be used: RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, Ed25519"
    )]
    KeyUnsupported,
    /// The key belongs to no certificate of the chain.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,

    /// OpenSSL, which speaks DTLS, has something against the chain.
    #[error("can be used for TLS, but OpenSSL refuses it for DTLS")]
    ChainNotForDtls,
    /// OpenSSL, which speaks DTLS, has something against the key.
    #[error(
        "the private key can be used for TLS, but OpenSSL cannot read it, which speaks DTLS: use a key of ECDSA or RSA, or one of Ed25519 that `openssl genpkey -algorithm ed25519` has made"
    )]
    KeyNotForDtls,

    /// Its time has not come.
    #[error("is not valid before {}", date(*.from))]
    NotYetValid {
        /// The first moment of its validity.
        from: UnixTime,
    },
    /// The certificates between it and an authority are not there.
    #[error(
        "holds one certificate, which another one has issued: clients need the chain to their authority (certbot: fullchain.pem)"
    )]
    IssuerMissing,
    /// It names nobody that a client could have meant to reach.
    #[error("names no host (subject alternative name), so that no client accepts it")]
    Nameless,
}

impl CertificateError {
    /// Whether it is about the key's file, not the chain's.
    #[must_use]
    pub const fn is_about_key(&self) -> bool {
        matches!(
            self,
            Self::NoKey
                | Self::KeyDamaged
                | Self::KeyEncrypted
                | Self::KeyUnsupported
                | Self::KeyMismatch
                | Self::KeyNotForDtls
        )
    }

    /// Whether it is worth a warning only. A certificate that is not valid yet is one of them, because a machine
    /// without a clock of its own may start in the past, and has to start all the same.
    #[must_use]
    pub const fn is_doubt(&self) -> bool {
        matches!(
            self,
            Self::NotYetValid { .. } | Self::IssuerMissing | Self::Nameless
        )
    }
}

impl Certificate {
    /// Reads a chain, leaf first, and the leaf's key, both in PEM form.
    ///
    /// # Errors
    ///
    /// The first thing that keeps clients from accepting it at `now`; [`Self::doubts`] has the rest.
    pub fn parse(chain: &str, key: &str, now: UnixTime) -> Result<Self, CertificateError> {
        let chain = read_chain(chain)?;
        let leaf = X509::from_der(&chain[0]).map_err(|_| CertificateError::LeafUndecodable)?;
        let leaf = leaf.tbs_certificate();
        if let Some(bits) = rsa_bits(leaf)
            && bits < LEAST_RSA_BITS
        {
            return Err(CertificateError::Weak { bits });
        }
        let names = leaf
            .get_extension::<SubjectAltName>()
            .map_err(|_| CertificateError::LeafUndecodable)?
            .map_or_else(Vec::new, |(_, names)| names.0);
        let hosts = names.iter().filter_map(host).collect();
        let is_address = |name: &GeneralName| matches!(name, GeneralName::IpAddress(_));
        let certificate = Self {
            named: names
                .iter()
                .any(|name| host(name).is_some() || is_address(name)),
            names: hosts,
            orphan: chain.len() == 1 && leaf.issuer() != leaf.subject(),
            not_before: moment(leaf.validity().not_before.to_unix_duration()),
            not_after: moment(leaf.validity().not_after.to_unix_duration()),
            certified: Arc::new(certify(chain, read_key(key)?)?),
        };
        if certificate.not_after < now {
            let at = certificate.not_after;
            return Err(CertificateError::Expired { at });
        }
        Ok(certificate)
    }

    /// What somebody should look at although it can be served.
    #[must_use]
    pub fn doubts(&self, now: UnixTime) -> Vec<CertificateError> {
        let early = CertificateError::NotYetValid {
            from: self.not_before,
        };
        [
            (now < self.not_before, early),
            (self.orphan, CertificateError::IssuerMissing),
            (!self.named, CertificateError::Nameless),
        ]
        .into_iter()
        .filter_map(|(applies, doubt)| applies.then_some(doubt))
        .collect()
    }

    /// The chain and the key, as TLS wants them.
    #[must_use]
    pub const fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Whether it is for the host that a client asks for. A wildcard stands for exactly one label, the first (RFC 9525
    /// section 6.3).
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let domain = host.split_once('.').map(|(_, domain)| domain);
        self.names.iter().any(|name| {
            let wildcard = name.strip_prefix("*.");
            *name == host || (wildcard.is_some() && wildcard == domain)
        })
    }

    /// The first moment of its validity.
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The last moment of its validity.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }
}

/// The certificates in a text; at least one.
fn read_chain(text: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, pem::Error> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let chain = chain.map_err(|_| CertificateError::ChainDamaged)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    Ok(chain)
}

fn read_key(text: &str) -> Result<Arc<dyn SigningKey>, CertificateError> {
    // In a PKCS#8 label, or in the header that OpenSSL once wrote into the other forms.
    if text.contains("ENCRYPTED") {
        return Err(CertificateError::KeyEncrypted);
    }
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            CertificateError::NoKey
        } else {
            CertificateError::KeyDamaged
        }
    })?;
    let loaded = default_provider().key_provider.load_private_key(key);
    loaded.map_err(|_| CertificateError::KeyUnsupported)
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<CertifiedKey, CertificateError> {
    let fits = |certificate: &CertificateDer<'static>| {
        let pair = CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key));
        pair.keys_match().is_ok()
    };
    match chain.iter().position(fits) {
        Some(0) => Ok(CertifiedKey::new(chain, key)),
        Some(place) => Err(CertificateError::LeafNotFirst { number: place + 1 }),
        None => Err(CertificateError::KeyMismatch),
    }
}

/// The length of the modulus of an RSA key; `None` where it is another key.
fn rsa_bits(leaf: &TbsCertificate) -> Option<usize> {
    const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    let key = leaf.subject_public_key_info();
    if key.algorithm.oid != RSA_ENCRYPTION {
        return None;
    }
    let modulus = |key: &[u8]| -> der::Result<usize> {
        SliceReader::new(key)?.sequence(|key| {
            let modulus = UintRef::decode(key)?;
            UintRef::decode(key)?;
            let leading = modulus
                .as_bytes()
                .first()
                .map_or(0, |byte| byte.leading_zeros());
            Ok(modulus.as_bytes().len() * 8 - leading as usize)
        })
    };
    modulus(key.subject_public_key.as_bytes()?).ok()
}

fn host(name: &GeneralName) -> Option<String> {
    let GeneralName::DnsName(host) = name else {
        return None;
    };
    Some(host.as_str().to_ascii_lowercase())
}

const fn moment(since_epoch: Duration) -> UnixTime {
    UnixTime::from_secs(since_epoch.as_secs())
}

/// The moment in UTC, to the second.
pub(crate) fn date(moment: UnixTime) -> String {
    let since_epoch = Duration::from_secs(moment.as_secs());
    DateTime::from_unix_duration(since_epoch)
        .map_or_else(|_| "?".to_owned(), |date| date.to_string())
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
