//! Overrides from the environment, for containers: `VEILTURN_SECTION__KEY=value`.
//!
//! Two underscores stand between levels, and an element of a list is named by its index: `VEILTURN_LISTEN__0__ADDR`.
//! A list of plain values can also be given whole, with commas: `VEILTURN_PEERS__ALLOW=10.0.0.0/8,fd00::/8`.
//! A variable without two underscores is taken only where it names a key outside every section, because Kubernetes
//! sets such names (`VEILTURN_PORT`, `VEILTURN_SERVICE_HOST`) for a service called veilturn.

use std::collections::BTreeMap;
use std::ffi::OsString;

use zeroize::Zeroizing;

use super::problem::{Cause, Location, Problem};
use super::tree::{Entry, Node, Table, Value};

/// What our variables begin with.
const PREFIX: &str = "VEILTURN_";

/// The keys outside every section.
const TOP_LEVEL: [&str; 1] = ["REALM"];

/// The deepest key, `listen[0].addr`, has three levels; a name with more than this many is no key.
const MAX_LEVELS: usize = 8;

/// Lays the variables over the document; what does not fit in is reported.
pub(super) fn apply(
    root: &mut Table,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<Problem> {
    let mut overrides: Vec<_> = variables.into_iter().filter_map(Override::new).collect();
    // By path, so that elements of a list come in the order of their indices.
    overrides.sort_by(|a, b| a.path.cmp(&b.path));
    let problems = overrides.into_iter().map(|each| each.lay_over(root));
    problems.filter_map(Result::err).collect()
}

/// One variable that is ours.
struct Override {
    name: String,
    path: Vec<Segment>,
    value: OsString,
}

/// One level of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Index(usize),
    Key(String),
}

impl Override {
    fn new((name, value): (OsString, OsString)) -> Option<Self> {
        let name = name.into_string().ok()?;
        let keys = name.strip_prefix(PREFIX)?;
        if !keys.contains("__") && !TOP_LEVEL.contains(&keys) {
            return None;
        }
        let path = keys.split("__").map(Segment::new).collect();
        Some(Self { name, path, value })
    }

    fn lay_over(self, root: &mut Table) -> Result<(), Problem> {
        let at = Location::Variable(self.name);
        let problem = |cause| Problem {
            at: at.clone(),
            key: String::new(),
            cause,
        };
        let value = self.value.into_string();
        let value = Zeroizing::new(value.map_err(|_| problem(Cause::VariableNotText))?);
        let leaf = Node {
            at: at.clone(),
            value: Value::Raw(value),
        };
        if self.path.len() > MAX_LEVELS {
            return Err(problem(Cause::UnknownKey { nearest: None }));
        }
        set_in_table(root, &self.path, leaf).map_err(problem)
    }
}

impl Segment {
    fn new(text: &str) -> Self {
        text.parse()
            .map_or_else(|_| Self::Key(text.to_ascii_lowercase()), Self::Index)
    }

    /// An empty value of the kind that this segment selects from.
    fn container(&self, at: Location) -> Value {
        match self {
            Self::Index(_) => Value::Array(Vec::new()),
            Self::Key(_) => Value::Table(Table {
                at,
                entries: BTreeMap::new(),
            }),
        }
    }

    /// The name of that kind.
    const fn container_kind(&self) -> &'static str {
        match self {
            Self::Index(_) => "a list",
            Self::Key(_) => "a table",
        }
    }
}

fn set_in_table(table: &mut Table, path: &[Segment], leaf: Node) -> Result<(), Cause> {
    let Some((Segment::Key(key), rest)) = path.split_first() else {
        return Err(Cause::WrongType {
            expected: "a table",
            found: "a list",
        });
    };
    match table.entries.get_mut(key) {
        Some(entry) => set_in_node(&mut entry.node, rest, leaf),
        None => {
            let entry = Entry {
                key_at: leaf.at.clone(),
                node: grow(rest, leaf)?,
            };
            table.entries.insert(key.clone(), entry);
            Ok(())
        }
    }
}

fn set_in_node(node: &mut Node, path: &[Segment], leaf: Node) -> Result<(), Cause> {
    let Some((segment, rest)) = path.split_first() else {
        *node = leaf;
        return Ok(());
    };
    let expected = node.value.kind();
    match (&mut node.value, segment) {
        (Value::Table(table), Segment::Key(_)) => set_in_table(table, path, leaf),
        (Value::Array(nodes), Segment::Index(index)) => {
            let len = nodes.len();
            match nodes.get_mut(*index) {
                Some(element) => set_in_node(element, rest, leaf),
                None if *index == len => {
                    nodes.push(grow(rest, leaf)?);
                    Ok(())
                }
                None => Err(Cause::IndexGap { len }),
            }
        }
        _ => Err(Cause::WrongType {
            expected,
            found: segment.container_kind(),
        }),
    }
}

/// The value that has `leaf` at the end of `path` and nothing else.
fn grow(path: &[Segment], leaf: Node) -> Result<Node, Cause> {
    let Some(segment) = path.first() else {
        return Ok(leaf);
    };
    let mut node = Node {
        at: leaf.at.clone(),
        value: segment.container(leaf.at.clone()),
    };
    set_in_node(&mut node, path, leaf)?;
    Ok(node)
}
