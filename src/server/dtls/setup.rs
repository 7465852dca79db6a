//! What DTLS is spoken with: certificates, and what all handshakes have in common.

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    AlpnError, NameType, SniError, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions,
    SslSessionCacheMode, SslVersion, select_next_proto,
};

use super::hello::Cookies;
use crate::certificate::Identity;
use crate::server::tls::LoadError;

/// Forward secrecy and authenticated encryption alone (RFC 9325 section 4.2), with records as [`super::sieve`] knows them.
const CIPHERS: &str = "ECDHE+AESGCM";

/// Key exchanges that cost a tenth of a millisecond: others would let a few clients hold up all others.
const GROUPS: &str = "X25519:P-256";

/// The application protocols that may be agreed on, each with its length: those of TLS.
const ALPN: &[u8] = b"\x09stun.turn\x12stun.nat-discovery";

/// Bytes of a datagram that the messages of a handshake are cut to: what every path takes.
const HANDSHAKE_MTU: u32 = 1200;

/// What DTLS is spoken with, made once for all workers.
#[derive(Clone)]
pub(in crate::server) struct Setup {
    context: SslContext,
    /// Where a session has the cookie that its client has proven.
    proven: Index<Ssl, Vec<u8>>,
    pub(super) cookies: Cookies,
}

impl Setup {
    /// `choose` finds the certificate for a host, or the one for clients that name none. Cookies are made with `key`,
    /// which is as good as random.
    ///
    /// # Errors
    ///
    /// [`LoadError::DtlsUnusable`] where the library does not work.
    pub(in crate::server) fn new(
        key: &[u8; 32],
        choose: impl Fn(Option<&str>) -> Option<Identity> + Send + Sync + 'static,
    ) -> Result<Self, LoadError> {
        Self::build(key, choose).map_err(|_| LoadError::DtlsUnusable)
    }

    fn build(
        key: &[u8; 32],
        choose: impl Fn(Option<&str>) -> Option<Identity> + Send + Sync + 'static,
    ) -> Result<Self, ErrorStack> {
        let proven = Ssl::new_ex_index::<Vec<u8>>()?;
        let mut context = context()?;
        context.set_cookie_generate_cb(move |ssl, out| {
            let cookie = ssl.ex_data(proven).map_or(&[][..], Vec::as_slice);
            let len = cookie.len().min(out.len());
            out[..len].copy_from_slice(&cookie[..len]);
            Ok(len)
        });
        context.set_cookie_verify_cb(move |ssl, returned| {
            ssl.ex_data(proven).is_some_and(|cookie| cookie == returned)
        });
        // Called at each handshake, whether the client names a host or not.
        context.set_servername_callback(move |ssl, _| {
            let identity = choose(ssl.servername(NameType::HOST_NAME));
            let identity = identity.ok_or(SniError::ALERT_FATAL)?;
            identity.serve(ssl).map_err(|_| SniError::ALERT_FATAL)
        });
        Ok(Self {
            context: context.build(),
            proven,
            cookies: Cookies::new(key),
        })
    }

    /// The library's part of a session, for a client that has proven this cookie.
    pub(super) fn session(&self, cookie: &[u8]) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_accept_state();
        ssl.set_mtu(HANDSHAKE_MTU)?;
        ssl.set_ex_data(self.proven, cookie.to_vec());
        Ok(ssl)
    }
}

/// What all handshakes have in common.
fn context() -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContextBuilder::new(SslMethod::dtls_server())?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_cipher_list(CIPHERS)?;
    context.set_groups_list(GROUPS)?;
    context.set_options(
        SslOptions::COOKIE_EXCHANGE
            | SslOptions::NO_QUERY_MTU
            | SslOptions::NO_TICKET
            | SslOptions::NO_RENEGOTIATION,
    );
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    // RFC 7443: as over TLS, a client that offers names has to offer ours.
    context.set_alpn_select_callback(|_, offered| {
        select_next_proto(ALPN, offered).ok_or(AlpnError::ALERT_FATAL)
    });
    Ok(context)
}
