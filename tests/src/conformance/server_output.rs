//! What a server's owner does with answers: holds them back, takes their frames, encodes them.

use std::collections::BTreeMap;

use hgrpc::cbor::ContentEncoding;
use hgrpc::server::{
    Body, Deferred, DeferredQueue, OutputStream, Responder, ResponseWriter, Server,
};
use hgrpc::store::Table;
use hgrpc::wire::OutFrame;
use hgrpc::{ApiMisuse, Revision};
use hgrpc_std::encoding::{Encoder, encoder};
use hgrpc_std::respond::{EncodedAnswer, Step};

use crate::fields::Fault;

/// A frame's bytes.
pub(super) fn wire_bytes(frame: &OutFrame<'_>) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; frame.wire_len()];
    let len = frame.copy_to(&mut bytes);
    if len != Some(bytes.len()) || frame.as_slices().concat() != bytes {
        let result = format!("{len:?} bytes copied of {}", bytes.len());
        return Err(Fault::new("the frame's bytes".into(), result.into()));
    }
    Ok(bytes)
}

/// A frame's bytes as hex.
pub(super) fn wire(frame: &OutFrame<'_>) -> Result<String, Fault> {
    wire_bytes(frame).map(|bytes| crate::bytes::hex(&bytes))
}

/// An output stream and its encoder.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) output: OutputStream,
    encoder: Box<dyn Encoder>,
}

impl Stream {
    pub(super) fn new(output: OutputStream) -> Result<Self, Fault> {
        let encoder = encoder(output.encoding())
            .ok_or_else(|| Fault::schema("an encoding without an encoder"))?;
        Ok(Self { output, encoder })
    }
}

pub(super) type Streams = BTreeMap<u8, Stream>;

/// Answers whose frames have not been taken, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox<'v>(Vec<Segment<'v>>);

/// Answers on one stream.
#[derive(Debug)]
struct Segment<'v> {
    stream_id: u8,
    source: Source<'v>,
}

#[derive(Debug)]
enum Source<'v> {
    Plain(Box<DeferredQueue<'v, 8>>),
    Encoded(Box<EncodedAnswer<'v>>),
}

impl<'v> Outbox<'v> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|segment| match &segment.source {
            Source::Plain(queue) => queue.is_empty(),
            Source::Encoded(answer) => answer.is_ended(),
        })
    }

    /// Takes the answer that a request is to get.
    pub(super) fn respond<T: Table>(
        &mut self,
        server: &Server<Revision>,
        table: &T,
        stream: &Stream,
        responder: Responder,
        body: Body<'v>,
    ) -> Result<(), ApiMisuse> {
        let is_plain = stream.output.encoding() == ContentEncoding::Identity
            || matches!(body, Body::Failure(_));
        let stream_id = stream.output.id().value();
        if !is_plain {
            let writer: ResponseWriter = server.begin_response(table, responder)?;
            let answer = Box::new(EncodedAnswer::new(writer, body));
            self.0.push(Segment {
                stream_id,
                source: Source::Encoded(answer),
            });
            return Ok(());
        }
        let mut deferred = Deferred::Answer(server.respond(table, responder, body)?);
        if let Some(Segment {
            stream_id: last,
            source: Source::Plain(queue),
        }) = self.0.last_mut()
            && *last == stream_id
        {
            match queue.push(deferred) {
                Ok(()) => return Ok(()),
                Err(back) => deferred = back,
            }
        }
        let mut queue = Box::new(DeferredQueue::new());
        let _ = queue.push(deferred);
        self.0.push(Segment {
            stream_id,
            source: Source::Plain(queue),
        });
        Ok(())
    }

    /// Takes all frames.
    pub(super) fn take<T: Table>(
        &mut self,
        server: &mut Server<Revision>,
        table: &mut T,
        streams: &mut Streams,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let mut frames = Vec::new();
        for mut segment in self.0.drain(..) {
            let stream = streams
                .get_mut(&segment.stream_id)
                .ok_or_else(|| Fault::schema("an unknown stream"))?;
            segment.take(server, table, stream, &mut frames)?;
        }
        Ok(frames)
    }
}

impl Segment<'_> {
    fn take<T: Table>(
        &mut self,
        server: &mut Server<Revision>,
        table: &mut T,
        stream: &mut Stream,
        frames: &mut Vec<Vec<u8>>,
    ) -> Result<(), Fault> {
        let failed =
            |error: &dyn core::fmt::Display| Fault::new("frames".into(), error.to_string().into());
        let mut scratch = vec![0; 0x8000];
        loop {
            let mut out = server.output(table, &mut stream.output);
            match &mut self.source {
                Source::Plain(queue) => match queue.next_frame(&mut out, &mut scratch) {
                    Ok(Some(frame)) => frames.push(wire_bytes(&frame)?),
                    Ok(None) => return Ok(()),
                    Err(error) => return Err(failed(&error)),
                },
                Source::Encoded(answer) => match answer.step(&mut out, &mut *stream.encoder) {
                    Ok(Step::Frame(frame)) => frames.push(wire_bytes(&frame)?),
                    Ok(Step::Again) => {}
                    Ok(Step::Ended) => return Ok(()),
                    Err(error) => return Err(failed(&error)),
                },
            }
        }
    }
}
