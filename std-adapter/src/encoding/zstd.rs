//! `zstd-8mb`: one Zstandard frame (RFC 8878) per stream (revision-0006.md, 3.4 to 3.7).
//!
//! The first frame must be a Zstandard frame: a skippable frame, which the RFC counts as another
//! kind of frame and no encoder makes on its own, is `decode-failed`; after the one frame's end
//! anything at all, skippable or not, is `encoding-ended`. The frame's header is read here before
//! the library sees it. The library takes a short cut for small frames that come in one piece and
//! does not look at the window then, so that the answer would depend on how the input is cut.

use ::zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective,
    zstd_sys::ZSTD_EndDirective,
};

use super::{DecodeError, Decoder, EncodeError, Encoder};

/// The largest window that is accepted, in bytes (3.4).
pub const MAX_WINDOW: u64 = 8 << 20;
const MAX_WINDOW_LOG: u32 = 23;

/// The magic number that opens a Zstandard frame (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Magic, descriptor, window or content size, dictionary ID: at most 4 + 1 + 1 + 4 + 8.
const MAX_HEADER: usize = 18;

const LEVEL: i32 = 3;
const WINDOW_LOG: u32 = 21;

/// Least room for output per call of the library.
const ROOM: usize = 4096;

/// Decoder of `zstd-8mb`. It needs no end of frame, and checks the checksum and the content size
/// where the frame has them.
///
/// Memory is taken when the frame's header has come: its window, which is at most 8 MiB, and
/// about 0.5 MiB.
pub struct ZstdDecoder {
    state: State,
}

enum State {
    Header(Header),
    Open {
        context: DCtx<'static>,
        /// The last call filled its output, so that more may be inside. Only then may the library
        /// be called without input: it counts calls without progress, and fails.
        full: bool,
    },
    Ended,
    Failed(DecodeError),
}

impl ZstdDecoder {
    /// A decoder at a stream's start.
    pub const fn new() -> Self {
        Self {
            state: State::Header(Header::new()),
        }
    }
}

impl Default for ZstdDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for ZstdDecoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let state = match self.state {
            State::Header(_) => "header",
            State::Open { .. } => "open",
            State::Ended => "ended",
            State::Failed(_) => "failed",
        };
        f.debug_struct("ZstdDecoder")
            .field("state", &state)
            .finish()
    }
}

impl Decoder for ZstdDecoder {
    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, DecodeError> {
        let result = self.step(input, output);
        if let Err(error) = result
            && error != DecodeError::Ended
        {
            // This drops the context, and with it the window.
            self.state = State::Failed(error);
        }
        result
    }

    fn memory(&self) -> usize {
        match &self.state {
            State::Open { context, .. } => context.sizeof(),
            _ => 0,
        }
    }
}

impl ZstdDecoder {
    fn step(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, DecodeError> {
        if let State::Header(header) = &mut self.state {
            if !header.gather(input)? {
                return Ok(0);
            }
            let context = open(header.bytes())?;
            self.state = State::Open {
                context,
                full: false,
            };
        }
        let (context, full) = match &mut self.state {
            State::Open { context, full } => (context, full),
            State::Failed(error) => return Err(*error),
            _ if input.is_empty() => return Ok(0),
            _ => return Err(DecodeError::Ended),
        };
        // A call may use input and make nothing, and `Ok(0)` must mean that all input is used.
        while !input.is_empty() || *full {
            let mut from = InBuffer::around(input);
            let mut to = OutBuffer::around(output);
            let hint = context
                .decompress_stream(&mut to, &mut from)
                .map_err(|_| DecodeError::Malformed)?;
            let (used, made) = (from.pos(), to.pos());
            *input = input.get(used..).unwrap_or_default();
            *full = made == output.len();
            if hint == 0 {
                self.state = State::Ended;
                // `Ok(0)` would say that the input is used up.
                return if made == 0 && !input.is_empty() {
                    Err(DecodeError::Ended)
                } else {
                    Ok(made)
                };
            }
            if made > 0 {
                return Ok(made);
            }
            if used == 0 && !input.is_empty() {
                return Err(DecodeError::Malformed);
            }
        }
        Ok(0)
    }
}

/// A context that has seen the frame's header, alone: so its short cuts stay out of reach.
fn open(header: &[u8]) -> Result<DCtx<'static>, DecodeError> {
    let mut context = DCtx::try_create().ok_or(DecodeError::MemoryExceeded)?;
    context
        .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
        .map_err(|_| DecodeError::Malformed)?;
    let mut from = InBuffer::around(header);
    let mut nothing = [0; 1];
    context
        .decompress_stream(&mut OutBuffer::around(&mut nothing[..]), &mut from)
        .map_err(|_| DecodeError::Malformed)?;
    if from.pos() == header.len() {
        Ok(context)
    } else {
        Err(DecodeError::Malformed)
    }
}

/// The frame's header while it comes in (RFC 8878, 3.1.1.1).
struct Header {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

impl Header {
    const fn new() -> Self {
        Self {
            bytes: [0; MAX_HEADER],
            len: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Takes header bytes off `input`; whether the header is complete, and then acceptable.
    fn gather(&mut self, input: &mut &[u8]) -> Result<bool, DecodeError> {
        while let Some((&byte, rest)) = input.split_first() {
            let Some(slot) = self.bytes.get_mut(self.len) else {
                return Err(DecodeError::Malformed);
            };
            *slot = byte;
            if MAGIC.get(self.len).is_some_and(|&magic| magic != byte) {
                return Err(DecodeError::Malformed);
            }
            self.len += 1;
            *input = rest;
            if self.is_complete()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_complete(&self) -> Result<bool, DecodeError> {
        let Some((&descriptor, rest)) =
            self.bytes().get(MAGIC.len()..).unwrap_or(&[]).split_first()
        else {
            return Ok(false);
        };
        if descriptor & 0x08 != 0 {
            // The reserved bit.
            return Err(DecodeError::Malformed);
        }
        let single_segment = descriptor & 0x20 != 0;
        let window_len = usize::from(!single_segment);
        let dictionary_len = [0, 1, 2, 4][usize::from(descriptor & 0x03)];
        let content_len = match descriptor >> 6 {
            0 => usize::from(single_segment),
            n => 1 << n,
        };
        if rest.len() < window_len + dictionary_len + content_len {
            return Ok(false);
        }
        let (window, rest) = rest.split_at(window_len);
        let (dictionary, content) = rest.split_at(dictionary_len);
        // A dictionary's ID of zero says that there is none, or that it is not named.
        if dictionary.iter().any(|&b| b != 0) {
            return Err(DecodeError::DictionaryNeeded);
        }
        let window = match window.first() {
            Some(&byte) => window_size(byte),
            // With a single segment the content is the window.
            None => content_size(content),
        };
        if window > MAX_WINDOW {
            return Err(DecodeError::WindowTooLarge);
        }
        Ok(true)
    }
}

fn window_size(byte: u8) -> u64 {
    let base = 1u64 << (10 + u32::from(byte >> 3));
    base + base / 8 * u64::from(byte & 0x07)
}

fn content_size(bytes: &[u8]) -> u64 {
    let size = bytes
        .iter()
        .rev()
        .fold(0u64, |size, &b| size << 8 | u64::from(b));
    // Two bytes count from 256.
    if bytes.len() == 2 { size + 256 } else { size }
}

/// Encoder of `zstd-8mb` as the reference's: level 3, a window of 2 MiB, neither content size nor
/// checksum; a flush ends a block and keeps the frame open.
///
/// It holds about 4 MiB from the first piece on.
pub struct ZstdEncoder {
    context: Option<CCtx<'static>>,
}

impl ZstdEncoder {
    /// An encoder at a stream's start.
    pub const fn new() -> Self {
        Self { context: None }
    }

    fn run(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        directive: ZSTD_EndDirective,
    ) -> Result<(), EncodeError> {
        if self.context.is_none() {
            self.context = Some(new_context()?);
        }
        let context = self.context.as_mut().ok_or(EncodeError)?;
        let flushing = directive == ZSTD_EndDirective::ZSTD_e_flush;
        let mut from = InBuffer::around(input);
        loop {
            out.reserve(ROOM);
            let len = out.len();
            let inside = context
                .compress_stream2(&mut OutBuffer::around_pos(out, len), &mut from, directive)
                .map_err(|_| EncodeError)?;
            if from.pos() == input.len() && (!flushing || inside == 0) {
                return Ok(());
            }
        }
    }
}

fn new_context() -> Result<CCtx<'static>, EncodeError> {
    let mut context = CCtx::try_create().ok_or(EncodeError)?;
    context
        .reset(ResetDirective::SessionAndParameters)
        .map_err(|_| EncodeError)?;
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(WINDOW_LOG),
        CParameter::ContentSizeFlag(false),
        CParameter::ChecksumFlag(false),
    ] {
        context.set_parameter(parameter).map_err(|_| EncodeError)?;
    }
    Ok(context)
}

impl Default for ZstdEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for ZstdEncoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ZstdEncoder").finish_non_exhaustive()
    }
}

impl Encoder for ZstdEncoder {
    fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.run(piece, out, ZSTD_EndDirective::ZSTD_e_continue)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.run(&[], out, ZSTD_EndDirective::ZSTD_e_flush)
    }
}
