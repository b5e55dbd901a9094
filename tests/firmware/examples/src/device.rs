//! A device without a driver: it is handed bytes wherever they lie, and hands out bytes to be sent.
//!
//! It has a connection, but is called instead of calling: from a main loop, or from an interrupt,
//! since nothing in it waits. What it is handed is not copied, unless a request comes in several
//! parts: then it is gathered in the 256 bytes that requests share.

use hgrpc::Error;
use hgrpc::R0005;
use hgrpc::connection::{Buffers, ServerConnection};
use hgrpc::server::{Event, Failure, Reply, Server, ServerConfig};
use hgrpc::store::FixedRequests;

/// Requests at once.
const REQUESTS: usize = 4;

/// What the device is made of: some 600 bytes. In a `static` it is zeros.
pub struct Memory {
    server: Server<R0005, FixedRequests<REQUESTS>>,
    gathered: [u8; 256],
    output: [u8; 96],
}

impl Memory {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            server: Server::new(R0005, ServerConfig::STREAMING, FixedRequests::new()),
            gathered: [0; 256],
            output: [0; 96],
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// The device.
pub struct Device<'b> {
    connection: ServerConnection<'b, R0005, FixedRequests<REQUESTS>>,
    /// Who asked for a sum, and what it is so far.
    upload: Option<Reply>,
    sum: u32,
}

impl<'b> Device<'b> {
    /// A device at the start of a connection.
    pub const fn new(memory: &'b mut Memory) -> Self {
        let buffers = Buffers {
            input: &mut [],
            memory: &mut memory.gathered,
            output: &mut memory.output,
        };
        Self {
            connection: ServerConnection::new(&mut memory.server, buffers),
            upload: None,
            sum: 0,
        }
    }

    /// The next connection begins.
    pub fn restart(&mut self) {
        self.connection.restart();
        self.upload = None;
    }

    /// Takes what has come, in pieces of any size, and answers what is complete. `send` gets bytes
    /// to be sent, in order; it may not lose any.
    ///
    /// # Errors
    /// The connection is over.
    pub fn take(&mut self, mut bytes: &[u8], mut send: impl FnMut(&[u8])) -> Result<(), Error> {
        // What comes borrows from `bytes`, or from the memory if it came in parts.
        while let Some((event, replies)) = self.connection.take(&mut bytes)? {
            match event {
                Event::Command(command) if command.is("echo") => {
                    let mut answer = command.reply.body(command.args.as_cbor());
                    replies.make_all(&mut answer, &mut send)?;
                }
                Event::Command(command)
                    if command.is("sum") && command.data_follows && self.upload.is_none() =>
                {
                    (self.upload, self.sum) = (Some(command.reply), 0);
                }
                Event::Command(command) => {
                    let busy = Failure::command(b"what, or busy");
                    replies.make_all(&mut command.reply.fail(busy), &mut send)?;
                }
                Event::Data { bytes, is_last, .. } => {
                    self.sum = bytes
                        .iter()
                        .fold(self.sum, |sum, byte| sum.wrapping_add(u32::from(*byte)));
                    if is_last && let Some(reply) = self.upload.take() {
                        replies.make_all(&mut reply.ok(self.sum), &mut send)?;
                    }
                }
                _ => {}
            }
            replies.write_all(&mut send);
        }
        Ok(())
    }
}
