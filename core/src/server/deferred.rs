//! Output that is held back until all input has come, for half-duplex transports
//! (server.md, "A response is ready" and "Input ends"; revision-0006.md, 5.8 and 5.9).
//! Errors are held back like any response, and end their requests (deviations.md, D7).

use heapless::Deque;

use super::answer::RejectionAnswer;
use super::{Answer, Output, SideFrame};
use crate::store::Table;
use crate::wire::OutFrame;
use crate::{ApiMisuse, Protocol};

/// Something that gives frames, held back.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Deferred<'a> {
    /// A response.
    Answer(Answer<'a>),
    /// The answer to a refused request.
    Rejection(RejectionAnswer),
    /// Text output or progress; queue it before its response.
    Side(SideFrame<'a>),
}

impl<'a> Deferred<'a> {
    /// Whether all frames were taken.
    pub fn is_ended(&self) -> bool {
        match self {
            Self::Answer(answer) => answer.is_ended(),
            Self::Rejection(answer) => answer.is_ended(),
            Self::Side(frame) => frame.is_ended(),
        }
    }

    /// Takes the next frame; see [`Answer::next_frame`].
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed.
    pub fn next_frame<'b, T: Table + ?Sized, P: Protocol>(
        &'b mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b mut [u8],
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        match self {
            Self::Answer(answer) => answer.next_frame(out, scratch),
            Self::Rejection(answer) => answer.next_frame(out),
            Self::Side(frame) => frame.next_frame(out),
        }
    }
}

/// At most `N` pieces of output that are held back, in the order in which they became ready.
///
/// The requests that they answer stay active until their frames are taken. What is held back is
/// borrowed, not copied: the bytes must live as long as the queue.
#[derive(Debug, Default)]
pub struct DeferredQueue<'a, const N: usize> {
    queue: Deque<Deferred<'a>, N>,
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for DeferredQueue<'_, N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "DeferredQueue({=usize} of {=usize})",
            self.queue.len(),
            N
        );
    }
}

impl<'a, const N: usize> DeferredQueue<'a, N> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            queue: Deque::new(),
        }
    }

    /// Whether nothing is held back: then the end of input asks for nothing (`noop`).
    pub fn is_empty(&self) -> bool {
        self.queue.iter().all(Deferred::is_ended)
    }

    /// Holds something back.
    ///
    /// # Errors
    /// It is given back if the queue is full.
    #[expect(
        clippy::result_large_err,
        reason = "nothing is lost: the caller gets it back"
    )]
    pub fn push(&mut self, deferred: Deferred<'a>) -> Result<(), Deferred<'a>> {
        while self.queue.front().is_some_and(Deferred::is_ended) {
            self.queue.pop_front();
        }
        self.queue.push_back(deferred)
    }

    /// At the end of input: takes the next frame of everything that is held back; `None` when
    /// nothing is. What was handed out is gone (deviations.md, D10).
    ///
    /// # Errors
    /// [`ApiMisuse`] of the first piece of output. It is dropped if its request is not active any
    /// more: go on with the next. Otherwise it stays, and nothing changed.
    pub fn next_frame<'b, T: Table + ?Sized, P: Protocol>(
        &'b mut self,
        out: &mut Output<'_, T, P>,
        scratch: &'b mut [u8],
    ) -> Result<Option<OutFrame<'b>>, ApiMisuse> {
        while let Some(front) = self.queue.front() {
            if front.is_ended() {
                self.queue.pop_front();
                continue;
            }
            let is_stale = match front {
                Deferred::Answer(answer) => out.check(answer.responder()),
                Deferred::Side(frame) => frame.check(out),
                Deferred::Rejection(_) => Ok(()),
            };
            if let Err(error) = is_stale {
                self.queue.pop_front();
                return Err(error);
            }
            break;
        }
        match self.queue.front_mut() {
            Some(front) => front.next_frame(out, scratch),
            None => Ok(None),
        }
    }
}
