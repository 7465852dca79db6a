//! Relay sockets: exclusive ports, errors by cause.

use veilturn::net::{BindError, UdpSocket};

use crate::support::*;

#[test]
fn a_port_belongs_to_one() {
    for at in LOOPBACKS {
        let first = relay(at);

        let second = UdpSocket::relay(first.local_addr(), &PLAIN);
        let shared = UdpSocket::listen(first.local_addr(), &PLAIN);

        assert!(matches!(second, Err(BindError::PortTaken)));
        assert!(matches!(shared, Err(BindError::PortTaken)));
    }
}

#[test]
fn a_foreign_address_is_told_from_a_taken_port() {
    for at in ["192.0.2.99:0", "[2001:db8::99]:0"] {
        let socket = UdpSocket::relay(addr(at), &PLAIN);

        assert!(matches!(socket, Err(BindError::NoSuchAddress)));
    }
}

#[test]
fn an_error_does_not_print_the_address() {
    let error = UdpSocket::relay(addr("192.0.2.99:0"), &PLAIN)
        .err()
        .unwrap();

    assert!(!format!("{error:?} {error}").contains("192.0.2"));
}
