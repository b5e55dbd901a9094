//! Frames echoed with hgrpc's wire layer alone: [`FrameReader`] cuts what the port gives into
//! parts, every field of a header is taken and put back.
#![no_std]
#![no_main]

use hgrpc::wire::{FrameHeader, FrameReader};
use hgrpc_gate::{Port, plant};

hgrpc_gate::entry!(
    main,
    [u8; 64] = [0; 64],
    FrameReader = FrameReader::new(32 * 1024)
);

fn main(buffer: &mut [u8; 64], reader: &mut FrameReader) -> ! {
    let mut port = Port::first();
    loop {
        let count = port.read(buffer);
        let mut input = buffer.get(..count).unwrap_or_default();
        plant(input);
        loop {
            match reader.next(&mut input) {
                Ok(Some(part)) => {
                    if part.is_first {
                        let header = part.header;
                        let echo = FrameHeader::new(
                            header.length(),
                            header.request_id(),
                            header.stream_id(),
                            header.stream_flags(),
                            header.kind_number(),
                            header.flags(),
                        );
                        port.write(echo.emit());
                    }
                    port.write(part.bytes);
                }
                Ok(None) => break,
                Err(_) => *reader = FrameReader::new(32 * 1024),
            }
        }
    }
}
