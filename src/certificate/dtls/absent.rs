//! What stands for OpenSSL's view of certificates in a build without DTLS.

use super::CertificateError;

/// What a certificate is for DTLS, which is nothing here.
#[derive(Clone, Debug)]
pub(crate) struct Identity;

impl Identity {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the other build has something to refuse"
    )]
    pub(crate) const fn parse(_: &str, _: &str) -> Result<Self, CertificateError> {
        Ok(Self)
    }
}
