//! The half that sends: an end, and the frame that is on its way.

use super::{End, Frames};
use crate::Error;
use crate::output::Output;
use crate::{ApiMisuse, ProtocolError};

/// What lies between a connection and the bytes that are read and written.
pub trait Line: sealed::Sealed {
    /// What it remembers of what comes.
    type Receiver: core::fmt::Debug + MaybeFormat;

    /// What is to be written now, of a frame of which so many bytes were taken.
    #[doc(hidden)]
    fn pending<'p>(&'p mut self, frame: &'p [u8], taken: &mut usize) -> &'p [u8];

    /// So many bytes of it were written.
    #[doc(hidden)]
    fn wrote(&mut self, len: usize, taken: &mut usize);

    /// What it holds back is to go.
    #[doc(hidden)]
    fn flush(&mut self);

    /// Whether anything can be sent.
    #[doc(hidden)]
    fn is_up(&self) -> bool;
}

mod sealed {
    pub trait Sealed {}
}
pub(super) use sealed::Sealed;

/// `defmt::Format`, with the feature of that name.
#[cfg(feature = "defmt")]
#[doc(hidden)]
pub trait MaybeFormat: defmt::Format {}
#[cfg(feature = "defmt")]
impl<T: defmt::Format> MaybeFormat for T {}

/// `defmt::Format`, with the feature of that name.
#[cfg(not(feature = "defmt"))]
#[doc(hidden)]
pub trait MaybeFormat {}
#[cfg(not(feature = "defmt"))]
impl<T> MaybeFormat for T {}

/// Nothing lies between: frames are written as they are.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Direct;

impl Sealed for Direct {}
impl Line for Direct {
    type Receiver = ();

    fn pending<'p>(&'p mut self, frame: &'p [u8], taken: &mut usize) -> &'p [u8] {
        frame.get(*taken..).unwrap_or_default()
    }

    fn wrote(&mut self, len: usize, taken: &mut usize) {
        *taken = taken.wrapping_add(len);
    }

    fn flush(&mut self) {}

    fn is_up(&self) -> bool {
        true
    }
}

/// The half of a connection that sends: answers, or requests and their data.
///
/// One frame is on its way at a time: write what is [pending](Outgoing::pending), then have the
/// next one [made](Outgoing::make).
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sender<'b, E: End, L: Line> {
    pub(super) end: &'b mut E,
    pub(super) out: Output<'b>,
    /// Bytes of the frame that were written, or that the line has taken.
    taken: usize,
    pub(super) line: L,
    leaves_refusals: bool,
}

/// What a driver needs of the half that sends.
pub trait Outgoing {
    /// The reactor.
    type End: End;

    /// Makes the next frame of something that is sent. `false`: write what is
    /// [pending](Self::pending), and call again with the same. `true`: the last frame was made; it is
    /// pending.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed.
    fn make<F: Frames<Self::End>>(&mut self, frames: &mut F) -> Result<bool, ApiMisuse>;

    /// What is to be written next; empty if there is nothing. `all`: also what is held back to be
    /// joined with more, as before reading.
    fn pending(&mut self, all: bool) -> &[u8];

    /// So many bytes of what is pending were written.
    fn wrote(&mut self, len: usize);
}

impl<'b, E: End, L: Line> Sender<'b, E, L> {
    pub(super) const fn new(end: &'b mut E, output: &'b mut [u8], line: L) -> Self {
        Self {
            end,
            out: Output::new(E::STREAM, output),
            taken: 0,
            line,
            leaves_refusals: false,
        }
    }

    /// The reactor.
    pub const fn end(&self) -> &E {
        self.end
    }

    /// The reactor: to take a request over, for example.
    pub const fn end_mut(&mut self) -> &mut E {
        self.end
    }

    /// Leaves it to the owner to answer refused requests, with the
    /// [`Refusal`](crate::server::Refusal) of the event. Otherwise they are answered before
    /// the event is given.
    pub const fn leave_refusals(&mut self) {
        self.leaves_refusals = true;
    }

    /// Makes all frames of something that is sent, and writes them.
    ///
    /// # Errors
    /// [`ApiMisuse`]; what was made before was written.
    pub fn make_all<F: Frames<E>>(
        &mut self,
        frames: &mut F,
        mut write: impl FnMut(&[u8]),
    ) -> Result<(), ApiMisuse> {
        while !self.make(frames)? {
            self.write(false, &mut write);
        }
        Ok(())
    }

    /// Writes all that is pending or held back.
    pub fn write_all(&mut self, mut write: impl FnMut(&[u8])) {
        self.write(true, &mut write);
    }

    fn write(&mut self, all: bool, write: &mut impl FnMut(&[u8])) {
        loop {
            let bytes = self.pending(all);
            if bytes.is_empty() {
                return;
            }
            write(bytes);
            let len = bytes.len();
            self.wrote(len);
        }
    }

    /// Takes the next event off the front of bytes. Nothing may be on its way, since the end may
    /// have something to say.
    pub(super) fn receive<'a, 'i: 'a>(
        &mut self,
        bytes: &mut &'i [u8],
        memory: &'a mut [u8],
    ) -> Result<Option<E::Event<'a>>, Error> {
        if !self.is_free() {
            return Err(ApiMisuse::OutOfOrder.into());
        }
        self.taken = 0;
        self.out.len = 0;
        self.end
            .receive(bytes, memory, &mut self.out, self.leaves_refusals)
    }

    /// Whether no frame is on its way.
    fn is_free(&self) -> bool {
        self.taken >= self.out.len
    }

    pub(super) fn restart(&mut self, memory: &mut [u8]) {
        self.end.restart(memory);
        self.out.stream = E::STREAM;
        self.out.len = 0;
        self.out.joined = 0;
        self.taken = 0;
    }
}

impl<E: End, L: Line> Outgoing for Sender<'_, E, L> {
    type End = E;

    fn make<F: Frames<E>>(&mut self, frames: &mut F) -> Result<bool, ApiMisuse> {
        if !self.line.is_up() {
            return Err(ApiMisuse::OutOfOrder);
        }
        while self.is_free() {
            self.taken = 0;
            if frames.next_frame(self.end, &mut self.out)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[inline]
    fn pending(&mut self, all: bool) -> &[u8] {
        let Self {
            end,
            out,
            taken,
            line,
            ..
        } = self;
        if all && line.pending(out.frame(), taken).is_empty() {
            *taken = 0;
            out.len = 0;
            end.flush(out);
            line.flush();
        }
        line.pending(out.frame(), taken)
    }

    #[inline]
    fn wrote(&mut self, len: usize) {
        self.line.wrote(len, &mut self.taken);
    }
}

/// Makes the error of a peer's.
pub(super) fn broken<T>(error: ProtocolError) -> Result<T, Error> {
    Err(error.into())
}
