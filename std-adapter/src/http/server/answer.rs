//! Bodies of responses: whole, or as commands write them.

use std::convert::Infallible;
use std::io::{self, IoSlice, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hgrpc::KeyOrder;
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};
use tracing::Span;

use super::visitors::{Slot, UnderWay};
use super::{CAPABILITIES, Server};
use crate::blocking::{Answering, Call, Failure, Gone, Reply};
use crate::host::budget::Charge;
use crate::host::counting::count;
use crate::host::sync::lock;
use crate::http::args;
use crate::http::{CommandInfo, FRAMING_MEDIA_TYPE};

/// Pieces that wait for the connection to take them; each is a few frames.
const QUEUED: usize = 2;

/// Most bytes of arguments that are made values of whoever else does.
const EXPANDED: usize = 4 << 10;

/// A body.
#[derive(Debug)]
pub(super) struct Body {
    content: Content,
    /// Its request is under way until it is dropped.
    _of: Option<UnderWay>,
}

#[derive(Debug)]
enum Content {
    Whole(Full<Bytes>),
    Streamed(Streamed),
}

impl Body {
    pub(super) fn whole(body: impl Into<Bytes>) -> Self {
        Self::new(Content::Whole(Full::new(body.into())))
    }

    /// The answer to this request.
    pub(super) fn of(mut self, request: UnderWay) -> Self {
        self._of = Some(request);
        self
    }

    fn new(content: Content) -> Self {
        Self { content, _of: None }
    }
}

/// What commands write; complete only if they say so.
#[derive(Debug)]
pub(super) struct Streamed {
    pieces: Receiver<Piece>,
    has_ended: bool,
    /// Tells the commands when the client has gone.
    _gone: GoneGuard,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    End,
}

/// Signals when the body is dropped, however that comes.
#[derive(Debug)]
struct GoneGuard(Gone);

impl Drop for GoneGuard {
    fn drop(&mut self) {
        self.0.signal();
    }
}

/// The commands ended without the end of their answers.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the response was broken off")
    }
}

impl std::error::Error for BrokenOff {}

impl From<Infallible> for BrokenOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut self.get_mut().content {
            Content::Whole(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|result| result.map_err(BrokenOff::from))),
            Content::Streamed(body) if body.has_ended => Poll::Ready(None),
            Content::Streamed(body) => body.pieces.poll_recv(context).map(|piece| match piece {
                Some(Piece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(Piece::End) => {
                    body.has_ended = true;
                    None
                }
                None => {
                    body.has_ended = true;
                    Some(Err(BrokenOff))
                }
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(body) => body.is_end_stream(),
            Content::Streamed(body) => body.has_ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(body) => body.size_hint(),
            Content::Streamed(_) => SizeHint::default(),
        }
    }
}

/// Where frames are written: to the connection's task, which may make the writer wait.
struct BodyWriter {
    pieces: Sender<Piece>,
    runtime: Handle,
    stall: Duration,
}

impl BodyWriter {
    fn send(&self, piece: Piece) -> io::Result<()> {
        let piece = match self.pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(TrySendError::Full(piece)) => piece,
        };
        // Command threads are none of the runtime's, so they may block.
        let sent = self
            .runtime
            .block_on(async { tokio::time::timeout(self.stall, self.pieces.send(piece)).await });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(Piece::Bytes(Bytes::copy_from_slice(bytes)))?;
        Ok(bytes.len())
    }

    /// A few frames at a time come so, and go as one chunk.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut joined = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
        for slice in slices {
            joined.extend_from_slice(slice);
        }
        let len = joined.len();
        self.send(Piece::Bytes(joined.into()))?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a request's commands in a thread of their own; what they write is the body.
pub(super) fn start(
    server: Server,
    mut answering: Answering,
    held: (Option<Charge>, Slot),
    span: Span,
) -> Response<Body> {
    let (sender, pieces) = channel(QUEUED);
    let gone = Gone::default();
    let body = Streamed {
        pieces,
        has_ended: false,
        _gone: GoneGuard(gone.clone()),
    };
    let writer = |pieces| BodyWriter {
        pieces,
        runtime: Handle::current(),
        stall: server.0.config.limits.stall,
    };
    let (frames, end) = (writer(sender.clone()), writer(sender));
    let compressed = Arc::clone(&server.0.compressed).try_acquire_owned();
    if compressed.is_err() {
        answering.uncompressed();
    }
    tokio::task::spawn_blocking(move || {
        let held = (held, compressed);
        let result = answering.run(frames, gone, |call, reply| {
            span.in_scope(|| server.run_command(call, reply));
        });
        // Before the client can know, so that its next request finds the place free.
        drop(held);
        if result.is_ok() {
            // Nobody is left to be told if that fails.
            let _ = end.send(Piece::End);
        }
    });
    let mut response = Response::new(Body::new(Content::Streamed(body)));
    let media_type = HeaderValue::from_static(FRAMING_MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

impl Server {
    /// Runs one command, which may panic: its reply says so then.
    fn run_command(&self, call: Call, reply: Reply) {
        let counters = &self.0.visitors.counters;
        count(&counters.commands);
        let name = call.name().escape_ascii().to_string();
        if catch_unwind(AssertUnwindSafe(|| self.execute(call, reply))).is_err() {
            count(&counters.panicked);
            tracing::error!(command = name, "the command panicked");
        }
    }

    /// The arguments as the command gets them, encoded.
    fn arguments(&self, info: &CommandInfo, given: &[u8]) -> Result<Vec<u8>, Failure> {
        // As values they may take 33 times their bytes, and more while they grow.
        let _alone = (given.len() > EXPANDED).then(|| lock(&self.0.expanding));
        let args = args::check(info, given)?;
        args.encode(KeyOrder::Bytewise).map_err(Failure::server)
    }

    /// Runs one command.
    fn execute(&self, mut call: Call, mut reply: Reply) {
        let inner = &self.0;
        // That the client is gone is nobody's error here.
        let Some(info) = inner.capabilities.command(call.name()) else {
            let failure = Failure::unknown_command(call.name());
            return drop(reply.fail(failure));
        };
        match self.arguments(info, call.args().as_cbor()) {
            Ok(args) => call.set_args(args),
            Err(failure) => return drop(reply.fail(failure)),
        }
        match inner.router.find(call.name()) {
            Some(handler) => handler.handle(call, reply),
            None if call.name() == CAPABILITIES.as_bytes() => {
                let added = reply.cbor(&inner.descriptor);
                if added.is_ok() {
                    drop(reply.finish());
                }
            }
            None => drop(reply.fail(Failure::unknown_command(call.name()))),
        }
    }
}
