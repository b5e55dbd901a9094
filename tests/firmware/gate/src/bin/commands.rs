//! A device with eight commands that are told apart by hand: what `service` is compared with.
#![no_std]
#![no_main]

use hgrpc::Error;
use hgrpc::cbor::{ArgError, ArgsError};
use hgrpc::connection::{Buffers, ServerConnection};
use hgrpc::drive::blocking::Driver;
use hgrpc::server::{Event, Failure, Reply};
use hgrpc::store::FixedRequests;
use hgrpc::{R0005, Streaming};
use hgrpc_gate::{BUFFER, Board, Memory, Port, ServerEnd, plant, server_end};

type Device<'b> = Driver<ServerConnection<'b, Streaming<R0005>, FixedRequests<4>>, Port, Port>;

hgrpc_gate::entry!(
    main,
    [[u8; BUFFER]; 2] = [[0; BUFFER]; 2],
    Memory = [0; 256],
    ServerEnd<Streaming<R0005>> = server_end(Streaming(R0005)),
);

hgrpc::args! { struct Led { on: bool, level: u8 = 100 } }
hgrpc::args! { struct Sample { channel: u8, rate: u32 = 1000 } }
hgrpc::args! { struct Position { x: i16, y: i16 } }
hgrpc::args! { struct Name<'a> { name: hgrpc::cbor::Text<'a> } }
hgrpc::args! { struct Limit { least: u16 = 0, most: u16 = 4095 } }

fn main(
    buffers: &mut [[u8; BUFFER]; 2],
    memory: &mut Memory,
    server: &mut ServerEnd<Streaming<R0005>>,
) -> ! {
    let [input, output] = buffers;
    let buffers = Buffers {
        input,
        memory,
        output,
    };
    let connection = ServerConnection::new(server, buffers);
    let mut device = Driver::new(connection, Port::first(), Port::first());
    loop {
        let _ = serve(&mut device);
    }
}

fn serve(device: &mut Device<'_>) -> Result<(), Error> {
    let mut board = Board::new();
    let mut upload: Option<Reply> = None;
    while let Some((event, mut replies)) = device.step()? {
        match event {
            Event::Command(command) if command.is("sum") && command.data_follows => {
                upload = Some(command.reply);
            }
            Event::Command(command) if command.data_follows => {
                let failure = Failure::command(b"the command takes no data");
                replies.send(command.reply.fail(failure))?;
            }
            Event::Command(command) if command.is("led") => match Led::from_args(&command.args) {
                Ok(Led { level: 101.., .. }) => {
                    let (key, why) = ("level", ArgError::WrongType);
                    replies.send(command.reply.wrong(ArgsError { key, why }))?;
                }
                Ok(Led { on, level }) => replies.send(command.reply.ok(board.led(on, level)))?,
                Err(error) => replies.send(command.reply.wrong(error))?,
            },
            Event::Command(command) if command.is("sample") => {
                replies
                    .send(command.run(|Sample { channel, rate }| board.sample(channel, rate)))?;
            }
            Event::Command(command) if command.is("move") => {
                replies.send(command.run(|Position { x, y }| board.move_to(x, y)))?;
            }
            Event::Command(command) if command.is("rename") => {
                replies.send(
                    command.run(|Name { name }| board.rename(name.as_str().unwrap_or_default())),
                )?;
            }
            Event::Command(command) if command.is("limit") => {
                replies.send(command.run(|Limit { least, most }| board.limit(least, most)))?;
            }
            Event::Command(command) if command.is("ticks") => {
                replies.send(command.reply.ok(board.ticks()))?;
            }
            Event::Command(command) if command.is("reset") => {
                replies.send(command.reply.ok(board.reset()))?;
            }
            Event::Command(command) => replies.send(command.unknown())?,
            Event::Data { bytes, is_last, .. } => {
                plant(bytes);
                board.add(bytes);
                if is_last && let Some(reply) = upload.take() {
                    replies.send(reply.ok(board.ticks()))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
