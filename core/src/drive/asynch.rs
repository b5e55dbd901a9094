//! The asynchronous driver, over embedded-io-async 0.7, for any executor or none.
//!
//! It is [`blocking`](super::blocking) with `await`; what is said there holds here.
//!
//! # Dropped futures
//! All progress is in the connection, or in a value of the caller's. A future of these may be
//! dropped and asked for again, as `select` does in a loop:
//!
//! | future | dropped before its end | to go on |
//! | --- | --- | --- |
//! | [`Driver::step`], [`Sending::flush`] | nothing has happened, or it is kept | call it again |
//! | [`Sending::send`] of `&mut` something | the frames that were made go out | call it again with the same |
//! | [`Sending::send`] of something | what was not made is lost with it: its request stays open | lend it where that may happen, or [take it over](crate::server::Server::take_over) |
//!
//! (A future that is polled after its end panics, as all of Rust's do. It is the only panic.)
//!
//! No frame is ever torn. It takes halves whose `read` and `write` have done nothing when they are
//! dropped, which embedded-io-async asks them to document; those of a UART with a buffer behind it
//! usually have, those with DMA straight from and to the caller's memory have not.
//!
//! # Tasks
//! A driver, and its futures, are `Send` if the halves and their futures are.

use embedded_io_async::{ErrorType, Read, Write};

use super::{Failed, Next, Sending};
use crate::connection::{Drive, Frames, Outgoing};

/// Halves that are awaited.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Async {}

/// What is read from and what is written to.
pub type Halves<R, W> = super::Halves<R, W, Async>;

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
    pub async fn step(&mut self) -> Result<Option<Next<'_, C, Halves<R, W>>>, Failed<R, W>> {
        self.sender().flush().await?;
        if !self.connection.has_input() {
            let read = self.halves.input.read(self.connection.room()).await;
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
    pub async fn serve(
        &mut self,
        mut handle: impl AsyncFnMut(
            C::Event<'_>,
            &mut Sending<'_, C::Sender, Halves<R, W>>,
        ) -> Result<(), Failed<R, W>>,
    ) -> Result<(), Failed<R, W>> {
        while let Some((event, mut sending)) = self.step().await? {
            handle(event, &mut sending).await?;
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
    pub async fn send(&mut self, mut frames: impl Frames<S::End>) -> Result<(), Failed<R, W>> {
        while !self.sender.make(&mut frames)? {
            self.drain(false).await?;
        }
        Ok(())
    }

    /// Sends all that is pending, and flushes the write half. Needed only where no step is next.
    ///
    /// # Errors
    /// [`Write`](crate::Error::Write), [`WroteNothing`](crate::Error::WroteNothing): call
    /// again to go on.
    pub async fn flush(&mut self) -> Result<(), Failed<R, W>> {
        self.drain(true).await?;
        while self.halves.is_dirty {
            let flushed = self.halves.output.flush().await;
            self.flushed(flushed)?;
        }
        Ok(())
    }

    /// Writes what is pending.
    async fn drain(&mut self, all: bool) -> Result<(), Failed<R, W>> {
        loop {
            let bytes = self.sender.pending(all);
            if bytes.is_empty() {
                return Ok(());
            }
            self.halves.is_dirty = true;
            let most = bytes.len();
            let written = self.halves.output.write(bytes).await;
            self.wrote(most, written)?;
        }
    }
}
