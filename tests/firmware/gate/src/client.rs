//! A client as a firmware would drive it: one command called over and over, its response read.

use hgrpc::cbor::ArgsWriter;
use hgrpc::client::{Client, ClientAction, ClientConfig, Request, SendAction};
use hgrpc::wire::{FrameReader, RequestId};
use hgrpc::{ApiMisuse, Limits, Protocol};

use crate::{BUFFER, Port, Store, plant};

/// A client, where it reads, and the call that it waits for.
#[derive(Debug)]
pub struct ClientEnd<P: Protocol> {
    client: Client<P>,
    reader: FrameReader,
    waits_for: Option<RequestId>,
    level: u8,
    /// What a call's arguments are written to: kept, because zeros for each call are `memset`.
    memory: [u8; 32],
}

impl<P: Protocol> ClientEnd<P> {
    /// A client at the start of a connection.
    pub const fn new(protocol: P) -> Self {
        Self {
            client: Client::new(protocol, ClientConfig::FULL_DUPLEX),
            reader: FrameReader::new(Limits::DEFAULT.max_frame_size),
            waits_for: None,
            level: 0,
            memory: [0; 32],
        }
    }

    /// A client at the start of another connection.
    pub fn restart(&mut self, protocol: P) {
        self.client.restart(protocol);
        self.reader.restart();
        self.waits_for = None;
    }

    /// Calls, or handles what has come. `false`: the connection is over.
    pub fn step(&mut self, port: &mut Port, store: &mut Store, buffer: &mut [u8; BUFFER]) -> bool {
        if self.waits_for.is_none() && self.call(port, store).is_err() {
            return false;
        }
        let count = port.read(buffer);
        let mut input = buffer.get(..count).unwrap_or_default();
        plant(input);
        loop {
            match self.reader.next(&mut input) {
                Ok(None) => return true,
                Ok(Some(part)) => {
                    let (table, arena) = store.split();
                    match self.client.handle(part, table, arena) {
                        Ok(action) => {
                            #[cfg(feature = "defmt")]
                            defmt::info!("client: {}", action);
                            self.act(&action);
                        }
                        #[allow(unused_variables, reason = "without `defmt`")]
                        Err(error) => {
                            #[cfg(feature = "defmt")]
                            defmt::error!("client: {}", error);
                            return false;
                        }
                    }
                }
                Err(_) => return false,
            }
        }
    }

    fn call(&mut self, port: &mut Port, store: &mut Store) -> Result<(), ApiMisuse> {
        let (table, _) = store.split();
        let mut args = ArgsWriter::new(&mut self.memory, self.client.revision().key_order());
        args.bool(b"on", true)?;
        args.u64(b"level", self.level.into())?;
        let request = Request::new(b"led", args.finish()?);
        let (mut call, send) = self.client.call(table, request)?;
        self.waits_for = Some(call.request_id());
        if send == SendAction::SendFrames {
            let mut output = self.client.output(table);
            while let Some(ref frame) = call.next_frame(&mut output) {
                port.write_frame(frame);
            }
        }
        Ok(())
    }

    fn act(&mut self, action: &ClientAction<'_>) {
        match action {
            ClientAction::ResponseData {
                data, eos, status, ..
            } => {
                self.level = data.first().copied().unwrap_or(self.level);
                core::hint::black_box(status);
                if *eos {
                    self.waits_for = None;
                }
            }
            ClientAction::ErrorResponse { message, .. } => {
                core::hint::black_box(message);
                self.waits_for = None;
            }
            ClientAction::TextOutput { atoms, .. } => {
                core::hint::black_box(atoms);
            }
            ClientAction::Progress { progress, .. } => {
                core::hint::black_box(progress);
            }
            _ => {}
        }
    }
}
