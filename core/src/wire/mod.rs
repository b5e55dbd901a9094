//! Frames on the wire. Read [`FrameHeader`] first, then [`FrameReader`] and [`OutFrame`].
//!
//! Specification: framing.md.
//!
//! ```text
//!   0        3     5   6   7   8
//!   +--------+-----+---+---+---+----------------------+
//!   | length | req | s | f |t|f| payload (length bytes) |
//!   +--------+-----+---+---+---+----------------------+
//!   length 24 bits · request ID 16 · stream ID 8 · stream flags 8 · type 4 (high) · flags 4 (low)
//! ```

mod emit;
mod flags;
mod header;
mod id;
mod kind;
mod reader;

pub(crate) use emit::payload_len;
pub use emit::{MAX_SLICES, OutFrame};
pub use flags::{
    CommandDataFlags, CommandRequestFlags, ErrorFlags, FlagNames, ResponseFlags, SettingsFlags,
    StreamFlags, TypeFlags,
};
pub(crate) use header::payload_limit;
pub use header::{FrameHeader, HEADER_LEN, HeaderDisplay, MAX_LENGTH};
pub use id::{RequestId, StreamId};
pub use kind::FrameKind;
pub use reader::{FrameReader, Part};
