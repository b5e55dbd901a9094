//! Text for people, cut for frames.

use std::fmt;

use hgrpc::cbor::ByteString;

/// Bytes of text in one frame: longer text goes in several.
const MOST: usize = 8 * 1024;

/// Pieces of a text, each of which fits a frame of at most this payload with what stands beside it.
pub(crate) fn pieces(text: &str, frame_size: u32) -> impl Iterator<Item = &str> {
    let frame_size = usize::try_from(frame_size).unwrap_or(MOST);
    let most = MOST.min(frame_size / 2).max(4);
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut len = rest.len().min(most);
        while !rest.is_char_boundary(len) {
            len -= 1;
        }
        let (piece, later) = rest.split_at(len);
        rest = later;
        Some(piece)
    })
}

/// Shows bytes with `{:?}`, as text if they are such: `[b"up", b"\xff"]`.
pub(crate) fn shown<A: AsRef<[u8]>>(parts: &[A]) -> impl fmt::Debug {
    fmt::from_fn(move |f| {
        let parts = parts.iter().map(AsRef::as_ref);
        f.debug_list()
            .entries(parts.map(ByteString::from_slice))
            .finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_cut() {
        let cut = |text, size| pieces(text, size).collect::<Vec<_>>();
        assert_eq!(cut("", 256), [""; 0]);
        assert_eq!(cut("aäöü", 10), ["aäö", "ü"]);
        assert_eq!(cut("\u{1F600}\u{1F600}", 1), ["\u{1F600}"; 2]);
        let long = "x".repeat(MOST + 1);
        assert_eq!(cut(&long, 65_535), [&long[..MOST], "x"]);
    }
}
