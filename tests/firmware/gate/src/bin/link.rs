//! Payloads echoed over the link layer: what the link costs, without a protocol above it. All of its
//! public surface is called.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use hgrpc::link::{Link, LinkConfig, LinkEvent};
use hgrpc::wire::{FrameHeader, OutFrame};
use hgrpc_gate::{Port, plant};

#[entry]
fn main() -> ! {
    static mut BUFFER: [u8; 64] = [0; 64];
    static mut OUT: [u8; 256] = [0; 256];
    static mut COPY: [u8; 256] = [0; 256];
    static mut LINK: Link<256> = Link::new(LinkConfig::new(1));
    let mut port = Port::first();
    let mut console = Port::second();
    loop {
        let count = port.read(BUFFER);
        let mut input = BUFFER.get(..count).unwrap_or_default();
        plant(input);
        if input.is_empty() && LINK.tick().is_some() {
            console.write(b"!");
        }
        while let Some(event) = LINK.handle_bytes(&mut input) {
            match event {
                LinkEvent::Payload {
                    bytes,
                    is_frame_start,
                } => {
                    let len = bytes.len();
                    for (to, from) in COPY.iter_mut().zip(bytes) {
                        *to = *from;
                    }
                    let mut rest = COPY.get(..len).unwrap_or_default();
                    while !rest.is_empty() {
                        match LINK.packet(&mut rest, is_frame_start, OUT) {
                            Ok(packet) => port.write(packet),
                            Err(_) => break,
                        }
                    }
                    // Once more, as frames.
                    if let Some((header, payload)) = FrameHeader::split_from(COPY) {
                        let frame = OutFrame::new(*header, [payload, &[], &[], &[], &[], &[]]);
                        let mut taken = 0;
                        while let Ok(Some(packet)) = LINK.frame_packet(&frame, &mut taken, OUT) {
                            port.write(packet);
                        }
                    }
                }
                LinkEvent::Console(text) | LinkEvent::Noise(text) => console.write(text),
                LinkEvent::Lost(error) => console.write(error.name().as_bytes()),
                LinkEvent::Up => console.write(b"up"),
                _ => {}
            }
        }
        if LINK.is_up() && LINK.peer_session().is_some() {
            console.write(&LINK.session().to_le_bytes());
            if count == 1 {
                LINK.disconnect();
            }
        }
        if let Some(packet) = LINK.control_packet(OUT) {
            port.write(packet);
        }
    }
}
