//! The relay of a demonstration, and the road that leads to it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use ring::rand::{SecureRandom, SystemRandom};

use super::DemoError;
use super::link::Road;
use crate::auth::Secret;
use crate::cli::Transport;
use crate::client::{Trust, tls_config};
use crate::config::{CertificateFiles, Config, ListenTransport};
use crate::server::{self, Server};

/// Starts a relay on a free port of the loopback interface.
pub(super) fn relay(transport: Transport, secret: Secret) -> Result<(Server, Road), DemoError> {
    let mut config = Config::dev(0, secret);
    let listener = config.listeners.first_mut();
    let listener = listener.expect("this configuration has a listener");
    listener.transport = match transport {
        Transport::Udp => ListenTransport::Udp,
        Transport::Tcp => ListenTransport::Tcp,
        Transport::Tls => ListenTransport::Tls,
    };
    let host = listener.addr.ip().to_string();
    match transport {
        Transport::Udp => Ok((Server::start(&config)?, Road::Udp)),
        Transport::Tcp => Ok((Server::start(&config)?, Road::Tcp)),
        Transport::Tls => {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed([host])?;
            let folder = Folder::make().map_err(DemoError::Files)?;
            let files = CertificateFiles {
                chain: folder
                    .file("chain.pem", &cert.pem())
                    .map_err(DemoError::Files)?,
                key: folder
                    .file("key.pem", &signing_key.serialize_pem())
                    .map_err(DemoError::Files)?,
            };
            config.tls.certificates.push(files);
            // Nobody is trusted but this very certificate.
            let trust = Trust::Authorities(vec![cert.der().clone()]);
            let road = Road::Tls(tls_config(trust).map_err(DemoError::Tls)?);
            Ok((Server::start(&config)?, road))
        }
    }
}

/// A folder that nobody else can look into, gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Self> {
        let mut name = [0; 8];
        let random = SystemRandom::new().fill(&mut name);
        random.map_err(|_| io::Error::other(server::StartError::Randomness))?;
        let name = format!("veilturn-{:016x}", u64::from_ne_bytes(name));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn file(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing else can be done about a folder that cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
