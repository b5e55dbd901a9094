//! A device with two commands, and a client that calls them, over memory instead of wires:
//! `cargo run -p hgrpc --features embedded-io-v0_7 --example led`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::rc::Rc;

use embedded_io::{ErrorType, Read, Write};
use hgrpc::R0006;
use hgrpc::cbor::{ArgsWriter, Atom, Status};
use hgrpc::client::{ClientAction, ClientConfig, Request};
use hgrpc::io::blocking::{ClientConnection, ServerConnection};
use hgrpc::server::{Body, Failure, ServerAction, ServerConfig};

hgrpc::args! {
    /// Arguments of `led`.
    struct Led {
        on: bool,
        level: u8 = 100,
    }
}

/// One direction of a serial line; a device has its UART's halves instead.
#[derive(Clone, Default)]
struct Line(Rc<RefCell<VecDeque<u8>>>);

impl ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Ok(buffer
            .iter_mut()
            .map_while(|slot| self.0.borrow_mut().pop_front().map(|byte| *slot = byte))
            .count())
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The device's main loop: four requests at once, which share 256 bytes.
fn device(input: Line, output: Line) -> Result<(), Box<dyn Error>> {
    let mut connection: ServerConnection<_, _, 4, 256, 64, 64, R0006> =
        ServerConnection::new(input, output, R0006, ServerConfig::STREAMING);
    while let Some((action, replies)) = connection.next_action()? {
        match action {
            ServerAction::RunCommand(command) if command.name == *b"led" => {
                let body = match Led::from_args(&command.args) {
                    Ok(Led { on, level }) => {
                        println!("device: led on={on} level={level}");
                        Body::Cbor(if on { b"\xf5" } else { b"\xf4" })
                    }
                    Err(_) => Body::Failure(Failure::command(b"led takes on and level")),
                };
                replies.text_output(&command.responder, &[Atom::new("click\n")])?;
                replies.respond(command.responder, body)?;
            }
            ServerAction::RunCommand(command) => {
                let failure = Failure::command(b"unknown command");
                replies.respond(command.responder, Body::Failure(failure))?;
            }
            ServerAction::RejectRequest(rejection) => replies.reject(rejection)?,
            _ => {}
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (requests, responses) = (Line::default(), Line::default());
    let mut client: ClientConnection<_, _, 4, 256, 64, 64, R0006> = ClientConnection::new(
        responses.clone(),
        requests.clone(),
        R0006,
        ClientConfig::FULL_DUPLEX,
    );

    let mut memory = [0; 32];
    let mut args = ArgsWriter::new(&mut memory, client.client().revision().key_order());
    args.value(b"on", &true)?;
    args.value(b"level", &40u8)?;
    let args = args.finish()?;
    client.calls().call(Request::new(b"led", args))?;
    client.calls().call(Request::new(b"fly", args))?;
    client.calls().flush()?;

    // Until its input ends; on real lines the two run side by side.
    device(requests, responses)?;

    while let Some((action, _)) = client.next_action()? {
        match action {
            ClientAction::ResponseData {
                request_id,
                status,
                data,
                eos,
                ..
            } => {
                if let Some(Status::Error(error)) = status {
                    println!("request {request_id}: {}", error.escaped());
                }
                if !data.is_empty() {
                    println!("request {request_id}: {data:02x?}");
                }
                if eos {
                    println!("request {request_id} has ended");
                }
            }
            ClientAction::TextOutput { request_id, atoms } => {
                print!("request {request_id} says: {}", atoms.escaped());
            }
            ClientAction::ErrorResponse {
                request_id,
                message,
            } => println!("request {request_id} failed: {}", message.escaped()),
            _ => {}
        }
    }
    Ok(())
}
