//! A client as a firmware would drive it: one command called over and over, its
//! response read.

use hgrpc::cbor::ArgsWriter;
use hgrpc::client::{Client, ClientConfig, Event, Request};
use hgrpc::output::Output;
use hgrpc::store::FixedRequests;
use hgrpc::wire::RequestId;
use hgrpc::{ApiMisuse, Protocol};

use crate::{BUFFER, Memory, Port, plant};

/// A client and the request that it waits for.
#[derive(Debug)]
pub struct ClientEnd<P: Protocol> {
    client: Client<P, FixedRequests<4>>,
    waits_for: Option<RequestId>,
    level: u8,
    /// What a request's arguments are written to: kept, because zeros for each call are `memset`.
    args: [u8; 32],
}

impl<P: Protocol> ClientEnd<P> {
    /// A client at the start of a connection.
    pub const fn new(protocol: P) -> Self {
        Self {
            client: Client::new(protocol, ClientConfig::FULL_DUPLEX, FixedRequests::new()),
            waits_for: None,
            level: 0,
            args: [0; 32],
        }
    }

    /// A client at the start of another connection.
    pub fn restart(&mut self, protocol: P, memory: &mut Memory) {
        self.client.restart(protocol, memory);
        self.waits_for = None;
    }

    /// Calls, or handles what has come. `false`: the connection is over.
    pub fn step(
        &mut self,
        port: &mut Port,
        memory: &mut Memory,
        buffer: &mut [u8; BUFFER],
        out: &mut Output<'_>,
    ) -> bool {
        if self.waits_for.is_none() && self.call(port, out).is_err() {
            return false;
        }
        let count = port.read(buffer);
        let mut input = buffer.get(..count).unwrap_or_default();
        plant(input);
        while let Some(ref event) = self.client.next(&mut input, memory) {
            #[cfg(feature = "defmt")]
            defmt::info!("client: {}", event);
            match event {
                Event::Response {
                    data,
                    is_last,
                    status,
                    ..
                } => {
                    self.level = data.first().copied().unwrap_or(self.level);
                    core::hint::black_box(status);
                    if *is_last {
                        self.waits_for = None;
                    }
                }
                Event::Failed { message, .. } => {
                    core::hint::black_box(message);
                    self.waits_for = None;
                }
                Event::Text { atoms, .. } => {
                    core::hint::black_box(atoms);
                }
                Event::Progress { progress, .. } => {
                    core::hint::black_box(progress);
                }
                Event::Error { .. } => return false,
                _ => {}
            }
        }
        true
    }

    fn call(&mut self, port: &mut Port, out: &mut Output<'_>) -> Result<(), ApiMisuse> {
        let mut args = ArgsWriter::new(&mut self.args, self.client.revision().key_order());
        args.bool(b"on", true)?;
        args.u64(b"level", self.level.into())?;
        let request = Request::new(b"led", args.finish()?);
        let (upload, _) = self.client.request(false)?;
        self.waits_for = Some(upload.request_id());
        loop {
            let is_done = self.client.send(&upload, &request, out)?;
            port.write(out.frame());
            if is_done {
                return Ok(());
            }
        }
    }
}
