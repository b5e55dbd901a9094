//! The write half of a connection, with what is being written.

use std::io::{self, IoSlice, Write};
use std::sync::{Mutex, MutexGuard};

use super::transport::Closer;
use crate::engine::server::Taken;
use crate::host::sync::lock;

/// Slices that are written at once.
const SLICES: usize = 16;

/// What the threads of a connection write to, one at a time.
pub(super) struct WriteHalf {
    sink: Mutex<Sink>,
    close: Option<Closer>,
}

/// The half while a thread has it.
pub(super) struct Sink {
    /// `None`: nothing is sent any more.
    write: Option<Box<dyn Write + Send>>,
    pub(super) taken: Taken,
}

impl WriteHalf {
    pub(super) fn new(write: Box<dyn Write + Send>, close: Option<Closer>) -> Self {
        let sink = Sink {
            write: Some(write),
            taken: Taken::default(),
        };
        Self {
            sink: Mutex::new(sink),
            close,
        }
    }

    /// Has the half for this thread; waits for the one that has it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Sink> {
        lock(&self.sink)
    }

    /// No more is sent: the peer is told, as far as the transport can, and may go on sending.
    pub(super) fn finish(&self) {
        self.lock().write = None;
    }

    /// Whether [`shut`](Self::shut) ends a read that waits.
    pub(super) const fn ends_reading(&self) -> bool {
        self.close.is_some()
    }

    /// Ends the transport, if it can be.
    pub(super) fn shut(&self) {
        if let Some(close) = &self.close {
            close();
        }
    }

    /// Closes the connection for both directions, as far as the transport can.
    pub(super) fn close(&self) {
        self.shut();
        // Whoever is blocked in a write holds the sink; the write half goes when it returns.
        if let Ok(mut sink) = self.sink.try_lock() {
            sink.write = None;
        }
    }
}

impl Sink {
    /// Writes some of what was taken, and flushes after the last of it.
    pub(super) fn write_some(&mut self) -> io::Result<usize> {
        let Some(write) = &mut self.write else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.taken.slices(&mut slices);
        let slices = slices.get(..count).unwrap_or_default();
        let written = match write.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            written => written?,
        };
        self.taken.advance(written);
        if self.taken.is_empty() {
            write.flush()?;
        }
        Ok(written)
    }

    /// Writes all that was taken.
    pub(super) fn write_all(&mut self) -> io::Result<()> {
        while !self.taken.is_empty() {
            self.write_some()?;
        }
        Ok(())
    }

    /// Writing has failed: nothing is sent any more, and what was taken is dropped.
    pub(super) fn broken(&mut self) {
        (self.taken, self.write) = (Taken::default(), None);
    }
}
