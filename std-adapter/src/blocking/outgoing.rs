//! The writing side of a connection: whoever has something to send writes it, in turns.
//!
//! There is no writing thread and no queue of bytes. A thread takes its turn, has the reactor make
//! a frame out of its own memory, and writes that memory: large payloads are never copied, and a
//! slow peer holds up exactly those that have something for it, never the reading side.
//!
//! ```text
//!   thread A ─┐ turn: frame of A ─┐
//!   thread B ─┤ (first come,      ├─▶ joined with small frames before it ─▶ one vectored write
//!   thread C ─┘  first served)   ─┘
//! ```
//! Frames go on the wire in the order in which the reactor makes them, because both happen in one
//! turn. A turn is one frame, or a few if nobody else waits; so responses share the line evenly.
//! A small frame is left to the next in line to be written with its own, if there is one.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};

use hgrpc::wire::OutFrame;

use super::ConnectionError;
use super::transport::Closer;
use crate::host::config::Meter;
use crate::host::sync::lock;

/// Frames up to this many bytes are joined with others.
const SMALL: usize = 4 * 1024;

/// Most bytes of small frames that wait for others.
const JOINED: usize = 32 * 1024;

/// Most frames of one turn where nobody else waits.
pub(super) const BATCH: usize = 4;

pub(super) struct Outgoing {
    line: Mutex<Line>,
    sink: Mutex<Sink>,
    close: Option<Closer>,
    pub(super) meter: Arc<Meter>,
}

#[derive(Default)]
struct Line {
    is_taken: bool,
    waiting: VecDeque<Arc<Waiter>>,
}

struct Waiter {
    thread: Thread,
    is_called: AtomicBool,
}

struct Sink {
    write: Option<Box<dyn Write + Send>>,
    joined: Vec<u8>,
    failed: Option<ConnectionError>,
}

/// The right to make frames and write them.
pub(super) struct Turn<'a> {
    outgoing: &'a Outgoing,
}

impl Outgoing {
    pub(super) fn new(
        write: Box<dyn Write + Send>,
        close: Option<Closer>,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            line: Mutex::default(),
            sink: Mutex::new(Sink {
                write: Some(write),
                joined: Vec::new(),
                failed: None,
            }),
            close,
            meter,
        }
    }

    /// Waits for its turn.
    pub(super) fn turn(&self) -> Turn<'_> {
        let mut line = lock(&self.line);
        if !line.is_taken {
            line.is_taken = true;
            return Turn { outgoing: self };
        }
        let waiter = Arc::new(Waiter {
            thread: thread::current(),
            is_called: AtomicBool::new(false),
        });
        line.waiting.push_back(Arc::clone(&waiter));
        drop(line);
        while !waiter.is_called.load(Ordering::Acquire) {
            thread::park();
        }
        Turn { outgoing: self }
    }

    /// Closes the connection for both directions, as far as the transport can. Whoever writes
    /// gets this error, unless there was one before.
    pub(super) fn close(&self, error: ConnectionError) {
        if let Some(close) = &self.close {
            close();
        }
        // Whoever is blocked in a write holds the sink; the write half goes when it returns.
        if let Ok(mut sink) = self.sink.try_lock() {
            sink.failed.get_or_insert(error);
            sink.write = None;
        }
    }
}

impl Turn<'_> {
    /// Whether somebody else waits for the turn.
    pub(super) fn is_wanted(&self) -> bool {
        !lock(&self.outgoing.line).waiting.is_empty()
    }

    /// Writes frames, in this order. Small ones may stay behind until the turn ends.
    pub(super) fn write(&mut self, frames: &[OutFrame<'_>]) -> Result<(), ConnectionError> {
        let mut sink = lock(&self.outgoing.sink);
        let mut len = 0;
        for frame in frames {
            self.outgoing.meter.frame_out(frame.header());
            len += frame.wire_len();
        }
        if len <= SMALL {
            for slice in frames.iter().flat_map(OutFrame::as_slices_iter) {
                sink.joined.extend_from_slice(slice);
            }
            if sink.joined.len() < JOINED {
                return sink.failed.clone().map_or(Ok(()), Err);
            }
            return sink.flush();
        }
        sink.write_frames(frames)
    }
}

/// The slices of a frame that hold anything.
trait Slices {
    fn as_slices_iter(&self) -> impl Iterator<Item = &[u8]>;
}

impl Slices for OutFrame<'_> {
    fn as_slices_iter(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.header().emit().as_slice())
            .chain(self.payload().iter().copied())
            .filter(|slice| !slice.is_empty())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        loop {
            let mut line = lock(&self.outgoing.line);
            if let Some(next) = line.waiting.pop_front() {
                // What was joined goes out with what comes next.
                next.is_called.store(true, Ordering::Release);
                next.thread.unpark();
                return;
            }
            let mut sink = lock(&self.outgoing.sink);
            if sink.joined.is_empty() {
                line.is_taken = false;
                return;
            }
            drop(line);
            // The error is kept for whoever writes next; who reads will notice too.
            let _ = sink.flush();
        }
    }
}

impl Sink {
    fn flush(&mut self) -> Result<(), ConnectionError> {
        self.write_frames(&[])
    }

    /// Writes what was joined, then these frames.
    fn write_frames(&mut self, frames: &[OutFrame<'_>]) -> Result<(), ConnectionError> {
        let joined = std::mem::take(&mut self.joined);
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(write) = &mut self.write else {
            return Err(ConnectionError::Shutdown);
        };
        let mut slices = Vec::with_capacity(1 + 3 * frames.len());
        if !joined.is_empty() {
            slices.push(IoSlice::new(&joined));
        }
        slices.extend(
            frames
                .iter()
                .flat_map(OutFrame::as_slices_iter)
                .map(IoSlice::new),
        );
        let result = write_all(write, &mut slices).and_then(|()| write.flush());
        self.joined = joined;
        self.joined.clear();
        result.map_err(|error| {
            let error = ConnectionError::writing(error);
            self.failed = Some(error.clone());
            self.write = None;
            error
        })
    }
}

/// Writes all slices, however little a write takes.
fn write_all(write: &mut dyn Write, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match write.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => IoSlice::advance_slices(&mut slices, len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
