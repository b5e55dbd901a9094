//! Half-duplex connections, as HTTP makes them: all of the input is received, then its commands run
//! one after another and answer on one stream (revision-0006.md, 3.2 and 5.8).

use std::sync::Arc;
use std::task::{Poll, Waker};

use hgrpc::ProtocolError;
use hgrpc::cbor::ContentEncoding;

use super::handle::has;
use super::{Connection, Peer, Shared};
use crate::encoding::encoder;
use crate::engine::Key;
use crate::host::ConnectionError;

impl Connection {
    /// A half-duplex connection. [`Wake::Data`](super::Wake::Data) says that all of a command's data
    /// has come; once all input has, [`begin_answers`](Self::begin_answers).
    pub fn half_duplex(shared: Arc<Shared>, peer: Arc<Peer>, now: u64) -> Self {
        let mut connection = Self::unopened(shared, peer, Waker::noop().clone(), now);
        connection.holds_answers = true;
        connection
    }

    /// What the end of input means now.
    ///
    /// # Errors
    /// [`ProtocolError::ShortHeader`] or [`ProtocolError::ShortPayload`]: it ends inside of a frame.
    pub fn finish_input(&self) -> Result<(), ProtocolError> {
        match self.incoming.is_in_payload() {
            true => Err(ProtocolError::ShortPayload),
            false if self.missing().is_some() => Err(ProtocolError::ShortHeader),
            false => Ok(()),
        }
    }

    /// Lets a half-duplex connection answer, on one stream; compressed, if that may be and the peer
    /// decodes it.
    pub fn begin_answers(&mut self, may_compress: bool) {
        let has_encoder = |encoding: &ContentEncoding| encoder(*encoding).is_some();
        let encodes = self.shared.config.encodes.iter().copied();
        let encodes: Vec<_> = encodes
            .filter(|encoding| may_compress && has_encoder(encoding))
            .collect();
        self.holds_answers = false;
        // None was opened before, so one can be.
        if let Ok(stream) = self.core.open_stream(&encodes) {
            self.streams.be_single(stream.encoding());
            self.stream = stream;
        }
    }

    /// Whether answers wait, as those to refused requests.
    pub fn has_answers(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether a command was answered: all its frames were made. If not,
    /// [`Wake::Reply`](super::Wake::Reply) says when to look again.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn poll_answered(&mut self, key: Key) -> Poll<Result<(), ConnectionError>> {
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        match self.commands.get_mut(key) {
            Some(running) if running.has & has::REPLIED == 0 => {
                running.is_awaited = true;
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}
