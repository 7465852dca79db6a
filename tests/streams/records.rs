//! Records of TLS made by hand (RFC 8446 section 5, RFC 5288): for what a well-behaved library never sends.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA384, KeyType, Prk};
use rustls::crypto::ring::default_provider;
use rustls::{ConnectionTrafficSecrets, KeyLog, ProtocolVersion, SupportedProtocolVersion};

use crate::support::{Relay, connect, secure_with, tls_client};

/// Content types.
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// The library's first suites, which both are of AES-256 and SHA-384.
const TAG: usize = 16;

/// A connection after its handshake, of which every record is sealed and opened here.
pub(crate) struct Records {
    pub(crate) socket: TcpStream,
    version: ProtocolVersion,
    tx: Half,
    rx: Half,
    /// What was opened and not read yet.
    plain: Vec<u8>,
}

/// The keys of one direction.
struct Half {
    key: LessSafeKey,
    iv: [u8; 12],
    number: u64,
    /// What the next keys of TLS 1.3 follow from.
    secret: Vec<u8>,
}

impl Records {
    /// Connects to a relay's TLS listener.
    pub(crate) fn connect(relay: &Relay, version: &'static SupportedProtocolVersion) -> Self {
        let log = Arc::new(Log::default());
        let mut config = tls_client(default_provider(), &relay.root, &[version]);
        config.key_log = Arc::clone(&log) as _;
        let secured = secure_with(connect(relay.tls), &Arc::new(config)).expect("a handshake");
        let version = secured.conn.protocol_version().expect("a handshake");
        let socket = secured.sock;
        let keys = secured.conn.dangerous_extract_secrets().expect("keys");
        let half = |(number, keys), label| {
            let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = keys else {
                panic!("the first suite that both know")
            };
            Half {
                key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("a key")),
                iv: iv.as_ref().try_into().expect("twelve bytes"),
                number,
                secret: log.secret(label),
            }
        };
        Self {
            socket,
            version,
            tx: half(keys.tx, "CLIENT_TRAFFIC_SECRET_0"),
            rx: half(keys.rx, "SERVER_TRAFFIC_SECRET_0"),
            plain: Vec::new(),
        }
    }

    /// Seals a record.
    pub(crate) fn seal(&mut self, kind: u8, bytes: &[u8]) -> Vec<u8> {
        let mut sealed = bytes.to_vec();
        let number = self.tx.next();
        if self.version == ProtocolVersion::TLSv1_2 {
            let explicit = number.to_be_bytes();
            let nonce = [&self.tx.iv[..4], &explicit].concat();
            let aad = aad_12(number, kind, bytes.len());
            self.tx.seal(&nonce, &aad, &mut sealed);
            let header = header(kind, explicit.len() + sealed.len());
            return [&header[..], &explicit, &sealed].concat();
        }
        sealed.push(kind);
        let header = header(DATA, sealed.len() + TAG);
        let nonce = self.tx.nonce_13(number);
        self.tx.seal(&nonce, &header, &mut sealed);
        [&header[..], &sealed].concat()
    }

    /// Seals a KeyUpdate message (RFC 8446 section 4.6.3), cut into two records where `cut` lies within it, and takes to
    /// the next keys.
    pub(crate) fn update_keys(&mut self, asks: bool, cut: usize) -> Vec<u8> {
        let message = [24, 0, 0, 1, asks.into()];
        let (first, second) = message.split_at(cut);
        let mut records = self.seal(HANDSHAKE, first);
        if !second.is_empty() {
            records.extend(self.seal(HANDSHAKE, second));
        }
        self.tx.advance();
        records
    }

    /// Receives a record: its content type and what it holds.
    pub(crate) fn open(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.socket.read_exact(&mut head)?;
        let mut sealed = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        self.socket.read_exact(&mut sealed)?;
        let number = self.rx.next();
        if self.version == ProtocolVersion::TLSv1_2 {
            let nonce = [&self.rx.iv[..4], &sealed[..8]].concat();
            let len = sealed.len() - 8 - TAG;
            let aad = aad_12(number, head[0], len);
            let plain = self.rx.open(&nonce, &aad, &mut sealed[8..]);
            return Ok((head[0], plain));
        }
        let nonce = self.rx.nonce_13(number);
        let mut plain = self.rx.open(&nonce, &head, &mut sealed);
        let kind = plain.pop().expect("a content type");
        if let (HANDSHAKE, Some(24)) = (kind, plain.first()) {
            assert_eq!(plain, [24, 0, 0, 1, 0], "a KeyUpdate alone in its record");
            self.rx.advance();
        }
        Ok((kind, plain))
    }
}

impl Read for Records {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.plain.is_empty() {
            match self.open()? {
                (DATA, plain) => self.plain = plain,
                // Tickets, and the server's own KeyUpdate.
                (HANDSHAKE, _) => {}
                (kind, plain) => panic!("a record of type {kind}: {plain:?}"),
            }
        }
        let count = buf.len().min(self.plain.len());
        buf[..count].copy_from_slice(&self.plain[..count]);
        self.plain.drain(..count);
        Ok(count)
    }
}

impl Write for Records {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let record = self.seal(DATA, buf);
        self.socket.write_all(&record).map(|()| buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Half {
    fn next(&mut self) -> u64 {
        self.number += 1;
        self.number - 1
    }

    fn nonce_13(&self, number: u64) -> Vec<u8> {
        let mut nonce = self.iv.to_vec();
        for (byte, of_number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= of_number;
        }
        nonce
    }

    fn seal(&self, nonce: &[u8], aad: &[u8], bytes: &mut Vec<u8>) {
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("twelve bytes");
        let sealed = self
            .key
            .seal_in_place_append_tag(nonce, Aad::from(aad), bytes);
        sealed.expect("a sealed record");
    }

    fn open(&self, nonce: &[u8], aad: &[u8], sealed: &mut [u8]) -> Vec<u8> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("twelve bytes");
        let opened = self.key.open_in_place(nonce, Aad::from(aad), sealed);
        opened.expect("a record in its order").to_vec()
    }

    /// Takes to the keys that follow (RFC 8446 section 7.2).
    fn advance(&mut self) {
        self.secret = expand(&self.secret, "traffic upd", 48);
        let key = expand(&self.secret, "key", 32);
        self.key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key"));
        self.iv = expand(&self.secret, "iv", 12)
            .try_into()
            .expect("twelve bytes");
        self.number = 0;
    }
}

fn header(kind: u8, len: usize) -> [u8; 5] {
    let len = u16::try_from(len).expect("a short record").to_be_bytes();
    [kind, 3, 3, len[0], len[1]]
}

/// What is authenticated beside a record of TLS 1.2 (RFC 5246 section 6.2.3.3).
fn aad_12(number: u64, kind: u8, len: usize) -> Vec<u8> {
    [&number.to_be_bytes()[..], &header(kind, len)].concat()
}

/// HKDF-Expand-Label without a context (RFC 8446 section 7.1).
fn expand(secret: &[u8], label: &str, len: usize) -> Vec<u8> {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let byte = |len: usize| [u8::try_from(len).expect("a short one")];
    let head = [&[0][..], &byte(len), &byte("tls13 ".len() + label.len())].concat();
    let info = [&head[..], b"tls13 ", label.as_bytes(), &[0]];
    let mut out = vec![0; len];
    let secret = Prk::new_less_safe(HKDF_SHA384, secret);
    let key = secret.expand(&info, Len(len)).expect("a short one");
    key.fill(&mut out).expect("as long as it was asked for");
    out
}

/// The secrets of a session, by their labels.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<(String, Vec<u8>)>>);

impl Log {
    fn secret(&self, label: &str) -> Vec<u8> {
        let secrets = self.0.lock().expect("nobody panicked");
        let found = secrets.iter().find(|(of, _)| of == label);
        found.map(|(_, secret)| secret.clone()).unwrap_or_default()
    }
}

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let mut secrets = self.0.lock().expect("nobody panicked");
        secrets.push((label.to_owned(), secret.to_vec()));
    }
}
