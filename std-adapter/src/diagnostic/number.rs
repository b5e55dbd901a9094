//! Numbers of the notation.

use super::ParseErrorKind;
use crate::value::{Integer, Value};

/// The number that a token is: JSON's, and integers in the bases 2, 8 and 16.
pub(super) fn parse(token: &str) -> Result<Value, ParseErrorKind> {
    let (negative, digits) = match token.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, token),
    };
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = digits.strip_prefix(prefix) {
            return integer(digits, base, negative);
        }
    }
    let mut point = digits.split(['.', 'e', 'E']);
    let whole = point.next().unwrap_or_default();
    if whole.len() == digits.len() {
        return integer(digits, 10, negative);
    }
    // Rust takes more than JSON: what is left out there has to have digits here.
    let is_float = point.all(|part| {
        let part = part.strip_prefix(['+', '-']).unwrap_or(part);
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())
    });
    let float = digits.parse::<f64>().ok().filter(|_| is_float);
    match float {
        Some(_) if whole.is_empty() => Err(ParseErrorKind::MalformedNumber),
        Some(_) if has_leading_zeros(whole) => Err(ParseErrorKind::LeadingZeros),
        Some(float) => Ok(Value::Float(if negative { -float } else { float })),
        None => Err(ParseErrorKind::MalformedNumber),
    }
}

fn integer(digits: &str, base: u32, negative: bool) -> Result<Value, ParseErrorKind> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(ParseErrorKind::MalformedNumber);
    }
    if base == 10 && has_leading_zeros(digits) {
        return Err(ParseErrorKind::LeadingZeros);
    }
    i128::from_str_radix(digits, base)
        .ok()
        .map(|n| if negative { -n } else { n })
        .and_then(Integer::new)
        .map(Value::Integer)
        .ok_or(ParseErrorKind::IntegerTooBig)
}

fn has_leading_zeros(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0')
}
