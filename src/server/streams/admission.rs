//! How many connections there may be, in total and from one prefix, over all workers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CloseReason;
use crate::config::StreamOptions;

/// The count of open connections, shared by the workers. Its lock is taken when a connection comes or goes, never for
/// what it carries.
#[derive(Debug)]
pub(crate) struct Admission {
    connections_max: usize,
    per_prefix_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// By /32 and /64. Holds no more entries than there are connections.
    by_prefix: HashMap<IpAddr, usize>,
}

/// The place of one connection, free again when this is dropped.
pub(in crate::server) struct Ticket {
    admission: Arc<Admission>,
    prefix: Option<IpAddr>,
}

impl Admission {
    pub(crate) fn new(options: &StreamOptions) -> Self {
        Self {
            connections_max: options.connections,
            per_prefix_max: options.connections_per_prefix,
            open: Mutex::default(),
        }
    }

    /// A place for one connection, of a client who is yet to be known.
    pub(in crate::server) fn admit(self: &Arc<Self>) -> Result<Ticket, CloseReason> {
        let mut open = self.open();
        if open.total >= self.connections_max {
            return Err(CloseReason::Full);
        }
        open.total += 1;
        Ok(Ticket {
            admission: Arc::clone(self),
            prefix: None,
        })
    }

    /// A panic ends the daemon, so that nobody sees a poisoned lock.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Counts the connection among those of its client's prefix. To be called once.
    pub(in crate::server) fn count_for(&mut self, client: IpAddr) -> Result<(), CloseReason> {
        debug_assert!(self.prefix.is_none(), "a connection has one client");
        let prefix = prefix(client);
        let mut open = self.admission.open();
        let count = open.by_prefix.entry(prefix).or_default();
        if *count >= self.admission.per_prefix_max {
            return Err(CloseReason::PrefixFull);
        }
        *count += 1;
        drop(open);
        self.prefix = Some(prefix);
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.total -= 1;
        let Some(prefix) = self.prefix else { return };
        if let Some(count) = open.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                open.by_prefix.remove(&prefix);
            }
        }
    }
}

/// What one client is taken to have for itself: an IPv4 address, an IPv6 /64.
fn prefix(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::streams::tests::OPTIONS;

    #[test]
    fn the_newest_connection_is_refused_until_another_ends() {
        let admission = admission(2, 10);
        let first = admission.admit().map_err(|_| ()).unwrap();
        let _second = admission.admit().map_err(|_| ()).unwrap();
        assert_eq!(admission.admit().err(), Some(CloseReason::Full));

        drop(first);

        assert!(admission.admit().is_ok());
    }

    #[test]
    fn a_prefix_is_an_ipv4_address_and_an_ipv6_64() {
        let admission = admission(100, 2);
        let mut held = Vec::new();
        let mut connect = |from: &str| {
            let mut ticket = admission.admit().map_err(|_| ()).unwrap();
            let counted = ticket.count_for(from.parse().unwrap());
            held.push(ticket);
            counted
        };

        assert_eq!(connect("192.0.2.1"), Ok(()));
        assert_eq!(connect("::ffff:192.0.2.1"), Ok(()));
        assert_eq!(connect("192.0.2.1"), Err(CloseReason::PrefixFull));
        assert_eq!(connect("192.0.2.2"), Ok(()));
        assert_eq!(connect("2001:db8::1"), Ok(()));
        assert_eq!(connect("2001:db8::ffff:1"), Ok(()));
        assert_eq!(connect("2001:db8::2"), Err(CloseReason::PrefixFull));
        assert_eq!(connect("2001:db8:0:1::1"), Ok(()));
    }

    #[test]
    fn nothing_is_kept_of_connections_that_are_gone() {
        let admission = admission(10, 1);
        for last in 0..=255 {
            let mut ticket = admission.admit().map_err(|_| ()).unwrap();
            ticket.count_for([192, 0, 2, last].into()).unwrap();
            let mut refused = admission.admit().map_err(|_| ()).unwrap();
            assert!(refused.count_for([192, 0, 2, last].into()).is_err());
        }
        let open = admission.open();
        assert_eq!((open.total, open.by_prefix.len()), (0, 0));
    }

    fn admission(connections: usize, connections_per_prefix: usize) -> Arc<Admission> {
        Arc::new(Admission::new(&StreamOptions {
            connections,
            connections_per_prefix,
            ..OPTIONS
        }))
    }
}
