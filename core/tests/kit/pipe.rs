//! A direction of a connection whose reads and writes are short, interrupted, or whole.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};

/// One direction of a connection. What a call does is next in `moods`, over and over: 0 is an
/// error, other numbers are the most bytes that are moved.
#[derive(Clone, Debug, Default)]
pub struct Pipe {
    pub bytes: Rc<RefCell<VecDeque<u8>>>,
    pub moods: Vec<usize>,
    turn: usize,
    pub writes: usize,
    pub flushes: usize,
}

impl Pipe {
    pub fn new(moods: &[usize]) -> Self {
        let moods = moods.to_vec();
        Self {
            moods,
            ..Self::default()
        }
    }

    fn mood(&mut self) -> Result<usize, ErrorKind> {
        self.turn += 1;
        match self.moods.get(self.turn % self.moods.len().max(1)) {
            Some(0) => Err(ErrorKind::Interrupted),
            Some(most) => Ok(*most),
            None => Ok(usize::MAX),
        }
    }
}

impl ErrorType for Pipe {
    type Error = ErrorKind;
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        assert!(!buf.is_empty());
        let most = self.mood()?;
        let mut bytes = self.bytes.borrow_mut();
        let len = buf.len().min(most).min(bytes.len());
        for (to, from) in buf.iter_mut().zip(bytes.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }
}

impl ReadReady for Pipe {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(!self.bytes.borrow().is_empty())
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        assert!(!buf.is_empty());
        let len = buf.len().min(self.mood()?);
        self.bytes.borrow_mut().extend(&buf[..len]);
        self.writes += 1;
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        let mood = self.mood();
        self.flushes += usize::from(mood.is_ok());
        mood.map(|_| ())
    }
}
