//! What a response is, from its beginning.
//!
//! A response does not say whether it is CBOR, and much text is well-formed CBOR by accident: `42`
//! and a line feed are three integers, `Ehello` is a byte string. So:
//!
//! 1. What is not well-formed CBOR from its first value on is not CBOR.
//! 2. What begins with a byte that text does not have, or has one in what came when the first value
//!    is complete, is CBOR, and is printed from then on as it comes.
//! 3. What could be text is held back until it is more than 4 KiB or complete. It is text if it does
//!    not end with a value, or if it is several values of which the first is an integer; otherwise
//!    it is CBOR. (So a long CBOR string, the length of which is text by accident, is printed as
//!    text: that shows more than the opposite mistake.)
//!
//! Scripts that must not guess have `--raw`.

use hgrpc::cbor::{MAJOR_NEGATIVE, ValueScanner};

/// Bytes that may be held back.
const HELD: usize = 4096;

/// What a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Cbor,
    Text,
    Bytes,
}

pub(super) struct Guess {
    held: Vec<u8>,
    scanner: ValueScanner,
    /// Values that are complete.
    values: u64,
    is_text: bool,
    /// The beginning of a character, if all is text.
    cut: Vec<u8>,
}

impl Guess {
    pub(super) fn new() -> Self {
        Self {
            held: Vec::new(),
            scanner: ValueScanner::new(),
            values: 0,
            is_text: true,
            cut: Vec::new(),
        }
    }

    /// What came so far.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Takes the next bytes; what the response is, as soon as that is known. However the response
    /// is cut: the byte that decides is the same.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Kind> {
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        (before..)
            .zip(bytes)
            .find_map(|(at, &byte)| self.byte(at, byte))
    }

    fn byte(&mut self, at: usize, byte: u8) -> Option<Kind> {
        self.look(byte);
        match self.scanner.scan(&[byte]) {
            Ok(None) => {}
            Ok(Some(_)) => self.values += 1,
            // Something was CBOR: what is wrong later is shown where it is.
            Err(_) if self.values > 0 && !self.is_text => return Some(Kind::Cbor),
            Err(_) if self.is_text => return Some(Kind::Text),
            Err(_) => return Some(Kind::Bytes),
        }
        let is_long = at >= HELD;
        match self.is_text {
            true => is_long.then(|| self.textual()),
            false => (is_long || self.values > 0).then_some(Kind::Cbor),
        }
    }

    /// What the response is that ends here.
    pub(super) fn finish(&self) -> Kind {
        match (self.held.is_empty(), self.is_text) {
            (true, _) => Kind::Empty,
            (false, true) => self.textual(),
            (false, false) => Kind::Cbor,
        }
    }

    /// What well-formed CBOR is that could be text.
    fn textual(&self) -> Kind {
        let is_integer = self.held.first().is_some_and(|b| b >> 5 <= MAJOR_NEGATIVE);
        if self.scanner.is_inside() || is_integer && self.values > 1 {
            Kind::Text
        } else {
            Kind::Cbor
        }
    }

    /// Sees whether what comes is still UTF-8 as programs write it to a terminal.
    fn look(&mut self, byte: u8) {
        if !self.is_text {
            return;
        }
        self.cut.push(byte);
        match std::str::from_utf8(&self.cut) {
            Ok(c) => {
                let is_odd = |c: char| c.is_control() && !matches!(c, '\x07'..='\r' | '\x1b');
                self.is_text = !c.contains(is_odd);
                self.cut.clear();
            }
            Err(error) => self.is_text = error.error_len().is_none(),
        }
    }
}
