//! A client, its memory and its two halves in one.

use embedded_io_async::{Read, ReadReady, Write};

use super::{NextError, Receiver, SendError, Sender};
use crate::cbor::EncodingSet;
use crate::client::{Call, CallData, Client, ClientAction, ClientConfig, ClientError, Request};
use crate::store::{FixedArena, FixedTable};
use crate::wire::RequestId;
use crate::{ApiMisuse, Protocol, Revision};

/// A client on one connection, in fixed memory; as
/// [`blocking::ClientConnection`](crate::io::blocking::ClientConnection), but that `OUT` limits the
/// frames that are sent, see [the module](super).
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ClientConnection<
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
    calls: Calls<W, REQUESTS, OUT, P>,
}

/// The half of a [`ClientConnection`] that calls.
///
/// What it is told to send has been taken when a method returns, and goes out with what follows, at
/// the latest before anything is read. Each method says what dropping its future means.
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
    /// `decoders` are those of [this type](Self), whatever they say, and `send_frame_size` is at
    /// most `OUT` − 8.
    pub const fn new(input: R, output: W, protocol: P, config: ClientConfig) -> Self {
        let config = ClientConfig {
            multiple_sends: true,
            buffer_sends: false,
            decoders: EncodingSet::IDENTITY,
            send_frame_size: Sender::<W, OUT>::at_most(config.send_frame_size),
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

    /// Bytes of memory that the connection takes, the halves included. (Futures hold references to
    /// it, and a frame at most.)
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
    /// Sends what was taken, waits for input, and gives the next action with the half that calls;
    /// as [the blocking one][blocking].
    ///
    /// [blocking]: crate::io::blocking::ClientConnection::next_action
    ///
    /// May be dropped at any time: it has then given no action, and the next call goes on.
    ///
    /// # Errors
    /// After an I/O error the next call goes on. An error of the peer's that names a request has
    /// failed that request alone.
    pub async fn next_action(
        &mut self,
    ) -> Result<Option<Event<'_, W, REQUESTS, OUT, P>>, NextError<R::Error, W::Error, ClientError>>
    {
        self.calls.flush().await.map_err(NextError::Send)?;
        let part = self.receiver.next_part().await;
        // From here on nothing waits.
        let Some(part) = part.map_err(NextError::Receive)? else {
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

    /// Begins a call, to be sent with [`send`](Self::send).
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub fn begin<'a>(&mut self, request: Request<'a>) -> Result<Call<'a>, ApiMisuse> {
        self.client
            .call(&mut self.table, request)
            .map(|(call, _)| call)
    }
}

impl<W: Write, const REQUESTS: usize, const OUT: usize, P: Protocol> Calls<W, REQUESTS, OUT, P> {
    /// Sends all that is known of a [call](Self::begin). Data that is streamed goes to
    /// [`send_data`](Self::send_data) then, as long as the call [wants data](Call::wants_data).
    ///
    /// May be dropped at any time: call it again with the same call to go on. Other calls may come
    /// in between.
    ///
    /// # Errors
    /// [`SendError`]. After an I/O error it can be called again.
    pub async fn send(&mut self, call: &mut Call<'_>) -> Result<(), SendError<W::Error>> {
        while !call.is_ended() {
            self.sender.ready().await?;
            let mut out = self.client.output(&mut self.table);
            let Some(frame) = call.next_frame(&mut out) else {
                break;
            };
            self.sender.put(&frame)?;
        }
        Ok(())
    }

    /// Calls a command whose data, if it has any, is known as a whole: [`begin`](Self::begin), and
    /// [`send`](Self::send). If it is dropped before its end, so is the call.
    ///
    /// # Errors
    /// [`SendError`]; as for [`Client::call`]. [`ApiMisuse::OutOfOrder`]: the data is to be
    /// streamed.
    pub async fn call(&mut self, request: Request<'_>) -> Result<RequestId, SendError<W::Error>> {
        if matches!(request.data, CallData::Stream) {
            return Err(ApiMisuse::OutOfOrder.into());
        }
        let mut call = self.begin(request)?;
        self.send(&mut call).await?;
        Ok(call.request_id())
    }

    /// Sends bytes of a call's data, in frames of at most `send_frame_size`; `is_last` with the
    /// last ones, which may be none. `false`: the call takes no more data, because it was the last
    /// or because the request has ended; the rest is not wanted.
    ///
    /// `bytes` is advanced past what was taken. May be dropped at any time: call it again with what
    /// is left of them to go on.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_data(
        &mut self,
        call: &mut Call<'_>,
        bytes: &mut &[u8],
        is_last: bool,
    ) -> Result<bool, SendError<W::Error>> {
        let size = self.client.frame_size();
        while call.wants_data() && (is_last || !bytes.is_empty()) {
            self.sender.ready().await?;
            let (piece, rest) = bytes.split_at_checked(size).unwrap_or((bytes, &[]));
            let mut out = self.client.output(&mut self.table);
            let frame = call.data_frame(&mut out, piece, is_last && rest.is_empty())?;
            if let Some(frame) = frame {
                self.sender.put(&frame)?;
            }
            *bytes = rest;
        }
        Ok(call.wants_data())
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
