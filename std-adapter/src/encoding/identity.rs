//! `identity`: bytes unchanged (revision-0006.md, 3.4).

use super::{DecodeError, Decoder, EncodeError, Encoder};

/// Decoder and encoder of `identity`. It has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl Decoder for Identity {
    fn decode(&mut self, input: &mut &[u8], output: &mut [u8]) -> Result<usize, DecodeError> {
        let len = input.len().min(output.len());
        let (head, tail) = input.split_at(len);
        output[..len].copy_from_slice(head);
        *input = tail;
        Ok(len)
    }

    fn memory(&self) -> usize {
        0
    }
}

impl Encoder for Identity {
    fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(piece);
        Ok(())
    }

    fn flush(&mut self, _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        Ok(())
    }
}
