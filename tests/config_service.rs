//! The service unit, the example configuration and the code agree with each other.

use std::time::Duration;

use veilturn::config::defaults;

const UNIT: &str = include_str!("../systemd/veilturn.service");
const DROP_IN: &str = include_str!("../systemd/ports-below-1024.conf");
const EXAMPLE: &str = include_str!("../config.example.toml");

#[test]
fn credential_of_the_unit_is_the_secret_of_the_example() {
    let (name, _) = setting("LoadCredential")
        .split_once(':')
        .expect("a name and a file");
    let file = format!("value_file = \"/run/credentials/veilturn.service/{name}\"\n");
    assert!(EXAMPLE.contains(&file), "{file}");
}

#[test]
fn stopping_may_take_longer_than_draining() {
    let patience = humantime::parse_duration(setting("TimeoutStopSec")).expect("a duration");
    let margin = Duration::from_secs(30);
    assert!(patience >= defaults::DRAIN_TIMEOUT + margin, "{patience:?}");
}

#[test]
fn every_relay_port_of_both_families_and_every_connection_may_have_a_descriptor() {
    let descriptors: usize = setting("LimitNOFILE").parse().expect("a number");
    let relay_ports = defaults::RELAY_PORTS.len();
    let connections = defaults::CONNECTIONS;
    assert!(
        descriptors > 2 * relay_ports + connections + 1000,
        "{descriptors}"
    );
}

#[test]
fn refused_configuration_is_checked_first_and_not_retried() {
    let file = "/etc/veilturn/veilturn.toml";
    assert!(setting("ExecStartPre").ends_with(&format!("check --config {file}")));
    assert!(setting("ExecStart").ends_with(&format!("serve --config {file}")));
    assert_eq!(setting("RestartPreventExitStatus"), "2");
}

#[test]
fn reload_is_the_signal_that_renews_certificates() {
    assert_eq!(setting("ExecReload"), "/bin/kill -HUP $MAINPID");
}

#[test]
fn drop_in_for_low_ports_gives_one_capability_and_a_namespace_where_it_counts() {
    let lines: Vec<_> = DROP_IN.lines().filter(|line| line.contains('=')).collect();
    let expected = [
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "PrivateUsers=no",
    ];
    assert_eq!(lines, expected);
}

/// The value of a setting of the unit.
fn setting(name: &str) -> &'static str {
    UNIT.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .expect("the unit has the setting")
}
