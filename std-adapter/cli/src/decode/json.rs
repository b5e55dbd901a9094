//! Frames as JSON objects. Written by hand, since a payload may be too large to be gathered again
//! as text; everything but the diagnostic notation is plain ASCII without quotes.

use std::io::{self, Write};

use hgrpc::Revision;
use hgrpc::wire::{FrameHeader, StreamFlags};
use hgrpc_std::diagnostic::{ByteString, Diagnostic};

/// The fields of a header that its flags and its type decide.
pub(super) fn render_flags(header: &FrameHeader, revision: Revision) -> String {
    let kind = header.kind(revision);
    let type_name = kind
        .name()
        .map_or("null".to_owned(), |name| format!("\"{name}\""));
    let names = revision.flag_names(kind);
    format!(
        ",\"streamflags\":{},\"streamflag_names\":[{}],\"type\":{},\"type_name\":{type_name},\"flags\":{},\"flag_names\":[{}]",
        header.stream_flags().bits(),
        joined(header.stream_flags().bits(), StreamFlags::name),
        header.kind_number(),
        header.flags().bits(),
        joined(header.flags().bits(), |bit| names
            .get(usize::from(bit))
            .copied()
            .flatten()),
    )
}

/// The names of set bits, quoted; bits without a name are in the number only.
fn joined(bits: u8, name: impl Fn(u8) -> Option<&'static str>) -> String {
    let names: Vec<String> = (0..8)
        .filter(|bit| bits & 1 << bit != 0)
        .filter_map(name)
        .map(|name| format!("\"{name}\""))
        .collect();
    names.join(",")
}

/// Writes the payload, with `diagnostic` its notation (of CBOR, or of a byte string), and the end
/// of the object.
pub(super) fn write_payload<W: Write>(
    out: &mut W,
    payload: &[u8],
    diagnostic: Option<bool>,
) -> io::Result<()> {
    out.write_all(b",\"payload\":\"")?;
    let mut digits = [0; 1024];
    for chunk in payload.chunks(512) {
        let hex = base16ct::lower::encode(chunk, &mut digits).map_err(io::Error::other)?;
        out.write_all(hex)?;
    }
    match (diagnostic, payload) {
        (None, _) => return out.write_all(b"\"}\n"),
        (Some(_), []) => return out.write_all(b"\",\"diagnostic\":null}\n"),
        (Some(_), _) => out.write_all(b"\",\"diagnostic\":\"")?,
    }
    let mut escaped = Escaped(out);
    if diagnostic == Some(true) {
        write!(escaped, "{}", Diagnostic::new(payload))?;
    } else {
        write!(escaped, "{}", ByteString(payload))?;
    }
    out.write_all(b"\"}\n")
}

/// Writes into a JSON string what has no control characters in it.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|b| matches!(b, b'"' | b'\\')) {
            match piece {
                [before @ .., special @ (b'"' | b'\\')] => {
                    self.0.write_all(before)?;
                    self.0.write_all(&[b'\\', *special])?;
                }
                _ => self.0.write_all(piece)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
