//! An exchange as it was recorded. Every field of the documented schema is known; what is compared
//! elsewhere is read here, what only says the same again (names, notations) is passed over.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::Value;

use super::frames::{self, Frame};
use crate::bytes::{sha256, unhex};
use crate::fields::{Fault, Fields};

pub(super) struct Exchange {
    pub(super) id: String,
    /// hg's own client asked, not one that makes requests by hand.
    pub(super) is_hg_client: bool,
    pub(super) request: Request,
    pub(super) response: Option<Response>,
}

pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// By request ID; several under one ID one behind another.
    pub(super) commands: BTreeMap<u16, Vec<u8>>,
}

pub(super) struct Response {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) media_type: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    /// `None`: left out of the recording.
    pub(super) body: Option<Vec<u8>>,
    pub(super) chunk_sizes: Option<Vec<usize>>,
    /// The frames of the body, and what is no frame at its end.
    pub(super) frames: Option<(Vec<Frame>, Vec<u8>)>,
    /// By request ID, what the payloads of its response decode to together.
    pub(super) responses: BTreeMap<u16, Content>,
    pub(super) trailing: Vec<u8>,
}

/// Bytes, or what is known of them.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    Digest { len: u64, sha256: String },
}

impl Content {
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Bytes(expected) => expected == bytes,
            Self::Digest { len, sha256: hash } => {
                usize::try_from(*len) == Ok(bytes.len()) && *hash == sha256(bytes)
            }
        }
    }
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&crate::bytes::hex(bytes)),
            Self::Digest { len, sha256 } => write!(f, "{len} bytes, SHA-256 {sha256}"),
        }
    }
}

impl Exchange {
    pub(super) fn read(case: &Value) -> Result<Self, Fault> {
        let fields = Fields::new(case)?;
        for name in ["description", "server"] {
            fields.text(name)?;
        }
        for name in ["group", "encoding"] {
            fields.optional(name);
        }
        let response = fields.value("response")?;
        let exchange = Self {
            id: fields.text("id")?.to_owned(),
            is_hg_client: fields.text("client")?.starts_with("hg-"),
            request: Request::read(fields.value("request")?)?,
            response: match response {
                Value::Null => None,
                response => Some(Response::read(response)?),
            },
        };
        fields.finish()?;
        Ok(exchange)
    }

    /// A client fetches what a redirect led it to.
    pub(super) fn is_redirected(&self) -> bool {
        self.request.target.starts_with("/api/simplecache/")
    }
}

impl Request {
    fn read(value: &Value) -> Result<Self, Fault> {
        let fields = Fields::new(value)?;
        let body = body(&fields)?.unwrap_or_default();
        if let Some(recorded) = fields.optional("frames") {
            let (frames, tail) = frames::cut(&body);
            frames::check(recorded, &frames)?;
            let trailing = fields.optional("trailing_bytes");
            let trailing = trailing.and_then(Value::as_str).unwrap_or_default();
            super::same("trailing bytes", &unhex(trailing)?, &tail)?;
        }
        let commands = by_id(fields.optional("commands"), |value| {
            let fields = Fields::new(value)?;
            for name in ["diagnostic", "undecoded_tail", "cbor_len", "cbor_sha256"] {
                fields.optional(name);
            }
            let bytes = match fields.optional("cbor") {
                Some(cbor) => crate::bytes::parse(cbor)?,
                None => Vec::new(),
            };
            fields.finish()?;
            Ok(bytes)
        })?;
        let request = Self {
            method: fields.text("method")?.to_owned(),
            target: fields.text("target")?.to_owned(),
            headers: headers(fields.array("headers")?)?,
            body,
            commands,
        };
        fields.finish()?;
        Ok(request)
    }
}

impl Response {
    fn read(value: &Value) -> Result<Self, Fault> {
        let fields = Fields::new(value)?;
        let is_omitted = fields.optional("body_omitted").is_some();
        let body = body(&fields)?;
        if body.is_none() && !is_omitted {
            return Err(Fault::schema("no body"));
        }
        let headers = headers(fields.array("headers")?)?;
        let media_type = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map(|(_, value)| value.clone());
        let frames = fields.optional("frames");
        let frames = frames
            .map(|recorded| {
                let (cut, tail) = frames::cut(body.as_deref().unwrap_or_default());
                frames::check(recorded, &cut)?;
                Ok((cut, tail))
            })
            .transpose()?;
        let responses = by_id(fields.optional("responses"), |value| {
            let fields = Fields::new(value)?;
            fields.optional("diagnostic");
            let content = match fields.optional("cbor") {
                Some(cbor) => Content::Bytes(crate::bytes::parse(cbor)?),
                None => Content::Digest {
                    len: fields.number("cbor_len", u64::MAX)?,
                    sha256: fields.text("cbor_sha256")?.to_owned(),
                },
            };
            fields.finish()?;
            Ok(content)
        })?;
        let chunk_sizes = fields.optional("chunk_sizes").and_then(Value::as_array);
        let chunk_sizes = chunk_sizes.map(|sizes| {
            let sizes = sizes.iter().filter_map(Value::as_u64);
            sizes
                .filter_map(|size| usize::try_from(size).ok())
                .collect()
        });
        let trailing = fields.optional("trailing_bytes");
        let trailing = unhex(trailing.and_then(Value::as_str).unwrap_or_default())?;
        let text = fields.optional("text").and_then(Value::as_str);
        if let (Some(text), Some(body)) = (text, &body) {
            // As it was noted down: each byte a character.
            let characters: String = body.iter().copied().map(char::from).collect();
            super::same("the text", &text, &characters.as_str())?;
        }
        // The notation of a body of plain CBOR.
        fields.optional("cbor");
        if !fields.flag("complete")? {
            return Err(Fault::schema("an incomplete response"));
        }
        let status = fields.number("status", 999)?;
        // hg says the latter for version 1.
        if ["OK", "Script output follows"].contains(&fields.text("reason")?) {
            super::same("the status", &200, &status)?;
        }
        let response = Self {
            status: u16::try_from(status).unwrap_or(0),
            reason: fields.text("reason")?.to_owned(),
            media_type,
            headers,
            body,
            chunk_sizes,
            frames,
            responses,
            trailing,
        };
        fields.finish()?;
        Ok(response)
    }

    /// What each request was answered, from the frames alone.
    pub(super) fn answers(&self) -> Result<BTreeMap<u16, frames::Answer>, Fault> {
        match &self.frames {
            Some((frames, _)) => frames::answers(frames),
            None => Ok(BTreeMap::new()),
        }
    }
}

fn headers(values: &[Value]) -> Result<Vec<(String, String)>, Fault> {
    values
        .iter()
        .map(|pair| match pair.as_array().map(Vec::as_slice) {
            Some([Value::String(name), Value::String(value)]) => Ok((name.clone(), value.clone())),
            _ => Err(Fault::schema("a header is no pair of texts")),
        })
        .collect()
}

/// A body: hex, or compressed.
fn body(fields: &Fields<'_>) -> Result<Option<Vec<u8>>, Fault> {
    if let Some(hex) = fields.optional("body") {
        return crate::bytes::parse(hex).map(Some);
    }
    let Some(packed) = fields.optional("body_zlib_b64") else {
        return Ok(None);
    };
    let wrong = || Fault::schema("a body that does not unpack");
    let packed = packed.as_str().ok_or_else(wrong)?;
    let packed =
        <base64ct::Base64 as base64ct::Encoding>::decode_vec(packed).map_err(|_| wrong())?;
    let mut bytes = Vec::new();
    flate2::read::ZlibDecoder::new(&*packed)
        .read_to_end(&mut bytes)
        .map_err(|_| wrong())?;
    let len = fields.number("body_len", u64::MAX)?;
    if usize::try_from(len) != Ok(bytes.len()) || fields.text("body_sha256")? != sha256(&bytes) {
        return Err(wrong());
    }
    Ok(Some(bytes))
}

fn by_id<T>(
    value: Option<&Value>,
    read: impl Fn(&Value) -> Result<T, Fault>,
) -> Result<BTreeMap<u16, T>, Fault> {
    let Some(Value::Object(entries)) = value else {
        return Ok(BTreeMap::new());
    };
    entries
        .iter()
        .map(|(id, value)| {
            let id = id
                .parse()
                .map_err(|_| Fault::schema("a request ID that is none"))?;
            Ok((id, read(value)?))
        })
        .collect()
}
