//! UTF-8 that comes in parts, and what is safe to show.

use core::fmt::{self, Write};

use super::ByteString;

/// Decodes UTF-8 byte by byte; each maximal invalid part becomes U+FFFD (messages.md, "Text
/// output"), as in `str::from_utf8_lossy`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Utf8Decoder {
    code: u32,
    /// Continuation bytes still to come.
    needed: u8,
    /// What the next continuation byte may be.
    lower: u8,
    upper: u8,
}

/// What a byte gave: `.0` says that an invalid part ended before it, `.1` is what it completed.
type Step = (bool, Option<char>);

impl Utf8Decoder {
    pub(super) const fn new() -> Self {
        Self {
            code: 0,
            needed: 0,
            lower: 0x80,
            upper: 0xbf,
        }
    }

    fn step(&mut self, byte: u8) -> Step {
        let mut broke = false;
        if self.needed > 0 {
            if (self.lower..=self.upper).contains(&byte) {
                self.code = (self.code << 6) | u32::from(byte & 0x3f);
                self.needed = self.needed.wrapping_sub(1);
                (self.lower, self.upper) = (0x80, 0xbf);
                if self.needed > 0 {
                    return (false, None);
                }
                let whole = char::from_u32(self.code).unwrap_or(char::REPLACEMENT_CHARACTER);
                return (false, Some(whole));
            }
            broke = true;
            *self = Self::new();
        }
        let (needed, mask) = match byte {
            0x00..=0x7f => return (broke, Some(char::from(byte))),
            0xc2..=0xdf => (1, 0x1f),
            0xe0..=0xef => (2, 0x0f),
            0xf0..=0xf4 => (3, 0x07),
            _ => return (broke, Some(char::REPLACEMENT_CHARACTER)),
        };
        match byte {
            0xe0 => self.lower = 0xa0,
            0xed => self.upper = 0x9f,
            0xf0 => self.lower = 0x90,
            0xf4 => self.upper = 0x8f,
            _ => {}
        }
        self.needed = needed;
        self.code = u32::from(byte & mask);
        (broke, None)
    }

    /// Decodes these bytes; the characters go to `out`.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        out: &mut dyn FnMut(char) -> fmt::Result,
    ) -> fmt::Result {
        for &byte in bytes {
            let (broke, whole) = self.step(byte);
            if broke {
                out(char::REPLACEMENT_CHARACTER)?;
            }
            if let Some(whole) = whole {
                out(whole)?;
            }
        }
        Ok(())
    }

    /// The end: what is cut here is an invalid part.
    pub(super) fn finish(self, out: &mut dyn FnMut(char) -> fmt::Result) -> fmt::Result {
        if self.needed > 0 {
            out(char::REPLACEMENT_CHARACTER)?;
        }
        Ok(())
    }
}

/// The characters of a string, lossily.
pub(super) fn for_each_char(
    bytes: &ByteString<'_>,
    out: &mut dyn FnMut(char) -> fmt::Result,
) -> fmt::Result {
    let mut decoder = Utf8Decoder::new();
    for chunk in bytes.chunks() {
        decoder.push(chunk, out)?;
    }
    decoder.finish(out)
}

/// Writes the lowest `digits` hexadecimal digits of a number. Not by `{:02x}`: the formatter's code
/// for padding is larger than all of this file's.
pub(super) fn write_hex(w: &mut dyn Write, value: u32, digits: u32) -> fmt::Result {
    (0..digits).rev().try_for_each(|digit| {
        let nibble = value.wrapping_shr(digit.wrapping_mul(4)) & 0xf;
        w.write_char(char::from_digit(nibble, 16).unwrap_or('0'))
    })
}

/// Writes a character in quotes: like `char::escape_debug`, without its tables and panic paths.
pub(super) fn write_quoted(w: &mut dyn Write, c: char) -> fmt::Result {
    match c {
        '"' | '\\' => {
            w.write_char('\\')?;
            w.write_char(c)
        }
        '\n' => w.write_str("\\n"),
        '\t' => w.write_str("\\t"),
        _ => write_safe(w, c),
    }
}

/// Writes a character so that it is safe on a terminal.
fn write_safe(w: &mut dyn Write, c: char) -> fmt::Result {
    match c {
        '\n' | '\t' => w.write_char(c),
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => {
            w.write_str("\\x")?;
            write_hex(w, u32::from(c), 2)
        }
        _ if is_hidden(c) => {
            w.write_str("\\u{")?;
            let digits = if c > '\u{ffff}' { 5 } else { 4 };
            write_hex(w, u32::from(c), digits)?;
            w.write_char('}')
        }
        _ => w.write_char(c),
    }
}

/// Returns whether a character does something to a terminal or to the text around it, or does not
/// show at all: [`Escaped`] escapes these, except newline and tab.
///
/// They are the Unicode 16 general categories Cc, Cf, Zl and Zp and `Default_Ignorable_Code_Point`:
/// controls, line and paragraph separators, zero-width characters, those that reorder text, fillers,
/// variation selectors and tags. Emoji that are joined or varied by some are shown with these
/// escaped: two names that differ look different.
pub const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}'
            | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Writes a string as text, lossily.
pub(super) fn write_lossy(bytes: &ByteString<'_>, w: &mut dyn Write) -> fmt::Result {
    for_each_char(bytes, &mut |c| w.write_char(c))
}

/// Shows anything so that it is safe on a terminal (messages.md, "Text output").
///
/// Control characters other than newline and tab become `\x1b`, those of U+0080 to U+009F
/// (`\x9b`) included; characters that reorder text or do not show, such as U+202E and U+200B
/// ([`is_hidden`]), become `\u{202e}`. Everything else is shown as it is.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Escaped<T>(pub T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(EscapeWriter { inner: f }, "{}", self.0)
    }
}

/// Escapes what is written through it.
struct EscapeWriter<'w, 'f> {
    inner: &'w mut fmt::Formatter<'f>,
}

impl Write for EscapeWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        write_safe(self.inner, c)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn utf8ish() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(
            &[
                0x00u8, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbd, 0xbf, 0xc0, 0xc2, 0xdf,
                0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff,
            ][..],
        );
        prop_oneof![
            prop::collection::vec(byte, 0..12),
            any::<String>().prop_map(String::into_bytes)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn lossy_text_is_as_the_standard_library_has_it_however_it_is_cut(bytes in utf8ish(), part in 1usize..5) {
            let mut shown = String::new();
            let mut decoder = Utf8Decoder::new();
            for chunk in bytes.chunks(part) {
                decoder.push(chunk, &mut |c| shown.write_char(c)).unwrap();
            }
            decoder.finish(&mut |c| shown.write_char(c)).unwrap();
            prop_assert_eq!(&shown, &String::from_utf8_lossy(&bytes));
            let mut chunks = std::vec![0x5f];
            for chunk in bytes.chunks(part) {
                chunks.push(0x40 | u8::try_from(chunk.len()).unwrap());
                chunks.extend(chunk);
            }
            chunks.push(0xff);
            let cut = super::super::Value::from_cbor(&chunks).unwrap().as_bytes().unwrap();
            for string in [cut, ByteString::from_slice(&bytes)] {
                prop_assert_eq!(string.is_utf8(), std::str::from_utf8(&bytes).is_ok());
            }
        }

        #[test]
        fn nothing_that_is_shown_controls_a_terminal(text: String) {
            let shown = format!("{}", Escaped(text));
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'));
            prop_assert!(!shown.chars().any(|c| is_hidden(c) && c != '\n' && c != '\t'));
        }
    }

    #[test]
    fn controls_are_escaped() {
        let shown = format!(
            "{}",
            Escaped("a\x1b[31m\n\t\r\0\x7f\u{9b}\u{a0}\u{202e}\u{2066}\\x é")
        );
        assert_eq!(
            shown,
            "a\\x1b[31m\n\t\\x0d\\x00\\x7f\\x9b\u{a0}\\u{202e}\\u{2066}\\x é"
        );
    }

    #[test]
    fn what_does_not_show_is_escaped() {
        let hidden = "\u{ad}\u{200b}\u{2028}\u{2029}\u{feff}\u{3164}\u{fe0f}\u{e0041}\u{e0100}";
        assert_eq!(
            format!("{}", Escaped(hidden)),
            "\\u{00ad}\\u{200b}\\u{2028}\\u{2029}\\u{feff}\\u{3164}\\u{fe0f}\\u{e0041}\\u{e0100}"
        );
        for shown in [
            "\u{a0}\u{3000}",
            "e\u{301}",
            "你好",
            "\u{1f600}",
            "\u{e000}",
        ] {
            assert_eq!(format!("{}", Escaped(shown)), shown);
        }
    }
}
