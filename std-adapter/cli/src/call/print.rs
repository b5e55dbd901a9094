//! Prints a response as it comes, in pieces of any size, in bounded memory.
//!
//! ```text
//!          ┌ raw ──────────────────────────────────────────────▶ output
//! pieces ──┼ 0006 ───────────▶ CBOR ──▶ Events ──▶ Notation, Json ─▶ output, a line per value
//!          │                 ┌─▶
//!          └ Guess (≤ 4 KiB) ┤
//!                            └ other ─▶ Plain: text, or one byte string ─▶ output
//! ```
//!
//! In 0006 a response is a sequence of CBOR values, printed one by one as they come. Before, it is
//! one by convention, but a command may answer anything: what begins like CBOR is printed as that;
//! what does not, and text, is printed as such: see [`guess`]. `--raw` guesses nothing.
//!
//! Most memory: strings are gathered up to 1 MiB, so that they can be shown in their best form;
//! longer ones pass through (in notation as hexadecimal digits, in JSON as base64).

mod events;
mod guess;
mod json;
mod notation;
mod plain;
mod string;

use std::fmt;
use std::io::{self, Write};

use events::Events;
use guess::{Guess, Kind};
use json::Json;
use notation::Notation;
use plain::Plain;

pub(super) use string::write_text;

/// The forms of results, for `--help`.
pub(crate) const HELP: &str = r#"How results are printed:
  Each value of the response is printed on a line of its own, as soon as it comes, in CBOR's
  diagnostic notation: what KEY:=LITERAL takes. A response that is not CBOR (0003 and 0005) is
  printed as text, with what is unsafe on a terminal escaped, or as one byte string.
  --json prints a line of JSON per value. Byte strings that are UTF-8 become strings, others (and
  all over 1 MiB) {"$bytes": base64}; keys become strings; undefined becomes null, NaN and infinities
  {"$float": "NaN"}, simple values {"$simple": 99}, tagged ones {"$tag": 1, "value": …}, sets lists.
  --raw prints the bytes that the command wrote."#;

/// In which form a response is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Diagnostic notation, a value per line.
    Notation,
    /// JSON, a value per line.
    Json,
    /// The bytes as they come.
    Raw,
}

/// Why a response was not printed to its end.
#[derive(Debug)]
pub(crate) enum PrintError {
    /// It is not what it began as: what is wrong, and at which byte.
    Response(String),
    /// The output failed.
    Output(io::Error),
}

impl fmt::Display for PrintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(what) => write!(f, "{what}; --raw prints the bytes"),
            Self::Output(error) => write!(f, "cannot write the output: {error}"),
        }
    }
}

impl From<io::Error> for PrintError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Prints one response.
pub(crate) struct Printer<W> {
    out: W,
    format: Format,
    state: State,
}

enum State {
    /// Nothing is printed yet.
    Guessing(Guess),
    Notation(Events, Notation),
    Json(Events, Json),
    Plain(Plain),
    Raw,
}

impl State {
    fn values(format: Format) -> Self {
        match format {
            Format::Notation => Self::Notation(Events::new(), Notation::new()),
            Format::Json => Self::Json(Events::new(), Json::new()),
            Format::Raw => Self::Raw,
        }
    }
}

impl<W: Write> Printer<W> {
    /// A printer of whatever a command may have written.
    pub(crate) fn new(out: W, format: Format) -> Self {
        let state = match format {
            Format::Notation | Format::Json => State::Guessing(Guess::new()),
            Format::Raw => State::Raw,
        };
        Self { out, format, state }
    }

    /// A printer of a sequence of CBOR values.
    pub(crate) fn of_values(out: W, format: Format) -> Self {
        let state = State::values(format);
        Self { out, format, state }
    }

    /// Takes the next bytes of the response. What can be printed of them is, to the last byte.
    ///
    /// # Errors
    /// After an error the printer is of no further use.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), PrintError> {
        if let State::Guessing(guess) = &mut self.state {
            if let Some(kind) = guess.push(bytes) {
                self.decide(kind)?;
            }
        } else {
            self.print(bytes)?;
        }
        Ok(self.out.flush()?)
    }

    /// The end of the response.
    ///
    /// # Errors
    /// A value that is not complete.
    pub(crate) fn finish(mut self) -> Result<W, PrintError> {
        if let State::Guessing(guess) = &self.state {
            let kind = guess.finish();
            self.decide(kind)?;
        }
        match &mut self.state {
            State::Notation(events, _) | State::Json(events, _) => events.finish()?,
            State::Plain(plain) => plain.finish(&mut self.out)?,
            State::Guessing(_) | State::Raw => {}
        }
        self.out.flush()?;
        Ok(self.out)
    }

    /// Prints what was held back, now that it is known what it is.
    fn decide(&mut self, kind: Kind) -> Result<(), PrintError> {
        let next = match (kind, self.format) {
            (Kind::Empty, _) => State::Raw,
            (Kind::Cbor, format) => State::values(format),
            (Kind::Text | Kind::Bytes, Format::Json) => State::Plain(Plain::json()),
            (Kind::Text, _) => State::Plain(Plain::text()),
            (Kind::Bytes, _) => State::Plain(Plain::bytes()),
        };
        match std::mem::replace(&mut self.state, next) {
            State::Guessing(guess) => self.print(guess.held()),
            _ => Ok(()),
        }
    }

    fn print(&mut self, bytes: &[u8]) -> Result<(), PrintError> {
        match &mut self.state {
            State::Guessing(_) => {}
            State::Notation(events, sink) => events.push(bytes, &mut sink.to(&mut self.out))?,
            State::Json(events, sink) => events.push(bytes, &mut sink.to(&mut self.out))?,
            State::Plain(plain) => plain.push(bytes, &mut self.out)?,
            State::Raw => self.out.write_all(bytes)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
