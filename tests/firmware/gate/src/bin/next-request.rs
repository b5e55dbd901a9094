//! As `request`, on the reworked core.
#![no_std]
#![no_main]

use core::hint::black_box;

use hgrpc::next::output::{Output, Stream};
use hgrpc::next::server::Event;
use hgrpc::{R0005, Streaming};
use hgrpc_gate::{
    BUFFER, Memory, NextServer, Port, exit, measure_begin, measure_end, next_server, plant,
};

const REQUEST: &[u8; 32] = b"\x18\0\0\x01\0\x01\x01\x11\xa2Dargs\xa1Bon\xf5DnameGled-one";
const COUNT: u32 = 4;

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    NextServer<Streaming<R0005>> = next_server(Streaming(R0005)),
);

fn main(
    frame: &mut [u8; BUFFER],
    memory: &mut Memory,
    server: &mut NextServer<Streaming<R0005>>,
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
