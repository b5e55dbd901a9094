//! The decoders of a connection's incoming streams, and their limits (revision-0006.md, 3.5 to 3.8
//! and 4.2).

use std::collections::BTreeMap;

use hgrpc::wire::StreamId;

use super::{ContentEncoding, DecodeError, Decoder, decoder};

/// The largest piece of decoded bytes that [`Decoded::next_piece`] copies out, in bytes.
pub const PIECE_LEN: usize = 32 * 1024;

/// What a peer may make the decoders of one connection do.
///
/// A small frame can decode to a great deal: zlib makes up to 1,032 bytes out of one, Zstandard
/// 32,768. Memory stays constant whatever the length, so all limits but that of memory are about
/// time, and about consumers that keep what they get, in memory or in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// Bytes that one frame may decode to. Default 1 GiB: the most that a Zstandard encoder can put
    /// into a frame of 32 KiB, the longest that senders should make (1.1), with a run of 128 KiB in
    /// each block of 4 bytes. So only a frame over that length is ever refused, and a bomb of one
    /// frame costs well under a second.
    pub frame_output: u64,
    /// Bytes that all frames of one stream together may decode to. Default: no limit, since a
    /// stream may live as long as its connection.
    pub stream_output: u64,
    /// How many bytes one encoded byte may decode to on average, beyond the first
    /// [`ratio_free`](Self::ratio_free). Default 200: text and code stay under 20, and logs under
    /// 100. `u32::MAX`: no limit.
    pub ratio: u32,
    /// Bytes that may be decoded whatever their ratio: all streams of a connection together may be
    /// so far ahead of what their encoded bytes allow. Default 64 MiB.
    pub ratio_free: u64,
    /// Bytes of memory that all decoders together may hold; one window of 8 MiB more may be taken
    /// before it is noticed. Default 128 MiB: 15 streams of the largest windows, or 55 of those of
    /// 2 MiB that the reference makes.
    pub memory: usize,
}

impl DecodeLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            frame_output: 1 << 30,
            stream_output: u64::MAX,
            ratio: 200,
            ratio_free: 64 << 20,
            memory: 128 << 20,
        }
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Which stream is decoded how.
///
/// The owner tells it three things, and hands it every payload of an encoded frame in wire order,
/// also those of frames that it is going to refuse (3.5):
///
/// | what comes | call |
/// | --- | --- |
/// | complete stream settings (4.2) | [`install`](Self::install), each time anew |
/// | a part of an encoded payload | [`decode`](Self::decode) |
/// | a frame with `stream-end`, after its payload | [`end`](Self::end) |
/// | `stream-begin`, on an open stream too (3.3) | nothing: it never resets a decoder |
/// | a payload that is not encoded | nothing: it bypasses the decoder |
///
/// ```
/// use hgrpc::wire::StreamId;
/// use hgrpc_std::encoding::{ContentEncoding, StreamDecoders};
///
/// let mut streams = StreamDecoders::default();
/// let stream = StreamId::new(2);
/// assert!(streams.install(stream, ContentEncoding::Identity));
/// let mut decoded = streams.decode(stream, b"payload", true);
/// while let Some(piece) = decoded.next_piece()? {
///     assert_eq!(piece, b"payload");
/// }
/// # Ok::<(), hgrpc_std::encoding::DecodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct StreamDecoders {
    limits: DecodeLimits,
    /// Streams whose settings name something else than `identity`.
    entries: BTreeMap<StreamId, Entry>,
    /// What all entries hold together, in bytes.
    memory: usize,
    /// Decoded bytes that the ratio does not allow for the encoded bytes that came. Counted for all
    /// streams together: else each new one would have its own free bytes.
    ahead: u64,
    /// One buffer for all: only one payload is decoded at a time. Empty until one is.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    decoder: Result<Box<dyn Decoder>, DecodeError>,
    /// The decoder's memory as counted in the sum.
    memory: usize,
    /// Bytes that the current frame has decoded to.
    frame_output: u64,
    /// Bytes that the stream has decoded to since its settings came.
    stream_output: u64,
}

impl StreamDecoders {
    /// No stream has settings.
    pub const fn new(limits: DecodeLimits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            memory: 0,
            ahead: 0,
            buffer: Vec::new(),
        }
    }

    /// Stream settings have come: a fresh decoder replaces what the stream had. `false`, and no
    /// change, if this build does not have the encoding (`encoding-unusable`).
    pub fn install(&mut self, stream: StreamId, encoding: ContentEncoding) -> bool {
        if matches!(encoding, ContentEncoding::Identity) {
            self.end(stream);
            return true;
        }
        let Some(decoder) = decoder(encoding) else {
            return false;
        };
        self.install_decoder(stream, decoder);
        true
    }

    /// Like [`install`](Self::install) with a decoder of the owner's.
    pub fn install_decoder(&mut self, stream: StreamId, decoder: Box<dyn Decoder>) {
        self.end(stream);
        let memory = decoder.memory();
        self.memory = self.memory.saturating_add(memory);
        self.entries.insert(
            stream,
            Entry {
                decoder: Ok(decoder),
                memory,
                frame_output: 0,
                stream_output: 0,
            },
        );
    }

    /// The stream has ended: its decoder goes. A stream that begins again has none.
    pub fn end(&mut self, stream: StreamId) {
        if let Some(entry) = self.entries.remove(&stream) {
            self.memory = self.memory.saturating_sub(entry.memory);
        }
    }

    /// Whether the stream's payloads go through a decoder; without one they are what they are.
    pub fn has_decoder(&self, stream: StreamId) -> bool {
        self.entries.contains_key(&stream)
    }

    /// How many bytes all decoders hold, about.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Decodes a part of an encoded frame's payload; `last` says that it is the payload's last.
    ///
    /// Every byte that arrived must be decoded, wanted or not: see [`Decoded`]. On a stream
    /// without settings the part itself is the one piece (3.8). An empty part is fine.
    pub fn decode<'a>(&'a mut self, stream: StreamId, part: &'a [u8], last: bool) -> Decoded<'a> {
        if !self.has_decoder(stream) {
            return Decoded(Source::Plain(part));
        }
        self.came(part.len());
        Decoded(Source::Coded(Coded {
            streams: self,
            stream,
            input: part,
            last,
            done: false,
        }))
    }

    /// So many encoded bytes have come, for [`next_piece`](Self::next_piece).
    pub(crate) fn came(&mut self, len: usize) {
        let allowed = length(len).saturating_mul(self.limits.ratio.into());
        self.ahead = self.ahead.saturating_sub(allowed);
    }

    /// The next bytes that some of a payload decodes to, as [`Decoded::next_piece`] gives them, for
    /// owners that go on later: what was used is taken off the front of `input`, whose bytes
    /// [have come](Self::came). The stream has a decoder.
    pub(crate) fn next_piece(
        &mut self,
        stream: StreamId,
        input: &mut &[u8],
        last: bool,
    ) -> Result<Option<&[u8]>, DecodeError> {
        let made = match self.step(stream, input) {
            Ok(made) => made,
            Err(error) => {
                self.fail(stream, error);
                return Err(error);
            }
        };
        if made > 0 {
            return Ok(self.buffer.get(..made));
        }
        if last && let Some(entry) = self.entries.get_mut(&stream) {
            entry.frame_output = 0;
        }
        Ok(None)
    }

    fn step(&mut self, stream: StreamId, input: &mut &[u8]) -> Result<usize, DecodeError> {
        let Some(entry) = self.entries.get_mut(&stream) else {
            return Ok(0);
        };
        let decoder = match &mut entry.decoder {
            Ok(decoder) => decoder,
            // An empty payload is fine after the end.
            Err(DecodeError::Ended) if input.is_empty() => return Ok(0),
            Err(error) => return Err(*error),
        };
        self.buffer.resize(PIECE_LEN, 0);
        let limits = &self.limits;
        let frame_left = limits.frame_output.saturating_sub(entry.frame_output);
        let stream_left = limits.stream_output.saturating_sub(entry.stream_output);
        // Room for one byte over the limit: that it is written is how we know.
        let left = usize::try_from(frame_left.min(stream_left)).unwrap_or(usize::MAX);
        let room = left.saturating_add(1).min(self.buffer.len());
        let output = self.buffer.get_mut(..room).unwrap_or_default();
        let made = decoder.decode(input, output)?;

        let memory = decoder.memory();
        self.memory = self
            .memory
            .saturating_sub(entry.memory)
            .saturating_add(memory);
        entry.memory = memory;
        if self.memory > limits.memory {
            return Err(DecodeError::MemoryExceeded);
        }
        entry.frame_output = entry.frame_output.saturating_add(length(made));
        entry.stream_output = entry.stream_output.saturating_add(length(made));
        if entry.frame_output > limits.frame_output {
            return Err(DecodeError::FrameOutputTooLarge);
        }
        if entry.stream_output > limits.stream_output {
            return Err(DecodeError::StreamOutputTooLarge);
        }
        if limits.ratio != u32::MAX {
            self.ahead = self.ahead.saturating_add(length(made));
            if self.ahead > limits.ratio_free {
                return Err(DecodeError::RatioTooLarge);
            }
        }
        Ok(made)
    }

    /// A decoder is of no more use: its memory goes now.
    fn fail(&mut self, stream: StreamId, error: DecodeError) {
        if let Some(entry) = self.entries.get_mut(&stream) {
            entry.decoder = Err(error);
            self.memory = self.memory.saturating_sub(entry.memory);
            entry.memory = 0;
        }
    }
}

/// What one part of a payload decodes to, piece by piece.
///
/// It must be read to its end, by [`next_piece`](Self::next_piece) until there is none or by
/// [`skip`](Self::skip): the decoder has to see all bytes. If it is dropped before, what is lost
/// would make garbage of all that follows, so the stream fails with [`DecodeError::Abandoned`].
#[derive(Debug)]
#[must_use = "what is not decoded makes the rest of the stream undecodable"]
pub struct Decoded<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Plain(&'a [u8]),
    Coded(Coded<'a>),
}

impl Decoded<'_> {
    /// The next bytes, never empty; `None` at the end of what the part decodes to.
    ///
    /// A piece has at most [`PIECE_LEN`] bytes, or is the part itself where nothing was encoded.
    ///
    /// # Errors
    ///
    /// See [`DecodeError`]; the pieces before it are good.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        match &mut self.0 {
            Source::Plain(part) => {
                let piece = core::mem::take(part);
                Ok((!piece.is_empty()).then_some(piece))
            }
            Source::Coded(coded) => coded.next_piece(),
        }
    }

    /// Decodes the rest for the decoder's sake only, within the same limits; how many bytes that
    /// were.
    ///
    /// # Errors
    ///
    /// As [`next_piece`](Self::next_piece).
    pub fn skip(mut self) -> Result<u64, DecodeError> {
        let mut skipped = 0u64;
        while let Some(piece) = self.next_piece()? {
            skipped = skipped.saturating_add(length(piece.len()));
        }
        Ok(skipped)
    }
}

#[derive(Debug)]
struct Coded<'a> {
    streams: &'a mut StreamDecoders,
    stream: StreamId,
    input: &'a [u8],
    last: bool,
    /// The end, or an error, has been handed out.
    done: bool,
}

impl Coded<'_> {
    fn next_piece(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        if self.done {
            let entry = self.streams.entries.get(&self.stream);
            return match entry.map(|entry| &entry.decoder) {
                Some(Err(error)) => Err(*error),
                _ => Ok(None),
            };
        }
        let piece = self
            .streams
            .next_piece(self.stream, &mut self.input, self.last);
        self.done = !matches!(piece, Ok(Some(_)));
        piece
    }
}

impl Drop for Coded<'_> {
    fn drop(&mut self) {
        // The last piece may have been the end without anybody asking: one more step tells.
        if !self.done && matches!(self.next_piece(), Ok(Some(_))) {
            self.streams.fail(self.stream, DecodeError::Abandoned);
        }
    }
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
