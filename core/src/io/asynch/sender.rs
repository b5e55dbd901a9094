//! The write half.

use embedded_io_async::{Error as _, ErrorKind, Write};

use super::SendError;
use crate::ApiMisuse;
use crate::wire::{FrameHeader, HEADER_LEN, MAX_LENGTH, OutFrame};

/// Takes frames whole into a buffer of `N` bytes, and writes them from there.
///
/// Taking does not wait, so no frame is ever torn; waiting does not take, so nothing is lost when a
/// future is dropped:
///
/// ```text
///   sender.ready().await?;  // room for a frame of N bytes
///   sender.put(&frame)?;    // taken
///   sender.flush().await?;  // out
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sender<W, const N: usize> {
    io: W,
    buffer: [u8; N],
    /// Where the bytes that were not written yet start and end.
    start: usize,
    end: usize,
    /// Something was written since the write half was flushed.
    is_dirty: bool,
}

/// [`MAX_LENGTH`] as a count of bytes in memory. What is less has three bytes.
const LONGEST: usize = 0x00ff_ffff;
const _: () = assert!(MAX_LENGTH == 0x00ff_ffff);

impl<W, const N: usize> Sender<W, N> {
    /// Most payload bytes of a frame that fits: `N` − 8.
    pub const PAYLOAD: usize = N.saturating_sub(HEADER_LEN);

    /// A sender at the start of a connection.
    pub const fn new(io: W) -> Self {
        const { assert!(N > HEADER_LEN, "the buffer must hold a frame") }
        Self {
            io,
            buffer: [0; N],
            start: 0,
            end: 0,
            is_dirty: false,
        }
    }

    /// The payload size of frames that fit, at most `size`.
    pub(super) const fn at_most(size: u32) -> u32 {
        const { assert!(N >= 64, "the output buffer must hold refusals") }
        let room = if Self::PAYLOAD < LONGEST {
            let [a, b, c, ..] = Self::PAYLOAD.to_le_bytes();
            u32::from_le_bytes([a, b, c, 0])
        } else {
            MAX_LENGTH
        };
        if size < room { size } else { room }
    }

    /// The write half itself. Bytes written to it directly are between frames only after a
    /// [`flush`](Self::flush).
    pub const fn io_mut(&mut self) -> &mut W {
        &mut self.io
    }

    /// Takes a frame: copies it, of at most [`PAYLOAD`](Self::PAYLOAD) bytes beside its header.
    /// [`ready`](Self::ready) makes room.
    ///
    /// # Errors
    /// [`ApiMisuse::TooLarge`]: it does not fit beside what has not been written yet; nothing
    /// changed.
    pub fn put(&mut self, frame: &OutFrame<'_>) -> Result<(), ApiMisuse> {
        let free = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
        let len = frame.copy_to(free).ok_or(ApiMisuse::TooLarge)?;
        self.end = self.end.saturating_add(len);
        Ok(())
    }

    /// Has a payload made in place, and its header after it, when nothing is left to be written.
    pub(super) fn put_with<E>(
        &mut self,
        make: impl FnOnce(&mut [u8]) -> Result<Option<FrameHeader>, E>,
    ) -> Result<(), E> {
        if let Some((head, room)) = self.buffer.split_first_chunk_mut::<HEADER_LEN>()
            && let Some(header) = make(room)?
        {
            *head = *header.emit();
            let length = usize::try_from(header.length()).unwrap_or(usize::MAX);
            self.start = 0;
            self.end = length.saturating_add(HEADER_LEN).min(N);
        }
        Ok(())
    }
}

impl<W: Write, const N: usize> Sender<W, N> {
    /// Waits until all was written that was taken, so that there is room for a frame of `N` bytes.
    ///
    /// May be dropped at any time: what was written is known.
    ///
    /// # Errors
    /// [`SendError::Io`], [`SendError::WroteNothing`]; call again to go on. (Where the write half
    /// was only interrupted it goes on by itself.)
    pub async fn ready(&mut self) -> Result<(), SendError<W::Error>> {
        loop {
            let bytes = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            if bytes.is_empty() {
                self.start = 0;
                self.end = 0;
                return Ok(());
            }
            self.is_dirty = true;
            match self.io.write(bytes).await {
                Ok(0) => return Err(SendError::WroteNothing),
                Ok(len) => self.start = self.start.saturating_add(len),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(SendError::Io(error)),
            }
        }
    }

    /// Writes what was taken and flushes the write half; nothing if nothing was taken since.
    ///
    /// May be dropped at any time.
    ///
    /// # Errors
    /// As for [`ready`](Self::ready).
    pub async fn flush(&mut self) -> Result<(), SendError<W::Error>> {
        self.ready().await?;
        while self.is_dirty {
            match self.io.flush().await {
                Ok(()) => self.is_dirty = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(SendError::Io(error)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits<const N: usize>() -> [u32; 4] {
        [0, 100, MAX_LENGTH, u32::MAX].map(Sender::<(), N>::at_most)
    }

    #[test]
    fn frames_fit_the_buffer_and_their_header() {
        const MOST: usize = HEADER_LEN + LONGEST;
        assert_eq!(limits::<64>(), [0, 56, 56, 56]);
        assert_eq!(limits::<108>(), [0, 100, 100, 100]);
        assert_eq!(
            limits::<{ MOST - 1 }>(),
            [0, 100, MAX_LENGTH - 1, MAX_LENGTH - 1]
        );
        assert_eq!(limits::<MOST>(), [0, 100, MAX_LENGTH, MAX_LENGTH]);
        assert_eq!(limits::<{ MOST + 1 }>(), [0, 100, MAX_LENGTH, MAX_LENGTH]);
        assert_eq!(limits::<{ MOST + 64 }>(), [0, 100, MAX_LENGTH, MAX_LENGTH]);
        assert_eq!(limits::<{ 8 * MOST }>(), [0, 100, MAX_LENGTH, MAX_LENGTH]);
    }
}
