//! Frames echoed with hgrpc's wire layer alone: [`FrameReader`] cuts what the port gives into
//! parts, every field of a header is taken and put back.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use hgrpc::wire::{FrameHeader, FrameReader};
use hgrpc_gate::{Port, plant};

#[entry]
fn main() -> ! {
    static mut BUFFER: [u8; 64] = [0; 64];
    static mut READER: FrameReader = FrameReader::new(32 * 1024);
    let mut port = Port::first();
    loop {
        let count = port.read(BUFFER);
        let mut input = BUFFER.get(..count).unwrap_or_default();
        plant(input);
        loop {
            match READER.next(&mut input) {
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
                Err(_) => *READER = FrameReader::new(32 * 1024),
            }
        }
    }
}
