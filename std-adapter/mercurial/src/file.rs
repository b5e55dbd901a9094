//! The text of a file's revision: what is in it, and what it was copied from (http-v2.md, 5.9).

use std::fmt;
use std::io::{self, Write};

use super::Node;

/// Where metadata begins and ends.
const MARK: &[u8] = b"\x01\n";
/// Between a key and its value.
const SEPARATOR: &[u8] = b": ";
/// Most bytes of metadata that are looked at in a text that streams.
const METADATA: usize = 64 << 10;

/// A file's text, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileText<'a> {
    metadata: &'a [u8],
    /// What is in the file.
    pub contents: &'a [u8],
}

/// Why there is no such text of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileTextError {
    /// The metadata has no end.
    NoEnd,
    /// A key or a value that would be read as something else: a line end in it, `: ` in a key, or
    /// a value that ends in byte 1.
    BadMetadata,
}

impl fmt::Display for FileTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEnd => "the file's metadata has no end",
            Self::BadMetadata => "a key or a value has no place in a file's metadata",
        })
    }
}

impl std::error::Error for FileTextError {}

impl<'a> FileText<'a> {
    /// Takes a file's text apart.
    ///
    /// # Errors
    /// It begins with metadata that do not end.
    pub fn parse(text: &'a [u8]) -> Result<Self, FileTextError> {
        let Some(rest) = text.strip_prefix(MARK) else {
            return Ok(Self {
                metadata: &[],
                contents: text,
            });
        };
        let end = rest
            .windows(MARK.len())
            .position(|window| window == MARK)
            .ok_or(FileTextError::NoEnd)?;
        let (metadata, contents) = rest.split_at(end);
        Ok(Self {
            metadata,
            contents: contents.get(MARK.len()..).unwrap_or_default(),
        })
    }

    /// The text of a file with these contents and this metadata.
    ///
    /// # Errors
    /// [`FileTextError::BadMetadata`].
    pub fn emit<'m>(
        metadata: impl IntoIterator<Item = (&'m [u8], &'m [u8])>,
        contents: &[u8],
    ) -> Result<Vec<u8>, FileTextError> {
        let mut lines = Vec::new();
        for (key, value) in metadata {
            let line = [key, SEPARATOR, value].concat();
            if line.contains(&b'\n')
                || line.ends_with(b"\x01")
                || parse_line(&line) != Some((key, value))
            {
                return Err(FileTextError::BadMetadata);
            }
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        if lines.is_empty() && !contents.starts_with(MARK) {
            return Ok(contents.to_vec());
        }
        Ok([MARK, &lines, MARK, contents].concat())
    }

    /// Keys and values of the metadata.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.metadata
            .split(|&byte| byte == b'\n')
            .filter_map(parse_line)
    }

    /// The path and the revision that it was copied from.
    pub fn copied_from(&self) -> Option<(&'a [u8], Node)> {
        let find = |name: &[u8]| self.metadata().find(|(key, _)| *key == name);
        let (_, path) = find(b"copy")?;
        let (_, hex) = find(b"copyrev")?;
        Some((path, Node::from_hex(hex).ok()?))
    }
}

/// The key and the value of a line of metadata.
fn parse_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = SEPARATOR.len();
    let colon = line.windows(len).position(|window| window == SEPARATOR)?;
    let (key, value) = line.split_at(colon);
    Some((key, value.get(len..)?))
}

/// Writes what is in a file, when its text is written to this: passes over the metadata.
#[derive(Debug)]
pub struct Contents<W> {
    out: W,
    /// The text's beginning, while it is not known where the metadata ends.
    front: Option<Vec<u8>>,
}

impl<W: Write> Contents<W> {
    /// Takes a file's text, and writes what is in the file to `out`.
    pub const fn new(out: W) -> Self {
        Self {
            out,
            front: Some(Vec::new()),
        }
    }

    /// The text is complete.
    ///
    /// # Errors
    /// It ends inside of its metadata ([`FileTextError::NoEnd`]); what writing gives.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(front) = &self.front {
            let file = FileText::parse(front).map_err(invalid)?;
            self.out.write_all(file.contents)?;
        }
        Ok(self.out)
    }
}

impl<W: Write> Write for Contents<W> {
    /// Fails on metadata over 64 KiB.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(front) = &mut self.front else {
            return self.out.write(bytes);
        };
        // Where the end may be that was not looked at yet.
        let from = front.len().saturating_sub(1).max(MARK.len());
        front.extend_from_slice(bytes);
        if front.len() < MARK.len() {
            return Ok(bytes.len());
        }
        let is_plain = !front.starts_with(MARK);
        let rest = front.get(from..).unwrap_or_default();
        if is_plain || rest.windows(MARK.len()).any(|window| window == MARK) {
            let file = FileText::parse(front).map_err(invalid)?;
            self.out.write_all(file.contents)?;
            self.front = None;
        } else if front.len() > METADATA {
            return Err(invalid(FileTextError::NoEnd));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn invalid(error: FileTextError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_captured_copy_is_read() {
        let text =
            b"\x01\ncopy: a\ncopyrev: ea11fad4d6a28ad45fad63223f8ba29df8ddc100\n\x01\na0\na1\na2\n";
        let file = FileText::parse(text).unwrap();
        let from = "ea11fad4d6a28ad45fad63223f8ba29df8ddc100".parse().unwrap();
        assert_eq!(file.copied_from(), Some((&b"a"[..], from)));
        assert_eq!(file.contents, b"a0\na1\na2\n");
        assert_eq!(
            FileText::emit(file.metadata(), file.contents).unwrap(),
            text
        );
        assert_eq!(
            Node::of_revision([Node::NULL; 2], text).to_hex(),
            "ea7cc27dc837552a07af6e00a77ddf9999973f7f"
        );
    }

    #[test]
    fn metadata_must_end() {
        assert_eq!(
            FileText::parse(b"\x01\ncopy: a\n"),
            Err(FileTextError::NoEnd)
        );
        let mut contents = Contents::new(io::sink());
        contents.write_all(b"\x01\ncopy: a\n").unwrap();
        assert!(contents.finish().is_err());
        let mut contents = Contents::new(io::sink());
        contents.write_all(b"\x01\n").unwrap();
        assert!(contents.write_all(&[b'x'; METADATA]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_read(
            metadata in prop::collection::vec(("[a-c:\n\x01 ]{0,5}", "[a-c:\n\x01 ]{0,5}"), 0..3),
            marks in 0usize..3, rest: Vec<u8>,
        ) {
            let body = [&MARK.repeat(marks)[..], &rest].concat();
            let is_bad = metadata.iter().any(|(key, value)| {
                key.contains('\n') || key.contains(": ") || value.contains('\n') || value.ends_with('\x01')
            });
            let metadata: Vec<_> = metadata.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
            let text = FileText::emit(metadata.iter().copied(), &body);
            prop_assert_eq!(text.is_err(), is_bad);
            let Ok(text) = text else { return Ok(()) };
            let file = FileText::parse(&text).unwrap();
            prop_assert_eq!(file.contents, &body[..]);
            prop_assert_eq!(file.metadata().collect::<Vec<_>>(), metadata);
            for part in [1, 2, 3, usize::MAX] {
                let mut contents = Contents::new(Vec::new());
                for part in text.chunks(part) {
                    contents.write_all(part).unwrap();
                }
                prop_assert_eq!(&contents.finish().unwrap(), &body);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(text: Vec<u8>) {
            if let Ok(file) = FileText::parse(&text) {
                let _ = file.copied_from();
            }
        }
    }
}
