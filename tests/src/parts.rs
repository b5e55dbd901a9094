//! Frames that arrive in parts.

use hgrpc::ProtocolError;
use hgrpc::wire::{FrameReader, Part};

/// How input is cut before a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Whole,
    /// After so many bytes, again and again.
    Every(usize),
}

impl core::fmt::Display for Cut {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Whole => f.write_str("whole frames"),
            Self::Every(1) => f.write_str("one byte at a time"),
            Self::Every(n) => write!(f, "{n}-byte parts"),
        }
    }
}

/// Has `reader` read all of `input`, cut as `cut` says, and gives every part to `handle`.
///
/// # Errors
/// The reader's own, and those of `handle`; what was not read then is dropped.
pub fn read<E: From<ProtocolError>>(
    reader: &mut FrameReader,
    cut: Cut,
    input: &[u8],
    mut handle: impl FnMut(Part<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let len = match cut {
        Cut::Whole => input.len().max(1),
        Cut::Every(len) => len,
    };
    for mut piece in input.chunks(len) {
        while let Some(part) = reader.next(&mut piece)? {
            handle(part)?;
        }
    }
    Ok(())
}
