//! The order of map keys and set elements (messages.md, "CBOR"; revision-0006.md, 9.1).

use std::cmp::Ordering;

use hgrpc::KeyOrder;

use super::{Cursor, Head, Integer};

/// Compares two keys by their canonical encodings; equal only if the encodings are.
pub(crate) fn compare_keys(order: KeyOrder, a: &[u8], b: &[u8]) -> Ordering {
    match order {
        KeyOrder::ShorterFirst => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        KeyOrder::Bytewise => compare_by_type(a, b),
    }
}

/// Type order, then value: null < bool < byte strings < integers < text < floats. What section
/// 9.1 does not name comes last, bytewise.
fn compare_by_type(a: &[u8], b: &[u8]) -> Ordering {
    let (mut rest_a, mut rest_b) = (Cursor::new(a), Cursor::new(b));
    let (Ok(head_a), Ok(head_b)) = (rest_a.head(), rest_b.head()) else {
        return a.cmp(b);
    };
    let rank_a = rank(&head_a);
    rank_a.cmp(&rank(&head_b)).then_with(|| match rank_a {
        Rank::Bytes | Rank::Text => rest_a.rest().cmp(rest_b.rest()),
        Rank::Integer => number(&head_a).cmp(&number(&head_b)),
        Rank::Float => match (head_a.float(), head_b.float()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => a.cmp(b),
        },
        Rank::Null | Rank::Bool | Rank::Other => a.cmp(b),
    })
}

fn number(head: &Head) -> Integer {
    Integer::from_argument(head.argument, head.major == 1)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Null,
    Bool,
    Bytes,
    Integer,
    Text,
    Float,
    Other,
}

fn rank(head: &Head) -> Rank {
    match (head.major, head.info) {
        (7, 22) => Rank::Null,
        (7, 20 | 21) => Rank::Bool,
        (2, _) => Rank::Bytes,
        (0 | 1, _) => Rank::Integer,
        (3, _) => Rank::Text,
        (7, 25..=27) => Rank::Float,
        _ => Rank::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Value;
    use super::*;

    fn sorted(order: KeyOrder, keys: &[Value]) -> Vec<Value> {
        let entries = keys.iter().map(|k| (k.clone(), Value::Null)).collect();
        let bytes = Value::Map(entries).encode(order).unwrap();
        match Value::decode(&bytes).unwrap() {
            Value::Map(entries) => entries.into_iter().map(|(k, _)| k).collect(),
            other => vec![other],
        }
    }

    fn ascending() -> Vec<Value> {
        let bytes = |s: &str| Value::from(s.as_bytes());
        vec![
            Value::Null,
            Value::Bool(false),
            Value::Bool(true),
            bytes(""),
            bytes("a"),
            bytes("aa"),
            bytes("b"),
            Value::from(-1000i64),
            Value::from(-1i64),
            Value::from(0u64),
            Value::from(1000u64),
            Value::from(""),
            Value::from("aa"),
            Value::from("b"),
            Value::Float(f64::NEG_INFINITY),
            Value::Float(-1.1),
            Value::Float(0.5),
            Value::Float(1.1),
            Value::Array(vec![]),
        ]
    }

    #[test]
    fn revision_0006_sorts_by_type_then_value() {
        let mut keys = ascending();
        keys.reverse();
        assert_eq!(sorted(KeyOrder::Bytewise, &keys), ascending());
    }

    #[test]
    fn april_revisions_sort_by_length_first() {
        let bytes = |s: &str| Value::from(s.as_bytes());
        let keys = [bytes("aa"), bytes("b"), Value::from("a"), Value::from(1u64)];
        assert_eq!(
            sorted(KeyOrder::ShorterFirst, &keys),
            [Value::from(1u64), bytes("b"), Value::from("a"), bytes("aa")]
        );
    }
}
