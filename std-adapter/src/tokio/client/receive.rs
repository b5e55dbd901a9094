//! What reads a client connection.

use std::sync::Arc;

use hgrpc::wire::{FrameReader, Part, StreamId};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::exchange::{CallState, Shared};
use super::side::SideEvent;
use crate::buffer::ReceiveBuffer;
use crate::encoding::StreamDecoders;
use crate::host::calls::Event;
use crate::host::mistaken;
use crate::host::streams::Streams;
use crate::host::sync::lock;
use crate::tokio::pipe::Pushed;
use crate::tokio::{AnswerError, CallError, ConnectionError};

/// Reads until the connection ends; why it did.
pub(super) async fn run(read: &mut (impl AsyncRead + Unpin), shared: &Shared) -> ConnectionError {
    let mut receiver = Receiver {
        shared,
        streams: Streams::new(shared.limits.decoding),
    };
    match receiver.read(read).await {
        Ok(()) if shared.meter.traffic().bytes_in == 0 => ConnectionError::ClosedAtOnce,
        Ok(()) => ConnectionError::Closed,
        Err(error) => error,
    }
}

struct Receiver<'s> {
    shared: &'s Shared,
    streams: Streams,
}

impl Receiver<'_> {
    async fn read(&mut self, read: &mut (impl AsyncRead + Unpin)) -> Result<(), ConnectionError> {
        let mut frames = FrameReader::new(self.shared.limits.frame_size);
        let mut buffer = ReceiveBuffer::default();
        let mut is_first = true;
        loop {
            match read.read(buffer.unfilled()).await {
                Ok(0) => break,
                Ok(len) => {
                    buffer.filled(len);
                    self.shared.meter.bytes_in(len);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ConnectionError::reading(error)),
            }
            let mut input = buffer.bytes();
            if std::mem::take(&mut is_first)
                && let Some(protocol) = mistaken::answering(input)
            {
                return Err(ConnectionError::NotHgrpc(protocol));
            }
            let len = input.len();
            while let Some(part) = frames.next(&mut input).map_err(ConnectionError::Protocol)? {
                if part.is_first {
                    self.shared.meter.frame_in(&part.header);
                }
                self.part(&part).await?;
            }
            buffer.consume(len);
        }
        frames.finish().map_err(|_| ConnectionError::Cut {
            missing: frames.missing(),
        })
    }

    async fn part(&mut self, part: &Part<'_>) -> Result<(), ConnectionError> {
        if part.is_first {
            let verdict = lock(&self.shared.state).calls.begin_frame(&part.header)?;
            self.streams.begin(&part.header, &verdict);
        }
        match self.streams.decoder() {
            None => self.piece(part.bytes, part.is_last).await?,
            Some(stream) => {
                let mut decoders = self.streams.take();
                let result = self.decode(&mut decoders, stream, part).await;
                self.streams.put_back(decoders);
                result?;
            }
        }
        if part.is_last {
            self.streams.end();
            lock(&self.shared.state).settle(part.header.request_id());
        }
        Ok(())
    }

    async fn decode(
        &mut self,
        decoders: &mut StreamDecoders,
        stream: StreamId,
        part: &Part<'_>,
    ) -> Result<(), ConnectionError> {
        let mut decoded = decoders.decode(stream, part.bytes, part.is_last);
        while let Some(piece) = decoded.next_piece().map_err(ConnectionError::Decode)? {
            self.piece(piece, false).await?;
        }
        drop(decoded);
        if part.is_last {
            self.piece(&[], true).await?;
        }
        Ok(())
    }

    /// Handles decoded bytes. A call whose buffer is full stops the reading here; nothing is locked
    /// meanwhile.
    async fn piece(&mut self, bytes: &[u8], is_last: bool) -> Result<(), ConnectionError> {
        let event = lock(&self.shared.state).calls.handle(bytes, is_last)?;
        match event {
            Event::Nothing => {}
            Event::Data {
                call,
                len,
                is_opening,
                end,
            } => {
                if is_opening {
                    call.body.open();
                }
                let start = bytes.len().saturating_sub(len);
                deliver(self.shared, &call, bytes.get(start..).unwrap_or_default()).await;
                if let Some(end) = end {
                    call.end(end);
                }
            }
            Event::Failed(call, error) => call.end(Err(error)),
            Event::Redirect(call, status, is_end) => {
                call.head.set_redirect(status);
                call.body.open();
                if is_end {
                    call.end(Ok(()));
                }
            }
            Event::Text(call, cbor) => beside(&call, SideEvent::text(cbor)).await,
            Event::Progress(call, cbor) => beside(&call, SideEvent::progress(cbor)).await,
            Event::SetDecoder(stream, encoding) => self.streams.set_decoder(stream, encoding),
        }
        Ok(())
    }
}

async fn deliver(shared: &Shared, call: &Arc<CallState>, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if call.head.count(bytes.len()) > shared.limits.response_size {
        call.end(Err(CallError::Answer(AnswerError::TooLarge)));
        return shared.give_up(call);
    }
    match call.body.push(&mut &*bytes, shared.limits.stall).await {
        Pushed::Taken | Pushed::Closed => {}
        Pushed::Stalled => {
            call.end(Err(CallError::Answer(AnswerError::Stalled)));
            shared.give_up(call);
        }
    }
}

async fn beside(call: &CallState, event: SideEvent) {
    if let Some(side) = &call.side {
        side.push(event).await;
    }
}
