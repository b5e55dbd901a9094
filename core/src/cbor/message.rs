//! Atoms: text for people, decorated and localisable.
//!
//! Specification: messages.md, "Text output"; revision-0006.md, 2.7.

use core::fmt::{self, Write};

use super::known::{BYTE_STRINGS, BYTES, Known, REQUIRED};
use super::utf8::{for_each_char, write_lossy};
use super::{ByteString, ByteStrings, CborError, CborWriter, Escaped, Value};
use crate::KeyOrder;
use crate::error::ApiMisuse;

/// A piece of text to be sent.
///
/// In `msg`, `%s` stands for the next argument and `%%` for a percent sign.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Atom<'a> {
    /// The format string, ASCII.
    pub msg: &'a [u8],
    /// What its `%s` stand for, UTF-8.
    pub args: &'a [&'a [u8]],
    /// Names of styles, such as `ui.warning`, ASCII.
    pub labels: &'a [&'a [u8]],
}

impl<'a> Atom<'a> {
    /// An atom of a format string alone.
    pub const fn new(msg: &'a str) -> Self {
        Self {
            msg: msg.as_bytes(),
            args: &[],
            labels: &[],
        }
    }

    fn encode(&self, order: KeyOrder, writer: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        let is_ascii = self.msg.is_ascii() && self.labels.iter().all(|label| label.is_ascii());
        if !is_ascii {
            return Err(ApiMisuse::InvalidMessage);
        }
        let (has_args, has_labels) = (!self.args.is_empty(), !self.labels.is_empty());
        writer.map(
            1usize
                .saturating_add(usize::from(has_args))
                .saturating_add(usize::from(has_labels)),
        )?;
        if order == KeyOrder::ShorterFirst {
            self.encode_msg(writer)?;
        }
        if has_args {
            writer.bytes(b"args")?;
            write_text_args(self.args, writer)?;
        }
        if has_labels {
            writer.bytes(b"labels")?;
            writer.array(self.labels.len())?;
            self.labels
                .iter()
                .try_for_each(|label| writer.bytes(label))?;
        }
        if order == KeyOrder::Bytewise {
            self.encode_msg(writer)?;
        }
        Ok(())
    }

    fn encode_msg(&self, writer: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
        writer.bytes(b"msg")?;
        writer.bytes(self.msg)
    }
}

/// Writes an array of byte strings; each maximal invalid part of UTF-8 in them becomes U+FFFD.
fn write_text_args(args: &[&[u8]], writer: &mut CborWriter<'_>) -> Result<(), ApiMisuse> {
    const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
    writer.array(args.len())?;
    for arg in args {
        let len = arg.utf8_chunks().fold(0usize, |len, chunk| {
            let replaced = if chunk.invalid().is_empty() {
                0
            } else {
                REPLACEMENT.len()
            };
            len.saturating_add(chunk.valid().len())
                .saturating_add(replaced)
        });
        writer.len_head(super::MAJOR_BYTES, len)?;
        for chunk in arg.utf8_chunks() {
            writer.raw(chunk.valid().as_bytes())?;
            if !chunk.invalid().is_empty() {
                writer.raw(REPLACEMENT)?;
            }
        }
    }
    Ok(())
}

/// Writes an array of atoms, the payload of `text-output`, to the front of `buffer` and returns
/// its length. Empty `args` and `labels` are left out; each maximal invalid part of UTF-8 in
/// arguments becomes U+FFFD.
///
/// # Errors
/// [`ApiMisuse::InvalidMessage`] if a `msg` or a label is not ASCII, [`ApiMisuse::TooLarge`] if the
/// buffer is too small.
pub fn encode_atoms(
    atoms: &[Atom<'_>],
    order: KeyOrder,
    buffer: &mut [u8],
) -> Result<usize, ApiMisuse> {
    let mut writer = CborWriter::new(buffer);
    writer.array(atoms.len())?;
    for atom in atoms {
        atom.encode(order, &mut writer)?;
    }
    Ok(writer.position())
}

/// The arguments of one message, encoded: what the `%s` of a
/// [`Failure`](crate::server::Failure)'s message stand for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MessageArgs<'a>(&'a [u8]);

impl<'a> MessageArgs<'a> {
    /// No arguments.
    pub const EMPTY: Self = Self(&[]);

    /// Encodes arguments into `buffer`. Invalid UTF-8 is replaced as in [`encode_atoms`].
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`] if the buffer is too small.
    pub fn encode(args: &[&[u8]], buffer: &'a mut [u8]) -> Result<Self, ApiMisuse> {
        let mut writer = CborWriter::new(buffer);
        write_text_args(args, &mut writer)?;
        Ok(if args.is_empty() {
            Self::EMPTY
        } else {
            Self(writer.finish())
        })
    }

    /// Arguments that are encoded already: exactly one array of byte strings.
    ///
    /// # Errors
    /// Why they are not.
    pub fn from_cbor(bytes: &'a [u8]) -> Result<Self, CborError> {
        let mut list = ByteStrings::strict(Value::from_cbor(bytes)?).ok_or(CborError::Malformed)?;
        Ok(if list.next().is_some() {
            Self(bytes)
        } else {
            Self::EMPTY
        })
    }

    /// The encoded array; nothing at all if there are no arguments.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0
    }
}

/// An array of atoms that was received. The whole was checked when it was decoded.
///
/// `Display` writes the text of all atoms, formatted; it never fails but where the writer does.
/// Show [`escaped`](Self::escaped) on terminals: the text is the peer's.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Atoms<'a>(Value<'a>);

impl Default for Atoms<'_> {
    /// No atoms.
    fn default() -> Self {
        Self(Value::new_unchecked(&[0x80]))
    }
}

impl<'a> Atoms<'a> {
    /// Decodes the payload of a `text-output` frame. Work is linear in the bytes.
    ///
    /// # Errors
    /// If the bytes are not exactly one array of atoms (`malformed-text-output`).
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CborError> {
        Self::from_value(Value::from_cbor(bytes)?).ok_or(CborError::Malformed)
    }

    /// The atoms in this array; `None` if it is not one.
    pub fn from_value(value: Value<'a>) -> Option<Self> {
        value
            .elements()?
            .all(|atom| ATOM.read_value(atom, &mut [None; 3]).is_some())
            .then_some(Self(value))
    }

    /// The array's encoding, as it was received.
    pub const fn as_cbor(&self) -> &'a [u8] {
        self.0.as_cbor()
    }

    /// The atoms in order.
    pub fn iter(&self) -> AtomsIter<'a> {
        AtomsIter(self.0.elements())
    }

    /// Shows the text so that it is safe on a terminal.
    pub const fn escaped(&self) -> Escaped<Self> {
        Escaped(*self)
    }
}

impl fmt::Display for Atoms<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|atom| atom.write_to(f))
    }
}

impl<'a> IntoIterator for Atoms<'a> {
    type Item = AtomView<'a>;
    type IntoIter = AtomsIter<'a>;

    fn into_iter(self) -> AtomsIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Atoms<'a> {
    type Item = AtomView<'a>;
    type IntoIter = AtomsIter<'a>;

    fn into_iter(self) -> AtomsIter<'a> {
        self.iter()
    }
}

/// The atoms of an array; made by [`Atoms::iter`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AtomsIter<'a>(Option<super::Elements<'a>>);

impl<'a> Iterator for AtomsIter<'a> {
    type Item = AtomView<'a>;

    fn next(&mut self) -> Option<AtomView<'a>> {
        AtomView::from_value(self.0.as_mut()?.next()?)
    }
}

impl core::iter::FusedIterator for AtomsIter<'_> {}

/// A piece of text that was received. `Display` and [`write_to`](Self::write_to) format it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AtomView<'a> {
    msg: ByteString<'a>,
    args: Option<Value<'a>>,
    labels: Option<Value<'a>>,
}

/// The map that an atom is.
const ATOM: Known = Known {
    keys: b"\x43msg\x44args\x46labels",
    kinds: &[BYTES | REQUIRED, BYTE_STRINGS, BYTE_STRINGS],
};

impl<'a> AtomView<'a> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        let mut found = [None; 3];
        ATOM.read_value(value, &mut found)?;
        let [msg, args, labels] = found;
        Some(Self {
            msg: msg?.as_bytes()?,
            args,
            labels,
        })
    }

    /// The format string.
    pub const fn msg(&self) -> ByteString<'a> {
        self.msg
    }

    /// What its `%s` stand for.
    pub fn args(&self) -> ByteStrings<'a> {
        self.args.map(ByteStrings::new).unwrap_or_default()
    }

    /// Names of styles.
    pub fn labels(&self) -> ByteStrings<'a> {
        self.labels.map(ByteStrings::new).unwrap_or_default()
    }

    /// Writes the text, formatted. Bytes that are not UTF-8 come out as U+FFFD; control characters
    /// are passed through.
    ///
    /// # Errors
    /// The writer's own.
    pub fn write_to(&self, w: &mut impl Write) -> fmt::Result {
        write_formatted(&self.msg, self.args(), w)
    }

    /// Shows the text so that it is safe on a terminal.
    pub const fn escaped(&self) -> Escaped<Self> {
        Escaped(*self)
    }
}

impl fmt::Display for AtomView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

/// Formats: `%s` is the next argument, or itself if there is none left; `%%` is a percent sign;
/// `%` before anything else stands for itself.
pub(super) fn write_formatted(
    msg: &ByteString<'_>,
    mut args: ByteStrings<'_>,
    w: &mut dyn Write,
) -> fmt::Result {
    let mut after_percent = false;
    for_each_char(msg, &mut |c| {
        if !core::mem::take(&mut after_percent) {
            after_percent = c == '%';
            return if after_percent {
                Ok(())
            } else {
                w.write_char(c)
            };
        }
        match c {
            '%' => w.write_char('%'),
            's' => match args.next() {
                Some(arg) => write_lossy(&arg, w),
                None => w.write_str("%s"),
            },
            other => {
                w.write_char('%')?;
                w.write_char(other)
            }
        }
    })?;
    if after_percent {
        w.write_char('%')?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::{String, ToString};
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::testing::{hex, nearly_cbor};
    use super::*;

    fn encoded(atoms: &[Atom<'_>], order: KeyOrder) -> Result<Vec<u8>, ApiMisuse> {
        let mut buffer = vec![0; 256];
        let len = encode_atoms(atoms, order, &mut buffer)?;
        buffer.truncate(len);
        let mut exact = vec![0; len];
        assert_eq!(encode_atoms(atoms, order, &mut exact), Ok(len));
        assert_eq!(exact, buffer);
        assert_eq!(
            encode_atoms(atoms, order, &mut exact[1..]),
            Err(ApiMisuse::TooLarge)
        );
        Ok(buffer)
    }

    #[test]
    fn atoms_are_encoded_as_the_vectors_have_them() {
        use KeyOrder::{Bytewise, ShorterFirst};
        let foo = Atom::new("foo");
        for order in [Bytewise, ShorterFirst] {
            assert_eq!(encoded(&[], order), Ok(hex("80")));
            assert_eq!(
                encoded(&[foo, Atom::new("bar")], order),
                Ok(hex("82a1436d736743666f6fa1436d736743626172"))
            );
        }
        let atom = Atom {
            msg: b"foo %s",
            args: &[b"arg"],
            labels: &[b"label", b"ui.status"],
        };
        assert_eq!(
            encoded(&[atom], ShorterFirst),
            Ok(hex(
                "81a3436d736746666f6f20257344617267738143617267466c6162656c7382456c6162656c4975692e737461747573"
            ))
        );
        assert_eq!(
            encoded(&[atom], Bytewise),
            Ok(hex(
                "81a344617267738143617267466c6162656c7382456c6162656c4975692e737461747573436d736746666f6f202573"
            ))
        );
        // Each maximal invalid part of an argument becomes one U+FFFD.
        let invalid = Atom {
            msg: b"bad utf8 %s",
            args: &[b"a\xffb\xc3"],
            labels: &[],
        };
        assert_eq!(
            encoded(&[invalid], Bytewise),
            Ok(hex(
                "81a24461726773814861efbfbd62efbfbd436d73674b6261642075746638202573"
            ))
        );
        for wrong in [
            Atom {
                msg: "é".as_bytes(),
                ..foo
            },
            Atom {
                msg: b"\x80",
                ..foo
            },
            Atom {
                labels: &[b"ok", b"\xff"],
                ..foo
            },
        ] {
            assert_eq!(
                encoded(&[foo, wrong], Bytewise),
                Err(ApiMisuse::InvalidMessage)
            );
        }
        let mut buffer = [0; 16];
        let args = MessageArgs::encode(&[b"x", b"\xff"], &mut buffer).unwrap();
        assert_eq!(args.as_cbor(), hex("824178 43efbfbd"));
        assert_eq!(MessageArgs::from_cbor(args.as_cbor()), Ok(args));
        assert_eq!(MessageArgs::from_cbor(b"\x80"), Ok(MessageArgs::EMPTY));
        assert_eq!(
            MessageArgs::encode(&[], &mut [0; 1]),
            Ok(MessageArgs::EMPTY)
        );
        for wrong in [&b"\x81\x01"[..], b"\xa0", b"\x80\x80", b"\x81\x61a"] {
            assert_eq!(MessageArgs::from_cbor(wrong), Err(CborError::Malformed));
        }
    }

    #[test]
    fn only_arrays_of_atoms_are_messages() {
        for good in [
            "80",
            "9fff",
            "81a1436d736740",
            "9fbf436d73675f41614162ffffff",
            "81a3436d736740416101616100",
            "81a3436d7367404461726773804 66c6162656c739fff",
        ] {
            assert!(Atoms::decode(&hex(good)).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a0",
            "f6",
            "8000",
            "81",
            "8100",
            "81a0",
            "8180",
            "81a1436d736760",
            "81a1436d7367f6",
            "81a1636d736740",
            "81a2436d736740436d736740",
            "81a2436d7367404461726773f6",
            "81a2436d73674044617267738160",
            "81a2436d736740466c6162656c7340",
            "81a2436d736740466c6162656c73816161",
            "81a1436d736740ff",
        ] {
            assert!(Atoms::decode(&hex(bad)).is_err(), "{bad}");
        }
        let deep = [&[0x81, 0xa2, 0x40][..], &[0x81; 15], &hex("00436d736740")].concat();
        assert_eq!(Atoms::decode(&deep), Err(CborError::NestedTooDeep));
    }

    #[test]
    fn messages_are_formatted_and_never_fail() {
        let format = |msg: &str, args: &[&[u8]]| {
            let atom = Atom {
                msg: msg.as_bytes(),
                args,
                labels: &[],
            };
            let bytes = encoded(&[atom], KeyOrder::Bytewise).unwrap();
            Atoms::decode(&bytes).unwrap().to_string()
        };
        assert_eq!(format("a %s b %s", &[b"1", b"2", b"3"]), "a 1 b 2");
        assert_eq!(format("a %s b %s", &[b"1"]), "a 1 b %s");
        assert_eq!(format("%%s %d 100% %%%s%", &[b"%s"]), "%s %d 100% %%s%");
        assert_eq!(format("%s%s%", &[]), "%s%s%");
        assert_eq!(format("% s", &[b"x"]), "% s");
        assert_eq!(format("", &[b"x"]), "");

        // msg in chunks, cut after the percent sign and inside a character; an argument that is not UTF-8.
        let bytes = hex("82 a2 436d7367 5f 422d25 4173 42c3 a9 ff 4461726773 9f 5f 41e2 429883 ff 41ff ff a1436d7367 43 1b5b c3"
            .replace("42c3 a9", "42c3a9").as_str());
        let atoms = Atoms::decode(&bytes).unwrap();
        assert_eq!(atoms.to_string(), "-\u{2603}é\x1b[\u{fffd}");
        assert_eq!(atoms.escaped().to_string(), "-\u{2603}é\\x1b[\u{fffd}");
        let first = atoms.iter().next().unwrap();
        assert_eq!(first.args().count(), 2);
        assert_eq!(first.labels().count(), 0);
        assert_eq!(first.msg(), "-%sé");
        let mut out = String::new();
        first.write_to(&mut out).unwrap();
        assert_eq!(out, first.to_string());
        assert_eq!(first.escaped().to_string(), out);
        assert_eq!(format!("{:.1}", first), out);
    }

    proptest! {
        #[test]
        fn what_is_sent_comes_back(
            msg in "[ -~]{0,12}", args in prop::collection::vec(".{0,6}", 0..3), labels in prop::collection::vec("[a-z.]{0,6}", 0..3), bytewise: bool,
        ) {
            let order = if bytewise { KeyOrder::Bytewise } else { KeyOrder::ShorterFirst };
            let args: Vec<&[u8]> = args.iter().map(|s| s.as_bytes()).collect();
            let labels: Vec<&[u8]> = labels.iter().map(|s| s.as_bytes()).collect();
            let bytes = encoded(&[Atom { msg: msg.as_bytes(), args: &args, labels: &labels }], order).unwrap();
            let atom = Atoms::decode(&bytes).unwrap().iter().next().unwrap();
            prop_assert_eq!(atom.msg(), msg.as_bytes());
            prop_assert!(atom.args().eq(args.iter().map(|a| ByteString::from_slice(a))));
            prop_assert!(atom.labels().eq(labels.iter().map(|a| ByteString::from_slice(a))));
        }

        #[test]
        fn any_bytes_are_refused_or_shown(bytes in nearly_cbor()) {
            if let Ok(atoms) = Atoms::decode(&bytes) {
                let _ = atoms.escaped().to_string();
            }
        }
    }
}
