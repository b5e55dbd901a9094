//! A handler's failure as the core sends it.

use hgrpc::Revision;
use hgrpc::cbor::encode_message_args;

use super::Failure;

/// Most bytes of a message: what people read is shorter.
const MOST: usize = 8 * 1024;

/// A message and its encoded arguments, cut so that they fit one frame.
pub(super) struct Composed {
    is_command: bool,
    message: Vec<u8>,
    args: Vec<u8>,
}

impl Composed {
    pub(super) fn new(
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
        let fits = failure.args.iter().map(|arg| arg.len() + 5).sum::<usize>()
            + failure.format.len()
            <= room;
        let is_format = is_command || !failure.format.contains(&b'%');
        if fits && is_format && failure.format.is_ascii() {
            let args: Vec<&[u8]> = failure.args.iter().map(Vec::as_slice).collect();
            return Self {
                is_command,
                message: failure.format.clone(),
                args: encode_args(&args, room),
            };
        }
        let message = cut(failure.message(), room.saturating_sub(16));
        Self {
            is_command,
            message: b"%s".to_vec(),
            args: encode_args(&[message.as_bytes()], room),
        }
    }

    pub(super) const fn as_core(&self) -> hgrpc::server::Failure<'_> {
        let message = self.message.as_slice();
        let failure = if self.is_command {
            hgrpc::server::Failure::command(message)
        } else {
            hgrpc::server::Failure::server(message)
        };
        failure.with_args(self.args.as_slice())
    }
}

/// An encoded array of byte strings; none if there are none.
fn encode_args(args: &[&[u8]], room: usize) -> Vec<u8> {
    if args.is_empty() {
        return Vec::new();
    }
    // Invalid UTF-8 takes three bytes for one.
    let mut buffer = vec![0; 3 * room + 64];
    match encode_message_args(args, &mut buffer) {
        Ok(len) => buffer.truncate(len),
        Err(_) => buffer.clear(),
    }
    buffer
}

fn cut(mut text: String, most: usize) -> String {
    let mut len = text.len().min(most);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    text.truncate(len);
    text
}
