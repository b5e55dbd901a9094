//! Finds what a command wrote in a CBOR sequence, however it is cut: the content of byte strings, or
//! values as they are encoded.

use hgrpc::Revision;
use hgrpc::cbor::MAJOR_BYTES;

use super::{AnswerError, CallError};

/// Where in a sequence of byte strings, definite or streamed, the next byte lies.
///
/// A sequence that begins with another value was not written as bytes: all of it is content, as it
/// is in 0003 and 0005, so that a handler's answer reads the same in every revision.
#[derive(Clone, Debug)]
pub(crate) struct Strings {
    /// Everything is content.
    is_raw: bool,
    /// Nothing has come.
    is_first: bool,
    /// Inside a streamed string, between its chunks or in one.
    is_streamed: bool,
    /// Bytes of the head's argument still to come.
    missing: u8,
    argument: u64,
    /// Bytes of content still to come.
    content: u64,
}

/// What is at the front.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// One byte that belongs to a head.
    Head,
    /// So many bytes of content, at least one.
    Content(usize),
}

impl Strings {
    const fn new() -> Self {
        Self {
            is_raw: false,
            is_first: true,
            is_streamed: false,
            missing: 0,
            argument: 0,
            content: 0,
        }
    }

    /// At the start of a response's bytes: before 0006 they are no sequence of strings, all of them
    /// are content.
    pub(crate) const fn of_response(revision: Revision) -> Self {
        Self {
            is_raw: !revision.has_settings(),
            ..Self::new()
        }
    }

    /// Whether the sequence may end here.
    pub(crate) const fn is_between(&self) -> bool {
        self.is_raw || (!self.is_streamed && self.missing == 0 && self.content == 0)
    }

    /// Looks at the next bytes, at least one. One of a head is passed over.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Step, CallError> {
        if let (true, Some(byte)) = (self.is_first, bytes.first()) {
            self.is_first = false;
            self.is_raw |= byte >> 5 != MAJOR_BYTES;
        }
        if self.is_raw {
            return Ok(Step::Content(bytes.len()));
        }
        if self.content > 0 {
            let most = usize::try_from(self.content).unwrap_or(usize::MAX);
            return Ok(Step::Content(bytes.len().min(most)));
        }
        let Some(&byte) = bytes.first() else {
            return Ok(Step::Content(0));
        };
        if self.missing > 0 {
            self.argument = (self.argument << 8) | u64::from(byte);
            self.missing -= 1;
            if self.missing == 0 {
                self.content = self.argument;
            }
            return Ok(Step::Head);
        }
        match byte {
            0x40..=0x57 => self.content = u64::from(byte & 0x1f),
            0x58..=0x5b => {
                self.missing = 1 << (byte - 0x58);
                self.argument = 0;
            }
            0x5f if !self.is_streamed => self.is_streamed = true,
            0xff if self.is_streamed => self.is_streamed = false,
            _ => return Err(CallError::Answer(AnswerError::NotBytes)),
        }
        Ok(Step::Head)
    }

    /// So many bytes of content were used.
    pub(crate) fn passed(&mut self, len: usize) {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.content = self.content.saturating_sub(len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contents(mut bytes: &[u8], most: usize) -> Option<Vec<u8>> {
        let mut strings = Strings::new();
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (front, _) = bytes.split_at(bytes.len().min(most));
            let len = match strings.step(front).ok()? {
                Step::Head => 1,
                Step::Content(len) => {
                    strings.passed(len);
                    all.extend_from_slice(&front[..len]);
                    len
                }
            };
            bytes = &bytes[len..];
        }
        strings.is_between().then_some(all)
    }

    #[test]
    fn definite_and_streamed_strings() {
        assert_eq!(contents(b"", 9).as_deref(), Some(&b""[..]));
        assert_eq!(
            contents(b"\x43abc\x40\x41d", 2).as_deref(),
            Some(&b"abcd"[..])
        );
        let streamed = b"\x5f\x58\x02ab\x40\x59\0\x01c\xff\x41d";
        assert_eq!(contents(streamed, 1).as_deref(), Some(&b"abcd"[..]));
        for wrong in [
            &b"\x43ab"[..],
            b"\x5f\x41a",
            b"\x41a\x01",
            b"\x5f\x5f",
            b"\x41a\xff",
            b"\x58",
        ] {
            assert_eq!(contents(wrong, 9), None, "{wrong:02x?}");
        }
    }

    #[test]
    fn what_begins_with_another_value_is_content_as_it_is() {
        for values in [&b"\x01"[..], b"\x82\x01\x41a\x43abc", b"\x65hello\x41a"] {
            for most in [1, 2, 9] {
                assert_eq!(contents(values, most).as_deref(), Some(values));
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(bytes: Vec<u8>, most in 1usize..9) {
            prop_assert_eq!(contents(&bytes, most), contents(&bytes, usize::MAX));
        }
    }
}
