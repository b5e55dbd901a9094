//! Bars, drawn through the queue: a terminal that is stopped (Ctrl-S) holds up nobody either.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};

use super::{Queue, queue};

/// Drawings a second.
const RATE: u8 = 20;

/// Where bars are drawn: on the error output, if that is a terminal.
pub(crate) fn draw_target() -> ProgressDrawTarget {
    let term = Term::stderr();
    if !term.features().is_attended() {
        return ProgressDrawTarget::hidden();
    }
    let terminal = Terminal {
        term,
        queue: Arc::clone(queue()),
        drawing: Mutex::default(),
    };
    ProgressDrawTarget::term_like_with_hz(Box::new(terminal), RATE)
}

/// The terminal, as far as bars need it.
#[derive(Debug)]
struct Terminal {
    /// Asked for its size.
    term: Term,
    queue: Arc<Queue>,
    drawing: Mutex<Drawing>,
}

/// What is drawn at once.
#[derive(Debug, Default)]
struct Drawing {
    text: String,
    /// The cursor is not at the beginning of a line.
    is_mid_line: bool,
}

impl Terminal {
    fn drawing(&self) -> MutexGuard<'_, Drawing> {
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the cursor, for `n` places.
    fn go(&self, n: usize, command: char) -> io::Result<()> {
        if n > 0 {
            // Writing to a string does not fail.
            let _ = write!(self.drawing().text, "\x1b[{n}{command}");
        }
        Ok(())
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        self.term.size().1
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        let mut drawing = self.drawing();
        drawing.text.push_str(text);
        drawing.text.push('\n');
        drawing.is_mid_line = false;
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut drawing = self.drawing();
        drawing.text.push_str(text);
        if let Some(last) = text.chars().next_back() {
            drawing.is_mid_line = !matches!(last, '\n' | '\r');
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        let mut drawing = self.drawing();
        drawing.text.push_str("\r\x1b[2K");
        drawing.is_mid_line = false;
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawing = self.drawing();
        let text = std::mem::take(&mut drawing.text);
        if !text.is_empty() {
            self.queue.draw(&text, drawing.is_mid_line);
        }
        Ok(())
    }
}
