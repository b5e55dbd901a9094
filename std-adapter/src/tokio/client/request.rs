//! A call that is being put together and sent.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use hgrpc::ApiMisuse;
use hgrpc::wire::RequestId;
use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout_at};

use super::Handle;
use super::notes::{self, NoteStream};
use super::response::Response;
use super::upload::{self, Source, Upload};
use crate::engine::Key;
use crate::engine::client::{Data, NoteRoute, Outgoing, Unsent};
use crate::host::request::Arguments;
use crate::tokio::CallError;

/// A call that is being put together.
#[must_use = "a call does nothing until it is sent"]
pub struct Request<'c> {
    target: Target<'c>,
    pub(super) draft: Draft,
}

/// What sends a request.
#[derive(Clone, Copy)]
enum Target<'c> {
    Client(&'c super::Client),
    Reconnecting(&'c super::ReconnectingClient),
}

/// What a call says, whatever connection it goes over.
pub(super) struct Draft {
    pub(super) command: Vec<u8>,
    pub(super) args: Arguments,
    redirect: Option<Vec<u8>>,
    source: Option<Source>,
    notes: NoteRoute,
    pub(super) deadline: Option<Instant>,
}

impl<'c> Request<'c> {
    pub(super) fn new(client: &'c super::Client, command: Vec<u8>) -> Self {
        Self {
            target: Target::Client(client),
            draft: Draft::new(command),
        }
    }

    pub(super) fn reconnecting(client: &'c super::ReconnectingClient, command: Vec<u8>) -> Self {
        Self {
            target: Target::Reconnecting(client),
            draft: Draft::new(command),
        }
    }

    /// An argument that is a byte string.
    pub fn arg(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.draft.args.bytes(key.as_ref(), value.as_ref());
        self
    }

    /// An argument of any type that minicbor encodes.
    pub fn value<T: minicbor::Encode<()> + ?Sized>(
        mut self,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Self {
        self.draft.args.value(key.as_ref(), value);
        self
    }

    /// An argument that is one encoded CBOR value.
    pub fn cbor(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.draft.args.cbor(key.as_ref(), value.as_ref());
        self
    }

    /// The request's data, all of it.
    pub fn bytes(mut self, data: impl Into<Bytes>) -> Self {
        self.draft.source = Some(Source::Bytes(data.into()));
        self
    }

    /// The request's data, read while it is sent, by the connection's [driver](super::Driver). The
    /// response can be read meanwhile, and stops the reading of the data when it ends early.
    ///
    /// If the source fails, so does the call ([`CallError::Source`]); the server sees shorter data,
    /// since the protocol cannot break it off. Commands that must know should be told its length.
    pub fn data(mut self, source: impl AsyncRead + Send + 'static) -> Self {
        self.draft.source = Some(Source::Reader(Box::pin(source)));
        self
    }

    /// As [`data`](Self::data), from a stream of pieces, which are sent as they are.
    pub fn data_stream<S>(mut self, source: S) -> Self
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        self.draft.source = Some(Source::Stream(Box::pin(source)));
        self
    }

    /// Where the client would let itself be redirected to: an encoded map (0006).
    pub fn redirect(mut self, targets: impl Into<Vec<u8>>) -> Self {
        self.draft.redirect = Some(targets.into());
        self
    }

    /// Takes the server's text output and progress, which are ignored otherwise.
    pub fn notes(mut self) -> (Self, NoteStream) {
        let (notes, events) = notes::queue();
        self.draft.notes = notes;
        (self, events)
    }

    /// How long the call may take in all, from now. After that, sending it, and reading its
    /// response, fail with [`CallError::TimedOut`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.draft.deadline = Instant::now().checked_add(timeout);
        self
    }

    /// Sends the request. Waits until there is room for a call
    /// ([`Limits::calls`](super::super::Limits::calls)) and the request is on its way, apart from
    /// its data; the answer may take its time.
    ///
    /// Dropping the future gives the call up: it is not sent at all if it was not yet.
    ///
    /// # Errors
    /// - [`CallError::Misuse`]: the call is wrong, such as an argument that is no CBOR value, two of
    ///   one name, or a redirect before 0006. Nothing was sent.
    /// - [`CallError::TimedOut`]: its [time](Self::timeout) is up.
    /// - [`CallError::Connection`]: the connection has ended.
    pub async fn send(self) -> Result<Response, CallError> {
        match self.target {
            Target::Client(client) => {
                let deadline = self.draft.deadline;
                let (outgoing, source) = self.draft.prepare(client.handle.conn.revision)?;
                let result = send(outgoing, &client.handle, deadline).await;
                Ok(result.map_err(|unsent| unsent.error)?.answer(source))
            }
            Target::Reconnecting(client) => client.send(self.draft).await,
        }
    }

    /// Sends the request, with data that is written by hand.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn open(mut self) -> Result<(Upload, Response), CallError> {
        let limits = match self.target {
            Target::Client(client) => client.handle.conn.limits,
            Target::Reconnecting(client) => client.config().limits,
        };
        let (upload, source) = upload::by_hand(limits.buffer);
        self.draft.source = Some(source);
        Ok((upload, self.send().await?))
    }
}

impl Draft {
    fn new(command: Vec<u8>) -> Self {
        Self {
            command,
            args: Arguments::default(),
            redirect: None,
            source: None,
            notes: NoteRoute::Ignored,
            deadline: None,
        }
    }

    /// Encodes it. What comes back besides is the data that streams.
    pub(super) fn prepare(
        self,
        revision: hgrpc::Revision,
    ) -> Result<(Outgoing, Option<Source>), ApiMisuse> {
        let args = self.args.encode(revision.key_order())?;
        let (data, source) = match self.source {
            None => (Data::None, None),
            Some(Source::Bytes(bytes)) if bytes.len() <= upload::CHUNK => {
                (Data::Whole(bytes), None)
            }
            Some(source) => (Data::Streamed, Some(source)),
        };
        let outgoing = Outgoing {
            command: self.command,
            args,
            redirect: self.redirect,
            data,
            notes: self.notes,
        };
        Ok((outgoing, source))
    }
}

/// Sends a request, apart from data that streams, in its time.
pub(super) async fn send(
    outgoing: Outgoing,
    handle: &Arc<Handle>,
    deadline: Option<Instant>,
) -> Result<Sending, Box<Unsent>> {
    let result = within(deadline, send_in_time(outgoing, handle)).await;
    let mut sending = result.unwrap_or_else(|| {
        Err(Box::new(Unsent {
            error: CallError::TimedOut,
            outgoing: None,
        }))
    })?;
    sending.deadline = deadline;
    Ok(sending)
}

async fn send_in_time(outgoing: Outgoing, handle: &Arc<Handle>) -> Result<Sending, Box<Unsent>> {
    let conn = &handle.conn;
    let is_streamed = matches!(outgoing.data, Data::Streamed);
    let place = conn.room.acquire().await;
    // Only the connection's end closes it, and then no call begins.
    let key = conn.with(|engine| {
        let key = engine.call(outgoing)?;
        if let Ok(place) = place {
            place.forget();
        }
        Ok::<_, Box<Unsent>>(key)
    })?;
    // From here on, what drops this has the call given up.
    let mut sending = Sending {
        handle: Arc::clone(handle),
        key,
        id: RequestId::default(),
        deadline: None,
        is_streamed,
        is_done: false,
    };
    let sent = poll_fn(|cx| conn.with(|engine| engine.poll_sent(key, cx.waker()))).await;
    match sent {
        Ok(id) => {
            sending.id = id;
            Ok(sending)
        }
        Err(unsent) => {
            // There is nothing to give up.
            sending.is_done = true;
            Err(unsent)
        }
    }
}

/// The output; `None` if it takes longer.
pub(super) async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        None => Some(future.await),
        Some(deadline) => timeout_at(deadline, future).await.ok(),
    }
}

/// A call that has a place in line. Dropped, it is given up: what it was about to send is cut short.
pub(super) struct Sending {
    handle: Arc<Handle>,
    key: Key,
    id: RequestId,
    deadline: Option<Instant>,
    is_streamed: bool,
    /// Somebody else has it, or nobody has to.
    is_done: bool,
}

impl Sending {
    /// The request was sent: has the data follow.
    pub(super) fn answer(mut self, source: Option<Source>) -> Response {
        self.is_done = true;
        if let Some(source) = source {
            upload::start(&self.handle.conn, self.key, source);
        }
        Response::new(Arc::clone(&self.handle), self.key, self.id, self.deadline)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.handle.conn.with(|engine| {
            engine.call_dropped(self.key);
            if self.is_streamed {
                engine.upload_ended(self.key);
            }
        });
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("command", &String::from_utf8_lossy(&self.draft.command))
            .field("args", &self.draft.args.len())
            .finish_non_exhaustive()
    }
}
