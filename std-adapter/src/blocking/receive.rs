//! The reading thread of a client connection.

use std::io::Read;
use std::sync::Arc;

use hgrpc::cbor::{Atoms, Progress};
use hgrpc::wire::{FrameReader, Part, StreamId};

use super::exchange::{CallState, Shared};
use super::pipe::Pushed;
use super::{AnswerError, CallError, ConnectionError};
use crate::buffer::{Filled, ReceiveBuffer};
use crate::encoding::StreamDecoders;
use crate::host::calls::Event;
use crate::host::mistaken;
use crate::host::streams::Streams;
use crate::host::sync::lock;

/// Reads until the connection ends, then ends every call.
pub(super) fn run(mut read: Box<dyn Read + Send>, shared: &Shared) {
    let mut receiver = Receiver {
        shared,
        streams: Streams::new(shared.limits.decoding),
    };
    let error = match receiver.read(&mut *read) {
        Ok(()) if shared.out.meter.traffic().bytes_in == 0 => ConnectionError::ClosedAtOnce,
        Ok(()) => ConnectionError::Closed,
        Err(error) => error,
    };
    shared.end(&error);
    shared.out.close(error);
}

struct Receiver<'s> {
    shared: &'s Shared,
    streams: Streams,
}

impl Receiver<'_> {
    fn read(&mut self, read: &mut dyn Read) -> Result<(), ConnectionError> {
        let mut frames = FrameReader::new(self.shared.limits.frame_size);
        let mut buffer = ReceiveBuffer::default();
        let meter = Arc::clone(&self.shared.out.meter);
        let mut is_first = true;
        loop {
            match buffer.fill_from(read) {
                Ok(Filled::Bytes(len)) => meter.bytes_in(len),
                Ok(_) => break,
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
                    meter.frame_in(&part.header);
                }
                self.part(&part)?;
            }
            buffer.consume(len);
        }
        frames.finish().map_err(|_| ConnectionError::Cut {
            missing: frames.missing(),
        })
    }

    fn part(&mut self, part: &Part<'_>) -> Result<(), ConnectionError> {
        if part.is_first {
            let verdict = lock(&self.shared.state).begin_frame(&part.header)?;
            self.streams.begin(&part.header, &verdict);
        }
        match self.streams.decoder() {
            None => self.piece(part.bytes, part.is_last)?,
            Some(stream) => {
                let mut decoders = self.streams.take();
                let result = self.decode(&mut decoders, stream, part);
                self.streams.put_back(decoders);
                result?;
            }
        }
        if part.is_last {
            self.streams.end();
        }
        Ok(())
    }

    fn decode(
        &mut self,
        decoders: &mut StreamDecoders,
        stream: StreamId,
        part: &Part<'_>,
    ) -> Result<(), ConnectionError> {
        let mut decoded = decoders.decode(stream, part.bytes, part.is_last);
        while let Some(piece) = decoded.next_piece().map_err(ConnectionError::Decode)? {
            self.piece(piece, false)?;
        }
        drop(decoded);
        if part.is_last {
            self.piece(&[], true)?;
        }
        Ok(())
    }

    /// Handles decoded bytes. A call whose buffer is full stops the reading here; nothing is locked
    /// meanwhile.
    fn piece(&mut self, bytes: &[u8], is_last: bool) -> Result<(), ConnectionError> {
        let event = lock(&self.shared.state).handle(bytes, is_last)?;
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
                self.deliver(&call, bytes.get(start..).unwrap_or_default());
                if let Some(end) = end {
                    call.body.end(end);
                }
            }
            Event::Failed(call, error) => call.body.end(Err(error)),
            Event::Redirect(call, status, is_end) => {
                call.head.set_redirect(status);
                call.body.open();
                if is_end {
                    call.body.end(Ok(()));
                }
            }
            Event::Text(call, cbor) => {
                if let (Some(show), Ok(atoms)) = (&mut *lock(&call.on_text), Atoms::decode(&cbor)) {
                    show(&atoms);
                }
            }
            Event::Progress(call, cbor) => {
                if let (Some(show), Ok(progress)) =
                    (&mut *lock(&call.on_progress), Progress::decode(&cbor))
                {
                    show(&progress);
                }
            }
            Event::SetDecoder(stream, encoding) => self.streams.set_decoder(stream, encoding),
        }
        Ok(())
    }

    fn deliver(&self, call: &Arc<CallState>, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if call.head.count(bytes.len()) > self.shared.limits.response_size {
            call.body.end(Err(CallError::Answer(AnswerError::TooLarge)));
            return self.give_up(call);
        }
        if call.body.push(bytes, self.shared.limits.stall) == Pushed::Stalled {
            call.body.end(Err(CallError::Answer(AnswerError::Stalled)));
            self.give_up(call);
        }
    }

    /// Swallows what still comes of a call.
    fn give_up(&self, call: &CallState) {
        if let Some(id) = call.head.id() {
            lock(&self.shared.state).give_up(id);
        }
    }
}
