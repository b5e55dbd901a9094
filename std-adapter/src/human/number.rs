//! Numbers of literals: Python's decimal integers and floats.

use super::HumanErrorKind;
use super::scan::{Fault, Scanner};
use crate::value::{Integer, write_float, write_integer};

/// Takes a number, its sign included, and writes its encoding.
///
/// As in Python, digits may be grouped by single underscores, and a float too big for its 64 bits
/// is infinite.
pub(super) fn parse(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = scanner.clone();
    let sign = scanner.peek().filter(|b| matches!(b, b'+' | b'-'));
    if sign.is_some() {
        scanner.next();
        scanner.skip_spaces();
        if !matches!(scanner.peek(), Some(b'0'..=b'9' | b'.')) {
            return Err(scanner.fault(HumanErrorKind::Expected("a number after the sign")));
        }
    }
    let negative = sign == Some(b'-');
    if let [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..] = scanner.rest() {
        return Err(scanner.fault(HumanErrorKind::OtherBase));
    }
    let digits_at = scanner.clone();
    let mut text = String::new();
    digits(scanner, &mut text)?;
    let whole = text.len();
    if scanner.peek() == Some(b'.') {
        scanner.next();
        text.push('.');
        digits(scanner, &mut text)?;
        if text.len() == 1 {
            return Err(start.fault(HumanErrorKind::MalformedNumber));
        }
    }
    if let Some(b'e' | b'E') = scanner.peek() {
        exponent(scanner, &mut text)?;
    }
    // A letter, a digit of nothing, another point: `1j`, `1x`, `1.2.3`.
    if matches!(
        scanner.peek(),
        Some(b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | 0x80..)
    ) {
        return Err(start.fault(HumanErrorKind::MalformedNumber));
    }
    if text.len() > whole {
        let float: f64 = text
            .parse()
            .map_err(|_| start.fault(HumanErrorKind::MalformedNumber))?;
        write_float(out, if negative { -float } else { float });
        return Ok(());
    }
    if text.starts_with('0') && text.bytes().any(|b| b != b'0') {
        return Err(digits_at.fault(HumanErrorKind::LeadingZeros));
    }
    let integer = text
        .parse()
        .ok()
        .map(|value: i128| if negative { -value } else { value })
        .and_then(Integer::new)
        .ok_or_else(|| start.fault(HumanErrorKind::IntegerTooBig))?;
    write_integer(out, integer);
    Ok(())
}

/// Takes digits, none or more, with single underscores between them.
fn digits(scanner: &mut Scanner<'_>, text: &mut String) -> Result<(), Fault> {
    loop {
        let taken = scanner.take_while(|b| b.is_ascii_digit());
        text.extend(taken.iter().copied().map(char::from));
        match scanner.rest() {
            [b'_', b'0'..=b'9', ..] if !taken.is_empty() => {
                scanner.next();
            }
            [b'_', ..] => return Err(scanner.fault(HumanErrorKind::MalformedNumber)),
            _ => return Ok(()),
        }
    }
}

fn exponent(scanner: &mut Scanner<'_>, text: &mut String) -> Result<(), Fault> {
    let start = scanner.clone();
    scanner.next();
    text.push('e');
    if let Some(sign @ (b'+' | b'-')) = scanner.peek() {
        scanner.next();
        text.push(char::from(sign));
    }
    let before = text.len();
    digits(scanner, text)?;
    if text.len() == before {
        return Err(start.fault(HumanErrorKind::MalformedNumber));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn parsed(text: &str) -> Result<Value, Fault> {
        let mut scanner = Scanner::new(text.as_bytes(), 0);
        let mut out = Vec::new();
        parse(&mut scanner, &mut out)?;
        assert_eq!(scanner.rest(), b"", "{text}");
        Ok(Value::decode(&out).unwrap())
    }

    #[test]
    fn integers() {
        let integer = |n: i128| Ok(Value::Integer(Integer::new(n).unwrap()));
        for (text, n) in [
            ("0", 0),
            ("000", 0),
            ("-0", 0),
            ("+5", 5),
            ("- 5", -5),
            ("1_000", 1000),
            ("18446744073709551615", u64::MAX.into()),
            ("-18446744073709551616", -1 - i128::from(u64::MAX)),
        ] {
            assert_eq!(parsed(text), integer(n), "{text}");
        }
    }

    #[test]
    fn floats() {
        for (text, float) in [
            ("1.5", 1.5),
            ("1.", 1.0),
            (".5", 0.5),
            ("-0.0", -0.0),
            ("1e3", 1000.0),
            ("01.5", 1.5),
            ("1E-3", 0.001),
            ("1_0.0_1e+0_2", 1001.0),
            ("1e999", f64::INFINITY),
        ] {
            let value = parsed(text).unwrap();
            assert_eq!(format!("{value:?}"), format!("{:?}", Value::Float(float)));
        }
    }

    #[test]
    fn numbers_that_are_not_accepted() {
        use HumanErrorKind::*;
        for (text, offset, kind) in [
            ("0x10", 0, OtherBase),
            ("-0B1", 1, OtherBase),
            ("0o7", 0, OtherBase),
            ("007", 0, LeadingZeros),
            ("-01", 1, LeadingZeros),
            ("18446744073709551616", 0, IntegerTooBig),
            ("-18446744073709551617", 0, IntegerTooBig),
            (&"9".repeat(1000), 0, IntegerTooBig),
            ("1_", 1, MalformedNumber),
            ("1__0", 1, MalformedNumber),
            ("1j", 0, MalformedNumber),
            ("1L", 0, MalformedNumber),
            ("1e", 1, MalformedNumber),
            ("1e+", 1, MalformedNumber),
            ("1.2.3", 0, MalformedNumber),
            (".", 0, MalformedNumber),
            ("-.", 0, MalformedNumber),
            ("--1", 1, Expected("a number after the sign")),
            ("-", 1, Expected("a number after the sign")),
            ("-True", 1, Expected("a number after the sign")),
        ] {
            assert_eq!(parsed(text), Err(Fault::new(offset, kind)), "{text}");
        }
    }
}
