//! The blocking driver, over embedded-io 0.7.
//!
//! ```text
//!   R: Read  ──▶ connection ──▶ event ──▶ your code
//!   W: Write ◀── connection ◀── replies.send(reply.ok(&value))
//! ```
//! See [the module above](crate::next) for a whole program.

use embedded_io::{Error as _, ErrorKind, ErrorType, Read, ReadReady, Write};

use super::{Next, Sending};
use crate::next::Error;
use crate::next::connection::{Drive, Frames, Outgoing};

/// What is read from and what is written to.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Halves<R, W> {
    input: R,
    output: W,
    /// Something was written since the write half was flushed.
    is_dirty: bool,
}

/// A connection over a read half and a write half.
pub type Driver<C, R, W> = super::Driver<C, Halves<R, W>>;

/// The error of a driver over these halves.
type Failed<R, W> = Error<<R as ErrorType>::Error, <W as ErrorType>::Error>;

impl<C, R, W> super::Driver<C, Halves<R, W>> {
    /// A connection over these halves.
    pub const fn new(connection: C, input: R, output: W) -> Self {
        let halves = Halves {
            input,
            output,
            is_dirty: false,
        };
        Self { connection, halves }
    }

    /// The halves. What is read from one is missing, and what is written to the other may fall into
    /// a frame.
    pub const fn halves(&mut self) -> (&mut R, &mut W) {
        (&mut self.halves.input, &mut self.halves.output)
    }

    /// Gives the halves back.
    pub fn into_halves(self) -> (R, W) {
        (self.halves.input, self.halves.output)
    }
}

impl<C: Drive, R: Read, W: Write> super::Driver<C, Halves<R, W>> {
    /// Sends what is pending, reads once if there is nothing to be taken, and gives the next event
    /// with the half that answers it. `None`: the input has ended.
    ///
    /// Of what was read, there may be nothing for the owner: the event is `Idle` then, and also where
    /// nothing has come for a while ([`ErrorKind::TimedOut`]) and the line makes a tick of that.
    ///
    /// # Errors
    /// [`Error`]. After an I/O error the next step goes on, nothing is lost; after the peer broke the
    /// protocol, commands that were handed out may still be answered.
    #[expect(
        clippy::type_complexity,
        reason = "the pair of a named type and its error"
    )]
    pub fn step(&mut self) -> Result<Option<Next<'_, C, Halves<R, W>>>, Failed<R, W>> {
        self.sender().flush()?;
        let Self { connection, halves } = self;
        if !connection.has_input() {
            match halves.input.read(connection.room()) {
                Ok(len) => {
                    if !connection.filled(len).map_err(Error::widen)? {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == ErrorKind::TimedOut && connection.tick() => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
        let (event, sender) = connection.next().map_err(Error::widen)?;
        Ok(Some((event, Sending { sender, halves })))
    }

    /// Gives each event to a function, until the input ends.
    ///
    /// # Errors
    /// As for [`step`](Self::step), and those of the function's.
    pub fn serve(
        &mut self,
        mut handle: impl FnMut(
            C::Event<'_>,
            &mut Sending<'_, C::Sender, Halves<R, W>>,
        ) -> Result<(), Failed<R, W>>,
    ) -> Result<(), Failed<R, W>> {
        while let Some((event, mut sending)) = self.step()? {
            handle(event, &mut sending)?;
        }
        Ok(())
    }

    /// Whether a step has something to take without waiting: to be asked between the pieces of
    /// something long.
    ///
    /// # Errors
    /// Those of the read half.
    pub fn is_ready(&mut self) -> Result<bool, R::Error>
    where
        R: ReadReady,
    {
        Ok(self.connection.has_input() || self.halves.input.read_ready()?)
    }
}

impl<S: Outgoing, R: ErrorType, W: Write> Sending<'_, S, Halves<R, W>> {
    /// Sends an answer, a request or data. The last frame is on its way when it returns; it goes out
    /// at the latest before anything is read.
    ///
    /// # Errors
    /// [`Error::Misuse`], and nothing changed. After an I/O error the next call, with the same or
    /// with something else, goes on where it stopped: no frame is torn.
    pub fn send(&mut self, mut frames: impl Frames<S::End>) -> Result<(), Failed<R, W>> {
        while !self.sender.make(&mut frames)? {
            self.drain(false)?;
        }
        Ok(())
    }

    /// Sends all that is pending, and flushes the write half. Needed only where no step is next.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::WroteNothing`]: call again to go on.
    pub fn flush(&mut self) -> Result<(), Failed<R, W>> {
        self.drain(true)?;
        while self.halves.is_dirty {
            match self.halves.output.flush() {
                Ok(()) => self.halves.is_dirty = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Write(error)),
            }
        }
        Ok(())
    }

    /// Writes what is pending. (`write_all` of the trait panics on a writer that takes none.)
    #[inline(never)]
    fn drain(&mut self, all: bool) -> Result<(), Failed<R, W>> {
        loop {
            let bytes = self.sender.pending(all);
            if bytes.is_empty() {
                return Ok(());
            }
            self.halves.is_dirty = true;
            match self.halves.output.write(bytes) {
                Ok(0) => return Err(Error::WroteNothing),
                Ok(len) => {
                    let len = len.min(bytes.len());
                    self.sender.wrote(len);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Write(error)),
            }
        }
    }
}
