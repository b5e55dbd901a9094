//! Frames echoed without hgrpc: a header with a length, that many bytes, all sent back. What is
//! left is the start-up code, the port, and the least that any protocol in frames must do.
#![no_std]
#![no_main]

use hgrpc_gate::{Port, plant};

hgrpc_gate::entry!(main, [u8; 64] = [0; 64]);

fn main(buffer: &mut [u8; 64]) -> ! {
    let mut port = Port::first();
    loop {
        let mut header = [0; 8];
        fill(&mut port, &mut header);
        port.write(&header);
        let [l0, l1, l2, ..] = header;
        let mut left = u32::from_le_bytes([l0, l1, l2, 0]);
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX);
            let buffer = match buffer.get_mut(..room) {
                Some(part) => part,
                None => buffer,
            };
            let count = port.read(buffer);
            let bytes = buffer.get(..count).unwrap_or_default();
            plant(bytes);
            port.write(bytes);
            left = left.saturating_sub(u32::try_from(count).unwrap_or(left));
        }
    }
}

/// Reads until `rest` is full.
fn fill(port: &mut Port, mut rest: &mut [u8]) {
    while !rest.is_empty() {
        let count = port.read(rest);
        rest = rest.get_mut(count..).unwrap_or_default();
    }
}
