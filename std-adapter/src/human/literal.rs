//! Literals in Python's notation, parsed straight to canonical CBOR (deviations.md, D13: never
//! evaluated).
//!
//! The parser keeps its own stack, so that nesting is bounded by what a frame can hold and not by
//! the thread's.

use hgrpc::{KeyOrder, Revision};

use super::scan::{Fault, Scanner};
use super::{HumanErrorKind, MAX_PAYLOAD, escapes, fields, number};
use crate::value::{SET_TAG, compare_keys, write_head};

/// The encoding of the literal that begins at `start` and goes to the line's end.
pub(super) fn parse(line: &[u8], start: usize, revision: Revision) -> Result<Vec<u8>, Fault> {
    parse_with(line, start, revision, true)
}

/// [`parse`], but for strings in single quotes without a prefix, which are text here and bytes in
/// CBOR's diagnostic notation: `None` for those, as for what is not accepted.
pub(super) fn parse_unambiguous(text: &[u8], revision: Revision) -> Option<Vec<u8>> {
    parse_with(text, 0, revision, false).ok()
}

fn parse_with(
    line: &[u8],
    start: usize,
    revision: Revision,
    takes_bare_quotes: bool,
) -> Result<Vec<u8>, Fault> {
    let mut scanner = Scanner::new(line, start);
    let mut levels: Vec<Level> = Vec::new();
    loop {
        // Here a value may begin; a container that is new, or after a comma, may also end.
        scanner.skip_spaces();
        let offset = scanner.offset;
        let byte = scanner.peek();
        let mut item = match (byte, levels.pop_if(|level| level.may_end_with(byte))) {
            (_, Some(level)) => {
                scanner.next();
                level.close(revision.key_order())?
            }
            (Some(b'[' | b'(' | b'{'), None) => {
                // Each level but a grouping one is at least a byte.
                if levels.len() > MAX_PAYLOAD {
                    return Err(scanner.fault(HumanErrorKind::NestedTooDeep));
                }
                levels.extend(
                    byte.and_then(Shape::new)
                        .map(|shape| Level::new(shape, offset)),
                );
                scanner.next();
                continue;
            }
            _ => scalar(&mut scanner, takes_bare_quotes)?,
        };
        // Here a value has ended: it goes to its container, which may end with it, and so on.
        loop {
            scanner.skip_spaces();
            if item.is_string && begins_string(scanner.clone()) {
                return Err(scanner.fault(HumanErrorKind::AdjacentStrings));
            }
            let Some(mut level) = levels.pop() else {
                return match scanner.char() {
                    None => Ok(item.bytes),
                    Some(found) => Err(scanner.fault(HumanErrorKind::AfterLiteral(found))),
                };
            };
            let goes_on = level.take(item, &mut scanner, revision)?;
            if goes_on {
                levels.push(level);
                break;
            }
            item = level.close(revision.key_order())?;
        }
    }
}

/// A value's encoding, and what its container has to know of it.
struct Item {
    offset: usize,
    bytes: Vec<u8>,
    is_string: bool,
    /// What it is, or holds, that cannot be a key.
    unhashable: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    List,
    /// A tuple, or parentheses around one value.
    Paren,
    /// A map or a set; empty, it is a map.
    Brace,
}

impl Shape {
    fn new(open: u8) -> Option<Self> {
        match open {
            b'[' => Some(Self::List),
            b'(' => Some(Self::Paren),
            b'{' => Some(Self::Brace),
            _ => None,
        }
    }

    fn closing(self) -> u8 {
        match self {
            Self::List => b']',
            Self::Paren => b')',
            Self::Brace => b'}',
        }
    }

    fn comma_or_closing(self) -> &'static str {
        match self {
            Self::List => "a comma or ]",
            Self::Paren => "a comma or )",
            Self::Brace => "a comma or }",
        }
    }
}

/// A container that is not closed yet.
struct Level {
    shape: Shape,
    offset: usize,
    count: u64,
    /// Whether a comma came last.
    comma: bool,
    /// A list's or tuple's items, encoded.
    items: Vec<u8>,
    /// A map's entries, or a set's elements (their values are empty).
    entries: Vec<Entry>,
    /// A map's key whose value has not come.
    key: Option<Item>,
    is_set: bool,
    unhashable: Option<&'static str>,
}

struct Entry {
    offset: usize,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Level {
    fn new(shape: Shape, offset: usize) -> Self {
        Self {
            shape,
            offset,
            count: 0,
            comma: false,
            items: Vec::new(),
            entries: Vec::new(),
            key: None,
            is_set: false,
            unhashable: None,
        }
    }

    /// Whether this byte closes the container where a value may begin.
    fn may_end_with(&self, byte: Option<u8>) -> bool {
        byte == Some(self.shape.closing()) && self.key.is_none()
    }

    /// Takes a value, and the colon, comma or bracket after it. `false`: the container ends.
    fn take(
        &mut self,
        item: Item,
        scanner: &mut Scanner<'_>,
        revision: Revision,
    ) -> Result<bool, Fault> {
        match self.shape {
            Shape::List | Shape::Paren => {
                self.unhashable = self.unhashable.or(item.unhashable);
                if self.items.is_empty() {
                    self.items = item.bytes;
                } else {
                    self.items.extend(item.bytes);
                }
                self.count += 1;
            }
            Shape::Brace => {
                if let Some(key) = self.key.take() {
                    self.count += 1;
                    self.entries.push(Entry {
                        offset: key.offset,
                        key: key.bytes,
                        value: item.bytes,
                    });
                } else if self.begins_entry(&item, scanner, revision)? {
                    self.key = Some(item);
                    return Ok(true);
                } else {
                    self.count += 1;
                    self.entries.push(Entry {
                        offset: item.offset,
                        key: item.bytes,
                        value: Vec::new(),
                    });
                }
            }
        }
        self.comma = scanner.peek() == Some(b',');
        if !self.comma && scanner.peek() != Some(self.shape.closing()) {
            let expected = self.shape.comma_or_closing();
            return Err(scanner.fault(HumanErrorKind::Expected(expected)));
        }
        scanner.next();
        Ok(self.comma)
    }

    /// Whether the value is a map's key, whose colon is then taken; otherwise it is a set's element.
    fn begins_entry(
        &mut self,
        item: &Item,
        scanner: &mut Scanner<'_>,
        revision: Revision,
    ) -> Result<bool, Fault> {
        if let Some(what) = item.unhashable {
            let kind = HumanErrorKind::Unhashable(what);
            return Err(Fault::new(item.offset, kind));
        }
        let colon = scanner.peek() == Some(b':');
        if colon && !self.is_set {
            scanner.next();
            return Ok(true);
        }
        if self.count > 0 && !self.is_set {
            let kind = HumanErrorKind::Expected("a colon after the map's key");
            return Err(scanner.fault(kind));
        }
        // An end or another mistake here is not yet a set.
        if matches!(scanner.peek(), Some(b',' | b'}')) && revision != Revision::R0006 {
            let kind = HumanErrorKind::NoSets(revision);
            return Err(Fault::new(self.offset, kind));
        }
        self.is_set = true;
        Ok(false)
    }

    /// The container as a value.
    fn close(mut self, order: KeyOrder) -> Result<Item, Fault> {
        let is_grouping = self.shape == Shape::Paren && self.count == 1 && !self.comma;
        let mut bytes = Vec::new();
        if is_grouping {
            bytes = std::mem::take(&mut self.items);
        } else if self.shape == Shape::Brace {
            self.sort(order)?;
            let count = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
            if self.is_set {
                write_head(&mut bytes, 6, SET_TAG);
            }
            write_head(&mut bytes, if self.is_set { 4 } else { 5 }, count);
            for entry in &self.entries {
                bytes.extend_from_slice(&entry.key);
                bytes.extend_from_slice(&entry.value);
            }
        } else {
            bytes.reserve_exact(self.items.len() + 9);
            write_head(&mut bytes, 4, self.count);
            bytes.extend_from_slice(&self.items);
        }
        if bytes.len() > MAX_PAYLOAD {
            let kind = HumanErrorKind::PayloadTooLarge;
            return Err(Fault::new(self.offset, kind));
        }
        Ok(Item {
            offset: self.offset,
            bytes,
            is_string: false,
            unhashable: match self.shape {
                Shape::List => Some("a list"),
                Shape::Paren => self.unhashable,
                Shape::Brace if self.is_set => Some("a set"),
                Shape::Brace => Some("a map"),
            },
        })
    }

    /// Sorts a map's entries, none of whose keys may come twice, or a set's elements, of which each
    /// stays once.
    fn sort(&mut self, order: KeyOrder) -> Result<(), Fault> {
        self.entries
            .sort_by(|a, b| compare_keys(order, &a.key, &b.key));
        if self.is_set {
            self.entries.dedup_by(|a, b| a.key == b.key);
            return Ok(());
        }
        // The sort is stable: of two equal keys the later one comes second.
        let repeated = self
            .entries
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if a.key == b.key => Some(b.offset),
                _ => None,
            })
            .min();
        match repeated {
            None => Ok(()),
            Some(offset) => Err(Fault::new(offset, HumanErrorKind::RepeatedKey)),
        }
    }
}

/// Takes a value that is not a container.
fn scalar(scanner: &mut Scanner<'_>, takes_bare_quotes: bool) -> Result<Item, Fault> {
    let start = scanner.clone();
    let mut item = Item {
        offset: start.offset,
        bytes: Vec::new(),
        is_string: false,
        unhashable: None,
    };
    if let Some(b'0'..=b'9' | b'+' | b'-' | b'.') = scanner.peek() {
        number::parse(scanner, &mut item.bytes)?;
        return Ok(item);
    }
    let word = word(scanner);
    if let Some(quote @ (b'\'' | b'"')) = scanner.peek() {
        item.is_string = true;
        let contents = match word {
            b"b" => byte_string(scanner, &start, quote)?,
            b"" if quote == b'\'' && !takes_bare_quotes => {
                return Err(start.fault(HumanErrorKind::Expected("b or u before the quote")));
            }
            b"" | b"u" => text_string(scanner, &start, quote)?.into_bytes(),
            other => {
                let prefix = fields::shown(&String::from_utf8_lossy(other));
                return Err(start.fault(HumanErrorKind::UnknownPrefix(prefix)));
            }
        };
        let len = u64::try_from(contents.len()).unwrap_or(u64::MAX);
        write_head(&mut item.bytes, if word == b"b" { 2 } else { 3 }, len);
        item.bytes.extend(contents);
        return Ok(item);
    }
    item.bytes.push(match word {
        b"None" => 0xf6,
        b"True" => 0xf5,
        b"False" => 0xf4,
        b"" => return Err(start.fault(HumanErrorKind::Expected("a value"))),
        other => {
            let word = fields::shown(&String::from_utf8_lossy(other));
            return Err(start.fault(HumanErrorKind::UnknownWord(word)));
        }
    });
    Ok(item)
}

/// Takes letters, digits, underscores and what is not ASCII.
fn word<'a>(scanner: &mut Scanner<'a>) -> &'a [u8] {
    scanner.take_while(|b| b.is_ascii_alphanumeric() || b == b'_' || !b.is_ascii())
}

fn begins_string(mut scanner: Scanner<'_>) -> bool {
    word(&mut scanner);
    matches!(scanner.peek(), Some(b'\'' | b'"'))
}

/// Takes the opening quote of the string that begins at `start`.
fn open(scanner: &mut Scanner<'_>, start: &Scanner<'_>, quote: u8) -> Result<(), Fault> {
    scanner.next();
    match scanner.rest() {
        [a, b, ..] if *a == quote && *b == quote => Err(start.fault(HumanErrorKind::TripleQuotes)),
        _ => Ok(()),
    }
}

fn byte_string(
    scanner: &mut Scanner<'_>,
    start: &Scanner<'_>,
    quote: u8,
) -> Result<Vec<u8>, Fault> {
    open(scanner, start, quote)?;
    let mut bytes = Vec::new();
    loop {
        match scanner.peek() {
            None | Some(b'\n' | b'\r') => {
                return Err(start.fault(HumanErrorKind::UnclosedString));
            }
            Some(b'\\') => bytes.push(escapes::byte(scanner)?),
            Some(byte) if !byte.is_ascii() => {
                let found = scanner.char().unwrap_or_default();
                return Err(scanner.fault(HumanErrorKind::NotAscii(found)));
            }
            Some(byte) => {
                scanner.next();
                if byte == quote {
                    return Ok(bytes);
                }
                bytes.push(byte);
            }
        }
    }
}

fn text_string(scanner: &mut Scanner<'_>, start: &Scanner<'_>, quote: u8) -> Result<String, Fault> {
    open(scanner, start, quote)?;
    let mut text = String::new();
    loop {
        match scanner.peek() {
            None | Some(b'\n' | b'\r') => {
                return Err(start.fault(HumanErrorKind::UnclosedString));
            }
            Some(b'\\') => text.push(escapes::character(scanner)?),
            Some(byte) if !byte.is_ascii() => {
                // What is not UTF-8 stays in front and is met again, as an invalid chunk.
                let run = scanner.clone().take_while(|b| !b.is_ascii());
                let valid = run.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                if valid.is_empty() {
                    return Err(scanner.fault(HumanErrorKind::NotUtf8(byte)));
                }
                text.push_str(valid);
                scanner.offset += valid.len();
            }
            Some(byte) => {
                scanner.next();
                if byte == quote {
                    return Ok(text);
                }
                text.push(char::from(byte));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, (usize, HumanErrorKind)> {
        parse(text.as_bytes(), 0, Revision::R0006)
            .map(|bytes| base16ct::lower::encode_string(&bytes))
            .map_err(|fault| (fault.offset, fault.kind))
    }

    #[test]
    fn every_form_is_taken() {
        for (text, hex) in [
            (" None ", "f6"),
            ("True", "f5"),
            ("False", "f4"),
            ("1.5", "f93e00"),
            ("-1", "20"),
            ("''", "60"),
            ("\"it's\"", "6469742773"),
            (r"'\''", "6127"),
            ("u'é'", "62c3a9"),
            (r"'\xe9\u2603'", "65c3a9e29883"),
            (r"b'\xe9\'' ", "42e927"),
            ("[]", "80"),
            ("[ ]", "80"),
            ("[1 , 2 , ]", "820102"),
            ("()", "80"),
            ("(1)", "01"),
            ("((1))", "01"),
            ("(1,)", "8101"),
            ("(1, 2,)", "820102"),
            ("{}", "a0"),
            ("{1:2,}", "a10102"),
            ("{ 1 : [ ] , b'' : { } }", "a240a00180"),
            ("{(1, 2): 3}", "a182010203"),
            ("{2, 1, 2}", "d90102820102"),
            ("{1,}", "d901028101"),
            ("{(1, (b'a',))}", "d90102818201814161"),
            ("{1: 0, True: 0}", "a2f5000100"),
        ] {
            assert_eq!(parsed(text), Ok(hex.to_owned()), "{text}");
        }
    }

    #[test]
    fn sets_are_of_revision_0006() {
        for revision in [Revision::R0003, Revision::R0005] {
            for text in [&b" {1}"[..], b" {1, 2}"] {
                let fault = parse(text, 0, revision).unwrap_err();
                assert_eq!(fault, Fault::new(1, HumanErrorKind::NoSets(revision)));
            }
            assert!(parse(b"{1: 2}", 0, revision).is_ok());
        }
    }

    #[test]
    fn literals_that_are_not_accepted() {
        use HumanErrorKind::*;
        let word = |s: &str| UnknownWord(s.to_owned());
        let prefix = |s: &str| UnknownPrefix(s.to_owned());
        for (text, offset, kind) in [
            ("", 0, Expected("a value")),
            ("[", 1, Expected("a value")),
            ("[,]", 1, Expected("a value")),
            ("(,)", 1, Expected("a value")),
            ("{,}", 1, Expected("a value")),
            ("[1,,2]", 3, Expected("a value")),
            ("[1 2]", 3, Expected("a comma or ]")),
            ("[1)", 2, Expected("a comma or ]")),
            ("[1", 2, Expected("a comma or ]")),
            ("(1]", 2, Expected("a comma or )")),
            ("{1: 2", 5, Expected("a comma or }")),
            ("{1: }", 4, Expected("a value")),
            ("{1: 2, 3}", 8, Expected("a colon after the map's key")),
            ("{1, 2: 3}", 5, Expected("a comma or }")),
            ("{1", 2, Expected("a comma or }")),
            ("]", 0, Expected("a value")),
            ("@", 0, Expected("a value")),
            ("1, 2", 1, AfterLiteral(',')),
            ("1 + 2", 2, AfterLiteral('+')),
            ("[] # x", 3, AfterLiteral('#')),
            ("1é", 0, MalformedNumber),
            ("none", 0, word("none")),
            ("[nan]", 1, word("nan")),
            ("set()", 0, word("set")),
            ("__import__('os')", 0, word("__import__")),
            ("é", 0, word("é")),
            ("r'a'", 0, prefix("r")),
            ("B'a'", 0, prefix("B")),
            ("U'a'", 0, prefix("U")),
            ("rb'a'", 0, prefix("rb")),
            ("[f\"{1}\"]", 1, prefix("f")),
            ("'''a'''", 0, TripleQuotes),
            ("b\"\"\"a\"\"\"", 0, TripleQuotes),
            ("'a' 'b'", 4, AdjacentStrings),
            ("[b'a'b'b']", 5, AdjacentStrings),
            ("['' u\"\"]", 4, AdjacentStrings),
            ("'a", 0, UnclosedString),
            ("[1, b'a]", 4, UnclosedString),
            ("'a\nb'", 0, UnclosedString),
            (r"'a\'", 0, UnclosedString),
            (r"'a\", 2, LoneBackslash),
            (r"'\q'", 1, UnknownEscape('q')),
            (r"b'\u2603'", 2, UnknownEscape('u')),
            (r"'\N{BULLET}'", 1, NamedEscape),
            (r"b'\400'", 2, OctalTooBig),
            (r"'\ud83d\ude00'", 1, NotUnicode(0xd83d)),
            ("b'aé'", 3, NotAscii('é')),
            ("[0x1]", 1, OtherBase),
            ("{1: 2, 3: 4, 1: 5}", 13, RepeatedKey),
            ("{'a': 1, u'a': 2}", 9, RepeatedKey),
            ("{[]: 1}", 1, Unhashable("a list")),
            ("{{}: 1}", 1, Unhashable("a map")),
            ("{{1}}", 1, Unhashable("a set")),
            ("{1: 2, (1, [2]): 3}", 7, Unhashable("a list")),
        ] {
            assert_eq!(parsed(text), Err((offset, kind)), "{text}");
        }
        let fault = parse(b"'a\xc3\xa9\xff'", 0, Revision::R0006).unwrap_err();
        assert_eq!(fault, Fault::new(4, NotUtf8(0xff)));
    }

    #[test]
    fn nesting_is_bounded_by_the_frame() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(parsed(&nested(5000)).unwrap().len(), 10_000);
        let too_deep = "[".repeat(1_000_000);
        let (offset, kind) = parsed(&too_deep).unwrap_err();
        assert_eq!((offset, kind), (65_536, HumanErrorKind::NestedTooDeep));
        let grouped = format!("{}1{}", "(".repeat(1000), ")".repeat(1000));
        assert_eq!(parsed(&grouped), Ok("01".to_owned()));
    }
}
