//! Frames for tokio-util's `Framed` (framing.md, "Header").

use std::fmt;
use std::io;

use ::tokio_util::codec::{Decoder, Encoder};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use hgrpc::wire::{
    FrameHeader, FrameReader, HEADER_LEN, MAX_LENGTH, OutFrame, RequestId, StreamFlags, StreamId,
    TypeFlags,
};
use hgrpc::{ApiMisuse, Limits, ProtocolError};

/// Bytes of a payload that room is made for before they come.
const AHEAD: usize = 64 * 1024;

/// A frame that owns its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    header: FrameHeader,
    payload: Bytes,
}

impl Frame {
    /// A frame. `kind_number` is the type's number in the revision spoken.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`]: the payload has more bytes than a header can say, 16,777,215.
    pub fn new(
        request_id: RequestId,
        stream_id: StreamId,
        stream_flags: StreamFlags,
        kind_number: u8,
        flags: TypeFlags,
        payload: impl Into<Bytes>,
    ) -> Result<Self, ApiMisuse> {
        let payload = payload.into();
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|&length| length <= MAX_LENGTH)
            .ok_or(ApiMisuse::TooLarge)?;
        Ok(Self {
            header: FrameHeader::new(
                length,
                request_id,
                stream_id,
                stream_flags,
                kind_number,
                flags,
            ),
            payload,
        })
    }

    /// The header.
    pub const fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The payload, as long as the header says.
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload by itself.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }
}

/// Cuts a byte stream into whole frames, and puts frames on one.
///
/// This is for programs that look at frames: relays, recorders, tests. Connections take frames in
/// parts instead, so that none is gathered.
///
/// A codec holds nothing. `Framed`'s buffer grows to the largest frame that is let in; room for a
/// payload is made 64 KiB at a time, so that a header alone costs no more.
///
/// ```
/// use futures_util::{SinkExt, StreamExt};
/// use hgrpc::wire::{RequestId, StreamFlags, StreamId, TypeFlags};
/// use hgrpc_std::tokio::{Frame, FrameCodec};
/// use tokio_util::codec::Framed;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (here, there) = tokio::io::duplex(64);
/// let mut here = Framed::new(here, FrameCodec::default());
/// let mut there = Framed::new(there, FrameCodec::default());
/// let (request, stream) = (RequestId::new(1), StreamId::new(1));
/// let frame = Frame::new(request, stream, StreamFlags::BEGIN, 1, TypeFlags::NONE, "payload")?;
/// here.send(frame.clone()).await?;
/// assert_eq!(there.next().await.transpose()?, Some(frame));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameCodec {
    max_frame_size: u32,
}

impl FrameCodec {
    /// A codec for frames of at most `max_frame_size` bytes of payload, in both directions.
    pub const fn new(max_frame_size: u32) -> Self {
        Self { max_frame_size }
    }

    /// The largest payload of a frame, in bytes.
    pub const fn max_frame_size(&self) -> u32 {
        self.max_frame_size
    }
}

impl Default for FrameCodec {
    /// For 65,535 bytes of payload: the most that a sender may send without asking.
    fn default() -> Self {
        Self::new(Limits::DEFAULT.max_frame_size)
    }
}

/// Why frames cannot be read, or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum CodecError {
    /// The peer's bytes are no frames: [`ProtocolError::FrameTooLarge`] as soon as a header says
    /// so; [`ProtocolError::ShortHeader`] or [`ProtocolError::ShortPayload`] if they end in one.
    Protocol(ProtocolError),
    /// The frame to be sent is over the maximum ([`ApiMisuse::TooLarge`]), or a header that says
    /// another length than its payload has ([`ApiMisuse::InvalidMessage`]). Nothing was written.
    Misuse(ApiMisuse),
    /// The byte stream failed.
    Io(io::Error),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::Misuse(error) => write!(f, "the frame cannot be sent: {error}"),
            Self::Io(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Protocol(error) => error,
            Self::Misuse(error) => error,
            Self::Io(error) => error,
        })
    }
}

impl From<io::Error> for CodecError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        let Some((header, rest)) = FrameHeader::split_from(source) else {
            return Ok(None);
        };
        let (header, held) = (*header, rest.len());
        if header.length() > self.max_frame_size {
            return Err(CodecError::Protocol(ProtocolError::FrameTooLarge));
        }
        let len = usize::try_from(header.length()).unwrap_or(usize::MAX);
        if held < len {
            source.reserve((len - held).min(AHEAD));
            return Ok(None);
        }
        source.advance(HEADER_LEN);
        let payload = source.split_to(len).freeze();
        Ok(Some(Frame { header, payload }))
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        if let Some(frame) = self.decode(source)? {
            return Ok(Some(frame));
        }
        let mut reader = FrameReader::new(self.max_frame_size);
        let mut rest = &source[..];
        while reader
            .next(&mut rest)
            .map_err(CodecError::Protocol)?
            .is_some()
        {}
        reader.finish().map_err(CodecError::Protocol)?;
        Ok(None)
    }
}

impl FrameCodec {
    fn check(&self, header: &FrameHeader, len: usize) -> Result<(), CodecError> {
        if header.length() > self.max_frame_size {
            return Err(CodecError::Misuse(ApiMisuse::TooLarge));
        }
        if usize::try_from(header.length()) != Ok(len) {
            return Err(CodecError::Misuse(ApiMisuse::InvalidMessage));
        }
        Ok(())
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: Frame, target: &mut BytesMut) -> Result<(), CodecError> {
        self.check(&frame.header, frame.payload.len())?;
        target.reserve(HEADER_LEN + frame.payload.len());
        target.put_slice(frame.header.emit());
        target.put_slice(&frame.payload);
        Ok(())
    }
}

/// What a reactor has made.
impl Encoder<OutFrame<'_>> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: OutFrame<'_>, target: &mut BytesMut) -> Result<(), CodecError> {
        let len = frame.payload().iter().map(|slice| slice.len()).sum();
        self.check(frame.header(), len)?;
        target.reserve(HEADER_LEN + len);
        for slice in frame.as_slices() {
            target.put_slice(slice);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_show_names_and_text() {
        assert_eq!(
            format!("{:?}", frame(3, b"up".to_vec())),
            "Frame { header: FrameHeader { length: 2, request_id: 3, stream_id: 1, \
             stream_flags: stream-begin, type: command-request, flags:  }, payload: b\"up\" }"
        );
    }

    fn frame(id: u16, payload: Vec<u8>) -> Frame {
        let (stream, flags) = (StreamId::new(1), StreamFlags::BEGIN);
        Frame::new(
            RequestId::new(id),
            stream,
            flags,
            1,
            TypeFlags::NONE,
            payload,
        )
        .unwrap()
    }

    /// All frames of bytes that come in pieces, and the error at their end.
    fn decode_all<'a>(
        codec: FrameCodec,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<Frame>, Option<CodecError>) {
        let (mut codec, mut buffer, mut frames) = (codec, BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match codec.decode(&mut buffer) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        loop {
            match codec.decode_eof(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, None),
                Err(error) => return (frames, Some(error)),
            }
        }
    }

    #[test]
    fn ends_and_limits_are_named_as_the_core_names_them() {
        let mut bytes = BytesMut::new();
        let mut codec = FrameCodec::new(4);
        codec
            .encode(frame(1, b"abcd".to_vec()), &mut bytes)
            .unwrap();
        for (len, expected) in [
            (0, None),
            (1, Some(ProtocolError::ShortHeader)),
            (7, Some(ProtocolError::ShortHeader)),
            (8, Some(ProtocolError::ShortPayload)),
            (11, Some(ProtocolError::ShortPayload)),
            (12, None),
        ] {
            let (frames, error) = decode_all(codec, [&bytes[..len]]);
            assert_eq!(frames.len(), usize::from(len == 12));
            match (error, expected) {
                (None, None) => {}
                (Some(CodecError::Protocol(error)), Some(expected)) => assert_eq!(error, expected),
                (error, _) => panic!("{error:?} at {len}"),
            }
        }
        let (frames, error) = decode_all(FrameCodec::new(3), [&bytes[..8]]);
        assert!(frames.is_empty());
        assert!(matches!(
            error,
            Some(CodecError::Protocol(ProtocolError::FrameTooLarge))
        ));
        let before = bytes.clone();
        let error = codec.encode(frame(1, vec![0; 5]), &mut bytes).unwrap_err();
        assert!(matches!(error, CodecError::Misuse(ApiMisuse::TooLarge)));
        let mut wrong = frame(1, vec![0; 2]);
        wrong.payload = Bytes::new();
        let error = codec.encode(wrong, &mut bytes).unwrap_err();
        assert!(matches!(
            error,
            CodecError::Misuse(ApiMisuse::InvalidMessage)
        ));
        assert_eq!(bytes, before);
    }

    #[test]
    fn a_header_alone_costs_little() {
        let header = frame(1, vec![0; 1 << 24 >> 1]);
        let mut bytes = BytesMut::from(&header.header.emit()[..]);
        let mut codec = FrameCodec::new(MAX_LENGTH);
        assert!(codec.decode(&mut bytes).unwrap().is_none());
        assert!(bytes.capacity() < 2 * AHEAD);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            payloads in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..40), 0..12),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let frames: Vec<Frame> = (0..).zip(payloads).map(|(id, p)| frame(id, p)).collect();
            let mut bytes = BytesMut::new();
            let mut codec = FrameCodec::default();
            for frame in &frames {
                codec.encode(frame.clone(), &mut bytes).unwrap();
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
            let (decoded, error) = decode_all(codec, pieces);
            prop_assert_eq!(decoded, frames);
            prop_assert!(error.is_none());
        }

        #[test]
        fn any_bytes_give_what_the_reader_gives(bytes: Vec<u8>, cut: prop::sample::Index) {
            let codec = FrameCodec::new(20);
            let cut = cut.index(bytes.len() + 1);
            let (frames, error) = decode_all(codec, [&bytes[..cut], &bytes[cut..]]);
            let (mut reader, mut rest) = (FrameReader::new(20), &bytes[..]);
            let mut count = 0;
            let expected = loop {
                match reader.next(&mut rest) {
                    Ok(Some(part)) => count += usize::from(part.is_last),
                    Ok(None) => break reader.finish().err(),
                    Err(error) => break Some(error),
                }
            };
            prop_assert_eq!(frames.len(), count);
            let error = error.map(|error| match error {
                CodecError::Protocol(error) => error,
                other => panic!("{other}"),
            });
            prop_assert_eq!(error, expected);
        }
    }
}
