//! A call that is being put together and sent.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use hgrpc::cbor::Atoms;

use super::client::Handle;
use super::exchange::{Shared, Watcher};
use super::pipe::{Pushed, Receiver, Sender, Stop, pipe};
use super::{CallError, Progress, Response};
use crate::engine::Key;
use crate::engine::client::{Data, NoteRoute, Outgoing, Unsent};
use crate::host::request::Arguments;
use crate::host::sync::block;

/// How long a call whose data cannot be written waits for an answer all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most bytes that are read, and wait to be sent, at a time.
const CHUNK: usize = 128 * 1024;

/// A call that is being put together.
#[must_use = "a call does nothing until it is sent"]
pub struct Request {
    handle: Arc<Handle>,
    command: Vec<u8>,
    pub(super) args: Arguments,
    redirect: Option<Vec<u8>>,
    data: Source,
    watcher: Watcher,
    deadline: Option<Instant>,
}

enum Source {
    None,
    Bytes(Bytes),
    Reader(Box<dyn Read + Send>),
}

impl Source {
    /// The next bytes; empty at the end.
    fn next(&mut self, buffer: &mut BytesMut) -> io::Result<Bytes> {
        match self {
            Self::None => Ok(Bytes::new()),
            Self::Bytes(bytes) => Ok(bytes.split_to(bytes.len().min(CHUNK))),
            Self::Reader(reader) => {
                buffer.resize(CHUNK, 0);
                let len = loop {
                    match reader.read(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        result => break result?,
                    }
                };
                Ok(buffer.split_to(len.min(CHUNK)).freeze())
            }
        }
    }
}

impl Request {
    pub(super) fn new(handle: Arc<Handle>, command: Vec<u8>) -> Self {
        Self {
            handle,
            command,
            args: Arguments::default(),
            redirect: None,
            data: Source::None,
            watcher: Watcher::default(),
            deadline: None,
        }
    }

    /// An argument that is a byte string.
    pub fn arg(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.args.bytes(key.as_ref(), value.as_ref());
        self
    }

    /// An argument of any type that minicbor encodes.
    pub fn value<T: minicbor::Encode<()> + ?Sized>(
        mut self,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Self {
        self.args.value(key.as_ref(), value);
        self
    }

    /// An argument that is one encoded CBOR value.
    pub fn cbor(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.args.cbor(key.as_ref(), value.as_ref());
        self
    }

    /// The request's data, all of it.
    pub fn bytes(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = Source::Bytes(Bytes::from(data.into()));
        self
    }

    /// The request's data, read while it is sent by a thread of its own. The response can be read
    /// meanwhile, and stops the reading of the data when it ends early.
    ///
    /// If the source fails, so does the call ([`CallError::Source`]); the server sees shorter data,
    /// since the protocol cannot break it off. Commands that must know should be told its length.
    pub fn data(mut self, source: impl Read + Send + 'static) -> Self {
        self.data = Source::Reader(Box::new(source));
        self
    }

    /// Where the client would let itself be redirected to: an encoded map (0006).
    pub fn redirect(mut self, targets: impl Into<Vec<u8>>) -> Self {
        self.redirect = Some(targets.into());
        self
    }

    /// What takes the server's text output. Show [`Atoms::escaped`] on terminals: it is the peer's
    /// text. Called by the thread that reads the connection, so it must be quick.
    pub fn on_text(mut self, show: impl FnMut(&Atoms<'_>) + Send + 'static) -> Self {
        self.watcher.on_text = Some(Box::new(show));
        self
    }

    /// What takes the server's progress. Its texts are the peer's too, and it must be quick too.
    pub fn on_progress(mut self, show: impl FnMut(&Progress<'_>) + Send + 'static) -> Self {
        self.watcher.on_progress = Some(Box::new(show));
        self
    }

    /// How long the call may take in all, from now. After that, reading its response fails with
    /// [`CallError::TimedOut`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = Instant::now().checked_add(timeout);
        self
    }

    /// Sends the request. Returns when that is done, apart from its data; the answer may take its
    /// time.
    ///
    /// # Errors
    /// The call is wrong, or the connection has ended.
    pub fn send(mut self) -> Result<Response, CallError> {
        match std::mem::replace(&mut self.data, Source::None) {
            Source::None => self.start(Data::None).map(|(response, _)| response),
            // Data of one frame cannot fill any buffer on its way.
            Source::Bytes(bytes) if bytes.len() < self.frame_size() => {
                self.start(Data::Whole(bytes)).map(|(response, _)| response)
            }
            source => self.upload(source),
        }
    }

    /// Sends the request, with data that is written by hand.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn open(self) -> Result<(Upload, Response), CallError> {
        let (sender, receiver) = pipe(self.handle.shared.limits.buffer);
        let response = self.upload(Source::Reader(Box::new(PipeSource(receiver))))?;
        Ok((Upload(sender), response))
    }

    fn frame_size(&self) -> usize {
        let size = self.handle.shared.limits.send_frame_size;
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    fn upload(self, source: Source) -> Result<Response, CallError> {
        // It does not keep the connection open: its source may never end.
        let shared = Arc::clone(&self.handle.shared);
        let (response, key) = self.start(Data::Streamed)?;
        let sending = Sending { shared, key };
        thread::Builder::new()
            .name("hgrpc-upload".into())
            .spawn(move || sending.run(source))
            .map_err(|error| CallError::Source(Arc::new(error)))?;
        Ok(response)
    }

    /// Sends the request, apart from data that streams.
    fn start(self, data: Data) -> Result<(Response, Key), CallError> {
        let shared = &self.handle.shared;
        let outgoing = Outgoing {
            args: self.args.encode(shared.revision.key_order())?,
            command: self.command,
            redirect: self.redirect,
            data,
            notes: match self.watcher.is_none() {
                true => NoteRoute::Ignored,
                false => NoteRoute::Direct,
            },
        };
        let is_streamed = matches!(outgoing.data, Data::Streamed);
        let key = shared
            .call(outgoing, self.watcher)
            .map_err(|unsent| unsent.error)?;
        shared.write();
        let sent = block(|waker| {
            shared.with(|connection| {
                let sent = connection.poll_sent(key, waker);
                sent.map(|sent| Ok((sent?, connection.output_ended().is_some())))
            })
        });
        let (id, is_lost) = sent.map_err(|unsent: Box<Unsent>| unsent.error)?;
        // From here on, what drops this gives the call up.
        let handle = Arc::clone(&self.handle);
        let response = Response::new(handle, key, id, self.deadline);
        if is_lost && let Some(error) = shared.with(|connection| connection.output_lost(key)) {
            if is_streamed {
                shared.with(|connection| connection.upload_ended(key));
            }
            return Err(error);
        }
        Ok((response, key))
    }
}

/// A call's data on its way; complete, or of no use any more, when this is dropped.
struct Sending {
    shared: Arc<Shared>,
    key: Key,
}

impl Sending {
    /// The thread of a call's data.
    fn run(self, mut source: Source) {
        let Self { shared, key } = &self;
        let mut buffer = BytesMut::new();
        while self.is_wanted() {
            match source.next(&mut buffer) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => shared.with(|connection| connection.upload(*key, bytes)),
                Err(error) => {
                    let error = CallError::Source(Arc::new(error));
                    shared.with(|connection| connection.upload_failed(*key, error));
                    break;
                }
            }
            shared.write();
        }
        self.end();
        if shared.with(|connection| connection.output_ended().is_none()) {
            return;
        }
        // What the server said before it closed may still be on its way.
        let patience = Instant::now() + PATIENCE;
        while !shared.with(|connection| connection.is_answered(*key)) && Instant::now() < patience {
            thread::sleep(Duration::from_millis(10));
        }
        shared.with(|connection| connection.upload_lost(*key));
    }

    fn is_wanted(&self) -> bool {
        block(|waker| {
            let shared = &self.shared;
            shared.with(|connection| connection.poll_wants_data(self.key, waker))
        })
    }

    fn end(&self) {
        self.shared
            .with(|connection| connection.upload_ended(self.key));
        self.shared.write();
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.end();
    }
}

/// A request's data, written by hand. It is complete with [`finish`](Self::finish); dropped before
/// that, the call fails.
#[derive(Debug)]
#[must_use = "data that is not finished makes the call fail"]
pub struct Upload(Sender<()>);

impl Upload {
    /// The data is complete.
    pub fn finish(self) {
        self.0.end(Ok(()));
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.push(bytes, None) {
            Pushed::Taken => Ok(bytes.len()),
            Pushed::Closed | Pushed::Stalled => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Without effect after `finish`.
        self.0.end(Err(()));
    }
}

struct PipeSource(Receiver<()>);

impl Read for PipeSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.fill(None) {
            Ok(bytes) => {
                let len = bytes.unwrap_or_default().read(buffer)?;
                self.0.consume(len);
                Ok(len)
            }
            Err(Stop::Ended(()) | Stop::TimedOut) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the upload was dropped before it was finished",
            )),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("command", &String::from_utf8_lossy(&self.command))
            .field("args", &self.args.len())
            .finish_non_exhaustive()
    }
}
