//! A bounded pipe of bytes between two threads: a response on its way to the caller.
//!
//! ```text
//!   push(bytes) ─▶ [chunk][chunk][chunk] ─▶ fill() · consume(n)
//!                  └─ at most `capacity` bytes ─┘   and the chunk being read
//! ```
//! Every byte is copied once on its way in; the reader reads in the chunk itself.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::host::sync::{lock, wait};

/// Chunks that are kept for later pushes.
const SPARE_CHUNKS: usize = 2;

/// Pushes of fewer bytes join the chunk before them where it has room.
const SMALL: usize = 2 * 1024;

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It was taken.
    Taken,
    /// Nobody reads any more, or the pipe has ended.
    Closed,
    /// The reader did not make room in time; what did not fit is lost.
    Stalled,
}

/// Why nothing can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop<E> {
    /// The pipe has ended with this error.
    Ended(E),
    /// The deadline has passed.
    TimedOut,
}

#[derive(Debug)]
struct State<E> {
    chunks: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// Bytes in `chunks`, and of a chunk that is being filled.
    held: usize,
    end: Option<Result<(), E>>,
    is_abandoned: bool,
    writer_waits: bool,
}

#[derive(Debug)]
struct Shared<E> {
    state: Mutex<State<E>>,
    readable: Condvar,
    writable: Condvar,
    capacity: usize,
}

/// The end that is written to. One thread pushes; any may end the pipe.
#[derive(Debug)]
pub(super) struct Sender<E>(Arc<Shared<E>>);

/// The end that is read.
#[derive(Debug)]
pub(super) struct Receiver<E> {
    shared: Arc<Shared<E>>,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that were read.
    start: usize,
}

/// A pipe that holds at most `capacity` bytes, at least one.
pub(super) fn pipe<E: Clone>(capacity: usize) -> (Sender<E>, Receiver<E>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            chunks: VecDeque::new(),
            spare: Vec::new(),
            held: 0,
            end: None,
            is_abandoned: false,
            writer_waits: false,
        }),
        readable: Condvar::new(),
        writable: Condvar::new(),
        capacity: capacity.max(1),
    });
    let receiver = Receiver {
        shared: Arc::clone(&shared),
        chunk: Vec::new(),
        start: 0,
    };
    (Sender(shared), receiver)
}

impl<E: Clone> Sender<E> {
    /// Hands bytes over; waits for room, at most for `stall` at a time.
    pub(super) fn push(&self, mut bytes: &[u8], stall: Option<Duration>) -> Pushed {
        let shared = &*self.0;
        while !bytes.is_empty() {
            // A wake-up for every few bytes of room would cost more than it gives.
            let wanted = bytes.len().min(shared.capacity.div_ceil(2));
            let deadline = stall.map(|stall| Instant::now() + stall);
            let mut state = lock(&shared.state);
            while shared.capacity - state.held < wanted {
                if state.is_abandoned || state.end.is_some() {
                    return Pushed::Closed;
                }
                state.writer_waits = true;
                match wait(&shared.writable, state, deadline) {
                    Some(guard) => state = guard,
                    None => return Pushed::Stalled,
                }
            }
            if state.is_abandoned || state.end.is_some() {
                return Pushed::Closed;
            }
            let take = bytes.len().min(shared.capacity - state.held);
            let (now, later) = bytes.split_at(take);
            bytes = later;
            state.held += take;
            if let Some(last) = state.chunks.back_mut()
                && take < SMALL
                && last.capacity() - last.len() >= take
            {
                last.extend_from_slice(now);
                continue; // Whoever reads has been told of the chunk.
            }
            let spare = state.spare.pop();
            drop(state);
            let mut chunk = spare.unwrap_or_default();
            chunk.clear();
            chunk.reserve(take.max(SMALL));
            chunk.extend_from_slice(now);
            let mut state = lock(&shared.state);
            state.chunks.push_back(chunk);
            drop(state);
            shared.readable.notify_one();
        }
        Pushed::Taken
    }

    /// Ends the pipe; what was pushed can still be read. The first end counts.
    pub(super) fn end(&self, result: Result<(), E>) {
        let mut state = lock(&self.0.state);
        if state.end.is_none() {
            state.end = Some(result);
        }
        drop(state);
        self.0.readable.notify_all();
        self.0.writable.notify_all();
    }
}

impl<E: Clone> Receiver<E> {
    /// The next bytes, never empty; `None` at the end. Waits for them.
    pub(super) fn fill(&mut self, deadline: Option<Instant>) -> Result<Option<&[u8]>, Stop<E>> {
        if self.start == self.chunk.len() && !self.next_chunk(deadline)? {
            return Ok(None);
        }
        Ok(self.chunk.get(self.start..))
    }

    fn next_chunk(&mut self, deadline: Option<Instant>) -> Result<bool, Stop<E>> {
        let used = std::mem::take(&mut self.chunk);
        self.start = 0;
        let mut state = lock(&self.shared.state);
        if used.capacity() > 0 && state.spare.len() < SPARE_CHUNKS {
            state.spare.push(used);
        }
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                state.held -= chunk.len();
                let wakes = state.writer_waits && state.held <= self.shared.capacity / 2;
                state.writer_waits &= !wakes;
                drop(state);
                if wakes {
                    self.shared.writable.notify_one();
                }
                self.chunk = chunk;
                return Ok(true);
            }
            match &state.end {
                // A push that was under way when the pipe ended is still to come.
                _ if state.held > 0 => {}
                Some(Ok(())) => return Ok(false),
                Some(Err(error)) => return Err(Stop::Ended(error.clone())),
                None => {}
            }
            state = wait(&self.shared.readable, state, deadline).ok_or(Stop::TimedOut)?;
        }
    }

    /// The first `len` of the bytes are used up.
    pub(super) fn consume(&mut self, len: usize) {
        self.start = self.chunk.len().min(self.start + len);
    }
}

impl<E> Drop for Receiver<E> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.is_abandoned = true;
        state.chunks.clear();
        state.spare.clear();
        drop(state);
        self.shared.writable.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn read_all(receiver: &mut Receiver<u8>) -> Result<Vec<u8>, Stop<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = receiver.fill(None)? {
            let len = bytes.len();
            all.extend_from_slice(bytes);
            receiver.consume(len);
        }
        Ok(all)
    }

    #[test]
    fn bytes_come_in_order_through_a_small_pipe() {
        let (sender, mut receiver) = pipe::<u8>(7);
        let sent: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                for piece in sent.chunks(13) {
                    assert_eq!(sender.push(piece, None), Pushed::Taken);
                }
                sender.end(Ok(()));
            });
            assert_eq!(read_all(&mut receiver).as_deref(), Ok(&sent[..]));
        });
    }

    #[test]
    fn an_error_comes_after_the_bytes() {
        let (sender, mut receiver) = pipe(100);
        assert_eq!(sender.push(b"ab", None), Pushed::Taken);
        sender.end(Err(7));
        sender.end(Ok(()));
        assert_eq!(receiver.fill(None), Ok(Some(&b"ab"[..])));
        receiver.consume(2);
        assert_eq!(receiver.fill(None), Err(Stop::Ended(7)));
        assert_eq!(sender.push(b"c", None), Pushed::Closed);
    }

    #[test]
    fn waiting_has_limits() {
        let (sender, mut receiver) = pipe::<u8>(4);
        let soon = Some(Duration::from_millis(5));
        assert_eq!(receiver.fill(Some(Instant::now())), Err(Stop::TimedOut));
        assert_eq!(sender.push(b"abcd", soon), Pushed::Taken);
        assert_eq!(sender.push(b"e", soon), Pushed::Stalled);
        drop(receiver);
        assert_eq!(sender.push(b"e", soon), Pushed::Closed);
    }
}
