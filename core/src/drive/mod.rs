//! Drivers: what moves the bytes of a [connection](super::connection) in and out.
//!
//! A [`Driver`] has a connection and the two halves of whatever carries it. It has a `step`, which
//! gives the next event and, beside it, the half that answers; and `serve`, which gives events to a
//! function until the input ends.
//!
//! - [`blocking`]: over embedded-io 0.7 (feature `embedded-io-v0_7`).
#![cfg_attr(
    feature = "embedded-io-async-v0_7",
    doc = "- [`asynch`]: over embedded-io-async 0.7 (feature `embedded-io-async-v0_7`)."
)]
#![cfg_attr(
    not(feature = "embedded-io-async-v0_7"),
    doc = "- `asynch`: over embedded-io-async 0.7 (feature `embedded-io-async-v0_7`)."
)]
//!
//! Nothing here is needed: a connection takes bytes wherever they lie, and gives out bytes to be
//! sent.
//!
//! # Ways to move bytes on a device
//! | bytes come | drive with | copied on the way in |
//! | --- | --- | --- |
//! | by a HAL that blocks | [`blocking`] | once, into the input buffer |
//! | by a HAL with async, in tasks | `asynch` | once, into the input buffer |
//! | by an interrupt for each byte, into a ring that the main loop reads | [`Connection::take`] on pieces of the ring | not by hgrpc |
//! | by a DMA controller, into a ring or two buffers in turn | the same, on the DMA's own memory | not at all, but requests that come in parts |
//!
//! [`Connection::take`]: super::connection::Connection::take
//!
//! The programs in `tests/firmware/examples` of the repository show the last three; the last one is
//! tested with a DMA that is simulated.
//!
//! # What may be touched from where
//! - **Connections, reactors, links** hold no locks: they are `Send`, and are used by whoever has them
//!   `&mut`. None of their methods waits, allocates or panics, and work is bounded by the bytes given:
//!   they may be called in an interrupt, behind the critical section that a `static` needs anyway. It
//!   then lasts as long as a part's work does. To keep interrupts short, let them put bytes into a
//!   ring only.
//! - **Tokens** (a [`Reply`](super::server::Reply), an [`Upload`](super::client::Upload)) are `Send`,
//!   too: a request may be answered by another task, or from an interrupt, wherever the connection can
//!   be had.
//! - **What an event borrows** lies in the input or in the memory, and is gone with the next step.
//! - **Drivers** are `Send` if their halves are. An interrupt does not touch them: it wakes whoever
//!   waits in a read.
//!
//! # Which memory must live where
//! - A DMA controller's buffer: in memory that it reaches (on many chips not the core-coupled one),
//!   on a core with a data cache uncached or invalidated before it is read, and with no reference
//!   to bytes that are being written. hgrpc asks for nothing of all this: it sees a `&[u8]` of what
//!   is written already, and of any alignment.
//! - A ring or a pair of buffers must hold what comes while one piece is handled: at 115,200 baud
//!   12 bytes a millisecond. What does not fit is lost, which frames alone do not notice: put a
//!   `link` between, where that may happen.
//! - What is given to a write half lies in the output buffer. A HAL that sends by DMA says which
//!   memory it reaches.
//!
//! # Both ends blocked
//! A driver writes in the thread, or task, in which it reads. If both ends are in a long write and
//! neither reads, both wait for ever. One end that reads while it writes is enough (the adapter
//! crate's connections do); between two drivers keep long responses and uploads apart, or look for
//! input between pieces with `is_ready`.

/// The two ways to wait: `step`, `serve`, `send` and `flush`, with the words that one of them needs before
/// a function and behind what it waits for. (Who uses it has `Read`, `Write` and `ErrorType` in scope.)
macro_rules! ways {
    ($Mode:ident, $Handle:ident $(, $async:ident [$($await:tt)+])?) => {
        /// What is read from and what is written to.
        pub type Halves<R, W> = super::Halves<R, W, $Mode>;

        /// A connection over a read half and a write half.
        pub type Driver<C, R, W> = super::Driver<C, Halves<R, W>>;

        impl<C: Drive, R: Read, W: Write> super::Driver<C, Halves<R, W>> {
            /// Sends what is pending, reads once if there is nothing to be taken, and gives the next event
            /// with the half that answers it. `None`: the input has ended.
            ///
            /// Of what was read, there may be nothing for the owner: the event is `Idle` then, and also
            /// where nothing has come for a while ([`TimedOut`](embedded_io::ErrorKind::TimedOut)) and the
            /// line makes a tick of that.
            ///
            /// # Errors
            /// [`Error`](crate::Error). After an I/O error the next step goes on, nothing is lost; after
            /// the peer broke the protocol, commands that were handed out may still be answered.
            #[allow(
                clippy::type_complexity,
                reason = "the pair of a named type and its error"
            )]
            pub $($async)? fn step(
                &mut self,
            ) -> Result<Option<Next<'_, C, Halves<R, W>>>, Failed<R, W>> {
                self.sender().flush()$($($await)+)? ?;
                if !self.connection.has_input() {
                    let read = self.halves.input.read(self.connection.room())$($($await)+)?;
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
            pub $($async)? fn serve(
                &mut self,
                mut handle: impl $Handle(
                    C::Event<'_>,
                    &mut Sending<'_, C::Sender, Halves<R, W>>,
                ) -> Result<(), Failed<R, W>>,
            ) -> Result<(), Failed<R, W>> {
                while let Some((event, mut sending)) = self.step()$($($await)+)? ? {
                    handle(event, &mut sending)$($($await)+)? ?;
                }
                Ok(())
            }
        }

        impl<C: Drive, R: Read + ReadReady, W: Write> super::Driver<C, Halves<R, W>> {
            /// Sends something between two steps, at once, and looks first whether the peer is still there:
            /// for a command that takes long and sends progress, text or pieces of a response meanwhile.
            ///
            /// Over a link it takes what has come, without waiting and with at most one read, up to the
            /// next frame of the peer's, which is for the next step. So a few calls after the host has given
            /// up the connection, or has started anew, this fails. Without a link it looks at nothing.
            ///
            /// # Errors
            /// As for [`Sending::send`](super::Sending), of the read half, and `Error::Lost`: the
            /// connection over the link was lost, nothing was sent, and the next step says so too.
            pub $($async)? fn send(
                &mut self,
                frames: impl Frames<<C::Sender as Outgoing>::End>,
            ) -> Result<(), Failed<R, W>> {
                if self.looks_at_more()? {
                    let read = self.halves.input.read(self.connection.room())$($($await)+)?;
                    self.took(read)?;
                    self.look()?;
                }
                let mut sender = self.sender();
                sender.send(frames)$($($await)+)? ?;
                sender.flush()$($($await)+)?
            }
        }

        impl<S: Outgoing, R: ErrorType, W: Write> Sending<'_, S, Halves<R, W>> {
            /// Sends an answer, a request or data. The last frame is on its way when it returns; it goes
            /// out at the latest before anything is read.
            ///
            /// # Errors
            /// [`Misuse`](crate::Error::Misuse), and nothing changed. After an I/O error the next call,
            /// with the same or with something else, goes on where it stopped: no frame is torn.
            pub $($async)? fn send(
                &mut self,
                mut frames: impl Frames<S::End>,
            ) -> Result<(), Failed<R, W>> {
                while !self.sender.make(&mut frames)? {
                    self.drain(false)$($($await)+)? ?;
                }
                Ok(())
            }

            /// Sends all that is pending, and flushes the write half. Needed only where no step is next.
            ///
            /// # Errors
            /// [`Write`](crate::Error::Write), [`WroteNothing`](crate::Error::WroteNothing): call again to
            /// go on.
            pub $($async)? fn flush(&mut self) -> Result<(), Failed<R, W>> {
                self.drain(true)$($($await)+)? ?;
                while self.halves.is_dirty {
                    let flushed = self.halves.output.flush()$($($await)+)?;
                    self.flushed(flushed)?;
                }
                Ok(())
            }

            /// Writes what is pending.
            #[inline(never)]
            $($async)? fn drain(&mut self, all: bool) -> Result<(), Failed<R, W>> {
                loop {
                    let bytes = self.sender.pending(all);
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    self.halves.is_dirty = true;
                    let most = bytes.len();
                    let written = self.halves.output.write(bytes)$($($await)+)?;
                    self.wrote(most, written)?;
                }
            }
        }
    };
}

#[cfg(feature = "embedded-io-async-v0_7")]
pub mod asynch;
pub mod blocking;

use core::marker::PhantomData;

use embedded_io::{Error as _, ErrorKind, ErrorType, ReadReady};

use super::Error;
use super::connection::{Drive, Outgoing};

/// A connection and its two halves `H`: see [`blocking::Driver`] and `asynch::Driver`.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Driver<C, H> {
    connection: C,
    halves: H,
}

/// The half of a connection that sends, with the halves that it writes to.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sending<'c, S, H> {
    sender: &'c mut S,
    halves: &'c mut H,
}

/// What is read from and what is written to; `M` says how it waits: [`blocking::Halves`] and
/// `asynch::Halves`.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Halves<R, W, M> {
    input: R,
    output: W,
    /// Something was written since the write half was flushed.
    is_dirty: bool,
    _mode: PhantomData<M>,
}

/// The error of a driver over these halves.
type Failed<R, W> = Error<<R as ErrorType>::Error, <W as ErrorType>::Error>;

/// An event, and the half that sends.
type Next<'c, C, H> = (
    <C as Drive>::Event<'c>,
    Sending<'c, <C as Drive>::Sender, H>,
);

impl<C, H> Driver<C, H> {
    /// Bytes of memory that the driver takes, with its connection and the halves.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// The connection.
    pub const fn connection(&self) -> &C {
        &self.connection
    }

    /// The connection: to cancel a request, for example.
    pub const fn connection_mut(&mut self) -> &mut C {
        &mut self.connection
    }
}

impl<C: Drive, H> Driver<C, H> {
    /// The half that sends, between steps.
    pub fn sender(&mut self) -> Sending<'_, C::Sender, H> {
        Sending {
            sender: self.connection.sender(),
            halves: &mut self.halves,
        }
    }
}

impl<C, R, W, M> Driver<C, Halves<R, W, M>> {
    /// The halves. What is read from one is missing, and what is written to the other may fall into
    /// a frame.
    pub const fn halves(&mut self) -> (&mut R, &mut W) {
        (&mut self.halves.input, &mut self.halves.output)
    }

    /// Gives the halves back.
    pub fn into_halves(self) -> (R, W) {
        (self.halves.input, self.halves.output)
    }

    /// A connection over these halves.
    pub const fn new(connection: C, input: R, output: W) -> Self {
        let halves = Halves {
            input,
            output,
            is_dirty: false,
            _mode: PhantomData,
        };
        Self { connection, halves }
    }
}

impl<C: Drive, R: ErrorType, W: ErrorType, M> Driver<C, Halves<R, W, M>> {
    /// Takes what a read came to; `false`: the input has ended.
    #[inline]
    fn took(&mut self, read: Result<usize, R::Error>) -> Result<bool, Failed<R, W>> {
        match read {
            Ok(len) => self.connection.filled(len).map_err(Error::widen),
            Err(error) if error.kind() == ErrorKind::TimedOut && self.connection.tick() => Ok(true),
            Err(error) => Err(Error::Read(error)),
        }
    }

    /// The next event, and the half that answers it.
    #[inline]
    #[expect(
        clippy::type_complexity,
        reason = "the pair of a named type and its error"
    )]
    fn event(&mut self) -> Result<Option<Next<'_, C, Halves<R, W, M>>>, Failed<R, W>> {
        let Self { connection, halves } = self;
        let (event, sender) = connection.next().map_err(Error::widen)?;
        Ok(Some((event, Sending { sender, halves })))
    }

    /// Takes what was read, as far as it says whether the connection still is there.
    fn look(&mut self) -> Result<bool, Failed<R, W>> {
        self.connection.look().map_err(Error::widen)
    }

    /// The same; `true`: there is more to be read and looked at.
    fn looks_at_more(&mut self) -> Result<bool, Failed<R, W>>
    where
        R: ReadReady,
    {
        Ok(self.look()? && self.halves.input.read_ready().map_err(Error::Read)?)
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

impl<S: Outgoing, R: ErrorType, W: ErrorType, M> Sending<'_, S, Halves<R, W, M>> {
    /// Counts what a write of `most` bytes came to.
    #[inline]
    fn wrote(&mut self, most: usize, written: Result<usize, W::Error>) -> Result<(), Failed<R, W>> {
        match written {
            // (`write_all` of the trait panics on a writer that takes none.)
            Ok(0) => return Err(Error::WroteNothing),
            Ok(len) => self.sender.wrote(len.min(most)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Write(error)),
        }
        Ok(())
    }

    /// Notes what flushing the write half came to.
    #[inline]
    fn flushed(&mut self, flushed: Result<(), W::Error>) -> Result<(), Failed<R, W>> {
        match flushed {
            Ok(()) => self.halves.is_dirty = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Write(error)),
        }
        Ok(())
    }
}

impl<S, H> core::ops::Deref for Sending<'_, S, H> {
    type Target = S;

    fn deref(&self) -> &S {
        self.sender
    }
}

impl<S, H> core::ops::DerefMut for Sending<'_, S, H> {
    fn deref_mut(&mut self) -> &mut S {
        self.sender
    }
}
