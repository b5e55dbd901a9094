//! The streams of a client connection: through whose decoder a frame goes.

use hgrpc::client::ClientVerdict;
use hgrpc::wire::{FrameHeader, StreamId};

use crate::encoding::{ContentEncoding, DecodeLimits, StreamDecoders};

/// The decoders of a connection's streams, and the frame that is being received.
pub(crate) struct Streams {
    decoders: StreamDecoders,
    /// Streams whose decoder changes bytes.
    compressed: Vec<StreamId>,
    /// The stream through whose decoder the current frame goes.
    decoder: Option<StreamId>,
    ends_stream: Option<StreamId>,
}

impl Streams {
    pub(crate) fn new(limits: DecodeLimits) -> Self {
        Self {
            decoders: StreamDecoders::new(limits),
            compressed: Vec::new(),
            decoder: None,
            ends_stream: None,
        }
    }

    /// A frame begins, on which the reactor says this.
    pub(crate) fn begin(&mut self, header: &FrameHeader, verdict: &ClientVerdict) {
        self.decoder = verdict.decoder.filter(|&stream| self.is_compressed(stream));
        self.ends_stream = verdict.ends_stream.then(|| header.stream_id());
    }

    /// The stream whose decoder the current frame's bytes have to go through, if any.
    pub(crate) const fn decoder(&self) -> Option<StreamId> {
        self.decoder
    }

    /// The decoders, to be [put back](Self::put_back): handling a piece may change their set.
    pub(crate) fn take(&mut self) -> StreamDecoders {
        std::mem::take(&mut self.decoders)
    }

    pub(crate) fn put_back(&mut self, decoders: StreamDecoders) {
        self.decoders = decoders;
    }

    /// Whether the bytes of this stream's encoded frames have to go through a decoder.
    pub(crate) fn is_compressed(&self, stream: StreamId) -> bool {
        self.compressed.contains(&stream)
    }

    /// The current frame has ended.
    pub(crate) fn end(&mut self) {
        self.decoder = None;
        if let Some(stream) = self.ends_stream.take() {
            self.set_decoder(stream, ContentEncoding::Identity);
        }
    }

    pub(crate) fn set_decoder(&mut self, stream: StreamId, encoding: ContentEncoding) {
        self.compressed.retain(|other| *other != stream);
        if encoding != ContentEncoding::Identity {
            self.compressed.push(stream);
        }
        self.decoders.install(stream, encoding);
    }
}
