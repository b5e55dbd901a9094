//! Frames, and what they answer: read without our reactors, so that those are checked against it.

use std::collections::BTreeMap;

use hgrpc::wire::{FrameHeader, HEADER_LEN, StreamFlags, StreamId};
use hgrpc_std::encoding::{ContentEncoding, StreamDecoders};
use hgrpc_std::value::Value as Cbor;
use serde_json::Value;

use crate::bytes::sha256;
use crate::fields::{Fault, Fields};

#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    pub(super) payload: Vec<u8>,
}

/// The encoded status map of success.
pub(super) const OK: &[u8] = b"\xa1\x46status\x42ok";

/// The frame types, by their numbers.
pub(super) const RESPONSE: u8 = 3;
pub(super) const ERROR_RESPONSE: u8 = 5;
const STREAM_SETTINGS: u8 = 9;

/// All whole frames of a body, and the rest.
pub(super) fn cut(mut bytes: &[u8]) -> (Vec<Frame>, Vec<u8>) {
    let mut frames = Vec::new();
    while let Some((header, rest)) = FrameHeader::split_from(bytes) {
        let length = usize::try_from(header.length()).unwrap_or(usize::MAX);
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(Frame {
            header: *header,
            payload: payload.to_vec(),
        });
        bytes = rest;
    }
    (frames, bytes.to_vec())
}

/// Whether frames are as they were noted down.
pub(super) fn check(recorded: &Value, frames: &[Frame]) -> Result<(), Fault> {
    let recorded = recorded.as_array().map_or(&[][..], Vec::as_slice);
    super::same("frames", &recorded.len(), &frames.len())?;
    for (value, frame) in recorded.iter().zip(frames) {
        let fields = Fields::new(value)?;
        let header = &frame.header;
        let number = |name| fields.number(name, u64::MAX);
        let noted = (
            number("length")?,
            fields.request_id("request_id")?,
            fields.byte("stream_id")?,
            fields.byte("stream_flags")?,
            fields.byte("type")?,
            fields.byte("flags")?,
        );
        let is = (
            u64::from(header.length()),
            header.request_id().value(),
            header.stream_id().value(),
            header.stream_flags().bits(),
            header.kind_number(),
            header.flags().bits(),
        );
        super::same("a frame's header", &noted, &is)?;
        match fields.optional("payload") {
            Some(hex) => {
                super::same("a payload", &crate::bytes::parse(hex)?, &frame.payload)?;
            }
            None => {
                let len = u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
                super::same("a payload's length", &number("payload_len")?, &len)?;
                let hash = fields.text("payload_sha256")?;
                super::same("a payload's hash", &hash, &sha256(&frame.payload).as_str())?;
            }
        }
        // What says the same for people, and what depends on the library.
        for name in [
            "stream_flag_names",
            "type_name",
            "flag_names",
            "cbor",
            "decoded",
            "decoded_len",
            "decoded_sha256",
        ] {
            fields.optional(name);
        }
        fields.finish()?;
    }
    Ok(())
}

/// What one request was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// All payloads of its response frames, decoded, in order.
    pub(super) content: Vec<u8>,
    /// The error response that ended it, as it was sent.
    pub(super) error: Option<ErrorResponse>,
    /// A last frame has come, or an error response.
    pub(super) has_ended: bool,
    /// K-11: the content's last bytes, so many, are a command's error status that came after other
    /// output.
    pub(super) late_error: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ErrorResponse {
    pub(super) kind: String,
    /// The message with its arguments filled in.
    pub(super) message: String,
}

/// What each request was answered.
pub(super) fn answers(frames: &[Frame]) -> Result<BTreeMap<u16, Answer>, Fault> {
    let wrong = |what: &str| Fault::schema(format!("frames that do not decode: {what}"));
    let mut decoders = StreamDecoders::default();
    let mut answers: BTreeMap<u16, Answer> = BTreeMap::new();
    for frame in frames {
        let stream = frame.header.stream_id();
        let is_encoded = frame.header.stream_flags().contains(StreamFlags::ENCODED);
        let mut payload = frame.payload.clone();
        if is_encoded {
            payload = decode(&mut decoders, stream, &payload).ok_or_else(|| wrong("encoding"))?;
        }
        let is_last = frame.header.flags().bits() & 2 != 0;
        match frame.header.kind_number() {
            STREAM_SETTINGS => {
                let encoding = Cbor::decode(&payload).ok().and_then(|name| match name {
                    Cbor::Bytes(name) => ContentEncoding::from_name(&name),
                    _ => None,
                });
                decoders.install(stream, encoding.ok_or_else(|| wrong("settings"))?);
            }
            RESPONSE => {
                let answer = answers
                    .entry(frame.header.request_id().value())
                    .or_default();
                let is_late = is_last && !is_encoded && !answer.content.is_empty();
                if is_late && is_error_status(&payload) {
                    answer.late_error = payload.len();
                }
                answer.content.extend_from_slice(&payload);
                answer.has_ended |= is_last;
            }
            ERROR_RESPONSE => {
                let answer = answers
                    .entry(frame.header.request_id().value())
                    .or_default();
                let error = error_response(&payload).ok_or_else(|| wrong("error response"))?;
                answer.error = Some(error);
                answer.has_ended = true;
            }
            _ => {}
        }
    }
    Ok(answers)
}

fn decode(decoders: &mut StreamDecoders, stream: StreamId, payload: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let mut decoded = decoders.decode(stream, payload, true);
    while let Some(piece) = decoded.next_piece().ok()? {
        all.extend_from_slice(piece);
    }
    Some(all)
}

pub(super) fn field<'v>(map: &'v Cbor, key: &str) -> Option<&'v Cbor> {
    let Cbor::Map(entries) = map else {
        return None;
    };
    let is_key = |name: &Cbor| matches!(name, Cbor::Bytes(name) if name == key.as_bytes());
    entries
        .iter()
        .find(|(name, _)| is_key(name))
        .map(|(_, value)| value)
}

/// Whether bytes are exactly the status of a command that failed.
pub(super) fn is_error_status(bytes: &[u8]) -> bool {
    Cbor::decode(bytes).is_ok_and(|map| field(&map, "status") == Some(&Cbor::from(&b"error"[..])))
}

/// A format and its arguments, from the `error` map of a status, or from an atom.
pub(super) fn message(map: &Cbor, key: &str) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let Some(Cbor::Bytes(format)) = field(map, key) else {
        return None;
    };
    let args = match field(map, "args") {
        Some(Cbor::Array(args)) => args.as_slice(),
        _ => &[],
    };
    let args = args.iter().filter_map(|arg| match arg {
        Cbor::Bytes(arg) => Some(arg.clone()),
        _ => None,
    });
    Some((format.clone(), args.collect()))
}

/// A message as people see it.
pub(super) fn shown(format: &[u8], args: &[Vec<u8>]) -> String {
    let mut text = Vec::new();
    let mut args = args.iter();
    let mut rest = format;
    while let [first, after @ ..] = rest {
        rest = match after {
            [b's', after @ ..] if *first == b'%' && args.len() > 0 => {
                text.extend(args.next().into_iter().flatten());
                after
            }
            [b'%', after @ ..] if *first == b'%' => {
                text.push(b'%');
                after
            }
            after => {
                text.push(*first);
                after
            }
        };
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn error_response(payload: &[u8]) -> Option<ErrorResponse> {
    let map = Cbor::decode(payload).ok()?;
    let (Some(Cbor::Bytes(kind)), Some(Cbor::Array(atoms))) =
        (field(&map, "type"), field(&map, "message"))
    else {
        return None;
    };
    let texts = atoms.iter().map(|atom| {
        let (format, args) = message(atom, "msg")?;
        Some(shown(&format, &args))
    });
    Some(ErrorResponse {
        kind: String::from_utf8_lossy(kind).into_owned(),
        message: texts.collect::<Option<String>>()?,
    })
}

/// The bytes of a frame.
pub(super) fn emit(header: &FrameHeader, payload: &[u8]) -> Vec<u8> {
    [&header.emit()[..HEADER_LEN], payload].concat()
}
