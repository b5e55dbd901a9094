//! Requests of 24 bytes from their first header byte to their borrowed arguments, for counting
//! instructions in an emulator: see `../../../size`. Revision 0005, streaming; the frames lie whole
//! in the buffer.
#![no_std]
#![no_main]

use core::hint::black_box;

use hgrpc::output::{Output, Stream};
use hgrpc::server::Event;
use hgrpc::{R0005, Streaming};
use hgrpc_gate::{
    BUFFER, Memory, Port, ServerEnd, exit, measure_begin, measure_end, plant, server_end,
};

/// {"args": {"on": true}, "name": "led-one"}, 24 bytes, behind its header.
const REQUEST: &[u8; 32] = b"\x18\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Bon\xf5DnameGled-one";

/// How often: the first may differ, the others may not.
const COUNT: u32 = 4;

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    ServerEnd<Streaming<R0005>> = server_end(Streaming(R0005)),
);

fn main(
    frame: &mut [u8; BUFFER],
    memory: &mut Memory,
    server: &mut ServerEnd<Streaming<R0005>>,
) -> ! {
    let mut port = Port::first();
    let mut out = Output::new(Stream::ONLY, frame);
    for _ in 0..COUNT {
        let mut input: &[u8] = black_box(REQUEST);
        plant(input);
        measure_begin();
        let event = server.next(&mut input, memory);
        if let Some(Event::Command(command)) = &event {
            black_box((&command.name, &command.args));
        }
        measure_end();
        let Some(Event::Command(command)) = event else {
            break;
        };
        let mut body: &[u8] = b"\xf5";
        while let Ok(false) = server.respond(&command.reply, &mut body, true, &mut out) {
            port.write(out.frame());
        }
        port.write(out.frame());
    }
    exit(0)
}
