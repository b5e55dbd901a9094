//! Cases of the kinds `header` and `frame`.

use hgrpc::wire::{
    FrameHeader, FrameReader, HEADER_LEN, MAX_LENGTH, OutFrame, RequestId, StreamFlags, StreamId,
    TypeFlags,
};
use hgrpc::{ProtocolError, Revision};
use serde_json::{Value, json};

use super::{Config, case_fields, same};
use crate::bytes::hex;
use crate::fields::{Fault, Fields};
use crate::parts;

pub(super) fn header(_: Revision, case: &Value, config: Config) -> Result<(), Fault> {
    let fields = case_fields(case)?;
    let bytes = fields.bytes("bytes")?;
    let expected = fields.value("header")?;
    fields.finish()?;
    if bytes.len() != HEADER_LEN {
        return Err(Fault::schema(format!("{} bytes of header", bytes.len())));
    }
    let (header, _) = read(&bytes, config)?;
    both_ways(expected, &header, &bytes, &[])
}

pub(super) fn frame(revision: Revision, case: &Value, config: Config) -> Result<(), Fault> {
    let fields = case_fields(case)?;
    let bytes = fields.bytes("bytes")?;
    let expected = fields.value("header")?;
    let display = fields.value("display")?;
    fields.finish()?;
    let (header, payload) = read(&bytes, config)?;
    both_ways(expected, &header, &bytes, &payload)?;
    if display.is_null() {
        return Ok(());
    }
    same(display, header.display(revision).to_string().into())
}

/// The one frame that `bytes` are; for headers alone, without payload.
fn read(bytes: &[u8], config: Config) -> Result<(FrameHeader, Vec<u8>), Fault> {
    let mut reader = FrameReader::new(MAX_LENGTH);
    let mut headers = Vec::new();
    let mut payload = Vec::new();
    let mut ends = 0;
    parts::read(&mut reader, config.cut, bytes, |part| {
        if part.is_first {
            headers.push(part.header);
        }
        payload.extend_from_slice(part.bytes);
        ends += usize::from(part.is_last);
        Ok::<_, ProtocolError>(())
    })
    .map_err(|error| Fault::new("a frame".into(), error.name().into()))?;
    let is_header = bytes.len() == HEADER_LEN;
    match headers.as_slice() {
        [header] if is_header || (ends == 1 && reader.finish().is_ok()) => Ok((*header, payload)),
        headers => {
            let result = format!("{} headers, {ends} frame ends", headers.len());
            Err(Fault::new("one frame".into(), result.into()))
        }
    }
}

/// Compares a header's fields, and makes the frame again of what was expected.
fn both_ways(
    expected: &Value,
    header: &FrameHeader,
    bytes: &[u8],
    payload: &[u8],
) -> Result<(), Fault> {
    let result = json!({
        "length": header.length(),
        "request_id": header.request_id().value(),
        "stream_id": header.stream_id().value(),
        "stream_flags": header.stream_flags().bits(),
        "type": header.kind_number(),
        "flags": header.flags().bits(),
    });
    same(expected, result)?;
    let fields = Fields::new(expected)?;
    let length = fields.number("length", MAX_LENGTH.into())?;
    let made = FrameHeader::new(
        u32::try_from(length).unwrap_or(u32::MAX),
        RequestId::new(fields.request_id("request_id")?),
        StreamId::new(fields.byte("stream_id")?),
        StreamFlags::from_bits(fields.byte("stream_flags")?),
        fields.byte("type")?,
        TypeFlags::from_bits(fields.byte("flags")?),
    );
    let frame = OutFrame::new(made, [payload, &[], &[], &[], &[], &[]]);
    let emitted = frame.as_slices().concat();
    if emitted == bytes && frame.wire_len() == bytes.len() {
        Ok(())
    } else {
        Err(Fault::new(hex(bytes).into(), hex(&emitted).into()))
    }
}
