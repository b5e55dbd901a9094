//! Finds where a value ends whose bytes come in parts.

use super::cursor::{argument_len, is_simple_allowed};
use super::item::{CborError, MAJOR_BYTES, MAJOR_MAP, MAJOR_TEXT};
use super::levels::{Around, Levels, MOST_ITEMS, Step};

/// Finds the end of one well-formed value in bytes that come in parts.
///
/// Holds no input: a few counters and one number per level of nesting, about 90 bytes on a 32-bit
/// device. Feed it with [`scan`](Self::scan); work is linear in the bytes, whatever the split.
/// (Containers of more than `usize::MAX − 3` items, keys and values counted, never end for it.)
#[derive(Clone, Debug)]
pub struct ValueScanner {
    levels: Levels,
    around: Around,
    /// Initial byte of the current item.
    initial: u8,
    /// Argument bytes still to come.
    missing: u8,
    started: bool,
    argument: u64,
    /// Bytes of a string still to pass over: a stream may be longer than memory.
    skip: u64,
}

#[cfg(feature = "defmt")]
impl defmt::Format for ValueScanner {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "ValueScanner({}, {=[?]}, {=u64})",
            self.levels,
            self.around.as_slice(),
            self.skip
        );
    }
}

impl Default for ValueScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ValueScanner {
    /// Creates a scanner at the start of a value.
    pub const fn new() -> Self {
        Self {
            levels: Levels::inside(0),
            around: Around::new(),
            initial: 0,
            missing: 0,
            started: false,
            argument: 0,
            skip: 0,
        }
    }

    /// Returns `true` inside a value: some of its bytes have come, but not the last.
    pub const fn is_inside(&self) -> bool {
        self.started
    }

    /// Scans the next bytes of a sequence of values. [`is_inside`](Self::is_inside) then says
    /// whether the sequence would end inside a value (revision-0006.md, 8).
    ///
    /// # Errors
    /// As for [`scan`](Self::scan).
    pub fn scan_sequence(&mut self, bytes: &[u8]) -> Result<(), CborError> {
        let mut rest = bytes;
        while let Some(len) = self.scan(rest)? {
            rest = rest.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// Scans the next bytes. `Some(n)`: the value ends after `n` of them, and the scanner is ready
    /// for the next value. `None`: all of them belong to the value, and more must come.
    ///
    /// # Errors
    /// [`CborError::Malformed`] or [`CborError::NestedTooDeep`] as soon as the bytes show it; the
    /// scanner is of no further use then. Never [`CborError::Incomplete`].
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, CborError> {
        let mut rest = bytes;
        loop {
            let mut step = Step::More;
            if self.skip > 0 {
                let wanted = usize::try_from(self.skip).unwrap_or(usize::MAX);
                let (passed, after) = rest.split_at_checked(wanted).unwrap_or((rest, &[]));
                rest = after;
                let count = u64::try_from(passed.len()).unwrap_or(self.skip);
                self.skip = self.skip.saturating_sub(count);
                if self.skip > 0 {
                    return Ok(None);
                }
                step = self.step()?;
            } else {
                let Some((&byte, after)) = rest.split_first() else {
                    return Ok(None);
                };
                rest = after;
                if self.missing > 0 {
                    self.argument = (self.argument << 8) | u64::from(byte);
                    self.missing = self.missing.wrapping_sub(1);
                } else {
                    self.begin_item(byte)?;
                }
                if self.missing == 0 {
                    step = self.whole_head()?;
                }
            }
            if let Step::Done = step {
                self.started = false;
                return Ok(Some(bytes.len().wrapping_sub(rest.len())));
            }
        }
    }

    /// Takes an item's initial byte. What may not begin here is refused at once, even if the rest
    /// of its head has not come.
    fn begin_item(&mut self, byte: u8) -> Result<(), CborError> {
        self.started = true;
        if !self.levels.may_begin(byte) {
            return Err(CborError::Malformed);
        }
        self.missing = argument_len(byte).ok_or(CborError::Malformed)?;
        self.initial = byte;
        self.argument = if self.missing == 0 {
            u64::from(byte & 0x1f)
        } else {
            0
        };
        Ok(())
    }

    /// Acts on a head of which every byte has come.
    fn whole_head(&mut self) -> Result<Step, CborError> {
        let argument = usize::try_from(self.argument).unwrap_or(usize::MAX);
        if !is_simple_allowed(self.initial, argument) {
            return Err(CborError::Malformed);
        }
        let is_string = matches!(self.initial >> 5, MAJOR_BYTES | MAJOR_TEXT);
        if is_string && self.initial & 0x1f != 31 && self.argument > 0 {
            self.skip = self.argument;
            return Ok(Step::More);
        }
        self.step()
    }

    /// Counts the item as complete.
    fn step(&mut self) -> Result<Step, CborError> {
        let most = match self.initial >> 5 {
            MAJOR_MAP => MOST_ITEMS / 2,
            _ => MOST_ITEMS,
        };
        let argument = if self.initial & 0x1f == 31 {
            usize::MAX
        } else {
            usize::try_from(self.argument).map_or(most, |argument| argument.min(most))
        };
        match self.levels.step(&mut self.around, self.initial, argument) {
            Step::Malformed => Err(CborError::Malformed),
            Step::TooDeep => Err(CborError::NestedTooDeep),
            step => Ok(step),
        }
    }
}
