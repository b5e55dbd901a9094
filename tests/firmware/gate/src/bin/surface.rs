//! Calls what the other programs do not reach: the gate sees only what is linked. Its size says
//! nothing, and what it does makes no sense; that it links says that none of this can panic.
#![no_std]
#![no_main]

use core::fmt::Write;
use core::hint::black_box;

use hgrpc::wire::{
    CommandRequestFlags, FrameHeader, FrameKind, FrameReader, HEADER_LEN, MAX_SLICES, OutFrame,
    StreamFlags, TypeFlags,
};
use hgrpc::{ApiMisuse, ProtocolError, REVISIONS, Revision};
use hgrpc_gate::{Port, plant};

/// Prints to the port.
struct Text<'a>(&'a mut Port);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

hgrpc_gate::entry!(main, [u8; 64] = [0; 64]);

fn main(buffer: &mut [u8; 64]) -> ! {
    let mut port = Port::first();
    loop {
        let count = port.read(buffer);
        let input = buffer.get(..count).unwrap_or_default();
        plant(input);
        for revision in REVISIONS {
            // What cannot be written is lost; the port takes everything.
            let _ = wire(&mut port, input, revision);
        }
        let _ = revisions(&mut port, input);
    }
}

fn wire(port: &mut Port, mut input: &[u8], revision: Revision) -> core::fmt::Result {
    let mut reader = FrameReader::new(u32::from(black_box(0xffffu16)));
    let mut error = reader.finish().err();
    loop {
        match reader.next(&mut input) {
            Ok(Some(part)) => {
                writeln!(Text(port), "{}", part.header.display(revision))?;
                let payload: [&[u8]; MAX_SLICES] = [part.bytes, input, &[], part.bytes, &[], input];
                frame(port, OutFrame::new(part.header, payload));
            }
            Ok(None) => break,
            Err(found) => {
                error = Some(found);
                break;
            }
        }
        black_box(reader.skip(black_box(5)));
        black_box((reader.missing(), reader.received(), reader.current()));
    }
    if let Some(error) = error.or(reader.finish().err()) {
        writeln!(Text(port), "{error}")?;
    }
    Ok(())
}

fn frame(port: &mut Port, frame: OutFrame<'_>) {
    let mut copy = [0; 96];
    if let Some(len) = frame.copy_to(&mut copy) {
        port.write(copy.get(..len).unwrap_or_default());
    }
    let mut offset = 0usize;
    while let Some(slice) = frame.slice_at(offset) {
        port.write(slice);
        offset = offset.saturating_add(slice.len());
    }
    black_box((
        frame.wire_len(),
        frame.payload().len(),
        frame.header().kind_number(),
    ));
}

fn revisions(port: &mut Port, input: &[u8]) -> core::fmt::Result {
    let name = core::str::from_utf8(input).unwrap_or_default();
    let revision = Revision::from_name(name).unwrap_or_default();
    let kind = revision
        .kind_named(name)
        .unwrap_or(FrameKind::Unknown(black_box(9)));
    writeln!(
        Text(port),
        "{revision} {kind} {:?}",
        revision.kind_number(kind)
    )?;
    black_box((revision.key_order(), revision.response_kind()));
    black_box((revision.has_status_map(), revision.has_settings()));
    if let Some((header, rest)) = FrameHeader::split_from(input) {
        let flags = CommandRequestFlags::from(header.flags());
        let flags = flags.with(CommandRequestFlags::MORE, rest.len() > HEADER_LEN);
        black_box((
            TypeFlags::from(flags),
            header.stream_flags().contains(StreamFlags::END),
        ));
    }
    writeln!(
        Text(port),
        "{} {}",
        black_box(ProtocolError::BadStatus),
        black_box(ApiMisuse::TooLarge)
    )
}
