//! Frames to human frame strings.

use std::fmt::{self, Write};

use hgrpc::Revision;
use hgrpc::wire::{FrameHeader, FrameKind, ResponseFlags, StreamFlags, TypeFlags};

use super::{LITERAL, MAX_PAYLOAD, escapes, literal};
use crate::value::Value;

/// Why a frame has no human frame string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrintError {
    /// The payload has so many bytes, more than [`MAX_PAYLOAD`].
    PayloadTooLarge(usize),
}

impl fmt::Display for PrintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PayloadTooLarge(len) => write!(
                f,
                "a payload of {len} bytes, over the {MAX_PAYLOAD} that a human frame string may stand for"
            ),
        }
    }
}

impl std::error::Error for PrintError {}

/// A frame as a line of printable ASCII, without a line end; [`parse_frame`](super::parse_frame)
/// gives the same frame back.
///
/// Flags and types show as names where all are known, otherwise as numbers. A payload that is one
/// CBOR value, by the frame's type and in canonical form, shows as a literal, any other as bytes
/// with escapes. The header's length is not used: it is that of `payload`.
///
/// # Errors
/// A payload over [`MAX_PAYLOAD`] bytes.
pub fn print_frame(
    header: &FrameHeader,
    payload: &[u8],
    revision: Revision,
) -> Result<String, PrintError> {
    let mut out = String::new();
    print_frame_to(&mut out, header, payload, revision)?;
    Ok(out)
}

/// [`print_frame`] to the end of a string that the caller keeps.
///
/// # Errors
/// As there; nothing is written then.
pub fn print_frame_to(
    out: &mut String,
    header: &FrameHeader,
    payload: &[u8],
    revision: Revision,
) -> Result<(), PrintError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(PrintError::PayloadTooLarge(payload.len()));
    }
    let kind = header.kind(revision);
    // Writing to a string cannot fail.
    let _ = write!(out, "{} {} ", header.request_id(), header.stream_id());
    flags(out, header.stream_flags().bits(), StreamFlags::name);
    match kind.name() {
        Some(name) => out.extend([" ", name, " "]),
        None => {
            let _ = write!(out, " {} ", header.kind_number());
        }
    }
    let names = revision.flag_names(kind);
    flags(out, header.flags().bits(), |bit| {
        names.get(usize::from(bit)).copied().flatten()
    });
    out.push(' ');
    if !carries_cbor(header, revision) || !as_literal(out, payload, revision) {
        as_bytes(out, payload);
    }
    Ok(())
}

/// Whether the frame's type says that its payload, or what it is a piece of, is CBOR. No payload
/// with a content encoding is.
pub fn carries_cbor(header: &FrameHeader, revision: Revision) -> bool {
    if header.stream_flags().contains(StreamFlags::ENCODED) {
        return false;
    }
    match header.kind(revision) {
        FrameKind::CommandRequest
        | FrameKind::CommandResponse
        | FrameKind::TextOutput
        | FrameKind::Progress
        | FrameKind::SenderProtocolSettings => true,
        FrameKind::StreamSettings => revision.has_settings(),
        FrameKind::BytesResponse => {
            ResponseFlags::from(header.flags()).contains(ResponseFlags::CBOR)
        }
        // messages.md, "Error response": without flags, 0005 knows the structured form too.
        FrameKind::ErrorResponse => match revision {
            Revision::R0003 => false,
            Revision::R0005 => header.flags() == TypeFlags::NONE,
            _ => true,
        },
        _ => false,
    }
}

/// Writes names joined by `|` if all set bits have one, otherwise the number.
fn flags(out: &mut String, bits: u8, name: impl Fn(u8) -> Option<&'static str>) {
    let set = || (0..8).filter(|bit| bits & 1 << bit != 0);
    if bits == 0 || set().any(|bit| name(bit).is_none()) {
        let _ = write!(out, "{bits}");
        return;
    }
    let mut separator = "";
    for name in set().filter_map(name) {
        out.extend([separator, name]);
        separator = "|";
    }
}

/// Writes the payload with escapes.
fn as_bytes(out: &mut String, payload: &[u8]) {
    // What only looks like a literal must not be read as one.
    if let (true, Some((first, rest))) = (
        payload.starts_with(LITERAL.as_bytes()),
        payload.split_first(),
    ) {
        let _ = write!(out, "\\x{first:02x}");
        escapes::escape(out, rest);
    } else {
        escapes::escape(out, payload);
    }
}

/// Writes the payload as a literal, if there is one that is read as the very same bytes.
fn as_literal(out: &mut String, payload: &[u8], revision: Revision) -> bool {
    let Ok(value) = Value::decode(payload) else {
        return false;
    };
    let before = out.len();
    out.push_str(LITERAL);
    let start = out.len();
    if item(out, &value, false) {
        // The proof: whatever has no literal, or another encoding, stays bytes.
        if literal::parse(out.as_bytes(), start, revision).is_ok_and(|bytes| bytes == payload) {
            return true;
        }
    }
    out.truncate(before);
    false
}

/// Writes a value; `false`: it has no literal. The recursion is bounded, since the value was decoded.
/// An array in a key has to be a tuple.
fn item(out: &mut String, value: &Value, in_key: bool) -> bool {
    match value {
        Value::Integer(integer) => write!(out, "{integer}").is_ok(),
        Value::Float(float) => float.is_finite() && write!(out, "{float:?}").is_ok(),
        Value::Bool(true) => push(out, "True"),
        Value::Bool(false) => push(out, "False"),
        Value::Null => push(out, "None"),
        Value::Bytes(bytes) => {
            out.push_str("b'");
            for &byte in bytes {
                match byte {
                    b'\'' => out.push_str("\\'"),
                    _ => escapes::escape_byte(out, byte),
                }
            }
            push(out, "'")
        }
        Value::Text(text) => {
            out.push_str("u'");
            text.chars().for_each(|c| character(out, c));
            push(out, "'")
        }
        Value::Array(items) if in_key => {
            let comma = if items.len() == 1 { "," } else { "" };
            push(out, "(") && list(out, items, true) && push(out, comma) && push(out, ")")
        }
        Value::Array(items) => push(out, "[") && list(out, items, false) && push(out, "]"),
        Value::Set(items) => {
            !items.is_empty() && push(out, "{") && list(out, items, true) && push(out, "}")
        }
        Value::Map(entries) => {
            push(out, "{")
                && entries.iter().enumerate().all(|(n, (key, value))| {
                    push(out, if n == 0 { "" } else { ", " })
                        && item(out, key, true)
                        && push(out, ": ")
                        && item(out, value, in_key)
                })
                && push(out, "}")
        }
        _ => false,
    }
}

fn list(out: &mut String, items: &[Value], in_key: bool) -> bool {
    items
        .iter()
        .enumerate()
        .all(|(n, value)| push(out, if n == 0 { "" } else { ", " }) && item(out, value, in_key))
}

fn push(out: &mut String, text: &str) -> bool {
    out.push_str(text);
    true
}

fn character(out: &mut String, c: char) {
    // Writing to a string cannot fail.
    let _ = match (c, u8::try_from(c)) {
        ('\'', _) => write!(out, "\\'"),
        (_, Ok(byte)) => {
            escapes::escape_byte(out, byte);
            Ok(())
        }
        (_, Err(_)) if u32::from(c) <= 0xffff => write!(out, "\\u{:04x}", u32::from(c)),
        _ => write!(out, "\\U{:08x}", u32::from(c)),
    };
}

#[cfg(test)]
mod tests {
    use hgrpc::wire::HEADER_LEN;
    use hgrpc::{KeyOrder, REVISIONS};
    use proptest::prelude::*;

    use super::super::parse_frame;
    use super::*;

    fn header(bytes: [u8; HEADER_LEN]) -> FrameHeader {
        *FrameHeader::parse(&bytes)
    }

    fn printed(bytes: [u8; HEADER_LEN], payload: &[u8], revision: Revision) -> String {
        print_frame(&header(bytes), payload, revision).unwrap()
    }

    #[test]
    fn names_where_all_are_known() {
        let r = Revision::R0006;
        for (bytes, expected) in [
            (
                [0, 0, 0, 1, 0, 1, 0x01, 0x11],
                "1 1 stream-begin command-request new ",
            ),
            (
                [0, 0, 0, 1, 0, 1, 0x09, 0x23],
                "1 1 9 command-data continuation|eos ",
            ),
            ([0, 0, 0, 1, 0, 1, 0x00, 0x25], "1 1 0 command-data 5 "),
            (
                [0, 0, 0, 1, 0, 1, 0x06, 0xf1],
                "1 1 stream-end|encoded 15 1 ",
            ),
            ([0, 0, 0, 255, 255, 255, 0, 0x70], "65535 255 0 progress 0 "),
        ] {
            assert_eq!(printed(bytes, b"", r), expected);
        }
    }

    #[test]
    fn payloads_are_readable_and_safe() {
        let data = [0, 0, 0, 1, 0, 1, 0, 0x22];
        let request = [0, 0, 0, 1, 0, 1, 0, 0x11];
        let r = Revision::R0006;
        for (bytes, payload, expected) in [
            (data, &b" a\\b\n\x1b\xff'"[..], r" a\\b\n\x1b\xff'"),
            (data, b"cbor:1", r"\x63bor:1"),
            (data, b"\xa1\x01\x02", r"\xa1\x01\x02"),
            (request, b"cbor:1", r"\x63bor:1"),
            (
                request,
                b"\xa1\x44name\x43f'\xff",
                r"cbor:{b'name': b'f\'\xff'}",
            ),
            (
                request,
                b"\x66\xc3\xa9\xe2\x98\x83'",
                r"cbor:u'\xe9\u2603\''",
            ),
            (request, b"\xf9\x3e\x00", "cbor:1.5"),
            (request, b"\xd9\x01\x02\x82\x01\x02", "cbor:{1, 2}"),
            (request, b"\xa1\x81\x01\x02", "cbor:{(1,): 2}"),
            // Not canonical, or without a literal: bytes.
            (request, b"\x18\x01", r"\x18\x01"),
            (request, b"\xa2\x01\x02\x01\x02", r"\xa2\x01\x02\x01\x02"),
            (request, b"\xf9\x7e\x00", r"\xf9~\x00"),
            (request, b"\xf7", r"\xf7"),
            (request, b"\xd9\x01\x02\x80", r"\xd9\x01\x02\x80"),
            (request, b"\x01\x02", r"\x01\x02"),
        ] {
            let line = printed(bytes, payload, r);
            let (_, shown) = line.split_at(
                line.rfind(" eos ")
                    .map_or_else(|| line.find(" new ").map_or(0, |at| at + 5), |at| at + 5),
            );
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn large_payloads_are_refused() {
        let bytes = [0, 0, 0, 1, 0, 1, 0, 0x22];
        assert_eq!(
            print_frame(&header(bytes), &[0; 65_536], Revision::R0006),
            Err(PrintError::PayloadTooLarge(65_536))
        );
        assert!(print_frame(&header(bytes), &[0; 65_535], Revision::R0006).is_ok());
    }

    fn payloads() -> impl Strategy<Value = Vec<u8>> {
        let values = crate::value::tests::values();
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            "cbor:[ -~]{0,20}".prop_map(String::into_bytes),
            (values, any::<bool>()).prop_map(|(value, first)| {
                let order = if first {
                    KeyOrder::ShorterFirst
                } else {
                    KeyOrder::Bytewise
                };
                value.encode(order).unwrap_or_default()
            }),
        ]
    }

    proptest! {
        #[test]
        fn parse_after_print_is_the_same(mut bytes: [u8; HEADER_LEN], payload in payloads()) {
            let [l0, l1, ..] = u32::try_from(payload.len()).unwrap().to_le_bytes();
            [bytes[0], bytes[1], bytes[2]] = [l0, l1, 0];
            for revision in REVISIONS {
                let line = printed(bytes, &payload, revision);
                prop_assert!(line.bytes().all(|b| matches!(b, 0x20..=0x7e)));
                let frame = parse_frame(line.as_bytes(), revision).unwrap();
                prop_assert_eq!(frame.header().emit(), &bytes);
                prop_assert_eq!(frame.payload(), &payload[..]);
            }
        }

        #[test]
        fn any_line_parses_or_names_a_column_within(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut prefixed = b"1 1 0 command-request new cbor:".to_vec();
            prefixed.extend_from_slice(&line);
            for line in [line, prefixed] {
                if let Err(error) = parse_frame(&line, Revision::R0006) {
                    prop_assert!((1..=line.len() + 1).contains(&error.column));
                }
            }
        }

        #[test]
        fn any_literal_like_line_parses_or_fails(text in r#"[\[\](){},:'"\\bu0-9a.eE_+ -]{0,40}"#) {
            let line = format!("1 1 0 1 0 cbor:{text}");
            let _ = parse_frame(line.as_bytes(), Revision::R0006);
        }
    }
}
