//! How the generator's clients reach the server: over UDP, TCP or TLS, and whom TLS trusts then.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::BenchError;
use super::args::BenchArgs;
use crate::cli::Transport;
use crate::client::{Trust, tls_config};

/// What is between a client and the server.
#[derive(Clone)]
pub(super) enum Road {
    Udp,
    Tcp,
    /// With a server of that name.
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

impl Road {
    /// The road that `args` ask for.
    ///
    /// # Errors
    ///
    /// Where what they ask for is not measured over that road, or TLS lacks somebody to trust.
    pub(super) fn of(args: &BenchArgs) -> Result<Self, BenchError> {
        if args.transport != Transport::Udp {
            refuse("--baseline", args.baseline)?;
            refuse("--gso", args.gso)?;
            refuse("--gro", args.gro)?;
        }
        match args.transport {
            Transport::Udp => Ok(Self::Udp),
            Transport::Tcp => Ok(Self::Tcp),
            Transport::Tls => {
                let trust = match &args.ca {
                    Some(path) => Trust::Authorities(authorities(path)?),
                    None if args.insecure => Trust::Anybody,
                    None => return Err(BenchError::NoTrust),
                };
                let config = tls_config(trust).map_err(BenchError::Tls)?;
                let name = ServerName::try_from(args.server_name());
                Ok(Self::Tls(config, name.map_err(|_| BenchError::ServerName)?))
            }
        }
    }
}

fn refuse(what: &'static str, asked: bool) -> Result<(), BenchError> {
    if asked {
        return Err(BenchError::UdpOnly { what });
    }
    Ok(())
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, BenchError> {
    let failed = |source| BenchError::ReadAuthorities {
        path: path.to_owned(),
        source,
    };
    let found = CertificateDer::pem_file_iter(path).map_err(failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}
