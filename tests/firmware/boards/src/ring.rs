//! Bytes from an interrupt to the main loop.

use core::sync::atomic::{AtomicU8, AtomicU16, Ordering};

/// A ring of `N` bytes, a power of two: one side puts in, one takes out. Loads and stores of single
/// words are all it needs, which every Cortex-M has.
#[derive(Debug)]
pub(crate) struct Ring<const N: usize> {
    bytes: [AtomicU8; N],
    /// How many were put in and taken out, modulo 65,536.
    put: AtomicU16,
    taken: AtomicU16,
    most: AtomicU16,
}

impl<const N: usize> Ring<N> {
    /// An empty ring.
    pub(crate) const fn new() -> Self {
        const { assert!(N.is_power_of_two() && N <= 1 << 15) }
        Self {
            bytes: [const { AtomicU8::new(0) }; N],
            put: AtomicU16::new(0),
            taken: AtomicU16::new(0),
            most: AtomicU16::new(0),
        }
    }

    fn slot(&self, index: u16) -> Option<&AtomicU8> {
        self.bytes.get(usize::from(index) % N)
    }

    /// Bytes in the ring.
    pub(crate) fn len(&self) -> u16 {
        let put = self.put.load(Ordering::Acquire);
        put.wrapping_sub(self.taken.load(Ordering::Acquire))
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room.
    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.len()) >= N
    }

    /// The most bytes that were ever in it.
    pub(crate) fn most(&self) -> u16 {
        self.most.load(Ordering::Relaxed)
    }

    /// Puts a byte in. The caller has seen that there is room.
    pub(crate) fn put(&self, byte: u8) {
        let put = self.put.load(Ordering::Relaxed);
        if let Some(slot) = self.slot(put) {
            slot.store(byte, Ordering::Relaxed);
        }
        self.put.store(put.wrapping_add(1), Ordering::Release);
        let len = self.len();
        if len > self.most() {
            self.most.store(len, Ordering::Relaxed);
        }
    }

    /// Takes what is there, as far as `buffer` holds it; returns how many bytes.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> usize {
        let mut taken = self.taken.load(Ordering::Relaxed);
        let mut count = 0usize;
        for to in buffer.iter_mut().take(usize::from(self.len())) {
            if let Some(slot) = self.slot(taken) {
                *to = slot.load(Ordering::Relaxed);
            }
            taken = taken.wrapping_add(1);
            count = count.wrapping_add(1);
        }
        self.taken.store(taken, Ordering::Release);
        count
    }
}
