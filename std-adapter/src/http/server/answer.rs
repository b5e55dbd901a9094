//! Bodies of responses: whole, or as commands write them.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hgrpc::KeyOrder;
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tracing::Span;

use super::gate::{Slot, UnderWay};
use super::{CAPABILITIES, Server};
use crate::blocking::{Answering, Answers, BrokenOff, Call, Failure, Reply};
use crate::engine::Charge;
use crate::host::counting::count;
use crate::host::sync::lock;
use crate::http::{CommandInfo, FRAMING_MEDIA_TYPE};

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
    /// What commands write; complete only if they say so.
    Streamed(Answers),
    /// The same when it has ended.
    Ended,
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
            content => {
                let Content::Streamed(answers) = content else {
                    return Poll::Ready(None);
                };
                let next = std::task::ready!(answers.poll_next(context));
                if !matches!(next, Some(Ok(_))) {
                    *content = Content::Ended;
                }
                Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(body) => body.is_end_stream(),
            Content::Streamed(_) => false,
            Content::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(body) => body.size_hint(),
            Content::Streamed(_) | Content::Ended => SizeHint::default(),
        }
    }
}

/// Runs a request's commands in a thread of their own; what they write is the body.
pub(super) fn start(
    server: Server,
    answering: Answering,
    held: (Option<Charge>, Slot),
    span: Span,
) -> Response<Body> {
    let compressed = Arc::clone(&server.0.compressed).try_acquire_owned();
    let (mut commands, answers) = answering.begin(compressed.is_ok());
    tokio::task::spawn_blocking(move || {
        let held = (held, compressed);
        commands.run(|call, reply| span.in_scope(|| server.run_command(call, reply)));
        // Before the client can know, so that its next request finds the place free.
        drop(held);
        commands.finish();
    });
    let mut response = Response::new(Body::new(Content::Streamed(answers)));
    let media_type = HeaderValue::from_static(FRAMING_MEDIA_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

impl Server {
    /// Runs one command, which may panic: its reply says so then.
    fn run_command(&self, call: Call, reply: Reply) {
        let counters = &self.0.gate.counters;
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
        let args = info.check(given)?;
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
