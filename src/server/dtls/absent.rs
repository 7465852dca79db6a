//! What stands for DTLS in a build without it: it cannot be set up, and so no worker has any.

use std::convert::Infallible;
use std::io;

use super::streams::{DtlsStart, StreamStart};
use super::tls::LoadError;
use crate::certificate::Identity;
use crate::net::Poller;
use crate::relay::{FiveTuple, Packet};
use crate::time::Tick;

/// What DTLS is spoken with, which cannot be made.
#[derive(Clone)]
pub(super) struct Setup(Infallible);

impl Setup {
    pub(super) fn new(
        _: &[u8; 32],
        _: impl Fn(Option<&str>) -> Option<Identity> + Send + Sync + 'static,
    ) -> Result<Self, LoadError> {
        Err(LoadError::DtlsNotBuilt)
    }
}

/// The sessions of a worker, which no worker has.
pub(super) struct Dtls(Infallible);

impl Dtls {
    pub(super) const fn new(dtls: &DtlsStart, _: &StreamStart, _: &Poller) -> io::Result<Self> {
        match dtls.setup.0 {}
    }

    pub(super) const fn listeners(&self) -> u32 {
        match self.0 {}
    }

    pub(super) const fn receive(&mut self, _: u32) {
        match self.0 {}
    }

    pub(super) const fn next_message<'b>(
        &mut self,
        _: Tick,
        _: &'b mut Vec<u8>,
    ) -> Option<(FiveTuple, Packet<'b>)> {
        match self.0 {}
    }

    pub(super) const fn seal(&mut self, _: &FiveTuple, _: &[u8]) {
        match self.0 {}
    }

    pub(super) const fn flush(&mut self) {
        match self.0 {}
    }

    pub(super) const fn poll_timeout(&self) -> Option<Tick> {
        match self.0 {}
    }

    pub(super) fn handle_timeout(&mut self, _: Tick, _: impl Fn(&FiveTuple) -> bool) {
        match self.0 {}
    }

    pub(super) const fn shut_down(&mut self) {
        match self.0 {}
    }

    pub(super) const fn reap(&mut self) -> Option<FiveTuple> {
        match self.0 {}
    }

    pub(super) const fn end_turn(&mut self) {
        match self.0 {}
    }
}
