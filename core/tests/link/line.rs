//! A line in one direction, and what may happen to the bytes on it.

use std::collections::VecDeque;

/// A small generator (xorshift64*): the same numbers from the same seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 32) as usize * end) >> 32
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What a line has done to bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage {
    pub flips: u64,
    pub drops: u64,
    pub insertions: u64,
    pub repeats: u64,
    pub cuts: u64,
    pub texts: u64,
}

#[derive(Debug, Default)]
pub struct Line {
    pub bytes: VecDeque<u8>,
    /// What was last put on it, as it was: repeats are of this.
    past: Vec<u8>,
    pub damage: Damage,
}

impl Line {
    /// Puts a packet on the line.
    pub fn put(&mut self, packet: &[u8]) {
        self.bytes.extend(packet);
        if self.past.len() > 4096 {
            self.past.drain(..2048);
        }
        self.past.extend_from_slice(packet);
    }

    /// Puts a packet on the line, and damages it or what it lies beside.
    pub fn put_noisy(&mut self, packet: &[u8], rng: &mut Rng) {
        match rng.below(6) {
            0 => {
                let mut packet = packet.to_vec();
                for _ in 0..=rng.below(4) {
                    let at = rng.below(packet.len());
                    packet[at] ^= 1 << rng.below(8);
                    self.damage.flips += 1;
                }
                self.put(&packet);
            }
            1 => {
                let start = rng.below(packet.len());
                let end = start + 1 + rng.below(packet.len() - start);
                self.put(&packet[..start]);
                self.put(&packet[end..]);
                self.damage.drops += 1;
            }
            2 => {
                let (head, tail) = packet.split_at(rng.below(packet.len()));
                self.put(head);
                for _ in 0..=rng.below(40) {
                    let byte = if rng.one_in(8) { 0 } else { rng.next() as u8 };
                    self.bytes.push_back(byte);
                }
                self.put(tail);
                self.damage.insertions += 1;
            }
            3 => {
                let (head, tail) = packet.split_at(rng.below(packet.len()));
                self.put(head);
                // A piece of any length from the near past, which may be a whole packet or many.
                let start = rng.below(self.past.len() + 1);
                let len = rng.below((self.past.len() - start).min(700) + 1);
                self.bytes.extend(&self.past[start..start + len]);
                self.put(tail);
                self.damage.repeats += 1;
            }
            4 => {
                // Everything that is under way is cut off somewhere, and the packet is gone.
                let end = rng.below(self.bytes.len() + 1);
                self.bytes.truncate(end);
                self.damage.cuts += 1;
            }
            _ => {
                self.bytes.extend(b"panicked at 'index out of bounds'\r\n");
                self.put(packet);
                self.damage.texts += 1;
            }
        }
    }
}
