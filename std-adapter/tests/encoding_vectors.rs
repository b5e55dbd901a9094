//! The reference's compressed output, recorded in the vectors and captures of revision 0006,
//! through our decoders.
#![cfg(all(feature = "zlib", feature = "zstd"))]

use std::collections::BTreeMap;
use std::path::Path;

use hgrpc::wire::StreamId;
use hgrpc_std::encoding::{ContentEncoding, DecodeError, StreamDecoders};
use serde_json::Value;

const COMMAND_RESPONSE: u8 = 3;
const STREAM_SETTINGS: u8 = 9;
const BEGIN: u8 = 1;
const END: u8 = 2;
const ENCODED: u8 = 4;
const EOS: u8 = 2;

/// A frame taken apart by hand, so that this test depends on the decoders alone.
struct Frame<'a> {
    request: u16,
    stream: u8,
    stream_flags: u8,
    kind: u8,
    flags: u8,
    payload: &'a [u8],
}

fn first_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<8>()?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let (payload, rest) = rest.split_at_checked(usize::try_from(len).unwrap())?;
    let frame = Frame {
        request: u16::from_le_bytes([header[3], header[4]]),
        stream: header[5],
        stream_flags: header[6],
        kind: header[7] >> 4,
        flags: header[7] & 0x0f,
        payload,
    };
    Some((frame, rest))
}

/// As much of a client as the decoders need.
#[derive(Default)]
struct Receiver {
    open: BTreeMap<u8, Vec<u8>>,
    decoders: StreamDecoders,
    responses: BTreeMap<u16, Vec<u8>>,
}

impl Receiver {
    /// Handles one frame, its payload in parts of this length; `None` for one on a stream that is
    /// not open.
    fn handle(&mut self, frame: &Frame<'_>, part: usize) -> Option<Result<Vec<u8>, DecodeError>> {
        if frame.stream % 2 == 1 {
            return None;
        }
        if frame.stream_flags & BEGIN != 0 {
            self.open.entry(frame.stream).or_default();
        }
        self.open.get(&frame.stream)?;
        let decoded = self.payload(frame, part);
        if frame.stream_flags & END != 0 {
            self.open.remove(&frame.stream);
            self.decoders.end(StreamId::new(frame.stream));
        }
        Some(decoded)
    }

    fn payload(&mut self, frame: &Frame<'_>, part: usize) -> Result<Vec<u8>, DecodeError> {
        if frame.stream_flags & ENCODED == 0 {
            return Ok(frame.payload.to_vec());
        }
        let stream = StreamId::new(frame.stream);
        let mut out = Vec::new();
        for part in frame.payload.chunks(part) {
            let mut decoded = self.decoders.decode(stream, part, false);
            while let Some(piece) = decoded.next_piece()? {
                out.extend_from_slice(piece);
            }
        }
        assert_eq!(self.decoders.decode(stream, b"", true).skip()?, 0);
        Ok(out)
    }

    /// Installs good settings.
    fn settings(&mut self, frame: &Frame<'_>) {
        let buffered = self.open.get_mut(&frame.stream).unwrap();
        buffered.extend_from_slice(frame.payload);
        if frame.flags & EOS != 0 {
            let settings = core::mem::take(buffered);
            let name = match settings.split_first() {
                Some((head @ 0x40..=0x57, name)) if usize::from(head - 0x40) == name.len() => name,
                _ => panic!("settings {settings:02x?}"),
            };
            let encoding = ContentEncoding::from_name(name).unwrap();
            assert!(self.decoders.install(StreamId::new(frame.stream), encoding));
        }
    }

    /// Handles a good server's frame whole.
    fn receive(&mut self, frame: &Frame<'_>, part: usize) {
        let payload = self.handle(frame, part).unwrap().unwrap();
        match frame.kind {
            STREAM_SETTINGS => self.settings(frame),
            COMMAND_RESPONSE => self
                .responses
                .entry(frame.request)
                .or_default()
                .extend(payload),
            _ => {}
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Bytes as the vectors write them.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => unhex(text),
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        Value::Object(map) => {
            let count = usize::try_from(map["count"].as_u64().unwrap()).unwrap();
            unhex(map["repeat"].as_str().unwrap()).repeat(count)
        }
        _ => panic!("{value}"),
    }
}

fn load(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/vectors")
        .join(path);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

const PARTS: [usize; 3] = [1, 64, usize::MAX];

#[test]
fn client_vectors() {
    let mut encoded = 0;
    for file in ["0006/client-directed.json", "0006/client-random.json"] {
        for case in load(file)["cases"].as_array().unwrap() {
            for part in PARTS {
                encoded += client_case(case, part);
            }
        }
    }
    assert!(encoded > 1000, "only {encoded} encoded frames");
}

fn client_case(case: &Value, part: usize) -> usize {
    let name = case["name"].as_str().unwrap();
    let mut receiver = Receiver::default();
    let mut expected: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    let mut encoded = 0;
    for step in case["steps"].as_array().unwrap() {
        if step["op"] != "recv" {
            continue;
        }
        let bytes_in = bytes(&step["frame"]);
        let (frame, _) = first_frame(&bytes_in).unwrap();
        encoded += usize::from(frame.stream_flags & ENCODED != 0);
        let expect = &step["expect"];
        let kind = expect["kind"].as_str().unwrap_or_default();
        match receiver.handle(&frame, part) {
            None => assert!(
                matches!(kind, "stream-parity" | "stream-not-begun"),
                "{name}: {expect}"
            ),
            Some(Err(error)) => assert_eq!(kind, error.name(), "{name}"),
            Some(Ok(payload)) => {
                assert!(
                    !matches!(kind, "decode-failed" | "encoding-ended"),
                    "{name}"
                );
                if frame.kind == STREAM_SETTINGS && expect["action"] == "noop" {
                    receiver.settings(&frame);
                } else if frame.kind == STREAM_SETTINGS
                    && let Some(buffered) = receiver.open.get_mut(&frame.stream)
                    && !kind.ends_with("-flags")
                {
                    buffered.clear();
                }
                if expect["action"] == "response_data" {
                    let id = frame.request;
                    receiver.responses.entry(id).or_default().extend(payload);
                    expected
                        .entry(id)
                        .or_default()
                        .extend(bytes(&expect["data"]));
                }
            }
        }
    }
    assert_eq!(receiver.responses, expected, "{name}");
    encoded
}

#[test]
fn server_vectors() {
    let mut responses = 0;
    for file in ["0006/server-directed.json", "0006/server-random.json"] {
        for case in load(file)["cases"].as_array().unwrap() {
            let Some(plain) = case["plain_responses"].as_object() else {
                continue;
            };
            for part in PARTS {
                let mut receiver = Receiver::default();
                for step in case["steps"].as_array().unwrap() {
                    for bytes_out in step["expect"]["frames"].as_array().into_iter().flatten() {
                        let bytes_out = bytes(bytes_out);
                        receiver.receive(&first_frame(&bytes_out).unwrap().0, part);
                    }
                }
                for (id, plain) in plain {
                    assert_eq!(
                        receiver.responses[&id.parse().unwrap()],
                        bytes(plain),
                        "{}",
                        case["name"]
                    );
                    responses += 1;
                }
            }
        }
    }
    assert!(responses >= 3 * 16, "only {responses} responses");
}

#[test]
fn captured_responses() {
    let mut encoded = 0;
    for file in [
        "buffering",
        "clone-bulk",
        "clone-identity",
        "clone-variants",
        "clone-zlib",
        "clone-zstd-8mb",
        "debugwireproto",
        "multirequest",
        "objects-identity",
        "objects-zlib",
        "objects-zstd-8mb",
    ] {
        let capture = load(&format!("captured/{file}.json"));
        for exchange in capture["exchanges"].as_array().unwrap() {
            let response = &exchange["response"];
            let Some(responses) = response["responses"].as_object() else {
                continue;
            };
            let body = match response["body"].as_str() {
                Some(hex) => unhex(hex),
                None => inflate(&base64(response["body_zlib_b64"].as_str().unwrap())),
            };
            for part in PARTS {
                let mut receiver = Receiver::default();
                let mut rest = &body[..];
                while let Some((frame, after)) = first_frame(rest) {
                    encoded += usize::from(frame.stream_flags & ENCODED != 0);
                    receiver.receive(&frame, part);
                    rest = after;
                }
                for (id, expected) in responses {
                    let got = &receiver.responses[&id.parse().unwrap()];
                    let id = &exchange["id"];
                    if let Some(hex) = expected["cbor"].as_str() {
                        let tail = expected["undecoded_tail"].as_str().unwrap_or_default();
                        assert_eq!(*got, unhex(&format!("{hex}{tail}")), "{id}");
                    } else {
                        assert_eq!(Some(got.len()), len(&expected["cbor_len"]), "{id}");
                    }
                }
            }
        }
    }
    assert!(encoded > 1000, "only {encoded} encoded frames");
}

fn len(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn inflate(input: &[u8]) -> Vec<u8> {
    let mut receiver = StreamDecoders::default();
    assert!(receiver.install(StreamId::new(0), ContentEncoding::Zlib));
    let mut decoded = receiver.decode(StreamId::new(0), input, true);
    let mut out = Vec::new();
    while let Some(piece) = decoded.next_piece().unwrap() {
        out.extend_from_slice(piece);
    }
    out
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|&b| b != b'=') {
        let value = alphabet.iter().position(|&b| b == byte).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    out
}
