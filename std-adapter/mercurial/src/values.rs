//! Short ways to make CBOR values, and to look into them.

use hgrpc_std::value::Value;

use super::Node;

/// A byte string.
pub(super) fn bytes(bytes: impl AsRef<[u8]>) -> Value {
    Value::from(bytes.as_ref())
}

/// The set of those names that are wanted.
pub(super) fn wanted<const N: usize>(names: [(&str, bool); N]) -> Value {
    let names = names.into_iter().filter(|(_, is_wanted)| *is_wanted);
    Value::Set(names.map(|(name, _)| bytes(name)).collect())
}

/// An array of nodes.
pub(super) fn nodes<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Value {
    Value::Array(
        nodes
            .into_iter()
            .map(|node| bytes(node.as_bytes()))
            .collect(),
    )
}

/// An integer.
pub(super) fn count(count: usize) -> Value {
    Value::from(u64::try_from(count).unwrap_or(u64::MAX))
}

/// The value of a map's key.
pub(super) fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let Value::Map(entries) = value else {
        return None;
    };
    entries
        .iter()
        .find(|(k, _)| matches!(k, Value::Bytes(k) if k == key.as_bytes()))
        .map(|(_, value)| value)
}

/// What a byte string holds.
pub(super) fn as_bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// What an array or a set holds.
pub(super) fn as_list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) | Value::Set(items) => Some(items),
        _ => None,
    }
}

/// An integer from 0 on.
pub(super) fn as_count(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(integer) => u64::try_from(integer.value()).ok(),
        _ => None,
    }
}

/// A node.
pub(super) fn as_node(value: &Value) -> Option<Node> {
    Node::try_from(as_bytes(value)?).ok()
}
