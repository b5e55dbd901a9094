//! `zlib`: one RFC 1950 stream per stream (revision-0006.md, 3.4 to 3.7).

use flate2::{
    Compress, Compression, Decompress, DecompressError, FlushCompress, FlushDecompress, Status,
};

use super::{DecodeError, Decoder, EncodeError, Encoder};

/// What an inflater holds: a window of 32 KiB and its tables.
const DECODER_MEMORY: usize = 48 * 1024;

/// Least room for output per call of the library.
const ROOM: usize = 4096;

/// Decoder of `zlib`. It needs no trailer, and checks the checksum of one that comes.
#[derive(Debug)]
pub struct ZlibDecoder {
    inflate: Decompress,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open,
    Ended,
    Failed(DecodeError),
}

impl ZlibDecoder {
    /// A decoder at a stream's start.
    pub fn new() -> Self {
        Self {
            inflate: Decompress::new(true),
            state: State::Open,
        }
    }

    fn fail(&mut self, error: DecodeError) -> DecodeError {
        self.state = State::Failed(error);
        error
    }
}

impl Default for ZlibDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for ZlibDecoder {
    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, DecodeError> {
        match self.state {
            State::Open => {}
            State::Ended if input.is_empty() => return Ok(0),
            State::Ended => return Err(DecodeError::Ended),
            State::Failed(error) => return Err(error),
        }
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(input, output, FlushDecompress::None)
            .map_err(|error| self.fail(reason(&error)))?;
        let used = delta(before_in, self.inflate.total_in());
        let made = delta(before_out, self.inflate.total_out());
        *input = input.get(used..).unwrap_or_default();
        match status {
            Status::StreamEnd => {
                self.state = State::Ended;
                // `Ok(0)` would say that the input is used up.
                if made == 0 && !input.is_empty() {
                    return Err(DecodeError::Ended);
                }
            }
            // The library has room and input and wants neither: it never does that, but a loop
            // without progress must not depend on it.
            _ if made == 0 && !input.is_empty() => return Err(self.fail(DecodeError::Malformed)),
            _ => {}
        }
        Ok(made)
    }

    fn memory(&self) -> usize {
        DECODER_MEMORY
    }
}

fn reason(error: &DecompressError) -> DecodeError {
    match error.needs_dictionary() {
        Some(_) => DecodeError::DictionaryNeeded,
        None => DecodeError::Malformed,
    }
}

/// How far a counter of the library moved in one call: never more than a slice's length.
fn delta(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

/// Encoder of `zlib`: default level and window; a flush is a sync flush (ends in `00 00 ff ff`) and
/// keeps the window.
#[derive(Debug)]
pub struct ZlibEncoder {
    deflate: Compress,
}

impl ZlibEncoder {
    /// An encoder at a stream's start.
    pub fn new() -> Self {
        Self {
            deflate: Compress::new(Compression::default(), true),
        }
    }

    fn run(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        flush: FlushCompress,
    ) -> Result<(), EncodeError> {
        loop {
            out.reserve(ROOM);
            let before = self.deflate.total_in();
            self.deflate
                .compress_vec(input, out, flush)
                .map_err(|_| EncodeError)?;
            let used = delta(before, self.deflate.total_in());
            input = input.get(used..).unwrap_or_default();
            // Room that is left says that the library holds nothing back for want of it.
            if out.len() < out.capacity() {
                return if input.is_empty() {
                    Ok(())
                } else {
                    Err(EncodeError)
                };
            }
        }
    }
}

impl Default for ZlibEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder for ZlibEncoder {
    fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.run(piece, out, FlushCompress::None)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.run(&[], out, FlushCompress::Sync)
    }
}
