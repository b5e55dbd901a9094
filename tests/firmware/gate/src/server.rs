//! A server as a firmware would drive it: two commands, frames read in parts.

use hgrpc::server::{Body, Command, Failure, OutputStream, Server, ServerAction, ServerConfig};
use hgrpc::wire::{FrameReader, Part};
use hgrpc::{Limits, Protocol};

use crate::{BUFFER, Port, Store, plant};

hgrpc::args! {
    /// Arguments of `led`.
    struct Led {
        on: bool,
        level: u8 = 100,
    }
}

hgrpc::args! {
    /// Arguments of `echo`.
    struct Echo<'a> {
        value: hgrpc::cbor::ByteString<'a>,
    }
}

/// A server, where it reads, and the one stream that it writes on.
#[derive(Debug)]
pub struct ServerEnd<P: Protocol> {
    server: Server<P>,
    reader: FrameReader,
    stream: Option<OutputStream>,
}

impl<P: Protocol> ServerEnd<P> {
    /// A server at the start of a connection.
    pub const fn new(protocol: P) -> Self {
        Self {
            server: Server::new(protocol, ServerConfig::STREAMING),
            reader: FrameReader::new(Limits::DEFAULT.max_frame_size),
            stream: None,
        }
    }

    /// A server at the start of another connection.
    pub fn restart(&mut self, protocol: P) {
        self.server.restart(protocol);
        self.reader.restart();
        self.stream = None;
    }

    /// Handles what has come. `false`: the connection is over.
    pub fn step(&mut self, port: &mut Port, store: &mut Store, buffer: &mut [u8; BUFFER]) -> bool {
        // All responses go on one stream.
        if self.stream.is_none() {
            self.stream = self.server.open_stream(&[]).ok();
        }
        let count = port.read(buffer);
        let mut input = buffer.get(..count).unwrap_or_default();
        plant(input);
        loop {
            match self.reader.next(&mut input) {
                Ok(None) => return true,
                Ok(Some(ref part)) if self.handle(port, store, part).is_some() => {}
                _ => return false,
            }
        }
    }

    /// Handles a part of a frame. Not inlined: what is in no loop is less code.
    #[inline(never)]
    fn handle(&mut self, port: &mut Port, store: &mut Store, part: &Part<'_>) -> Option<()> {
        let (table, arena) = store.split();
        let action = match self.server.handle(*part, table, arena) {
            Ok(action) => action,
            #[allow(unused_variables, reason = "without `defmt`")]
            Err(error) => {
                #[cfg(feature = "defmt")]
                defmt::error!("server: {}", error);
                return None;
            }
        };
        #[cfg(feature = "defmt")]
        defmt::info!("server: {}", action);
        self.act(port, action, table)
    }

    fn act(
        &mut self,
        port: &mut Port,
        action: ServerAction<'_>,
        table: &mut impl hgrpc::store::Table,
    ) -> Option<()> {
        match action {
            ServerAction::RunCommand(command) => self.run(port, command, table),
            ServerAction::RejectRequest(rejection) => {
                let mut answer = self.server.reject(rejection);
                let mut output = self.server.output(table, self.stream.as_mut()?);
                // One frame. By reference: whatever is taken apart by value is copied.
                match answer.next_frame(&mut output) {
                    Ok(Some(ref frame)) => port.write_frame(frame),
                    _ => return None,
                }
                Some(())
            }
            // A sink for data.
            ServerAction::CommandData { bytes, .. } => {
                core::hint::black_box(bytes);
                Some(())
            }
            _ => Some(()),
        }
    }

    fn run(
        &mut self,
        port: &mut Port,
        command: Command<'_>,
        table: &mut impl hgrpc::store::Table,
    ) -> Option<()> {
        let name = command.name.as_slice().unwrap_or_default();
        let body = match name {
            b"echo" => match Echo::from_args(&command.args) {
                Ok(Echo { value }) => Body::Bytes(value.as_slice().unwrap_or_default()),
                Err(_) => Body::Failure(Failure::command(b"echo takes a value")),
            },
            b"led" => match Led::from_args(&command.args) {
                Ok(Led { on, level }) => {
                    core::hint::black_box((on, level));
                    Body::Cbor(b"\xf5")
                }
                Err(_) => Body::Failure(Failure::command(b"led takes on and level")),
            },
            _ => Body::Failure(Failure::command(b"unknown command")),
        };
        let Ok(mut answer) = self.server.respond(table, command.responder, body) else {
            return None;
        };
        let mut output = self.server.output(table, self.stream.as_mut()?);
        loop {
            match answer.next_frame(&mut output, &mut []) {
                Ok(Some(ref frame)) => port.write_frame(frame),
                Ok(None) => return Some(()),
                Err(_) => return None,
            }
        }
    }
}
