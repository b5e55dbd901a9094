//! Bytes as vectors write them: lower-case hex, or a list of parts to be joined.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::fields::{Fault, Fields};

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// The bytes that lower-case hex stands for.
///
/// # Errors
/// It is not that.
pub fn unhex(text: &str) -> Result<Vec<u8>, Fault> {
    base16ct::lower::decode_vec(text).map_err(|_| {
        Fault::schema(format!(
            "not lower-case hex: `{}`",
            crate::fields::cut(text)
        ))
    })
}

/// The bytes of a value: hex, or a list of hex and `{"repeat", "count"}`.
///
/// # Errors
/// It is not that.
pub fn parse(value: &Value) -> Result<Vec<u8>, Fault> {
    let parts = match value {
        Value::String(text) => return unhex(text),
        Value::Array(parts) => parts,
        other => return Err(Fault::schema(format!("not bytes: {other}"))),
    };
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Value::String(text) => bytes.extend(unhex(text)?),
            part => {
                let fields = Fields::new(part)?;
                let repeated = unhex(fields.text("repeat")?)?;
                let count = fields.number("count", 1 << 24)?;
                fields.finish()?;
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                bytes.extend(repeated.repeat(count));
            }
        }
    }
    Ok(bytes)
}

/// The SHA-256 of bytes, as hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Whether what was expected is what came. The latter has all bytes as hex; the former may have
/// them in parts, or as a digest where they are long: `{"len", "sha256"}`, and for frames
/// `{"header", "payload_len", "payload_sha256"}`. Everything else must be the same, no field more
/// or less.
pub fn matches(expected: &Value, result: &Value) -> bool {
    match (expected, result) {
        (Value::Object(e), Value::Object(r)) => {
            e.len() == r.len()
                && e.iter()
                    .all(|(key, value)| r.get(key).is_some_and(|other| matches(value, other)))
        }
        (Value::Array(e), Value::Array(r)) => {
            e.len() == r.len() && e.iter().zip(r).all(|(e, r)| matches(e, r))
        }
        (Value::Array(_), Value::String(r)) => parse(expected).is_ok_and(|bytes| hex(&bytes) == *r),
        (Value::Object(_), Value::String(r)) => {
            unhex(r).is_ok_and(|bytes| *expected == digest(expected, &bytes))
        }
        (expected, result) => expected == result,
    }
}

/// The digest of bytes, of the kind that `like` is.
fn digest(like: &Value, bytes: &[u8]) -> Value {
    match bytes.split_at_checked(8) {
        Some((header, payload)) if like.get("header").is_some() => json!({
            "header": hex(header), "payload_len": payload.len(), "payload_sha256": sha256(payload)
        }),
        _ => json!({"len": bytes.len(), "sha256": sha256(bytes)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_parts() {
        let value = json!(["0a", {"repeat": "0b0c", "count": 2}, ""]);
        assert_eq!(parse(&value).unwrap(), [0x0a, 0x0b, 0x0c, 0x0b, 0x0c]);
        assert!(matches(&value, &json!("0a0b0c0b0c")));
        for wrong in [
            json!("0A"),
            json!("0"),
            json!(1),
            json!([{"repeat": "00"}]),
            json!([{"repeat": "00", "count": 1, "more": 1}]),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn digests() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(matches(&json!({"len": 0, "sha256": empty}), &json!("")));
        let frame =
            json!({"header": "0000000100010012", "payload_len": 0, "payload_sha256": empty});
        assert!(matches(&frame, &json!("0000000100010012")));
        assert!(!matches(&frame, &json!("0000000100010011")));
        assert!(!matches(&json!({"len": 0}), &json!("")));
    }
}
