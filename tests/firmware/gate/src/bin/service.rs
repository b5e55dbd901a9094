//! The device of `commands`, declared.
#![no_std]
#![no_main]

use hgrpc::Error;
use hgrpc::cbor::Text;
use hgrpc::connection::{Buffers, ServerConnection};
use hgrpc::drive::blocking::Driver;
use hgrpc::server::Event;
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

hgrpc::service! {
    service gate<'a> {
        fn led(on: bool, level: u8 [range(0..=100)] = 100) -> bool;
        fn sample(channel: u8, rate: u32 = 1000) -> u32;
        fn move_to as "move"(x: i16, y: i16) -> bool;
        fn rename(name: Text<'a>) -> bool;
        fn limit(least: u16 = 0, most: u16 = 4095) -> u32;
        fn ticks() -> u32;
        fn reset() -> bool;
        fn sum() <- Stream -> u32;
    }
}
use gate::Command;

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
    let mut upload = None;
    while let Some((event, mut replies)) = device.step()? {
        match event {
            Event::Command(command) => match gate::Command::read(command) {
                Ok(Command::led { on, level, reply }) => {
                    replies.send(reply.ok(board.led(on, level)))?;
                }
                Ok(Command::sample {
                    channel,
                    rate,
                    reply,
                }) => replies.send(reply.ok(board.sample(channel, rate)))?,
                Ok(Command::move_to { x, y, reply }) => {
                    replies.send(reply.ok(board.move_to(x, y)))?;
                }
                Ok(Command::rename { name, reply }) => {
                    replies.send(reply.ok(board.rename(name.as_str().unwrap_or_default())))?;
                }
                Ok(Command::limit { least, most, reply }) => {
                    replies.send(reply.ok(board.limit(least, most)))?;
                }
                Ok(Command::ticks { reply }) => replies.send(reply.ok(board.ticks()))?,
                Ok(Command::reset { reply }) => replies.send(reply.ok(board.reset()))?,
                Ok(Command::sum { reply }) => upload = Some(reply),
                Err(answer) => replies.send(answer)?,
            },
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
