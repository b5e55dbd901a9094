//! A call that is being put together and sent.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc::ApiMisuse;
use hgrpc::cbor::{Atoms, EncodedArgs};
use hgrpc::client::CallData;

use super::client::Handle;
use super::exchange::{CallState, OnProgress, OnText, Shared};
use super::outgoing::BATCH;
use super::pipe::{Pushed, Receiver, Sender, Stop, pipe};
use super::{CallError, Progress, Response};
use crate::host::request::Arguments;
use crate::host::sync::lock;

/// How long a call whose data cannot be written waits for an answer all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the core's reactor makes of a call.
type CoreCall<'a> = hgrpc::client::Call<'a>;

/// A call that is being put together.
#[must_use = "a call does nothing until it is sent"]
pub struct Request {
    handle: Arc<Handle>,
    command: Vec<u8>,
    args: Arguments,
    redirect: Option<Vec<u8>>,
    data: Source,
    on_text: Option<OnText>,
    on_progress: Option<OnProgress>,
    deadline: Option<Instant>,
}

enum Source {
    None,
    Bytes(Vec<u8>),
    Reader(Box<dyn Read + Send>),
}

/// What is sent of a call, apart from its data.
struct Prepared {
    command: Vec<u8>,
    args: Vec<u8>,
    redirect: Option<Vec<u8>>,
}

impl Request {
    pub(super) fn new(handle: Arc<Handle>, command: Vec<u8>) -> Self {
        Self {
            handle,
            command,
            args: Arguments::default(),
            redirect: None,
            data: Source::None,
            on_text: None,
            on_progress: None,
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
        self.data = Source::Bytes(data.into());
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
        self.on_text = Some(Box::new(show));
        self
    }

    /// What takes the server's progress. Its texts are the peer's too, and it must be quick too.
    pub fn on_progress(mut self, show: impl FnMut(&Progress<'_>) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(show));
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
            Source::None => self
                .start(|shared, call, prepared| send_whole(shared, call, prepared, CallData::None)),
            // Data of one frame cannot fill any buffer on its way.
            Source::Bytes(bytes) if bytes.len() < frame_size(&self.handle.shared) => {
                self.start(|shared, call, prepared| {
                    send_whole(shared, call, prepared, CallData::Bytes(&bytes))
                })
            }
            Source::Bytes(bytes) => self.upload(Box::new(io::Cursor::new(bytes))),
            Source::Reader(source) => self.upload(source),
        }
    }

    /// Sends the request, with data that is written by hand.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn open(self) -> Result<(Upload, Response), CallError> {
        let (sender, receiver) = pipe(self.handle.shared.limits.buffer);
        let response = self.upload(Box::new(PipeSource(receiver)))?;
        Ok((Upload(sender), response))
    }

    fn upload(self, source: Box<dyn Read + Send>) -> Result<Response, CallError> {
        // It does not keep the connection open: its source may never end.
        let shared = Arc::clone(&self.handle.shared);
        self.start(|_, call, prepared| {
            let (started, result) = sync_channel(1);
            let call = Arc::clone(call);
            thread::Builder::new()
                .name("hgrpc-upload".into())
                .spawn(move || upload(&shared, &call, &prepared, source, &started))
                .map_err(|error| CallError::Source(Arc::new(error)))?;
            result.recv().unwrap_or(Err(CallError::TimedOut))
        })
    }

    fn start(
        self,
        send: impl FnOnce(&Shared, &Arc<CallState>, Prepared) -> Result<(), CallError>,
    ) -> Result<Response, CallError> {
        let shared = &self.handle.shared;
        let args = self.args.encode(shared.revision.key_order())?;
        let (body, receiver) = pipe(shared.limits.buffer);
        let call = Arc::new(CallState::new(
            self.command.clone(),
            body,
            self.on_text,
            self.on_progress,
        ));
        let prepared = Prepared {
            command: self.command,
            args,
            redirect: self.redirect,
        };
        send(shared, &call, prepared).inspect_err(|_| shared.cancel(&call))?;
        Ok(Response::new(self.handle, call, receiver, self.deadline))
    }
}

fn frame_size(shared: &Shared) -> usize {
    usize::try_from(shared.limits.send_frame_size.max(1)).unwrap_or(usize::MAX)
}

impl Prepared {
    /// Makes the reactor know the call.
    fn register<'a>(
        &'a self,
        shared: &Shared,
        call: &Arc<CallState>,
        data: CallData<'a>,
    ) -> Result<CoreCall<'a>, CallError> {
        let args = EncodedArgs::from_cbor(&self.args).map_err(|_| ApiMisuse::InvalidMessage)?;
        let mut request = hgrpc::client::Request::new(&self.command, args).with_data(data);
        request.redirect = self.redirect.as_deref();
        let state = &mut *lock(&shared.state);
        if let Some(error) = &state.ended {
            return Err(call.head.lost(error));
        }
        // Calls go out at once, so there is nothing to flush.
        let (core, _) = state.client.call(&mut state.table, request)?;
        call.head.set_id(core.request_id());
        state
            .open
            .add(core.request_id(), Arc::clone(call), shared.revision);
        Ok(core)
    }
}

/// Sends the frames that a call has, in turns with others.
fn send_frames(
    shared: &Shared,
    call: &Arc<CallState>,
    core: &mut CoreCall<'_>,
) -> Result<(), CallError> {
    loop {
        let mut turn = shared.out.turn();
        loop {
            let frame = {
                let state = &mut *lock(&shared.state);
                core.next_frame(&mut state.client.output(&mut state.table))
            };
            let Some(frame) = frame else {
                return Ok(());
            };
            turn.write(&[frame])
                .map_err(|error| call.head.lost(&error))?;
            if turn.is_wanted() {
                break;
            }
        }
    }
}

fn send_whole(
    shared: &Shared,
    call: &Arc<CallState>,
    prepared: Prepared,
    data: CallData<'_>,
) -> Result<(), CallError> {
    let mut core = prepared.register(shared, call, data)?;
    send_frames(shared, call, &mut core)
}

/// The thread of a call's data.
fn upload(
    shared: &Shared,
    call: &Arc<CallState>,
    prepared: &Prepared,
    mut source: Box<dyn Read + Send>,
    started: &SyncSender<Result<(), CallError>>,
) {
    let mut core = match prepared.register(shared, call, CallData::Stream) {
        Ok(core) => core,
        Err(error) => return drop(started.send(Err(error))),
    };
    let result = send_frames(shared, call, &mut core);
    let is_sent = result.is_ok();
    drop(started.send(result));
    if !is_sent {
        return;
    }
    let size = frame_size(shared);
    let mut buffer = vec![0; (BATCH * size).min(1 << 20).max(size)];
    loop {
        let bytes = match source.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(len) => buffer.get(..len).unwrap_or_default(),
            Err(error) => {
                // The server must not wait for what never comes.
                call.body.end(Err(CallError::Source(Arc::new(error))));
                shared.cancel(call);
                let _ = send_data(shared, call, &mut core, &[], size);
                return;
            }
        };
        match send_data(shared, call, &mut core, bytes, size) {
            Ok(true) if !bytes.is_empty() => {}
            Ok(_) => return,
            Err(error) => {
                // What the server said before it closed may still be on its way.
                let patience = Instant::now() + PATIENCE;
                while !call.body.is_closed() && Instant::now() < patience {
                    thread::sleep(Duration::from_millis(10));
                }
                return call.body.end(Err(error));
            }
        }
    }
}

/// Sends data in frames, or the end if it is empty; whether the server wants more.
fn send_data(
    shared: &Shared,
    call: &Arc<CallState>,
    core: &mut CoreCall<'_>,
    bytes: &[u8],
    frame_size: usize,
) -> Result<bool, CallError> {
    let is_end = bytes.is_empty();
    let mut chunks = if is_end {
        vec![bytes].into_iter()
    } else {
        bytes.chunks(frame_size).collect::<Vec<_>>().into_iter()
    };
    loop {
        let mut turn = shared.out.turn();
        loop {
            let most = if turn.is_wanted() { 1 } else { BATCH };
            let mut frames = Vec::with_capacity(most);
            let mut has_ended = false;
            {
                let state = &mut *lock(&shared.state);
                let mut out = state.client.output(&mut state.table);
                for chunk in chunks.by_ref().take(most) {
                    match core.data_frame(&mut out, chunk, is_end)? {
                        Some(frame) => frames.push(frame),
                        None => has_ended = true,
                    }
                }
            }
            turn.write(&frames)
                .map_err(|error| call.head.lost(&error))?;
            if has_ended || core.is_ended() {
                return Ok(false);
            }
            if chunks.len() == 0 {
                return Ok(true);
            }
            if turn.is_wanted() {
                break;
            }
        }
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
