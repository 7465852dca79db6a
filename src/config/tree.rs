//! A TOML document as a tree in which every key and value knows where it was written.
//!
//! Out of the `toml` crate's spanned tables; variables of the environment are laid over it by [`super::env`]. What the
//! keys mean is not known here.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::problem::{Cause, Location, Problem};

/// A table, with the place of its header.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) at: Location,
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Table {
    /// A table in which every key has its default.
    pub(super) const fn empty() -> Self {
        Self {
            at: Location::Whole,
            entries: BTreeMap::new(),
        }
    }
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key_at: Location,
    pub(super) node: Node,
}

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Location,
    pub(super) value: Value,
}

/// A value.
#[derive(Debug)]
pub(super) enum Value {
    /// A string of the file.
    Text(Zeroizing<String>),
    /// The value of a variable: it becomes whatever type its key has.
    Raw(Zeroizing<String>),
    Integer(i64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
    /// A type that no key has, by its name: floats, dates, integers beyond 64 bits.
    Other(&'static str),
}

impl Value {
    /// The type's name with its article, for an error text.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Raw(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Parses a TOML document.
///
/// # Errors
///
/// Every syntax error in it.
pub(super) fn parse(text: &str) -> Result<Table, Vec<Problem>> {
    let lines = Lines::new(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(lines.table(Location::Whole, document.get_ref()));
    }
    let problem = |error: &toml::de::Error| Problem {
        at: error
            .span()
            .map_or(Location::Whole, |span| lines.location(span)),
        key: String::new(),
        cause: Cause::Syntax(error.message().to_owned()),
    };
    Err(errors.iter().map(problem).collect())
}

/// Turns byte offsets into lines and columns.
struct Lines<'t> {
    text: &'t str,
    /// Where each line starts, in bytes; ascending, the first is 0.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let after = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after).collect(),
        }
    }

    fn location(&self, span: Range<usize>) -> Location {
        let offset = span.start.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        Location::Place {
            line,
            column: before.chars().count() + 1,
        }
    }

    fn table(&self, at: Location, table: &DeTable<'_>) -> Table {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<toml::de::DeString<'_>> = key;
            let entry = Entry {
                key_at: self.location(key.span()),
                node: self.node(value),
            };
            (key.get_ref().to_string(), entry)
        };
        Table {
            at,
            entries: table.iter().map(entry).collect(),
        }
    }

    fn node(&self, node: &Spanned<DeValue<'_>>) -> Node {
        let at = self.location(node.span());
        let value = match node.get_ref() {
            DeValue::String(text) => Value::Text(Zeroizing::new(text.to_string())),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_or(Value::Other("an integer beyond 64 bits"), Value::Integer),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Array(nodes) => Value::Array(nodes.iter().map(|n| self.node(n)).collect()),
            DeValue::Table(table) => Value::Table(self.table(at.clone(), table)),
            DeValue::Float(_) => Value::Other("a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
        };
        Node { at, value }
    }
}
