//! `veilturn check` as an operator and a service manager meet it: what it prints and how it exits.

use std::process::{Command, Output};

/// A configuration with one warning: a port that no client can know.
const QUESTIONABLE: &str = r#"realm = "relay.test"
[[listen]]
addr = "127.0.0.1:0"
[relay]
ipv4 = { bind = "127.0.0.1", advertise = "127.0.0.1" }
[[auth.secret]]
id = "a"
value_file = "secret"
"#;

#[test]
fn sound_file_exits_with_0() {
    let output = check(QUESTIONABLE, &[], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(printed(&output).contains("secrets    1\n"), "{output:?}");
}

#[test]
fn warning_exits_with_2_where_it_is_not_tolerated() {
    let output = check(QUESTIONABLE, &["--strict"], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        printed(&output).contains(":3:8: warning: listen[0].addr: port 0"),
        "{output:?}"
    );
}

#[test]
fn error_exits_with_2() {
    let output = check(&QUESTIONABLE.replace("realm", "relam"), &[], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let expected = ":1:1: error: relam: unknown key (did you mean \"realm\"?)\n";
    assert!(printed(&output).contains(expected), "{output:?}");
}

#[test]
fn variables_of_the_environment_count() {
    let output = check(
        QUESTIONABLE,
        &["--strict"],
        &[("VEILTURN_LISTEN__0__ADDR", "127.0.0.1:3478")],
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = check(QUESTIONABLE, &[], &[("VEILTURN_LOG__LEVEL", "loud")]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let expected =
        "environment variable VEILTURN_LOG__LEVEL: error: log.level: \"loud\" is not one of";
    assert!(printed(&output).contains(expected), "{output:?}");
}

#[test]
fn check_without_a_file_is_wrong_usage() {
    let output = veilturn().arg("check").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// Checks a file of that text, with its secret beside it.
fn check(text: &str, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("veilturn.toml");
    std::fs::write(&path, text).expect("written");
    let secret = tempfile::Builder::new()
        .tempfile_in(&folder)
        .expect("a file that only its owner can read");
    std::fs::write(&secret, "Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a\n").expect("written");
    secret
        .persist(folder.path().join("secret"))
        .expect("renamed");
    let mut command = veilturn();
    command.arg("check").args(flags).arg("--config").arg(path);
    command.envs(variables.iter().copied());
    command.output().expect("it runs")
}

fn veilturn() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_veilturn"));
    command.env_clear();
    command
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
