//! The writing side of a connection: whoever has something to send writes it, and what others have
//! made meanwhile.
//!
//! ```text
//!   handler A ─┐                        ┌─▶ A writes, for a few batches
//!   handler B ─┼─▶ the engine's batch ──┤
//!   who reads ─┘                        └─▶ then, or for who reads, a thread that comes and goes
//! ```
//! There is no writing thread where handlers are quick, and reading never waits for writing.

use std::io::{self, IoSlice, Write};
use std::sync::{Arc, Mutex, Weak};

use super::ConnectionError;
use super::conn::Conn;
use super::transport::Closer;
use super::workers::Workers;
use crate::engine::server::Taken;
use crate::host::sync::lock;

/// Batches that a handler's thread writes at once, its own and those of others; each is about 64 KiB.
const BATCHES: usize = 4;

/// Slices that are written at once.
const SLICES: usize = 16;

pub(super) struct Line {
    sink: Mutex<Sink>,
    close: Option<Closer>,
    workers: Arc<Workers>,
    /// The connection, for a thread that writes on.
    conn: Weak<Conn>,
}

/// What who writes does next.
enum Next {
    Write,
    /// There is more, for somebody else.
    Leave,
    Stop,
}

struct Sink {
    write: Option<Box<dyn Write + Send>>,
    taken: Taken,
}

impl Line {
    pub(super) fn new(
        write: Box<dyn Write + Send>,
        close: Option<Closer>,
        workers: Arc<Workers>,
        conn: Weak<Conn>,
    ) -> Self {
        let sink = Sink {
            write: Some(write),
            taken: Taken::default(),
        };
        Self {
            sink: Mutex::new(sink),
            close,
            workers,
            conn,
        }
    }

    /// Writes a few batches; leaves more to another thread.
    pub(super) fn write(&self, conn: &Conn) {
        if self.write_batches(conn, BATCHES) {
            self.have_written(conn);
        }
    }

    /// Has a thread write all there is.
    pub(super) fn have_written(&self, conn: &Conn) {
        let started = match self.conn.upgrade() {
            Some(conn) => {
                let writes = move || {
                    conn.line(|line| line.write_all(&conn));
                };
                self.workers.run(Box::new(writes)).is_ok()
            }
            None => false,
        };
        if !started {
            self.write_all(conn);
        }
    }

    fn write_all(&self, conn: &Conn) {
        while self.write_batches(conn, usize::MAX) {}
    }

    /// Writes at most so many batches. `true`: there is more.
    fn write_batches(&self, conn: &Conn, most: usize) -> bool {
        let sink = &mut *lock(&self.sink);
        let mut written = 0;
        let mut batches = 0;
        loop {
            let next = conn.with_writer(written, |connection| {
                if !sink.taken.is_empty() {
                    return Next::Write;
                }
                if !connection.has_output() {
                    return Next::Stop;
                }
                if batches == most {
                    return Next::Leave;
                }
                batches += 1;
                connection.take_output(&mut sink.taken);
                Next::Write
            });
            match next {
                Next::Stop => return false,
                Next::Leave => return true,
                Next::Write => {}
            }
            written = match sink.write_some() {
                Ok(written) => written,
                Err(error) => {
                    (sink.taken, sink.write) = (Taken::default(), None);
                    self.failed(conn, error);
                    0
                }
            };
        }
    }

    /// Writing has failed, so the peer takes no answers any more: nothing it asks for is of use.
    fn failed(&self, conn: &Conn, error: io::Error) {
        conn.with_writer(0, |connection| {
            connection.end(ConnectionError::writing(error))
        });
        if let Some(close) = &self.close {
            close();
        }
    }

    /// No more is sent: the peer is told, as far as the transport can, and may go on sending.
    pub(super) fn finish(&self) {
        lock(&self.sink).write = None;
    }

    /// Whether [`close`](Self::close) ends a read that waits.
    pub(super) const fn ends_reading(&self) -> bool {
        self.close.is_some()
    }

    /// Closes the connection for both directions, as far as the transport can.
    pub(super) fn close(&self) {
        if let Some(close) = &self.close {
            close();
        }
        // Whoever is blocked in a write holds the sink; the write half goes when it returns.
        if let Ok(mut sink) = self.sink.try_lock() {
            sink.write = None;
        }
    }
}

impl Sink {
    /// Writes some of what was taken, and flushes after the last of it.
    fn write_some(&mut self) -> io::Result<usize> {
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
}
