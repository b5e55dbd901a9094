//! How small a receive buffer may be, see `size`: a frame with 32 KiB of a command's data is given to a
//! server in pieces of one byte, then of two, and so on. Its exit code in an emulator is the first
//! size with which all of the data came through; 0 if none is.
#![no_std]
#![no_main]

use core::iter::repeat_n;

use hgrpc::server::{Server, ServerAction, ServerConfig};
use hgrpc::wire::FrameReader;
use hgrpc::{Limits, R0005, Streaming};
use hgrpc_gate::{BUFFER, Store, exit, plant};

/// {"args": {"on": true}, "name": "led-one"}, which says that data follows, and the header of the data.
const BEFORE: &[u8; 40] =
    b"\x18\0\0\x01\0\x01\x01\x19\xa2Dargs\xa1Bon\xf5DnameGled-one\0\x80\0\x01\0\x01\0\x22";

/// Bytes of data, in one frame.
const DATA: usize = 32 * 1024;

hgrpc_gate::entry!(
    main,
    [u8; BUFFER] = [0; BUFFER],
    Store = Store::new(),
    Server<Streaming<R0005>> = Server::new(Streaming(R0005), ServerConfig::STREAMING),
    FrameReader = FrameReader::new(Limits::DEFAULT.max_frame_size),
);

fn main(
    memory: &mut [u8; BUFFER],
    store: &mut Store,
    server: &mut Server<Streaming<R0005>>,
    reader: &mut FrameReader,
) -> ! {
    for size in 1..=u8::MAX {
        let Some(buffer) = memory.get_mut(..size.into()) else {
            break;
        };
        store.clear();
        server.restart(Streaming(R0005));
        reader.restart();
        if receive(buffer, store, server, reader) == Some(DATA) {
            exit(size);
        }
    }
    exit(0)
}

/// Bytes of data that came; `None` if the server did not want them, or not to their end.
fn receive(
    buffer: &mut [u8],
    store: &mut Store,
    server: &mut Server<Streaming<R0005>>,
    reader: &mut FrameReader,
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
        while let Some(part) = reader.next(&mut input).ok()? {
            let (table, arena) = store.split();
            let action = server.handle(part, table, arena).ok()?;
            if let ServerAction::CommandData { bytes, is_last, .. } = action {
                received = received.saturating_add(bytes.len());
                if is_last {
                    return Some(received);
                }
            }
        }
    }
}
