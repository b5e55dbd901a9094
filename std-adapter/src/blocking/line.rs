//! The writing side of a connection: whoever has something to send writes it, and what others have
//! made meanwhile.
//!
//! ```text
//!   handler A ─┐                        ┌─▶ A writes, for a few batches
//!   handler B ─┼─▶ the engine's batch ──┤
//!   who reads ─┘                        └─▶ then, or for who reads, a thread that comes and goes
//! ```
//! There is no writing thread where handlers are quick, and reading never waits for writing.

use std::io::{self, Write};
use std::sync::{Arc, Weak};

use super::ConnectionError;
use super::conn::Conn;
use super::sink::WriteHalf;
use super::transport::Closer;
use super::workers::Workers;

/// Batches that a handler's thread writes at once, its own and those of others; each is about 64 KiB.
const BATCHES: usize = 4;

pub(super) struct Line {
    half: WriteHalf,
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

impl Line {
    pub(super) fn new(
        write: Box<dyn Write + Send>,
        close: Option<Closer>,
        workers: Arc<Workers>,
        conn: Weak<Conn>,
    ) -> Self {
        Self {
            half: WriteHalf::new(write, close),
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
        let sink = &mut *self.half.lock();
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
                    sink.broken();
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
        self.half.shut();
    }

    /// What is written to.
    pub(super) const fn half(&self) -> &WriteHalf {
        &self.half
    }
}
