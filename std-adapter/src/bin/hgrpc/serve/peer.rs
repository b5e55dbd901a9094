//! One connection, as the rest of the server sees it: who, what runs, when something moved.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hgrpc_std::transport::{Handle, Reader, Writer};

use crate::units::Shown;

/// A connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    handle: Handle,
    /// It is only told that it was one too many, and has until then.
    pub(super) refused_until: Option<Instant>,
    since: Instant,
    /// When something came or went last, in milliseconds since `since`.
    moved: AtomicU64,
    /// When the write that is under way began, plus one; 0: none is.
    writing: AtomicU64,
    /// The calls that run, by the order in which they began; without a name, the end of the answer
    /// is being sent.
    calls: Mutex<BTreeMap<u64, Option<String>>>,
    next_call: AtomicU64,
    /// No call ran when its reading half failed.
    was_idle: AtomicBool,
    /// Why it was closed from this end.
    closed: OnceLock<String>,
}

impl Peer {
    pub(super) fn new(name: String, handle: Handle, refused_until: Option<Instant>) -> Self {
        Self {
            name,
            handle,
            refused_until,
            since: Instant::now(),
            moved: AtomicU64::new(0),
            writing: AtomicU64::new(0),
            calls: Mutex::default(),
            next_call: AtomicU64::new(0),
            was_idle: AtomicBool::new(false),
            closed: OnceLock::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The calls that run.
    pub(super) fn calls(&self) -> MutexGuard<'_, BTreeMap<u64, Option<String>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next call.
    pub(super) fn next_call(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Something came or went.
    pub(super) fn touch(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    /// Whether no call ran when its reading half failed.
    pub(super) fn was_idle(&self) -> bool {
        self.was_idle.load(Ordering::Relaxed)
    }

    /// Closes the connection; the reason, if there is any, goes to the log.
    pub(super) fn close(&self, reason: &str) {
        let _ = self.closed.set(reason.to_owned());
        self.handle.close();
    }

    /// Why it was closed from this end, if it was.
    pub(super) fn closed(&self) -> Option<&str> {
        self.closed.get().map(String::as_str)
    }

    /// Closes the connection if it uses up a place and nothing else.
    pub(super) fn close_if_idle(&self, timeout: Option<Duration>) {
        if self.closed().is_some() {
            return;
        }
        if self
            .refused_until
            .is_some_and(|until| Instant::now() >= until)
        {
            return self.close("it did not go");
        }
        let Some(timeout) = timeout else {
            return;
        };
        let passed = |then: u64| Duration::from_millis(self.now().saturating_sub(then)) > timeout;
        match self.writing.load(Ordering::Relaxed) {
            0 if passed(self.moved.load(Ordering::Relaxed)) && self.calls().is_empty() => {
                self.close(&format!("closed: nothing came for {}", Shown(timeout)));
            }
            began @ 1.. if passed(began - 1) => {
                self.close(&format!("closed: it took no answer for {}", Shown(timeout)));
            }
            _ => {}
        }
    }
}

/// A half of a connection that tells when something moves.
pub(super) struct Timed<T> {
    pub(super) inner: T,
    pub(super) peer: Arc<Peer>,
}

impl Read for Timed<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.inner.read(buffer);
        if result.is_err() {
            // Of those without a name, the client may have the answer.
            let was_idle = self.peer.calls().values().flatten().next().is_none();
            self.peer.was_idle.store(was_idle, Ordering::Relaxed);
        }
        self.peer.touch();
        result
    }
}

impl Timed<Writer> {
    fn timed<R>(&mut self, write: impl FnOnce(&mut Writer) -> R) -> R {
        let now = self.peer.now();
        self.peer.writing.store(now + 1, Ordering::Relaxed);
        let result = write(&mut self.inner);
        self.peer.writing.store(0, Ordering::Relaxed);
        self.peer.touch();
        result
    }
}

impl Write for Timed<Writer> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.timed(|writer| writer.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.timed(|writer| writer.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.timed(Write::flush)
    }
}
