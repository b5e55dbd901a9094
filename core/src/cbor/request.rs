//! Command requests as they arrive.
//!
//! Specification: messages.md, "Command request"; revision-0006.md, 5.7; deviations.md, D5.

use super::item::CborError;
use super::{Args, ByteString, ByteStrings, CborReader, Value};
use crate::Revision;

/// Why a request does not decode. A request that is nested too deep is refused
/// (`nested-too-deep`); the others break the protocol (`malformed-request`, `missing-name`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RequestError {
    /// Not exactly one map of the form that the revision asks for.
    Malformed,
    /// There is no `name`.
    MissingName,
    /// More than [`MAX_NESTING`](super::MAX_NESTING) levels.
    NestedTooDeep,
}

impl core::fmt::Display for RequestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed-request",
            Self::MissingName => "missing-name",
            Self::NestedTooDeep => "nested-too-deep",
        })
    }
}

impl core::error::Error for RequestError {}

impl From<CborError> for RequestError {
    fn from(error: CborError) -> Self {
        match error {
            CborError::NestedTooDeep => Self::NestedTooDeep,
            CborError::Malformed | CborError::Incomplete => Self::Malformed,
        }
    }
}

/// A command's name and arguments, borrowed from the request's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CommandRequest<'a> {
    /// The command's name.
    pub name: ByteString<'a>,
    /// The arguments; empty if the request has none.
    pub args: Args<'a>,
    /// Where the client is willing to be redirected (0006).
    pub redirect: Option<RedirectTargets<'a>>,
}

impl<'a> CommandRequest<'a> {
    /// Decodes the bytes of all frames of a request, in one pass.
    ///
    /// Keys and values may come in any order and any well-formed encoding. Unknown keys of any
    /// type are ignored; `redirect` is known in 0006 only. What is wrong first, from the front,
    /// decides; a missing name is found at the end. Work is linear in the bytes.
    ///
    /// # Errors
    /// [`RequestError`]: D5 lists what is malformed here and was not in the reference.
    pub fn decode(bytes: &'a [u8], revision: Revision) -> Result<Self, RequestError> {
        let mut reader = CborReader::new(bytes);
        let mut items = reader.map()?;
        let (mut name, mut args, mut redirect) = (None, None, None);
        while reader.has_next(&mut items)? {
            let key = reader.next_value()?.as_bytes();
            let is = |known: &[u8]| key.is_some_and(|key| key == *known);
            let is_repeated = if is(b"name") {
                name.replace(reader.byte_string()?).is_some()
            } else if is(b"args") {
                args.replace(Args::read(&mut reader)?).is_some()
            } else if revision.has_settings() && is(b"redirect") {
                let map = RedirectTargets::from_value(reader.next_value()?)
                    .ok_or(RequestError::Malformed)?;
                redirect.replace(map).is_some()
            } else {
                reader.next_value()?;
                false
            };
            if is_repeated {
                return Err(RequestError::Malformed);
            }
        }
        if !reader.is_empty() {
            return Err(RequestError::Malformed);
        }
        Ok(Self {
            name: name.ok_or(RequestError::MissingName)?,
            args: args.unwrap_or_default(),
            redirect,
        })
    }
}

/// Where a client is willing to be redirected: the map `redirect` of a request (revision-0006.md,
/// 10).
///
/// Only that it is a map is checked when the request is decoded: most commands never look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RedirectTargets<'a>(Value<'a>);

impl<'a> RedirectTargets<'a> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        value.is_map().then_some(Self(value))
    }

    /// The targets in this encoded map.
    ///
    /// # Errors
    /// If the bytes are not exactly one map.
    pub fn from_cbor(bytes: &'a [u8]) -> Result<Self, CborError> {
        Self::from_value(Value::from_cbor(bytes)?).ok_or(CborError::Malformed)
    }

    /// The map's encoding, as it was received.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0.as_cbor()
    }

    fn list(&self, key: &[u8]) -> ByteStrings<'a> {
        self.0
            .entries()
            .and_then(|mut entries| entries.find(|(k, _)| k.as_bytes().is_some_and(|k| k == *key)))
            .map(|(_, value)| ByteStrings::new(value))
            .unwrap_or_default()
    }

    /// Names of the targets, from the server's capabilities, that the client can use. Nothing if
    /// the list is missing or not an array; items that are not byte strings are passed over.
    pub fn targets(&self) -> ByteStrings<'a> {
        self.list(b"targets")
    }

    /// Names of the hashes that the client can check; missing or foreign ones as in
    /// [`targets`](Self::targets).
    pub fn hashes(&self) -> ByteStrings<'a> {
        self.list(b"hashes")
    }
}
