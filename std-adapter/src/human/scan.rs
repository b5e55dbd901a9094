//! A place in a line, and columns.

use super::HumanErrorKind;

/// What is wrong, and at which byte of the line (from 0).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) kind: HumanErrorKind,
}

impl Fault {
    pub(super) fn new(offset: usize, kind: HumanErrorKind) -> Self {
        Self { offset, kind }
    }
}

/// The column of a byte: characters before it, and one.
pub(super) fn column(line: &[u8], offset: usize) -> usize {
    let before = line.get(..offset).unwrap_or(line);
    let chars: usize = before
        .utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum();
    chars + 1
}

/// A reader over a line.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    line: &'a [u8],
    /// Bytes read.
    pub(super) offset: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(line: &'a [u8], offset: usize) -> Self {
        Self { line, offset }
    }

    /// The next byte, which stays; `None` at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.line.get(self.offset).copied()
    }

    /// Takes the next byte.
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.offset += 1;
        Some(byte)
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.line.get(self.offset..).unwrap_or_default()
    }

    /// Takes bytes while they fit.
    pub(super) fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|&b| !fits(b)).unwrap_or(rest.len());
        self.offset += len;
        rest.get(..len).unwrap_or_default()
    }

    /// Passes over spaces and tabs.
    pub(super) fn skip_spaces(&mut self) {
        self.take_while(|b| matches!(b, b' ' | b'\t'));
    }

    /// The character at the place, as it is shown in errors; `None` at the end.
    pub(super) fn char(&self) -> Option<char> {
        let rest = self.rest();
        // No character is longer than four bytes.
        let chunk = rest.get(..4).unwrap_or(rest).utf8_chunks().next()?;
        let byte = || self.peek().map(char::from);
        chunk.valid().chars().next().or_else(byte)
    }

    /// A fault here.
    pub(super) fn fault(&self, kind: HumanErrorKind) -> Fault {
        Fault::new(self.offset, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let line = "aé☃x".as_bytes();
        assert_eq!(column(line, 0), 1);
        assert_eq!(column(line, 1), 2);
        assert_eq!(column(line, 3), 3);
        assert_eq!(column(line, 6), 4);
        assert_eq!(column(line, 99), 5);
        // Bytes that are not UTF-8 are a character each.
        assert_eq!(column(b"\xff\xe2\x98x", 3), 4);
    }
}
