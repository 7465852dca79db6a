//! Valid documents: what the daemon is told.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::auth::Login;
use crate::relay::{ByteRate, OnExpiry};

#[test]
fn minimal_document_serves_with_defaults() {
    let config = config(MINIMAL, &[]);
    assert_eq!(config.auth.realm, "relay.test");
    assert_eq!(
        config.listeners,
        [Listener {
            addr: "192.0.2.1:3478".parse().unwrap(),
            transport: ListenTransport::Udp,
            proxy_protocol: Vec::new(),
        }]
    );
    assert_eq!(config.auth.secrets[0].id(), "a");
    assert!(is(&config.auth.secrets[0], SECRET));
    assert_eq!(config.relay.ports, defaults::RELAY_PORTS);
    assert_eq!(config.relay.peers.scope, PeerScope::Fleet);
    assert_eq!(config.relay.on_expiry, OnExpiry::Keep);
    assert_eq!(config.relay.software, None);
    assert_eq!(config.log_addresses, LogAddresses::Pseudonym);
    assert_eq!(config.metrics, defaults::METRICS);
    assert_eq!(config.streams.send_queue, defaults::SEND_QUEUE);
    assert_eq!(config.tls.certificates, []);
}

#[test]
fn relay_address_without_advertise_advertises_itself() {
    let here: IpAddr = "192.0.2.1".parse().unwrap();
    let expected = RelayAddress {
        bind: here,
        advertise: here,
    };
    assert_eq!(config(MINIMAL, &[]).relay.ipv4, Some(expected));
}

#[test]
fn relay_address_may_be_a_table_of_its_own() {
    let text = format!("{MINIMAL}\n[relay.ipv6]\nbind = \"2001:db8::5\"\n");
    let ipv6 = config(&text, &[]).relay.ipv6.expect("given");
    assert_eq!(ipv6.bind, "2001:db8::5".parse::<IpAddr>().unwrap());
}

#[test]
fn written_values_reach_their_fields() {
    let text = MINIMAL.to_owned()
        + r#"
[auth]
nonce_lifetime = "5m"
max_ttl = "12h"
leeway = "5s"
separator = "|"
require_id = true
offer_md5 = false
on_expiry = "refuse-refresh"
max_session = "2h"
[lifetimes]
allocation_default = "5m"
quarantine = "0s"
[limits]
allocations = 7
rate = "4mbit"
[peers]
policy = "call"
fleet = ["198.51.100.0/24"]
deny = ["203.0.113.7/24"]
deny_ports = ["53", "6881-6889", 19]
[stun]
binding = false
software = "relay"
[privacy]
log_addresses = "none"
[log]
level = "debug"
format = "json"
[metrics]
listen = "off"
[runtime]
workers = 3
pin_cpus = false
receive_buffer = "512KiB"
"#;
    let config = config(&text, &[]);
    assert_eq!(config.auth.nonce_lifetime, Duration::from_secs(300));
    assert_eq!(config.auth.max_ttl, Duration::from_secs(12 * 3600));
    assert_eq!(config.auth.leeway, Duration::from_secs(5));
    assert_eq!(config.auth.separator, '|');
    assert!(config.auth.require_id);
    assert!(!config.auth.offer_md5);
    assert_eq!(config.relay.on_expiry, OnExpiry::RefuseRefresh);
    assert_eq!(
        config.relay.lifetimes.session_max,
        Duration::from_secs(2 * 3600)
    );
    assert_eq!(
        config.relay.lifetimes.allocation_default,
        Duration::from_secs(300)
    );
    assert_eq!(config.relay.lifetimes.quarantine, Duration::ZERO);
    assert_eq!(config.relay.limits.allocations, 7);
    let four_megabit = ByteRate(500_000.try_into().unwrap());
    assert_eq!(config.relay.limits.rate, Some(four_megabit));
    assert_eq!(config.relay.peers.scope, PeerScope::Call);
    assert_eq!(
        config.relay.peers.fleet,
        ["198.51.100.0/24".parse().unwrap()]
    );
    let truncated = "203.0.113.0/24".parse().unwrap();
    assert_eq!(config.relay.peers.deny, [truncated]);
    assert_eq!(
        config.relay.peers.deny_ports,
        [53..=53, 6881..=6889, 19..=19]
    );
    assert!(!config.relay.binding);
    assert_eq!(config.relay.software.as_deref(), Some("relay"));
    assert_eq!(config.log_addresses, LogAddresses::None);
    assert_eq!(config.log.level, LogLevel::Debug);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.metrics, None);
    assert_eq!(config.runtime.workers, 3);
    assert!(!config.runtime.pin_cpus);
    assert_eq!(config.runtime.receive_buffer, 512 << 10);
    assert_eq!(config.runtime.send_buffer, defaults::SEND_BUFFER);
}

#[test]
fn written_limits_of_streams_reach_their_fields() {
    let text = MINIMAL.to_owned()
        + r#"
[streams]
connections = 100
connections_per_prefix = 10
handshake_timeout = "5s"
idle_timeout = "1m"
send_queue = "1MiB"
send_queue_age = "200ms"
keepalive = "30s"
[tls]
min_version = "1.3"
"#;
    let config = config(&text, &[]);
    let streams = StreamOptions {
        connections: 100,
        connections_per_prefix: 10,
        handshake_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(60),
        send_queue: 1 << 20,
        send_queue_age: Duration::from_millis(200),
        keepalive: Duration::from_secs(30),
    };
    assert_eq!(config.streams, streams);
    assert_eq!(config.tls.min_version, TlsVersion::V1_3);
}

#[test]
fn one_port_may_be_listened_on_by_udp_and_by_streams() {
    let text = format!("{MINIMAL}\n[[listen]]\naddr = \"192.0.2.1:3478\"\ntransport = \"tcp\"\n");
    let transports: Vec<_> = config(&text, &[])
        .listeners
        .iter()
        .map(|l| l.transport)
        .collect();
    assert_eq!(transports, [ListenTransport::Udp, ListenTransport::Tcp]);
}

#[test]
fn listener_with_upstreams_accepts_theirs_alone() {
    let text = format!(
        "{MINIMAL}\n[[listen]]\naddr = \"[::]:443\"\ntransport = \"tcp\"\n\
         proxy_protocol = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n"
    );
    let listeners = config(&text, &[]).listeners;
    let accepts =
        |listener: usize, source: &str| listeners[listener].accepts(source.parse().unwrap());
    for upstream in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
        assert!(accepts(1, upstream), "{upstream}");
    }
    for stranger in ["192.0.2.9", "::ffff:192.0.2.9", "2001:db9::1", "::"] {
        assert!(!accepts(1, stranger), "{stranger}");
        assert!(accepts(0, stranger), "{stranger}");
    }
}

#[test]
fn secret_file_loses_the_newline_at_its_end() {
    let text = MINIMAL.replace(&format!("value = \"{SECRET}\""), "value_file = \"s\"");
    let files = Shelf(vec![("s", format!("{SECRET}\r\n"))]);
    let config = read_with(&text, &[], &files).expect("valid").config;
    assert!(is(&config.auth.secrets[0], SECRET));
}

#[test]
fn stored_keys_need_no_password() {
    let text = format!(
        "{MINIMAL}\n[[auth.user]]\nname = \"1001\"\nmd5_key = \"d9A6a3d964467baeffd2fce41704a913\"\n"
    );
    let user = &config(&text, &[]).auth.users[0];
    assert_eq!(user.name, "1001");
    assert!(matches!(user.login, Login::Keys(_)));
}

#[test]
fn variables_override_and_add() {
    let config = config(
        MINIMAL,
        &[
            ("VEILTURN_REALM", "other.test"),
            ("VEILTURN_LISTEN__0__ADDR", "192.0.2.1:3479"),
            ("VEILTURN_LISTEN__1__ADDR", "192.0.2.1:3480"),
            ("VEILTURN_RELAY__IPV6__BIND", "2001:db8::5"),
            ("VEILTURN_LIMITS__ALLOCATIONS", "9"),
            ("VEILTURN_STUN__BINDING", "false"),
            ("VEILTURN_PEERS__DENY", "192.0.2.0/24, 2001:db8::/32"),
            ("VEILTURN_PEERS__DENY_PORTS__0", "53"),
        ],
    );
    assert_eq!(config.auth.realm, "other.test");
    let ports: Vec<_> = config.listeners.iter().map(|l| l.addr.port()).collect();
    assert_eq!(ports, [3479, 3480]);
    assert!(config.relay.ipv6.is_some());
    assert_eq!(config.relay.limits.allocations, 9);
    assert!(!config.relay.binding);
    assert_eq!(config.relay.peers.deny.len(), 2);
    assert_eq!(config.relay.peers.deny_ports, [53..=53]);
}

#[test]
fn ten_list_elements_from_variables_keep_their_order() {
    let names: Vec<_> = (1..=10)
        .map(|n| {
            (
                format!("VEILTURN_LISTEN__{n}__ADDR"),
                format!("192.0.2.1:{n}"),
            )
        })
        .collect();
    let variables: Vec<_> = names.iter().map(|(n, v)| (&**n, &**v)).collect();
    let config = config(MINIMAL, &variables);
    let ports: Vec<_> = config.listeners.iter().map(|l| l.addr.port()).collect();
    assert_eq!(ports, [3478, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn secret_of_digits_in_a_variable_stays_text() {
    let variables = [("VEILTURN_AUTH__SECRET__0__VALUE", "12345678901234567890")];
    let config = config(MINIMAL, &variables);
    assert!(is(&config.auth.secrets[0], variables[0].1));
}

#[test]
fn foreign_variables_are_ignored() {
    config(
        MINIMAL,
        &[
            ("VEILTURN_LOG", "debug"),
            ("VEILTURN_PORT_3478_UDP", "udp://192.0.2.7:3478"),
            ("VEILTURN_SERVICE_HOST", "192.0.2.7"),
            ("PATH__0", "/bin"),
        ],
    );
}

#[test]
fn relay_options_name_every_own_address_once() {
    let config = config(MINIMAL, &[]);
    let bound = vec!["192.0.2.1:3478".parse().unwrap()];
    let interfaces = vec!["192.0.2.9".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    let options = config.relay_options(bound.clone(), interfaces);
    assert_eq!(options.peers.own_sockets, bound);
    let expected: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.9".parse().unwrap()];
    assert_eq!(options.peers.own_addresses, expected);
}

#[test]
fn dev_relays_on_the_loopback_interface_within_one_call() {
    let secret = Secret::new("dev", SECRET.as_bytes().to_vec().into()).expect("not empty");
    let config = Config::dev(0, secret);
    assert_eq!(config.listeners[0].addr, "127.0.0.1:0".parse().unwrap());
    assert_eq!(config.relay.peers.scope, PeerScope::Call);
    assert!(is(&config.auth.secrets[0], SECRET));
    let here: IpAddr = "127.0.0.1".parse().unwrap();
    let allow = &config.relay.peers.allow;
    assert!(allow.iter().any(|net| net.contains(&here)));
    assert_eq!(config.relay.ipv4.map(|relay| relay.bind), Some(here));
    assert_eq!(config.metrics, None);
    assert!(Authenticator::new(config.auth, &[0; 32]).is_ok());
}

#[test]
fn debug_output_holds_no_secret() {
    let text = format!(
        "{MINIMAL}\n[[auth.user]]\nname = \"a\"\npassword = \"pQ4nVx7LbHs1dKe8\"\n\
         [[auth.user]]\nname = \"b\"\nsha256_key = \"{}\"\n",
        "ab".repeat(32)
    );
    let shown = format!("{:?}", config(&text, &[]));
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(!shown.contains("pQ4nVx7LbHs1dKe8"), "{shown}");
    assert!(!shown.contains("171, 171"), "{shown}");
    assert!(!shown.contains("abab"), "{shown}");
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in ".{0,300}") {
        let _ = read(&text);
    }

    #[test]
    fn any_value_of_a_key_is_read_without_panic(
        key in "(realm|listen|relay|auth|peers|limits|lifetimes|log)(\\.[a-z_0-9]{1,12}){0,2}",
        value in r#"("[^"\\]{0,20}"|-?[0-9]{1,22}|true|\[\]|\[\{\}\]|\{\}|\{ a = 1 \}|1\.5|1979-05-27)"#,
    ) {
        let report = read(&format!("{key} = {value}\n")).expect_err("no realm or no listener");
        prop_assert!(report.has_errors());
    }

    #[test]
    fn any_variable_is_read_without_panic(
        name in "VEILTURN_[A-Z_0-9]{0,30}",
        value in ".{0,20}",
    ) {
        let _ = read_with(MINIMAL, &[(&name, &value)], &NoFiles);
    }

    #[test]
    fn a_rate_in_kilobits_is_that_many_eighths(kilobits in 1u64..1_000_000) {
        let text = format!("{MINIMAL}\n[limits]\nrate = \"{kilobits}kbit\"\n");
        let rate = config(&text, &[]).relay.limits.rate.map(|rate| rate.0.get());
        prop_assert_eq!(rate, Some(kilobits * 125));
    }
}
