//! The inputs of a server's steps, read before the reactor runs, so that answers can borrow them.

use hgrpc::Revision;
use hgrpc::cbor::{Location, MessageArgs, Pieces, Value as Cbor};
use serde_json::Value;

use crate::bytes;
use crate::fields::{Fault, Fields};

/// A step's input.
#[derive(Debug)]
pub(super) enum Input {
    Recv(Vec<u8>),
    OutputStream,
    Answer {
        request_id: u16,
        /// 0006: the stream that the answer goes on.
        stream_id: Option<u8>,
        content: Content,
    },
    Eof,
    Drain(u64),
}

/// What an answer consists of.
#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    Objects(Vec<OwnedObject>),
    Redirect(Vec<u8>),
    /// Something before or after a redirect. The specification asks for a server error, but not
    /// for which (revision-0006.md, 7.5), so no frames that are expected can be right.
    Mixed,
    ServerError(Vec<u8>),
    CommandError(Vec<u8>, Vec<u8>),
}

#[derive(Debug)]
pub(super) enum OwnedObject {
    Cbor(Vec<u8>),
    PreEncoded(Vec<u8>),
    Redirect(Vec<u8>),
}

impl Input {
    /// Reads a step but for what is expected of it.
    pub(super) fn parse(revision: Revision, step: &Value) -> Result<Self, Fault> {
        let fields = Fields::new(step)?;
        fields.optional("expect");
        fields.optional("after");
        let last = revision.has_settings();
        let input = match fields.text("op")? {
            "recv" => Self::Recv(fields.bytes("frame")?),
            "input_eof" => Self::Eof,
            "respond" if last => {
                let objects = fields.array("objects")?.iter().map(OwnedObject::parse);
                Self::answer(&fields, content(objects.collect::<Result<_, _>>()?))?
            }
            "respond" => {
                let content = Content::Bytes(fields.bytes("data")?);
                Self::answer_before_0006(&fields, content)?
            }
            "application_error" if !last => {
                let content = Content::ServerError(fields.bytes("message")?);
                Self::answer_before_0006(&fields, content)?
            }
            "server_error" if last => {
                let message = fields.bytes("message")?;
                Self::answer(&fields, Content::ServerError(message))?
            }
            "command_error" if last => {
                let message = fields.bytes("message")?;
                let args = fields.bytes_or_null("args")?.unwrap_or_default();
                if !args.is_empty() && MessageArgs::from_cbor(&args).is_err() {
                    return Err(Fault::schema("`args` is not an array of byte strings"));
                }
                Self::answer(&fields, Content::CommandError(message, args))?
            }
            "output_stream" if last => Self::OutputStream,
            "drain" if last => Self::Drain(fields.number("handle", u64::MAX)?),
            op => return Err(Fault::schema(format!("unknown op `{op}`"))),
        };
        fields.finish()?;
        Ok(input)
    }

    fn answer_before_0006(fields: &Fields<'_>, content: Content) -> Result<Self, Fault> {
        Ok(Self::Answer {
            request_id: fields.request_id("request_id")?,
            stream_id: None,
            content,
        })
    }

    fn answer(fields: &Fields<'_>, content: Content) -> Result<Self, Fault> {
        Ok(Self::Answer {
            request_id: fields.request_id("request_id")?,
            stream_id: Some(fields.byte("stream_id")?),
            content,
        })
    }
}

/// Objects, or a redirect alone.
fn content(mut objects: Vec<OwnedObject>) -> Content {
    let is_redirect = |object: &OwnedObject| matches!(object, OwnedObject::Redirect(_));
    if !objects.iter().any(is_redirect) {
        return Content::Objects(objects);
    }
    match (objects.len(), objects.pop()) {
        (1, Some(OwnedObject::Redirect(status))) => Content::Redirect(status),
        _ => Content::Mixed,
    }
}

impl OwnedObject {
    fn parse(value: &Value) -> Result<Self, Fault> {
        let fields = Fields::new(value)?;
        let object = if let Some(cbor) = fields.optional("cbor") {
            Self::cbor(bytes::parse(cbor)?)?
        } else if let Some(encoded) = fields.optional("pre_encoded") {
            Self::PreEncoded(bytes::parse(encoded)?)
        } else if fields.optional("indefinite").is_some() {
            let mut string = vec![0x5f];
            for chunk in fields.array("indefinite")? {
                string.extend(byte_string(bytes::parse(chunk)?));
            }
            string.push(0xff);
            Self::cbor(string)?
        } else {
            Self::Redirect(location(fields.value("redirect")?)?)
        };
        fields.finish()?;
        Ok(object)
    }

    fn cbor(bytes: Vec<u8>) -> Result<Self, Fault> {
        match Cbor::from_cbor(&bytes) {
            Ok(_) => Ok(Self::Cbor(bytes)),
            Err(error) => Err(Fault::schema(format!("`cbor`: {error:?}"))),
        }
    }

    /// The pieces that it is sent in: of a value heads and contents (revision-0006.md, 7.1).
    pub(super) fn pieces(&self) -> Vec<&[u8]> {
        match self {
            Self::Cbor(bytes) => match Cbor::from_cbor(bytes) {
                Ok(value) => Pieces::new(value).collect(),
                Err(_) => Vec::new(),
            },
            Self::PreEncoded(bytes) | Self::Redirect(bytes) => vec![bytes],
        }
    }
}

/// A definite byte string.
fn byte_string(bytes: Vec<u8>) -> Vec<u8> {
    // A byte string has no keys, so every order gives its encoding.
    let value = hgrpc_std::value::Value::Bytes(bytes);
    value.encode(hgrpc::KeyOrder::Bytewise).unwrap_or_default()
}

/// The status map of a redirect whose values are given as CBOR.
fn location(value: &Value) -> Result<Vec<u8>, Fault> {
    let fields = Fields::new(value)?;
    let optional = |name| fields.optional(name).map(bytes::parse).transpose();
    let (url, mediatype) = (fields.bytes("url")?, fields.bytes("mediatype")?);
    let size = optional("size")?;
    let hashes = optional("fullhashes")?;
    let seed = optional("fullhashseed")?;
    let certs = optional("serverdercerts")?;
    let ca_certs = optional("servercadercerts")?;
    fields.finish()?;
    let wrong = |name: &str| Fault::schema(format!("`{name}` of a redirect"));
    let value = |bytes| Cbor::from_cbor(bytes).map_err(|_| wrong("a value"));
    fn string<'a>(value: Cbor<'a>) -> Option<&'a [u8]> {
        value.as_bytes()?.as_slice()
    }
    let url = string(value(&url)?).ok_or_else(|| wrong("url"))?;
    let mediatype = string(value(&mediatype)?).ok_or_else(|| wrong("mediatype"))?;
    let mut location = Location::new(url, mediatype);
    if let Some(size) = &size {
        location = location.with_size(value(size)?.as_u64().ok_or_else(|| wrong("size"))?);
    }
    if let Some(hashes) = &hashes {
        location = location.with_fullhashes(value(hashes)?);
    }
    if let Some(seed) = &seed {
        let seed = string(value(seed)?).ok_or_else(|| wrong("fullhashseed"))?;
        location = location.with_fullhashseed(seed);
    }
    if let Some(certs) = &certs {
        location = location.with_serverdercerts(value(certs)?);
    }
    if let Some(certs) = &ca_certs {
        location = location.with_servercadercerts(value(certs)?);
    }
    let mut buffer = vec![0; 0x1_0000];
    let len = location
        .encode_status(&mut buffer)
        .map_err(|error| wrong(error.name()))?;
    buffer.truncate(len);
    Ok(buffer)
}
