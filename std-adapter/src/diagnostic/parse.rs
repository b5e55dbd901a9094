//! Diagnostic notation to values.

use std::collections::HashSet;

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding};
use hgrpc::KeyOrder;

use super::{ParseError, ParseErrorKind, number};
use crate::value::{MAX_NESTING, SET_TAG, Value};

/// The value that a text stands for: what [`Diagnostic`](super::Diagnostic) prints for one value,
/// and JSON.
///
/// | written | value |
/// | --- | --- |
/// | `12`, `-1`, `0xff`, `1.5`, `1e3`, `NaN`, `-Infinity` | numbers; with a point or an exponent, floats |
/// | `true`, `false`, `null`, `undefined`, `simple(99)` | simple values |
/// | `"text"` | a text string, with JSON's escapes |
/// | `b'text\x00'`, `'text'` | a byte string: the text's UTF-8; `\xHH` is a byte |
/// | `h'00 ff'`, `b64'AP8='` | a byte string |
/// | `[1, 2]`, `{"key": 1, 2: 3}`, `258([1, 2])` | arrays, maps, tags; tag 258 is a set |
/// | `[_ 1]`, `{_ 1: 2}`, `(_ 'a', 'b')` | the same as without `_`, and joined |
/// | `/text/` | a comment, where a space may be |
///
/// A comma may follow the last item. Time and memory are in proportion to the text; nesting is
/// bounded.
///
/// # Errors
/// What is wrong, and at which column.
///
/// ```
/// use hgrpc_std::diagnostic;
/// use hgrpc_std::value::Value;
///
/// assert_eq!(diagnostic::parse("[1, 'ab']"), Ok(Value::Array(vec![1u64.into(), b"ab"[..].into()])));
/// let error = diagnostic::parse("{\"a\" 1}").unwrap_err();
/// assert_eq!(error.to_string(), "column 6: expected a colon after the map's key");
/// ```
pub fn parse(text: &str) -> Result<Value, ParseError> {
    parse_with(text, true)
}

/// [`parse`], but for strings in single quotes without a prefix, which are bytes here and text in
/// Python's notation: `None` for those, as for what is not accepted.
pub(crate) fn parse_unambiguous(text: &str) -> Option<Value> {
    parse_with(text, false).ok()
}

fn parse_with(text: &str, takes_bare_quotes: bool) -> Result<Value, ParseError> {
    let mut parser = Parser {
        text,
        rest: text,
        takes_bare_quotes,
    };
    let result = parser.value(0).and_then(|value| {
        parser.skip_spaces()?;
        match parser.peek() {
            None => Ok(value),
            Some(found) => Err(parser.fault(ParseErrorKind::AfterValue(found))),
        }
    });
    result.map_err(|Fault { rest, kind }| {
        let before = text.len().saturating_sub(rest);
        let before = text.get(..before).unwrap_or(text);
        ParseError {
            column: before.chars().count() + 1,
            kind,
        }
    })
}

/// What is wrong, and how many bytes are left from there on.
pub(super) struct Fault {
    rest: usize,
    pub(super) kind: ParseErrorKind,
}

type Parsed<T> = Result<T, Fault>;

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    /// Whether `'…'` is a byte string; `b'…'` is one in any case.
    takes_bare_quotes: bool,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn fault(&self, kind: ParseErrorKind) -> Fault {
        self.fault_at(self.rest, kind)
    }

    /// A fault where `rest` begins.
    fn fault_at(&self, rest: &str, kind: ParseErrorKind) -> Fault {
        debug_assert!(self.text.ends_with(rest));
        Fault {
            rest: rest.len(),
            kind,
        }
    }

    fn take(&mut self, token: &str) -> bool {
        let after = self.rest.strip_prefix(token);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn expect(&mut self, token: &str, what: &'static str) -> Parsed<()> {
        if self.take(token) {
            return Ok(());
        }
        Err(self.fault(ParseErrorKind::Expected(what)))
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let len = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// Passes over white space and comments.
    fn skip_spaces(&mut self) -> Parsed<()> {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            let start = self.rest;
            if !self.take("/") {
                return Ok(());
            }
            self.take_while(|c| c != '/');
            if !self.take("/") {
                return Err(self.fault_at(start, ParseErrorKind::UnclosedComment));
            }
        }
    }

    /// Takes a value that lies in `depth` containers.
    fn value(&mut self, depth: usize) -> Parsed<Value> {
        self.skip_spaces()?;
        match self.peek() {
            Some('[') => self.array(depth).map(Value::Array),
            Some('{') => self.map(depth).map(Value::Map),
            Some('(') => self.chunks(),
            Some('"' | '\'') => self.string(),
            Some('0'..='9' | '-' | '+' | '.') => self.number(depth),
            Some(c) if is_word(c) => self.word(depth),
            _ => Err(self.fault(ParseErrorKind::Expected("a value"))),
        }
    }

    /// One level deeper, for what follows.
    fn deeper(&self, depth: usize) -> Parsed<usize> {
        if depth < MAX_NESTING {
            return Ok(depth + 1);
        }
        Err(self.fault(ParseErrorKind::NestedTooDeep))
    }

    fn array(&mut self, depth: usize) -> Parsed<Vec<Value>> {
        let depth = self.deeper(depth)?;
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.take_underscore();
        let mut items = Vec::new();
        loop {
            self.skip_spaces()?;
            if self.take("]") {
                return Ok(items);
            }
            items.push(self.value(depth)?);
            self.skip_spaces()?;
            if !self.take(",") {
                self.expect("]", "a comma or ]")?;
                return Ok(items);
            }
        }
    }

    fn map(&mut self, depth: usize) -> Parsed<Vec<(Value, Value)>> {
        let depth = self.deeper(depth)?;
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.take_underscore();
        let mut entries = Vec::new();
        let mut keys = HashSet::new();
        loop {
            self.skip_spaces()?;
            if self.take("}") {
                return Ok(entries);
            }
            let start = self.rest;
            let key = self.value(depth)?;
            // What lies within the nesting limit has an encoding.
            if !keys.insert(key.encode(KeyOrder::Bytewise).unwrap_or_default()) {
                return Err(self.fault_at(start, ParseErrorKind::RepeatedKey));
            }
            self.skip_spaces()?;
            self.expect(":", "a colon after the map's key")?;
            entries.push((key, self.value(depth)?));
            self.skip_spaces()?;
            if !self.take(",") {
                self.expect("}", "a comma or }")?;
                return Ok(entries);
            }
        }
    }

    /// Passes over the mark of an indefinite length.
    fn take_underscore(&mut self) {
        let mut ahead = self.rest.chars();
        if ahead.next() == Some('_') && !ahead.next().is_some_and(is_word) {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
    }

    /// Takes a string in chunks, `(_ 'a', 'b')`, which are joined.
    fn chunks(&mut self) -> Parsed<Value> {
        const WHAT: &str = "a string in chunks, (_ 'a', 'b')";
        self.expect("(", WHAT)?;
        self.skip_spaces()?;
        self.expect("_", WHAT)?;
        let mut whole: Option<Value> = None;
        loop {
            self.skip_spaces()?;
            let start = self.rest;
            let chunk = match self.peek() {
                Some('"' | '\'') => self.string()?,
                Some(c) if c.is_alphabetic() => self.word(MAX_NESTING)?,
                _ => return Err(self.fault(ParseErrorKind::Expected("a string"))),
            };
            whole = Some(match (whole, chunk) {
                (None, first @ (Value::Bytes(_) | Value::Text(_))) => first,
                (Some(Value::Bytes(mut all)), Value::Bytes(chunk)) => {
                    all.extend(chunk);
                    Value::Bytes(all)
                }
                (Some(Value::Text(all)), Value::Text(chunk)) => Value::Text(all + &chunk),
                _ => {
                    let kind = ParseErrorKind::Expected("a string of the same kind");
                    return Err(self.fault_at(start, kind));
                }
            });
            self.skip_spaces()?;
            if !self.take(",") {
                self.expect(")", "a comma or )")?;
                // There was at least one.
                return Ok(whole.unwrap_or(Value::Null));
            }
        }
    }

    /// Takes a string without a prefix.
    fn string(&mut self) -> Parsed<Value> {
        let value = if self.rest.starts_with('"') {
            let bytes = self.quoted('"')?;
            // Without `\x` it is text again.
            Value::Text(String::from_utf8_lossy(&bytes).into_owned())
        } else if self.takes_bare_quotes {
            Value::Bytes(self.quoted('\'')?)
        } else {
            return Err(self.fault(ParseErrorKind::Expected("b before the quote")));
        };
        // The string without chunks of an indefinite length, `""_`.
        self.take_underscore();
        Ok(value)
    }

    /// Takes what is between quotes, without its escapes.
    fn quoted(&mut self, quote: char) -> Parsed<Vec<u8>> {
        let start = self.rest;
        self.rest = self.rest.get(1..).unwrap_or_default();
        let mut bytes = Vec::new();
        loop {
            let plain = self.take_while(|c| c != quote && c != '\\' && !matches!(c, '\n' | '\r'));
            bytes.extend_from_slice(plain.as_bytes());
            match self.peek() {
                Some('\\') => self.escape(quote, &mut bytes)?,
                Some(c) if c == quote => {
                    self.rest = self.rest.get(1..).unwrap_or_default();
                    return Ok(bytes);
                }
                Some(c) => return Err(self.fault(ParseErrorKind::BadCharacter(c.into()))),
                None => return Err(self.fault_at(start, ParseErrorKind::UnclosedString)),
            }
        }
    }

    /// Takes an escape, whose backslash is still there.
    fn escape(&mut self, quote: char, out: &mut Vec<u8>) -> Parsed<()> {
        let start = self.rest;
        let mut chars = start.chars();
        chars.next();
        let escaped = chars.next();
        self.rest = chars.as_str();
        let c = match escaped {
            None => return Err(self.fault_at(start, ParseErrorKind::Expected("an escape"))),
            Some(c @ ('\\' | '/' | '"' | '\'')) => c,
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('x') if quote == '\'' => {
                let [.., byte] = self.hex(start, 2)?.to_be_bytes();
                out.push(byte);
                return Ok(());
            }
            Some('u') => self.unicode(start)?,
            Some(c) => return Err(self.fault_at(start, ParseErrorKind::UnknownEscape(c))),
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// Takes the digits of `\uHHHH`, and of the second one for a surrogate.
    fn unicode(&mut self, start: &str) -> Parsed<char> {
        let first = self.hex(start, 4)?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let second = if self.take("\\u") {
            self.hex(start, 4)?
        } else {
            0
        };
        let units = [first, second].map(|unit| u16::try_from(unit).unwrap_or_default());
        match char::decode_utf16(units).next() {
            Some(Ok(c)) => Ok(c),
            _ => Err(self.fault_at(start, ParseErrorKind::BadCharacter(first))),
        }
    }

    fn hex(&mut self, start: &str, digits: u8) -> Parsed<u32> {
        let (text, rest) = self
            .rest
            .split_at_checked(digits.into())
            .unwrap_or_default();
        let is_hex =
            text.len() == usize::from(digits) && text.bytes().all(|b| b.is_ascii_hexdigit());
        let code = u32::from_str_radix(text, 16).ok().filter(|_| is_hex);
        let code = code.ok_or_else(|| self.fault_at(start, ParseErrorKind::HexDigits(digits)))?;
        self.rest = rest;
        Ok(code)
    }

    /// Takes a number, or a tag and its content.
    fn number(&mut self, depth: usize) -> Parsed<Value> {
        let start = self.rest;
        if self.take("-Infinity") {
            return Ok(Value::Float(f64::NEG_INFINITY));
        }
        let is_sign = |c| matches!(c, '+' | '-');
        // A sign may also follow an exponent.
        let mut previous = ' ';
        let token = start.char_indices().find(|&(_, c)| {
            let goes_on =
                is_word(c) || c == '.' || is_sign(c) && matches!(previous, ' ' | 'e' | 'E');
            previous = c;
            !goes_on
        });
        let (token, rest) = start.split_at(token.map_or(start.len(), |(at, _)| at));
        let value = number::parse(token).map_err(|kind| self.fault_at(start, kind))?;
        self.rest = rest;
        if !rest.starts_with('(') {
            return Ok(value);
        }
        let tag = match value {
            Value::Integer(n) => u64::try_from(n.value()).ok(),
            _ => None,
        };
        let tag = tag.ok_or_else(|| self.fault_at(start, ParseErrorKind::BadNumber))?;
        let depth = self
            .deeper(depth)
            .map_err(|f| self.fault_at(start, f.kind))?;
        self.rest = self.rest.get(1..).unwrap_or_default();
        let content = self.value(depth)?;
        self.skip_spaces()?;
        self.expect(")", ")")?;
        Ok(match content {
            Value::Array(items) if tag == SET_TAG => Value::Set(items),
            content => Value::Tag(tag, Box::new(content)),
        })
    }

    /// Takes a word, or a string with a prefix.
    fn word(&mut self, depth: usize) -> Parsed<Value> {
        let start = self.rest;
        let word = self.take_while(is_word);
        if self.rest.starts_with(['\'', '"']) {
            return self.prefixed(start, word);
        }
        Ok(match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            "undefined" => Value::Undefined,
            "NaN" => Value::Float(f64::NAN),
            "Infinity" => Value::Float(f64::INFINITY),
            "simple" if self.take("(") => {
                self.skip_spaces()?;
                let at = self.rest;
                let number = match self.number(depth)? {
                    Value::Integer(n) => u8::try_from(n.value()).ok(),
                    _ => None,
                };
                self.skip_spaces()?;
                self.expect(")", ")")?;
                match number {
                    Some(20) => Value::Bool(false),
                    Some(21) => Value::Bool(true),
                    Some(22) => Value::Null,
                    Some(23) => Value::Undefined,
                    Some(n @ (0..=19 | 32..)) => Value::Simple(n),
                    _ => return Err(self.fault_at(at, ParseErrorKind::BadNumber)),
                }
            }
            other => {
                let meant = match other.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" => Some("true"),
                    "false" | "no" | "off" => Some("false"),
                    "null" | "none" | "nil" => Some("null"),
                    "undefined" => Some("undefined"),
                    "nan" => Some("NaN"),
                    "inf" | "infinity" => Some("Infinity"),
                    _ => None,
                };
                // As much as a line of an error may hold.
                let word = other.chars().take(40).collect();
                return Err(self.fault_at(start, ParseErrorKind::UnknownWord(word, meant)));
            }
        })
    }

    /// Takes the string after the prefix with which `start` begins.
    fn prefixed(&mut self, start: &str, prefix: &str) -> Parsed<Value> {
        let is_single = self.rest.starts_with('\'');
        let bytes = match prefix {
            "b" if is_single => self.quoted('\'')?,
            "h" | "b64" if is_single => {
                let quoted = self.quoted('\'')?;
                let digits: Vec<u8> = quoted
                    .into_iter()
                    .filter(|b| !b.is_ascii_whitespace())
                    .collect();
                let digits = String::from_utf8(digits).unwrap_or_default();
                let (bytes, kind) = if prefix == "h" {
                    (
                        base16ct::mixed::decode_vec(&digits).ok(),
                        ParseErrorKind::BadHex,
                    )
                } else {
                    (base64(&digits), ParseErrorKind::BadBase64)
                };
                bytes.ok_or_else(|| self.fault_at(start, kind))?
            }
            _ if !is_single && matches!(prefix, "b" | "h" | "b64") => {
                return Err(self.fault(ParseErrorKind::Expected("a single quote")));
            }
            other => {
                let prefix = other.chars().take(40).collect();
                return Err(self.fault_at(start, ParseErrorKind::UnknownPrefix(prefix)));
            }
        };
        // As for text.
        self.take_underscore();
        Ok(Value::Bytes(bytes))
    }
}

/// Base64 in either alphabet, with or without its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let is_url = text.contains(['-', '_']);
    match (is_url, text.ends_with('=')) {
        (false, true) => Base64::decode_vec(text),
        (false, false) => Base64Unpadded::decode_vec(text),
        (true, true) => Base64Url::decode_vec(text),
        (true, false) => Base64UrlUnpadded::decode_vec(text),
    }
    .ok()
}

/// What words and numbers are made of.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Diagnostic;
    use super::*;
    use crate::value::Integer;
    use crate::value::tests::values;

    fn hex(text: &str) -> String {
        let value = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        base16ct::lower::encode_string(&value.encode(KeyOrder::Bytewise).unwrap())
    }

    #[test]
    fn every_form_is_taken() {
        for (text, expected) in [
            ("0", "00"),
            ("-0", "00"),
            (" 24 ", "1818"),
            ("-1", "20"),
            ("0xFf", "18ff"),
            ("-0b11", "22"),
            ("0o17", "0f"),
            ("18446744073709551615", "1bffffffffffffffff"),
            ("-18446744073709551616", "3bffffffffffffffff"),
            ("1.5", "f93e00"),
            ("-1.5e+0", "f9be00"),
            ("1e3", "f963d0"),
            ("-0.0", "f98000"),
            ("NaN", "f97e00"),
            ("Infinity", "f97c00"),
            ("-Infinity", "f9fc00"),
            ("[true,false,null,undefined]", "84f5f4f6f7"),
            ("simple(99)", "f863"),
            ("simple( 22 )", "f6"),
            ("\"\"", "60"),
            (
                r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00'""#,
                "7061225c2f080c0a0d09c3a9f09f988027",
            ),
            ("'a\"é'", "4461 22c3a9"),
            (r"'\x00\xff\''", "4300ff27"),
            (r"b'\n'", "410a"),
            ("h''", "40"),
            ("h'00 Ff'", "4200ff"),
            ("b64'AP8='", "4200ff"),
            ("b64'AP8'", "4200ff"),
            ("b64'__79'", "43fffefd"),
            ("[]", "80"),
            ("[ 1 , 2 , ]", "820102"),
            ("[_ 1]", "8101"),
            ("[_ ]", "80"),
            ("{}", "a0"),
            ("{\"b\":1,'a':[{}],}", "a2416181a0616201"),
            ("{_ 1: 2}", "a10102"),
            ("(_ 'a', h'00')", "426100"),
            ("(_ \"a\", \"b\")", "626162"),
            ("''_", "40"),
            ("b''_", "40"),
            ("\"\"_", "60"),
            ("258([2, 1, 2])", "d90102820102"),
            ("1(2(3))", "c1c203"),
            ("/a/ [ /b/ 1 /c, d/, 2] /e/", "820102"),
            ("[\n\t1\r\n]", "8101"),
        ] {
            assert_eq!(hex(text), expected.replace(' ', ""), "{text}");
        }
    }

    #[test]
    fn what_is_not_accepted_is_told_with_its_column() {
        use ParseErrorKind::*;
        let word = |s: &str, meant| UnknownWord(s.into(), meant);
        for (text, column, kind) in [
            ("", 1, Expected("a value")),
            ("  ", 3, Expected("a value")),
            ("1 2", 3, AfterValue('2')),
            ("1, 2", 2, AfterValue(',')),
            ("hello", 1, word("hello", None)),
            ("[True]", 2, word("True", Some("true"))),
            ("None", 1, word("None", Some("null"))),
            ("é", 1, word("é", None)),
            ("r'a'", 1, UnknownPrefix("r".into())),
            ("h\"00\"", 2, Expected("a single quote")),
            ("\"a", 1, UnclosedString),
            ("[1, 'a]", 5, UnclosedString),
            ("\"a\nb\"", 3, BadCharacter(10)),
            ("'é\\", 3, Expected("an escape")),
            (r#""é\x41""#, 3, UnknownEscape('x')),
            (r"'\q'", 2, UnknownEscape('q')),
            (r"'\x1'", 2, HexDigits(2)),
            (r"'\x+1'", 2, HexDigits(2)),
            (r#""\u12é4""#, 2, HexDigits(4)),
            (r#""\ud83d""#, 2, BadCharacter(0xd83d)),
            (r#""\ude00\ud83d""#, 2, BadCharacter(0xde00)),
            ("h'0'", 1, BadHex),
            ("h'0g'", 1, BadHex),
            ("b64'A'", 1, BadBase64),
            ("[1 2]", 4, Expected("a comma or ]")),
            ("[1", 3, Expected("a comma or ]")),
            ("[,]", 2, Expected("a value")),
            ("{1}", 3, Expected("a colon after the map's key")),
            ("{1: }", 5, Expected("a value")),
            ("{1: 2", 6, Expected("a comma or }")),
            ("{1: 2, 1: 3}", 8, RepeatedKey),
            ("(1)", 2, Expected("a string in chunks, (_ 'a', 'b')")),
            ("(_ 1)", 4, Expected("a string")),
            ("(_ 'a', \"b\")", 9, Expected("a string of the same kind")),
            ("(_ 'a'", 7, Expected("a comma or )")),
            ("[/a]", 2, UnclosedComment),
            ("1x", 1, MalformedNumber),
            ("1.2.3", 1, MalformedNumber),
            ("1e", 1, MalformedNumber),
            ("+1", 1, MalformedNumber),
            ("--1", 1, MalformedNumber),
            ("0x", 1, MalformedNumber),
            (".5", 1, MalformedNumber),
            ("1.", 1, MalformedNumber),
            ("1_0", 1, MalformedNumber),
            ("[01]", 2, LeadingZeros),
            ("18446744073709551616", 1, IntegerTooBig),
            ("-1(2)", 1, BadNumber),
            ("1.5(2)", 1, BadNumber),
            ("1(2", 4, Expected(")")),
            ("simple(24)", 8, BadNumber),
            ("simple(256)", 8, BadNumber),
            ("simple", 1, word("simple", None)),
        ] {
            assert_eq!(parse(text), Err(ParseError { column, kind }), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |open: &str, close: &str, depth: usize| {
            parse(&format!("{}1{}", open.repeat(depth), close.repeat(depth)))
        };
        for (open, close) in [("[", "]"), ("{1:", "}"), ("1(", ")")] {
            assert!(nested(open, close, MAX_NESTING).is_ok());
            let error = nested(open, close, MAX_NESTING + 1).unwrap_err();
            assert_eq!(error.kind, ParseErrorKind::NestedTooDeep);
            assert_eq!(error.column, open.len() * MAX_NESTING + 1);
        }
        assert!(parse(&"[".repeat(1_000_000)).is_err());
    }

    fn has_repeated_keys(value: &Value) -> bool {
        match value {
            Value::Map(entries) => entries.iter().enumerate().any(|(i, (key, value))| {
                entries.iter().take(i).any(|(other, _)| other == key)
                    || has_repeated_keys(key)
                    || has_repeated_keys(value)
            }),
            Value::Array(items) | Value::Set(items) => items.iter().any(has_repeated_keys),
            Value::Tag(_, content) => has_repeated_keys(content),
            _ => false,
        }
    }

    proptest! {
        // What is printed is read as the same.
        #[test]
        fn parse_after_print_is_the_same(value in values()) {
            prop_assume!(!has_repeated_keys(&value));
            let bytes = value.encode(KeyOrder::Bytewise).unwrap();
            let shown = Diagnostic::new(&bytes).to_string();
            let again = parse(&shown).unwrap();
            prop_assert_eq!(again.encode(KeyOrder::Bytewise).unwrap(), bytes, "{}", shown);
        }

        #[test]
        fn json_is_read(text in "[ -~é\u{1f600}\n\u{1}]{0,30}", n: i64, f: f64) {
            prop_assume!(f.is_finite());
            let json = serde_json::json!({ "text": text, "n": [n, true, null], "f": { "f": f } });
            let value = parse(&json.to_string()).unwrap();
            let Value::Map(entries) = value else { panic!() };
            prop_assert!(entries.contains(&("text".into(), text.as_str().into())));
            prop_assert!(entries.contains(&("n".into(), Value::Array(vec![n.into(), true.into(), Value::Null]))));
            prop_assert!(entries.contains(&("f".into(), Value::Map(vec![("f".into(), f.into())]))));
        }

        #[test]
        fn any_text_is_a_value_or_an_error_within_it(text: String) {
            if let Err(error) = parse(&text) {
                prop_assert!(error.column <= text.chars().count() + 1);
            }
        }
    }

    #[test]
    fn integers_end_at_64_bits() {
        let max = Value::Integer(Integer::from(u64::MAX));
        assert_eq!(parse(&u64::MAX.to_string()), Ok(max));
    }
}
