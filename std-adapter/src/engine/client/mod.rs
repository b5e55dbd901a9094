//! A client's connection. Read [`Connection`] first.
//!
//! ```text
//!   call.rs      a call's life: its request, its response, its data, its end
//!   send.rs      requests and data, in turns ─▶ frames ─▶ the batch to be written
//!   receive.rs   bytes ─▶ frames ─▶ the core's client ─▶ events (streams decoded)
//!   answer.rs    what an event means to its call
//!   note.rs      what comes beside a response
//!   content.rs   what a caller reads of a response: bytes, or values
//! ```

mod answer;
mod call;
mod content;
mod note;
mod receive;
mod send;
mod wakes;

pub use super::batch::Taken;
pub(crate) use answer::location;
pub use call::{Data, Outgoing, Unsent};
pub use content::{Content, More};
pub use note::{Note, NoteQueue, NoteRoute, NoteWriter, ProgressUpdate, TextOutput};
pub use wakes::Wakes;

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use hgrpc::cbor::EncodingSet;
use hgrpc::client::Client;
use hgrpc::client::{Announcement, ClientConfig};
use hgrpc::output::Stream;
use hgrpc::{ApiMisuse, Revision};

use super::Key;
use super::batch::Batch;
use super::frames::Frames;
use super::turns::Turns;
use crate::encoding::{ContentEncoding, StreamDecoders};
use crate::host::config::Meter;
use crate::host::{CallError, Config, ConnectionError, Limits, Lost};
use crate::requests::{GatheredBytes, GrowableRequests};
use answer::Calls;
use call::has;
use receive::{Decoding, Stuck};

/// The core's client as connections use it.
type Core = Client<Revision, GrowableRequests>;

/// A client's end of one connection: calls and bytes in, bytes and responses out.
///
/// The owner is a driver, which keeps it behind a lock. It
/// 1. begins calls for those who want them ([`call`](Self::call)), hands in the data of those that
///    stream it ([`upload`](Self::upload)) and takes their responses ([`poll_read`](Self::poll_read));
/// 2. reads bytes and hands them to [`receive`](Self::receive), which takes what it can; what it
///    leaves is handed in again, with more behind it or when it [is woken](Wakes::input);
/// 3. calls [`fill`](Self::fill), writes [`output`](Self::output) and says how much of it went;
/// 4. wakes whom [`take_wakes`](Self::take_wakes) says after each call, once nothing is locked, and
///    gives places that are free to those who wait for one;
/// 5. ends it: [`end_input`](Self::end_input), [`end_output`](Self::end_output),
///    [`finish`](Self::finish), [`end`](Self::end).
///
/// Times are milliseconds since some moment before the connection, never 0.
pub struct Connection {
    limits: Limits,
    meter: Arc<Meter>,
    /// Woken when there is room for a note that waits.
    waker: Waker,
    core: Core,
    /// Messages that come in several parts.
    memory: GatheredBytes,
    frames: Frames,
    /// The call that the current frame is of.
    current: Option<Key>,
    decoders: StreamDecoders,
    decoding: Option<Decoding>,
    stuck: Option<Stuck>,
    /// When it was stuck; 0 if it is not.
    since: u64,
    has_begun: bool,
    calls: Calls,
    /// Calls that wait for their turn to begin.
    starts: usize,
    /// Places that were taken when they were last counted, and those that became free until then.
    places: usize,
    freed: usize,
    stream: Stream,
    turns: Turns,
    batch: Batch,
    /// The driver has nothing to write and waits for more.
    wants_output: bool,
    /// Why nothing is sent any more.
    output_ended: Option<ConnectionError>,
    /// Why the connection has ended.
    ended: Option<ConnectionError>,
}

impl Connection {
    /// Makes a connection. `waker` is woken as [`Wakes::input`] says; the configuration's observer is
    /// told of each frame.
    pub fn open(config: &Config, waker: Waker) -> Self {
        let meter = Arc::new(Meter::new(config.observer.clone()));
        Self::new(config, meter, waker)
    }

    /// A connection that is made now. `waker` is woken as [`Wakes::input`] says; `meter` counts
    /// its frames.
    pub(crate) fn new(config: &Config, meter: Arc<Meter>, waker: Waker) -> Self {
        let limits = config.limits.checked();
        let budgets = limits.budgets();
        Self {
            limits,
            meter,
            waker,
            core: Core::new(
                config.revision,
                core_config(config, &limits),
                GrowableRequests::new(budgets),
            ),
            memory: GatheredBytes::new(budgets.bytes),
            frames: Frames::default(),
            current: None,
            decoders: StreamDecoders::new(limits.decoding),
            decoding: None,
            stuck: None,
            since: 0,
            has_begun: false,
            calls: Calls::new(config.revision, &limits),
            starts: 0,
            places: 0,
            freed: 0,
            stream: Stream::CLIENT,
            turns: Turns::default(),
            batch: Batch::default(),
            wants_output: false,
            output_ended: None,
            ended: None,
        }
    }

    /// Whom what happened concerns.
    pub fn take_wakes(&mut self) -> Wakes {
        self.count_places();
        self.calls.wakes.freed = std::mem::take(&mut self.freed);
        std::mem::take(&mut self.calls.wakes)
    }

    fn count_places(&mut self) {
        let places = self.core.requests().len() + self.starts;
        self.freed += self.places.saturating_sub(places);
        self.places = places;
    }

    /// Returns the number of calls that are known: somebody has them, or their data is not sent.
    pub fn calls(&self) -> usize {
        self.calls.slab.len()
    }

    /// Whether no call is under way and nothing is partly received.
    pub fn is_idle(&self) -> bool {
        self.core.requests().is_empty() && self.starts == 0 && !self.frames.is_inside()
    }

    /// Why nothing is sent any more.
    pub const fn output_ended(&self) -> Option<&ConnectionError> {
        self.output_ended.as_ref()
    }

    /// Why the connection has ended, or was [finished](Self::finish).
    pub const fn ended(&self) -> Option<&ConnectionError> {
        self.ended.as_ref()
    }

    /// Largest payload of a frame that is sent.
    fn frame_size(&self) -> usize {
        usize::try_from(self.limits.send_frame_size).unwrap_or(usize::MAX)
    }

    /// Gives the memory back that nothing is in: for connections on which nothing happens.
    pub fn shrink(&mut self) {
        self.core.requests_mut().shrink();
        self.memory.shrink();
        self.calls.shrink();
        self.turns.shrink();
        self.batch.shrink();
    }

    // --- ends ---

    /// The input has ended; what that means.
    pub fn end_input(&self) -> ConnectionError {
        match self.frames.missing() {
            Some(missing) => ConnectionError::Cut { missing },
            None if !self.has_begun => ConnectionError::ClosedAtOnce,
            None => ConnectionError::Closed,
        }
    }

    /// Nothing can be sent any more, for this reason. What is on its way is still received.
    pub fn end_output(&mut self, error: &ConnectionError) {
        if self.output_ended.is_some() {
            return;
        }
        self.output_ended = Some(error.clone());
        self.turns.clear();
        self.batch.clear();
        for key in self.calls.slab.keys() {
            self.unsent(key, error);
            if let Some(call) = self.calls.get_mut(key) {
                call.drop_data();
                self.calls.wake_upload(key);
            }
            self.settle(key);
        }
    }

    /// This end wants no more of the connection: every call is given up. What was sent goes out.
    pub fn finish(&mut self) {
        let error = ConnectionError::Shutdown;
        for key in self.calls.slab.keys() {
            self.unsent(key, &error);
            self.lose(key, &error);
            // What still comes of it is swallowed.
            self.cancel(key);
        }
        self.ended.get_or_insert(error);
    }

    /// The connection has ended, and every call with it.
    pub fn end(&mut self, error: &ConnectionError) {
        self.end_output(error);
        for key in self.calls.slab.keys() {
            self.lose(key, error);
            self.settle(key);
        }
        self.stuck = None;
        self.decoding = None;
        self.ended.get_or_insert_with(|| error.clone());
    }

    /// Ends a call that was not sent.
    fn unsent(&mut self, key: Key, error: &ConnectionError) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if let Some(start) = &call.start {
            call.unsent = Some(lost(&start.command, 0, error));
            self.starts -= 1;
            self.calls.wake_caller(key);
        }
    }

    /// Ends a call that the connection takes with it.
    fn lose(&mut self, key: Key, error: &ConnectionError) {
        if let Some(call) = self.calls.get_mut(key)
            && call.has & has::SENT != 0
        {
            let error = lost(&call.command, call.received, error);
            self.end_call(key, Err(error));
        }
    }
}

/// What a connection's end means to a call of which so much has come.
pub(crate) fn lost(command: &[u8], received: u64, error: &ConnectionError) -> CallError {
    CallError::Connection(Lost {
        command: String::from_utf8_lossy(command).into_owned(),
        received,
        error: error.clone(),
    })
}

/// What the core's client is told.
fn core_config(config: &Config, limits: &Limits) -> ClientConfig {
    let mut core = ClientConfig::FULL_DUPLEX;
    core.send_frame_size = limits.send_frame_size;
    core.max_frame_size = limits.frame_size;
    // Other servers' messages may be as long as a frame.
    core.status_size = 16 << 10;
    let mut encodings = [None; 3];
    let mut decoders = EncodingSet::IDENTITY;
    // `identity` must always be listed (revision-0006.md, 4.1).
    let mut listed: Vec<ContentEncoding> = Vec::new();
    for encoding in config.decodes.iter().chain([&ContentEncoding::Identity]) {
        if !listed.contains(encoding) {
            listed.push(*encoding);
        }
    }
    for (slot, encoding) in encodings.iter_mut().zip(listed) {
        *slot = Some(encoding);
        decoders = decoders.with(encoding);
    }
    core.announcement = Some(Announcement {
        encodings,
        is_hgrpc: true,
    });
    core.decoders = decoders;
    core
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("calls", &self.calls.slab.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl From<ApiMisuse> for Unsent {
    fn from(misuse: ApiMisuse) -> Self {
        Self {
            error: CallError::Misuse(misuse),
            outgoing: None,
        }
    }
}

#[cfg(test)]
mod tests;
