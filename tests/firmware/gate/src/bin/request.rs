//! Requests of 24 bytes from their first header byte to their borrowed arguments, for counting
//! instructions in an emulator: see `../../../size`. Revision 0005, streaming; the frames lie whole
//! in the buffer.
#![no_std]
#![no_main]

use core::hint::black_box;

use hgrpc::server::{Body, OutputStream, Server, ServerAction, ServerConfig};
use hgrpc::wire::FrameReader;
use hgrpc::{Limits, R0005, Streaming};
use hgrpc_gate::{Port, Store, exit, measure_begin, measure_end, plant};

/// {"args": {"on": true}, "name": "led-one"}, 24 bytes, behind its header.
const REQUEST: &[u8; 32] = b"\x18\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Bon\xf5DnameGled-one";

/// How often: the first may differ, the others may not.
const COUNT: u32 = 4;

hgrpc_gate::entry!(
    main,
    Store = Store::new(),
    Server<Streaming<R0005>> = Server::new(Streaming(R0005), ServerConfig::STREAMING),
    FrameReader = FrameReader::new(Limits::DEFAULT.max_frame_size),
    Option<OutputStream> = None,
);

fn main(
    store: &mut Store,
    server: &mut Server<Streaming<R0005>>,
    reader: &mut FrameReader,
    stream: &mut Option<OutputStream>,
) -> ! {
    let mut port = Port::first();
    let (table, arena) = store.split();
    for _ in 0..COUNT {
        let mut input: &[u8] = black_box(REQUEST);
        plant(input);
        measure_begin();
        let Ok(Some(part)) = reader.next(&mut input) else {
            break;
        };
        let action = server.handle(part, table, arena);
        if let Ok(ServerAction::RunCommand(ref command)) = action {
            black_box((&command.name, &command.args));
        }
        measure_end();
        let Ok(ServerAction::RunCommand(command)) = action else {
            break;
        };
        let body = Body::Bytes(b"\xf5");
        let Ok(mut answer) = server.respond(table, command.responder, body) else {
            break;
        };
        if stream.is_none() {
            *stream = server.open_stream(&[]).ok();
        }
        let Some(stream) = stream.as_mut() else {
            break;
        };
        let mut output = server.output(table, stream);
        while let Ok(Some(ref frame)) = answer.next_frame(&mut output, &mut []) {
            port.write_frame(frame);
        }
    }
    exit(0)
}
