//! A certificate with its key as OpenSSL serves it over DTLS, in builds with the cargo feature `dtls`.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslContext, SslMethod, SslRef};
use openssl::x509::X509;

use super::CertificateError;

/// A certificate chain and the private key of its first certificate, as OpenSSL has them.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    leaf: X509,
    issuers: Vec<X509>,
    key: PKey<Private>,
}

impl Identity {
    /// Reads the texts of a chain and of its key; [`super::Certificate::parse`] has found both good.
    ///
    /// # Errors
    ///
    /// What OpenSSL cannot use all the same.
    pub(crate) fn parse(chain: &str, key: &str) -> Result<Self, CertificateError> {
        let key = PKey::private_key_from_pem(key.as_bytes())
            .map_err(|_| CertificateError::KeyNotForDtls)?;
        let chain = X509::stack_from_pem(chain.as_bytes());
        let mut chain = chain
            .map_err(|_| CertificateError::ChainNotForDtls)?
            .into_iter();
        let identity = Self {
            leaf: chain.next().ok_or(CertificateError::NoCertificate)?,
            issuers: chain.collect(),
            key,
        };
        let tried = SslContext::builder(SslMethod::dtls_server())
            .and_then(|context| Ssl::new(&context.build()))
            .and_then(|mut session| identity.serve(&mut session));
        tried.map_err(|_| CertificateError::ChainNotForDtls)?;
        Ok(identity)
    }

    /// Has a session show it.
    ///
    /// # Errors
    ///
    /// Where OpenSSL does not take it.
    pub(crate) fn serve(&self, session: &mut SslRef) -> Result<(), ErrorStack> {
        session.set_certificate(&self.leaf)?;
        for issuer in &self.issuers {
            session.add_chain_cert(issuer.clone())?;
        }
        session.set_private_key(&self.key)
    }
}
