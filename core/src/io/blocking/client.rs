//! A client, its memory and its two halves in one.

use embedded_io::{Read, ReadReady, Write};

use super::{NextError, Receiver, SendError, Sender};
use crate::cbor::EncodingSet;
use crate::client::{
    Call, CallData, Client, ClientAction, ClientConfig, ClientError, ClientOutput, Request,
};
use crate::store::{FixedArena, FixedTable};
use crate::wire::RequestId;
use crate::{ApiMisuse, Protocol, Revision};

/// A client on one connection, in fixed memory: at most `REQUESTS` requests at once, which share
/// `BYTES` bytes for what has to be gathered (status maps, settings and messages that come in
/// several parts); an input buffer of `IN` bytes (at least 8) and an output buffer of `OUT`.
///
/// Calls go out at once, any number of them; nothing is decoded but `identity`.
/// See [the module](super) for how actions are taken, and client.md for what a client does.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClientConnection<
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
    calls: Calls<W, REQUESTS, OUT, P>,
}

/// The half of a [`ClientConnection`] that calls.
///
/// What it is told to send is on its way when a method returns, or joined with what follows; it
/// goes out at the latest before anything is read. After an I/O error (an interruption is not one)
/// a frame may be cut: the connection is over.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Calls<W, const REQUESTS: usize, const OUT: usize, P: Protocol = Revision> {
    client: Client<P>,
    table: FixedTable<REQUESTS>,
    sender: Sender<W, OUT>,
}

/// An action, and the half that calls.
type Event<'c, W, const REQUESTS: usize, const OUT: usize, P> =
    (ClientAction<'c>, &'c mut Calls<W, REQUESTS, OUT, P>);

impl<
    R,
    W,
    const REQUESTS: usize,
    const BYTES: usize,
    const IN: usize,
    const OUT: usize,
    P: Protocol,
> ClientConnection<R, W, REQUESTS, BYTES, IN, OUT, P>
{
    /// A client at the start of a connection. Of `config`, `multiple_sends`, `buffer_sends` and
    /// `decoders` are those of [this type](Self), whatever they say.
    pub const fn new(input: R, output: W, protocol: P, config: ClientConfig) -> Self {
        let config = ClientConfig {
            multiple_sends: true,
            buffer_sends: false,
            decoders: EncodingSet::IDENTITY,
            ..config
        };
        Self {
            receiver: Receiver::new(input, config.max_frame_size),
            arena: FixedArena::new(),
            calls: Calls {
                client: Client::new(protocol, config),
                table: FixedTable::new(),
                sender: Sender::new(output),
            },
        }
    }

    /// Bytes of memory that the connection takes, the halves included.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// The half that calls, for calls between actions.
    pub const fn calls(&mut self) -> &mut Calls<W, REQUESTS, OUT, P> {
        &mut self.calls
    }

    /// Frames that have come, as [`Receiver::frames`](super::Receiver::frames) counts them.
    pub const fn frames(&self) -> u32 {
        self.receiver.frames()
    }

    /// The reactor.
    pub const fn client(&self) -> &Client<P> {
        &self.calls.client
    }

    /// Gives up on a request; see [`Client::cancel`]. A call whose data is streamed is to be ended
    /// with [`Calls::send_data`].
    ///
    /// # Errors
    /// [`ApiMisuse::RequestNotActive`]: it has ended, or never was.
    pub fn cancel(&mut self, id: RequestId) -> Result<(), ApiMisuse> {
        let Calls { client, table, .. } = &mut self.calls;
        client.cancel(table, &mut self.arena, id)
    }

    /// After the end of input: takes the requests that will never be answered, one by one.
    pub fn take_unanswered(&mut self) -> Option<RequestId> {
        let Calls { client, table, .. } = &mut self.calls;
        client.handle_eof(table)
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
> ClientConnection<R, W, REQUESTS, BYTES, IN, OUT, P>
{
    /// Sends what is joined, waits for input, and gives the next action with the half that calls.
    /// `None`: the input has ended.
    ///
    /// Every part of a frame gives an action; [`ClientAction::Noop`] asks for nothing. Work, beside
    /// waiting, is that of one part: see [`Client::handle`].
    ///
    /// # Errors
    /// After an I/O error of the read half the next call goes on. An error of the peer's that names
    /// a request has failed that request alone.
    #[expect(
        clippy::type_complexity,
        reason = "the pair of a named type and its error"
    )]
    pub fn next_action(
        &mut self,
    ) -> Result<Option<Event<'_, W, REQUESTS, OUT, P>>, NextError<R::Error, W::Error, ClientError>>
    {
        self.calls.flush().map_err(NextError::Send)?;
        let Some(part) = self.receiver.next_part().map_err(NextError::Receive)? else {
            return Ok(None);
        };
        let Calls { client, table, .. } = &mut self.calls;
        let action = client
            .handle(part, table, &mut self.arena)
            .map_err(NextError::Peer)?;
        Ok(Some((action, &mut self.calls)))
    }

    /// Whether [`next_action`](Self::next_action) has something to read without waiting: to be
    /// asked between the pieces of a long upload.
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

impl<W, const REQUESTS: usize, const OUT: usize, P: Protocol> Calls<W, REQUESTS, OUT, P> {
    /// The reactor.
    pub const fn client(&self) -> &Client<P> {
        &self.client
    }

    /// The requests whose response has not ended, in the order of the calls.
    pub fn active(&self) -> impl Iterator<Item = RequestId> {
        self.client.active(&self.table)
    }
}

impl<W: Write, const REQUESTS: usize, const OUT: usize, P: Protocol> Calls<W, REQUESTS, OUT, P> {
    /// Calls a command whose data, if it has any, is known as a whole.
    ///
    /// # Errors
    /// [`SendError`]; as for [`Client::call`]. [`ApiMisuse::OutOfOrder`]: the data is to be
    /// streamed; [`open`](Self::open) it.
    pub fn call(&mut self, request: Request<'_>) -> Result<RequestId, SendError<W::Error>> {
        if matches!(request.data, CallData::Stream) {
            return Err(ApiMisuse::OutOfOrder.into());
        }
        self.open(request).map(|call| call.request_id())
    }

    /// Calls a command and sends all that is known of it. Data that is streamed goes to
    /// [`send_data`](Self::send_data) with the call that is returned, as long as it
    /// [wants data](Call::wants_data).
    ///
    /// # Errors
    /// [`SendError`]; as for [`Client::call`].
    pub fn open<'a>(&mut self, request: Request<'a>) -> Result<Call<'a>, SendError<W::Error>> {
        let (mut call, _) = self.client.call(&mut self.table, request)?;
        let mut out = self.client.output(&mut self.table);
        while let Some(frame) = call.next_frame(&mut out) {
            self.sender.send_all(&frame)?;
        }
        Ok(call)
    }

    /// Sends bytes of a call's data, in frames of at most `send_frame_size`; `is_last` with the
    /// last ones, which may be none. `false`: the call takes no more data, because it was the last
    /// or because the request has ended; the rest is not wanted.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send_data(
        &mut self,
        call: &mut Call<'_>,
        mut bytes: &[u8],
        is_last: bool,
    ) -> Result<bool, SendError<W::Error>> {
        let size = self.client.frame_size();
        let mut out: ClientOutput<'_, _, _> = self.client.output(&mut self.table);
        while call.wants_data() {
            let (piece, rest) = bytes.split_at_checked(size).unwrap_or((bytes, &[]));
            let ends = rest.is_empty();
            if let Some(frame) = call.data_frame(&mut out, piece, is_last && ends)? {
                self.sender.send_all(&frame)?;
            }
            bytes = rest;
            if ends {
                break;
            }
        }
        Ok(call.wants_data())
    }

    /// Sends what is joined. Needed only where no action is asked for next.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn flush(&mut self) -> Result<(), SendError<W::Error>> {
        self.sender.flush_all()
    }
}
