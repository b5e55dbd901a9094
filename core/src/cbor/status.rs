//! The status map that opens a response (0005 and 0006).
//!
//! Specification: messages.md, "Responses"; revision-0006.md, 7.4, 7.5 and 8.

use core::fmt;

use super::cursor::Cursor;
use super::known::{ANY, ARRAY, BYTE_STRINGS, BYTES, Known, REQUIRED, UNSIGNED, index_of};
use super::message::write_formatted;
use super::{Atoms, ByteString, ByteStrings, CborError, CborWriter, Escaped, Value};
use crate::bytes::equal;
use crate::error::ApiMisuse;

/// The encoded status map of a response that succeeds: `{"status": "ok"}`, 11 bytes.
pub const STATUS_OK: &[u8; 11] = b"\xa1\x46status\x42ok";

/// Why there is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StatusError {
    /// The bytes end inside the status map; more input may complete it.
    Incomplete,
    /// The response does not open with a status map (`bad-status`).
    BadStatus,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "incomplete status map",
            Self::BadStatus => "bad-status",
        })
    }
}

impl core::error::Error for StatusError {}

impl From<CborError> for StatusError {
    fn from(error: CborError) -> Self {
        match error {
            CborError::Incomplete => Self::Incomplete,
            CborError::Malformed | CborError::NestedTooDeep => Self::BadStatus,
        }
    }
}

/// How a command ended, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Status<'a> {
    /// The command's own values follow.
    Ok,
    /// The command failed before it produced output; nothing follows.
    Error(CommandError<'a>),
    /// The answer is elsewhere (0006); nothing follows.
    Redirect(Redirect<'a>),
}

impl<'a> Status<'a> {
    /// Decodes the status map at the front of a response, and says how many bytes it takes.
    ///
    /// Unknown keys are ignored. Work is linear in the map's length; asked again as more bytes come,
    /// it starts again, so bound what is gathered.
    ///
    /// # Errors
    /// [`StatusError::Incomplete`] while the map is not complete, [`StatusError::BadStatus`] as soon
    /// as it cannot become one.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), StatusError> {
        let (kind, len) = StatusKind::check(bytes)?;
        Ok((kind.of(bytes, len), len))
    }
}

/// Which status a map holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusKind {
    Ok,
    Error,
    Redirect,
}

impl StatusKind {
    /// Checks the status map at the front of these bytes, and says how long it is. See
    /// [`Status::decode`].
    pub(crate) fn check(bytes: &[u8]) -> Result<(Self, usize), StatusError> {
        // The usual status, as it is usually encoded.
        if bytes
            .get(..STATUS_OK.len())
            .is_some_and(|front| equal(front, STATUS_OK))
        {
            return Ok((Self::Ok, STATUS_OK.len()));
        }
        let mut cursor = Cursor::new(bytes);
        let mut found = [None; 3];
        STATUS.read(&mut cursor, &mut found)?;
        let kind = Self::new(found).ok_or(StatusError::BadStatus)?;
        Ok((kind, bytes.len().wrapping_sub(cursor.rest().len())))
    }

    fn new([status, error, location]: [Option<Value<'_>>; 3]) -> Option<Self> {
        match index_of(status?, b"\x42ok\x45error\x48redirect") {
            0 => Some(Self::Ok),
            1 => {
                let mut found = [None; 2];
                ERROR.read_value(error?, &mut found)?;
                let [message, _] = found;
                let message = message?;
                if !message.is_byte_string() {
                    Atoms::from_value(message)?;
                }
                Some(Self::Error)
            }
            2 => {
                check_location(location?)?;
                Some(Self::Redirect)
            }
            _ => None,
        }
    }

    /// The status in a map that was found to hold it: the first `len` of these bytes.
    pub(crate) fn of(self, bytes: &[u8], len: usize) -> Status<'_> {
        let map = Value::new_unchecked(bytes.get(..len).unwrap_or_default());
        match self {
            Self::Ok => Status::Ok,
            Self::Error => Status::Error(CommandError(map)),
            Self::Redirect => Status::Redirect(Redirect(map)),
        }
    }
}

/// The map that opens a response.
const STATUS: Known = Known {
    keys: b"\x46status\x45error\x48location",
    kinds: &[BYTES | REQUIRED, ANY, ANY],
};
/// Its `error`.
const ERROR: Known = Known {
    keys: b"\x47message\x44args",
    kinds: &[ANY | REQUIRED, BYTE_STRINGS],
};
/// Its `location`.
const LOCATION: Known = Known {
    keys: b"\x43url\x49mediatype\x44size\x4afullhashes\x4cfullhashseed\
        \x4eserverdercerts\x50servercadercerts",
    kinds: &[
        BYTES | REQUIRED,
        BYTES | REQUIRED,
        UNSIGNED,
        ARRAY,
        BYTES,
        BYTE_STRINGS,
        BYTE_STRINGS,
    ],
};

/// Out of line: what it needs of the stack is not needed while an error is checked.
#[inline(never)]
fn check_location(location: Value<'_>) -> Option<()> {
    LOCATION.read_value(location, &mut [None; 7])
}

/// The values of a status map, which was checked before.
fn values_of(map: Value<'_>) -> [Option<Value<'_>>; 3] {
    let mut found = [None; 3];
    let _ = STATUS.read_value(map, &mut found);
    found
}

/// Why a command failed. `Display` formats the message; it never fails but where the writer does.
///
/// Both forms are accepted in 0005 and 0006 (D-08): an array of atoms, and a format string with
/// its arguments beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CommandError<'a>(Value<'a>);

impl<'a> CommandError<'a> {
    fn fields(&self) -> [Option<Value<'a>>; 2] {
        let [_, error, _] = values_of(self.0);
        let mut found = [None; 2];
        if let Some(error) = error {
            let _ = ERROR.read_value(error, &mut found);
        }
        found
    }

    /// The message as it was sent: a byte string, a format for [`args`](Self::args), or an array of
    /// atoms. Work is linear in the map's length, as for what else is asked of it.
    pub fn message(&self) -> Value<'a> {
        let [message, _] = self.fields();
        message.unwrap_or(Value::NULL)
    }

    /// The arguments beside the message.
    pub fn args(&self) -> ByteStrings<'a> {
        let [_, args] = self.fields();
        args.map(ByteStrings::new).unwrap_or_default()
    }

    /// The message as atoms, if it was sent so.
    pub fn atoms(&self) -> Option<Atoms<'a>> {
        Atoms::from_value(self.message())
    }

    /// Shows the message so that it is safe on a terminal.
    pub const fn escaped(&self) -> Escaped<Self> {
        Escaped(*self)
    }
}

impl fmt::Display for CommandError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message().as_bytes() {
            Some(msg) => write_formatted(&msg, self.args(), f),
            None => self.atoms().map_or(Ok(()), |atoms| atoms.fmt(f)),
        }
    }
}

/// What a status map says of where the answer is. It was checked when the map was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Redirect<'a>(Value<'a>);

impl<'a> Redirect<'a> {
    /// Where the answer is. Work is linear in the map's length.
    pub fn location(&self) -> Location<'a> {
        let [_, _, location] = values_of(self.0);
        let mut found = [None; 7];
        if let Some(location) = location {
            let _ = LOCATION.read_value(location, &mut found);
        }
        let [url, mediatype, size, hashes, seed, certs, ca_certs] = found;
        let string = |value: Option<Value<'a>>| value.map(ByteString::of);
        Location {
            url: string(url).unwrap_or(ByteString::EMPTY),
            mediatype: string(mediatype).unwrap_or(ByteString::EMPTY),
            size: size.and_then(|value| value.as_u64()),
            fullhashes: hashes,
            fullhashseed: string(seed),
            serverdercerts: certs,
            servercadercerts: ca_certs,
        }
    }
}

/// Where the answer is (revision-0006.md, 7.5): received, or to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Location<'a> {
    url: ByteString<'a>,
    mediatype: ByteString<'a>,
    size: Option<u64>,
    fullhashes: Option<Value<'a>>,
    fullhashseed: Option<ByteString<'a>>,
    serverdercerts: Option<Value<'a>>,
    servercadercerts: Option<Value<'a>>,
}

impl<'a> Location<'a> {
    /// A location to be sent.
    pub const fn new(url: &'a [u8], mediatype: &'a [u8]) -> Self {
        Self {
            url: ByteString::from_slice(url),
            mediatype: ByteString::from_slice(mediatype),
            size: None,
            fullhashes: None,
            fullhashseed: None,
            serverdercerts: None,
            servercadercerts: None,
        }
    }

    /// The location with the body's length in bytes.
    #[must_use]
    pub const fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// The location with hashes of the whole body: an array of arrays of a hash's name and value.
    #[must_use]
    pub const fn with_fullhashes(mut self, hashes: Value<'a>) -> Self {
        self.fullhashes = Some(hashes);
        self
    }

    /// The location with what is hashed before the body.
    #[must_use]
    pub const fn with_fullhashseed(mut self, seed: &'a [u8]) -> Self {
        self.fullhashseed = Some(ByteString::from_slice(seed));
        self
    }

    /// The location with the server's certificates: an array of byte strings, DER.
    #[must_use]
    pub const fn with_serverdercerts(mut self, certificates: Value<'a>) -> Self {
        self.serverdercerts = Some(certificates);
        self
    }

    /// The location with certificates of authorities: an array of byte strings, DER.
    #[must_use]
    pub const fn with_servercadercerts(mut self, certificates: Value<'a>) -> Self {
        self.servercadercerts = Some(certificates);
        self
    }

    /// Where to fetch the answer.
    pub const fn url(&self) -> ByteString<'a> {
        self.url
    }

    /// The media type of what is there.
    pub const fn mediatype(&self) -> ByteString<'a> {
        self.mediatype
    }

    /// The body's length in bytes.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Hashes of the whole body: an array; its items are not checked.
    pub const fn fullhashes(&self) -> Option<Value<'a>> {
        self.fullhashes
    }

    /// What is hashed before the body.
    pub const fn fullhashseed(&self) -> Option<ByteString<'a>> {
        self.fullhashseed
    }

    /// The server's certificates, DER.
    pub fn serverdercerts(&self) -> Option<ByteStrings<'a>> {
        self.serverdercerts.map(ByteStrings::new)
    }

    /// Certificates of authorities, DER.
    pub fn servercadercerts(&self) -> Option<ByteStrings<'a>> {
        self.servercadercerts.map(ByteStrings::new)
    }

    /// Writes the status map of a redirect to this location, keys in order, to the front of
    /// `buffer` and returns its length (revision-0006.md, 7.5).
    ///
    /// # Errors
    /// [`ApiMisuse::InvalidMessage`] if a value is not of its key's type, [`ApiMisuse::TooLarge`] if
    /// the buffer is too small.
    pub fn encode_status(&self, buffer: &mut [u8]) -> Result<usize, ApiMisuse> {
        let are_typed = self.fullhashes.is_none_or(|v| v.is_array())
            && [self.serverdercerts, self.servercadercerts]
                .into_iter()
                .flatten()
                .all(|v| ByteStrings::strict(v).is_some());
        if !are_typed {
            return Err(ApiMisuse::InvalidMessage);
        }
        let optional = [
            self.fullhashes.is_some(),
            self.fullhashseed.is_some(),
            self.servercadercerts.is_some(),
            self.serverdercerts.is_some(),
            self.size.is_some(),
        ];
        let mut writer = CborWriter::new(buffer);
        writer.raw(b"\xa2\x48location")?;
        writer.map(optional.iter().filter(|o| **o).count().saturating_add(2))?;
        if let Some(hashes) = self.fullhashes {
            writer.bytes(b"fullhashes")?;
            writer.raw(hashes.as_cbor())?;
        }
        if let Some(seed) = self.fullhashseed {
            writer.bytes(b"fullhashseed")?;
            writer.string(super::MAJOR_BYTES, &seed)?;
        }
        writer.bytes(b"mediatype")?;
        writer.string(super::MAJOR_BYTES, &self.mediatype)?;
        for (key, certificates) in [
            (&b"servercadercerts"[..], self.servercadercerts),
            (b"serverdercerts", self.serverdercerts),
        ] {
            if let Some(certificates) = certificates {
                writer.bytes(key)?;
                writer.raw(certificates.as_cbor())?;
            }
        }
        if let Some(size) = self.size {
            writer.bytes(b"size")?;
            writer.u64(size)?;
        }
        writer.bytes(b"url")?;
        writer.string(super::MAJOR_BYTES, &self.url)?;
        writer.raw(b"\x46status\x48redirect")?;
        Ok(writer.position())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    use super::super::testing::hex;
    use super::*;

    const STATUS: &str = "46737461747573";
    const ERROR: &str = "456572726f72";
    const MESSAGE: &str = "476d657373616765";
    const LOCATION: &str = "486c6f636174696f6e";

    fn status(parts: &[&str]) -> Vec<u8> {
        hex(&parts.concat())
    }

    fn redirect(bytes: &[u8]) -> Option<(Location<'_>, usize)> {
        match Status::decode(bytes) {
            Ok((Status::Redirect(redirect), len)) => Some((redirect.location(), len)),
            _ => None,
        }
    }

    #[test]
    fn ok_with_its_values_behind() {
        let bytes = [&STATUS_OK[..], b"rest"].concat();
        assert_eq!(Status::decode(&bytes), Ok((Status::Ok, 11)));
        for cut in 0..11 {
            assert_eq!(Status::decode(&bytes[..cut]), Err(StatusError::Incomplete));
        }
        let any = status(&["bf 6161 80 5f 4173 45 7461747573 ff 5f 416f 416b ff f6 f6 ff"]);
        assert_eq!(Status::decode(&any), Ok((Status::Ok, any.len())));
    }

    #[test]
    fn what_is_no_status_is_told_early() {
        for bytes in ["80", "01", "ff", "a1ff", "c0", "5f", "f6"] {
            assert_eq!(
                Status::decode(&hex(bytes)),
                Err(StatusError::BadStatus),
                "{bytes}"
            );
        }
        let cases: [&[&str]; 14] = [
            &["a0"],
            &["a1", STATUS, "626f6b"],
            &["a1", STATUS, "43666f6f"],
            &["a1", STATUS, "f6"],
            &["a2", STATUS, "426f6b", STATUS, "426f6b"],
            &["a1", STATUS, ERROR],
            &["a2", STATUS, ERROR, ERROR, "f6"],
            &["a2", STATUS, ERROR, ERROR, "a0"],
            &["a2", STATUS, ERROR, ERROR, "a1", MESSAGE, "01"],
            &["a2", STATUS, ERROR, ERROR, "a1", MESSAGE, "8101"],
            &[
                "a2",
                STATUS,
                ERROR,
                ERROR,
                "a2",
                MESSAGE,
                "4161 4461726773 8101",
            ],
            &["a1", STATUS, "487265646972656374"],
            &[
                "a2",
                STATUS,
                "487265646972656374",
                LOCATION,
                "a1 4375726c 4161",
            ],
            &[
                "a2",
                STATUS,
                "487265646972656374",
                LOCATION,
                "a3 4375726c 4161 496d6564696174797065 4161 4473697a65 20",
            ],
        ];
        for case in cases {
            assert_eq!(
                Status::decode(&status(case)),
                Err(StatusError::BadStatus),
                "{case:?}"
            );
        }
        let deep = [&[0xa1; 1][..], &[0x81; 16], b"\0\0"].concat();
        assert_eq!(Status::decode(&deep), Err(StatusError::BadStatus));
    }

    #[test]
    fn errors_in_both_forms() {
        // Mercurial's: a format string and arguments beside it.
        let bytes = status(&[
            "a2",
            ERROR,
            "a2 4461726773 81457468696e67",
            MESSAGE,
            "46626164202573",
            STATUS,
            ERROR,
        ]);
        let (Status::Error(error), len) = Status::decode(&bytes).unwrap() else {
            panic!();
        };
        assert_eq!(
            (error.to_string().as_str(), len),
            ("bad thing", bytes.len())
        );
        assert_eq!(error.args().count(), 1);
        assert!(error.atoms().is_none());
        // That of the documentation: atoms.
        let bytes = status(&[
            "a2",
            ERROR,
            "a1",
            MESSAGE,
            "82a1436d736742611ba1436d73674162",
            STATUS,
            ERROR,
        ]);
        let (Status::Error(error), _) = Status::decode(&bytes).unwrap() else {
            panic!();
        };
        assert_eq!(error.to_string(), "a\x1bb");
        assert_eq!(error.escaped().to_string(), "a\\x1bb");
        assert_eq!(error.atoms().unwrap().iter().count(), 2);
    }

    #[test]
    fn redirects_in_any_order_of_keys() {
        let hashes = hex("81 82 46736861323536 4101");
        let certs = hex("82 4101 4102");
        let full = Location::new(b"http://h/p", b"application/mercurial-cbor")
            .with_size(7)
            .with_fullhashes(Value::from_cbor(&hashes).unwrap())
            .with_fullhashseed(b"seed")
            .with_serverdercerts(Value::from_cbor(&certs).unwrap())
            .with_servercadercerts(Value::from_cbor(b"\x80").unwrap());
        for location in [full, Location::new(b"u", b"m")] {
            let mut buffer = [0; 256];
            let len = location.encode_status(&mut buffer).unwrap();
            assert_eq!(redirect(&buffer[..len]), Some((location, len)));
            assert_eq!(
                location.encode_status(&mut [0; 256][..len - 1]),
                Err(ApiMisuse::TooLarge)
            );
        }
        assert_eq!(full.serverdercerts().unwrap().count(), 2);
        assert_eq!(full.servercadercerts().unwrap().count(), 0);
        let wrong = full.with_serverdercerts(Value::NULL);
        assert_eq!(
            wrong.encode_status(&mut [0; 256]),
            Err(ApiMisuse::InvalidMessage)
        );

        // The required keys first, as Mercurial writes them (K-14), and one that is not known.
        let bytes = status(&[
            "a2",
            LOCATION,
            "a4 4375726c 4175 496d6564696174797065 416d 4473697a65 07 4178 f6",
            STATUS,
            "487265646972656374",
        ]);
        let location = Location::new(b"u", b"m").with_size(7);
        assert_eq!(redirect(&bytes), Some((location, bytes.len())));
    }
}
