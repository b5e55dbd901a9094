//! Whose turn it is: responses share the line evenly, in bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Key;

/// Who waits for a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiting {
    /// The answers to refused requests.
    Refusals,
    /// A response.
    Reply(Key),
}

/// Those that have something to send, by the bytes that they have sent: the fewest are next. One
/// that had nothing to send starts at the count of those that had.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: BinaryHeap<Reverse<(u64, Waiting)>>,
    now: u64,
}

impl Turns {
    /// Has someone wait who has sent so many bytes; the count from here on.
    pub(super) fn push(&mut self, sent: u64, waiting: Waiting) -> u64 {
        // Time that it had nothing to send is not made up for.
        let sent = sent.max(self.now);
        self.waiting.push(Reverse((sent, waiting)));
        sent
    }

    /// Gives a turn to someone at once who has sent so many bytes, since nobody waits; the count from
    /// here on.
    pub(super) fn go(&mut self, sent: u64) -> u64 {
        self.now = self.now.max(sent);
        self.now
    }

    /// Takes whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let Reverse((sent, waiting)) = self.waiting.pop()?;
        self.now = self.now.max(sent);
        Some(waiting)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.waiting = BinaryHeap::new();
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.waiting.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::super::slab::Slab;
    use super::*;

    #[test]
    fn the_line_is_shared_in_bytes_and_not_in_frames() {
        let mut slab = Slab::new();
        let mut turns = Turns::default();
        let mut replies = [(30_000, 0), (1000, 0)].map(|(size, sent)| {
            let key = slab.insert(());
            (key, size, turns.push(sent, Waiting::Reply(key)), 0u64)
        });
        for _ in 0..3100 {
            let turn = turns.pop();
            let reply = replies
                .iter_mut()
                .find(|(key, ..)| turn == Some(Waiting::Reply(*key)));
            let (key, size, sent, bytes) = reply.unwrap();
            *bytes += *size;
            *sent = turns.push(*sent + *size, Waiting::Reply(*key));
        }
        let [(.., large), (.., small)] = replies;
        assert!(large.abs_diff(small) <= 30_000, "{large} {small}");
        // One that was silent starts where they are.
        let late = slab.insert(());
        assert!(turns.push(0, Waiting::Reply(late)) >= small.min(large) - 30_000);
    }
}
