//! Compressed output, which is compared by what it decodes to: its own bytes depend on a library.

use std::collections::{BTreeMap, BTreeSet};

use hgrpc::Revision;
use hgrpc::cbor::ContentEncoding;
use hgrpc::wire::{FrameHeader, FrameKind, ResponseFlags, StreamFlags};
use hgrpc_std::encoding::StreamDecoders;
use serde_json::{Map, Value, json};

use crate::bytes::{hex, matches, parse, unhex};
use crate::fields::{Fault, Fields};

/// What a reader of all frames of a case knows: once for those expected, once for those that came.
#[derive(Debug, Default)]
struct Reader {
    decoders: StreamDecoders,
    /// Per request, the decoded payloads of its responses.
    plain: BTreeMap<u16, Vec<u8>>,
    /// Requests with frames that are known by their digest only.
    unknown: BTreeSet<u16>,
}

/// Compares the frames of a case with `plain_responses`.
#[derive(Debug, Default)]
pub(super) struct PlainResponses {
    expected: Reader,
    result: Reader,
}

impl PlainResponses {
    /// Compares the frames of one step: unencoded frames as they are; encoded ones by their
    /// request, stream and flags and by what they decode to, however they are cut.
    pub(super) fn compare(&mut self, expected: &Value, result: &[Vec<u8>]) -> Result<(), Fault> {
        let frames = expected
            .as_array()
            .ok_or_else(|| Fault::schema("`frames` is not an array"))?;
        let frames = frames
            .iter()
            .map(Known::parse)
            .collect::<Result<Vec<_>, _>>()?;
        let expected = self.expected.read(&frames)?;
        let result: Vec<_> = result.iter().cloned().map(Known::Bytes).collect();
        let mut result = self.result.read(&result)?;
        for id in &self.expected.unknown {
            if let Some(response) = result["encoded"].get_mut(id.to_string()) {
                response["decoded"] = Value::Null;
            }
        }
        if matches(&expected, &result) {
            Ok(())
        } else {
            Err(Fault::new(expected, result))
        }
    }

    /// Compares all responses of the case, as they are and as they were expected.
    pub(super) fn finish(&self, expected: &Value) -> Result<(), Fault> {
        let result = self.result.responses(None);
        if !matches(expected, &result) {
            return Err(Fault::new(expected.clone(), result));
        }
        let known = self.expected.responses(Some(expected));
        if matches(expected, &known) {
            Ok(())
        } else {
            Err(Fault::new(expected.clone(), known))
        }
    }
}

/// An expected frame.
enum Known {
    Bytes(Vec<u8>),
    Header(FrameHeader),
}

impl Known {
    fn parse(value: &Value) -> Result<Self, Fault> {
        if !value.is_object() {
            return parse(value).map(Self::Bytes);
        }
        let fields = Fields::new(value)?;
        let header = unhex(fields.text("header")?)?;
        let len = fields.number("payload_len", u32::MAX.into())?;
        fields.text("payload_sha256")?;
        fields.finish()?;
        match FrameHeader::split_from(&header) {
            Some((header, [])) if u64::from(header.length()) == len => Ok(Self::Header(*header)),
            _ => Err(Fault::schema("a header that is none of this frame")),
        }
    }
}

impl Reader {
    /// The frames of one step as a value to compare.
    fn read(&mut self, frames: &[Known]) -> Result<Value, Fault> {
        let mut others = Vec::new();
        let mut encoded = Map::new();
        for frame in frames {
            let (header, payload) = match frame {
                Known::Header(header) => (*header, None),
                Known::Bytes(bytes) => match FrameHeader::split_from(bytes) {
                    Some((header, payload)) => (*header, Some(payload)),
                    None => return Err(Fault::schema("not a frame")),
                },
            };
            let kind = header.kind(Revision::R0006);
            let id = header.request_id();
            if let (FrameKind::StreamSettings, Some(payload)) = (kind, payload) {
                let encoding = ContentEncoding::ALL
                    .into_iter()
                    .find(|encoding| encoding.stream_settings() == payload)
                    .ok_or_else(|| Fault::schema("unknown stream settings"))?;
                self.decoders.install(header.stream_id(), encoding);
            }
            let is_response = kind == FrameKind::CommandResponse;
            if !header.stream_flags().contains(StreamFlags::ENCODED) {
                if is_response {
                    let plain = self.plain.entry(id.value()).or_default();
                    plain.extend_from_slice(payload.unwrap_or_default());
                }
                let bytes = [header.emit(), payload.unwrap_or_default()].concat();
                others.push(Value::String(hex(&bytes)));
                continue;
            }
            let decoded = match payload {
                Some(payload) if usize::try_from(header.length()) == Ok(payload.len()) => {
                    self.decode(&header, payload)?
                }
                Some(_) => return Err(Fault::schema("a length that is none of this frame")),
                None => {
                    self.unknown.insert(id.value());
                    Vec::new()
                }
            };
            self.plain
                .entry(id.value())
                .or_default()
                .extend_from_slice(&decoded);
            let entry = encoded.entry(id.to_string()).or_insert_with(
                || json!({"stream": header.stream_id().value(), "decoded": "", "ended": false}),
            );
            // Continuation on all but the last, `eos` on the last, nothing else set anywhere.
            let flags = ResponseFlags::from(header.flags());
            let is_in_order = is_response
                && header.stream_flags() == StreamFlags::ENCODED
                && entry["stream"] == json!(header.stream_id().value())
                && entry["ended"] == json!(false)
                && [ResponseFlags::CONTINUATION, ResponseFlags::EOS].contains(&flags);
            if !is_in_order {
                let display = header.display(Revision::R0006).to_string();
                return Err(Fault::new("a frame of the response".into(), display.into()));
            }
            entry["ended"] = json!(flags == ResponseFlags::EOS);
            entry["decoded"] = match &entry["decoded"] {
                Value::String(before) if !self.unknown.contains(&id.value()) => {
                    format!("{before}{}", hex(&decoded)).into()
                }
                _ => Value::Null,
            };
        }
        Ok(json!({"frames": others, "encoded": encoded}))
    }

    fn decode(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut plain = Vec::new();
        let mut decoded = self.decoders.decode(header.stream_id(), payload, true);
        loop {
            match decoded.next_piece() {
                Ok(Some(piece)) => plain.extend_from_slice(piece),
                Ok(None) => return Ok(plain),
                Err(error) => {
                    let result = error.to_string().into();
                    return Err(Fault::new("a payload that decodes".into(), result));
                }
            }
        }
    }

    /// All responses by request; of those that are not known, what `like` says.
    fn responses(&self, like: Option<&Value>) -> Value {
        let responses = self.plain.iter().map(|(id, bytes)| {
            let id = id.to_string();
            let said = like.and_then(|like| like.get(&id)).cloned();
            match said {
                Some(said) if id.parse().is_ok_and(|id| self.unknown.contains(&id)) => (id, said),
                _ => (id, Value::String(hex(bytes))),
            }
        });
        Value::Object(responses.collect())
    }
}
