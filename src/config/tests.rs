//! The reading as a whole: what a document says, what is wrong with it, where.

use super::*;
use crate::auth::mint;
use crate::certificate::testing::{Issued, NOW};
use crate::time::UnixTime;

mod example;
mod problems;
mod tls;
mod values;

/// A secret that passes.
const SECRET: &str = "Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a";

/// A document that serves.
const MINIMAL: &str = r#"realm = "relay.test"

[[listen]]
addr = "192.0.2.1:3478"

[relay]
ipv4 = { bind = "192.0.2.1" }

[[auth.secret]]
id = "a"
value = "Zk3vQ8r1TnJ0wXy5uB7cLd2eGh4sMp6a"
"#;

/// Files that exist only here: a name and what is in it.
struct Shelf(Vec<(&'static str, String)>);

impl Files for Shelf {
    fn read(&self, path: &Path) -> Result<TextFile, FileFault> {
        let found = self.0.iter().find(|(name, _)| Path::new(name) == path);
        let (_, text) = found.ok_or(FileFault::Missing)?;
        Ok(closed(text))
    }
}

/// A file that only its owner can read.
fn closed(text: &str) -> TextFile {
    TextFile {
        text: text.to_owned().into(),
        open_to_all: false,
    }
}

fn read_with(text: &str, variables: &[(&str, &str)], files: &dyn Files) -> Result<Loaded, Report> {
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    parse(Source {
        name: "veilturn.toml".to_owned(),
        file: closed(text),
        variables: variables.collect(),
        files,
        now: NOW,
    })
}

fn read(text: &str) -> Result<Loaded, Report> {
    read_with(text, &[], &NoFiles)
}

/// Whether `secret` is `value`: they sign alike.
fn is(secret: &Secret, value: &str) -> bool {
    let value = Secret::new("a", value.as_bytes().to_vec().into()).expect("not empty");
    let password = |secret| {
        let minted = mint(secret, UnixTime::from_secs(1), None);
        minted.expect("no identity").password
    };
    password(secret) == password(&value)
}

/// The configuration of a document without any finding.
fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    let loaded = read_with(text, variables, &NoFiles).expect("the document is valid");
    assert_eq!(loaded.report.problems, [], "the document has no finding");
    loaded.config
}

/// The findings in a document, as an operator reads them.
fn findings(text: &str) -> String {
    findings_with(text, &[])
}

fn findings_with(text: &str, variables: &[(&str, &str)]) -> String {
    read_with(text, variables, &NoFiles)
        .map_or_else(|report| report, |loaded| loaded.report)
        .to_string()
}
