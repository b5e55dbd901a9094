//! What a server's owner does with answers: holds them back, makes their frames, encodes them.

use std::collections::BTreeMap;

use hgrpc::cbor::{ContentEncoding, MessageArgs, STATUS_OK};
use hgrpc::output::{Output, Stream};
use hgrpc::server::{Failure, Reply, Server};
use hgrpc::wire::HEADER_LEN;
use hgrpc::{ApiMisuse, Revision};
use hgrpc_std::encoding::{EncodeError, Encoder, encoder};

use super::server_steps::Content;
use crate::fields::Fault;
use crate::stores::Store;

/// A buffer for frames with this much payload.
pub(super) fn frame_buffer(send_frame_size: u32) -> Vec<u8> {
    vec![0; HEADER_LEN + usize::try_from(send_frame_size).unwrap_or_default()]
}

/// Makes the frames of one thing, which `make` does one by one until it says that it is done.
pub(super) fn make(
    out: &mut Output<'_>,
    frames: &mut Vec<Vec<u8>>,
    mut make: impl FnMut(&mut Output<'_>) -> Result<bool, ApiMisuse>,
) -> Result<(), ApiMisuse> {
    loop {
        let is_done = make(out)?;
        if !out.frame().is_empty() {
            frames.push(out.frame().to_vec());
        }
        if is_done {
            return Ok(());
        }
    }
}

/// An output stream, its buffer and its encoder.
pub(super) struct Lane {
    pub(super) stream: Stream,
    buffer: Vec<u8>,
    encoder: Box<dyn Encoder>,
}

impl Lane {
    pub(super) fn new(stream: Stream, send_frame_size: u32) -> Result<Self, Fault> {
        let encoder = encoder(stream.encoding())
            .ok_or_else(|| Fault::schema("an encoding without an encoder"))?;
        Ok(Self {
            stream,
            buffer: frame_buffer(send_frame_size),
            encoder,
        })
    }
}

/// Answers whose frames have not been made, in order.
#[derive(Default)]
pub(super) struct Outbox<'v>(Vec<Answer<'v>>);

struct Answer<'v> {
    stream_id: u8,
    reply: Reply,
    content: &'v Content,
}

impl<'v> Outbox<'v> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the answer that a request is to get.
    pub(super) fn push(&mut self, stream_id: u8, reply: Reply, content: &'v Content) {
        self.0.push(Answer {
            stream_id,
            reply,
            content,
        });
    }

    /// Makes all frames.
    pub(super) fn take<T: Store>(
        &mut self,
        server: &mut Server<Revision, T>,
        lanes: &mut BTreeMap<u8, Lane>,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let mut frames = Vec::new();
        for answer in self.0.drain(..) {
            let lane = lanes
                .get_mut(&answer.stream_id)
                .ok_or_else(|| Fault::schema("an unknown stream"))?;
            let stream = core::mem::replace(&mut lane.stream, Stream::ONLY);
            let mut making = Making {
                server,
                out: Output::new(stream, &mut lane.buffer),
                encoder: &mut *lane.encoder,
                frames: &mut frames,
            };
            making
                .answer(&answer.reply, answer.content)
                .map_err(|error| Fault::new("frames".into(), error.into()))?;
            lane.stream = making.out.into_stream();
        }
        Ok(frames)
    }
}

/// The frames of one answer.
struct Making<'m, T: Store> {
    server: &'m mut Server<Revision, T>,
    out: Output<'m>,
    encoder: &'m mut dyn Encoder,
    frames: &'m mut Vec<Vec<u8>>,
}

impl<T: Store> Making<'_, T> {
    fn answer(&mut self, reply: &Reply, content: &Content) -> Result<(), String> {
        match content {
            Content::Bytes(bytes) => return self.piece(reply, bytes, true),
            Content::ServerError(message) => return self.fail(reply, &Failure::server(message)),
            Content::CommandError(message, args) => {
                let args = MessageArgs::from_cbor(args).unwrap_or_default();
                return self.fail(reply, &Failure::command(message).with_args(args));
            }
            Content::Redirect(status) => {
                let status = self.encoded(|encoder, out| encoder.encode(status, out), status)?;
                let server = &mut *self.server;
                make(&mut self.out, self.frames, |out| {
                    server.redirect(reply, &status, out)
                })
                .map_err(|error| error.to_string())?;
            }
            Content::Objects(objects) => {
                if self.is_encoding() {
                    // On an encoded stream the owner's first piece is the status map.
                    self.encoded_piece(reply, STATUS_OK)?;
                }
                for piece in objects.iter().flat_map(|object| object.pieces()) {
                    self.encoded_piece(reply, piece)?;
                }
            }
            Content::Mixed => {}
        }
        let flushed = self.encoded(|encoder, out| encoder.flush(out), &[])?;
        self.piece(reply, &flushed, true)
    }

    fn is_encoding(&self) -> bool {
        self.out.stream().encoding() != ContentEncoding::Identity
    }

    /// What the stream's encoder makes of something, or that itself.
    fn encoded(
        &mut self,
        encode: impl FnOnce(&mut dyn Encoder, &mut Vec<u8>) -> Result<(), EncodeError>,
        plain: &[u8],
    ) -> Result<Vec<u8>, String> {
        if !self.is_encoding() {
            return Ok(plain.to_vec());
        }
        let mut encoded = Vec::new();
        encode(self.encoder, &mut encoded).map_err(|error| error.to_string())?;
        Ok(encoded)
    }

    fn encoded_piece(&mut self, reply: &Reply, piece: &[u8]) -> Result<(), String> {
        let piece = self.encoded(|encoder, out| encoder.encode(piece, out), piece)?;
        self.piece(reply, &piece, false)
    }

    fn piece(&mut self, reply: &Reply, piece: &[u8], is_last: bool) -> Result<(), String> {
        let server = &mut *self.server;
        let mut rest = piece;
        make(&mut self.out, self.frames, |out| {
            server.respond(reply, &mut rest, is_last, out)
        })
        .map_err(|error| error.to_string())
    }

    fn fail(&mut self, reply: &Reply, failure: &Failure<'_>) -> Result<(), String> {
        let server = &mut *self.server;
        make(&mut self.out, self.frames, |out| {
            server.fail(reply, failure, out)
        })
        .map_err(|error| error.to_string())
    }
}
