//! Human frame strings: frames as lines of text (framing.md, "Human frame strings").
//!
//! ```text
//! 1 1 stream-begin command-request new|have-data cbor:{b'name': b'command'}
//! │ │ │            │               │             └ payload: a literal, or bytes with escapes
//! │ │ │            │               └ flags of the type
//! │ │ │            └ type
//! │ │ └ stream flags
//! │ └ stream ID
//! └ request ID
//! ```
//!
//! ```
//! use hgrpc::Revision;
//! use hgrpc_std::human::{parse_frame, print_frame};
//!
//! let frame = parse_frame(br"1 1 stream-begin command-data eos a\x00b", Revision::R0006)?;
//! assert_eq!(frame.payload(), b"a\0b");
//! let line = print_frame(frame.header(), frame.payload(), Revision::R0006).unwrap();
//! assert_eq!(line, r"1 1 stream-begin command-data eos a\x00b");
//! # Ok::<(), hgrpc_std::human::HumanError>(())
//! ```
//!
//! A line is bytes, so that any payload can be written. Where the bytes are UTF-8, a character is
//! what UTF-8 makes one; every other byte is a character by itself. Either way a character that is
//! not part of an escape or a literal stands for its own bytes.
//!
//! Nothing is ever evaluated (deviations.md, D13): a literal is parsed to bytes, without recursion.
//!
//! Contract: no panics. Parsing takes memory in proportion to the line, and time too, but for
//! literals nested thousands deep: they are copied once per level, each level at most a frame.

mod error;
mod escapes;
mod fields;
mod literal;
mod number;
mod print;
mod scan;

use std::fmt;

use hgrpc::Revision;
use hgrpc::cbor::ByteString;
use hgrpc::wire::{FrameHeader, HEADER_LEN};

use crate::diagnostic;
use crate::value::Value;

pub use error::{Field, HumanError, HumanErrorKind};
pub use print::{PrintError, carries_cbor, print_frame, print_frame_to};

/// The most payload bytes that a human frame string may stand for: what a frame may carry that is
/// sent without further agreement (framing.md, "Header").
pub const MAX_PAYLOAD: usize = 65_535;

/// The start of a payload that is a literal.
const LITERAL: &str = "cbor:";

/// A frame that was written as a line of text.
#[derive(Clone, PartialEq, Eq)]
pub struct HumanFrame {
    header: FrameHeader,
    payload: Vec<u8>,
}

impl fmt::Debug for HumanFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HumanFrame")
            .field("header", &self.header)
            .field("payload", &ByteString::from_slice(&self.payload))
            .finish()
    }
}

impl HumanFrame {
    /// The frame's header; its length is that of the payload.
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The frame's payload, at most [`MAX_PAYLOAD`] bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The frame's bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len());
        bytes.extend_from_slice(self.header.emit());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// The frame that a line stands for. The line comes without its end: a line feed in it is a byte of
/// the payload.
///
/// # Errors
/// What is wrong with the line, and at which column.
pub fn parse_frame(line: &[u8], revision: Revision) -> Result<HumanFrame, HumanError> {
    let located = |fault: scan::Fault| HumanError {
        column: scan::column(line, fault.offset),
        kind: fault.kind,
    };
    let (header, start) = fields::parse(line, revision).map_err(located)?;
    let payload = payload(line, start, revision).map_err(located)?;
    Ok(HumanFrame {
        header: header(u32::try_from(payload.len()).unwrap_or(u32::MAX)),
        payload,
    })
}

/// The payload that begins at `start`.
fn payload(line: &[u8], start: usize, revision: Revision) -> Result<Vec<u8>, scan::Fault> {
    let text = line.get(start..).unwrap_or_default();
    let payload = if text.starts_with(LITERAL.as_bytes()) {
        let start = start + LITERAL.len();
        literal::parse(line, start, revision).or_else(|fault| {
            diagnostic_value(line.get(start..).unwrap_or_default(), revision).ok_or(fault)
        })?
    } else {
        escapes::unescape(line, start)?
    };
    if payload.len() > MAX_PAYLOAD {
        let kind = HumanErrorKind::PayloadTooLarge;
        return Err(scan::Fault::new(start, kind));
    }
    Ok(payload)
}

/// The encoding of a value in CBOR's diagnostic notation, in which values are printed elsewhere.
fn diagnostic_value(text: &[u8], revision: Revision) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let value = diagnostic::parse_unambiguous(text)?;
    value.encode(revision.key_order()).ok()
}

/// The value of a literal as [`print_frame`] writes it, in Python's notation; `None` if it is none, or
/// has a string in single quotes without a prefix: which kind of string those are is not the same in
/// all notations.
///
/// ```
/// use hgrpc::Revision;
/// use hgrpc_std::{human, value::Value};
///
/// let value = human::parse_value("[True, b'ab']", Revision::R0006);
/// assert_eq!(value, Some(Value::Array(vec![true.into(), b"ab"[..].into()])));
/// assert_eq!(human::parse_value("[True, 'ab']", Revision::R0006), None);
/// ```
pub fn parse_value(text: &str, revision: Revision) -> Option<Value> {
    let encoded = literal::parse_unambiguous(text.as_bytes(), revision)?;
    Value::decode(&encoded).ok()
}

#[cfg(test)]
mod tests {
    use hgrpc::REVISIONS;
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::Diagnostic;
    use crate::value::tests::values;

    fn fails(line: &str, revision: Revision) -> (usize, HumanErrorKind) {
        let error = parse_frame(line.as_bytes(), revision).unwrap_err();
        (error.column, error.kind)
    }

    #[test]
    fn fields_that_are_not_accepted() {
        use hgrpc::wire::FrameKind;

        use Field::*;
        use HumanErrorKind::*;
        let r = Revision::R0006;
        let flag = |s: &str| UnknownFlag(s.into(), FrameKind::CommandData, r);
        for (line, column, kind) in [
            ("", 1, MissingField(RequestId)),
            (" 1 1 0 1 0 ", 1, MissingField(RequestId)),
            ("1", 2, MissingField(StreamId)),
            ("1 ", 3, MissingField(StreamId)),
            ("1  1 0 1 0 ", 3, MissingField(StreamId)),
            ("1 1", 4, MissingField(StreamFlags)),
            ("1 1 0", 6, MissingField(Type)),
            ("1 1 0 1", 8, MissingField(Flags)),
            ("1 1 0 1 0", 10, MissingPayload),
            ("1\t1 0 1 0 ", 2, NotDecimal(RequestId, '\t')),
            ("+1 1 0 1 0 ", 1, NotDecimal(RequestId, '+')),
            ("1 -1 0 1 0 ", 3, NotDecimal(StreamId, '-')),
            ("1_0 1 0 1 0 ", 2, NotDecimal(RequestId, '_')),
            ("0x1 1 0 1 0 ", 2, NotDecimal(RequestId, 'x')),
            ("1 é 0 1 0 ", 3, NotDecimal(StreamId, 'é')),
            ("1 1 -1 1 0 ", 5, NotDecimal(StreamFlags, '-')),
            ("1 1 1|+2 1 0 ", 7, NotDecimal(StreamFlags, '+')),
            ("1 1 0 1x 0 ", 8, NotDecimal(Type, 'x')),
            ("1 1 0 1 1_0 ", 10, NotDecimal(Flags, '_')),
            ("65536 1 0 1 0 ", 1, OutOfRange(RequestId)),
            ("99999999999999999999 1 0 1 0 ", 1, OutOfRange(RequestId)),
            ("1 256 0 1 0 ", 3, OutOfRange(StreamId)),
            ("1 1 1|256 1 0 ", 7, OutOfRange(StreamFlags)),
            ("1 1 0 16 0 ", 7, OutOfRange(Type)),
            ("1 1 0 1 16 ", 9, OutOfRange(Flags)),
            ("1 1 begin 1 0 ", 5, UnknownStreamFlag("begin".into())),
            ("1 1 0|Encoded 1 0 ", 7, UnknownStreamFlag("Encoded".into())),
            ("1 1 | 1 0 ", 5, MissingField(StreamFlags)),
            ("1 1 0| 1 0 ", 7, MissingField(StreamFlags)),
            ("1 1 0 é 0 ", 7, UnknownType("é".into(), r)),
            (
                "1 1 0 bytes-response 0 ",
                7,
                UnknownType("bytes-response".into(), r),
            ),
            ("1 1 0 command-data new ", 20, flag("new")),
            ("1 1 0 2 eos|é ", 13, flag("é")),
            (r"1 1 0 1 0 é\q", 12, UnknownEscape('q')),
            ("1 1 0 1 0 cbor:['é', b'é']", 24, NotAscii('é')),
            ("1 1 0 1 0 cbor:[true, 'é']", 17, UnknownWord("true".into())),
        ] {
            assert_eq!(fails(line, r), (column, kind), "{line}");
        }
    }

    #[test]
    fn names_are_those_of_the_revision() {
        let line = b"1 2 0 bytes-response cbor x";
        assert!(parse_frame(line, Revision::R0003).is_ok());
        let line = "1 2 0 error-response application x";
        assert!(parse_frame(line.as_bytes(), Revision::R0005).is_ok());
        assert!(matches!(
            fails(line, Revision::R0006),
            (22, HumanErrorKind::UnknownFlag(..))
        ));
    }

    #[test]
    fn literals_may_be_in_diagnostic_notation_as_a_whole() {
        let payload = |text: &str| {
            let line = format!("1 1 0 1 0 cbor:{text}");
            parse_frame(line.as_bytes(), Revision::R0006).map(|frame| frame.payload)
        };
        for (diagnostic, python) in [
            ("true", "True"),
            ("[null, b'é', h'00ff']", r"[None, b'\xc3\xa9', b'\x00\xff']"),
            ("{\"a\": (_ b'x', h'79')}", "{u'a': b'xy'}"),
            ("258([1])", "{1}"),
        ] {
            assert_eq!(payload(diagnostic), payload(python), "{diagnostic}");
        }
    }

    proptest! {
        // What one notation prints the other reads as the same value.
        #[test]
        fn notations_read_each_other(value in values(), order in 0..3_usize) {
            let revision = REVISIONS[order];
            let bytes = value.encode(revision.key_order()).unwrap();
            let line = format!("1 1 0 1 0 cbor:{}", Diagnostic::new(&bytes));
            if let Ok(frame) = parse_frame(line.as_bytes(), revision) {
                prop_assert_eq!(frame.payload(), &bytes, "{}", line);
            } else {
                // Only what no value has.
                prop_assert!(diagnostic::parse(line.split_at(15).1).is_err(), "{}", line);
            }
            let printed = print_frame(&header(), &bytes, revision).unwrap();
            if let Some((_, literal)) = printed.split_once(" cbor:") {
                let value = match diagnostic::parse(literal) {
                    Ok(value) => Some(value),
                    Err(_) => parse_value(literal, revision),
                };
                let again = value.unwrap().encode(revision.key_order()).unwrap();
                prop_assert_eq!(again, bytes, "{}", literal);
            }
        }
    }

    fn header() -> FrameHeader {
        *FrameHeader::parse(&[0, 0, 0, 1, 0, 1, 0, 0x10])
    }

    #[test]
    fn payloads_are_bytes_of_any_value() {
        let mut line = b"1 1 0 2 0 ".to_vec();
        line.extend((0..=255).filter(|&b| b != b'\\'));
        let frame = parse_frame(&line, Revision::R0006).unwrap();
        assert_eq!(frame.payload().len(), 255);
        assert!(line.ends_with(frame.payload()));
        assert_eq!(frame.to_bytes().len(), 263);
    }

    #[test]
    fn large_payloads_are_refused() {
        let r = Revision::R0006;
        let line = format!("1 1 0 2 0 {}", "x".repeat(65_535));
        assert_eq!(
            parse_frame(line.as_bytes(), r).unwrap().payload().len(),
            65_535
        );
        assert_eq!(
            fails(&(line + "x"), r),
            (11, HumanErrorKind::PayloadTooLarge)
        );
        for literal in ["b'", "['", "{'"] {
            let line = format!("1 1 0 2 0 cbor:{literal}{}'", "x".repeat(65_536));
            let line = match literal {
                "['" => line + "]",
                "{'" => line + "}",
                _ => line,
            };
            assert_eq!(fails(&line, r).1, HumanErrorKind::PayloadTooLarge);
        }
    }

    // Every error is a sentence of its own, with its column.
    #[test]
    fn errors_say_what_and_where() {
        let error = parse_frame(b"1 1 0 command-data nwe ", Revision::R0006).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column 20: \"nwe\" is not a flag of command-data in revision 0006; \
             they are continuation, eos"
        );
    }
}
