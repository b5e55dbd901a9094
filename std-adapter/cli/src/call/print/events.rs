//! A sequence of CBOR values as events, from bytes that come in pieces.
//!
//! Holds no content: one item's head and a level for each open container, of which there are at
//! most [`MAX_NESTING`].

use hgrpc::cbor::{
    MAJOR_ARRAY, MAJOR_BYTES, MAJOR_MAP, MAJOR_SIMPLE, MAJOR_TAG, MAJOR_TEXT, MAX_NESTING,
};

use super::PrintError;

/// The byte that ends what has an indefinite length.
const BREAK: u8 = 0xff;

/// What holds other items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Array,
    /// Its items are keys and values in turn.
    Map,
    /// It has one item.
    Tag(u64),
}

/// Where an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is a value of the sequence.
    Top,
    /// It is in an array, or in a tag; is it the first?
    Element(bool),
    /// It is a map's key; is it the first?
    Key(bool),
    /// It is a map's value.
    Value,
}

/// A string, of bytes or of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Str {
    pub(super) is_text: bool,
    pub(super) is_indefinite: bool,
}

/// What happens to the items. Each begins with a place; a string comes in chunks, which is one if
/// its length is definite, and a chunk's bytes in pieces.
pub(super) trait Sink {
    fn place(&mut self, place: Place) -> Result<(), PrintError>;
    /// An integer, a float or a simple value, encoded.
    fn leaf(&mut self, encoded: &[u8]) -> Result<(), PrintError>;
    fn open(&mut self, container: Container, is_indefinite: bool) -> Result<(), PrintError>;
    fn close(&mut self, container: Container) -> Result<(), PrintError>;
    fn string(&mut self, string: Str) -> Result<(), PrintError>;
    fn chunk(&mut self, len: u64) -> Result<(), PrintError>;
    fn bytes(&mut self, piece: &[u8]) -> Result<(), PrintError>;
    fn chunk_end(&mut self) -> Result<(), PrintError>;
    fn string_end(&mut self) -> Result<(), PrintError>;
    /// A value of the sequence is complete.
    fn value_end(&mut self) -> Result<(), PrintError>;
}

struct Level {
    container: Container,
    /// Items to come; `None` until the break.
    left: Option<u64>,
    /// Items that came, counted as far as it matters: 0, then 1 and 2 in turn.
    came: u8,
}

pub(super) struct Events {
    levels: Vec<Level>,
    /// The string that is open.
    string: Option<Str>,
    /// Bytes to come of a chunk.
    left: Option<u64>,
    /// The current head, as far as it came.
    head: Vec<u8>,
    /// Bytes of all values so far.
    offset: u64,
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            levels: Vec::new(),
            string: None,
            left: None,
            head: Vec::new(),
            offset: 0,
        }
    }

    /// Takes the next bytes of the sequence.
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), PrintError> {
        let mut rest = bytes;
        loop {
            if let Some(left) = self.left {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (piece, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                rest = after;
                if !piece.is_empty() {
                    sink.bytes(piece)?;
                    self.offset += count(piece.len());
                }
                let left = left - count(piece.len());
                self.left = Some(left);
                if left > 0 {
                    return Ok(());
                }
                self.left = None;
                sink.chunk_end()?;
                if self.string.is_some_and(|string| !string.is_indefinite) {
                    self.string = None;
                    sink.string_end()?;
                    self.item_end(sink)?;
                }
            }
            let Some((&byte, after)) = rest.split_first() else {
                return Ok(());
            };
            rest = after;
            self.head.push(byte);
            self.offset += 1;
            let initial = self.head.first().copied().unwrap_or_default();
            let wanted = match initial & 0x1f {
                0..=23 | 31 => 1,
                24 => 2,
                25 => 3,
                26 => 5,
                27 => 9,
                _ => return Err(self.malformed("a reserved byte")),
            };
            if self.head.len() == wanted {
                self.head_end(initial, sink)?;
                self.head.clear();
            }
        }
    }

    /// The end of the sequence.
    pub(super) fn finish(&self) -> Result<(), PrintError> {
        if self.levels.is_empty() && self.string.is_none() && self.head.is_empty() {
            return Ok(());
        }
        let offset = self.offset;
        Err(PrintError::Response(format!(
            "the response ends inside a value, after {offset} bytes"
        )))
    }

    /// Acts on a head that is complete.
    fn head_end(&mut self, initial: u8, sink: &mut impl Sink) -> Result<(), PrintError> {
        let argument = match self.head.get(1..).unwrap_or_default() {
            [] => u64::from(initial & 0x1f),
            bytes => bytes.iter().fold(0, |sum, &b| sum << 8 | u64::from(b)),
        };
        let (major, is_indefinite) = (initial >> 5, initial & 0x1f == 31);
        if let Some(string) = self.string {
            return self.chunk_head(string, initial, argument, sink);
        }
        if initial == BREAK {
            return self.container_break(sink);
        }
        sink.place(self.next_place())?;
        let len = (!is_indefinite).then_some(argument);
        match major {
            MAJOR_BYTES | MAJOR_TEXT => {
                let string = Str {
                    is_text: major == MAJOR_TEXT,
                    is_indefinite,
                };
                self.string = Some(string);
                sink.string(string)?;
                if let Some(len) = len {
                    sink.chunk(len)?;
                    self.left = Some(len);
                }
                Ok(())
            }
            MAJOR_ARRAY => self.open(Container::Array, len, sink),
            MAJOR_MAP => self.open(Container::Map, len.map(|n| n.saturating_mul(2)), sink),
            _ if is_indefinite => Err(self.malformed("a reserved byte")),
            MAJOR_TAG => self.open(Container::Tag(argument), Some(1), sink),
            MAJOR_SIMPLE if initial == 0xf8 && argument < 32 => {
                Err(self.malformed("a reserved simple value"))
            }
            _ => {
                sink.leaf(&self.head)?;
                self.item_end(sink)
            }
        }
    }

    /// Acts on a head within a string of indefinite length.
    fn chunk_head(
        &mut self,
        string: Str,
        initial: u8,
        argument: u64,
        sink: &mut impl Sink,
    ) -> Result<(), PrintError> {
        if initial == BREAK {
            self.string = None;
            sink.string_end()?;
            return self.item_end(sink);
        }
        let major = if string.is_text {
            MAJOR_TEXT
        } else {
            MAJOR_BYTES
        };
        if initial >> 5 != major || initial & 0x1f == 31 {
            return Err(self.malformed("not a chunk of the string"));
        }
        sink.chunk(argument)?;
        self.left = Some(argument);
        Ok(())
    }

    fn container_break(&mut self, sink: &mut impl Sink) -> Result<(), PrintError> {
        match self.levels.pop() {
            Some(Level {
                container,
                left: None,
                came,
            }) if container != Container::Map || came != 1 => {
                sink.close(container)?;
                self.item_end(sink)
            }
            _ => Err(self.malformed("an unexpected break")),
        }
    }

    fn open(
        &mut self,
        container: Container,
        left: Option<u64>,
        sink: &mut impl Sink,
    ) -> Result<(), PrintError> {
        if self.levels.len() >= MAX_NESTING {
            return Err(self.malformed("nested too deep"));
        }
        sink.open(container, left.is_none())?;
        if left == Some(0) {
            sink.close(container)?;
            return self.item_end(sink);
        }
        self.levels.push(Level {
            container,
            left,
            came: 0,
        });
        Ok(())
    }

    /// Where the item is that begins.
    fn next_place(&self) -> Place {
        match self.levels.last() {
            None => Place::Top,
            Some(level) if level.container != Container::Map => Place::Element(level.came == 0),
            Some(level) if level.came == 1 => Place::Value,
            Some(level) => Place::Key(level.came == 0),
        }
    }

    /// Counts an item as complete, with the containers that end with it.
    fn item_end(&mut self, sink: &mut impl Sink) -> Result<(), PrintError> {
        while let Some(level) = self.levels.last_mut() {
            level.came = if level.came == 1 { 2 } else { 1 };
            match &mut level.left {
                Some(left) if *left <= 1 => {
                    let container = level.container;
                    self.levels.pop();
                    sink.close(container)?;
                }
                Some(left) => {
                    *left -= 1;
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        sink.value_end()
    }

    /// What is wrong with the head that just came.
    fn malformed(&self, what: &str) -> PrintError {
        let offset = self.offset - count(self.head.len());
        PrintError::Response(format!(
            "the response is not CBOR from byte {offset} on: {what}"
        ))
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
