//! The CBOR inside of frames: requests, statuses, messages, progress, settings.
//!
//! Specification: messages.md; revision-0006.md, 4 and 7 to 10.
//!
//! What is received is read by a small reader of our own: iterative, bounded to [`MAX_NESTING`]
//! levels, the same in every build. Everything read is a view of the input. minicbor's traits are
//! for single typed values: [`Value::decode`], [`Args::value`], [`CborWriter::value`]; the usual
//! types of [`args!`](crate::args) are read without it ([`FromValue`]).

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

mod args;
mod args_writer;
mod cursor;
mod error_message;
mod float;
mod from_value;
mod item;
mod known;
mod levels;
mod message;
mod pieces;
mod progress;
mod reader;
mod request;
mod scalars;
mod scanner;
mod settings;
mod status;
mod strict;
mod string;
#[cfg(test)]
mod testing;
mod to_value;
mod usual;
mod utf8;
mod value;
mod write;

pub use args::{ArgError, Args, ArgsError, ArgsIter, FromArgs};
pub use args_writer::ArgsWriter;
pub use error_message::ErrorMessage;
pub use from_value::FromValue;
#[doc(hidden)]
pub use from_value::{ByHand, ByMinicbor, Field};
pub use item::{
    CborError, MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_NEGATIVE, MAJOR_SIMPLE, MAJOR_TAG,
    MAJOR_TEXT, MAJOR_UNSIGNED, MAX_NESTING, value_len,
};
pub use message::{Atom, AtomView, Atoms, AtomsIter, MessageArgs, encode_atoms};
pub use pieces::Pieces;
pub use progress::{Progress, ProgressView};
pub use reader::{CborReader, Items};
pub use request::{CommandRequest, RedirectTargets, RequestError};
pub(crate) use request::{Fields, decode_request};
pub use scanner::ValueScanner;
pub use settings::{ContentEncoding, EncodingSet, SenderSettings, StreamSettings};
pub(crate) use status::StatusKind;
pub use status::{CommandError, Location, Redirect, STATUS_OK, Status, StatusError};
pub use strict::{StrictError, StrictValues, check_strict};
pub use string::{ByteString, ByteStrings, Chunks, Text};
#[doc(hidden)]
pub use to_value::sorted_keys;
pub use to_value::{Minicbor, ToValue};
pub(crate) use usual::{usual_pieces, usual_request};
pub use utf8::{Escaped, is_hidden};
pub use value::{Elements, Entries, Value};
pub use write::{CborWriter, EncodedArgs, Head, RequestPieces};
