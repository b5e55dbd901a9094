//! Which changesets are meant: revision specifiers (http-v2.md, 5.3).

use hgrpc_std::value::Value;

use super::Node;
use super::values::nodes;

/// Names changesets. Several together are their union, in order of first appearance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Specifier {
    /// These changesets.
    Explicit(Vec<Node>),
    /// Changesets and those of their ancestors that are fewer than so many steps away.
    Depth {
        /// The changesets to begin with.
        nodes: Vec<Node>,
        /// 1 is the changesets alone.
        depth: u64,
    },
    /// Ancestors of `heads` that are not ancestors of `roots`; both include themselves.
    Range {
        /// What is there already. Unknown ones are ignored.
        roots: Vec<Node>,
        /// What is wanted. Mercurial's server refuses an empty list (H-05).
        heads: Vec<Node>,
    },
}

impl Specifier {
    /// The specifier as it is sent.
    pub fn to_value(&self) -> Value {
        let (name, mut entries) = match self {
            Self::Explicit(list) => ("changesetexplicit", vec![("nodes", nodes(list))]),
            Self::Depth { nodes: list, depth } => (
                "changesetexplicitdepth",
                vec![("nodes", nodes(list)), ("depth", Value::from(*depth))],
            ),
            Self::Range { roots, heads } => (
                "changesetdagrange",
                vec![("roots", nodes(roots)), ("heads", nodes(heads))],
            ),
        };
        entries.push(("type", Value::from(name.as_bytes())));
        Value::object(entries)
    }
}
