//! What `stats` answers.

use hgrpc::ApiMisuse;
use hgrpc::cbor::ArgsWriter;
use hgrpc::server::Reply;

use super::{Done, Replies};
use crate::stack;
use crate::uart::Uart;

/// What happened since the device started.
#[derive(Debug)]
pub(super) struct Counters {
    /// Starts since power-on.
    pub(super) starts: u32,
    /// Connections that began, and those of them that ended in an error.
    connections: u32,
    pub(super) ended: u32,
    /// Frames, commands, refused requests.
    frames: u32,
    pub(super) commands: u32,
    pub(super) refused: u32,
    /// The timer's wakes while connected.
    pub(super) ticks: u32,
    /// Bytes of hgrpc's statics.
    pub(super) hgrpc_ram: usize,
    /// Of the frames, those of the connection that is there.
    its_frames: u32,
    most_requests: usize,
    most_store: usize,
    most_ring: u16,
}

impl Counters {
    pub(super) const fn new() -> Self {
        Self {
            starts: 0,
            connections: 0,
            ended: 0,
            frames: 0,
            commands: 0,
            refused: 0,
            ticks: 0,
            hgrpc_ram: 0,
            its_frames: 0,
            most_requests: 0,
            most_store: 0,
            most_ring: 0,
        }
    }

    /// A connection begins.
    pub(super) fn begin(&mut self) {
        self.connections = self.connections.wrapping_add(1);
        self.its_frames = 0;
    }

    /// So many frames have come on this connection.
    pub(super) fn saw_frames(&mut self, count: u32) {
        let new = count.wrapping_sub(self.its_frames);
        self.frames = self.frames.wrapping_add(new);
        self.its_frames = count;
    }

    /// So many requests are open.
    pub(super) fn saw_requests(&mut self, count: usize) {
        self.most_requests = self.most_requests.max(count);
    }

    /// So many bytes of the store are in use.
    pub(super) fn saw_store(&mut self, bytes: usize) {
        self.most_store = self.most_store.max(bytes);
    }

    /// So many bytes waited in the receive ring.
    pub(super) fn saw_ring(&mut self, bytes: u16) {
        self.most_ring = self.most_ring.max(bytes);
    }

    /// `stats`.
    pub(super) fn answer<U: Uart>(
        &self,
        board: &str,
        reply: Reply,
        replies: &mut Replies<'_, U>,
    ) -> Done {
        let mut memory = [0; 288];
        let mut map = ArgsWriter::new(&mut memory, replies.end().revision().key_order());
        self.write(board, &mut map)?;
        replies.send(reply.body(map.finish()?.as_cbor()))
    }

    fn write(&self, board: &str, map: &mut ArgsWriter<'_>) -> Result<(), ApiMisuse> {
        map.value(b"board", board)?;
        let numbers: [(&[u8], u32); 12] = [
            (b"starts", self.starts),
            (b"connections", self.connections),
            (b"connections-ended", self.ended),
            (b"frames", self.frames),
            (b"commands", self.commands),
            (b"refused", self.refused),
            (b"ticks", self.ticks),
            (b"hgrpc-ram", number(self.hgrpc_ram)),
            (b"most-requests", number(self.most_requests)),
            (b"most-store", number(self.most_store)),
            (b"most-ring", u32::from(self.most_ring)),
            (b"most-stack", number(stack::most_used())),
        ];
        for (key, value) in numbers {
            map.value(key, &value)?;
        }
        Ok(())
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
