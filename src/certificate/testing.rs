//! Certificates for the tests of every layer, made anew each time.

use rcgen::{
    CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::time::UnixTime;

/// The time in these tests: 2026-11-21.
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_219_200);

/// A certificate and its key, as the files would hold them.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Issued {
    /// A self-signed certificate for `names`, valid for centuries.
    pub(crate) fn to(names: &[&str]) -> Self {
        Self::of(&params(names), &KeyPair::generate().unwrap())
    }

    /// A self-signed certificate, valid from the first of these days (year, month, day) to the second.
    pub(crate) fn between(from: (i32, u8, u8), until: (i32, u8, u8)) -> Self {
        let mut params = params(&["relay.test"]);
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        Self::of(&params, &KeyPair::generate().unwrap())
    }

    /// A certificate that an authority has issued, and the authority's own.
    pub(crate) fn with_issuer() -> (Self, String) {
        let issuer = authority();
        let key = KeyPair::generate().unwrap();
        let leaf = params(&["relay.test"]).signed_by(&key, &issuer).unwrap();
        let issued = Self {
            chain: leaf.pem(),
            key: key.serialize_pem(),
        };
        (issued, issuer.pem())
    }

    /// The chain of a certificate for this public key.
    pub(crate) fn chain_for(key: &impl PublicKeyData) -> String {
        params(&["relay.test"])
            .signed_by(key, &authority())
            .unwrap()
            .pem()
    }

    /// A self-signed certificate with a key of that kind.
    pub(crate) fn of(params: &CertificateParams, key: &KeyPair) -> Self {
        Self {
            chain: params.self_signed(key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// The first certificate of the chain.
    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(&[]);
    params
        .distinguished_name
        .push(DnType::CommonName, "an authority");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
