//! What a connection needs of an end.

use super::sender::broken;
use crate::Error;
use crate::client::{self, Client};
use crate::output::{Output, Stream};
use crate::server::{self, Server};
use crate::store::Requests;
use crate::{ApiMisuse, Protocol, ProtocolError};

/// An end of the protocol: a [`Server`] or a [`Client`].
pub trait End: sealed::Sealed + Sized {
    /// What has come.
    type Event<'a>;

    /// The stream that it writes on.
    #[doc(hidden)]
    const STREAM: Stream;

    /// Takes the next event, and says what is to be said without the owner.
    #[doc(hidden)]
    fn receive<'a, 'i: 'a>(
        &mut self,
        bytes: &mut &'i [u8],
        memory: &'a mut [u8],
        out: &mut Output<'_>,
        leaves_refusals: bool,
    ) -> Result<Option<Self::Event<'a>>, Error>;

    /// Makes a frame of what is joined.
    #[doc(hidden)]
    fn flush(&mut self, out: &mut Output<'_>);

    /// What the end of input means now.
    #[doc(hidden)]
    fn finish(&self) -> Result<(), ProtocolError>;

    /// Bytes of the memory that are not in use.
    #[doc(hidden)]
    fn free(&self, memory: &[u8]) -> usize;

    #[doc(hidden)]
    fn restart(&mut self, memory: &mut [u8]);

    /// Nothing for the owner.
    #[doc(hidden)]
    fn idle<'a>() -> Self::Event<'a>;

    /// Something of the line's.
    #[cfg(feature = "link")]
    #[doc(hidden)]
    fn line(event: super::LineEvent<'_>) -> Self::Event<'_>;
}

mod sealed {
    pub trait Sealed {}
}
impl<P: Protocol, T: Requests<Memory = [u8]>> sealed::Sealed for Server<P, T> {}
impl<P: Protocol, T: Requests<Memory = [u8]>> sealed::Sealed for Client<P, T> {}

/// Something that is sent in frames, made one a call: what [`Reply::ok`](server::Reply::ok) and its
/// like give. Whoever drops one before its last frame leaves its request open.
pub trait Frames<E: End> {
    /// Makes the next frame, which may be empty; `true`: it was the last one.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed.
    fn next_frame(&mut self, end: &mut E, out: &mut Output<'_>) -> Result<bool, ApiMisuse>;
}

impl<E: End, F: Frames<E>> Frames<E> for &mut F {
    fn next_frame(&mut self, end: &mut E, out: &mut Output<'_>) -> Result<bool, ApiMisuse> {
        (**self).next_frame(end, out)
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>> End for Server<P, T> {
    type Event<'a> = server::Event<'a>;
    const STREAM: Stream = Stream::ONLY;

    #[inline]
    fn receive<'a, 'i: 'a>(
        &mut self,
        bytes: &mut &'i [u8],
        memory: &'a mut [u8],
        out: &mut Output<'_>,
        leaves_refusals: bool,
    ) -> Result<Option<server::Event<'a>>, Error> {
        let event = self.next(bytes, memory);
        match &event {
            Some(server::Event::Error(error)) => return broken(*error),
            Some(server::Event::Refused(refusal)) if !leaves_refusals => {
                self.refuse(refusal, out)?;
            }
            _ => {}
        }
        Ok(event)
    }

    fn flush(&mut self, out: &mut Output<'_>) {
        Self::flush(self, out);
    }

    fn finish(&self) -> Result<(), ProtocolError> {
        Self::finish(self)
    }

    fn free(&self, memory: &[u8]) -> usize {
        self.requests().room(memory)
    }

    fn restart(&mut self, memory: &mut [u8]) {
        Self::restart(self, self.protocol(), memory);
    }

    fn idle<'a>() -> server::Event<'a> {
        server::Event::Idle
    }

    #[cfg(feature = "link")]
    fn line(event: super::LineEvent<'_>) -> server::Event<'_> {
        server::Event::Line(event)
    }
}

impl<P: Protocol, T: Requests<Memory = [u8]>> End for Client<P, T> {
    type Event<'a> = client::Event<'a>;
    const STREAM: Stream = Stream::CLIENT;

    #[inline]
    fn receive<'a, 'i: 'a>(
        &mut self,
        bytes: &mut &'i [u8],
        memory: &'a mut [u8],
        _out: &mut Output<'_>,
        _leaves_refusals: bool,
    ) -> Result<Option<client::Event<'a>>, Error> {
        let event = self.next(bytes, memory);
        if let Some(client::Event::Error {
            error,
            request_id: None,
        }) = event
        {
            return broken(error);
        }
        Ok(event)
    }

    fn flush(&mut self, _out: &mut Output<'_>) {}

    fn finish(&self) -> Result<(), ProtocolError> {
        Self::finish(self)
    }

    fn free(&self, memory: &[u8]) -> usize {
        self.requests().room(memory)
    }

    fn restart(&mut self, memory: &mut [u8]) {
        Self::restart(self, self.protocol(), memory);
    }

    fn idle<'a>() -> client::Event<'a> {
        client::Event::Idle
    }

    #[cfg(feature = "link")]
    fn line(event: super::LineEvent<'_>) -> client::Event<'_> {
        client::Event::Line(event)
    }
}
