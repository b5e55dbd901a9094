//! Where frames are filled: a buffer of the owner's, and the stream that they go on.

use crate::ApiMisuse;
use crate::bytes::copy;
use crate::cbor::ContentEncoding;
use crate::tuned::IS_SMALL;
use crate::wire::{FrameHeader, HEADER_LEN, RequestId, StreamFlags, StreamId, TypeFlags};

/// A stream that an end writes on (framing.md, "Streams").
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a stream's ID is in use until the stream is closed"]
pub struct Stream {
    pub(super) id: StreamId,
    pub(super) encoding: ContentEncoding,
    pub(super) state: u8,
    /// The response that has an encoded stream for itself (revision-0006.md, 3.5a).
    pub(super) occupied_by: Option<RequestId>,
}

/// `stream-begin` was sent.
pub(super) const BEGUN: u8 = 0x01;
/// The next frame carries `stream-end`.
pub(super) const ENDS_NEXT: u8 = 0x02;
/// `stream-end` was sent.
pub(super) const ENDED: u8 = 0x04;
/// The stream's settings were sent (0006).
pub(super) const SETTINGS: u8 = 0x08;

impl Stream {
    /// The only stream that a client writes on; never encoded (revision-0006.md, 3.9).
    pub const CLIENT: Self = Self::new(StreamId::new(1), ContentEncoding::Identity);

    /// The only stream of a server that opens no others. Not to be mixed with
    /// [`Server::open_stream`](super::server::Server::open_stream).
    pub const ONLY: Self = Self::new(StreamId::new(2), ContentEncoding::Identity);

    pub(super) const fn new(id: StreamId, encoding: ContentEncoding) -> Self {
        Self {
            id,
            encoding,
            state: 0,
            occupied_by: None,
        }
    }

    /// The stream's ID.
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// The content encoding of the stream's responses (0006); the owner applies it.
    pub const fn encoding(&self) -> ContentEncoding {
        self.encoding
    }

    /// Has the next frame on the stream carry `stream-end`. The stream takes no frame after it.
    pub const fn end_with_next(&mut self) {
        self.state |= ENDS_NEXT;
    }

    /// Whether the stream's last frame was made.
    pub const fn is_ended(&self) -> bool {
        self.state & ENDED != 0
    }

    /// Whether the stream's first frame was made.
    pub const fn is_begun(&self) -> bool {
        self.state & BEGUN != 0
    }

    /// The flags of the next frame; it is taken.
    pub(super) fn take_flags(&mut self, is_encoded: bool) -> StreamFlags {
        let state = self.state;
        let flags = StreamFlags::NONE
            .with(StreamFlags::BEGIN, state & BEGUN == 0)
            .with(StreamFlags::END, state & ENDS_NEXT != 0)
            .with(StreamFlags::ENCODED, is_encoded);
        // `ENDS_NEXT` becomes `ENDED`.
        self.state |= BEGUN | (state & ENDS_NEXT) << 1;
        flags
    }
}

/// A stream and the buffer that its frames are filled into, one frame at a time. In 0006 the buffer
/// is also where small pieces of a response are joined (revision-0006.md, 7.2).
#[derive(Debug)]
pub struct Output<'b> {
    pub(super) stream: Stream,
    pub(super) buffer: &'b mut [u8],
    /// Bytes of the frame that was made last; 0 if none was.
    pub(super) len: usize,
    /// Where the current frame ends at the latest; before its header's end, if no frame fits.
    end: usize,
    /// Bytes that are joined behind the room for a header.
    pub(super) joined: usize,
    /// Whose they are.
    pub(super) owner: RequestId,
}

#[cfg(feature = "defmt")]
impl defmt::Format for Output<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Output({}, {=usize} joined)", self.stream, self.joined);
    }
}

/// What a frame says beside its payload, in one word: the request, the type with its flags, and
/// whether it is `encoded`.
#[derive(Clone, Copy)]
pub(super) struct Head(u32);

impl Head {
    #[inline]
    pub(super) const fn new(id: RequestId, number: u8, flags: TypeFlags) -> Self {
        let [low, high] = id.value().to_le_bytes();
        Self(u32::from_le_bytes([
            low,
            high,
            number << 4 | flags.bits(),
            0,
        ]))
    }

    /// The same, `encoded` if so.
    #[inline]
    pub(super) const fn encoded(self, is_encoded: bool) -> Self {
        if is_encoded {
            Self(self.0 | 0x0100_0000)
        } else {
            self
        }
    }
}

/// Puts parts one behind another. Returns how much room is left; `None`: there is too little.
#[inline]
fn put(to: &mut [u8], parts: &[&[u8]]) -> Option<usize> {
    if IS_SMALL {
        // One loop for all is less code than a copy for each.
        let mut to = to.iter_mut();
        for part in parts {
            for byte in *part {
                *to.next()? = *byte;
            }
        }
        return Some(to.len());
    }
    let mut rest = to;
    for part in parts {
        rest = put_bytes(rest, part)?;
    }
    Some(rest.len())
}

/// Puts so many bytes there. Returns the room behind them; `None`: there is too little.
#[inline]
pub(super) fn put_chunk<'b, const N: usize>(
    to: &'b mut [u8],
    bytes: &[u8; N],
) -> Option<&'b mut [u8]> {
    let (to, behind) = to.split_first_chunk_mut()?;
    *to = *bytes;
    Some(behind)
}

/// The same, of any number of bytes.
#[inline]
pub(super) fn put_bytes<'b>(to: &'b mut [u8], bytes: &[u8]) -> Option<&'b mut [u8]> {
    let (to, behind) = to.split_at_mut_checked(bytes.len())?;
    copy(to, bytes);
    Some(behind)
}

impl<'b> Output<'b> {
    /// Frames on this stream, filled into this buffer: 64 bytes are enough for small answers. No
    /// frame is larger than the buffer.
    pub const fn new(stream: Stream, buffer: &'b mut [u8]) -> Self {
        Self {
            stream,
            buffer,
            len: 0,
            end: 0,
            joined: 0,
            owner: RequestId::new(0),
        }
    }

    /// The frame that was made last, to be written before the next one is made; empty if there was
    /// nothing to be sent.
    #[inline]
    pub fn frame(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// The stream.
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Why no frame was begun for an answer.
    #[cold]
    pub(super) const fn misuse(&self) -> ApiMisuse {
        if self.stream.is_ended() {
            ApiMisuse::OutOfOrder
        } else {
            ApiMisuse::RequestNotActive
        }
    }

    /// The stream, to have it end.
    pub const fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Takes the stream out, to close it. Joined bytes are lost.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Begins a frame, whose payload may have so many bytes. `false`: the stream has ended.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn begin(&mut self, frame_size: usize) -> bool {
        self.len = 0;
        // No frame size is above 24 bits.
        let most = frame_size.wrapping_add(HEADER_LEN);
        self.end = self.buffer.len().min(most);
        !self.stream.is_ended()
    }

    /// Most payload that the frame can have.
    #[inline]
    pub(super) const fn room(&self) -> usize {
        self.end.saturating_sub(HEADER_LEN)
    }

    /// Bytes joined for other responses than this one go out first.
    #[inline]
    pub(super) const fn is_joining(&self) -> bool {
        self.joined > 0
    }

    /// Where the payload goes.
    #[inline]
    pub(super) fn payload(&mut self) -> &mut [u8] {
        self.buffer
            .get_mut(HEADER_LEN..self.end)
            .unwrap_or_default()
    }

    /// Fills a frame of these parts; `false`, and nothing was done, if there is no room for them.
    #[inline(never)]
    pub(super) fn fill(&mut self, head: Head, parts: &[&[u8]]) -> bool {
        let Some(payload) = self.buffer.get_mut(HEADER_LEN..self.end) else {
            return false;
        };
        let room = payload.len();
        let Some(left) = put(payload, parts) else {
            return false;
        };
        self.seal(head, room.wrapping_sub(left));
        true
    }

    /// Fills a frame of what is put into its payload; the answer of `put` is what is left of that.
    /// Returns how many bytes were put; `None`, and nothing was done, if there is no room for them.
    #[inline]
    pub(super) fn fill_with(
        &mut self,
        head: Head,
        put: impl FnOnce(&mut [u8]) -> Option<&mut [u8]>,
    ) -> Option<usize> {
        let payload = self.buffer.get_mut(HEADER_LEN..self.end)?;
        let room = payload.len();
        let count = room.wrapping_sub(put(payload)?.len());
        self.seal(head, count);
        Some(count)
    }

    /// Fills a frame of `count` bytes of these parts, from `start` on, counted over all of them. They
    /// fit.
    #[inline(never)]
    pub(super) fn fill_from(&mut self, head: Head, parts: &[&[u8]], start: usize, count: usize) {
        let mut start = start;
        let mut rest = self.payload();
        for part in parts {
            let part_len = part.len();
            let part = part.get(start..).unwrap_or_default();
            start = start.saturating_sub(part_len);
            copy(rest, part);
            rest = rest.get_mut(part.len()..).unwrap_or_default();
        }
        self.seal(head, count);
    }

    /// Puts the header before a payload of `count` bytes that is in the buffer already.
    #[cfg_attr(not(target_os = "none"), inline)]
    pub(super) fn seal(&mut self, head: Head, count: usize) {
        let header = self.header(head, count);
        if let Some((to, _)) = self.buffer.split_first_chunk_mut::<HEADER_LEN>() {
            *to = *header.emit();
            self.len = count.wrapping_add(HEADER_LEN);
        }
    }

    /// The header of a frame whose payload has `count` bytes; it counts as sent.
    #[inline]
    pub(super) fn header(&mut self, head: Head, count: usize) -> FrameHeader {
        let [low, high, number_and_flags, is_encoded] = head.0.to_le_bytes();
        let flags = self.stream.take_flags(is_encoded != 0);
        FrameHeader::new(
            u32::try_from(count).unwrap_or(u32::MAX),
            RequestId::new(u16::from_le_bytes([low, high])),
            self.stream.id,
            flags,
            number_and_flags >> 4,
            TypeFlags::from_bits(number_and_flags),
        )
    }
}

/// The coalescer (revision-0006.md, 7.2): whether a piece of `len` bytes that is not sent directly
/// is joined with the `joined` ones before it, where `room` bytes fit a frame. If not, what is
/// joined goes out first. For owners that join pieces themselves.
#[inline]
pub const fn joins(joined: usize, len: usize, room: usize) -> bool {
    joined == 0 || len.saturating_add(joined) < room
}
