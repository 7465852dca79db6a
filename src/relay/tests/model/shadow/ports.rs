//! The ports of the relayed addresses: each is free, or exactly one of the things below.

use std::net::SocketAddr;

use super::super::operation::Port;
use super::Shadow;
use super::time::millis;
use crate::relay::OpenError;
use crate::relay::tests::world::{Attempt, local};
use crate::wire::Family;

/// What a port that is not free is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum PortUse {
    /// The port of a relayed address.
    Live,
    /// Kept for whoever brings the token.
    Reserved {
        token: [u8; 8],
        id: &'static str,
        until: u64,
    },
    Resting {
        until: u64,
    },
}

/// How many ports are tried for one relayed address.
const ATTEMPTS: usize = 16;

/// How many ports one identity may have reserved.
const RESERVATIONS: usize = 16;

/// The attempts to open a relay socket that one request led to, in order.
pub(in super::super) struct Attempts<'a>(pub(in super::super) std::slice::Iter<'a, Attempt>);

impl Shadow {
    /// Follows the relay in its search for a port that fits: every one that it tries must do, and it must not give up
    /// early. The port and the index of its socket, or the error code.
    pub(super) fn open(
        &mut self,
        client: usize,
        family: Family,
        port: Port,
        attempts: &mut Attempts<'_>,
    ) -> Result<(u16, usize), u16> {
        if !self.serves(family) {
            return Err(440);
        }
        for _ in 0..ATTEMPTS {
            self.wake(Some(family));
            let fits = |candidate: &u16| self.fits(family, *candidate, port);
            if !self.setup.options.ports.clone().any(|port| fits(&port)) {
                break;
            }
            let attempt = attempts.0.next().expect("a free port is tried");
            let tried = attempt.local.port();
            assert!(fits(&tried), "port {tried} is not to be had");
            match self.try_open(client, family, tried, attempt) {
                Ok(socket) => {
                    if port == Port::EvenWithNext {
                        self.ports.insert((family, tried + 1), PortUse::Live);
                    }
                    return Ok((tried, socket));
                }
                Err(error) => {
                    if port == Port::EvenWithNext {
                        self.rest(family, tried + 1);
                    }
                    if error == OpenError::Unavailable {
                        break;
                    }
                }
            }
        }
        Err(508)
    }

    /// Follows one attempt to open a socket on a port.
    pub(super) fn try_open(
        &mut self,
        client: usize,
        family: Family,
        port: u16,
        attempt: &Attempt,
    ) -> Result<usize, OpenError> {
        let ip = self.relay_ip(family).expect("the family is served");
        assert_eq!(attempt.local, local(SocketAddr::new(ip, port)));
        match attempt.outcome {
            Ok(()) => {
                self.ports.insert((family, port), PortUse::Live);
                self.sockets.push(super::Socket {
                    worker: self.parties[client].worker,
                    token: attempt.token,
                    family,
                    client,
                });
                Ok(self.sockets.len() - 1)
            }
            Err(error) => {
                self.rest(family, port);
                Err(error)
            }
        }
    }

    /// Keeps the port after `port` for its user, if that may have another one.
    pub(super) fn reserve(
        &mut self,
        family: Family,
        port: u16,
        id: &'static str,
        token: Option<[u8; 8]>,
    ) -> Result<(), u16> {
        let own = self
            .ports
            .values()
            .filter(|port| matches!(port, PortUse::Reserved { id: other, .. } if *other == id))
            .count();
        if own >= RESERVATIONS {
            self.rest(family, port);
            self.rest(family, port + 1);
            // Opened and closed within one call: no packet can come from it.
            self.sockets.pop();
            return Err(508);
        }
        let token = token.expect("a reserved port has a token");
        assert!(!self.tokens.contains(&token), "a token is given out once");
        self.tokens.push(token);
        let until = self.now + millis(self.setup.options.lifetimes.reservation);
        let reserved = PortUse::Reserved { token, id, until };
        self.ports.insert((family, port + 1), reserved);
        Ok(())
    }

    /// The port that a token stands for, if it is this user's; the token is used up then.
    pub(super) fn redeem(&mut self, brought: [u8; 8], user: &str) -> Option<(Family, u16)> {
        self.wake(None);
        let is_meant = |used: &PortUse| matches!(used, PortUse::Reserved { token, id, .. } if *token == brought && *id == user);
        let mut ports = self.ports.iter();
        let found = ports.find(|(_, used)| is_meant(used)).map(|(at, _)| *at)?;
        self.ports.insert(found, PortUse::Live);
        Some(found)
    }

    /// Takes a port out of use.
    pub(super) fn rest(&mut self, family: Family, port: u16) {
        let until = self.now + millis(self.setup.options.lifetimes.quarantine);
        self.ports
            .insert((family, port), PortUse::Resting { until });
    }

    /// Ports are looked at: reservations that have lapsed give theirs up, and those of `family` that have rested are
    /// free.
    fn wake(&mut self, family: Option<Family>) {
        let now = self.now;
        let lapsed: Vec<(Family, u16)> = self
            .ports
            .iter()
            .filter(|(_, used)| matches!(used, PortUse::Reserved { until, .. } if *until <= now))
            .map(|(port, _)| *port)
            .collect();
        for (family, port) in lapsed {
            self.rest(family, port);
        }
        self.ports.retain(|(of, _), used| {
            !matches!(used, PortUse::Resting { until } if *until <= now && Some(*of) == family)
        });
    }

    fn fits(&self, family: Family, port: u16, wanted: Port) -> bool {
        let is_free = |port: u16| {
            self.setup.options.ports.contains(&port) && !self.ports.contains_key(&(family, port))
        };
        let is_even = port.is_multiple_of(2);
        is_free(port)
            && match wanted {
                Port::Any => true,
                Port::Even => is_even,
                Port::EvenWithNext => is_even && is_free(port + 1),
            }
    }
}
