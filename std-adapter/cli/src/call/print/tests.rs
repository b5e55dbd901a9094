use hgrpc::KeyOrder;
use hgrpc_std::diagnostic::{Diagnostic, parse};
use hgrpc_std::value::Value;
use proptest::prelude::*;

use super::*;

/// What is printed of these pieces, and the error after it.
fn pieces(format: Format, pieces: &[&[u8]]) -> (String, Option<String>) {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, format);
    let result = pieces
        .iter()
        .try_for_each(|piece| printer.push(piece))
        .and_then(|()| printer.finish().map(drop));
    (
        String::from_utf8(out).unwrap(),
        result.err().map(|error| error.to_string()),
    )
}

fn printed(format: Format, bytes: &[u8]) -> String {
    let (out, error) = pieces(format, &[bytes]);
    assert_eq!(error, None);
    let each: Vec<&[u8]> = bytes.chunks(1).collect();
    assert!(pieces(format, &each) == (out.clone(), None));
    out
}

fn encoded(notation: &str) -> Vec<u8> {
    parse(notation).unwrap().encode(KeyOrder::Bytewise).unwrap()
}

#[test]
fn values_are_printed_a_line_each() {
    for notation in [
        "0",
        "-18446744073709551616",
        "1.5",
        "null",
        "b'text'",
        "b''",
        "h'00ff'",
        "\"te\\n\u{e9}xt\"",
        "[]",
        "{}",
        "[1, [2, {b'a': [], b'b': {1: b'c'}}], 258([1, 2]), 1(1(0))]",
        "simple(99)",
    ] {
        assert_eq!(
            printed(Format::Notation, &encoded(notation)),
            format!("{notation}\n")
        );
    }
    let many = b"\xa1\x41a\x01\x80\x43foo\x9f\x5f\x41a\x40\xff\x7f\xff\x5f\xff\xbf\xff\xff";
    assert_eq!(
        printed(Format::Notation, many),
        "{b'a': 1}\n[]\nb'foo'\n[_ (_ b'a', b''), \"\"_, b''_, {_ }]\n"
    );
    assert_eq!(printed(Format::Notation, b""), "");
}

#[test]
fn json_has_a_form_for_everything_but_containers_as_keys() {
    for (notation, json) in [
        ("18446744073709551615", "18446744073709551615"),
        ("-1.5", "-1.5"),
        (
            "[1.0, true, false, null, undefined]",
            "[1.0,true,false,null,null]",
        ),
        ("'text \" \\\\'", "\"text \\\" \\\\\""),
        ("h'c3a9'", "\"\u{e9}\""),
        ("h''", "\"\""),
        ("h'00'", "\"\\u0000\""),
        ("h'ff00fe01'", "{\"$bytes\":\"/wD+AQ==\"}"),
        ("\"\u{1f600}\\u009b\"", "\"\u{1f600}\\u009b\""),
        ("NaN", "{\"$float\":\"NaN\"}"),
        ("simple(99)", "{\"$simple\":99}"),
        (
            "[-Infinity, 1(2)]",
            "[{\"$float\":\"-Infinity\"},{\"$tag\":1,\"value\":2}]",
        ),
        ("258([1, 2])", "[1,2]"),
        ("{'a': {}, \"b\": [], 1: 2}", "{\"a\":{},\"1\":2,\"b\":[]}"),
        (
            "{h'ff': 1, null: 2, -1.5: 3}",
            "{\"null\":2,\"h'ff'\":1,\"-1.5\":3}",
        ),
    ] {
        let line = printed(Format::Json, &encoded(notation));
        assert_eq!(line, format!("{json}\n"));
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }
    assert_eq!(
        printed(Format::Json, b"\x5f\x41a\x42bc\xff\x01"),
        "\"abc\"\n1\n"
    );
    for key in ["[]", "{}", "1(1)"] {
        let (_, error) = pieces(Format::Json, &[&encoded(&format!("{{{key}: 1}}"))]);
        assert!(error.unwrap().starts_with("a map's key that is a list"));
    }
}

#[test]
fn raw_bytes_pass_as_they_are() {
    let mut printer = Printer::new(Vec::new(), Format::Raw);
    printer.push(b"\x82\xff").unwrap();
    printer.push(b"\x1c").unwrap();
    assert_eq!(printer.finish().unwrap(), b"\x82\xff\x1c");
}

#[test]
fn values_come_out_as_soon_as_they_are_complete() {
    let mut printer = Printer::new(Vec::new(), Format::Notation);
    for (piece, expected) in [
        (&b"\xa1\x41"[..], ""),
        (b"a\x01", "{b'a': 1}\n"),
        (b"\x82\x01", "{b'a': 1}\n[1"),
        (b"\x43fo", "{b'a': 1}\n[1, "),
        (b"o", "{b'a': 1}\n[1, b'foo']\n"),
    ] {
        printer.push(piece).unwrap();
        assert_eq!(printer.out, expected.as_bytes());
    }
}

#[test]
fn what_is_not_cbor_is_text_or_a_byte_string() {
    for (bytes, notation, json) in [
        (&b"hello\n"[..], "hello\n", "\"hello\\n\"\n"),
        (
            b"hello world, this is text",
            "hello world, this is text\n",
            "\"hello world, this is text\"\n",
        ),
        (b"42\n", "42\n", "\"42\\n\"\n"),
        (b"2026-11-22", "2026-11-22\n", "\"2026-11-22\"\n"),
        (b"<html>", "<html>\n", "\"<html>\"\n"),
        (
            b"a\x1b[31mred\n",
            "a\\x1b[31mred\n",
            "\"a\\u001b[31mred\\n\"\n",
        ),
        (b"caf\xc3\xa9!", "caf\u{e9}!\n", "\"caf\u{e9}!\"\n"),
        (
            b"\x1f\x8b\x08\x00",
            "h'1f8b0800'\n",
            "{\"$bytes\":\"H4sIAA==\"}\n",
        ),
    ] {
        assert_eq!(printed(Format::Notation, bytes), notation);
        assert_eq!(printed(Format::Json, bytes), json);
    }
    // One value is CBOR, even where it could be text.
    assert_eq!(printed(Format::Notation, b"\n"), "10\n");
    assert_eq!(printed(Format::Notation, b"Ehello"), "b'hello'\n");
    // Text that turns out not to be.
    let text = [b"yes\n".repeat(2000), b"\xff\xc3".to_vec()].concat();
    let shown = "yes\n".repeat(2000) + "\\xff\\xc3\n";
    assert!(printed(Format::Notation, &text) == shown);
}

#[test]
fn a_response_that_ends_inside_a_value_is_an_error() {
    let (out, error) = pieces(Format::Notation, &[b"\x01\x82\x01"]);
    assert_eq!(out, "1\n[1");
    let message = "the response ends inside a value, after 3 bytes; --raw prints the bytes";
    assert_eq!(error.as_deref(), Some(message));
    for cut in [
        &b"\x83\x01\x02"[..],
        b"\x82\x00\x43a",
        b"\x9f",
        b"\x5f\x41\x00",
        b"\x82\x19\x01",
    ] {
        let (_, error) = pieces(Format::Notation, &[cut]);
        assert!(
            error
                .unwrap()
                .starts_with("the response ends inside a value, after ")
        );
    }
}

#[test]
fn what_stops_being_cbor_is_told_with_its_place() {
    let after = |bytes: &[u8]| {
        pieces(Format::Notation, &[b"\x80\xa1\x01\x02", bytes])
            .1
            .unwrap()
    };
    for (bytes, what) in [
        (&b"\xff"[..], "an unexpected break"),
        (b"\x1c", "a reserved byte"),
        (b"\x1f", "a reserved byte"),
        (b"\xf8\x01", "a reserved simple value"),
        (b"\x5f\x61a", "not a chunk of the string"),
        (b"\x5f\x5f", "not a chunk of the string"),
        (b"\xbf\x01\xff", "an unexpected break"),
        (b"\x81\xff", "an unexpected break"),
        (&[0x81; 17], "nested too deep"),
    ] {
        let error = after(bytes);
        let end = format!("on: {what}; --raw prints the bytes");
        assert!(error.ends_with(&end), "{error}");
    }
    assert!(after(b"\xff").starts_with("the response is not CBOR from byte 4 on"));
    assert!(after(b"\x82\x00\xff").starts_with("the response is not CBOR from byte 6 on"));
}

/// A string of that many bytes from a head and repeated content, in pieces.
fn long(head: &[u8], content: &[u8], times: usize, format: Format) -> String {
    let mut all = vec![head];
    all.extend(std::iter::repeat_n(content, times));
    let (out, error) = pieces(format, &all);
    assert_eq!(error, None);
    out
}

#[test]
fn long_strings_pass_through() {
    // 2 MiB and 1 byte, of which the last is a piece of its own.
    let content = "a\u{e9}".repeat(1000);
    let len = u32::try_from(content.len() * 1000).unwrap().to_be_bytes();
    let head = |initial: u8| [&[initial][..], &len].concat();
    let shown = format!("\"{}\"\n", content.repeat(1000));
    assert!(long(&head(0x7a), content.as_bytes(), 1000, Format::Notation) == shown);
    assert!(long(&head(0x7a), content.as_bytes(), 1000, Format::Json) == shown);
    let hex = base16ct::lower::encode_string(content.as_bytes());
    let shown = format!("h'{}'\n", hex.repeat(1000));
    assert!(long(&head(0x5a), content.as_bytes(), 1000, Format::Notation) == shown);
    let json = long(&head(0x5a), content.as_bytes(), 1000, Format::Json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let bytes: Vec<u8> = {
        use base64ct::Encoding;
        base64ct::Base64::decode_vec(json["$bytes"].as_str().unwrap()).unwrap()
    };
    assert!(bytes == content.repeat(1000).as_bytes());
    // In chunks, whose number is not known.
    let mut all: Vec<&[u8]> = vec![b"\x5f"];
    let chunk = [&b"\x59\x10\x00"[..], &[0xfe; 4096]].concat();
    all.extend(std::iter::repeat_n(&chunk[..], 1000));
    all.push(b"\xff");
    let (out, error) = pieces(Format::Json, &all);
    assert_eq!(error, None);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(json["$bytes"].as_str().unwrap().len() > 5_000_000);
    let (out, _) = pieces(Format::Notation, &all);
    assert!(out.starts_with("(_ h'fefe") && out.ends_with("fefe')\n"));
    // Not UTF-8 where it was promised.
    let (_, error) = pieces(
        Format::Notation,
        &[&head(0x7a), &[b'a'; 1_500_000], b"\xff"],
    );
    assert!(error.unwrap().contains("not UTF-8"));
}

/// Nothing is kept of what passes through.
#[test]
fn memory_is_bounded() {
    let mut printer = Printer::new(std::io::sink(), Format::Notation);
    printer
        .push(b"\x82\x5b\x00\x00\x00\x00\x80\x00\x00\x00")
        .unwrap();
    for _ in 0..1000 {
        printer.push(&[0xee; 65536]).unwrap();
    }
    let State::Notation(_, notation) = &printer.state else {
        panic!("not CBOR");
    };
    assert_eq!(notation.gathered(), 0);
}

proptest! {
    // However a sequence is cut: what the library prints of its values.
    #[test]
    fn notation_is_that_of_the_library(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        cut in 1usize..20,
    ) {
        // The values at the front that are well-formed, behind one that no text begins with.
        let (mut all, mut expected) = (b"\x80".to_vec(), "[]\n".to_owned());
        let mut rest = &bytes[..];
        while let Ok((_, len)) = Value::decode_prefix(rest) {
            let (value, after) = rest.split_at(len);
            all.extend_from_slice(value);
            expected += &format!("{}\n", Diagnostic::new(value));
            rest = after;
        }
        let cuts: Vec<&[u8]> = all.chunks(cut).collect();
        prop_assert_eq!(pieces(Format::Notation, &cuts), (expected, None));
    }

    // Whatever comes: lines that are safe for a terminal, the same however it is cut.
    #[test]
    fn any_bytes_are_printed_safely(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        cut in 1usize..50,
    ) {
        let cuts: Vec<&[u8]> = bytes.chunks(cut).collect();
        for format in [Format::Notation, Format::Json] {
            let (out, error) = pieces(format, &cuts);
            prop_assert_eq!(pieces(format, &[&bytes]), (out.clone(), error));
            prop_assert!(out.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        }
    }
}
