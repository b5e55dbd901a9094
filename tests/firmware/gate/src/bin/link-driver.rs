//! A server through the blocking driver over a raw line, with the link between.
#![no_std]
#![no_main]

use hgrpc::Error;
use hgrpc::connection::{Buffers, LineEvent, LinkBuffers, LinkedServer};
use hgrpc::drive::blocking::Driver;
use hgrpc::link::LinkConfig;
use hgrpc::server::Event;
use hgrpc::store::FixedRequests;
use hgrpc::{R0005, Streaming};
use hgrpc_gate::{BUFFER, Memory, Port, ServerEnd, plant, server_end};

type Device<'b> = Driver<LinkedServer<'b, Streaming<R0005>, FixedRequests<4>>, Port, Port>;

hgrpc_gate::entry!(
    main,
    [[u8; BUFFER]; 4] = [[0; BUFFER]; 4],
    Memory = [0; 256],
    ServerEnd<Streaming<R0005>> = server_end(Streaming(R0005)),
);

fn main(
    buffers: &mut [[u8; BUFFER]; 4],
    memory: &mut Memory,
    server: &mut ServerEnd<Streaming<R0005>>,
) -> ! {
    let [input, output, received, sent] = buffers;
    let buffers = Buffers {
        input,
        memory,
        output,
    };
    let packets = LinkBuffers { received, sent };
    let connection = LinkedServer::linked(server, buffers, LinkConfig::new(1), packets);
    let mut device = Driver::new(connection, Port::first(), Port::first());
    loop {
        if serve(&mut device).is_err() {
            device.connection_mut().disconnect();
        }
    }
}

fn serve(device: &mut Device<'_>) -> Result<(), Error> {
    while let Some((event, mut replies)) = device.step()? {
        match event {
            Event::Command(command) => {
                replies.send(command.reply.body(command.args.as_cbor()))?;
            }
            Event::Data { bytes, .. } => plant(bytes),
            Event::Line(LineEvent::Console(text)) => Port::second().write(text),
            _ => {}
        }
    }
    Ok(())
}
