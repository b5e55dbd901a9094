//! A byte string of a response whose length is known and whose content is not held.

use std::fmt;
use std::io::{self, Write};

use super::Reply;

/// Writes one byte string of a response; see [`Reply::byte_string`].
///
/// The string is complete when as many bytes were written as announced: more are refused
/// ([`io::ErrorKind::InvalidInput`]), and a reply with fewer fails at its end.
pub struct ByteStringWriter<'a> {
    reply: &'a mut Reply,
}

impl<'a> ByteStringWriter<'a> {
    pub(super) fn new(reply: &'a mut Reply) -> Self {
        Self { reply }
    }

    /// How many bytes are still to be written.
    pub fn missing(&self) -> u64 {
        self.reply.missing()
    }
}

impl Write for ByteStringWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reply.add_content(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.reply.flush()
    }
}

impl fmt::Debug for ByteStringWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStringWriter")
            .field("missing", &self.missing())
            .finish_non_exhaustive()
    }
}
