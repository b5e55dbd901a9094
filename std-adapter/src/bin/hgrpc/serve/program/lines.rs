//! Bytes to lines of bounded length.

use std::ops::ControlFlow;

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

    /// Gives each line that these bytes end, without its newline.
    pub(super) fn push<B>(
        &mut self,
        mut bytes: &[u8],
        mut line: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        while !bytes.is_empty() {
            let room = self.most - self.rest.len();
            let end = bytes.iter().take(room).position(|&byte| byte == b'\n');
            let len = end.unwrap_or(room.min(bytes.len()));
            let (piece, after) = bytes.split_at(len);
            let is_ended = end.is_some() || len == room;
            bytes = match (end, after) {
                (Some(_), [_, after @ ..]) => after,
                _ => after,
            };
            if !is_ended {
                self.rest.extend_from_slice(piece);
            } else if self.rest.is_empty() {
                line(piece)?;
            } else {
                self.rest.extend_from_slice(piece);
                let whole = std::mem::take(&mut self.rest);
                line(&whole)?;
            }
        }
        ControlFlow::Continue(())
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
            for piece in b"ab\n\nabcdefghi\nx\nabcd\nend".chunks(step) {
                let _ = lines.push(piece, |line| {
                    found.push(line.to_vec());
                    ControlFlow::<()>::Continue(())
                });
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
