//! A receive buffer that grows: bytes in at the back, frames out at the front.

use std::io::{self, Read};

/// Received bytes that are not yet used up, in one piece.
///
/// ```text
///  0          start              end         capacity
///  ├── used ────┼──── bytes() ─────┼── unfilled() ──┤
///
///  filled(n)    end moves right            consume(n)   start moves right
///  all used     both go back to 0, at no cost
///
///  room runs out, and
///    used ≥ unread   the unread bytes move to the front
///    used < unread   they move to the front of twice the capacity
/// ```
///
/// The ceiling bounds the unread bytes; the capacity is at most twice the ceiling. So when the
/// largest buffer is full, at least half of it is used, and a move to the front always copies at
/// most as many bytes as were used up since the last one: however small the steps, every byte is
/// copied about twice at most, growth included.
///
/// The capacity starts small and doubles when the unread bytes need it, and when a read fills a
/// whole buffer, since larger reads are then cheaper. It never shrinks by itself:
/// [`release`](Self::release) gives it back while nothing is expected.
#[derive(Debug)]
pub struct ReceiveBuffer {
    /// Initialised to its full length: that is the capacity.
    data: Vec<u8>,
    start: usize,
    end: usize,
    ceiling: usize,
    /// The last read filled all that it was offered, and that was much.
    eager: bool,
    #[cfg(test)]
    copied: usize,
}

/// What a [`fill_from`](ReceiveBuffer::fill_from) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// So many bytes have come, at least one.
    Bytes(usize),
    /// The input has ended.
    End,
    /// The unread bytes are at the ceiling; nothing was read.
    Full,
}

impl ReceiveBuffer {
    /// The first capacity, in bytes, where the ceiling allows it.
    pub const INITIAL: usize = 8 * 1024;

    /// The default ceiling, in bytes: room for the longest frame that senders may make (65,535
    /// bytes and its header) and for what comes behind it.
    pub const CEILING: usize = 128 * 1024;

    /// Less room than this is not worth a read, in bytes, if more can be had.
    const MIN_ROOM: usize = 2 * 1024;

    /// An empty buffer that holds at most `ceiling` unread bytes, at least one. Nothing is
    /// allocated before the first read.
    pub const fn new(ceiling: usize) -> Self {
        // A sum of two of them must not overflow; such sizes cannot be allocated anyway.
        let ceiling = match ceiling {
            0 => 1,
            n if n > usize::MAX / 4 => usize::MAX / 4,
            n => n,
        };
        Self {
            data: Vec::new(),
            start: 0,
            end: 0,
            ceiling,
            eager: false,
            #[cfg(test)]
            copied: 0,
        }
    }

    /// The bytes that have come and are not used up, oldest first.
    pub fn bytes(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes [`bytes`](Self::bytes) may hold.
    pub const fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// How many bytes of memory the buffer holds: at most twice the ceiling.
    pub fn capacity(&self) -> usize {
        self.data.len()
    }

    /// The first `len` of the bytes are used up; at most all are.
    pub fn consume(&mut self, len: usize) {
        self.start = self.end.min(self.start.saturating_add(len));
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Where the next bytes go: read into the front of it, then say how many came with
    /// [`filled`](Self::filled). Empty only if the unread bytes are at the ceiling.
    ///
    /// May move the unread bytes, and may allocate: amortised, constant work per byte.
    pub fn unfilled(&mut self) -> &mut [u8] {
        let unread = self.end - self.start;
        let allowed = self.ceiling - unread;
        let room = self.data.len() - self.end;
        if allowed > 0 && (room == 0 || self.eager || room < Self::MIN_ROOM.min(allowed)) {
            self.make_room();
        }
        self.eager = false;
        let to = self.data.len().min(self.end.saturating_add(allowed));
        self.data.get_mut(self.end..to).unwrap_or_default()
    }

    /// The first `len` bytes of [`unfilled`](Self::unfilled) have been written.
    pub fn filled(&mut self, len: usize) {
        let room = self.data.len() - self.end;
        let allowed = room.min(self.ceiling - (self.end - self.start));
        debug_assert!(len <= allowed, "more was filled than there was room");
        let len = len.min(allowed);
        // Beyond the ceiling a larger buffer offers no more; a small rest of room says nothing.
        let capacity = self.data.len();
        self.eager = len > 0 && len == allowed && len >= capacity / 2 && capacity < self.ceiling;
        self.end += len;
    }

    /// Reads once, as much as there is room for; an interrupted read is repeated.
    ///
    /// # Errors
    ///
    /// The reader's own; nothing changed then.
    pub fn fill_from(&mut self, reader: &mut (impl Read + ?Sized)) -> io::Result<Filled> {
        let room = self.unfilled();
        if room.is_empty() {
            return Ok(Filled::Full);
        }
        let len = loop {
            match reader.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if len == 0 {
            return Ok(Filled::End);
        }
        self.filled(len);
        Ok(Filled::Bytes(len))
    }

    /// Makes room for `len` unread bytes in all, as for a whole frame whose length is known;
    /// `false`, and no change, if that is over the ceiling.
    pub fn reserve(&mut self, len: usize) -> bool {
        if len > self.ceiling {
            return false;
        }
        if self.data.len() - self.start < len {
            let unread = self.end - self.start;
            if self.start >= unread && self.data.len() >= len {
                self.move_to_front();
            } else {
                self.grow(len);
            }
        }
        true
    }

    /// Gives the memory back if no byte is unread; whether it did.
    pub fn release(&mut self) -> bool {
        let empty = self.start == self.end;
        if empty {
            *self = Self::new(self.ceiling);
        }
        empty
    }

    /// Makes room at the end. There is some afterwards: where the capacity is at its largest and
    /// used up, what is used is at least what is unread, and more than nothing.
    fn make_room(&mut self) {
        let unread = self.end - self.start;
        let largest = self.largest();
        if self.data.len() < largest && (self.eager || self.start < unread || self.data.is_empty())
        {
            self.grow(0);
        } else if self.start > 0 && self.start >= unread {
            self.move_to_front();
        }
    }

    fn move_to_front(&mut self) {
        self.data.copy_within(self.start..self.end, 0);
        self.count_copied();
        self.end -= self.start;
        self.start = 0;
    }

    /// Twice the capacity, or more if `len` unread bytes need it.
    fn grow(&mut self, len: usize) {
        let capacity = (self.data.len() * 2)
            .max(Self::INITIAL)
            .max(len)
            .min(self.largest());
        // A new allocation: growing the old one would copy the used bytes too.
        let mut data = Vec::with_capacity(capacity);
        data.extend_from_slice(self.bytes());
        self.count_copied();
        self.end -= self.start;
        self.start = 0;
        data.resize(capacity, 0);
        self.data = data;
    }

    const fn largest(&self) -> usize {
        self.ceiling * 2
    }

    #[inline]
    fn count_copied(&mut self) {
        #[cfg(test)]
        {
            self.copied += self.end - self.start;
        }
    }
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self::new(Self::CEILING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Endless bytes, so many per read.
    struct Source {
        next: u8,
        step: usize,
    }

    impl Read for Source {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = self.step.min(buf.len());
            for byte in &mut buf[..len] {
                *byte = self.next;
                self.next = self.next.wrapping_add(1);
            }
            Ok(len)
        }
    }

    /// How many bytes the worst owner can make it copy: fills to the ceiling, then takes `take`
    /// and fills `step` for as long as `total` bytes have come.
    fn copied(ceiling: usize, step: usize, take: usize, total: usize) -> usize {
        let mut buffer = ReceiveBuffer::new(ceiling);
        let mut source = Source { next: 0, step };
        let (mut came, mut expected) = (0, 0u8);
        while came < total {
            match buffer.fill_from(&mut source).unwrap() {
                Filled::Bytes(len) => came += len,
                Filled::Full => {
                    let take = take.min(buffer.bytes().len());
                    for &byte in &buffer.bytes()[..take] {
                        assert_eq!(byte, expected);
                        expected = expected.wrapping_add(1);
                    }
                    buffer.consume(take);
                }
                Filled::End => unreachable!(),
            }
            assert!(buffer.capacity() <= 2 * ceiling);
        }
        buffer.copied
    }

    #[test]
    fn small_steps_at_the_ceiling_copy_no_byte_twice() {
        let total = 1 << 20;
        for ceiling in [1, 7, 5000, 64 * 1024] {
            for (step, take) in [(1, 1), (1, ceiling), (ceiling, 1), (37, 101), (4096, 3)] {
                let copied = copied(ceiling, step, take, total);
                // Moves cost at most what came; growth at most the sizes that it passes through.
                assert!(
                    copied <= total + 2 * ceiling,
                    "{copied} copied: ceiling {ceiling}, step {step}, take {take}"
                );
            }
        }
    }

    #[test]
    fn a_buffer_that_is_emptied_copies_nothing_and_reads_grow() {
        let mut buffer = ReceiveBuffer::default();
        let mut source = Source {
            next: 0,
            step: usize::MAX,
        };
        let mut reads = Vec::new();
        for _ in 0..10 {
            let Filled::Bytes(len) = buffer.fill_from(&mut source).unwrap() else {
                panic!("there is always more");
            };
            reads.push(len);
            buffer.consume(len);
        }
        assert_eq!(buffer.copied, 0);
        assert_eq!(reads[0], ReceiveBuffer::INITIAL);
        assert_eq!(reads[9], ReceiveBuffer::CEILING);
        assert!(buffer.release());
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn slow_input_stays_small() {
        let mut buffer = ReceiveBuffer::default();
        let mut source = Source {
            next: 0,
            step: 3000,
        };
        for _ in 0..1000 {
            buffer.fill_from(&mut source).unwrap();
            buffer.consume(buffer.bytes().len() - 1);
        }
        assert_eq!(buffer.capacity(), ReceiveBuffer::INITIAL);
        assert!(!buffer.release());
    }

    #[test]
    fn end_and_full_differ() {
        let mut buffer = ReceiveBuffer::new(2);
        assert_eq!(buffer.fill_from(&mut &b""[..]).unwrap(), Filled::End);
        assert_eq!(
            buffer.fill_from(&mut &b"abc"[..]).unwrap(),
            Filled::Bytes(2)
        );
        assert_eq!(buffer.fill_from(&mut &b"c"[..]).unwrap(), Filled::Full);
        assert_eq!(buffer.bytes(), b"ab");
    }

    #[derive(Clone, Debug)]
    enum Op {
        Fill(usize),
        Consume(usize),
        Reserve(usize),
    }

    proptest! {
        #[test]
        fn is_a_queue(
            ceiling in 1..30_000usize,
            ops in prop::collection::vec(prop_oneof![
                (0..20_000usize).prop_map(Op::Fill),
                (0..20_000usize).prop_map(Op::Consume),
                (0..40_000usize).prop_map(Op::Reserve),
            ], 0..60),
        ) {
            let mut buffer = ReceiveBuffer::new(ceiling);
            let mut model = Vec::new();
            let mut next = 0u8;
            let mut came = 0;
            for op in ops {
                match op {
                    Op::Fill(len) => {
                        let room = buffer.unfilled();
                        prop_assert_eq!(room.is_empty(), model.len() == ceiling);
                        let len = len.min(room.len());
                        for byte in &mut room[..len] {
                            *byte = next;
                            model.push(next);
                            next = next.wrapping_add(1);
                        }
                        buffer.filled(len);
                        came += len;
                    }
                    Op::Consume(len) => {
                        buffer.consume(len);
                        model.drain(..len.min(model.len()));
                    }
                    Op::Reserve(len) => {
                        prop_assert_eq!(buffer.reserve(len), len <= ceiling);
                        prop_assert!(len > ceiling || buffer.capacity() - buffer.start >= len);
                    }
                }
                prop_assert_eq!(buffer.bytes(), &model[..]);
                prop_assert!(model.len() <= ceiling);
                prop_assert!(buffer.capacity() <= 2 * ceiling);
            }
            prop_assert!(buffer.copied <= came + 2 * ceiling);
        }
    }
}
