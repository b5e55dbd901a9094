//! What can be wrong with a text in diagnostic notation.

use std::fmt;

use crate::value::MAX_NESTING;

/// Why a text is not a value in diagnostic notation, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseError {
    /// The column of what is at fault, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// What is wrong with a text in diagnostic notation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Something else, or the end, where this should be.
    Expected(&'static str),
    /// Something after the value.
    AfterValue(char),
    /// A word that is no value, and how it would be written if a word of another language was meant.
    UnknownWord(String, Option<&'static str>),
    /// A string prefix other than `b`, `h` and `b64`.
    UnknownPrefix(String),
    /// A string without its closing quote.
    UnclosedString,
    /// A comment without its closing slash.
    UnclosedComment,
    /// An escape that does not exist in this kind of string.
    UnknownEscape(char),
    /// An escape without its hexadecimal digits, of which there must be this many.
    HexDigits(u8),
    /// A surrogate without the other one, or a line break in a string.
    BadCharacter(u32),
    /// The contents of `h'…'` are not hexadecimal digits, two for each byte.
    BadHex,
    /// The contents of `b64'…'` are not base64.
    BadBase64,
    /// Something that begins like a number.
    MalformedNumber,
    /// An integer that begins with zeros.
    LeadingZeros,
    /// An integer outside −2^64 to 2^64−1.
    IntegerTooBig,
    /// A tag's or simple value's number that is none.
    BadNumber,
    /// A map key that was there before.
    RepeatedKey,
    /// A container within [`MAX_NESTING`] others.
    NestedTooDeep,
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::AfterValue(found) => write!(f, "{found:?} after the end of the value"),
            Self::UnknownWord(word, Some(meant)) => {
                write!(f, "{word:?} is not a value; did you mean {meant}?")
            }
            Self::UnknownWord(word, None) => write!(
                f,
                "{word:?} is not a value; text is in double quotes, and the words are true, false, \
                 null, undefined, NaN and Infinity"
            ),
            Self::UnknownPrefix(prefix) => {
                write!(f, "{prefix:?} is not a string prefix: b, h and b64 are")
            }
            Self::UnclosedString => f.write_str("the string that begins here is not closed"),
            Self::UnclosedComment => f.write_str("the comment that begins here is not closed"),
            Self::UnknownEscape('x') => {
                f.write_str("\\x is for byte strings only; a character of text is written \\uHHHH")
            }
            Self::UnknownEscape(found) => write!(f, "unknown escape: a backslash before {found:?}"),
            Self::HexDigits(digits) => write!(f, "{digits} hexadecimal digits should follow"),
            Self::BadCharacter(code) => write!(f, "U+{code:04X} does not stand alone in a string"),
            Self::BadHex => f.write_str("h'…' holds hexadecimal digits, two for each byte"),
            Self::BadBase64 => f.write_str("b64'…' holds base64"),
            Self::MalformedNumber => f.write_str("not a number"),
            Self::LeadingZeros => f.write_str("an integer does not begin with zeros"),
            Self::IntegerTooBig => f.write_str("integers are from -2^64 to 2^64-1"),
            Self::BadNumber => {
                f.write_str("a tag is up to 2^64-1, a simple value up to 19 or 32 to 255")
            }
            Self::RepeatedKey => f.write_str("this map key was there before"),
            Self::NestedTooDeep => write!(f, "nested deeper than {MAX_NESTING} levels"),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.kind)
    }
}

impl std::error::Error for ParseError {}
