//! Output that is held back until all input has come, for half-duplex transports
//! (server.md, "A response is ready" and "Input ends"; revision-0006.md, 5.8 and 5.9).
//! Errors are held back like any response, and end their requests (deviations.md, D7).

use heapless::Deque;

use super::Frames;
use crate::ApiMisuse;
use crate::Protocol;
use crate::output::Output;
use crate::server::{Failure, Refusal, Reply, Server};
use crate::store::Requests;

/// An answer that is held back.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Held<'v> {
    Body(Reply, &'v [u8]),
    Failed(Reply, Failure<'v>),
    Refused(Refusal),
}

/// At most `N` answers that are held back, in the order in which they became ready.
///
/// The requests that they answer stay active until their frames are made. What is held back is
/// borrowed, not copied. At the end of input send it all: it is [`Frames`]. What was sent is gone
/// (deviations.md, D10). Refusals are held back by owners that
/// [ask for them](super::Sender::leave_refusals).
#[derive(Debug, Default)]
pub struct HeldBack<'v, const N: usize> {
    queue: Deque<Held<'v>, N>,
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for HeldBack<'_, N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "HeldBack({=usize} of {=usize})", self.queue.len(), N);
    }
}

impl<'v, const N: usize> HeldBack<'v, N> {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            queue: Deque::new(),
        }
    }

    /// Whether nothing is held back.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Pushes it, where there is room.
    fn push(&mut self, held: Held<'v>) {
        // Asked before.
        let _ = self.queue.push_back(held);
    }

    /// Holds a response back.
    ///
    /// # Errors
    /// The token is given back if the queue is full.
    pub fn body(&mut self, reply: Reply, bytes: &'v [u8]) -> Result<(), Reply> {
        if self.queue.is_full() {
            return Err(reply);
        }
        self.push(Held::Body(reply, bytes));
        Ok(())
    }

    /// Holds a failure back.
    ///
    /// # Errors
    /// The token is given back if the queue is full.
    pub fn fail(&mut self, reply: Reply, failure: Failure<'v>) -> Result<(), Reply> {
        if self.queue.is_full() {
            return Err(reply);
        }
        self.push(Held::Failed(reply, failure));
        Ok(())
    }

    /// Holds the answer to a refused request back.
    ///
    /// # Errors
    /// It is given back if the queue is full.
    pub fn refuse(&mut self, refusal: Refusal) -> Result<(), Refusal> {
        if self.queue.is_full() {
            return Err(refusal);
        }
        self.push(Held::Refused(refusal));
        Ok(())
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>, const N: usize> Frames<Server<P, T>>
    for HeldBack<'_, N>
{
    fn next_frame(
        &mut self,
        server: &mut Server<P, T>,
        out: &mut Output<'_>,
    ) -> Result<bool, ApiMisuse> {
        let made = match self.queue.front_mut() {
            None => {
                // The frame that was made last has gone.
                out.len = 0;
                return Ok(true);
            }
            Some(Held::Body(reply, bytes)) => server.respond(reply, bytes, true, out),
            Some(Held::Failed(reply, failure)) => server.fail(reply, failure, out),
            Some(Held::Refused(refusal)) => server.refuse(refusal, out),
        };
        // One whose request is not active any more is dropped, too.
        if matches!(made, Ok(true) | Err(ApiMisuse::RequestNotActive)) {
            self.queue.pop_front();
        }
        Ok(made? && self.queue.is_empty())
    }
}
