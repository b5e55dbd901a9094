//! A handler's failure as the core sends it.

use hgrpc::cbor::MessageArgs;
use hgrpc::{KeyOrder, Revision};

use super::Failure;
use crate::value::Value;

/// Most bytes of a message: what people read is shorter, and clients take status maps of 4,096
/// bytes at least.
const MOST: usize = 3 * 1024;

/// A message and its encoded arguments, cut so that they fit one frame.
#[derive(Debug)]
pub(crate) struct Composed {
    is_command: bool,
    message: Vec<u8>,
    args: Vec<u8>,
}

impl Composed {
    pub(crate) fn new(
        failure: &Failure,
        revision: Revision,
        frame_size: usize,
        has_begun: bool,
    ) -> Self {
        let is_command = failure.is_command;
        // 96 bytes for what stands around the message.
        let room = MOST.min(frame_size.saturating_sub(96));
        let is_raw = match revision {
            Revision::R0003 => true,
            Revision::R0005 => has_begun || !is_command,
            _ => false,
        };
        if is_raw {
            return Self {
                is_command,
                message: cut(failure.message(), room).into_bytes(),
                args: Vec::new(),
            };
        }
        // In a status map of 0006 arguments are what they are (revision-0006.md, 7.4); elsewhere what
        // is not UTF-8 is replaced, which makes it longer.
        let is_exact = is_command && !has_begun && revision == Revision::R0006;
        let args_len = |arg: &Vec<u8>| match is_exact {
            true => arg.len() + 5,
            false => String::from_utf8_lossy(arg).len() + 5,
        };
        let fits = failure.args.iter().map(args_len).sum::<usize>() + failure.format.len() <= room;
        let is_format = is_command || !failure.format.contains(&b'%');
        if fits && is_format && failure.format.is_ascii() {
            let args: Vec<&[u8]> = failure.args.iter().map(Vec::as_slice).collect();
            let args = match is_exact {
                true => exact_args(&args),
                false => encode_args(&args, room),
            };
            return Self {
                is_command,
                message: failure.format.clone(),
                args,
            };
        }
        let message = cut(failure.message(), room.saturating_sub(16));
        Self {
            is_command,
            message: b"%s".to_vec(),
            args: encode_args(&[message.as_bytes()], room),
        }
    }

    /// The same as the core takes it.
    pub(crate) fn as_next(&self) -> hgrpc::server::Failure<'_> {
        use hgrpc::server::Failure;
        let message = self.message.as_slice();
        let failure = match self.is_command {
            true => Failure::command(message),
            false => Failure::server(message),
        };
        failure.with_args(MessageArgs::from_cbor(&self.args).unwrap_or_default())
    }
}

/// An encoded array of byte strings; none if there are none.
fn encode_args(args: &[&[u8]], room: usize) -> Vec<u8> {
    if args.is_empty() {
        return Vec::new();
    }
    // Invalid UTF-8 takes three bytes for one.
    let mut buffer = vec![0; 3 * room + 64];
    let len = MessageArgs::encode(args, &mut buffer).map_or(0, |args| args.as_cbor().len());
    buffer.truncate(len);
    buffer
}

/// The same without a look at what they hold.
fn exact_args(args: &[&[u8]]) -> Vec<u8> {
    if args.is_empty() {
        return Vec::new();
    }
    let args = args.iter().map(|arg| Value::from(*arg)).collect();
    // An array of byte strings has an encoding.
    Value::Array(args)
        .encode(KeyOrder::Bytewise)
        .unwrap_or_default()
}

fn cut(mut text: String, most: usize) -> String {
    let mut len = text.len().min(most);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    text.truncate(len);
    text
}
