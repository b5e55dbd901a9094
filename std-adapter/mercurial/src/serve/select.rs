//! Which changesets a request is about (http-v2.md, 5.3).

use std::collections::HashSet;

use hgrpc_std::blocking::Failure;
use hgrpc_std::value::Value;

use super::args;
use crate::values::{as_bytes, as_list, find};
use crate::{Node, Repository, dag};

/// The union of these specifiers, in order of first appearance. Nodes that are given explicitly
/// may be unknown.
pub(super) fn select(
    repository: &dyn Repository,
    specifiers: &[Value],
) -> Result<Vec<Node>, Failure> {
    let mut seen = HashSet::new();
    let mut selected = Vec::new();
    let mut add = |node: Node| {
        if seen.insert(node) {
            selected.push(node);
        }
    };
    for specifier in specifiers {
        let kind = find(specifier, "type")
            .ok_or_else(|| Failure::command("type key not present in revision specifier"))?;
        match as_bytes(kind).unwrap_or_default() {
            b"changesetexplicit" => {
                let nodes = find(specifier, "nodes").ok_or_else(|| {
                    // This one comes with its key filled in.
                    Failure::command(
                        "nodes key not present in changesetexplicit revision specifier",
                    )
                })?;
                nodes_of("nodes", nodes)?.into_iter().for_each(&mut add);
            }
            b"changesetexplicitdepth" => {
                let key = |key| required(specifier, "changesetexplicitdepth", key);
                let nodes = nodes_of("nodes", key("nodes")?)?;
                let depth = args::number("depth", key("depth")?)?;
                let numbers = numbers(repository, &nodes)?;
                dag::within(repository, numbers, depth)
                    .for_each(|number| add(repository.node(number)));
            }
            b"changesetdagrange" => {
                let key = |key| required(specifier, "changesetdagrange", key);
                let roots = nodes_of("roots", key("roots")?)?;
                let roots = roots.iter().filter_map(|root| repository.number(root));
                // An empty list is what hg sends for an empty repository, and what it refuses
                // itself (H-05); the null node is before everything.
                let mut heads = nodes_of("heads", key("heads")?)?;
                heads.retain(|head| !head.is_null());
                let heads = numbers(repository, &heads)?;
                dag::range(repository, roots, heads)
                    .for_each(|number| add(repository.node(number)));
            }
            other => {
                return Err(Failure::format(
                    "unknown revision specifier type: %s",
                    [other],
                ));
            }
        }
    }
    Ok(selected)
}

fn required<'a>(specifier: &'a Value, kind: &str, key: &str) -> Result<&'a Value, Failure> {
    find(specifier, key).ok_or_else(|| {
        Failure::format(
            &format!("%s key not present in {kind} revision specifier"),
            [key],
        )
    })
}

fn nodes_of(key: &str, value: &Value) -> Result<Vec<Node>, Failure> {
    as_list(value)
        .ok_or_else(|| Failure::command(format!("{key} in a revision specifier must be an array")))?
        .iter()
        .map(args::node)
        .collect()
}

fn numbers(repository: &dyn Repository, nodes: &[Node]) -> Result<Vec<u32>, Failure> {
    nodes.iter().map(|node| number(repository, node)).collect()
}

/// The number of a changeset that has to be there.
pub(super) fn number(repository: &dyn Repository, node: &Node) -> Result<u32, Failure> {
    repository
        .number(node)
        .ok_or_else(|| Failure::server(format!("00changelog@{node}: no node")))
}
