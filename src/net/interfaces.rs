//! The addresses of this machine.

use std::io;
use std::net::IpAddr;

use if_addrs::{IfAddr, Interface};

/// The addresses of this machine's network interfaces, loopback included, and their broadcast addresses, each once.
///
/// # Errors
///
/// What the kernel answers when it cannot list them.
pub fn interfaces() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()?
        .iter()
        .flat_map(|interface| [Some(interface.ip()), broadcast(interface)])
        .flatten()
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Where a datagram to every machine on the interface's network goes; IPv6 has no such address.
fn broadcast(interface: &Interface) -> Option<IpAddr> {
    match &interface.addr {
        IfAddr::V4(v4) => v4.broadcast.map(IpAddr::V4),
        IfAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use if_addrs::{IfOperStatus, Ifv4Addr};

    use super::*;

    #[test]
    fn the_broadcast_address_of_a_network_is_known() {
        let everybody = Ipv4Addr::new(192, 0, 2, 255);
        let interface = Interface {
            name: "wan".to_owned(),
            addr: IfAddr::V4(Ifv4Addr {
                ip: Ipv4Addr::new(192, 0, 2, 7),
                netmask: Ipv4Addr::new(255, 255, 255, 0),
                prefixlen: 24,
                broadcast: Some(everybody),
            }),
            index: None,
            oper_status: IfOperStatus::Up,
            is_p2p: false,
        };

        assert_eq!(broadcast(&interface), Some(everybody.into()));
    }

    #[test]
    fn loopback_is_listed_once() {
        let addresses = interfaces().unwrap();

        let loopbacks = addresses
            .iter()
            .filter(|&&ip| ip == Ipv4Addr::LOCALHOST)
            .count();
        assert_eq!(loopbacks, 1);
    }
}
