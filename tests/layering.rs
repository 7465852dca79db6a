//! Reads the paths in `src/` and fails where a layer uses one that it must not (ARCHITECTURE.md, "Layers").

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use of the crate, and which outside crates it must never touch.
const RULES: &[(&str, &[&str], &[&str])] = &[
    ("time", &[], PURE),
    ("masked", &[], PURE),
    ("certificate", &["time"], PURE),
    ("proxy", &["masked"], PURE),
    ("wire", &["masked"], PURE),
    ("auth", &["wire", "time", "masked"], PURE),
    ("relay", &["wire", "auth", "time", "masked"], PURE),
    ("client", &["wire", "auth", "time", "masked"], PURE),
    ("net", &[], &["tracing", "prometheus", "axum"]),
    (
        "config",
        &[
            "auth",
            "relay",
            "wire",
            "certificate",
            "time",
            "masked",
            "ops",
        ],
        &["tokio", "socket2", "libc", "axum", "rustls"],
    ),
    (
        "ops",
        &["relay", "auth", "wire", "time", "masked"],
        &["socket2", "libc"],
    ),
    (
        "server",
        &[
            "relay",
            "auth",
            "wire",
            "certificate",
            "proxy",
            "net",
            "config",
            "ops",
            "time",
            "masked",
        ],
        &["clap"],
    ),
    (
        "cli",
        &[
            "server", "relay", "auth", "wire", "net", "config", "ops", "client", "time", "masked",
            "cli",
        ],
        &["libc", "socket2"],
    ),
];

/// What a pure layer must never touch: I/O, runtimes, logs, metrics, clocks and other people's randomness.
const PURE: &[&str] = &[
    "tokio",
    "socket2",
    "libc",
    "tracing",
    "prometheus",
    "axum",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::fs",
    "ring::rand",
];

/// Tests that need what their layer must not touch: races happen between threads.
const EXCEPTIONS: [(&str, &str); 1] = [("relay/tests/hairpin_races.rs", "std::thread")];

#[test]
fn every_module_keeps_to_its_layer() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for file in rust_files(&src) {
        let relative = file.strip_prefix(&src).expect("a file under src");
        let first = relative
            .components()
            .next()
            .expect("a path")
            .as_os_str()
            .to_string_lossy()
            .into_owned();
        let module = first.trim_end_matches(".rs");
        let Some((name, may_use, never)) = RULES.iter().find(|(name, ..)| *name == module) else {
            assert!(
                matches!(module, "lib" | "main"),
                "src/{first} has no rule in tests/layering.rs"
            );
            continue;
        };
        *seen.entry(name).or_default() += 1;
        let text = fs::read_to_string(&file).expect("a readable source file");
        for (number, line) in code_lines(&text) {
            for used in crate_paths(line) {
                if used != *name && !may_use.contains(&used) {
                    breaches.push(format!(
                        "{}:{number}: {name} must not use {used}",
                        relative.display()
                    ));
                }
            }
            for banned in *never {
                if mentions(line, banned)
                    && !EXCEPTIONS.contains(&(relative.to_str().unwrap_or_default(), *banned))
                {
                    breaches.push(format!(
                        "{}:{number}: {name} must not touch {banned}",
                        relative.display()
                    ));
                }
            }
        }
    }
    assert!(seen.len() >= 9, "the walk over src found only {seen:?}");
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn only_net_opts_out_of_the_ban_on_unsafe() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&src) {
        let text = fs::read_to_string(&file).expect("a readable source file");
        let allows = code_lines(&text).any(|(_, line)| line.contains("(unsafe_code"))
            && !text.contains("forbid(unsafe_code)");
        let in_net = file
            .strip_prefix(&src)
            .expect("a file under src")
            .starts_with("net");
        assert!(
            in_net || !allows,
            "{} opts out of `unsafe_code`",
            file.display()
        );
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The numbered lines that are code: comments do not bind, and neither do the tests at the end of a file or in a
/// `tests` file, which may use whatever proves the point.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let body = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    body.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The modules named in a line by `crate::…`.
fn crate_paths(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Whether `path` occurs as a path of its own, not as a part of a longer name.
fn mentions(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + path.len()..];
        let opens = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let closes = if path.contains("::") {
            after
                .chars()
                .next()
                .is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
        } else {
            after.starts_with("::")
        };
        opens && closes
    })
}
