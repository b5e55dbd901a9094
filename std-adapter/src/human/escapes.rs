//! Backslash escapes: in payloads, and in the strings of literals.

use super::HumanErrorKind;
use super::scan::{Fault, Scanner};

/// Takes an escape, whose backslash is still there, in a payload or a byte string.
pub(super) fn byte(scanner: &mut Scanner<'_>) -> Result<u8, Fault> {
    let start = scanner.clone();
    scanner.next();
    let byte = match scanner.peek() {
        None => return Err(start.fault(HumanErrorKind::LoneBackslash)),
        Some(c @ (b'\\' | b'\'' | b'"')) => c,
        Some(b'a') => 0x07,
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'v') => 0x0b,
        Some(b'x') => {
            scanner.next();
            let code = hex(scanner, &start, 2)?;
            return Ok(code.to_be_bytes()[3]);
        }
        Some(b'0'..=b'7') => return octal(scanner, &start),
        Some(b'N') => return Err(start.fault(HumanErrorKind::NamedEscape)),
        Some(_) => {
            let found = scanner.char().unwrap_or_default();
            return Err(start.fault(HumanErrorKind::UnknownEscape(found)));
        }
    };
    scanner.next();
    Ok(byte)
}

/// Takes an escape, whose backslash is still there, in a text string: `\xHH` and `\ooo` are
/// characters, and `\uHHHH` and `\UHHHHHHHH` are known too.
pub(super) fn character(scanner: &mut Scanner<'_>) -> Result<char, Fault> {
    let start = scanner.clone();
    let digits = match scanner.rest() {
        [_, b'u', ..] => 4,
        [_, b'U', ..] => 8,
        _ => return byte(scanner).map(char::from),
    };
    scanner.next();
    scanner.next();
    let code = hex(scanner, &start, digits)?;
    char::from_u32(code).ok_or_else(|| start.fault(HumanErrorKind::NotUnicode(code)))
}

/// Takes so many hexadecimal digits, at most eight.
fn hex(scanner: &mut Scanner<'_>, start: &Scanner<'_>, digits: u8) -> Result<u32, Fault> {
    let mut code = 0;
    for _ in 0..digits {
        let digit = scanner.peek().and_then(|c| char::from(c).to_digit(16));
        let digit = digit.ok_or_else(|| start.fault(HumanErrorKind::HexDigits(digits)))?;
        scanner.next();
        code = code << 4 | digit;
    }
    Ok(code)
}

/// Takes one to three octal digits.
fn octal(scanner: &mut Scanner<'_>, start: &Scanner<'_>) -> Result<u8, Fault> {
    let mut code = 0u32;
    for _ in 0..3 {
        let Some(digit @ b'0'..=b'7') = scanner.peek() else {
            break;
        };
        scanner.next();
        code = code << 3 | u32::from(digit - b'0');
    }
    u8::try_from(code).map_err(|_| start.fault(HumanErrorKind::OctalTooBig))
}

/// The bytes that a payload with escapes stands for, from `start` to the line's end.
pub(super) fn unescape(line: &[u8], start: usize) -> Result<Vec<u8>, Fault> {
    let mut scanner = Scanner::new(line, start);
    let mut bytes = Vec::with_capacity(scanner.rest().len());
    loop {
        bytes.extend_from_slice(scanner.take_while(|b| b != b'\\'));
        if scanner.peek().is_none() {
            return Ok(bytes);
        }
        bytes.push(byte(&mut scanner)?);
    }
}

/// Writes bytes so that [`unescape`] gives them back: printable ASCII as it is, all else escaped.
pub(super) fn escape(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        escape_byte(out, byte);
    }
}

pub(super) fn escape_byte(out: &mut String, byte: u8) {
    match byte {
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        0x20..=0x7e => out.push(char::from(byte)),
        _ => {
            let mut digits = [0; 2];
            out.push_str("\\x");
            // Two digits for one byte always fit.
            out.push_str(base16ct::lower::encode_str(&[byte], &mut digits).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_listed_escape() {
        assert_eq!(
            unescape(
                r#"\\\'\"\a\b\f\n\r\t\v\x0f\xFF\0\7\12\101\377\1018é"#.as_bytes(),
                0
            )
            .unwrap(),
            b"\\'\"\x07\x08\x0c\n\r\t\x0b\x0f\xff\x00\x07\x0aA\xffA8\xc3\xa9"
        );
    }

    #[test]
    fn escapes_in_text_are_characters() {
        for (escape, expected) in [
            (&br"\xe9"[..], 'é'),
            (br"\351", 'é'),
            (br"\u2603", '☃'),
            (br"\U0001F600", '😀'),
            (br"\n", '\n'),
        ] {
            let mut scanner = Scanner::new(escape, 0);
            assert_eq!(character(&mut scanner), Ok(expected));
            assert_eq!(scanner.offset, escape.len());
        }
    }

    #[test]
    fn escapes_that_are_not_accepted() {
        use HumanErrorKind::*;
        for (text, offset, kind) in [
            (&br"ab\"[..], 2, LoneBackslash),
            (br"a\q", 1, UnknownEscape('q')),
            (br"a\8", 1, UnknownEscape('8')),
            (br"a\u2603", 1, UnknownEscape('u')),
            (br"\N{BULLET}", 0, NamedEscape),
            (br"\x", 0, HexDigits(2)),
            (br"\x1", 0, HexDigits(2)),
            (br"\x1g", 0, HexDigits(2)),
            (br"\400", 0, OctalTooBig),
            (br"\777", 0, OctalTooBig),
        ] {
            assert_eq!(unescape(text, 0), Err(Fault::new(offset, kind)));
        }
        for (text, kind) in [
            (&br"\u123"[..], HexDigits(4)),
            (br"\U0001F60", HexDigits(8)),
            (br"\ud800", NotUnicode(0xd800)),
            (br"\U00110000", NotUnicode(0x11_0000)),
        ] {
            let fault = character(&mut Scanner::new(text, 0));
            assert_eq!(fault, Err(Fault::new(0, kind)));
        }
    }

    proptest! {
        #[test]
        fn unescape_after_escape_is_the_same(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut text = String::new();
            escape(&mut text, &bytes);
            prop_assert!(text.bytes().all(|b| matches!(b, 0x20..=0x7e)));
            prop_assert_eq!(unescape(text.as_bytes(), 0), Ok(bytes));
        }
    }
}
