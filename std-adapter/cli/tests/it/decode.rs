//! `hgrpc decode` and `hgrpc encode` as a user runs them (framing.md, "Showing a frame to people",
//! "Human frame strings").

use std::io::{Read, Write};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::tool::tool;

const REVISIONS: [&str; 3] = ["0003", "0005", "0006"];

fn hgrpc(args: &[&str], input: impl Into<Vec<u8>>) -> Output {
    assert_cmd::Command::new(tool())
        .args(args)
        .write_stdin(input)
        .output()
        .unwrap()
}

/// The output of a run that has to succeed without a word.
fn done(args: &[&str], input: impl Into<Vec<u8>>) -> Vec<u8> {
    let output = hgrpc(args, input);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    output.stdout
}

/// The error output of a run that has to fail for its input.
fn refused(args: &[&str], input: impl Into<Vec<u8>>) -> (String, String) {
    let output = hgrpc(args, input);
    assert_eq!(output.status.code(), Some(2));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn cases(revision: &str, file: &str) -> Vec<Value> {
    let path = format!(
        "{}/../../tests/vectors/{revision}/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    match serde_json::from_str::<Value>(&text).unwrap()["cases"].take() {
        Value::Array(cases) => cases,
        other => panic!("cases: {other}"),
    }
}

/// The bytes of a vector: hex, or parts to be joined.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(hex) => base16ct::lower::decode_vec(hex).unwrap(),
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        Value::Object(part) => {
            let count = part["count"].as_u64().unwrap();
            bytes(&part["repeat"]).repeat(count.try_into().unwrap())
        }
        other => panic!("bytes: {other}"),
    }
}

/// A human frame string as bytes: its characters stand for bytes.
fn text(case: &Value) -> Vec<u8> {
    let text = case["text"].as_str().unwrap();
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

fn frame(payload_len: u32, payload: &[u8]) -> Vec<u8> {
    let [l0, l1, l2, _] = payload_len.to_le_bytes();
    let mut frame = vec![l0, l1, l2, 1, 0, 1, 0, 0x22];
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn every_human_vector_survives_encode_decode_encode() {
    for revision in REVISIONS {
        let cases = cases(revision, "human.json");
        assert!(!cases.is_empty());
        let (mut lines, mut all) = (Vec::new(), Vec::new());
        for case in &cases {
            let line = text(case);
            let expected = bytes(&case["bytes"]);
            let encoded = done(&["encode", "--revision", revision], line.clone());
            assert_eq!(encoded, expected, "{case}");
            lines.extend(line);
            lines.push(b'\n');
            all.extend(expected);
        }
        let encoded = done(&["encode", "--revision", revision], lines);
        assert_eq!(encoded, all);
        let human = done(&["decode", "--human", "--revision", revision], encoded);
        assert!(human.iter().all(|b| matches!(b, b'\n' | 0x20..=0x7e)));
        assert_eq!(done(&["encode", "--revision", revision], human), all);
    }
}

#[test]
fn frames_are_shown_as_the_vectors_show_them() {
    for revision in REVISIONS {
        let cases = cases(revision, "frames.json");
        let input: Vec<u8> = cases.iter().flat_map(|c| bytes(&c["bytes"])).collect();
        let args = ["--revision", revision, "--max-frame", "16777215"];
        let plain = done(&[&["decode"], &args[..]].concat(), input.clone());
        let json = done(
            &[&["decode", "--json", "--cbor"], &args[..]].concat(),
            input,
        );
        let plain = String::from_utf8(plain).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(plain.lines().count(), cases.len());
        assert_eq!(json.lines().count(), cases.len());
        let mut offset = 0;
        for ((case, plain), json) in cases.iter().zip(plain.lines()).zip(json.lines()) {
            if let Some(display) = case["display"].as_str() {
                assert_eq!(plain, display);
            }
            let json: Value = serde_json::from_str(json).unwrap();
            let frame = bytes(&case["bytes"]);
            for (ours, theirs) in [
                ("size", "length"),
                ("request", "request_id"),
                ("stream", "stream_id"),
                ("streamflags", "stream_flags"),
                ("type", "type"),
                ("flags", "flags"),
            ] {
                assert_eq!(json[ours], case["header"][theirs], "{case}");
            }
            assert_eq!(json["offset"], offset);
            assert_eq!(bytes(&json["payload"]), frame[8..]);
            assert_eq!(json["diagnostic"].is_null(), frame.len() == 8);
            offset += frame.len();
        }
    }
}

#[test]
fn captured_requests_survive_the_human_form() {
    for revision in REVISIONS {
        let input: Vec<u8> = cases(revision, "frames.json")
            .iter()
            .map(|case| bytes(&case["bytes"]))
            .filter(|frame| frame.len() <= 65_535 + 8)
            .flatten()
            .collect();
        let human = done(
            &["decode", "--human", "--revision", revision],
            input.clone(),
        );
        assert_eq!(done(&["encode", "--revision", revision], human), input);
    }
}

#[test]
fn names_and_notation_are_added() {
    let lines = "\
1 1 stream-begin command-request new cbor:{b'name': b'\"\\\\', b'args': {b'k': [1, u'\\u2603', 1.5]}}
1 1 8 command-data eos raw
1 2 encoded command-response eos \\x00
1 2 0 15 3 ";
    let input = done(&["encode"], lines);
    let plain = done(&["decode", "--cbor"], input.clone());
    assert_eq!(
        String::from_utf8(plain).unwrap(),
        r#"frame(size=26; request=1; stream=1; streamflags=stream-begin; type=command-request; flags=new) {b'args': {b'k': [1, "☃", 1.5]}, b'name': b'"\\'}
frame(size=3; request=1; stream=1; streamflags=<unknown 0x08>; type=command-data; flags=eos) b'raw'
frame(size=1; request=1; stream=2; streamflags=encoded; type=command-response; flags=eos) h'00'
frame(size=0; request=1; stream=2; streamflags=; type=<unknown 0x0f>; flags=<unknown 0x01>|<unknown 0x02>)
"#
    );
    let json = String::from_utf8(done(&["decode", "--json", "--cbor"], input)).unwrap();
    let objects: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        objects[0]["diagnostic"],
        r#"{b'args': {b'k': [1, "☃", 1.5]}, b'name': b'"\\'}"#
    );
    assert_eq!(
        objects[0]["streamflag_names"],
        serde_json::json!(["stream-begin"])
    );
    assert_eq!(objects[0]["type_name"], "command-request");
    assert_eq!(objects[0]["flag_names"], serde_json::json!(["new"]));
    assert_eq!(objects[1]["streamflags"], 8);
    assert_eq!(objects[1]["streamflag_names"], serde_json::json!([]));
    assert_eq!(objects[1]["payload"], "726177");
    assert_eq!(objects[3]["type_name"], Value::Null);
    assert_eq!(objects[3]["diagnostic"], Value::Null);
}

#[test]
fn truncated_input_names_the_frame_and_what_came() {
    let mut input = frame(3, b"abc");
    input.extend(frame(10, b"abcd"));
    for mode in [&[][..], &["--human"], &["--json"], &["--cbor"]] {
        let args = [&["decode"], mode].concat();
        let (out, error) = refused(&args, input.clone());
        assert_eq!(out.lines().count(), 1);
        assert_eq!(
            error,
            "hgrpc: frame at byte 11: short-payload: a payload of 10 bytes was expected, 4 came\n  \
             frame(size=10; request=1; stream=1; streamflags=; type=command-data; flags=eos)\n"
        );
        let (out, error) = refused(&args, &input[..16]);
        assert_eq!(out.lines().count(), 1);
        assert_eq!(
            error,
            "hgrpc: frame at byte 11: short-header: a header of 8 bytes was expected, 5 came\n"
        );
    }
    // Right after a header nothing of the payload has come.
    let (_, error) = refused(&["decode"], &input[..19]);
    assert!(error.contains("10 bytes was expected, 0 came"), "{error}");
    assert_eq!(done(&["decode"], ""), b"");
}

#[test]
fn oversized_frames_are_refused_before_their_payload() {
    let mut input = frame(3, b"abc");
    input.extend(frame(65_536, b""));
    let (out, error) = refused(&["decode"], input.clone());
    assert_eq!(out.lines().count(), 1);
    assert_eq!(
        error,
        "hgrpc: frame at byte 11: frame-too-large: at most 65535 bytes of payload were expected, \
         65536 are announced (--max-frame raises the maximum)\n  \
         frame(size=65536; request=1; stream=1; streamflags=; type=command-data; flags=eos)\n"
    );
    input.extend([0x78; 65_536]);
    let args = ["decode", "--max-frame", "65536"];
    assert_eq!(done(&args, input.clone()).split(|&b| b == b'\n').count(), 3);
    let (_, error) = refused(&["decode", "--max-frame", "65536", "--human"], input);
    assert!(
        error.contains("frame at byte 11: a payload of 65536 bytes, over"),
        "{error}"
    );
    let (_, error) = refused(&["decode", "--max-frame", "2"], frame(3, b"abc"));
    assert!(
        error.contains("frame at byte 0: frame-too-large"),
        "{error}"
    );
    let (_, error) = refused(&["decode", "--max-frame", "16777216"], "");
    assert!(error.contains("16777215"), "{error}");
}

#[test]
fn frames_that_lie_across_reads_are_whole() {
    // Larger than the tool's buffer, so that headers and payloads are cut by reads.
    let one = [
        frame(0, b""),
        frame(1000, &[0xab; 1000]),
        frame(13, &[0; 13]),
    ]
    .concat();
    let input = one.repeat(3000);
    let count = |args: &[&str]| done(args, input.clone()).split(|&b| b == b'\n').count() - 1;
    assert_eq!(count(&["decode"]), 9000);
    let human = done(&["decode", "--human"], input.clone());
    assert!(done(&["encode"], human) == input);
    let json = String::from_utf8(done(&["decode", "--json"], input.clone())).unwrap();
    assert_eq!(json.lines().count(), 9000);
    assert!(
        json.lines()
            .skip(1)
            .step_by(3)
            .all(|l| l.contains(&"ab".repeat(1000)))
    );
}

#[test]
fn mistakes_are_shown_with_their_line_and_a_caret() {
    let (out, error) = refused(
        &["encode"],
        "# a comment\n\n1 1 0 command-data eos a\r\n1 1 0 command-data nwe \n",
    );
    assert_eq!(out.as_bytes(), [1, 0, 0, 1, 0, 1, 0, 0x22, b'a']);
    assert_eq!(
        error,
        "hgrpc: line 4, column 20: \"nwe\" is not a flag of command-data in revision 0006; \
         they are continuation, eos\n  \
         |\n4 | 1 1 0 command-data nwe \n  |                    ^\n"
    );
    // Far to the right, with what would move the cursor, and without a last line feed.
    let mut line = b"1 1 0 2 0 \xc3\xa9\x1b[2J\xff".to_vec();
    line.extend([b'x'; 1000]);
    line.extend(br"\q");
    line.extend([b'y'; 1000]);
    let output = hgrpc(&["encode"], line);
    let error = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = error.lines().collect();
    assert!(
        lines[0].starts_with("hgrpc: line 1, column 1017: unknown escape"),
        "{error}"
    );
    assert_eq!(
        lines[2],
        format!("1 | …{}\\q{}…", "x".repeat(50), "y".repeat(48))
    );
    assert_eq!(lines[3].find('^'), Some(3 + 1 + 51));
    let (_, error) = refused(&["encode"], b"1 1 0 2 0 \x1b\xff\xc3\xa9\\q".to_vec());
    assert!(
        error.contains("1 | 1 1 0 2 0 \u{fffd}\u{fffd}é\\q\n  |              ^\n"),
        "{error}"
    );
}

#[test]
fn lines_have_a_limit() {
    let (_, error) = refused(&["encode"], vec![b'1'; 4 * 1024 * 1024 + 1]);
    assert_eq!(error, "hgrpc: line 1: over 4194304 bytes long\n");
    let (_, error) = refused(&["encode"], vec![b'1'; 4 * 1024 * 1024]);
    assert!(error.starts_with("hgrpc: line 1, column "), "{error}");
}

// What the next program no longer reads is not an error, as with `| head`.
#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture.bin");
    std::fs::write(&path, frame(0, b"").repeat(100_000)).unwrap();
    for mode in [&[][..], &["--human"], &["--json"], &["--cbor"]] {
        let mut child = std::process::Command::new(tool())
            .arg("decode")
            .args(mode)
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

// Frames show as they come, not when the input ends.
#[test]
fn live_input_is_shown_at_once() {
    for (mode, input, expected) in [
        ("decode", &b"\0\0\0\x01\0\x01\0\x22"[..], &b"frame("[..]),
        ("encode", b"1 1 0 2 2 \n", b"\0\0\0\x01\0"),
    ] {
        let mut child = std::process::Command::new(tool())
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        let mut first = vec![0; expected.len()];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut first)
            .unwrap();
        assert_eq!(first, expected);
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    for mode in ["decode", "encode"] {
        let output = hgrpc(&[mode, "no-such-file"], "");
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.starts_with("hgrpc: cannot open no-such-file: "),
            "{error}"
        );
    }
}
