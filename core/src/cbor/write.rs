//! Writes canonical CBOR into a caller's buffer, or as borrowed slices without one.
//!
//! Specification: messages.md, "CBOR"; revision-0006.md, 9.1.

use super::cursor::Cursor;
use super::float::shorten_floats;
use super::item::{
    BREAK, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NEGATIVE, MAJOR_TEXT, MAJOR_UNSIGNED,
};
use super::{Args, ByteString, CborError, Value};
use crate::bytes::copy;
use crate::error::ApiMisuse;

/// The head of an item in its shortest form, 1 to 9 bytes inline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head {
    bytes: [u8; 9],
    len: u8,
}

impl Head {
    /// The head of an item of major type `major` (0 to 7) with this argument.
    pub const fn new(major: u8, value: u64) -> Self {
        let initial = major << 5;
        let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
        let (bytes, len) = if value < 24 {
            ([initial | h, 0, 0, 0, 0, 0, 0, 0, 0], 1)
        } else if value <= 0xff {
            ([initial | 24, h, 0, 0, 0, 0, 0, 0, 0], 2)
        } else if value <= 0xffff {
            ([initial | 25, g, h, 0, 0, 0, 0, 0, 0], 3)
        } else if value <= 0xffff_ffff {
            ([initial | 26, e, f, g, h, 0, 0, 0, 0], 5)
        } else {
            ([initial | 27, a, b, c, d, e, f, g, h], 9)
        };
        Self { bytes, len }
    }

    /// The head of something that has `len` bytes or items.
    pub(crate) fn of_len(major: u8, len: usize) -> Self {
        match u32::try_from(len) {
            Ok(short) => Self::short(major, short),
            Err(_) => Self::new(major, u64::try_from(len).unwrap_or(u64::MAX)),
        }
    }

    /// [`new`](Self::new) without arithmetic of 64 bits.
    fn short(major: u8, value: u32) -> Self {
        // Bytes of the argument, and what the initial byte says of them.
        let (width, info) = match value {
            0..24 => (0, value),
            24..=0xff => (1, 24),
            0x100..=0xffff => (2, 25),
            _ => (4, 26),
        };
        let [.., info] = info.to_be_bytes();
        let spare = 32u32.wrapping_sub(8u32.wrapping_mul(u32::from(width)));
        let [a, b, c, d] = value.checked_shl(spare).unwrap_or_default().to_be_bytes();
        Self {
            bytes: [(major << 5) | info, a, b, c, d, 0, 0, 0, 0],
            len: 1u8.wrapping_add(width),
        }
    }

    /// The head's bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Writes canonical CBOR to the front of a caller's buffer.
///
/// Heads are the shortest. Whether keys are in order and containers have the items that their head
/// says is the caller's to see to; [`ArgsWriter`](super::ArgsWriter) does so for argument maps. After an error, what
/// was written so far stays.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CborWriter<'b> {
    buffer: &'b mut [u8],
    used: usize,
}

impl<'b> CborWriter<'b> {
    /// A writer to the front of `buffer`.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    /// Bytes written so far.
    pub const fn position(&self) -> usize {
        self.used
    }

    /// Writes these bytes as they are: an encoding made elsewhere.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if they do not fit; nothing of them is written then. So for every
    /// method here.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), ApiMisuse> {
        let end = self.used.saturating_add(bytes.len());
        let target = self
            .buffer
            .get_mut(self.used..end)
            .ok_or(ApiMisuse::TooLarge)?;
        copy(target, bytes);
        self.used = end;
        Ok(())
    }

    /// Writes the head of an item of major type `major` with this argument.
    ///
    /// # Errors
    /// See [`raw`](Self::raw).
    pub fn head(&mut self, major: u8, value: u64) -> Result<(), ApiMisuse> {
        self.raw(Head::new(major, value).as_slice())
    }

    pub(super) fn len_head(&mut self, major: u8, len: usize) -> Result<(), ApiMisuse> {
        self.raw(Head::of_len(major, len).as_slice())
    }

    /// Writes an unsigned integer.
    ///
    /// # Errors
    /// See [`raw`](Self::raw).
    pub fn u64(&mut self, value: u64) -> Result<(), ApiMisuse> {
        self.head(MAJOR_UNSIGNED, value)
    }

    /// [`u64`](Self::u64) without arithmetic of 64 bits.
    pub(super) fn u32(&mut self, value: u32) -> Result<(), ApiMisuse> {
        self.raw(Head::short(MAJOR_UNSIGNED, value).as_slice())
    }

    /// Writes an integer.
    ///
    /// # Errors
    /// See [`raw`](Self::raw).
    pub fn i64(&mut self, value: i64) -> Result<(), ApiMisuse> {
        match u64::try_from(value) {
            Ok(positive) => self.head(MAJOR_UNSIGNED, positive),
            // −1 − value, the bitwise complement.
            Err(_) => self.head(MAJOR_NEGATIVE, u64::try_from(!value).unwrap_or(u64::MAX)),
        }
    }

    /// Writes a byte string.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), ApiMisuse> {
        self.len_head(MAJOR_BYTES, bytes.len())?;
        self.raw(bytes)
    }

    /// Writes a text string. Not for the protocol's own maps, nor for peers that may be Mercurial.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`].
    pub fn text(&mut self, text: &str) -> Result<(), ApiMisuse> {
        self.len_head(MAJOR_TEXT, text.len())?;
        self.raw(text.as_bytes())
    }

    /// Writes the content of a string that may be in chunks, with a definite length.
    pub(super) fn string(&mut self, major: u8, string: &ByteString<'_>) -> Result<(), ApiMisuse> {
        self.len_head(major, string.len())?;
        string.chunks().try_for_each(|chunk| self.raw(chunk))
    }

    /// Writes `true` or `false`.
    ///
    /// # Errors
    /// See [`raw`](Self::raw).
    pub fn bool(&mut self, value: bool) -> Result<(), ApiMisuse> {
        self.raw(if value { &[0xf5] } else { &[0xf4] })
    }

    /// Writes `null`.
    ///
    /// # Errors
    /// See [`raw`](Self::raw).
    pub fn null(&mut self) -> Result<(), ApiMisuse> {
        self.raw(&[0xf6])
    }

    /// Writes the head of an array; its `len` items are written next.
    ///
    /// # Errors
    /// See [`raw`](Self::raw).
    pub fn array(&mut self, len: usize) -> Result<(), ApiMisuse> {
        self.len_head(MAJOR_ARRAY, len)
    }

    /// Writes the head of a map; its `len` keys and values are written next, in turn.
    ///
    /// # Errors
    /// See [`raw`](Self::raw).
    pub fn map(&mut self, len: usize) -> Result<(), ApiMisuse> {
        self.len_head(MAJOR_MAP, len)
    }

    /// Writes any value that minicbor can encode. Floats take the shortest form that keeps their
    /// value, whatever their type.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if it does not fit, [`ApiMisuse::InvalidMessage`] if it refuses to be
    /// encoded. A part of it may have been written.
    pub fn value<T: minicbor::Encode<()> + ?Sized>(&mut self, value: &T) -> Result<(), ApiMisuse> {
        let start = self.used;
        let result = minicbor::encode(value, &mut *self);
        let written = self.buffer.get_mut(start..self.used).unwrap_or_default();
        self.used = start.saturating_add(shorten_floats(written));
        result.map_err(|error| {
            if error.is_write() {
                ApiMisuse::TooLarge
            } else {
                ApiMisuse::InvalidMessage
            }
        })
    }

    /// What was written.
    pub fn finish(self) -> &'b [u8] {
        let (written, _) = self
            .buffer
            .split_at_mut_checked(self.used)
            .unwrap_or_default();
        written
    }
}

/// Lets minicbor's encoder write here.
impl minicbor::encode::Write for CborWriter<'_> {
    type Error = ApiMisuse;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), ApiMisuse> {
        self.raw(bytes)
    }
}

/// An argument map that is ready to be sent: one encoded map with byte strings as keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodedArgs<'a>(Args<'a>);

impl<'a> EncodedArgs<'a> {
    /// No arguments.
    pub const EMPTY: Self = Self(Args::EMPTY);

    /// The arguments in this encoded map. The order of its keys is left as it is.
    ///
    /// # Errors
    /// If the bytes are not exactly one map with byte strings as keys, or too deep for a request.
    pub fn from_cbor(bytes: &'a [u8]) -> Result<Self, CborError> {
        Args::from_cbor(bytes).map(Self)
    }

    pub(super) const fn new_unchecked(args: Args<'a>) -> Self {
        Self(args)
    }

    /// The map's encoding.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0.as_cbor()
    }

    /// Whether there are no arguments; the map is left out of the request then.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for EncodedArgs<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a> From<Args<'a>> for EncodedArgs<'a> {
    fn from(args: Args<'a>) -> Self {
        Self(args)
    }
}

/// A request's encoding as borrowed slices: what frames are cut from, without a buffer
/// (messages.md, "Command request").
///
/// ```text
///   a2 44 "args" | {…} | 44 "name" 47 | command | (48 "redirect") | ({…})
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestPieces<'a> {
    // Constants too have this lifetime: with two, `defmt`'s derive cannot choose.
    start: &'a [u8],
    args: &'a [u8],
    /// The key `name` and the head of its value.
    name_head: [u8; 14],
    name_head_len: u8,
    name: &'a [u8],
    redirect_key: &'a [u8],
    redirect: &'a [u8],
}

// Not derived: the derive cannot tell slices of two lifetimes apart.
#[cfg(feature = "defmt")]
impl defmt::Format for RequestPieces<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "RequestPieces {{ name: {=[u8]}, args: {=[u8]}, redirect: {=[u8]} }}",
            self.name,
            self.args,
            self.redirect
        );
    }
}

/// A well-formed map; nothing if it has no entries.
fn unless_empty(map: &[u8]) -> &[u8] {
    let mut cursor = Cursor::new(map);
    if cursor.head() && cursor.argument() > 0 && cursor.rest().first() != Some(&BREAK) {
        map
    } else {
        &[]
    }
}

impl<'a> RequestPieces<'a> {
    /// The request for the command `name`. `redirect` is an encoded map; it is left out if empty,
    /// and so is `args`.
    ///
    /// # Errors
    /// [`ApiMisuse::NotInThisRevision`] for a redirect in 0003 and 0005;
    /// [`ApiMisuse::InvalidMessage`] for one that is not a map.
    pub fn new(
        name: &'a [u8],
        args: EncodedArgs<'a>,
        redirect: Option<&'a [u8]>,
        revision: crate::Revision,
    ) -> Result<Self, ApiMisuse> {
        let mut redirect = redirect.unwrap_or_default();
        if !redirect.is_empty() {
            // It lies one level deep in the request.
            let mut cursor = Cursor::new(redirect);
            let is_value = cursor.value(1).is_some() && cursor.rest().is_empty();
            if !is_value || !Value::new_unchecked(redirect).is_map() {
                return Err(ApiMisuse::InvalidMessage);
            }
            redirect = unless_empty(redirect);
        }
        let args = unless_empty(args.as_cbor());
        if !redirect.is_empty() && !revision.has_settings() {
            return Err(ApiMisuse::NotInThisRevision);
        }
        let start: &[u8] = match (args.is_empty(), redirect.is_empty()) {
            (true, true) => b"\xa1",
            (true, false) => b"\xa2",
            (false, true) => b"\xa2\x44args",
            (false, false) => b"\xa3\x44args",
        };
        let Head { bytes, len } = Head::of_len(MAJOR_BYTES, name.len());
        let [a, b, c, d, e, f, g, h, i] = bytes;
        Ok(Self {
            start,
            args,
            name_head: [0x44, b'n', b'a', b'm', b'e', a, b, c, d, e, f, g, h, i],
            name_head_len: 5u8.wrapping_add(len),
            name,
            redirect_key: if redirect.is_empty() {
                b""
            } else {
                b"\x48redirect"
            },
            redirect,
        })
    }

    /// The slices in order; some may be empty.
    pub fn slices(&self) -> [&[u8]; 6] {
        [
            self.start,
            self.args,
            self.name_head
                .get(..usize::from(self.name_head_len))
                .unwrap_or_default(),
            self.name,
            self.redirect_key,
            self.redirect,
        ]
    }

    /// Bytes of the request.
    pub fn len(&self) -> usize {
        self.slices()
            .iter()
            .fold(0, |sum, slice| sum.saturating_add(slice.len()))
    }

    /// Never: a request has at least its name.
    pub const fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::hex;
    use super::super::{CommandRequest, RedirectTargets};
    use super::*;
    use crate::Revision;

    proptest! {
        #[test]
        fn scalars_are_written_as_minicbor_writes_them(
            n: u64, shift in 0u32..64, i: i64, flag: bool, bytes: Vec<u8>, text: std::string::String, len in 0usize..70_000,
        ) {
            let (n, i) = (n >> shift, i >> shift);
            let mut expected = Vec::new();
            minicbor::Encoder::new(&mut expected)
                .u64(n).unwrap().i64(i).unwrap().bool(flag).unwrap().null().unwrap()
                .bytes(&bytes).unwrap().str(&text).unwrap()
                .array(len as u64).unwrap().map(len as u64).unwrap();
            let mut buffer = std::vec![0; expected.len()];
            let mut writer = CborWriter::new(&mut buffer);
            writer.u64(n).unwrap();
            writer.i64(i).unwrap();
            writer.bool(flag).unwrap();
            writer.null().unwrap();
            writer.bytes(&bytes).unwrap();
            writer.text(&text).unwrap();
            writer.array(len).unwrap();
            writer.map(len).unwrap();
            prop_assert_eq!(writer.value(&true), Err(ApiMisuse::TooLarge));
            prop_assert_eq!(writer.finish(), &expected[..]);
        }

        #[test]
        fn a_request_in_pieces_decodes_again(name: Vec<u8>, key: Vec<u8>, value: u32, with_args: bool, with_redirect: bool) {
            let mut buffer = [0; 4096];
            let mut writer = super::super::ArgsWriter::new(&mut buffer, crate::KeyOrder::Bytewise);
            if with_args {
                writer.value(&key, &value).unwrap();
            }
            let args = writer.finish().unwrap();
            let redirect = hex("a1 47 74617267657473 81 41 61");
            let redirect = with_redirect.then_some(&redirect[..]);
            let pieces = RequestPieces::new(&name, args, redirect, Revision::R0006).unwrap();
            let bytes = pieces.slices().concat();
            prop_assert_eq!(pieces.len(), bytes.len());
            let request = CommandRequest::decode(&bytes, Revision::R0006).unwrap();
            prop_assert_eq!(request.name, &name[..]);
            prop_assert_eq!(request.args.as_cbor(), args.as_cbor());
            prop_assert_eq!(request.redirect.map(|r| r.as_cbor()), redirect);
        }
    }

    #[test]
    fn short_heads_are_heads() {
        for value in [0, 23, 24, 0xff, 0x100, 0xffff, 0x1_0000, u32::MAX] {
            let [short, new] = [
                Head::short(MAJOR_MAP, value),
                Head::new(MAJOR_MAP, value.into()),
            ];
            assert_eq!(short.as_slice(), new.as_slice());
        }
    }

    #[test]
    fn request_pieces_are_canonical() {
        let args = hex("a1 43 666f6f 83 41 31 41 32 41 33");
        let args = EncodedArgs::from_cbor(&args).unwrap();
        let redirect = hex("a246686173686573814673686132353647746172676574738241614162");
        let full = RequestPieces::new(b"foo", args, Some(&redirect), Revision::R0006).unwrap();
        assert_eq!(
            full.slices().concat(),
            hex("a3 44 61726773 a1 43 666f6f 83 41 31 41 32 41 33 44 6e616d65 43 666f6f 48 7265646972656374
                 a246686173686573814673686132353647746172676574738241614162")
        );
        for empty in [None, Some(&[][..]), Some(b"\xa0"), Some(b"\xbf\xff")] {
            let least = RequestPieces::new(b"foo", EncodedArgs::EMPTY, empty, Revision::R0003);
            assert_eq!(
                least.unwrap().slices().concat(),
                hex("a1 44 6e616d65 43 666f6f")
            );
        }
        for revision in [Revision::R0003, Revision::R0005] {
            let misuse = RequestPieces::new(b"foo", args, Some(&redirect), revision);
            assert_eq!(misuse.unwrap_err(), ApiMisuse::NotInThisRevision);
        }
        for wrong in [&b"\xf6"[..], b"\x80", b"\xa1", b"\xa0\xa0"] {
            let misuse = RequestPieces::new(b"foo", args, Some(wrong), Revision::R0006);
            assert_eq!(misuse.unwrap_err(), ApiMisuse::InvalidMessage);
        }
    }

    #[test]
    fn redirect_lists_are_read() {
        let redirect = hex(
            "a2 46 686173686573 9f 46 736861323536 5f 42 7368 42 6131 ff 01 ff 47 74617267657473 f6",
        );
        let redirect = RedirectTargets::from_cbor(&redirect).unwrap();
        let hashes: Vec<_> = redirect.hashes().collect();
        assert_eq!(hashes.len(), 2);
        assert!(hashes[0] == "sha256" && hashes[1] == "sha1");
        assert_eq!(redirect.targets().count(), 0);
    }
}
