//! Payloads echoed over the link layer: what the link costs, without a protocol above it. All of its
//! public surface is called.
#![no_std]
#![no_main]

use hgrpc::link::{Link, LinkConfig, LinkEvent};
use hgrpc::wire::{FrameHeader, OutFrame};
use hgrpc_gate::{Port, plant};

hgrpc_gate::entry!(
    main,
    [u8; 64] = [0; 64],
    [u8; 256] = [0; 256],
    [u8; 256] = [0; 256],
    Link<256> = Link::new(LinkConfig::new(1)),
);

fn main(
    buffer: &mut [u8; 64],
    out: &mut [u8; 256],
    copy: &mut [u8; 256],
    link: &mut Link<256>,
) -> ! {
    let mut port = Port::first();
    let mut console = Port::second();
    loop {
        let count = port.read(buffer);
        let mut input = buffer.get(..count).unwrap_or_default();
        plant(input);
        if input.is_empty() && link.tick().is_some() {
            console.write(b"!");
        }
        while let Some(event) = link.handle_bytes(&mut input) {
            match event {
                LinkEvent::Payload {
                    bytes,
                    is_frame_start,
                } => {
                    let len = bytes.len();
                    for (to, from) in copy.iter_mut().zip(bytes) {
                        *to = *from;
                    }
                    let mut rest = copy.get(..len).unwrap_or_default();
                    while !rest.is_empty() {
                        match link.packet(&mut rest, is_frame_start, out) {
                            Ok(packet) => port.write(packet),
                            Err(_) => break,
                        }
                    }
                    // Once more, as frames.
                    if let Some((header, payload)) = FrameHeader::split_from(copy) {
                        let frame = OutFrame::new(*header, [payload, &[], &[], &[], &[], &[]]);
                        let mut taken = 0;
                        while let Ok(Some(packet)) = link.frame_packet(&frame, &mut taken, out) {
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
        if link.is_up() && link.peer_session().is_some() {
            console.write(&link.session().to_le_bytes());
            if count == 1 {
                link.disconnect();
            }
        }
        if let Some(packet) = link.control_packet(out) {
            port.write(packet);
        }
    }
}
