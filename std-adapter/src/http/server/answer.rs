//! Bodies of responses: whole, or as commands write them.

use std::convert::Infallible;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hgrpc::KeyOrder;
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use super::{CAPABILITIES, Server};
use crate::blocking::{Answering, Call, Failure, Gone, Reply};
use crate::http::FRAMING_MEDIA_TYPE;
use crate::http::args;

/// Pieces that wait for the connection to take them; each is a few frames.
const QUEUED: usize = 2;

/// A body.
#[derive(Debug)]
pub(super) enum Body {
    Whole(Full<Bytes>),
    Streamed(Streamed),
}

pub(super) fn whole(body: impl Into<Bytes>) -> Body {
    Body::Whole(Full::new(body.into()))
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
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(context)
                .map(|frame| frame.map(|result| result.map_err(BrokenOff::from))),
            Self::Streamed(body) if body.has_ended => Poll::Ready(None),
            Self::Streamed(body) => body.pieces.poll_recv(context).map(|piece| match piece {
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
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streamed(body) => body.has_ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streamed(_) => SizeHint::default(),
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
    answering: Answering,
    permit: OwnedSemaphorePermit,
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
    tokio::task::spawn_blocking(move || {
        let permit = permit;
        let result = answering.run(frames, gone, |call, reply| server.execute(call, reply));
        if result.is_ok() {
            // Nobody is left to be told if that fails.
            let _ = end.send(Piece::End);
        }
        drop(permit);
    });
    let mut response = Response::new(Body::Streamed(body));
    let media_type = HeaderValue::from_static(FRAMING_MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

impl Server {
    /// Runs one command.
    fn execute(&self, mut call: Call, mut reply: Reply) {
        let inner = &self.0;
        // That the client is gone is nobody's error here.
        let Some(info) = inner.capabilities.command(call.name()) else {
            let failure = Failure::unknown_command(call.name());
            return drop(reply.fail(failure));
        };
        let checked = args::check(info, call.args().as_cbor());
        let encoded = checked.and_then(|args| {
            let encoded = args.encode(KeyOrder::Bytewise);
            encoded.map_err(Failure::server)
        });
        match encoded {
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
