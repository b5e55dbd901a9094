//! A device with three commands, and the bytes of a client that calls them:
//! `cargo run -p hgrpc --features embedded-io-v0_7 --example device`.

use embedded_io::{Read, Write};
use hgrpc::cbor::Progress;
use hgrpc::connection::{Buffers, ServerConnection};
use hgrpc::drive::blocking::Driver;
use hgrpc::server::{Event, Failure, Server, ServerConfig};
use hgrpc::store::FixedRequests;
use hgrpc::{Error, R0005};

hgrpc::args! {
    /// Arguments of `led`.
    struct Led { on: bool, level: u8 = 100 }
}

/// Serves one connection: `led`, `blink` with progress, and `sum` of the data that is streamed to it.
fn serve<R: Read, W: Write>(uart_rx: R, uart_tx: W) -> Result<(), Error<R::Error, W::Error>> {
    let buffers = Buffers {
        input: &mut [0; 64],
        memory: &mut [0; 256],
        output: &mut [0; 64],
    };
    // 4 requests at once.
    let mut server = Server::new(R0005, ServerConfig::STREAMING, FixedRequests::<4>::new());
    let connection = ServerConnection::new(&mut server, buffers);
    let mut device = Driver::new(connection, uart_rx, uart_tx);
    let (mut upload, mut sum) = (None, 0u32);
    while let Some((event, mut replies)) = device.step()? {
        match event {
            Event::Command(command) if command.is("led") => {
                replies.send(command.run(|Led { on, level }| set_led(on, level)))?;
            }
            Event::Command(command) if command.is("blink") => {
                for time in 1..=3 {
                    set_led(time % 2 == 1, 100);
                    replies.send(command.reply.progress(&Progress::new("blink", time, 3)))?;
                }
                replies.send(command.reply.ok(true))?;
            }
            Event::Command(command) if command.is("sum") => match upload {
                None if command.data_follows => (upload, sum) = (Some(command.reply), 0),
                _ => replies.send(command.reply.fail(Failure::command(b"takes one upload")))?,
            },
            Event::Command(command) => replies.send(command.unknown())?,
            Event::Data { bytes, is_last, .. } => {
                sum = sum.wrapping_add(bytes.iter().map(|byte| u32::from(*byte)).sum());
                if is_last && let Some(reply) = upload.take() {
                    replies.send(reply.ok(&sum))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Switches the light, and says whether it shines.
fn set_led(on: bool, level: u8) -> bool {
    println!("led: on={on} level={level}");
    on && level > 0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `led` with `on`, `sum` with three bytes of data, `blink`, and a command that there is not.
    let input = [
        &b"\x14\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Bon\xf5DnameCled"[..],
        b"\x0a\0\0\x03\0\x01\0\x19\xa1DnameCsum\x03\0\0\x03\0\x01\0\x22\x01\x02\x03",
        b"\x0c\0\0\x05\0\x01\0\x11\xa1DnameEblink",
        b"\x0a\0\0\x07\0\x01\0\x11\xa1DnameCfly",
    ]
    .concat();
    let mut output = Vec::new();
    serve(&input[..], Sink(&mut output))?;
    println!("answers: {}", output.escape_ascii());
    Ok(())
}

/// Where the answers go; a device has its UART's write half instead.
struct Sink<'a>(&'a mut Vec<u8>);

impl embedded_io::ErrorType for Sink<'_> {
    type Error = core::convert::Infallible;
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
