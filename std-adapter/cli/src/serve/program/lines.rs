//! Bytes to lines of bounded length.

/// Cuts what comes into lines. A longer line comes in pieces.
pub(super) struct Lines {
    most: usize,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Lines {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            rest: Vec::new(),
        }
    }

    /// Takes the next line off the front of these bytes, without its newline; `None` when they
    /// are used up.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Vec<u8>> {
        if bytes.is_empty() {
            return None;
        }
        let room = self.most - self.rest.len();
        let end = bytes.iter().take(room).position(|&byte| byte == b'\n');
        let len = end.unwrap_or(room.min(bytes.len()));
        let (piece, after) = bytes.split_at(len);
        self.rest.extend_from_slice(piece);
        *bytes = match (end, after) {
            (Some(_), [_, after @ ..]) => after,
            _ => after,
        };
        (end.is_some() || len == room).then(|| std::mem::take(&mut self.rest))
    }

    /// What comes after the last newline.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_however_they_come() {
        for step in 1..12 {
            let mut lines = Lines::new(4);
            let mut found: Vec<Vec<u8>> = Vec::new();
            for mut piece in b"ab\n\nabcdefghi\nx\nabcd\nend".chunks(step) {
                found.extend(std::iter::from_fn(|| lines.next(&mut piece)));
                assert!(piece.is_empty());
            }
            found.extend(lines.finish());
            let text: Vec<&str> = found
                .iter()
                .map(|l| std::str::from_utf8(l).unwrap())
                .collect();
            assert_eq!(
                text,
                ["ab", "", "abcd", "efgh", "i", "x", "abcd", "", "end"]
            );
        }
    }
}
