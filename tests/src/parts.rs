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

impl Cut {
    /// The pieces in which `input` arrives.
    pub fn pieces(self, input: &[u8]) -> core::slice::Chunks<'_, u8> {
        input.chunks(match self {
            Self::Whole => input.len().max(1),
            Self::Every(len) => len,
        })
    }
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
    for mut piece in cut.pieces(input) {
        while let Some(part) = reader.next(&mut piece)? {
            handle(part)?;
        }
    }
    Ok(())
}
