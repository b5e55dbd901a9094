//! Makes packets and takes them again, for counting instructions in an emulator, see `size`: between
//! the marks one end handles full packets of 256 bytes, with the payload of the real thing: CBOR with
//! some zeros. Its exit code is how many bytes of a full packet are not payload, 0 if none was full.
#![no_std]
#![no_main]

use core::hint::black_box;

use hgrpc::link::{Link, LinkConfig, LinkEvent, MAX_PACKET};
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

hgrpc_gate::entry!(
    main,
    [u8; 256] = [0; 256],
    Link = Link::new(LinkConfig::new(1)),
    Link = Link::new(LinkConfig::new(2)),
);

fn main(out: &mut [u8; 256], a: &mut Link, b: &mut Link) -> ! {
    let mut port = Port::first();
    for _ in 0..3 {
        if let Some(packet) = a.control_packet(out) {
            take(b, packet);
        }
        if let Some(packet) = b.control_packet(out) {
            take(a, packet);
        }
    }
    let payload = [*b"\0\x18\x64\xa2DnameEvalue\0\0"; 16];
    let payload = payload.as_flattened();
    let mut overhead = 0;
    for _ in 0..COUNT {
        let mut bytes = payload;
        if let Ok(packet) = a.packet(&mut bytes, true, out) {
            measure_begin();
            let sum = take(b, black_box(packet));
            measure_end();
            port.write(&sum.to_le_bytes());
            let other = packet.len().saturating_sub(sum);
            if packet.len() == MAX_PACKET {
                overhead = overhead.max(u8::try_from(other).unwrap_or(u8::MAX));
            }
        }
    }
    exit(overhead)
}
