//! The standard output on a terminal that has bars too: whole lines are written above them.

use std::io::{self, IsTerminal, Write};

use super::{SharedSide, with_side};

/// Bytes of a line that has not ended which are held back.
const HELD: usize = 64 * 1024;

/// A result's way out. On a terminal its lines are held until they are whole, so that no bar is drawn
/// behind half of one; what goes elsewhere passes through.
pub(super) struct Output<'a, W: Write> {
    out: W,
    side: &'a SharedSide,
    is_terminal: bool,
    held: Vec<u8>,
}

impl<'a, W: Write> Output<'a, W> {
    /// The way to the standard output.
    pub(super) fn new(out: W, side: &'a SharedSide) -> Self {
        Self::on(out, side, io::stdout().is_terminal())
    }

    fn on(out: W, side: &'a SharedSide, is_terminal: bool) -> Self {
        Self {
            out,
            side,
            is_terminal,
            held: Vec::new(),
        }
    }

    /// Writes the first so many bytes of those that are held.
    fn write_held(&mut self, len: usize) -> io::Result<()> {
        let (out, held) = (&mut self.out, &self.held);
        let whole = held.get(..len).unwrap_or_default();
        with_side(self.side, |side| {
            side.beside(|| out.write_all(whole).and_then(|()| out.flush()))
        })?;
        self.held.drain(..len);
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if !self.held.is_empty() {
            // No bar is drawn behind it.
            with_side(self.side, |side| side.end_bars());
            self.write_held(self.held.len())?;
        }
        self.out.flush()
    }
}

impl<W: Write> Write for Output<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.out.write(bytes);
        }
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.is_terminal {
            return self.out.flush();
        }
        match self.held.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => self.write_held(end + 1),
            None if self.held.len() > HELD => self.end(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::side::Side;
    use super::*;

    #[test]
    fn on_a_terminal_only_whole_lines_are_written() {
        let side: SharedSide = Arc::new(Mutex::new(Side::quiet()));
        let mut out = Vec::new();
        let mut output = Output::on(&mut out, &side, true);
        for piece in ["a", "b\nc", "d"] {
            output.write_all(piece.as_bytes()).unwrap();
            output.flush().unwrap();
        }
        assert_eq!(*output.out, b"ab\n");
        output.write_all(&[b'x'; HELD]).unwrap();
        output.flush().unwrap();
        assert_eq!(output.out.len(), HELD + 5);
        output.write_all(b"rest").unwrap();
        output.end().unwrap();
        assert!(out.ends_with(b"xrest"));
        let mut out = Vec::new();
        Output::on(&mut out, &side, false).write_all(b"a").unwrap();
        assert_eq!(out, b"a");
    }
}
