//! Makes packets and takes them again, for counting instructions in an emulator, see `size`: between
//! the marks one end handles full packets of 256 bytes, with the payload of the real thing: CBOR with
//! some zeros.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use hgrpc::link::{Link, LinkConfig, LinkEvent};
use hgrpc_gate::{Port, exit, measure_begin, measure_end, plant};

/// Packets that are decoded.
const COUNT: u32 = 64;

#[inline(never)]
fn take(link: &mut Link, mut input: &[u8]) -> usize {
    let mut sum = 0usize;
    while let Some(event) = link.handle_bytes(&mut input) {
        if let LinkEvent::Payload { bytes, .. } = event {
            plant(bytes);
            sum = sum.wrapping_add(bytes.len());
        }
    }
    sum
}

#[entry]
fn main() -> ! {
    static mut OUT: [u8; 256] = [0; 256];
    static mut A: Link = Link::new(LinkConfig::new(1));
    static mut B: Link = Link::new(LinkConfig::new(2));
    let mut port = Port::first();
    for _ in 0..3 {
        if let Some(packet) = A.control_packet(OUT) {
            take(B, packet);
        }
        if let Some(packet) = B.control_packet(OUT) {
            take(A, packet);
        }
    }
    let payload = [*b"\0\x18\x64\xa2DnameEvalue\0\0"; 16];
    let payload = payload.as_flattened();
    for _ in 0..COUNT {
        let mut bytes = payload;
        if let Ok(packet) = A.packet(&mut bytes, true, OUT) {
            measure_begin();
            let sum = take(B, black_box(packet));
            measure_end();
            port.write(&sum.to_le_bytes());
        }
    }
    exit()
}
