//! What can be wrong with a human frame string.

use std::fmt;

use hgrpc::Revision;
use hgrpc::wire::FrameKind;

use super::MAX_PAYLOAD;

/// Why a line is not a human frame string, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HumanError {
    /// The column of what is at fault, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: HumanErrorKind,
}

impl fmt::Display for HumanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.kind)
    }
}

impl std::error::Error for HumanError {}

/// A field before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The request ID, 0 to 65,535.
    RequestId,
    /// The stream ID, 0 to 255.
    StreamId,
    /// The flags about the stream.
    StreamFlags,
    /// The frame's type.
    Type,
    /// The flags of the type.
    Flags,
}

impl Field {
    /// The largest number that the field can hold.
    pub const fn max(self) -> u32 {
        match self {
            Self::RequestId => 0xffff,
            Self::StreamId | Self::StreamFlags => 0xff,
            Self::Type | Self::Flags => 0x0f,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestId => "the request ID",
            Self::StreamId => "the stream ID",
            Self::StreamFlags => "the stream flags",
            Self::Type => "the type",
            Self::Flags => "the flags",
        })
    }
}

/// What is wrong with a human frame string.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HumanErrorKind {
    /// A field is empty, or the line ends before it: fields are separated by single spaces.
    MissingField(Field),
    /// There is no space after the flags; it is there even if the payload is empty.
    MissingPayload,
    /// A character that is no decimal digit: a sign, an underscore, a base.
    NotDecimal(Field, char),
    /// A number over the field's maximum.
    OutOfRange(Field),
    /// A type name that the revision does not have.
    UnknownType(String, Revision),
    /// A stream flag without such a name.
    UnknownStreamFlag(String),
    /// A flag that the type does not have in the revision.
    UnknownFlag(String, FrameKind, Revision),
    /// A payload over [`MAX_PAYLOAD`] bytes.
    PayloadTooLarge,
    /// A backslash at the end.
    LoneBackslash,
    /// An escape that is not listed.
    UnknownEscape(char),
    /// `\N{…}`.
    NamedEscape,
    /// A hexadecimal escape without its digits, of which there must be this many.
    HexDigits(u8),
    /// An octal escape over 255.
    OctalTooBig,
    /// A Unicode escape that is a surrogate or over U+10FFFF.
    NotUnicode(u32),
    /// Something else where the literal needs this.
    Expected(&'static str),
    /// Something after the literal.
    AfterLiteral(char),
    /// A word that is not `None`, `True` or `False`.
    UnknownWord(String),
    /// A string prefix other than `b` and `u`.
    UnknownPrefix(String),
    /// A string in triple quotes.
    TripleQuotes,
    /// A string directly after another.
    AdjacentStrings,
    /// A string without its closing quote.
    UnclosedString,
    /// A character outside ASCII in a byte string.
    NotAscii(char),
    /// A byte in a text string that is not UTF-8.
    NotUtf8(u8),
    /// A number in another base than ten.
    OtherBase,
    /// An integer that begins with zeros.
    LeadingZeros,
    /// Something that begins like a number.
    MalformedNumber,
    /// An integer outside −2^64 to 2^64−1.
    IntegerTooBig,
    /// A map key or set element that cannot be one: a list, a map, a set, or a tuple of such.
    Unhashable(&'static str),
    /// A map key that was there before.
    RepeatedKey,
    /// A set in a revision that has none.
    NoSets(Revision),
    /// Brackets nested deeper than any frame could hold.
    NestedTooDeep,
}

impl fmt::Display for HumanErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingField(field) => {
                write!(
                    f,
                    "{field} should be here: fields are separated by single spaces"
                )
            }
            Self::MissingPayload => {
                f.write_str("a space should follow the flags, even before an empty payload")
            }
            Self::NotDecimal(field, found) => {
                write!(f, "{found:?} in {field}: only decimal digits make a number")
            }
            Self::OutOfRange(field) => write!(f, "{field} is over {}", field.max()),
            Self::UnknownType(name, revision) => {
                write!(
                    f,
                    "{name:?} is not a frame type of revision {revision}; they are "
                )?;
                let known = (0..=0x0f).filter_map(|n| revision.kind(n).name());
                list(f, known)
            }
            Self::UnknownStreamFlag(name) => {
                write!(f, "{name:?} is not a stream flag; they are ")?;
                list(f, (0..8).filter_map(hgrpc::wire::StreamFlags::name))
            }
            Self::UnknownFlag(name, kind, revision) => {
                write!(
                    f,
                    "{name:?} is not a flag of {kind} in revision {revision}; "
                )?;
                let names = revision.flag_names(*kind);
                if names.iter().all(Option::is_none) {
                    return f.write_str("it has none, write 0");
                }
                f.write_str("they are ")?;
                list(f, names.into_iter().flatten())
            }
            Self::PayloadTooLarge => write!(f, "the payload is over {MAX_PAYLOAD} bytes"),
            Self::LoneBackslash => {
                f.write_str("a backslash at the end; one that stands for itself is \\\\")
            }
            Self::UnknownEscape(found) => {
                write!(f, "unknown escape: a backslash before {found:?}")
            }
            Self::NamedEscape => f.write_str("\\N{…} is not accepted"),
            Self::HexDigits(digits) => write!(f, "{digits} hexadecimal digits should follow"),
            Self::OctalTooBig => f.write_str("an octal escape over 255"),
            Self::NotUnicode(code) => write!(f, "U+{code:04X} is not a character"),
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::AfterLiteral(found) => write!(f, "{found:?} after the end of the literal"),
            Self::UnknownWord(word) => {
                write!(
                    f,
                    "{word:?} is not a literal: words are None, True and False"
                )
            }
            Self::UnknownPrefix(prefix) => {
                write!(f, "{prefix:?} is not a string prefix: b and u are")
            }
            Self::TripleQuotes => f.write_str("triple quotes are not accepted"),
            Self::AdjacentStrings => f.write_str("adjacent strings are not joined"),
            Self::UnclosedString => f.write_str("the string that begins here is not closed"),
            Self::NotAscii(found) => {
                write!(
                    f,
                    "{found:?} is outside ASCII: write a byte string's bytes as \\xHH"
                )
            }
            Self::NotUtf8(byte) => write!(f, "byte {byte:#04x} is not UTF-8, as text must be"),
            Self::OtherBase => f.write_str("numbers are decimal"),
            Self::LeadingZeros => f.write_str("an integer does not begin with zeros"),
            Self::MalformedNumber => f.write_str("not a number"),
            Self::IntegerTooBig => f.write_str("integers are from -2^64 to 2^64-1"),
            Self::Unhashable(what) => write!(f, "{what} cannot be a map's key or in a set"),
            Self::RepeatedKey => f.write_str("this map key was there before"),
            Self::NoSets(revision) => write!(f, "revision {revision} has no sets"),
            Self::NestedTooDeep => f.write_str("nested deeper than a frame can hold"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, names: impl Iterator<Item = &'static str>) -> fmt::Result {
    let mut separator = "";
    for name in names {
        write!(f, "{separator}{name}")?;
        separator = ", ";
    }
    Ok(())
}
