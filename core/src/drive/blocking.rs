//! The blocking driver, over embedded-io 0.7.
//!
//! ```text
//!   R: Read  ──▶ connection ──▶ event ──▶ your code
//!   W: Write ◀── connection ◀── replies.send(reply.ok(&value))
//! ```
//! See [the crate](crate) for a whole program.

use embedded_io::{ErrorType, Read, Write};

use super::{Failed, Next, Sending};
use crate::connection::{Drive, Frames, Outgoing};

/// Halves that block while they wait.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Blocking {}

/// What is read from and what is written to.
pub type Halves<R, W> = super::Halves<R, W, Blocking>;

/// A connection over a read half and a write half.
pub type Driver<C, R, W> = super::Driver<C, Halves<R, W>>;

impl<C: Drive, R: Read, W: Write> super::Driver<C, Halves<R, W>> {
    /// Sends what is pending, reads once if there is nothing to be taken, and gives the next event
    /// with the half that answers it. `None`: the input has ended.
    ///
    /// Of what was read, there may be nothing for the owner: the event is `Idle` then, and also where
    /// nothing has come for a while ([`TimedOut`](embedded_io::ErrorKind::TimedOut)) and the line
    /// makes a tick of that.
    ///
    /// # Errors
    /// [`Error`]. After an I/O error the next step goes on, nothing is lost; after the peer broke the
    /// protocol, commands that were handed out may still be answered.
    ///
    /// [`Error`]: crate::Error
    #[expect(
        clippy::type_complexity,
        reason = "the pair of a named type and its error"
    )]
    pub fn step(&mut self) -> Result<Option<Next<'_, C, Halves<R, W>>>, Failed<R, W>> {
        self.sender().flush()?;
        if !self.connection.has_input() {
            let read = self.halves.input.read(self.connection.room());
            if !self.took(read)? {
                return Ok(None);
            }
        }
        self.event()
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
}

impl<S: Outgoing, R: ErrorType, W: Write> Sending<'_, S, Halves<R, W>> {
    /// Sends an answer, a request or data. The last frame is on its way when it returns; it goes out
    /// at the latest before anything is read.
    ///
    /// # Errors
    /// [`Misuse`](crate::Error::Misuse), and nothing changed. After an I/O error the next call,
    /// with the same or with something else, goes on where it stopped: no frame is torn.
    pub fn send(&mut self, mut frames: impl Frames<S::End>) -> Result<(), Failed<R, W>> {
        while !self.sender.make(&mut frames)? {
            self.drain(false)?;
        }
        Ok(())
    }

    /// Sends all that is pending, and flushes the write half. Needed only where no step is next.
    ///
    /// # Errors
    /// [`Write`](crate::Error::Write), [`WroteNothing`](crate::Error::WroteNothing): call
    /// again to go on.
    pub fn flush(&mut self) -> Result<(), Failed<R, W>> {
        self.drain(true)?;
        while self.halves.is_dirty {
            let flushed = self.halves.output.flush();
            self.flushed(flushed)?;
        }
        Ok(())
    }

    /// Writes what is pending.
    #[inline(never)]
    fn drain(&mut self, all: bool) -> Result<(), Failed<R, W>> {
        loop {
            let bytes = self.sender.pending(all);
            if bytes.is_empty() {
                return Ok(());
            }
            self.halves.is_dirty = true;
            let most = bytes.len();
            let written = self.halves.output.write(bytes);
            self.wrote(most, written)?;
        }
    }
}
