//! Calls that wait to be flushed together (client.md, "Flushing").

use heapless::Deque;

use super::{Call, ClientOutput};
use crate::Protocol;
use crate::store::Table;
use crate::wire::OutFrame;

/// At most `N` calls in their order, as one source of frames.
#[derive(Debug, Default)]
pub struct CallQueue<'a, const N: usize> {
    queue: Deque<Call<'a>, N>,
}

#[cfg(feature = "defmt")]
impl<const N: usize> defmt::Format for CallQueue<'_, N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "CallQueue({=usize} of {=usize})", self.queue.len(), N);
    }
}

impl<'a, const N: usize> CallQueue<'a, N> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            queue: Deque::new(),
        }
    }

    /// Adds a call at the end.
    ///
    /// # Errors
    /// It is given back if the queue is full.
    #[expect(
        clippy::result_large_err,
        reason = "nothing is lost: the caller gets it back"
    )]
    pub fn push(&mut self, call: Call<'a>) -> Result<(), Call<'a>> {
        self.queue.push_back(call)
    }

    /// Takes the next frame of all calls in their order, those that were added meanwhile included;
    /// `None` when there is none left.
    ///
    /// A call whose data is streamed stops the queue until it has ended; see
    /// [`front_mut`](Self::front_mut).
    pub fn next_frame<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut ClientOutput<'_, T, P>,
    ) -> Option<OutFrame<'_>> {
        while self
            .queue
            .front()
            .is_some_and(|c| c.is_ended() || !c.is_known(out))
        {
            self.queue.pop_front();
        }
        self.queue.front_mut()?.next_frame(out)
    }

    /// The call whose frames are being taken.
    pub fn front_mut(&mut self) -> Option<&mut Call<'a>> {
        self.queue.front_mut()
    }
}
