//! How small a receive buffer may be, see `size`: a frame with 32 KiB of a command's data is given to a
//! server in pieces of one byte, then of two, and so on. Its exit code in an emulator is the first
//! size with which all of the data came through; 0 if none is.
#![no_std]
#![no_main]

use core::iter::repeat_n;

use hgrpc::server::Event;
use hgrpc::{R0005, Streaming};
use hgrpc_gate::{BUFFER, Memory, ServerEnd, exit, plant, server_end};

/// {"args": {"on": true}, "name": "led-one"}, which says that data follows, and the header of the data.
const BEFORE: &[u8; 40] =
    b"\x18\0\0\x01\0\x01\x01\x19\xa2Dargs\xa1Bon\xf5DnameGled-one\0\x80\0\x01\0\x01\0\x22";

/// Bytes of data, in one frame.
const DATA: usize = 32 * 1024;

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    Memory = [0; 256],
    ServerEnd<Streaming<R0005>> = server_end(Streaming(R0005)),
);

fn main(
    line: &mut [u8; BUFFER],
    memory: &mut Memory,
    server: &mut ServerEnd<Streaming<R0005>>,
) -> ! {
    for size in 1..=u8::MAX {
        let Some(buffer) = line.get_mut(..size.into()) else {
            break;
        };
        server.restart(Streaming(R0005), memory);
        if receive(buffer, memory, server) == Some(DATA) {
            exit(size);
        }
    }
    exit(0)
}

/// Bytes of data that came; `None` if the server did not want them, or not to their end.
fn receive(
    buffer: &mut [u8],
    memory: &mut Memory,
    server: &mut ServerEnd<Streaming<R0005>>,
) -> Option<usize> {
    let mut line = BEFORE.iter().copied().chain(repeat_n(b'x', DATA));
    let mut received = 0usize;
    loop {
        let mut count = 0usize;
        for (slot, byte) in buffer.iter_mut().zip(&mut line) {
            *slot = byte;
            count = count.saturating_add(1);
        }
        let mut input = buffer.get(..count).filter(|bytes| !bytes.is_empty())?;
        plant(input);
        while let Some(event) = server.next(&mut input, memory) {
            match event {
                Event::Data { bytes, is_last, .. } => {
                    received = received.saturating_add(bytes.len());
                    if is_last {
                        return Some(received);
                    }
                }
                Event::Command(_) => {}
                _ => return None,
            }
        }
    }
}
