//! Reads one table of the document, key by key, and remembers what was asked for.
//!
//! A reader states each key once, with its type, default and bounds; from that follow the errors about missing,
//! malformed and unknown keys. Nothing stops at an error: it is noted, the default stands in, and reading goes on, so
//! that one run reports everything.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::Files;
use super::problem::{Cause, Location, Problem, nearest};
use super::secret;
use super::tls::NamedFile;
use super::tree::{Entry, Node, Table, Value};
use super::value::{Bounded, FromValue};
use crate::time::UnixTime;

/// What one run over a document gathers.
pub(super) struct Reading<'f> {
    /// Findings, in the order of discovery.
    pub(super) problems: Vec<Problem>,
    /// The full name of every key that was asked for, without indices.
    pub(super) keys: BTreeSet<String>,
    inline_secrets: Vec<InlineSecret>,
    files: &'f dyn Files,
    now: UnixTime,
}

/// A secret that stands in the file itself.
struct InlineSecret {
    at: Location,
    key: String,
    /// The key that would name a file instead.
    file_key: &'static str,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) at: Location,
    pub(super) value: T,
}

/// One table while it is read.
pub(super) struct Section<'r, 'f> {
    reading: &'r mut Reading<'f>,
    /// The table's full name; empty for the document.
    path: String,
    at: Location,
    /// What no reader has asked for yet.
    entries: BTreeMap<String, Entry>,
    /// False for a table that could not be read at all: its missing keys are no news.
    readable: bool,
}

impl<'f> Reading<'f> {
    pub(super) const fn new(files: &'f dyn Files, now: UnixTime) -> Self {
        Self {
            problems: Vec::new(),
            keys: BTreeSet::new(),
            inline_secrets: Vec::new(),
            files,
            now,
        }
    }

    /// Reads the document; afterwards unknown keys are known too, each with the nearest valid name.
    pub(super) fn document<T>(
        &mut self,
        root: Table,
        read: impl FnOnce(&mut Section<'_, 'f>) -> T,
    ) -> T {
        let section = Section {
            reading: self,
            path: String::new(),
            at: root.at,
            entries: root.entries,
            readable: true,
        };
        let outcome = section.read(read);
        self.suggest_names();
        outcome
    }

    /// Notes every secret that stands in the file itself.
    pub(super) fn warn_of_inline_secrets(&mut self) {
        let warnings = self.inline_secrets.drain(..).map(|secret| Problem {
            at: secret.at,
            key: secret.key,
            cause: Cause::ConfigFileOpen(secret.file_key),
        });
        self.problems.extend(warnings);
    }

    /// Only after everything was read is every valid name known.
    fn suggest_names(&mut self) {
        for problem in &mut self.problems {
            if let Cause::UnknownKey { nearest: name } = &mut problem.cause {
                *name = suggestion(&self.keys, &without_indices(&problem.key));
            }
        }
    }
}

/// The nearest key of the same table, or else the same key in another table.
fn suggestion(keys: &BTreeSet<String>, unknown: &str) -> Option<String> {
    let (table, name) = unknown.rsplit_once('.').unwrap_or(("", unknown));
    let siblings = keys.iter().filter_map(|key| {
        let (parent, leaf) = key.rsplit_once('.').unwrap_or(("", key));
        (parent == table).then_some(leaf)
    });
    let elsewhere = || {
        keys.iter()
            .find(|key| key.rsplit_once('.').is_some_and(|(_, leaf)| leaf == name))
    };
    nearest(name, siblings)
        .map(str::to_owned)
        .or_else(|| elsewhere().cloned())
}

/// `listen[0].addr` as `listen.addr`.
fn without_indices(key: &str) -> String {
    let mut inside = false;
    let outside = |c: &char| {
        inside |= *c == '[';
        let keep = !inside;
        inside &= *c != ']';
        keep
    };
    key.chars().filter(outside).collect()
}

impl<'f> Section<'_, 'f> {
    /// Notes a finding about `key`.
    pub(super) fn report(&mut self, at: Location, key: &str, cause: Cause) {
        let key = self.full(key);
        self.reading.problems.push(Problem { at, key, cause });
    }

    /// Notes a finding about the table itself.
    pub(super) fn report_self(&mut self, cause: Cause) {
        if self.readable {
            let (at, key) = (self.at.clone(), self.path.clone());
            self.reading.problems.push(Problem { at, key, cause });
        }
    }

    /// The value of `key`, where it is given and valid.
    pub(super) fn get<T: FromValue>(&mut self, key: &'static str) -> Option<Found<T>> {
        let node = self.take(key)?.node;
        match T::from_value(&node.value) {
            Ok(value) => Some(Found { at: node.at, value }),
            Err(cause) => {
                self.report(node.at, key, cause);
                None
            }
        }
    }

    /// The value of `key`, or `default`.
    pub(super) fn or<T: FromValue>(&mut self, key: &'static str, default: T) -> T {
        self.get(key).map_or(default, |found| found.value)
    }

    /// The value of `key` within `bounds`, or `default`.
    pub(super) fn within<T: Bounded>(
        &mut self,
        key: &'static str,
        default: T,
        bounds: RangeInclusive<T>,
    ) -> Found<T> {
        let Some(found) = self.get::<T>(key) else {
            return Found {
                at: self.at.clone(),
                value: default,
            };
        };
        if !bounds.contains(&found.value) {
            let least = bounds.start().show();
            let most = bounds.end().show();
            self.report(found.at.clone(), key, Cause::OutOfBounds { least, most });
        }
        found
    }

    /// The value of `key`; what it is for is said where it is missing.
    pub(super) fn require<T: FromValue>(
        &mut self,
        key: &'static str,
        purpose: &'static str,
    ) -> Option<Found<T>> {
        if self.readable && !self.has(key) {
            self.report(self.at.clone(), key, Cause::Missing(purpose));
        }
        self.get(key)
    }

    /// The list of plain values at `key`; empty where there is none.
    pub(super) fn list<T: FromValue>(&mut self, key: &'static str) -> Vec<Found<T>> {
        let mut found = Vec::new();
        for (index, node) in self.elements(key, "a list").into_iter().enumerate() {
            match T::from_value(&node.value) {
                Ok(value) => found.push(Found { at: node.at, value }),
                Err(cause) => self.report(node.at, &format!("{key}[{index}]"), cause),
            }
        }
        found
    }

    /// Reads the table at `key`; where there is none, every key in it has its default.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'f>) -> T,
    ) -> T {
        let mut empty = Table::empty();
        empty.at = self.at.clone();
        let (table, readable) = match self.take(key) {
            None => (empty, true),
            Some(entry) => match self.as_table(key, entry.node) {
                Some(table) => (table, true),
                None => (empty, false),
            },
        };
        self.child(key, table, readable).read(read)
    }

    /// Reads the table at `key`, where it is given.
    pub(super) fn optional_table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'f>) -> T,
    ) -> Option<T> {
        if self.has(key) {
            return Some(self.table(key, read));
        }
        self.ask(key);
        None
    }

    /// Reads every table of the list at `key`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_, 'f>) -> T,
    ) -> Vec<T> {
        let nodes = self.elements(key, "a list of tables ([[…]])");
        let mut outcomes = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.into_iter().enumerate() {
            let name = format!("{key}[{index}]");
            if let Some(table) = self.as_table(&name, node) {
                outcomes.push(self.child(&name, table, true).read(&mut read));
            }
        }
        outcomes
    }

    /// The secret that stands at `key`, or in the file that `file_key` names.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        file_key: &'static str,
    ) -> Option<Found<Zeroizing<String>>> {
        let inline = self.get::<Zeroizing<String>>(key);
        let path = self.get::<PathBuf>(file_key);
        if let (Some(_), Some(path)) = (&inline, &path) {
            let twin = self.full(key);
            self.report(path.at.clone(), file_key, Cause::GivenTwice { twin });
        }
        if let Some(Found { at, value }) = inline {
            if matches!(at, Location::Place { .. }) {
                let (at, key) = (at.clone(), self.full(key));
                let secret = InlineSecret { at, key, file_key };
                self.reading.inline_secrets.push(secret);
            }
            return Some(Found { at, value });
        }
        let Found { at, value: path } = path?;
        let (secret, causes) = secret::read_file(self.reading.files, &path);
        for cause in causes {
            self.report(at.clone(), file_key, cause);
        }
        secret.map(|value| Found { at, value })
    }

    /// The file that `key` names; what it is for is said where it is missing.
    pub(super) fn file(&mut self, key: &'static str, purpose: &'static str) -> Option<NamedFile> {
        let Found { at, value: path } = self.require::<PathBuf>(key, purpose)?;
        match self.reading.files.read(&path) {
            Ok(text) => {
                let path = self.reading.files.locate(&path);
                Some(NamedFile { at, path, text })
            }
            Err(fault) => {
                self.report(at, key, Cause::FileUnreadable { path, fault });
                None
            }
        }
    }

    /// The time at which the document is read.
    pub(super) const fn now(&self) -> UnixTime {
        self.reading.now
    }

    /// Whether `key` is given and was not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The place of the table.
    pub(super) fn place(&self) -> Location {
        self.at.clone()
    }

    /// Reads, then reports every key that was not asked for.
    fn read<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let outcome = read(&mut self);
        for (key, entry) in std::mem::take(&mut self.entries) {
            let key = key.escape_debug().to_string();
            self.report(entry.key_at, &key, Cause::UnknownKey { nearest: None });
        }
        outcome
    }

    fn child(&mut self, key: &str, table: Table, readable: bool) -> Section<'_, 'f> {
        Section {
            path: self.full(key),
            reading: self.reading,
            at: table.at,
            entries: table.entries,
            readable,
        }
    }

    /// The elements of the list at `key`; none where there is none.
    fn elements(&mut self, key: &'static str, expected: &'static str) -> Vec<Node> {
        let Some(Entry { node, .. }) = self.take(key) else {
            return Vec::new();
        };
        let (at, found) = (node.at, node.value.kind());
        if let Value::Array(nodes) = node.value {
            return nodes;
        }
        if let Value::Raw(text) = node.value {
            return split_commas(&text, &at);
        }
        self.report(at, key, Cause::WrongType { expected, found });
        Vec::new()
    }

    fn as_table(&mut self, key: &str, node: Node) -> Option<Table> {
        let found = node.value.kind();
        if let Value::Table(table) = node.value {
            return Some(table);
        }
        let expected = "a table";
        self.report(node.at, key, Cause::WrongType { expected, found });
        None
    }

    fn take(&mut self, key: &str) -> Option<Entry> {
        self.ask(key);
        self.entries.remove(key)
    }

    /// Remembers that `key` is a key.
    fn ask(&mut self, key: &str) {
        let key = without_indices(&self.full(key));
        self.reading.keys.insert(key);
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

fn split_commas(text: &str, at: &Location) -> Vec<Node> {
    let parts = text.split(',').map(str::trim);
    let node = |part: &str| Node {
        at: at.clone(),
        value: Value::Raw(Zeroizing::new(part.to_owned())),
    };
    parts.filter(|part| !part.is_empty()).map(node).collect()
}
