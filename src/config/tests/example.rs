//! `config.example.toml` is true: it names every key, parses, and states the defaults of the code.

use std::collections::BTreeSet;

use super::*;
use crate::config::tree::{Table, Value};

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// What stands in for the example's placeholders.
const NO_PLACEHOLDERS: [(&str, &str); 2] = [
    ("VEILTURN_AUTH__SECRET__1__VALUE", "vJ6mWq0TzRk2yXc9"),
    ("VEILTURN_AUTH__USER__0__PASSWORD", "pQ4nVx7LbHs1dKe8"),
];

#[test]
fn as_shipped_it_serves_once_its_secret_exists() {
    let loaded = read_with(EXAMPLE, &[], &shelf()).expect("the example is valid");
    assert_eq!(loaded.report.problems, []);
    assert_eq!(loaded.config.auth.secrets.len(), 1);
}

#[test]
fn with_every_line_uncommented_only_its_placeholders_are_refused() {
    let report = read_with(&uncommented(), &[], &shelf()).expect_err("placeholders");
    let found: Vec<_> = report
        .problems
        .iter()
        .map(|p| (&*p.key, &p.cause))
        .collect();
    let expected = [
        ("auth.secret[1].value", &Cause::Placeholder),
        ("auth.user[0].password", &Cause::Placeholder),
    ];
    assert_eq!(found, expected);
}

#[test]
fn it_names_every_key_that_is_read() {
    let root = tree::parse(&uncommented()).expect("the example is TOML");
    let mut named = BTreeSet::new();
    collect_keys("", &root, &mut named);
    let files = shelf();
    let mut reading = Reading::new(&files, NOW);
    reading.document(root, file::read);
    assert_eq!(reading.keys, named);
}

#[test]
fn the_defaults_it_states_are_those_of_the_code() {
    let stated = read_with(&uncommented(), &NO_PLACEHOLDERS, &shelf());
    let mut stated = stated.expect("the example is valid").config;
    let default = read_with(EXAMPLE, &[], &shelf())
        .expect("the example is valid")
        .config;
    // What the example itself calls keys without a default.
    stated.relay.ipv6 = None;
    stated.auth.secrets.truncate(1);
    stated.auth.users.clear();
    stated.listeners.truncate(default.listeners.len());
    stated.tls.certificates.clear();
    assert_eq!(format!("{stated:#?}"), format!("{default:#?}"));
}

/// The example with every commented key and header in force.
fn uncommented() -> String {
    let line = |line: &'static str| match line.strip_prefix("# ") {
        Some(rest) if is_key_or_header(rest) => rest,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn is_key_or_header(line: &str) -> bool {
    let is_key = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    line.starts_with("[[") || line.split_once(" = ").is_some_and(|(key, _)| is_key(key))
}

fn collect_keys(path: &str, table: &Table, keys: &mut BTreeSet<String>) {
    for (key, entry) in &table.entries {
        let key = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        if let Value::Table(table) = &entry.node.value {
            collect_keys(&key, table, keys);
        }
        if let Value::Array(nodes) = &entry.node.value {
            for node in nodes {
                if let Value::Table(table) = &node.value {
                    collect_keys(&key, table, keys);
                }
            }
        }
        keys.insert(key);
    }
}

/// The files that the example names.
fn shelf() -> Shelf {
    let issued = Issued::to(&["relay.example.org"]);
    let text = |(path, text): (&'static str, &str)| (path, text.to_owned());
    let files = [
        ("/run/credentials/veilturn.service/secret", SECRET),
        ("/etc/veilturn/studio-b.password", "pQ4nVx7LbHs1dKe8\n"),
        (
            "/etc/veilturn/studio-d.md5",
            "d9a6a3d964467baeffd2fce41704a913\n",
        ),
        (
            "/etc/veilturn/studio-d.sha256",
            "07e934117abd40836e7c6329b54731b2b2d2a5f9a71f544922d75e0730d8251b\n",
        ),
        ("/etc/veilturn/tls/fullchain.pem", &issued.chain),
        ("/etc/veilturn/tls/privkey.pem", &issued.key),
    ];
    Shelf(files.map(text).to_vec())
}
