//! The addresses of this machine.

use std::io;
use std::net::IpAddr;

/// The addresses of this machine's network interfaces, loopback included, each once.
///
/// # Errors
///
/// What the kernel answers when it cannot list them.
pub fn interfaces() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()?
        .iter()
        .map(if_addrs::Interface::ip)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

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
