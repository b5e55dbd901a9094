//! The content encodings of revision 0006 (revision-0006.md, section 3): `identity`, `zlib`
//! (feature `zlib`) and `zstd-8mb` (feature `zstd`).
//!
//! The state of an encoding belongs to a *stream* and spans frames and requests:
//!
//! ```text
//!  pieces ──▶ Encoder ──▶ payloads of encoded frames ──▶ StreamDecoders ──▶ pieces
//!    flush at each            (stream 2, stream 4 …)      one Decoder per
//!    response's end                                       stream with settings
//! ```
//!
//! A receiver uses [`StreamDecoders`]: it keeps the decoders, holds them to [`DecodeLimits`], and
//! hands out decoded bytes in pieces, so that a frame may decode to any length in constant memory.
//! A sender keeps one [`Encoder`] per output stream.

mod error;
mod identity;
mod streams;
#[cfg(feature = "zlib")]
mod zlib;
#[cfg(feature = "zstd")]
mod zstd;

pub use error::{DecodeError, EncodeError};
pub use hgrpc::cbor::ContentEncoding;
pub use identity::Identity;
pub use streams::{DecodeLimits, Decoded, PIECE_LEN, StreamDecoders};
#[cfg(feature = "zlib")]
pub use zlib::{ZlibDecoder, ZlibEncoder};
#[cfg(feature = "zstd")]
pub use zstd::{MAX_WINDOW, ZstdDecoder, ZstdEncoder};

/// Undoes one stream's content encoding, for as long as the stream lives.
///
/// Most code wants [`StreamDecoders`], which calls this in the one right way and adds limits.
pub trait Decoder: Send + core::fmt::Debug {
    /// Decodes some of `input` into `output`, which must not be empty: takes what it used off the
    /// front of `input` and returns how many bytes it wrote to the front of `output`.
    ///
    /// `Ok(0)` says that `input` is used up *and* nothing is left inside, so a payload is decoded
    /// by repeating the call until it returns `Ok(0)`. No other result says so: call again.
    /// Payloads of encoded frames come in wire order; how they are cut does not matter.
    ///
    /// Work is bounded by the length of `input` and `output`.
    ///
    /// # Errors
    ///
    /// See [`DecodeError`]. What the failing call had decoded is dropped, and how much an earlier
    /// one handed out may depend on how the input is cut; that it fails does not.
    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, DecodeError>;

    /// How many bytes of memory the decoder holds now, about.
    fn memory(&self) -> usize;
}

/// Applies one output stream's content encoding, for as long as the stream lives.
///
/// Nothing is ever finished: the wire carries no trailer (3.6). An encoder is shared by the
/// responses of its stream, one at a time (3.5a).
pub trait Encoder: Send + core::fmt::Debug {
    /// Feeds one piece and appends to `out` what comes out of it, often nothing.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the library fails.
    fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Appends to `out` whatever makes everything fed so far decodable: at the end of each
    /// response, or where responses take turns on the stream.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the library fails.
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

/// The encodings that this build has, best first: what a client offers, and the order in which a
/// server chooses (4.1).
pub const SUPPORTED: &[ContentEncoding] = &[
    #[cfg(feature = "zstd")]
    ContentEncoding::Zstd8Mb,
    #[cfg(feature = "zlib")]
    ContentEncoding::Zlib,
    ContentEncoding::Identity,
];

/// A fresh decoder; `None` if this build does not have the encoding.
pub fn decoder(encoding: ContentEncoding) -> Option<Box<dyn Decoder>> {
    match encoding {
        ContentEncoding::Identity => Some(Box::new(Identity)),
        #[cfg(feature = "zlib")]
        ContentEncoding::Zlib => Some(Box::new(ZlibDecoder::new())),
        #[cfg(feature = "zstd")]
        ContentEncoding::Zstd8Mb => Some(Box::new(ZstdDecoder::new())),
        // Not in this build, or newer than this crate.
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

/// A fresh encoder; `None` if this build does not have the encoding.
pub fn encoder(encoding: ContentEncoding) -> Option<Box<dyn Encoder>> {
    match encoding {
        ContentEncoding::Identity => Some(Box::new(Identity)),
        #[cfg(feature = "zlib")]
        ContentEncoding::Zlib => Some(Box::new(ZlibEncoder::new())),
        #[cfg(feature = "zstd")]
        ContentEncoding::Zstd8Mb => Some(Box::new(ZstdEncoder::new())),
        // Not in this build, or newer than this crate.
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

#[cfg(all(test, feature = "zlib", feature = "zstd"))]
mod tests;
