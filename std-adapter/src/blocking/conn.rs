//! One connection: the engine's state machine behind a lock, and those who wait for it.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use hgrpc::Revision;

use super::line::Line;
use super::{ConnectionError, Failure, Gone};
use crate::engine::Key;
use crate::engine::server::{Calls, Connection, Guarded, Locked, Progress, Shared};
use crate::host::sync::{block, lock, wait};

/// One connection.
pub(super) struct Conn {
    pub(super) shared: Arc<Shared>,
    pub(super) gone: Gone,
    engine: Mutex<Engine>,
    /// Who reads the connection can go on.
    reader: Condvar,
    outlet: Outlet,
    began: Instant,
}

struct Engine {
    guarded: Guarded,
    /// Somebody writes, and looks for more before it stops.
    is_writing: bool,
    /// What stopped the reading may be over.
    can_read: bool,
}

/// Where frames go.
pub(super) enum Outlet {
    /// Whoever has something to send writes it.
    Line(Line),
    /// They are fetched, by whoever this wakes.
    #[cfg(feature = "http-server")]
    Fetched(Mutex<Option<Waker>>),
}

/// Who does something with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// A handler, or who has its reply: may wait for the peer.
    Handler,
    /// Who reads, which must not wait for writing.
    Reader,
}

impl Locked for Conn {
    /// Writes what there is to be written then.
    fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        self.change(Who::Handler, |engine| act(&mut engine.guarded.connection))
    }

    fn is_panicking(&self, _: Key) -> bool {
        thread::panicking()
    }
}

impl Conn {
    pub(super) fn new(connection: Connection, outlet: Outlet, gone: Gone, began: Instant) -> Self {
        Self {
            shared: Arc::clone(connection.shared()),
            gone,
            engine: Mutex::new(Engine {
                guarded: Guarded::new(connection),
                is_writing: false,
                can_read: false,
            }),
            reader: Condvar::new(),
            outlet,
            began,
        }
    }

    /// The revision that is spoken.
    pub(super) fn revision(&self) -> Revision {
        self.shared.config().revision
    }

    /// Milliseconds since the connection began, never 0.
    pub(super) fn now(&self) -> u64 {
        let began = self.began.elapsed().as_millis();
        u64::try_from(began).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Does something with the connection for who reads.
    pub(super) fn with_reader<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        self.change(Who::Reader, |engine| {
            engine.can_read = false;
            act(&mut engine.guarded.connection)
        })
    }

    /// Waits until something that has to wait for the connection was done.
    pub(super) fn block<R>(&self, mut poll: impl FnMut(&mut Guarded, &Waker) -> Poll<R>) -> R {
        block(|waker| self.change(Who::Handler, |engine| poll(&mut engine.guarded, waker)))
    }

    fn change<R>(&self, who: Who, act: impl FnOnce(&mut Engine) -> R) -> R {
        let mut engine = lock(&self.engine);
        let result = act(&mut engine);
        let (calls, has_output) = self.settle(&mut engine);
        let writes = has_output && matches!(self.outlet, Outlet::Line(_)) && !engine.is_writing;
        engine.is_writing |= writes;
        drop(engine);
        self.call(calls);
        match &self.outlet {
            Outlet::Line(line) if writes => match who {
                Who::Handler => line.write(self),
                Who::Reader => line.have_written(self),
            },
            Outlet::Line(_) => {}
            #[cfg(feature = "http-server")]
            Outlet::Fetched(_) => {
                if has_output {
                    self.wake_fetcher();
                }
            }
        }
        result
    }

    /// Looks whom a change concerns, and whether there is something to be written.
    fn settle(&self, engine: &mut Engine) -> (Calls, bool) {
        let mut calls = Calls::default();
        engine.guarded.call(&mut calls);
        for key in std::mem::take(&mut calls.stopped) {
            // Its handler runs on, and writes to nobody.
            let failure = Failure::server("the request was refused");
            engine.guarded.connection.fail(key, &failure);
            engine.guarded.call(&mut calls);
        }
        engine.can_read |= calls.input;
        if calls.input || calls.progress {
            self.reader.notify_one();
        }
        let connection = &engine.guarded.connection;
        (calls, connection.has_output() || connection.can_fill())
    }

    fn call(&self, mut calls: Calls) {
        calls.wake();
        if calls.is_gone {
            self.gone.signal();
        }
    }

    /// Does something with the connection for who has written so many bytes, or fetches what is to be
    /// written; it has more frames then, if there are any.
    pub(super) fn with_writer<R>(
        &self,
        written: usize,
        act: impl FnOnce(&mut Connection) -> R,
    ) -> R {
        let now = self.now();
        let mut engine = lock(&self.engine);
        let connection = &mut engine.guarded.connection;
        if written > 0 {
            connection.sent(written, now);
        }
        connection.fill(now);
        let result = act(connection);
        // Whoever makes more from here on finds nobody who writes.
        let has_more = connection.unwritten() > 0;
        engine.is_writing &= has_more;
        let (calls, _) = self.settle(&mut engine);
        // What was written may be what who reads waits for.
        engine.can_read |= engine.guarded.connection.has_room_for_refusals();
        self.reader.notify_one();
        drop(engine);
        self.call(calls);
        result
    }

    /// For who reads, and was stopped: waits until that may be over, or until a deadline.
    pub(super) fn wait_for_room(&self, deadline: Option<u64>) {
        let deadline =
            deadline.and_then(|deadline| self.began.checked_add(Duration::from_millis(deadline)));
        self.wait(deadline, |engine| engine.can_read);
    }

    /// For who reads: waits until all was answered and written, or the connection has ended.
    pub(super) fn wait_answered(&self) {
        self.wait(None, |engine| {
            let progress = engine.guarded.connection.progress();
            matches!(progress, Progress::Answered | Progress::Ended)
        });
    }

    fn wait(&self, deadline: Option<Instant>, is_over: impl Fn(&Engine) -> bool) {
        let mut engine: MutexGuard<'_, Engine> = lock(&self.engine);
        while !is_over(&engine) {
            match wait(&self.reader, engine, deadline) {
                Some(guard) => engine = guard,
                None => return,
            }
        }
    }

    /// Does something with the line that frames are written to, if there is one.
    pub(super) fn line(&self, act: impl FnOnce(&Line)) {
        match &self.outlet {
            Outlet::Line(line) => act(line),
            #[cfg(feature = "http-server")]
            Outlet::Fetched(_) => {}
        }
    }

    /// The connection has ended: nothing is sent.
    pub(super) fn end(&self, error: ConnectionError) {
        self.with(|connection| connection.end(error));
    }

    /// Has this woken when there is more to be fetched; before it is looked for.
    #[cfg(feature = "http-server")]
    pub(super) fn fetch_by(&self, waker: &Waker) {
        if let Outlet::Fetched(fetcher) = &self.outlet {
            *lock(fetcher) = Some(waker.clone());
        }
    }

    /// Wakes who fetches what is to be sent.
    #[cfg(feature = "http-server")]
    pub(super) fn wake_fetcher(&self) {
        if let Outlet::Fetched(fetcher) = &self.outlet {
            lock(fetcher).take().into_iter().for_each(Waker::wake);
        }
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
