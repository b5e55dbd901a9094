//! Stand-in for `hgrpc::cbor::ContentEncoding`: to be replaced by a re-export of it.

/// A content encoding of revision 0006 (revision-0006.md, 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    /// Bytes unchanged.
    Identity,
    /// One zlib stream (RFC 1950) per stream.
    Zlib,
    /// One Zstandard frame (RFC 8878) per stream, with a window of at most 8 MiB.
    Zstd8Mb,
}

impl ContentEncoding {
    /// The encoding's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Zlib => "zlib",
            Self::Zstd8Mb => "zstd-8mb",
        }
    }

    /// The encoding with this name, if it is known.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Identity, Self::Zlib, Self::Zstd8Mb]
            .into_iter()
            .find(|encoding| encoding.name().as_bytes() == name)
    }
}
