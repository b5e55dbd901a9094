//! What the commands of `commands` and `service` do.

use core::hint::black_box;

/// A board, of nothing but memory.
#[derive(Debug, Default)]
pub struct Board {
    state: u32,
}

impl Board {
    /// At power-on.
    pub const fn new() -> Self {
        Self { state: 0 }
    }

    fn take(&mut self, value: u32) -> u32 {
        self.state = black_box(self.state ^ value);
        self.state
    }

    /// Switches a lamp.
    #[inline(never)]
    pub fn led(&mut self, on: bool, level: u8) -> bool {
        self.take(u32::from(on) << 8 | u32::from(level)) > 0
    }

    /// Reads a channel.
    #[inline(never)]
    pub fn sample(&mut self, channel: u8, rate: u32) -> u32 {
        self.take(rate.wrapping_mul(u32::from(channel)))
    }

    /// Moves something.
    #[inline(never)]
    pub fn move_to(&mut self, x: i16, y: i16) -> bool {
        self.take(u32::from(x.unsigned_abs()) << 16 | u32::from(y.unsigned_abs())) > 0
    }

    /// Renames something.
    #[inline(never)]
    pub fn rename(&mut self, name: &str) -> bool {
        self.add(name.as_bytes());
        self.state > 0
    }

    /// Limits something.
    #[inline(never)]
    pub fn limit(&mut self, least: u16, most: u16) -> u32 {
        self.take(u32::from(least) << 16 | u32::from(most))
    }

    /// The state.
    #[inline(never)]
    pub fn ticks(&mut self) -> u32 {
        self.take(1)
    }

    /// Begins anew.
    #[inline(never)]
    pub fn reset(&mut self) -> bool {
        self.state = 0;
        self.take(0) == 0
    }

    /// Takes data.
    #[inline(never)]
    pub fn add(&mut self, bytes: &[u8]) {
        let sum = bytes
            .iter()
            .fold(self.state, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        self.take(sum);
    }
}
