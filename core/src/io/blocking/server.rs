//! A server, its memory and its two halves in one.

use embedded_io::{Read, ReadReady, Write};

use super::super::output;
use super::{NextError, Receiver, SendError, Sender};
use crate::cbor::{Atom, Progress};
use crate::server::{
    Body, Failure, Output, OutputStream, Push, Rejection, Responder, ResponseWriter, Server,
    ServerAction, ServerConfig,
};
use crate::store::{FixedArena, FixedTable};
use crate::wire::RequestId;
use crate::{ApiMisuse, Protocol, Revision};

/// A server on one connection, in fixed memory: at most `REQUESTS` requests at once, which share
/// `BYTES` bytes for what has to be gathered; an input buffer of `IN` bytes (at least 8) and an
/// output buffer of `OUT`.
///
/// ```text
///   while let Some((action, replies)) = connection.next_action()? {
///       match action { RunCommand(command) => replies.respond(command.responder, …)?, … }
///   }
/// ```
/// See [the module](super) for a whole program, and server.md for what a server does.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ServerConnection<
    R,
    W,
    const REQUESTS: usize,
    const BYTES: usize,
    const IN: usize = 64,
    const OUT: usize = 64,
    P: Protocol = Revision,
> {
    receiver: Receiver<R, IN>,
    arena: FixedArena<REQUESTS, BYTES>,
    replies: Replies<W, REQUESTS, OUT, P>,
}

/// The half of a [`ServerConnection`] that answers.
///
/// What it is told to send is on its way when a method returns, or joined with what follows; it
/// goes out at the latest before anything is read. Each method sends everything before it returns.
/// After an I/O error (an interruption is not one) a frame may be cut: the connection is over.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Replies<W, const REQUESTS: usize, const OUT: usize, P: Protocol = Revision> {
    server: Server<P>,
    table: FixedTable<REQUESTS>,
    /// Opened with the first answer: then the peer's settings are known.
    stream: Option<OutputStream>,
    sender: Sender<W, OUT>,
    /// Small pieces of one response are joined here, and text output and progress are encoded.
    scratch: [u8; OUT],
}

/// The halves of `Replies` that an answer needs.
type Parts<'r, W, const REQUESTS: usize, const OUT: usize, P> = (
    Output<'r, FixedTable<REQUESTS>, P>,
    &'r mut Sender<W, OUT>,
    &'r mut [u8; OUT],
);

/// An action, and the half that answers it.
type Event<'c, W, const REQUESTS: usize, const OUT: usize, P> =
    (ServerAction<'c>, &'c mut Replies<W, REQUESTS, OUT, P>);

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
    /// A server at the start of a connection.
    pub const fn new(input: R, output: W, protocol: P, config: ServerConfig) -> Self {
        Self {
            receiver: Receiver::new(input, config.limits.max_frame_size),
            arena: FixedArena::new(),
            replies: Replies {
                server: Server::new(protocol, config),
                table: FixedTable::new(),
                stream: None,
                sender: Sender::new(output),
                scratch: [0; OUT],
            },
        }
    }

    /// Bytes of memory that the connection takes, the halves included.
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

    /// Bytes of `BYTES` that are held now, for a high-water mark: asked after each action it misses
    /// nothing, since what an action has borrowed is held until the next one.
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
    /// Sends what is joined, waits for input, and gives the next action with the half that answers
    /// it. `None`: the input has ended.
    ///
    /// Every part of a frame gives an action; [`ServerAction::WantFrame`] and
    /// [`ServerAction::Noop`] ask for nothing. Work, beside waiting, is that of one part: see
    /// [`Server::handle`].
    ///
    /// # Errors
    /// After an I/O error of the read half the next call goes on. After the peer broke the
    /// protocol, requests that were accepted may still be answered, through
    /// [`replies`](Self::replies).
    #[expect(
        clippy::type_complexity,
        reason = "the pair of a named type and its error"
    )]
    pub fn next_action(
        &mut self,
    ) -> Result<Option<Event<'_, W, REQUESTS, OUT, P>>, NextError<R::Error, W::Error>> {
        self.replies.flush().map_err(NextError::Send)?;
        let Some(part) = self.receiver.next_part().map_err(NextError::Receive)? else {
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

    /// Takes an active request away from whoever holds its responder; see [`Server::take_over`].
    pub fn take_over(&mut self, id: RequestId) -> Option<Responder> {
        self.server.take_over(&mut self.table, id)
    }

    fn parts(&mut self) -> Result<Parts<'_, W, REQUESTS, OUT, P>, ApiMisuse> {
        let out = output(&mut self.server, &mut self.table, &mut self.stream)?;
        Ok((out, &mut self.sender, &mut self.scratch))
    }

    /// Begins a response that is written as it comes. Any number may be open at once.
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: answered already, or the responder is of another server.
    pub fn begin(&self, responder: Responder) -> Result<ResponseWriter, ApiMisuse> {
        self.server.begin_response(&self.table, responder)
    }
}

impl<W: Write, const REQUESTS: usize, const OUT: usize, P: Protocol> Replies<W, REQUESTS, OUT, P> {
    /// Answers a request with a body that is known as a whole.
    ///
    /// # Errors
    /// [`SendError`]; as for [`Server::respond`].
    pub fn respond(
        &mut self,
        responder: Responder,
        body: Body<'_>,
    ) -> Result<(), SendError<W::Error>> {
        let mut answer = self.server.respond(&self.table, responder, body)?;
        let (mut out, sender, scratch) = self.parts()?;
        while let Some(frame) = answer.next_frame(&mut out, scratch)? {
            sender.send_all(&frame)?;
        }
        Ok(())
    }

    /// Answers a refused request: an error response that names the limit.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn reject(&mut self, rejection: Rejection) -> Result<(), SendError<W::Error>> {
        let mut answer = self.server.reject(rejection);
        let (mut out, sender, _) = self.parts()?;
        while let Some(frame) = answer.next_frame(&mut out)? {
            sender.send_all(&frame)?;
        }
        Ok(())
    }

    /// Writes a piece of a response; each is a frame of its own, or several. In 0006 the pieces
    /// together are a CBOR sequence; they may be cut anywhere.
    ///
    /// # Errors
    /// [`SendError`]; as for [`ResponseWriter::push`].
    pub fn write(
        &mut self,
        writer: &mut ResponseWriter,
        piece: &[u8],
    ) -> Result<(), SendError<W::Error>> {
        let (mut out, sender, _) = self.parts()?;
        // No scratch memory: several responses may be open, and it cannot be shared.
        while let Push::Frame(frame) = writer.push(&mut out, &mut [], piece)? {
            sender.send_all(&frame)?;
        }
        Ok(())
    }

    /// Ends a response.
    ///
    /// # Errors
    /// [`SendError`]; as for [`ResponseWriter::finish`].
    pub fn finish(&mut self, mut writer: ResponseWriter) -> Result<(), SendError<W::Error>> {
        let (mut out, sender, _) = self.parts()?;
        while let Some(frame) = writer.finish(&mut out, &[])? {
            sender.send_all(&frame)?;
        }
        Ok(())
    }

    /// Ends a response because its command failed.
    ///
    /// # Errors
    /// [`SendError`]; as for [`ResponseWriter::fail`].
    pub fn fail(
        &mut self,
        mut writer: ResponseWriter,
        mut failure: Failure<'_>,
    ) -> Result<(), SendError<W::Error>> {
        let (mut out, sender, _) = self.parts()?;
        while let Some(frame) = writer.fail(&mut out, &[], &[], &mut failure)? {
            sender.send_all(&frame)?;
        }
        Ok(())
    }

    /// Sends text for people beside a response. It is encoded in memory of `OUT` bytes.
    ///
    /// # Errors
    /// [`SendError`]; as for [`Server::text_output`].
    pub fn text_output(
        &mut self,
        responder: &Responder,
        atoms: &[Atom<'_>],
    ) -> Result<(), SendError<W::Error>> {
        let (server, sender) = (&mut self.server, &mut self.sender);
        let mut text = server.text_output(responder, atoms, &mut self.scratch)?;
        let mut out = output(server, &mut self.table, &mut self.stream)?;
        while let Some(frame) = text.next_frame(&mut out)? {
            sender.send_all(&frame)?;
        }
        Ok(())
    }

    /// Sends one update of one operation beside a response. It is encoded in memory of `OUT` bytes.
    ///
    /// # Errors
    /// [`SendError`]; as for [`Server::progress`].
    pub fn progress(
        &mut self,
        responder: &Responder,
        progress: &Progress<'_>,
    ) -> Result<(), SendError<W::Error>> {
        let (server, sender) = (&mut self.server, &mut self.sender);
        let mut update = server.progress(responder, progress, &mut self.scratch)?;
        let mut out = output(server, &mut self.table, &mut self.stream)?;
        while let Some(frame) = update.next_frame(&mut out)? {
            sender.send_all(&frame)?;
        }
        Ok(())
    }

    /// Sends what is joined. Needed only where no action is asked for next.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn flush(&mut self) -> Result<(), SendError<W::Error>> {
        self.sender.flush_all()
    }
}
