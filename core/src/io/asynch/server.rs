//! A server, its memory and its two halves in one.

use embedded_io_async::{Read, ReadReady, Write};

use super::super::output;
use super::{NextError, Receiver, SendError, Sender};
use crate::cbor::{Atom, Progress};
use crate::server::{
    Answer, Body, Failure, Output, OutputStream, Push, Rejection, RejectionAnswer, Responder,
    ResponseWriter, Server, ServerAction, ServerConfig, SideFrame,
};
use crate::store::{FixedArena, FixedTable, Table};
use crate::wire::{OutFrame, RequestId};
use crate::{ApiMisuse, Protocol, Revision};

/// A server on one connection, in fixed memory; as
/// [`blocking::ServerConnection`](crate::io::blocking::ServerConnection), but that `OUT` limits the
/// frames that are sent, see [the module](super).
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ServerConnection<
    R,
    W,
    const REQUESTS: usize,
    const BYTES: usize,
    const IN: usize = 64,
    const OUT: usize = 128,
    P: Protocol = Revision,
> {
    receiver: Receiver<R, IN>,
    arena: FixedArena<REQUESTS, BYTES>,
    replies: Replies<W, REQUESTS, OUT, P>,
}

/// The half of a [`ServerConnection`] that answers.
///
/// What it is told to send has been taken when a method returns, and goes out with what follows, at
/// the latest before anything is read. Each method says what dropping its future means.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Replies<W, const REQUESTS: usize, const OUT: usize, P: Protocol = Revision> {
    server: Server<P>,
    table: FixedTable<REQUESTS>,
    /// Opened with the first answer: then the peer's settings are known.
    stream: Option<OutputStream>,
    sender: Sender<W, OUT>,
}

/// The halves of `Replies` that an answer needs.
type Parts<'r, W, const REQUESTS: usize, const OUT: usize, P> =
    (Output<'r, FixedTable<REQUESTS>, P>, &'r mut Sender<W, OUT>);

/// An action, and the half that answers it.
type Event<'c, W, const REQUESTS: usize, const OUT: usize, P> =
    (ServerAction<'c>, &'c mut Replies<W, REQUESTS, OUT, P>);

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::server::Answer<'_> {}
    impl Sealed for crate::server::RejectionAnswer {}
}

/// An answer as a source of frames: an [`Answer`], a [`RejectionAnswer`].
pub trait Frames: sealed::Sealed {
    /// Whether the last frame has been taken.
    fn is_ended(&self) -> bool;

    /// Takes the next frame; `None` when all were taken.
    ///
    /// # Errors
    /// [`ApiMisuse`]; nothing changed.
    fn next_frame<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
    ) -> Result<Option<OutFrame<'_>>, ApiMisuse>;
}

impl Frames for Answer<'_> {
    fn is_ended(&self) -> bool {
        Self::is_ended(self)
    }

    fn next_frame<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
    ) -> Result<Option<OutFrame<'_>>, ApiMisuse> {
        // No scratch memory: another answer may come in between.
        Self::next_frame(self, out, &mut [])
    }
}

impl Frames for RejectionAnswer {
    fn is_ended(&self) -> bool {
        Self::is_ended(self)
    }

    fn next_frame<T: Table + ?Sized, P: Protocol>(
        &mut self,
        out: &mut Output<'_, T, P>,
    ) -> Result<Option<OutFrame<'_>>, ApiMisuse> {
        Self::next_frame(self, out)
    }
}

impl<
    R,
    W,
    const REQUESTS: usize,
    const BYTES: usize,
    const IN: usize,
    const OUT: usize,
    P: Protocol,
> ServerConnection<R, W, REQUESTS, BYTES, IN, OUT, P>
{
    /// A server at the start of a connection. Of `config`, `send_frame_size` is at most `OUT` − 8,
    /// whatever it says.
    pub const fn new(input: R, output: W, protocol: P, config: ServerConfig) -> Self {
        let config = ServerConfig {
            send_frame_size: Sender::<W, OUT>::at_most(config.send_frame_size),
            ..config
        };
        Self {
            receiver: Receiver::new(input, config.limits.max_frame_size),
            arena: FixedArena::new(),
            replies: Replies {
                server: Server::new(protocol, config),
                table: FixedTable::new(),
                stream: None,
                sender: Sender::new(output),
            },
        }
    }

    /// Bytes of memory that the connection takes, the halves included. (Futures hold references to
    /// it, and a frame at most.)
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// The half that answers, for answers between actions.
    pub const fn replies(&mut self) -> &mut Replies<W, REQUESTS, OUT, P> {
        &mut self.replies
    }

    /// Frames that have come, as [`Receiver::frames`](super::Receiver::frames) counts them.
    pub const fn frames(&self) -> u32 {
        self.receiver.frames()
    }

    /// The reactor.
    pub const fn server(&self) -> &Server<P> {
        &self.replies.server
    }

    /// The requests that are partly received, in opening order; at the end of input these are the
    /// ones that are never run.
    pub fn receiving(&self) -> impl Iterator<Item = RequestId> {
        self.replies.server.receiving(&self.replies.table)
    }

    /// Bytes of `BYTES` that are held now; as
    /// [`blocking::ServerConnection::held`](crate::io::blocking::ServerConnection::held).
    pub fn held(&self) -> usize {
        self.arena.held()
    }
}

impl<
    R: Read,
    W: Write,
    const REQUESTS: usize,
    const BYTES: usize,
    const IN: usize,
    const OUT: usize,
    P: Protocol,
> ServerConnection<R, W, REQUESTS, BYTES, IN, OUT, P>
{
    /// Sends what was taken, waits for input, and gives the next action with the half that answers
    /// it; as [the blocking one][blocking].
    ///
    /// [blocking]: crate::io::blocking::ServerConnection::next_action
    ///
    /// May be dropped at any time: it has then given no action, and the next call goes on.
    ///
    /// # Errors
    /// After an I/O error the next call goes on. After the peer broke the protocol, requests that
    /// were accepted may still be answered, through [`replies`](Self::replies).
    pub async fn next_action(
        &mut self,
    ) -> Result<Option<Event<'_, W, REQUESTS, OUT, P>>, NextError<R::Error, W::Error>> {
        self.replies.flush().await.map_err(NextError::Send)?;
        let part = self.receiver.next_part().await;
        // From here on nothing waits.
        let Some(part) = part.map_err(NextError::Receive)? else {
            return Ok(None);
        };
        let Replies { server, table, .. } = &mut self.replies;
        let action = server
            .handle(part, table, &mut self.arena)
            .map_err(NextError::Peer)?;
        Ok(Some((action, &mut self.replies)))
    }

    /// Whether [`next_action`](Self::next_action) has something to read without waiting: to be
    /// asked between the pieces of a long response.
    ///
    /// # Errors
    /// Those of the read half.
    pub fn is_ready(&mut self) -> Result<bool, R::Error>
    where
        R: ReadReady,
    {
        self.receiver.is_ready()
    }
}

impl<W, const REQUESTS: usize, const OUT: usize, P: Protocol> Replies<W, REQUESTS, OUT, P> {
    /// The reactor.
    pub const fn server(&self) -> &Server<P> {
        &self.server
    }

    /// The requests that were handed out and are not answered to the end, in opening order.
    pub fn active(&self) -> impl Iterator<Item = RequestId> {
        self.server.active(&self.table)
    }

    /// Takes an active request away from whoever holds its responder, or has lost it with a future;
    /// see [`Server::take_over`].
    pub fn take_over(&mut self, id: RequestId) -> Option<Responder> {
        self.server.take_over(&mut self.table, id)
    }

    /// An answer with a body that is known as a whole, to be sent with [`send`](Self::send).
    ///
    /// # Errors
    /// As for [`Server::respond`].
    pub fn answer<'a>(
        &self,
        responder: Responder,
        body: Body<'a>,
    ) -> Result<Answer<'a>, ApiMisuse> {
        self.server.respond(&self.table, responder, body)
    }

    /// The answer to a refused request, to be sent with [`send`](Self::send).
    pub const fn rejection(&self, rejection: Rejection) -> RejectionAnswer {
        self.server.reject(rejection)
    }

    /// Begins a response that is written as it comes. Any number may be open at once.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: answered already, or the responder is of another server.
    pub fn begin(&self, responder: Responder) -> Result<ResponseWriter, ApiMisuse> {
        self.server.begin_response(&self.table, responder)
    }

    fn parts(&mut self) -> Result<Parts<'_, W, REQUESTS, OUT, P>, ApiMisuse> {
        let out = output(&mut self.server, &mut self.table, &mut self.stream)?;
        Ok((out, &mut self.sender))
    }
}

impl<W: Write, const REQUESTS: usize, const OUT: usize, P: Protocol> Replies<W, REQUESTS, OUT, P> {
    /// Sends all frames of an [answer](Self::answer) or a [rejection](Self::rejection).
    ///
    /// May be dropped at any time: call it again with the same answer to go on. Other answers, text
    /// and progress may come in between.
    ///
    /// # Errors
    /// [`SendError`]. After an I/O error it can be called again.
    pub async fn send<A: Frames>(&mut self, answer: &mut A) -> Result<(), SendError<W::Error>> {
        while !answer.is_ended() {
            self.sender.ready().await?;
            let (mut out, sender) = self.parts()?;
            let Some(frame) = answer.next_frame(&mut out)? else {
                break;
            };
            sender.put(&frame)?;
        }
        Ok(())
    }

    /// Answers a request with a body that is known as a whole: [`answer`](Self::answer), and
    /// [`send`](Self::send). If it is dropped before its end, so is the answer.
    ///
    /// # Errors
    /// [`SendError`]; as for [`Server::respond`].
    pub async fn respond(
        &mut self,
        responder: Responder,
        body: Body<'_>,
    ) -> Result<(), SendError<W::Error>> {
        let mut answer = self.answer(responder, body)?;
        self.send(&mut answer).await
    }

    /// Answers a refused request: an error response that names the limit. If it is dropped before
    /// its end, so is the answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn reject(&mut self, rejection: Rejection) -> Result<(), SendError<W::Error>> {
        let mut answer = self.rejection(rejection);
        self.send(&mut answer).await
    }

    /// Writes a piece of a response; each is a frame of its own, or several. In 0006 the pieces
    /// together are a CBOR sequence; they may be cut anywhere.
    ///
    /// May be dropped at any time: call it again with the same piece to go on.
    ///
    /// # Errors
    /// [`SendError`]; as for [`ResponseWriter::push`].
    pub async fn write(
        &mut self,
        writer: &mut ResponseWriter,
        piece: &[u8],
    ) -> Result<(), SendError<W::Error>> {
        loop {
            self.sender.ready().await?;
            let (mut out, sender) = self.parts()?;
            match writer.push(&mut out, &mut [], piece)? {
                Push::Taken => return Ok(()),
                Push::Frame(frame) => sender.put(&frame)?,
            }
        }
    }

    /// Ends a response.
    ///
    /// May be dropped at any time: call it again to go on.
    ///
    /// # Errors
    /// [`SendError`]; as for [`ResponseWriter::finish`].
    pub async fn finish(&mut self, writer: &mut ResponseWriter) -> Result<(), SendError<W::Error>> {
        loop {
            self.sender.ready().await?;
            let (mut out, sender) = self.parts()?;
            match writer.finish(&mut out, &[])? {
                None => return Ok(()),
                Some(frame) => sender.put(&frame)?,
            }
        }
    }

    /// Ends a response because its command failed.
    ///
    /// May be dropped at any time: call it again to go on.
    ///
    /// # Errors
    /// [`SendError`]; as for [`ResponseWriter::fail`].
    pub async fn fail(
        &mut self,
        writer: &mut ResponseWriter,
        failure: &mut Failure<'_>,
    ) -> Result<(), SendError<W::Error>> {
        loop {
            self.sender.ready().await?;
            let (mut out, sender) = self.parts()?;
            match writer.fail(&mut out, &[], &[], failure)? {
                None => return Ok(()),
                Some(frame) => sender.put(&frame)?,
            }
        }
    }

    /// Sends text for people beside a response. It has to fit a frame.
    ///
    /// May be dropped at any time: it is then not sent.
    ///
    /// # Errors
    /// [`SendError`]; as for [`Server::text_output`].
    pub async fn text_output(
        &mut self,
        responder: &Responder,
        atoms: &[Atom<'_>],
    ) -> Result<(), SendError<W::Error>> {
        self.sender.ready().await?;
        Ok(self.side(|server, room| server.text_output(responder, atoms, room))?)
    }

    /// Sends one update of one operation beside a response. It has to fit a frame.
    ///
    /// May be dropped at any time: it is then not sent.
    ///
    /// # Errors
    /// [`SendError`]; as for [`Server::progress`].
    pub async fn progress(
        &mut self,
        responder: &Responder,
        progress: &Progress<'_>,
    ) -> Result<(), SendError<W::Error>> {
        self.sender.ready().await?;
        Ok(self.side(|server, room| server.progress(responder, progress, room))?)
    }

    /// Has a frame made in the empty output buffer.
    fn side<F>(&mut self, make: F) -> Result<(), ApiMisuse>
    where
        F: for<'b> FnOnce(&Server<P>, &'b mut [u8]) -> Result<SideFrame<'b>, ApiMisuse>,
    {
        let (server, table, stream) = (&mut self.server, &mut self.table, &mut self.stream);
        self.sender.put_with(|room| {
            let mut side = make(server, room)?;
            let frame = side.next_frame(&mut output(server, table, stream)?)?;
            Ok(frame.map(|frame| *frame.header()))
        })
    }

    /// Sends what was taken. Needed only where no action is asked for next.
    ///
    /// May be dropped at any time.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn flush(&mut self) -> Result<(), SendError<W::Error>> {
        self.sender.flush().await
    }
}
