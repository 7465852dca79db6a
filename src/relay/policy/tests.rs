//! What the policy decides, case by case.

mod clients;
mod properties;

use ipnet::IpNet;

use super::*;

// The policy's own table denies documentation prefixes, so "public" addresses here are real ones.
const PUBLIC_V4: &str = "8.8.4.4";
const PUBLIC_V6: &str = "2a00:1450:4001::1";
const RELAY_V4: &str = "9.9.9.1";
const RELAY_V6: &str = "2620:fe::1";
const BIND_V4: &str = "10.0.0.5";
const PORTS: RangeInclusive<u16> = 49_152..=65_535;

/// The prefixes under which IPv6 carries IPv4, as `allow` would open them, and one that lies in the first of them.
const EMBEDDINGS: [&str; 8] = [
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "2002::/16",
    "2001::/32",
    "::1/128",
];

#[test]
fn special_purpose_addresses_are_refused_in_every_scope() {
    let policy = policy(&options());

    for ip in "\
        0.0.0.0 0.1.2.3 127.0.0.1 127.255.255.254 10.0.0.1 100.64.0.1 100.127.255.255 \
        169.254.169.254 172.16.0.1 172.31.255.255 192.168.0.1 192.0.0.1 192.0.0.10 192.0.2.1 \
        192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 \
        203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.254 255.255.255.255 \
        168.63.129.16 :: ::1 fe80::1 febf::1 fc00::1 fdff::1 fec0::1 ff02::1 ff0e::1 100::1 \
        100:0:0:1::1 2001:db8::1 2001::1 2001:0:7f00:1:: 2001:2::1 2001:10::1 2001:20::1 \
        2001:30::1 2001:1ff::1 2002:808:808:: 5f00::1 3fff::1 2620:4f:8000::1 4000::1 1000::1 \
        e000::1 ::8.8.8.8 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::808:808 64:ff9b:1::808:808 \
        64:ff9b:1:808:8:800:: ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: \
        64:ff9b::a9fe:a9fe fe80::5efe:10.0.0.1"
        .split_whitespace()
    {
        for scope in [PeerScope::Call, PeerScope::Fleet, PeerScope::Public] {
            let refused = policy.judge_ip(scope, addr(ip));
            assert!(
                matches!(refused, Err(Denied::SpecialPurpose | Denied::NotUnicast)),
                "{ip}: {refused:?}"
            );
            assert!(policy.judge(scope, at(ip, 50_000)).is_err(), "{ip}");
        }
    }
}

#[test]
fn global_unicast_addresses_are_admitted_in_public_scope_alone() {
    let policy = policy(&options());

    for ip in "\
        1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
        128.0.0.1 172.15.255.255 172.32.0.0 192.0.1.0 198.17.255.255 198.20.0.0 223.255.255.255 \
        2000::1 2001:200::1 2001:db7:ffff::1 2001:db9::1 2003::1 3ffe:ffff::1 3fff:1000::1"
        .split_whitespace()
    {
        let ip = addr(ip);
        assert_eq!(
            policy.judge_ip(PeerScope::Public, ip),
            Ok(PeerClass::Public),
            "{ip}"
        );
        assert_eq!(
            policy.judge_ip(PeerScope::Fleet, ip),
            Err(Denied::OutOfScope)
        );
        assert_eq!(
            policy.judge_ip(PeerScope::Call, ip),
            Err(Denied::OutOfScope)
        );
    }
}

#[test]
fn a_credential_cannot_widen_the_configured_scope() {
    for configured in [PeerScope::Call, PeerScope::Fleet, PeerScope::Public] {
        let policy = policy(&PeerOptions {
            scope: configured,
            ..options()
        });
        let admitted = policy.judge_ip(PeerScope::Public, addr(PUBLIC_V4)).is_ok();

        assert_eq!(policy.narrow(PeerScope::Public), configured);
        assert_eq!(policy.narrow(PeerScope::Call), PeerScope::Call);
        assert_eq!(admitted, configured == PeerScope::Public);
    }
}

#[test]
fn relay_addresses_are_for_the_directory_to_judge() {
    let policy = policy(&options());

    for scope in [PeerScope::Call, PeerScope::Fleet, PeerScope::Public] {
        for ip in [RELAY_V4, RELAY_V6] {
            assert_eq!(policy.judge_ip(scope, addr(ip)), Ok(PeerClass::Relayed));
            assert_eq!(policy.judge(scope, at(ip, 50_000)), Ok(PeerClass::Relayed));
        }
        // Nobody outside knows the local form.
        assert!(policy.judge_ip(scope, addr(BIND_V4)).is_err());
    }
}

#[test]
fn a_deny_of_everything_leaves_the_relay_itself() {
    let policy = policy(&PeerOptions {
        deny: nets(&["0.0.0.0/0", "::/0"]),
        ..options()
    });

    assert_eq!(
        policy.judge_ip(PeerScope::Public, addr(RELAY_V4)),
        Ok(PeerClass::Relayed)
    );
    for ip in [PUBLIC_V4, PUBLIC_V6] {
        assert_eq!(
            policy.judge_ip(PeerScope::Public, addr(ip)),
            Err(Denied::ByConfig)
        );
    }
}

#[test]
fn fleet_prefixes_admit_relay_ports_alone() {
    let policy = policy(&PeerOptions {
        fleet: nets(&["9.9.8.0/24", "10.8.0.0/16"]),
        ..options()
    });

    for scope in [PeerScope::Fleet, PeerScope::Public] {
        for ip in ["9.9.8.7", "10.8.0.1"] {
            assert_eq!(policy.judge_ip(scope, addr(ip)), Ok(PeerClass::Fleet));
            assert_eq!(policy.judge(scope, at(ip, 49_152)), Ok(PeerClass::Fleet));
            assert_eq!(policy.judge(scope, at(ip, 65_535)), Ok(PeerClass::Fleet));
            assert_eq!(policy.judge(scope, at(ip, 49_151)), Err(Denied::FleetPort));
            assert_eq!(policy.judge(scope, at(ip, 3_478)), Err(Denied::FleetPort));
        }
    }
    assert_eq!(
        policy.judge_ip(PeerScope::Call, addr("9.9.8.7")),
        Err(Denied::OutOfScope)
    );
    assert_eq!(
        policy.judge_ip(PeerScope::Fleet, addr("10.9.0.1")),
        Err(Denied::SpecialPurpose)
    );
}

#[test]
fn allow_opens_what_it_names_and_no_more() {
    let policy = policy(&PeerOptions {
        allow: nets(&["127.0.0.0/8", "10.1.0.0/16", "fd00::/8", "169.254.0.0/16"]),
        ..options()
    });
    let judge = |ip: &str| policy.judge_ip(PeerScope::Public, addr(ip));

    for ip in [
        "127.0.0.1",
        "127.9.9.9",
        "10.1.255.255",
        "fd12::1",
        "169.254.1.1",
    ] {
        assert_eq!(judge(ip), Ok(PeerClass::Public), "{ip}");
    }
    for ip in [
        "10.2.0.0",
        "10.0.255.255",
        "192.168.0.1",
        "::1",
        "fc00::1",
        "::ffff:127.0.0.1",
    ] {
        assert_eq!(judge(ip), Err(Denied::SpecialPurpose), "{ip}");
    }
    // Metadata services are opened by name alone.
    for ip in ["169.254.169.254", "fd00:ec2::254"] {
        assert_eq!(judge(ip), Err(Denied::SpecialPurpose), "{ip}");
    }
}

#[test]
fn allow_of_everything_opens_nothing_special() {
    let policy = policy(&PeerOptions {
        allow: nets(&["0.0.0.0/0", "::/0"]),
        ..options()
    });

    for row in special::rows() {
        assert!(
            policy.judge_ip(PeerScope::Public, row.addr()).is_err(),
            "{row}"
        );
    }
    assert_eq!(
        policy.judge_ip(PeerScope::Public, addr(PUBLIC_V4)),
        Ok(PeerClass::Public)
    );
}

#[test]
fn the_longest_prefix_decides_and_deny_wins_a_tie() {
    let policy = policy(&PeerOptions {
        allow: nets(&["10.0.0.0/8", "10.1.1.0/24", "8.8.4.4/32", "9.0.0.0/8"]),
        deny: nets(&["10.1.0.0/16", "8.8.4.4/32", "8.8.0.0/16", "9.0.0.0/8"]),
        ..options()
    });
    let judge = |ip: &str| policy.judge_ip(PeerScope::Public, addr(ip));

    assert_eq!(judge("10.2.0.1"), Ok(PeerClass::Public));
    assert_eq!(judge("10.1.0.1"), Err(Denied::ByConfig));
    assert_eq!(judge("10.1.1.1"), Ok(PeerClass::Public));
    assert_eq!(judge("8.8.4.4"), Err(Denied::ByConfig));
    assert_eq!(judge("8.8.9.9"), Err(Denied::ByConfig));
    assert_eq!(judge("9.1.1.1"), Err(Denied::ByConfig));
    assert_eq!(judge("8.9.0.1"), Ok(PeerClass::Public));
}

#[test]
fn what_names_no_host_cannot_be_allowed() {
    let policy = policy(&PeerOptions {
        allow: nets(&[
            "224.0.0.0/4",
            "255.255.255.255/32",
            "0.0.0.0/32",
            "ff00::/8",
            "::/128",
        ]),
        ..options()
    });

    for ip in [
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "0.0.0.0",
        "ff02::1",
        "::",
    ] {
        assert_eq!(
            policy.judge_ip(PeerScope::Public, addr(ip)),
            Err(Denied::NotUnicast),
            "{ip}"
        );
    }
}

#[test]
fn own_addresses_are_refused_unless_named() {
    let own = PeerOptions {
        own_addresses: [PUBLIC_V4, PUBLIC_V6, "192.168.1.255"].map(addr).to_vec(),
        ..options()
    };
    let judge = |allow: &[&str], ip| {
        let options = PeerOptions {
            allow: nets(allow),
            ..own.clone()
        };
        policy(&options).judge_ip(PeerScope::Public, addr(ip))
    };

    assert_eq!(judge(&[], PUBLIC_V4), Err(Denied::OwnAddress));
    assert_eq!(judge(&[], PUBLIC_V6), Err(Denied::OwnAddress));
    assert_eq!(
        judge(&["8.0.0.0/8", "2a00::/16"], PUBLIC_V4),
        Err(Denied::OwnAddress)
    );
    assert_eq!(
        judge(&["8.0.0.0/8", "2a00::/16"], PUBLIC_V6),
        Err(Denied::OwnAddress)
    );
    assert_eq!(judge(&["10.0.0.0/8"], BIND_V4), Err(Denied::OwnAddress));
    assert_eq!(
        judge(&["192.168.0.0/16"], "192.168.1.255"),
        Err(Denied::OwnAddress)
    );
    assert_eq!(judge(&["8.8.4.4/32"], PUBLIC_V4), Ok(PeerClass::Public));
    assert_eq!(
        judge(&["2a00:1450:4001::1/128"], PUBLIC_V6),
        Ok(PeerClass::Public)
    );
}

#[test]
fn loopback_is_opened_as_a_network() {
    let policy = policy(&PeerOptions {
        allow: nets(&["127.0.0.0/8", "::1/128"]),
        own_addresses: ["127.0.0.1", "::1"].map(addr).to_vec(),
        ..options()
    });

    for ip in ["127.0.0.1", "127.0.0.2", "::1"] {
        assert_eq!(
            policy.judge_ip(PeerScope::Public, addr(ip)),
            Ok(PeerClass::Public),
            "{ip}"
        );
    }
}

#[test]
fn own_sockets_are_refused_whatever_is_allowed() {
    let policy = policy(&PeerOptions {
        allow: nets(&[
            "127.0.0.0/8",
            "::1/128",
            "8.8.4.4/32",
            "::ffff:0:0/96",
            "10.0.0.5/32",
        ]),
        own_addresses: [PUBLIC_V4].map(addr).to_vec(),
        own_sockets: vec![
            at("0.0.0.0", 3478),
            at("127.0.0.1", 9641),
            at(BIND_V4, 5349),
        ],
        ..options()
    });
    let judge = |ip, port| policy.judge(PeerScope::Public, at(ip, port));

    // The listener on every address: own, advertised, local, loopback and embedded.
    for ip in [
        PUBLIC_V4,
        RELAY_V4,
        BIND_V4,
        "127.0.0.1",
        "127.8.8.8",
        "::ffff:127.0.0.1",
    ] {
        assert_eq!(judge(ip, 3478), Err(Denied::OwnSocket), "{ip}");
    }
    assert_eq!(
        judge("::1", 3478),
        Ok(PeerClass::Public),
        "bound for IPv4 alone"
    );
    assert_eq!(
        judge("8.8.8.8", 3478),
        Ok(PeerClass::Public),
        "somebody else's"
    );
    // One address alone, and what may be the outside of it.
    assert_eq!(judge("127.0.0.1", 9641), Err(Denied::OwnSocket));
    assert_eq!(judge("127.0.0.2", 9641), Ok(PeerClass::Public));
    assert_eq!(judge(PUBLIC_V4, 9641), Err(Denied::OwnSocket));
    assert_eq!(judge(RELAY_V4, 5349), Err(Denied::OwnSocket));
    assert_eq!(judge(RELAY_V4, 9641), Ok(PeerClass::Relayed));
    assert_eq!(judge(RELAY_V6, 5349), Ok(PeerClass::Relayed));
    // Other ports.
    assert_eq!(judge("127.0.0.1", 9642), Ok(PeerClass::Public));
    assert_eq!(judge(PUBLIC_V4, 9642), Ok(PeerClass::Public));
}

#[test]
fn a_socket_on_the_ipv6_wildcard_counts_for_both_families() {
    let policy = policy(&PeerOptions {
        allow: nets(&["127.0.0.0/8", "::1/128"]),
        own_sockets: vec![at("::", 9641)],
        ..options()
    });

    for ip in ["127.0.0.1", "::1", RELAY_V4, RELAY_V6, BIND_V4] {
        assert_eq!(
            policy.judge(PeerScope::Public, at(ip, 9641)),
            Err(Denied::OwnSocket),
            "{ip}"
        );
    }
}

#[test]
fn a_mapped_own_socket_is_the_ipv4_socket() {
    let policy = policy(&PeerOptions {
        allow: nets(&["127.0.0.0/8"]),
        own_sockets: vec![at("::ffff:127.0.0.1", 9641)],
        ..options()
    });

    let judged = policy.judge(PeerScope::Public, at("127.0.0.1", 9641));

    assert_eq!(judged, Err(Denied::OwnSocket));
}

#[test]
fn a_relay_bound_to_the_wildcard_may_lead_to_any_socket() {
    let relay = RelayAddress {
        bind: addr("0.0.0.0"),
        advertise: addr(RELAY_V4),
    };
    let options = PeerOptions {
        own_sockets: vec![at(BIND_V4, 5349)],
        ..options()
    };
    let policy = PeerPolicy::new(&options, &[relay], &PORTS);

    let judged = policy.judge(PeerScope::Public, at(RELAY_V4, 5349));

    assert_eq!(judged, Err(Denied::OwnSocket));
}

#[test]
fn denied_ports_bind_public_peers_alone() {
    let policy = policy(&PeerOptions {
        deny_ports: vec![1..=442, 444..=1023, 1900..=1900],
        fleet: nets(&["9.9.8.0/24"]),
        ..options()
    });
    let judge = |port| policy.judge(PeerScope::Public, at(PUBLIC_V4, port));

    for port in [1, 53, 442, 444, 1023, 1900] {
        assert_eq!(judge(port), Err(Denied::Port), "{port}");
    }
    for port in [443, 1024, 1899, 1901, u16::MAX] {
        assert_eq!(judge(port), Ok(PeerClass::Public), "{port}");
    }
    assert_eq!(
        policy.judge_ip(PeerScope::Public, addr(PUBLIC_V4)),
        Ok(PeerClass::Public)
    );
    assert_eq!(
        policy.judge(PeerScope::Public, at(RELAY_V4, 1900)),
        Ok(PeerClass::Relayed)
    );
}

#[test]
fn port_zero_is_refused_everywhere() {
    let policy = policy(&options());

    for ip in [PUBLIC_V4, RELAY_V4, PUBLIC_V6, "127.0.0.1"] {
        assert_eq!(
            policy.judge(PeerScope::Public, at(ip, 0)),
            Err(Denied::PortZero)
        );
    }
}

#[test]
fn an_opened_translator_still_refuses_what_it_leads_to() {
    let policy = policy(&PeerOptions {
        allow: nets(&EMBEDDINGS),
        fleet: nets(&["9.9.8.0/24"]),
        deny: nets(&["1.2.3.0/24"]),
        own_addresses: [PUBLIC_V4].map(addr).to_vec(),
        ..options()
    });

    for (ip, expected) in [
        ("64:ff9b::7f00:1", Err(Denied::SpecialPurpose)),
        ("64:ff9b::a9fe:a9fe", Err(Denied::SpecialPurpose)),
        ("64:ff9b::e000:1", Err(Denied::NotUnicast)),
        ("64:ff9b::102:304", Err(Denied::ByConfig)),
        ("64:ff9b::808:404", Err(Denied::OwnAddress)),
        ("64:ff9b::909:901", Err(Denied::Detour)),
        ("64:ff9b::909:807", Err(Denied::Detour)),
        ("64:ff9b::808:808", Ok(PeerClass::Public)),
        ("64:ff9b:1::808:808", Ok(PeerClass::Public)),
        ("64:ff9b:1::7f00:1", Err(Denied::SpecialPurpose)),
        ("64:ff9b:1:7f00:0:100::", Err(Denied::SpecialPurpose)),
        ("64:ff9b:1:808:8:800:7f00:1", Err(Denied::SpecialPurpose)),
        ("64:ff9b:1::", Err(Denied::NotUnicast)),
        ("2002:7f00:1::", Err(Denied::SpecialPurpose)),
        ("2002:808:808::1", Ok(PeerClass::Public)),
        // Teredo: either end.
        ("2001:0:7f00:1:0:0:f7f7:f7f7", Err(Denied::SpecialPurpose)),
        ("2001:0:808:808:0:0:80ff:fffe", Err(Denied::SpecialPurpose)),
        ("2001:0:808:808:0:0:f7f7:f7f7", Ok(PeerClass::Public)),
        ("::ffff:0:127.0.0.1", Err(Denied::SpecialPurpose)),
        ("::127.0.0.1", Err(Denied::SpecialPurpose)),
        ("::8.8.8.8", Ok(PeerClass::Public)),
        ("::1", Ok(PeerClass::Public)),
        ("2a00::5efe:10.0.0.1", Err(Denied::SpecialPurpose)),
        ("2a00::200:5efe:10.0.0.1", Err(Denied::SpecialPurpose)),
        ("2a00::5efe:8.8.8.8", Ok(PeerClass::Public)),
    ] {
        assert_eq!(
            policy.judge_ip(PeerScope::Public, addr(ip)),
            expected,
            "{ip}"
        );
    }
}

#[test]
fn isatap_inside_global_space_is_seen_without_any_allow() {
    let policy = policy(&options());

    let judged = policy.judge_ip(PeerScope::Public, addr("2a00:1450::5efe:10.0.0.1"));

    assert_eq!(judged, Err(Denied::SpecialPurpose));
}

#[test]
fn an_ipv6_scope_or_flow_label_changes_nothing() {
    let policy = policy(&options());
    let scoped = |ip: &str| {
        SocketAddr::V6(std::net::SocketAddrV6::new(
            ip.parse().unwrap(),
            50_000,
            9,
            7,
        ))
    };

    assert_eq!(
        policy.judge(PeerScope::Call, scoped(RELAY_V6)),
        Ok(PeerClass::Relayed)
    );
    assert_eq!(
        policy.judge(PeerScope::Public, scoped("fe80::1")),
        Err(Denied::SpecialPurpose)
    );
}

fn options() -> PeerOptions {
    PeerOptions {
        scope: PeerScope::Public,
        fleet: vec![],
        allow: vec![],
        deny: vec![],
        deny_ports: vec![],
        own_sockets: vec![],
        own_addresses: vec![],
    }
}

fn policy(options: &PeerOptions) -> PeerPolicy {
    PeerPolicy::new(options, &relays(), &PORTS)
}

fn relays() -> [RelayAddress; 2] {
    [(BIND_V4, RELAY_V4), (RELAY_V6, RELAY_V6)].map(|(bind, advertise)| RelayAddress {
        bind: addr(bind),
        advertise: addr(advertise),
    })
}

fn nets(nets: &[&str]) -> Vec<IpNet> {
    nets.iter().map(|net| net.parse().unwrap()).collect()
}

fn addr(ip: &str) -> IpAddr {
    ip.parse().unwrap()
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr(ip), port)
}
