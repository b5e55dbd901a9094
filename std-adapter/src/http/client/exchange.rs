//! The answer to one request: frames are read only as they are asked for.
//!
//! ```text
//!   body ─▶ ReceiveBuffer ─▶ one part of a frame ─▶ decoder ─▶ reactor ─▶ slot of its response
//!                             at most 64 KiB; of encoded frames 128 bytes at a time
//! ```
//! So at most one step's worth of bytes waits in a slot whose response is being read; what waits in
//! the others is limited.

use std::io::{self, Read};

use hgrpc::ProtocolError;
use hgrpc::wire::{FrameHeader, FrameReader, HEADER_LEN, RequestId, StreamFlags};

use super::receive::Shows;
use super::request::{Core, Sent};
use super::{Config, Error, Limits, Redirect};
use crate::buffer::{Filled, ReceiveBuffer};
use crate::encoding::StreamDecoders;
use crate::requests::GatheredBytes;

/// Bytes of a plain frame that are handled in one step.
const STEP: usize = 64 << 10;

/// Bytes of an encoded frame that are handled in one step: they decode to 4 MiB at most (a block of
/// Zstandard takes 4 bytes and makes 128 KiB).
const ENCODED_STEP: usize = 128;

/// Most bytes that are kept of what is no frame.
const TAIL: usize = 1024;

pub(super) struct Exchange {
    body: Box<dyn Read + Send>,
    buffer: ReceiveBuffer,
    body_has_ended: bool,
    pub(super) frames: FrameReader,
    pub(super) core: Core,
    pub(super) memory: GatheredBytes,
    pub(super) decoders: StreamDecoders,
    /// The current frame's bytes go through a decoder.
    pub(super) is_encoded: bool,
    /// In the order of the commands: the request of the n-th has the ID 2n + 1.
    pub(super) slots: Vec<Slot>,
    pub(super) shows: Shows,
    limits: Limits,
}

/// What has come of one response.
#[derive(Default)]
pub(super) struct Slot {
    /// Bytes of its values that were not taken yet.
    pub(super) data: Vec<u8>,
    /// The status has come.
    pub(super) is_open: bool,
    pub(super) redirect: Option<Redirect>,
    pub(super) end: Option<Result<(), Error>>,
    /// Nobody reads it.
    is_dropped: bool,
}

impl Exchange {
    pub(super) fn new(
        body: impl Read + Send + 'static,
        sent: Sent,
        commands: usize,
        config: &Config,
    ) -> Self {
        Self {
            body: Box::new(body),
            buffer: ReceiveBuffer::default(),
            body_has_ended: false,
            frames: FrameReader::new(config.limits.frame_size),
            core: sent.core,
            memory: sent.memory,
            decoders: StreamDecoders::new(config.limits.decoding),
            is_encoded: false,
            slots: std::iter::repeat_with(Slot::default)
                .take(commands)
                .collect(),
            shows: Shows {
                on_text: config.on_text.clone(),
                on_progress: config.on_progress.clone(),
            },
            limits: config.limits,
        }
    }

    /// Reads until the status of a response has come, or its failure.
    pub(super) fn open(&mut self, index: usize) -> Result<Option<Redirect>, Error> {
        loop {
            let Some(slot) = self.slots.get(index) else {
                return Ok(None);
            };
            match &slot.end {
                _ if slot.is_open => return Ok(slot.redirect.clone()),
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok(())) => return Ok(None),
                None => self.step(index),
            }
        }
    }

    /// Takes the next bytes of a response into an empty buffer; `false` at its end.
    pub(super) fn pull(&mut self, index: usize, into: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            let Some(slot) = self.slots.get_mut(index) else {
                return Ok(false);
            };
            if !slot.data.is_empty() {
                std::mem::swap(&mut slot.data, into);
                slot.data.clear();
                return Ok(true);
            }
            match &slot.end {
                Some(Ok(())) => {
                    self.finish_body();
                    return Ok(false);
                }
                Some(Err(error)) => return Err(error.clone()),
                None => self.step(index),
            }
        }
    }

    /// Nobody reads this response any more.
    pub(super) fn give_up(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.is_dropped = true;
            slot.data = Vec::new();
            self.cancel(index);
        }
    }

    fn cancel(&mut self, index: usize) {
        if let Some(id) = id_of(index) {
            // It may have ended already.
            let _ = self.core.cancel(id, &mut self.memory);
        }
    }

    /// Ends a response that has not ended.
    pub(super) fn end(&mut self, index: usize, result: Result<(), Error>) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.end.get_or_insert(result);
        }
    }

    /// Adds to a response's bytes.
    pub(super) fn add(&mut self, index: usize, wanted: usize, bytes: &[u8]) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        if slot.is_dropped || slot.end.is_some() {
            return;
        }
        if index != wanted && slot.data.len() + bytes.len() > self.limits.buffered {
            slot.data = Vec::new();
            slot.end = Some(Err(Error::NotReadInOrder));
            self.cancel(index);
            return;
        }
        slot.data.extend_from_slice(bytes);
    }

    /// Reads and handles a little more; an error ends every response that has not ended.
    fn step(&mut self, wanted: usize) {
        if let Err(error) = self.try_step(wanted) {
            self.body_has_ended = true;
            for index in 0..self.slots.len() {
                self.end(index, Err(error.clone()));
            }
        }
    }

    fn try_step(&mut self, wanted: usize) -> Result<(), Error> {
        if self.body_has_ended {
            return Err(self.ended());
        }
        let is_between = self.frames.finish().is_ok();
        let mut step = match self.is_encoded {
            true => ENCODED_STEP,
            false => STEP,
        };
        if is_between {
            if !self.fill(HEADER_LEN)? {
                return Err(self.ended());
            }
            let header = self.header()?;
            if self.decodes(&header) {
                step = HEADER_LEN + ENCODED_STEP;
            } else if self.may_be_late_error(&header) {
                // It is recognised as a whole.
                let length = usize::try_from(header.length()).unwrap_or(usize::MAX);
                self.fill(HEADER_LEN.saturating_add(length))?;
            }
        } else if !self.fill(1)? {
            return Err(self.ended());
        }
        // Taken out, since handling a part changes everything else.
        let mut buffer = std::mem::take(&mut self.buffer);
        let bytes = buffer.bytes();
        let mut input = bytes.get(..step).unwrap_or(bytes);
        let offered = input.len();
        let result = match self.frames.next(&mut input) {
            Ok(Some(part)) => self.part(&part, wanted),
            Ok(None) => Ok(()),
            Err(error) => Err(Error::Protocol(error)),
        };
        let used = offered - input.len();
        buffer.consume(used);
        self.buffer = buffer;
        result
    }

    /// Reads until there are so many bytes; `false` if the body ends before.
    fn fill(&mut self, len: usize) -> Result<bool, Error> {
        while self.buffer.bytes().len() < len && !self.body_has_ended {
            match self.buffer.fill_from(&mut *self.body) {
                Ok(Filled::Bytes(_)) => {}
                Ok(Filled::End) => self.body_has_ended = true,
                Ok(Filled::Full) => return Ok(false),
                // A body that is shorter than announced; which of the responses it is the end of
                // is for the frames to say.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.body_has_ended = true;
                }
                Err(error) => return Err(Error::transport(error)),
            }
        }
        Ok(self.buffer.bytes().len() >= len)
    }

    /// The header at the front of the buffer, which is no longer than allowed.
    fn header(&mut self) -> Result<FrameHeader, Error> {
        let Some((header, _)) = FrameHeader::split_from(self.buffer.bytes()) else {
            return Err(self.ended());
        };
        let header = *header;
        if header.length() <= self.limits.frame_size {
            return Ok(header);
        }
        // A text that follows the last frame reads as a very long one (K-13): then the body ends
        // soon.
        self.fill(TAIL)?;
        if self.body_has_ended {
            return Err(self.ended());
        }
        Err(Error::Protocol(ProtocolError::FrameTooLarge))
    }

    /// Whether a frame's bytes go through a decoder.
    pub(super) fn decodes(&self, header: &FrameHeader) -> bool {
        header.stream_flags().contains(StreamFlags::ENCODED)
            && self.decoders.has_decoder(header.stream_id())
    }

    /// What the end of the body means where more was expected.
    fn ended(&self) -> Error {
        match (self.frames.finish(), self.buffer.bytes()) {
            (Err(_), _) => Error::Truncated {
                missing: Some(self.frames.missing()),
                tail: Vec::new(),
            },
            (Ok(()), []) => Error::NoEnd,
            (Ok(()), tail) => Error::Truncated {
                missing: None,
                tail: tail.get(..TAIL).unwrap_or(tail).to_vec(),
            },
        }
    }

    /// After the last response: reads the body's end, so that its connection can be used again.
    fn finish_body(&mut self) {
        let is_over = self
            .slots
            .iter()
            .all(|slot| matches!(slot.end, Some(Ok(()))));
        if is_over && !self.body_has_ended && self.buffer.bytes().is_empty() {
            self.body_has_ended = true;
            // What comes after the end is nobody's.
            let _ = self.body.read(&mut [0; 1]);
        }
    }
}

/// The request of the n-th command.
fn id_of(index: usize) -> Option<RequestId> {
    let number = u16::try_from(index).ok()?.checked_mul(2)?.checked_add(1)?;
    Some(RequestId::new(number))
}

/// The command of a request.
pub(super) fn index_of(id: RequestId) -> usize {
    usize::from(id.value() / 2)
}
