//! What stands for DTLS in a build without it: it cannot be set up, and so no worker has any.

use std::io;

use super::streams::{DtlsStart, StreamStart};
use super::tls::LoadError;
use crate::certificate::Identity;
use crate::net::Poller;
use crate::relay::{FiveTuple, Packet};
use crate::time::Tick;

/// What DTLS is spoken with, which cannot be made.
#[derive(Clone)]
pub(super) enum Setup {}

impl Setup {
    pub(super) fn new(
        _: &[u8; 32],
        _: impl Fn(Option<&str>) -> Option<Identity> + Send + Sync + 'static,
    ) -> Result<Self, LoadError> {
        Err(LoadError::DtlsNotBuilt)
    }
}

/// The sessions of a worker, which no worker has.
pub(super) enum Dtls {}

impl Dtls {
    pub(super) const fn new(dtls: &DtlsStart, _: &StreamStart, _: &Poller) -> io::Result<Self> {
        match dtls.setup {}
    }

    pub(super) const fn listeners(&self) -> usize {
        match *self {}
    }

    pub(super) const fn receive(&mut self, _: u32, _: usize) {
        match *self {}
    }

    pub(super) const fn next_message<'b>(
        &mut self,
        _: Tick,
        _: &'b mut Vec<u8>,
    ) -> Option<(FiveTuple, Packet<'b>)> {
        match *self {}
    }

    pub(super) const fn seal(&mut self, _: &FiveTuple, _: &[u8]) {
        match *self {}
    }

    pub(super) const fn flush(&mut self) {
        match *self {}
    }

    pub(super) const fn poll_timeout(&self) -> Option<Tick> {
        match *self {}
    }

    pub(super) fn handle_timeout(&mut self, _: Tick, _: impl Fn(&FiveTuple) -> bool) {
        match *self {}
    }

    pub(super) const fn shut_down(&mut self) {
        match *self {}
    }

    pub(super) const fn reap(&mut self) -> Option<FiveTuple> {
        match *self {}
    }

    pub(super) const fn end_turn(&mut self) {
        match *self {}
    }
}
