//! Byte strings of a response that are read as they come.

use std::fmt;
use std::io::{self, Read};

use super::{Error, Response};
use crate::value::DecodeErrorKind;

/// Where in a byte string reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes of the string, or of its current chunk, still to come.
    pub(super) left: u64,
    /// It is one of indefinite length: after the chunk comes another, or the break.
    pub(super) is_streamed: bool,
}

/// One byte string of a response, of any length, read as it comes.
///
/// Errors of [`Read`] hold an [`Error`]; [`Error::from_io`] takes it out. What is not read is
/// passed over.
pub struct Bytes<'a> {
    response: &'a mut Response,
    len: Option<u64>,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(response: &'a mut Response, len: Option<u64>) -> Self {
        Self { response, len }
    }

    /// The string's length; `None` if it comes in chunks, with the length of each.
    pub fn length(&self) -> Option<u64> {
        self.len
    }

    /// The next bytes of it, borrowed, at least one; `None` at its end.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, Error> {
        self.response.string_piece(usize::MAX)
    }

    /// All of it, if it is at most `limit` bytes.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::ValueTooLarge`].
    pub fn read_all(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(piece) = self.next_piece()? {
            if piece.len() > limit - all.len() {
                return Err(Error::ValueTooLarge);
            }
            all.extend_from_slice(piece);
        }
        Ok(all)
    }
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let piece = self.response.string_piece(buffer.len())?;
        let piece = piece.unwrap_or_default();
        if let Some(front) = buffer.get_mut(..piece.len()) {
            front.copy_from_slice(piece);
        }
        Ok(piece.len())
    }
}

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Response {
    /// The next bytes of the string that is being read, at most so many; `None` at its end.
    fn string_piece(&mut self, most: usize) -> Result<Option<&[u8]>, Error> {
        loop {
            let Some(place) = self.string else {
                return Ok(None);
            };
            if place.left > 0 {
                if !self.fill()? {
                    return Err(self.fail(Error::TruncatedResponse));
                }
                let most = usize::try_from(place.left).unwrap_or(usize::MAX).min(most);
                let len = most.min(self.rest().len());
                self.string = Some(Place {
                    left: place.left - u64::try_from(len).unwrap_or(place.left),
                    ..place
                });
                return Ok(Some(self.take(len)));
            }
            self.string = if place.is_streamed {
                self.next_chunk()?
            } else {
                None
            };
        }
    }

    /// Passes over what is left of the string that is being read.
    pub(super) fn finish_string(&mut self) -> Result<(), Error> {
        while self.string_piece(usize::MAX)?.is_some() {}
        Ok(())
    }

    /// The head of the next chunk of a streamed string; `None` at its break.
    fn next_chunk(&mut self) -> Result<Option<Place>, Error> {
        let offset = self.offset;
        let initial = self.byte()?;
        match initial {
            0xff => Ok(None),
            0x40..=0x5b => Ok(Some(Place {
                left: self.argument(initial)?,
                is_streamed: true,
            })),
            // K-16: nothing but definite byte strings.
            _ => Err(self.fail(Error::Malformed {
                kind: DecodeErrorKind::BadChunk,
                offset,
            })),
        }
    }

    /// Starts reading a byte string whose initial byte comes next; its length.
    pub(super) fn begin_string(&mut self) -> Result<Option<u64>, Error> {
        let offset = self.offset;
        let initial = self.byte()?;
        let (left, is_streamed) = match initial {
            0x5f => (0, true),
            0x40..=0x5b => (self.argument(initial)?, false),
            _ => {
                return Err(self.fail(Error::Malformed {
                    kind: DecodeErrorKind::Reserved,
                    offset,
                }));
            }
        };
        self.string = Some(Place { left, is_streamed });
        Ok((!is_streamed).then_some(left))
    }

    /// The argument of a head, whose initial byte was read.
    fn argument(&mut self, initial: u8) -> Result<u64, Error> {
        let info = initial & 0x1f;
        let width = match info {
            24..=27 => 1 << (info - 24),
            _ => return Ok(info.into()),
        };
        let mut argument = 0;
        for _ in 0..width {
            argument = argument << 8 | u64::from(self.byte()?);
        }
        Ok(argument)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        if !self.fill()? {
            return Err(self.fail(Error::TruncatedResponse));
        }
        match self.take(1) {
            [byte] => Ok(*byte),
            _ => Err(Error::TruncatedResponse),
        }
    }
}
