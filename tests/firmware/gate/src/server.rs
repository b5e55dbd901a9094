//! A server as a firmware would drive it: two commands, frames read in parts.

use hgrpc::output::{Output, Stream};
use hgrpc::server::{Command, Event, Failure, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use hgrpc::{ApiMisuse, Protocol};

use crate::{BUFFER, Port, plant};

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

/// A server with its requests.
pub type ServerEnd<P> = Server<P, FixedRequests<4>>;

/// A server at the start of a connection.
pub const fn server_end<P: Protocol>(protocol: P) -> ServerEnd<P> {
    Server::new(protocol, ServerConfig::STREAMING, FixedRequests::new())
}

/// Memory for what is gathered.
pub type Memory = [u8; 256];

/// Serves connections, one after the other.
pub fn serve<P: Protocol>(
    port: &mut Port,
    server: &mut ServerEnd<P>,
    memory: &mut Memory,
    buffer: &mut [u8; BUFFER],
    frame: &mut [u8; BUFFER],
    mut protocol: impl FnMut(&mut Port) -> P,
) -> ! {
    loop {
        let mut out = Output::new(Stream::ONLY, frame);
        while step(port, server, memory, buffer, &mut out).is_ok() {}
        server.restart(protocol(port), memory);
    }
}

/// The connection is over.
#[derive(Debug)]
pub struct Over;

impl From<ApiMisuse> for Over {
    fn from(_: ApiMisuse) -> Self {
        Self
    }
}

/// Handles what has come.
///
/// # Errors
/// The connection is over.
pub fn step<P: Protocol>(
    port: &mut Port,
    server: &mut ServerEnd<P>,
    memory: &mut Memory,
    buffer: &mut [u8; BUFFER],
    out: &mut Output<'_>,
) -> Result<(), Over> {
    let count = port.read(buffer);
    let mut input = buffer.get(..count).unwrap_or_default();
    plant(input);
    while let Some(event) = server.next(&mut input, memory) {
        #[cfg(feature = "defmt")]
        defmt::info!("server: {}", event);
        match event {
            Event::Command(ref command) => run(port, server, command, out)?,
            Event::Refused(refusal) => {
                while !server.refuse(&refusal, out)? {
                    port.write(out.frame());
                }
                port.write(out.frame());
            }
            // A sink for data.
            Event::Data { bytes, .. } => {
                core::hint::black_box(bytes);
            }
            _ => return Err(Over),
        }
    }
    Ok(())
}

fn run<P: Protocol>(
    port: &mut Port,
    server: &mut ServerEnd<P>,
    command: &Command<'_>,
    out: &mut Output<'_>,
) -> Result<(), Over> {
    let name = command.name;
    let mut body = if name.is_bytes(b"echo") {
        match Echo::from_args(&command.args) {
            Ok(Echo { value }) => Ok(value.as_slice().unwrap_or_default()),
            Err(_) => Err(Failure::command(b"echo takes a value")),
        }
    } else if name.is_bytes(b"led") {
        match Led::from_args(&command.args) {
            Ok(Led { on, level }) => {
                core::hint::black_box((on, level));
                Ok(&b"\xf5"[..])
            }
            Err(_) => Err(Failure::command(b"led takes on and level")),
        }
    } else {
        Err(Failure::command(b"unknown command"))
    };
    loop {
        let is_done = match &mut body {
            Ok(bytes) => server.respond(&command.reply, bytes, true, out)?,
            Err(failure) => server.fail(&command.reply, failure, out)?,
        };
        port.write(out.frame());
        if is_done {
            return Ok(());
        }
    }
}
