//! The writing side of a connection: whoever has something to send puts it into a lane of its own,
//! and one writer makes frames of what is in the lanes, in turns.
//!
//! ```text
//!   lane A [job]      ─┐  the lane that has sent
//!   lane B [job][end] ─┼─▶ the fewest bytes is  ─▶ make one frame ─▶ batch ─▶ write
//!   lane C            ─┘  next
//! ```
//! - A job is handed over whole, so dropping whoever waits for its turn loses nothing and holds
//!   nobody up: the writer needs nobody to be polled.
//! - A lane takes a next job when it has none ([`Lane::poll_ready`]); a last one, which ends what
//!   the lane is for, it always takes. So memory is bounded by lanes and the size of jobs.
//! - Lanes share the line evenly in bytes, whatever the size of their frames: each has a clock of
//!   the bytes that it has sent, the lowest is next, and one that had nothing to send starts at the
//!   clock of those that had.
//! - The reactor makes a frame when its turn has come, and frames leave in that order.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::task::coop::consume_budget;

use super::ConnectionError;
use crate::host::sync::lock;

/// Frames are gathered up to about so many bytes before they are written.
const BATCH: usize = 64 * 1024;

/// What came of making a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// A frame was added; the job has more.
    More,
    /// The job is done; a frame was added, or there was none.
    Done,
}

/// Makes frames of jobs.
pub(super) trait Maker {
    /// What lanes hold.
    type Job;

    /// Adds the next frame of a job to `out`, whole.
    fn make(&mut self, job: &mut Self::Job, out: &mut Vec<u8>) -> Made;

    /// So many bytes have been written and so many made frames are left; 0 and some when writing
    /// begins to wait for the peer.
    fn written(&mut self, bytes: usize, left: usize);
}

struct LaneState<J> {
    jobs: VecDeque<J>,
    /// Its first job is with the writer.
    is_away: bool,
    /// Bytes that it has sent, see above.
    clock: u64,
    waiting: Vec<Waker>,
    /// Nobody has it any more: it goes when it is empty.
    is_left: bool,
}

impl<J> LaneState<J> {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && !self.is_away
    }
}

struct Line<J> {
    lanes: HashMap<u64, LaneState<J>>,
    /// Lanes that have a job, by their clocks.
    ready: BTreeSet<(u64, u64)>,
    clock: u64,
    next_lane: u64,
    /// Jobs in all lanes.
    jobs: usize,
    writer: Option<Waker>,
    is_closing: bool,
    ended: Option<ConnectionError>,
}

/// The lanes of one connection.
pub(super) struct Outgoing<J> {
    line: Mutex<Line<J>>,
}

/// Where one response, or one call, puts what it sends. Dropped, what is in it is still sent.
pub(super) struct Lane<J> {
    out: Arc<Outgoing<J>>,
    id: u64,
}

impl<J> Outgoing<J> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            line: Mutex::new(Line {
                lanes: HashMap::new(),
                ready: BTreeSet::new(),
                clock: 0,
                next_lane: 0,
                jobs: 0,
                writer: None,
                is_closing: false,
                ended: None,
            }),
        })
    }

    /// A new lane.
    pub(super) fn lane(self: &Arc<Self>) -> Lane<J> {
        let mut line = lock(&self.line);
        let id = line.next_lane;
        line.next_lane += 1;
        let lane = LaneState {
            jobs: VecDeque::new(),
            is_away: false,
            clock: line.clock,
            waiting: Vec::new(),
            is_left: false,
        };
        line.lanes.insert(id, lane);
        drop(line);
        Lane {
            out: Arc::clone(self),
            id,
        }
    }

    /// Nothing is sent any more; whoever waits gets this error. The first end counts.
    pub(super) fn end(&self, error: ConnectionError) {
        let mut line = lock(&self.line);
        line.ended.get_or_insert(error);
        line.ready.clear();
        line.jobs = 0;
        let mut jobs = Vec::new();
        let mut wakers: Vec<Waker> = line.writer.take().into_iter().collect();
        for lane in line.lanes.values_mut() {
            jobs.append(&mut lane.jobs.drain(..).collect());
            wakers.append(&mut lane.waiting);
        }
        drop(line);
        drop(jobs);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The writer ends when it has sent what is in the lanes now and later.
    pub(super) fn close(&self) {
        let mut line = lock(&self.line);
        line.is_closing = true;
        let writer = line.writer.take();
        drop(line);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Why nothing is sent any more.
    pub(super) fn ended(&self) -> Option<ConnectionError> {
        lock(&self.line).ended.clone()
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.line).jobs == 0
    }

    /// Takes the job whose turn it is, and its lane.
    fn take(&self) -> Option<(u64, J)> {
        let mut line = lock(&self.line);
        loop {
            let (clock, id) = line.ready.pop_first()?;
            line.clock = line.clock.max(clock);
            if let Some(lane) = line.lanes.get_mut(&id)
                && let Some(job) = lane.jobs.pop_front()
            {
                lane.is_away = true;
                return Some((id, job));
            }
        }
    }

    /// A frame of this lane's job was made; the job comes back if it has more.
    fn put_back(&self, id: u64, job: Option<J>, sent: usize) {
        let mut guard = lock(&self.line);
        let line = &mut *guard;
        let has_ended = line.ended.is_some();
        let Some(lane) = line.lanes.get_mut(&id) else {
            return;
        };
        lane.is_away = false;
        lane.clock += u64::try_from(sent).unwrap_or(u64::MAX);
        match job {
            Some(job) if !has_ended => lane.jobs.push_front(job),
            _ => line.jobs = line.jobs.saturating_sub(1),
        }
        let mut wakers = Vec::new();
        if lane.jobs.is_empty() {
            wakers = std::mem::take(&mut lane.waiting);
            if lane.is_left {
                line.lanes.remove(&id);
            }
        } else {
            line.ready.insert((lane.clock, id));
        }
        drop(guard);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ready when there is a job, or none will come (`false`).
    fn poll_job(&self, cx: &mut Context<'_>) -> Poll<Result<bool, ConnectionError>> {
        let mut line = lock(&self.line);
        if let Some(error) = &line.ended {
            return Poll::Ready(Err(error.clone()));
        }
        if !line.ready.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if line.is_closing {
            return Poll::Ready(Ok(false));
        }
        line.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes what comes into the lanes, until [`close`](Self::close) or an error.
    ///
    /// One task runs this; dropping it may cut a frame, so that only the connection's end may.
    pub(super) async fn write<W, M>(&self, io: &mut W, maker: &mut M) -> Result<(), ConnectionError>
    where
        W: AsyncWrite + Unpin,
        M: Maker<Job = J>,
    {
        let failed = ConnectionError::writing;
        let mut batch = Vec::new();
        loop {
            while batch.len() < BATCH
                && let Some((id, mut job)) = self.take()
            {
                let before = batch.len();
                let made = maker.make(&mut job, &mut batch);
                let back = (made == Made::More).then_some(job);
                self.put_back(id, back, batch.len() - before);
            }
            if batch.is_empty() {
                // An idle connection holds no memory.
                batch = Vec::new();
                if !poll_fn(|cx| self.poll_job(cx)).await? {
                    return io.shutdown().await.map_err(failed);
                }
                continue;
            }
            // A peer that is always ready must not keep this task's thread to itself.
            consume_budget().await;
            let mut rest = batch.as_slice();
            maker.written(0, rest.len());
            while !rest.is_empty() {
                let len = io.write(rest).await.map_err(failed)?;
                if len == 0 {
                    return Err(failed(std::io::ErrorKind::WriteZero.into()));
                }
                rest = rest.get(len..).unwrap_or_default();
                maker.written(len, rest.len());
            }
            batch.clear();
            if self.is_idle() {
                io.flush().await.map_err(failed)?;
            }
        }
    }
}

impl<J> Lane<J> {
    /// Ready when all that was put in has been made into frames, so that there is room for a job.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let mut line = lock(&self.out.line);
        if let Some(error) = &line.ended {
            return Poll::Ready(Err(error.clone()));
        }
        match line.lanes.get_mut(&self.id) {
            Some(lane) if !lane.is_empty() => {
                if !lane.waiting.iter().any(|other| other.will_wake(cx.waker())) {
                    lane.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Waits for [`poll_ready`](Self::poll_ready).
    pub(super) async fn ready(&self) -> Result<(), ConnectionError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// Puts a job in, without waiting: after [`ready`](Self::ready), or as the last one.
    ///
    /// # Errors
    /// The connection has ended; the job is dropped.
    pub(super) fn push(&self, job: J) -> Result<(), ConnectionError> {
        let mut guard = lock(&self.out.line);
        let line = &mut *guard;
        if let Some(error) = &line.ended {
            return Err(error.clone());
        }
        let Some(lane) = line.lanes.get_mut(&self.id) else {
            return Err(ConnectionError::Shutdown);
        };
        lane.jobs.push_back(job);
        if lane.jobs.len() == 1 && !lane.is_away {
            // Time that it had nothing to send is not made up for.
            lane.clock = lane.clock.max(line.clock);
            line.ready.insert((lane.clock, self.id));
        }
        line.jobs += 1;
        let writer = line.writer.take();
        drop(guard);
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(())
    }
}

impl<J> Drop for Lane<J> {
    fn drop(&mut self) {
        let mut line = lock(&self.out.line);
        if let Some(lane) = line.lanes.get_mut(&self.id) {
            lane.is_left = true;
            if lane.is_empty() {
                line.lanes.remove(&self.id);
            }
        }
    }
}

impl<J> std::fmt::Debug for Lane<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lane").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jobs are (lane, frames, bytes of each); the order in which they were made.
    struct Plain(Vec<u8>);

    impl Maker for Plain {
        type Job = (u8, usize, usize);

        fn make(&mut self, job: &mut Self::Job, out: &mut Vec<u8>) -> Made {
            let (lane, frames, size) = job;
            out.resize(out.len() + *size, *lane);
            self.0.push(*lane);
            *frames -= 1;
            if *frames == 0 { Made::Done } else { Made::More }
        }

        fn written(&mut self, _bytes: usize, _left: usize) {}
    }

    #[tokio::test]
    async fn lanes_share_the_line_in_bytes_and_not_in_frames() {
        let out = Outgoing::new();
        let (large, small) = (out.lane(), out.lane());
        large.push((1, 100, 30_000)).unwrap();
        small.push((2, 2000, 1000)).unwrap();
        drop((large, small));
        out.close();
        let mut wire = Vec::new();
        out.write(&mut wire, &mut Plain(Vec::new())).await.unwrap();
        assert_eq!(wire.len(), 5_000_000);
        // Until the small frames are all sent, both have half of every stretch of the wire.
        for stretch in wire[..4_000_000].chunks(200_000) {
            let ones = stretch.iter().filter(|&&lane| lane == 1).count();
            assert!((60_000..=140_000).contains(&ones), "{ones}");
        }
        assert!(lock(&out.line).lanes.is_empty());
    }

    #[tokio::test]
    async fn one_that_was_silent_does_not_make_up_for_it() {
        let out = Outgoing::new();
        let (early, late) = (out.lane(), out.lane());
        early.push((1, 100, 1000)).unwrap();
        let mut maker = Plain(Vec::new());
        let (mut io, _peer) = tokio::io::duplex(1 << 20);
        {
            let write = out.write(&mut io, &mut maker);
            tokio::select! { biased; _ = write => {}, () = tokio::task::yield_now() => {} }
        }
        early.push((1, 100, 1000)).unwrap();
        late.push((2, 100, 1000)).unwrap();
        out.close();
        maker.0.clear();
        out.write(&mut io, &mut maker).await.unwrap();
        let half = maker.0[..100].iter().filter(|&&lane| lane == 2).count();
        assert!((49..=51).contains(&half), "{half}");
    }

    #[tokio::test]
    async fn a_lane_takes_the_next_job_when_it_is_empty() {
        let out = Outgoing::new();
        let lane = out.lane();
        lane.ready().await.unwrap();
        lane.push((1, 1, 10)).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(lane.poll_ready(&mut cx).is_pending());
        lane.push((1, 1, 10)).unwrap();
        assert_eq!(lock(&out.line).jobs, 2);
        out.end(ConnectionError::Closed);
        assert!(matches!(lane.poll_ready(&mut cx), Poll::Ready(Err(_))));
        assert!(lane.push((1, 1, 1)).is_err());
        assert!(out.is_idle());
    }
}
