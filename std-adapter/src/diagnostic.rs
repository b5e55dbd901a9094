//! Encoded CBOR in diagnostic notation (RFC 8949, section 8), for people; and values that people
//! write in it, with JSON among them ([`parse`]).
//!
//! Nothing is gathered: a value is checked in one pass and written in a second, straight from its
//! encoded bytes. What comes out is one line, whatever the bytes are, and safe for a terminal:
//! control characters are escaped.
//!
//! | encoded | shown |
//! | --- | --- |
//! | byte string that is text which shows, and any other | `b'text\n'`, `h'00ff'` |
//! | indefinite lengths | `[_ 1, 2]`, `{_ 1: 2}`, `(_ b'ab', b'c')` |
//! | tags, simple values | `258([1, 2])`, `simple(99)` |
//! | several values | `1, 2, 3` |
//! | what is not CBOR | `/the input ends inside a value at byte 7/ h'63ff'` |
//! | text that is not UTF-8 | `/not UTF-8/ h'ff'` |
//!
//! Contract: no panics, recursion bounded by [`MAX_NESTING`](crate::value::MAX_NESTING).

mod error;
mod number;
mod parse;

use std::fmt::{self, Write};

pub use error::{ParseError, ParseErrorKind};
pub use parse::parse;
pub(crate) use parse::parse_unambiguous;

use hgrpc::cbor::is_hidden;

use crate::value::{Cursor, DecodeError, DecodeErrorKind, Head, Integer};

/// Encoded bytes that show themselves as a sequence of CBOR values.
///
/// ```
/// let shown = hgrpc_std::diagnostic::Diagnostic::new(b"\xa1\x44name\x43foo\x01");
/// assert_eq!(shown.to_string(), "{b'name': b'foo'}, 1");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Diagnostic<'a> {
    bytes: &'a [u8],
}

impl<'a> Diagnostic<'a> {
    /// Shows these bytes; none are shown as nothing.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }
}

impl fmt::Display for Diagnostic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cursor = Cursor::new(self.bytes);
        let mut separator = "";
        while !cursor.rest().is_empty() {
            f.write_str(separator)?;
            separator = ", ";
            // The check, so that nothing is half written when an error is found.
            if let Err(Stop::Malformed(error)) = item(&mut Nowhere, &mut cursor.clone(), 0) {
                write!(f, "/{error}/ ")?;
                return hex_string(f, cursor.rest());
            }
            if let Err(Stop::Output) = item(f, &mut cursor, 0) {
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Bytes that show themselves as one byte string, `b'text'` or `h'00ff'`.
#[derive(Clone, Copy, Debug)]
pub struct ByteString<'a>(
    /// The bytes.
    pub &'a [u8],
);

impl fmt::Display for ByteString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        byte_string(f, self.0)
    }
}

/// Writes text with the escapes that it has within quotes of this kind, in this notation and, for
/// `"`, in JSON: for text that comes in pieces.
///
/// # Errors
/// The writer's own.
pub fn write_escaped<W: Write>(out: &mut W, text: &str, quote: char) -> fmt::Result {
    let mut plain = text;
    while let Some(at) = plain.find(|c| c == quote || c == '\\' || !shows(c)) {
        let (before, rest) = plain.split_at(at);
        out.write_str(before)?;
        let mut chars = rest.chars();
        if let Some(special) = chars.next() {
            escaped(out, special)?;
        }
        plain = chars.as_str();
    }
    out.write_str(plain)
}

/// Why an item was not written to its end.
enum Stop {
    Malformed(DecodeError),
    Output,
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<fmt::Error> for Stop {
    fn from(_: fmt::Error) -> Self {
        Self::Output
    }
}

/// An output that drops everything, for the check.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }

    fn write_fmt(&mut self, _: fmt::Arguments<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Writes one item that lies in `depth` containers.
fn item<W: Write>(out: &mut W, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Stop> {
    let head = cursor.head()?;
    match head.major {
        0 | 1 => {
            let integer = Integer::from_argument(head.argument, head.major == 1);
            write!(out, "{integer}")?;
        }
        2 | 3 if head.is_indefinite() => chunks(out, cursor, &head)?,
        2 => byte_string(out, cursor.contents(&head)?)?,
        3 => text_string(out, cursor.contents(&head)?)?,
        4 => container(out, cursor, &head, depth, ['[', ']'])?,
        5 => container(out, cursor, &head, depth, ['{', '}'])?,
        6 => {
            let depth = head.deeper(depth)?;
            write!(out, "{}(", head.argument)?;
            item(out, cursor, depth)?;
            out.write_char(')')?;
        }
        _ if head.is_break() => return Err(head.error(DecodeErrorKind::UnexpectedBreak).into()),
        _ => simple(out, &head)?,
    }
    Ok(())
}

fn container<W: Write>(
    out: &mut W,
    cursor: &mut Cursor<'_>,
    head: &Head,
    depth: usize,
    [open, close]: [char; 2],
) -> Result<(), Stop> {
    let depth = head.deeper(depth)?;
    out.write_char(open)?;
    if head.is_indefinite() {
        out.write_str("_ ")?;
    }
    let mut count = 0;
    while cursor.goes_on(head, count) {
        if count > 0 {
            out.write_str(", ")?;
        }
        count += 1;
        item(out, cursor, depth)?;
        if head.major == 5 {
            out.write_str(": ")?;
            item(out, cursor, depth)?;
        }
    }
    out.write_char(close)?;
    Ok(())
}

fn chunks<W: Write>(out: &mut W, cursor: &mut Cursor<'_>, head: &Head) -> Result<(), Stop> {
    let write = if head.major == 2 {
        byte_string::<W>
    } else {
        text_string::<W>
    };
    let Some(first) = cursor.chunk(head)? else {
        // RFC 8949, 8.1: the string without chunks has a form of its own.
        out.write_str(if head.major == 2 { "b''_" } else { "\"\"_" })?;
        return Ok(());
    };
    out.write_str("(_ ")?;
    write(out, first)?;
    while let Some(chunk) = cursor.chunk(head)? {
        out.write_str(", ")?;
        write(out, chunk)?;
    }
    out.write_char(')')?;
    Ok(())
}

fn simple<W: Write>(out: &mut W, head: &Head) -> fmt::Result {
    if let Some(number) = head.float() {
        return float(out, number);
    }
    match head.simple() {
        20 => out.write_str("false"),
        21 => out.write_str("true"),
        22 => out.write_str("null"),
        23 => out.write_str("undefined"),
        other => write!(out, "simple({other})"),
    }
}

fn float<W: Write>(out: &mut W, number: f64) -> fmt::Result {
    if number.is_nan() {
        return out.write_str("NaN");
    }
    if number.is_infinite() {
        return out.write_str(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    }
    // `Debug` always writes a point or an exponent, so that it is never taken for an integer.
    write!(out, "{number:?}")
}

/// Writes text between quotes, and anything else as hexadecimal digits. The prefix says that these are
/// bytes to whoever takes `'…'` for text, as Python does.
fn byte_string<W: Write>(out: &mut W, bytes: &[u8]) -> fmt::Result {
    let is_shown = |c| shows(c) || matches!(c, '\n' | '\r' | '\t');
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(is_shown) => {
            out.write_char('b')?;
            quoted(out, text, '\'')
        }
        _ => hex_string(out, bytes),
    }
}

fn text_string<W: Write>(out: &mut W, bytes: &[u8]) -> fmt::Result {
    match std::str::from_utf8(bytes) {
        Ok(text) => quoted(out, text, '"'),
        Err(_) => {
            out.write_str("/not UTF-8/ ")?;
            hex_string(out, bytes)
        }
    }
}

/// Writes text in quotes, with JSON's escapes for what does not show.
fn quoted<W: Write>(out: &mut W, text: &str, quote: char) -> fmt::Result {
    out.write_char(quote)?;
    write_escaped(out, text, quote)?;
    out.write_char(quote)
}

/// Whether a character may go to a terminal as it is: not if it does not show there, or does
/// something to what is around it.
fn shows(c: char) -> bool {
    matches!(c, ' '..='~') || !c.is_ascii() && !is_hidden(c) && c.escape_debug().len() == 1
}

fn escaped<W: Write>(out: &mut W, c: char) -> fmt::Result {
    match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        ' '..='~' => write!(out, "\\{c}"),
        _ => c
            .encode_utf16(&mut [0; 2])
            .iter()
            .try_for_each(|unit| write!(out, "\\u{unit:04x}")),
    }
}

fn hex_string<W: Write>(out: &mut W, bytes: &[u8]) -> fmt::Result {
    out.write_str("h'")?;
    let mut digits = [0; 128];
    for chunk in bytes.chunks(64) {
        out.write_str(base16ct::lower::encode_str(chunk, &mut digits).map_err(|_| fmt::Error)?)?;
    }
    out.write_char('\'')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(bytes: &[u8]) -> String {
        Diagnostic::new(bytes).to_string()
    }

    #[test]
    fn every_kind_of_item_is_shown() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"\x00", "0"),
            (
                b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff",
                "-18446744073709551616",
            ),
            (b"\x40", "b''"),
            (b"\x43foo", "b'foo'"),
            (b"\x43f\\'", r"b'f\\\''"),
            (b"\x45a\n\xc3\xa9\t", r"b'a\né\t'"),
            (b"\x43\xe2\x80\xae", "h'e280ae'"),
            (b"\x43fo\x00", "h'666f00'"),
            (b"\x63foo", r#""foo""#),
            (b"\x64\"'\n\\", r#""\"'\n\\""#),
            (b"\x64\xf0\x9f\x98\x80", "\"\u{1f600}\""),
            (b"\x63\xe2\x80\xae", r#""\u202e""#),
            (b"\x62\xc2\x9b", r#""\u009b""#),
            (b"\x61\xff", "/not UTF-8/ h'ff'"),
            (b"\x82\x01\x80", "[1, []]"),
            (b"\xa2\x01\x02\x03\xa0", "{1: 2, 3: {}}"),
            (b"\x9f\x01\x02\xff", "[_ 1, 2]"),
            (b"\x9f\xff", "[_ ]"),
            (b"\xbf\x01\x02\xff", "{_ 1: 2}"),
            (b"\x5f\x41a\x41\x00\xff", "(_ b'a', h'00')"),
            (b"\x5f\xff", "b''_"),
            (b"\x7f\xff", "\"\"_"),
            (b"\x7f\x61a\xff", "(_ \"a\")"),
            (b"\xd9\x01\x02\x82\x01\x02", "258([1, 2])"),
            (b"\xf4\xf5\xf6\xf7", "false, true, null, undefined"),
            (b"\xe0\xf8\xff", "simple(0), simple(255)"),
            (b"\xf9\x3c\x00", "1.0"),
            (
                b"\xf9\x7c\x00\xf9\xfc\x00\xf9\x7e\x00",
                "Infinity, -Infinity, NaN",
            ),
            (b"\xfb\x7e\x37\xe4\x3c\x88\x00\x75\x9c", "1e300"),
        ] {
            assert_eq!(shown(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn what_is_not_cbor_is_shown_as_bytes_from_its_value_on() {
        assert_eq!(
            shown(b"\x01\x82\x02\x43fo"),
            "1, /the input ends inside a value at byte 3/ h'820243666f'"
        );
        assert_eq!(shown(b"\xff"), "/unexpected break at byte 0/ h'ff'");
        assert_eq!(
            shown(&[0x81; 17]),
            format!("/nested too deep at byte 16/ h'{}'", "81".repeat(17))
        );
    }

    proptest! {
        // Whatever the bytes are: one line, nothing that moves a cursor.
        #[test]
        fn any_bytes_are_shown_safely(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let shown = shown(&bytes);
            prop_assert!(shown.chars().all(|c| !c.is_control()));
            prop_assert_eq!(shown.is_empty(), bytes.is_empty());
        }
    }
}
