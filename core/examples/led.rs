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
use hgrpc::client::{self, Client, ClientConfig, Request};
use hgrpc::connection::{Buffers, ClientConnection, ServerConnection};
use hgrpc::drive::blocking::Driver;
use hgrpc::server::{Event, Server, ServerConfig};
use hgrpc::store::FixedRequests;

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

/// Requests at once, at either end.
const REQUESTS: usize = 4;

/// The device's main loop: its requests share 256 bytes.
fn device(input: Line, output: Line) -> Result<(), Box<dyn Error>> {
    let buffers = Buffers {
        input: &mut [0; 64],
        memory: &mut [0; 256],
        output: &mut [0; 96],
    };
    let requests = FixedRequests::<REQUESTS>::new();
    let mut server = Server::new(R0006, ServerConfig::STREAMING, requests);
    let connection = ServerConnection::new(&mut server, buffers);
    let mut device = Driver::new(connection, input, output);
    while let Some((event, mut replies)) = device.step()? {
        match event {
            Event::Command(command) if command.is("led") => {
                replies.send(command.reply.text(&[Atom::new("click\n")]))?;
                replies.send(command.run(|Led { on, level }| {
                    println!("device: led on={on} level={level}");
                    on
                }))?;
            }
            Event::Command(command) => replies.send(command.unknown())?,
            _ => {}
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (requests, responses) = (Line::default(), Line::default());
    let buffers = Buffers {
        input: &mut [0; 64],
        memory: &mut [0; 256],
        output: &mut [0; 96],
    };
    let calls = FixedRequests::<REQUESTS>::new();
    let mut client = Client::new(R0006, ClientConfig::FULL_DUPLEX, calls);
    let connection = ClientConnection::new(&mut client, buffers);
    let mut host = Driver::new(connection, responses.clone(), requests.clone());

    let mut memory = [0; 32];
    let revision = host.connection().end().revision();
    let mut args = ArgsWriter::new(&mut memory, revision.key_order());
    args.value(b"on", &true)?;
    args.value(b"level", &40u8)?;
    let args = args.finish()?;
    let mut calls = host.sender();
    for name in [b"led", b"fly"] {
        let call = calls.request(Request::new(name, args), false)?;
        calls.send(call)?;
    }
    calls.flush()?;

    // Until its input ends; on real lines the two run side by side.
    device(requests, responses)?;

    while let Some((event, _)) = host.step()? {
        match event {
            client::Event::Response {
                request_id,
                status,
                data,
                is_last,
                ..
            } => {
                if let Some(Status::Error(error)) = status {
                    println!("request {request_id}: {}", error.escaped());
                }
                if !data.is_empty() {
                    println!("request {request_id}: {data:02x?}");
                }
                if is_last {
                    println!("request {request_id} has ended");
                }
            }
            client::Event::Text { request_id, atoms } => {
                print!("request {request_id} says: {}", atoms.escaped());
            }
            client::Event::Failed {
                request_id,
                message,
            } => println!("request {request_id} failed: {}", message.escaped()),
            _ => {}
        }
    }
    Ok(())
}
