//! What a line is but for its two halves: a link, and what has come and goes over it (link.md,
//! "States").

use core::fmt;

use embedded_io::{Error, ErrorKind};

use crate::bytes::copy;
use crate::link::{Link, LinkConfig, LinkError, LinkEvent};
use crate::wire::FrameReader;

/// A link between two buffers: `IN` bytes that were read, and a packet to be written.
pub(super) struct LineState<C, const N: usize, const IN: usize> {
    console: C,
    pub(super) link: Link<N>,
    buffer: [u8; IN],
    /// Where the bytes start and end that the link has not taken.
    start: usize,
    end: usize,
    /// Bytes of the last payload that were not read.
    unread: usize,
    /// The packet that is being written, and where its rest starts and ends.
    out: [u8; N],
    out_start: usize,
    out_end: usize,
    /// Follows what is written, for the mark of packets that begin with a frame.
    frames: FrameReader,
    /// Why the connection is over.
    lost: Option<LinkError>,
    /// Which connection the halves must be of.
    pub(super) connection: u16,
}

/// Why a line can go no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LineError<R, W> {
    /// The connection is over; the line's `connect` makes the next one.
    Link(LinkError),
    /// The read half failed; the next call goes on. (One that timed out has not failed.)
    Read(R),
    /// The write half failed. If a packet is cut, the peer sees a loss.
    Write(W),
    /// The write half took no byte, which it must not do.
    WroteNothing,
    /// The input has ended, while a connection was waited for.
    Ended,
    /// `console` has called back into the line; or another future of it has not ended.
    InUse,
}

impl<C, const N: usize, const IN: usize> LineState<C, N, IN> {
    pub(super) const fn new(console: C, config: LinkConfig) -> Self {
        const { assert!(IN > 0, "something must be read") }
        Self {
            console,
            link: Link::new(config),
            buffer: [0; IN],
            start: 0,
            end: 0,
            unread: 0,
            out: [0; N],
            out_start: 0,
            out_end: 0,
            frames: FrameReader::new(u32::MAX),
            lost: None,
            connection: 0,
        }
    }

    /// Gives up the connection that may be up: the next one is wanted.
    pub(super) fn begin(&mut self) {
        self.connection = self.connection.wrapping_add(1);
        // What an earlier connection has left is not wanted.
        self.link.disconnect();
        self.unread = 0;
        self.lost = None;
    }

    /// Whether the next connection is there.
    pub(super) fn has_begun(&mut self) -> bool {
        let is_there = self.lost.take().is_none() && self.link.is_up();
        if is_there {
            self.frames.restart();
        }
        is_there
    }

    /// Why the connection is over, if it is.
    pub(super) fn check<R, W>(&self) -> Result<(), LineError<R, W>> {
        self.lost
            .map_or(Ok(()), |error| Err(LineError::Link(error)))
    }

    /// Whether a read would not wait.
    pub(super) const fn is_ready(&self) -> bool {
        self.unread > 0 || self.lost.is_some()
    }

    /// Whether there is anything that the link has not taken.
    pub(super) const fn has_input(&self) -> bool {
        self.start < self.end
    }

    /// Where to read to, when the link has taken everything.
    pub(super) const fn room(&mut self) -> &mut [u8] {
        self.start = 0;
        self.end = 0;
        &mut self.buffer
    }

    /// So many bytes were read.
    pub(super) fn filled(&mut self, len: usize) {
        self.end = len.min(IN);
    }

    /// Some time has passed.
    pub(super) fn tick(&mut self) {
        if let Some(error) = self.link.tick() {
            self.lost = Some(error);
        }
    }

    /// Copies payload; 0: there is none.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let payload = self.link.last_payload();
        let rest = payload
            .get(payload.len().saturating_sub(self.unread)..)
            .unwrap_or_default();
        copy(buffer, rest);
        let len = buffer.len().min(rest.len());
        self.unread = rest.len().saturating_sub(len);
        len
    }

    /// What is still to be written.
    pub(super) fn pending(&self) -> &[u8] {
        self.out
            .get(self.out_start..self.out_end)
            .unwrap_or_default()
    }

    /// So many of them were written.
    pub(super) fn wrote(&mut self, len: usize) {
        self.out_start = self.out_start.saturating_add(len);
    }

    /// Makes the packet that is due, if nothing is pending.
    pub(super) fn answer(&mut self) {
        if self.pending().is_empty() {
            self.out_start = 0;
            self.out_end = self
                .link
                .control_packet(&mut self.out)
                .map_or(0, <[u8]>::len);
        }
    }

    /// Makes the packet that is due, or one of these bytes, if nothing is pending; how many of them
    /// it holds.
    pub(super) fn put<R, W>(&mut self, bytes: &[u8]) -> Result<usize, LineError<R, W>> {
        self.check()?;
        let mut rest = bytes;
        let is_frame_start = self.frames.received() == 0 && self.frames.current().is_none();
        let packet = self
            .link
            .packet(&mut rest, is_frame_start, &mut self.out)
            // It is not up: `lost` is about to say why.
            .map_err(|_| LineError::Link(LinkError::LinkLost))?;
        self.out_start = 0;
        self.out_end = packet.len();
        let len = bytes.len().saturating_sub(rest.len());
        let mut sent = bytes.get(..len).unwrap_or_default();
        // No length is over the reader's maximum.
        while let Ok(Some(_)) = self.frames.next(&mut sent) {}
        Ok(len)
    }
}

impl<C: FnMut(&[u8]), const N: usize, const IN: usize> LineState<C, N, IN> {
    /// Takes the next event of what was read; `false`: all of it has been taken.
    pub(super) fn step(&mut self) -> bool {
        let mut input = self.buffer.get(self.start..self.end).unwrap_or_default();
        let is_event = match self.link.handle_bytes(&mut input) {
            Some(LinkEvent::Payload { bytes, .. }) => {
                self.unread = bytes.len();
                true
            }
            Some(LinkEvent::Lost(error)) => {
                self.lost = Some(error);
                true
            }
            Some(LinkEvent::Console(text) | LinkEvent::Noise(text)) => {
                (self.console)(text);
                true
            }
            Some(LinkEvent::Up) => true,
            None => false,
        };
        self.start = self.end.saturating_sub(input.len());
        is_event
    }
}

impl<R: fmt::Display, W: fmt::Display> fmt::Display for LineError<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
            Self::WroteNothing => f.write_str("the writer takes no more bytes"),
            Self::Ended => f.write_str("the input has ended"),
            Self::InUse => f.write_str("the line is in use"),
        }
    }
}

impl<R: core::error::Error, W: core::error::Error> core::error::Error for LineError<R, W> {}

impl<R: Error, W: Error> Error for LineError<R, W> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Link(_) => ErrorKind::ConnectionReset,
            Self::Read(error) => error.kind(),
            Self::Write(error) => error.kind(),
            Self::WroteNothing => ErrorKind::WriteZero,
            Self::Ended => ErrorKind::NotConnected,
            Self::InUse => ErrorKind::Other,
        }
    }
}

/// `Debug` and `defmt::Format` for what holds a console, a closure, which shows as nothing.
macro_rules! opaque {
    ($($name:ident $($lifetime:lifetime)?;)*) => {$(
        impl<$($lifetime,)? R, W, C, const N: usize, const IN: usize> core::fmt::Debug
            for $name<$($lifetime,)? R, W, C, N, IN>
        {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        #[cfg(feature = "defmt")]
        impl<$($lifetime,)? R, W, C, const N: usize, const IN: usize> defmt::Format
            for $name<$($lifetime,)? R, W, C, N, IN>
        {
            fn format(&self, f: defmt::Formatter<'_>) {
                defmt::write!(f, "{=str}", stringify!($name));
            }
        }
    )*};
}

pub(super) use opaque;
