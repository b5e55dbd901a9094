//! Values to canonical bytes (messages.md, "CBOR"; revision-0006.md, 9.1).

use std::fmt;

use hgrpc::KeyOrder;

use super::{Integer, MAX_NESTING, SET_TAG, Value, compare_keys};

/// Why a value has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A container within [`MAX_NESTING`] others.
    NestedTooDeep,
    /// A [`Value::Simple`] that has a name of its own (20 to 23) or is reserved (24 to 31).
    ReservedSimple(u8),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NestedTooDeep => f.write_str("nested too deep"),
            Self::ReservedSimple(n) => write!(f, "{n} is not a simple value without a name"),
        }
    }
}

impl std::error::Error for EncodeError {}

impl Value {
    /// The value's canonical encoding: shortest lengths, integers and floats, definite lengths,
    /// map keys and set elements in `order`. A set's repeated elements are written once; a map's
    /// repeated keys are all written, in their order.
    ///
    /// # Errors
    /// Nesting over [`MAX_NESTING`], and simple values that are none.
    pub fn encode(&self, order: KeyOrder) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        item(&mut out, self, order, 0)?;
        Ok(out)
    }
}

fn item(
    out: &mut Vec<u8>,
    value: &Value,
    order: KeyOrder,
    depth: usize,
) -> Result<(), EncodeError> {
    let deeper_by = |levels| {
        Some(depth + levels)
            .filter(|&deeper| deeper <= MAX_NESTING)
            .ok_or(EncodeError::NestedTooDeep)
    };
    match value {
        Value::Integer(integer) => write_integer(out, *integer),
        Value::Bytes(bytes) => write_string(out, 2, bytes),
        Value::Text(text) => write_string(out, 3, text.as_bytes()),
        Value::Array(items) => {
            let depth = deeper_by(1)?;
            write_head(out, 4, count(items.len()));
            for value in items {
                item(out, value, order, depth)?;
            }
        }
        Value::Map(entries) => {
            let depth = deeper_by(1)?;
            let mut encoded = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let mut bytes = Vec::new();
                item(&mut bytes, key, order, depth)?;
                encoded.push((bytes, value));
            }
            encoded.sort_by(|(a, _), (b, _)| compare_keys(order, a, b));
            write_head(out, 5, count(encoded.len()));
            for (key, value) in encoded {
                out.extend_from_slice(&key);
                item(out, value, order, depth)?;
            }
        }
        Value::Set(items) => {
            // The tag, and the array in it.
            let depth = deeper_by(2)?;
            let mut encoded = Vec::with_capacity(items.len());
            for value in items {
                let mut bytes = Vec::new();
                item(&mut bytes, value, order, depth)?;
                encoded.push(bytes);
            }
            encoded.sort_by(|a, b| compare_keys(order, a, b));
            encoded.dedup();
            write_head(out, 6, SET_TAG);
            write_head(out, 4, count(encoded.len()));
            out.extend(encoded.into_iter().flatten());
        }
        Value::Tag(tag, content) => {
            let depth = deeper_by(1)?;
            write_head(out, 6, *tag);
            item(out, content, order, depth)?;
        }
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Null => out.push(0xf6),
        Value::Undefined => out.push(0xf7),
        Value::Simple(n @ 20..=31) => return Err(EncodeError::ReservedSimple(*n)),
        Value::Simple(n) => write_head(out, 7, u64::from(*n)),
        Value::Float(float) => write_float(out, *float),
    }
    Ok(())
}

/// Writes an item's head in its shortest form.
pub(crate) fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let [.., b4, b5, b6, b7] = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | b7),
        24..=0xff => out.extend([major | 24, b7]),
        0x100..=0xffff => out.extend([major | 25, b6, b7]),
        0x1_0000..=0xffff_ffff => out.extend([major | 26, b4, b5, b6, b7]),
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}

pub(crate) fn write_integer(out: &mut Vec<u8>, integer: Integer) {
    let value = integer.value();
    // Both casts are exact: an `Integer` is within 64 bits and a sign.
    match u64::try_from(value) {
        Ok(argument) => write_head(out, 0, argument),
        Err(_) => write_head(out, 1, u64::try_from(-1 - value).unwrap_or(u64::MAX)),
    }
}

/// Writes a float in the shortest form that keeps its value; every NaN as `f9 7e00`.
pub(crate) fn write_float(out: &mut Vec<u8>, float: f64) {
    if float.is_nan() {
        out.extend([0xf9, 0x7e, 0x00]);
        return;
    }
    let half = half::f16::from_f64(float);
    #[allow(clippy::cast_possible_truncation)] // the loss is what is looked for
    let single = float as f32;
    if half.to_f64().to_bits() == float.to_bits() {
        out.push(0xf9);
        out.extend(half.to_be_bytes());
    } else if f64::from(single).to_bits() == float.to_bits() {
        out.push(0xfa);
        out.extend(single.to_be_bytes());
    } else {
        out.push(0xfb);
        out.extend(float.to_be_bytes());
    }
}

fn write_string(out: &mut Vec<u8>, major: u8, contents: &[u8]) {
    write_head(out, major, count(contents.len()));
    out.extend_from_slice(contents);
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(value: &Value) -> String {
        base16ct::lower::encode_string(&value.encode(KeyOrder::Bytewise).unwrap())
    }

    #[test]
    fn heads_are_shortest() {
        for (number, expected) in [
            (0u64, "00"),
            (23, "17"),
            (24, "1818"),
            (255, "18ff"),
            (256, "190100"),
            (65_535, "19ffff"),
            (65_536, "1a00010000"),
            (0xffff_ffff, "1affffffff"),
            (0x1_0000_0000, "1b0000000100000000"),
            (u64::MAX, "1bffffffffffffffff"),
        ] {
            assert_eq!(hex(&Value::from(number)), expected);
        }
        assert_eq!(hex(&Value::from(-1i64)), "20");
        let lowest = Integer::new(-(1 << 64)).unwrap();
        assert_eq!(hex(&Value::Integer(lowest)), "3bffffffffffffffff");
    }

    #[test]
    fn floats_are_shortest() {
        for (float, expected) in [
            (0.0, "f90000"),
            (-0.0, "f98000"),
            (1.5, "f93e00"),
            (65_504.0, "f97bff"),
            (65_505.0, "fa477fe100"),
            (2f64.powi(-24), "f90001"),
            (2f64.powi(-25), "fa33000000"),
            (3.402_823_466_385_288_6e38, "fa7f7fffff"),
            (1.1, "fb3ff199999999999a"),
            (1e300, "fb7e37e43c8800759c"),
            (f64::INFINITY, "f97c00"),
            (f64::NEG_INFINITY, "f9fc00"),
            (f64::NAN, "f97e00"),
            (-f64::NAN, "f97e00"),
        ] {
            assert_eq!(hex(&Value::Float(float)), expected, "{float}");
        }
    }

    #[test]
    fn sets_are_sorted_and_hold_each_element_once() {
        let set = Value::Set([2u64, 1, 2].map(Value::from).into());
        assert_eq!(hex(&set), "d90102820102");
    }

    #[test]
    fn what_has_no_encoding_is_refused() {
        for n in 20..=31 {
            let value = Value::Simple(n);
            assert_eq!(
                value.encode(KeyOrder::Bytewise),
                Err(EncodeError::ReservedSimple(n))
            );
        }
        let mut value = Value::Null;
        for _ in 0..16 {
            value = Value::Array(vec![value]);
        }
        assert!(value.encode(KeyOrder::Bytewise).is_ok());
        let deep = Value::Map(vec![(Value::Null, value)]);
        assert_eq!(
            deep.encode(KeyOrder::Bytewise),
            Err(EncodeError::NestedTooDeep)
        );
    }
}
