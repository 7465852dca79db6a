//! Invalid and questionable documents: what an operator reads about them.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_the_file() {
    let text = r#"realm = "a-realm-that-is-much-too-long-for-this"
relam = 3
[[listen]]
adr = "192.0.2.1:3478"
[[listen]]
addr = "192.0.2.1"
transport = "tdp"
[relay]
ports = "49152:65535"
ipv4 = { bind = "0.0.0.0", advertize = "192.0.2.1" }
ipv6 = "2001:db8::5"
max_ttl = "3h"
[auth]
nonce_lifetime = 600
max_ttl = "10"
max_session = "10years"
require_id = "yes"
[[auth.secret]]
id = "two words"
value = "short"
[[auth.secret]]
value_file = "/nowhere"
[limits]
allocations = -1
rate = "4mb"
"#;
    let expected = r#"veilturn.toml:1:9: warning: realm: has 38 bytes: beyond 32, the answer to a spoofed request is more than three times its size
veilturn.toml:2:1: error: relam: unknown key (did you mean "realm"?)
veilturn.toml:3:1: error: listen[0].addr: missing: the address and port to listen on
veilturn.toml:4:1: error: listen[0].adr: unknown key (did you mean "addr"?)
veilturn.toml:6:8: error: listen[1].addr: "192.0.2.1" is not an address with a port, such as "0.0.0.0:3478" or "[::]:3478"
veilturn.toml:7:13: error: listen[1].transport: "tdp" is not one of udp, tcp, tls, auto, dtls (did you mean "tcp"?)
veilturn.toml:9:9: error: relay.ports: "49152:65535" is not a port or a range of ports, such as "53" or "49152-65535"
veilturn.toml:10:17: error: relay.ipv4.bind: an unspecified address cannot be relayed from: peers know a client by this one address, so name it
veilturn.toml:10:28: error: relay.ipv4.advertize: unknown key (did you mean "advertise"?)
veilturn.toml:11:8: error: relay.ipv6: must be a table, not a string
veilturn.toml:12:1: error: relay.max_ttl: unknown key (did you mean "auth.max_ttl"?)
veilturn.toml:14:18: error: auth.nonce_lifetime: must be a duration with a unit, such as "30s", "10m" or "24h", not an integer
veilturn.toml:15:11: error: auth.max_ttl: "10" is not a duration with a unit, such as "30s", "10m" or "24h"
veilturn.toml:16:15: error: auth.max_session: must be between 1m and 30days
veilturn.toml:17:14: error: auth.require_id: must be true or false, not a string
veilturn.toml:19:6: error: auth.secret[0].id: must be characters out of A-Z a-z 0-9 - . _ ~ : @ + / ! $, because it stands in the user name of a credential
veilturn.toml:20:9: error: auth.secret[0].value: has 5 bytes, which can be guessed: at least 16 are needed (openssl rand -base64 32)
veilturn.toml:21:1: error: auth.secret[1].id: missing: the name of this secret, such as "2026-11"
veilturn.toml:22:14: error: auth.secret[1].value_file: cannot read /nowhere: no such file
veilturn.toml:24:15: error: limits.allocations: "-1" is not a whole number from 0 to 4294967295
veilturn.toml:25:8: error: limits.rate: "4mb" is not "unlimited" or a rate in bits per second, such as "500kbit" or "4mbit""#;
    assert_eq!(findings(text), expected);
}

#[test]
#[cfg(not(feature = "dtls"))]
fn a_listener_for_dtls_is_refused_by_a_build_without_it() {
    let text = format!("{MINIMAL}\n[[listen]]\naddr = \"192.0.2.1:5349\"\ntransport = \"dtls\"\n");
    let found = findings(&text);
    assert!(
        found.contains("listen[1].transport: this build speaks no DTLS"),
        "{found}"
    );
    assert!(
        found.contains("cargo build --release --features dtls"),
        "{found}"
    );
}

#[test]
fn empty_document_lacks_all_that_has_no_default() {
    let expected = r#"veilturn.toml: error: realm: missing: the name that clients authenticate for, such as your domain
veilturn.toml: error: listen: missing: at least one [[listen]] with an addr is needed
veilturn.toml: error: relay: needs ipv4 or ipv6 = { bind = "…" }: an address of this machine that relayed traffic leaves from
veilturn.toml: error: auth: needs an [[auth.secret]] or an [[auth.user]]: there is no anonymous relay"#;
    assert_eq!(findings(""), expected);
    let empty_lists = "listen = []\nauth.secret = []\nauth.user = []";
    assert_eq!(findings(empty_lists).matches("error").count(), 4);
}

#[test]
fn every_syntax_error_is_reported() {
    let expected = "veilturn.toml:1:13: error: invalid basic string, expected `\"`\n\
                    veilturn.toml:2:7: error: extra `=`, expected nothing\n\
                    veilturn.toml:2:9: error: unexpected key or value, expected newline, `#`\n\
                    veilturn.toml:3:3: error: unclosed table, expected `]`";
    assert_eq!(findings("realm = \"abc\nfoo = = 3\n[x\n"), expected);
}

#[test]
fn column_counts_characters() {
    let found = findings("\"ключ\" = 1\nrealm = \"яя\" \"\n");
    assert!(found.contains("veilturn.toml:2:14: error"), "{found}");
}

#[test]
fn keys_and_values_are_repeated_escaped() {
    let found = findings("\"a\\nb\" = 1\nrelay.ports = \"1\\u001b[31m\"\n");
    assert!(found.contains(r"error: a\nb: unknown key"), "{found}");
    assert!(found.contains(r#""1\u{1b}[31m" is not a port"#), "{found}");
}

#[test]
fn long_wrong_value_is_repeated_in_part() {
    let found = findings(&format!("relay.ports = \"{}\"", "x".repeat(500)));
    let shown = format!("\"{}\"… is not a port", "x".repeat(60));
    assert!(found.contains(&shown), "{found}");
}

#[test]
fn no_report_holds_a_secret() {
    for wrong in [
        "id = \"a\"\nvalue = \"tooshort1\"\n",
        "value = \"tooshort1\"\nvalue_file = \"x\"\n",
        "value = [\"tooshort1\"]\n",
    ] {
        let found = findings(&format!("[[auth.secret]]\n{wrong}"));
        assert!(found.contains("auth.secret[0]"), "{found}");
        assert!(!found.contains("tooshort1"), "{found}");
    }
    let found = findings("[[auth.user]]\nname = \"a\"\nmd5_key = \"tooshort1\"\n");
    assert!(found.contains("must be 32 hexadecimal digits"), "{found}");
    assert!(!found.contains("tooshort1"), "{found}");
}

#[test]
fn variables_are_named() {
    let found = findings_with(
        MINIMAL,
        &[
            ("VEILTURN_LISTEN__5__ADDR", "192.0.2.1:1"),
            ("VEILTURN_LISTEN__ADDR", "192.0.2.1:1"),
            ("VEILTURN_PEERS__POLCY", "call"),
            ("VEILTURN_STUN__0", "x"),
            ("VEILTURN_REALM__X", "y"),
            ("VEILTURN_LIMITS__RATE", "4"),
        ],
    );
    let expected = r#"environment variable VEILTURN_LIMITS__RATE: error: limits.rate: "4" is not "unlimited" or a rate in bits per second, such as "500kbit" or "4mbit"
environment variable VEILTURN_LISTEN__5__ADDR: error: the list has 1 elements, so the next index is 1: indices leave no gap
environment variable VEILTURN_LISTEN__ADDR: error: must be a list, not a table
environment variable VEILTURN_PEERS__POLCY: error: peers.polcy: unknown key (did you mean "policy"?)
environment variable VEILTURN_REALM__X: error: must be a string, not a table
environment variable VEILTURN_STUN__0: error: stun: must be a table, not a list"#;
    assert_eq!(found, expected);
}

#[test]
fn variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let name = OsString::from("VEILTURN_LOG__LEVEL");
    let report = parse(Source {
        name: "f".to_owned(),
        file: closed(MINIMAL),
        variables: vec![(name, OsString::from_vec(vec![0xff]))],
        files: &NoFiles,
        now: NOW,
    })
    .expect_err("not text");
    assert_eq!(report.problems[0].cause, Cause::VariableNotText);
}

#[test]
fn variable_of_very_many_levels_is_an_unknown_key() {
    let name = format!("VEILTURN{}", "__A".repeat(10_000));
    let report = read_with(MINIMAL, &[(&name, "1")], &NoFiles).expect_err("unknown");
    let unknown = Cause::UnknownKey { nearest: None };
    assert_eq!(report.problems[0].cause, unknown);
}

/// Each case: a part of the minimal document, what stands in its place, and the one finding. `¶` ends a line.
const CHANGES: &str = r#"
"relay.test" | "" | realm: must be 1 to 127 characters
"relay.test" | "a\"b" | realm: must be 1 to 127 characters
1:3478" | 1:0" | warning: listen[0].addr: port 0
192.0.2.1:3478 | 224.0.0.1:3478 | listen[0].addr: a multicast
:3478" | :3478"¶transport = "tls" | tls.certificate: missing: the listener 192.0.2.1:3478 speaks TLS
:3478" | :3478"¶transport = "auto" | tls.certificate: missing: the listener 192.0.2.1:3478 speaks TLS
:3478" | :3478"¶proxy_protocol = ["10.0.0.0/8"] | listen[0].proxy_protocol: a PROXY header stands
:3478" | :3478"¶transport = "tcp"¶proxy_protocol = ["10.0.0.0/33"] | listen[0].proxy_protocol[0]: "10.0.0.0/33" is not a prefix
:3478" | :3478"¶transport = "tcp"¶proxy_protocol = ["0.0.0.0/0"] | warning: listen[0].proxy_protocol: 0.0.0.0/0 contains
:3478" | :50000" | relay.ports: the relay ports contain port 50000 of the listener 192.0.2.1:50000
192.0.2.1:3478" | 0.0.0.0:50000" | contain port 50000 of the listener 0.0.0.0:50000
{ bind = "192.0.2.1" | { bind = "2001:db8::1" | relay.ipv4.bind: must be an IPv4 address
{ bind = "192.0.2.1" | { bind = "239.0.0.1" | relay.ipv4.bind: a multicast
{ bind = "192.0.2.1" | { bind = "10.0.0.1" | warning: relay.ipv4.bind: is a private address
bind = "192.0.2.1" | bind = "192.0.2.1", advertise = "10.0.0.1" | warning: relay.ipv4.advertise: a private
bind = "192.0.2.1" | bind = "192.0.2.1", advertise = "0.0.0.0" | relay.ipv4.advertise: an unspecified
ipv4 = { | ipv6 = { | relay.ipv6.bind: must be an IPv6 address
Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a | please-change-me-now | auth.secret[0].value: is a placeholder
Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a | aaaaaaaaaaaaaaaaaaaa | auth.secret[0].value: is a placeholder
Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a | 0123456789abcde | auth.secret[0].value: has 15 bytes
value = "Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a" | | auth.secret[0]: missing: value or value_file
id = "a" | id = "a;kid=b" | auth.secret[0].id: must be
id = "a" | | auth.secret[0].id: missing
"#;

#[test]
fn single_fault_is_the_single_finding() {
    for case in cases(CHANGES) {
        let [from, to, expected] = case[..] else {
            panic!("three columns: {case:?}");
        };
        assert!(MINIMAL.contains(from), "{from}");
        let found = findings(&MINIMAL.replace(from, &to.replace('¶', "\n")));
        assert!(found.contains(expected), "{to}: {found}");
        assert_eq!(found.lines().count(), 1, "{to}: {found}");
    }
}

/// Each case: what is added to the minimal document, and the one finding. `¶` ends a line.
const ADDITIONS: &str = r#"
[[listen]]¶addr = "192.0.2.1:3478" | listen[1].addr: is given twice
[[auth.secret]]¶id = "a"¶value = "0mWq1TzRk2yXc9vJ6" | auth.secret[1].id: is given twice
[[auth.user]]¶name = "a" | auth.user[0]: needs either password
[[auth.user]]¶name = "a"¶password = "pQ4nVx7LbHs1" | warning: auth.user[0].password: has 12 bytes
[[auth.user]]¶name = "a"¶password = "" | auth.user[0].password: is a placeholder
[[auth.user]]¶name = "a\u0007"¶password = "pQ4nVx7LbHs1dKe8" | auth.user[0].name: must be
[[auth.user]]¶name = "\u212A\u2028"¶password = "pQ4nVx7LbHs1dKe8" | error: auth: user name
[[auth.user]]¶name = "a"¶sha256_key = "pQ4nVx7LbHs1dKe8" | auth.user[0].sha256_key: must be 64
[auth]¶separator = "::" | auth.separator: "::" is not one ASCII punctuation
[auth]¶leeway = "1h" | auth.leeway: must be between 0s and 5m
[[auth.user]]¶name = ""¶password = "pQ4nVx7LbHs1dKe8" | auth.user[0].name: must be
[auth]¶max_session = "5m" | lifetimes.allocation_default: must not be longer than auth.max_session
[lifetimes]¶allocation_default = "2h" | must not be longer than lifetimes.allocation_max
[lifetimes]¶permission = "10s" | warning: lifetimes.permission: RFC 8656 section 9 requires 5 minutes
[lifetimes]¶channel = "5m" | warning: lifetimes.channel: RFC 8656 section 12 requires 10 minutes
[lifetimes]¶reservation = "5s" | warning: lifetimes.reservation: RFC 8656 section 7.2
[lifetimes]¶quarantine = "2h" | lifetimes.quarantine: must be between 0s and 1h
[limits]¶channels = 4097 | limits.channels: must be between 1 and 4096
[limits]¶rate = "0bit" | limits.rate: "0bit" is not
[limits]¶rate = "99999999999999gbit" | limits.rate: "99999999999999gbit" is not
[peers]¶allow = ["10.0.0.0/40"] | peers.allow[0]: "10.0.0.0/40" is not a prefix
[peers]¶allow = ["::/0"] | warning: peers.allow: ::/0 contains every address
[peers]¶allow = ["127.0.0.1/32"] | warning: peers.allow: 127.0.0.1/32 opens loopback
[peers]¶allow = ["169.0.0.0/8"] | warning: peers.allow: 169.0.0.0/8 opens loopback or link-local
[peers]¶deny_ports = ["20-10"] | peers.deny_ports[0]: "20-10" is not a port
[peers]¶deny_ports = [0] | peers.deny_ports[0]: "0" is not a port
[peers]¶policy = "publc" | (did you mean "public"?)
[[listen]]¶addr = "192.0.2.1:443"¶transport = "tcp"¶[[listen]]¶addr = "192.0.2.1:443"¶transport = "tcp" | listen[2].addr: is given twice: udp and dtls need a port each
[streams]¶connections = 0 | streams.connections: must be between 1 and 1000000
[streams]¶handshake_timeout = "2m" | streams.handshake_timeout: must be between 1s and 1m
[streams]¶send_queue = "64KiB" | streams.send_queue: must be between 128KiB and 64MiB
[streams]¶send_queue_age = "0s" | streams.send_queue_age: must be between 10ms and 1m
[streams]¶keepalive = "1s" | streams.keepalive: must be between 10s and 2h
[tls]¶min_version = "1.1" | tls.min_version: "1.1" is not one of 1.2, 1.3 (did you mean "1.2"?)
[metrics]¶listen = "0.0.0.0:9641" | warning: metrics.listen: metrics are served without
[runtime]¶receive_buffer = "1KiB" | runtime.receive_buffer: must be between 64KiB and 1024MiB
[runtime]¶workers = 1.5 | runtime.workers: must be a whole number from 0 to 4294967295, not a fraction
[admin]¶socket = "/run/x" | admin: unknown key
[stun]¶software = "XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXXX_XXXXXXXX" | stun.software: must be at most 127 characters
"#;

#[test]
fn single_wrong_addition_is_the_single_finding() {
    for case in cases(ADDITIONS) {
        let [addition, expected] = case[..] else {
            panic!("two columns: {case:?}");
        };
        let text = addition.replace('¶', "\n");
        let found = findings(&format!("{MINIMAL}\n{text}\n"));
        assert!(found.contains(expected), "{addition}: {found}");
        assert_eq!(found.lines().count(), 1, "{addition}: {found}");
    }
}

#[test]
fn fifth_secret_is_one_too_many() {
    let block = |n| format!("[[auth.secret]]\nid = \"n{n}\"\nvalue = \"0mWq1TzRk2yXc9vJ6\"\n");
    let with = |count| MINIMAL.to_owned() + &(0..count).map(block).collect::<String>();
    assert_eq!(findings(&with(3)), "");
    let found = findings(&with(4));
    assert!(
        found.contains("auth.secret[4]: at most 4 can be active"),
        "{found}"
    );
}

#[test]
fn call_policy_with_static_users_alone_is_questionable() {
    let secret = &MINIMAL[MINIMAL.find("[[auth.secret]]").unwrap()..];
    let user =
        "[[auth.user]]\nname = \"a\"\npassword = \"pQ4nVx7LbHs1dKe8\"\n[peers]\npolicy = \"call\"";
    let found = findings(&MINIMAL.replace(secret, user));
    assert!(
        found.contains("warning: peers.policy: \"call\" reaches only"),
        "{found}"
    );
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn private_address_that_is_advertised_on_purpose_is_no_finding() {
    let lan = "bind = \"10.0.0.1\", advertise = \"10.0.0.1\"";
    assert_eq!(findings(&MINIMAL.replace("bind = \"192.0.2.1\"", lan)), "");
}

#[test]
fn listener_below_the_relay_ports_or_on_another_address_is_no_finding() {
    for addr in ["0.0.0.0:49151", "192.0.2.2:50000", "[::]:50000"] {
        assert_eq!(
            findings(&MINIMAL.replace("192.0.2.1:3478", addr)),
            "",
            "{addr}"
        );
    }
}

#[test]
fn secret_in_a_file_that_everybody_can_read_is_questionable() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("veilturn.toml");
    let write = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("set");
    };
    let outside = MINIMAL.replace(&format!("value = \"{SECRET}\""), "value_file = \"s\"");
    let causes = || -> Vec<Cause> {
        let loaded = load(&path, [], NOW).expect("it can be served");
        loaded
            .report
            .problems
            .into_iter()
            .map(|p| p.cause)
            .collect()
    };

    write("s", &format!("{SECRET}\n"), 0o600);
    write("veilturn.toml", &outside, 0o644);
    assert_eq!(causes(), []);

    write("s", &format!("{SECRET}\n"), 0o644);
    let open = Cause::SecretFileOpen { path: "s".into() };
    assert_eq!(causes(), [open]);

    write("veilturn.toml", MINIMAL, 0o644);
    assert_eq!(causes(), [Cause::ConfigFileOpen("value_file")]);

    write("veilturn.toml", MINIMAL, 0o600);
    assert_eq!(causes(), []);
}

#[test]
fn configuration_file_that_cannot_be_taken_in_is_one_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("veilturn.toml");
    let cause = || {
        load(&path, [], NOW)
            .expect_err("refused")
            .problems
            .remove(0)
            .cause
    };
    assert_eq!(cause(), Cause::Unreadable(FileFault::Missing));
    std::fs::write(&path, [0xff]).expect("written");
    assert_eq!(cause(), Cause::Unreadable(FileFault::NotText));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).expect("written");
    assert_eq!(cause(), Cause::Unreadable(FileFault::TooLarge(1 << 20)));
}

/// The lines of a table, in columns.
fn cases(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = table.lines().filter(|line| !line.is_empty());
    lines.map(|line| line.split('|').map(str::trim).collect())
}
